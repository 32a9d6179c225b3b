/**
 * `npm run check`: everything short of the tests. Runs all checks even when one fails, two at a time, and prints what
 * each took and what those that failed had to say. With names as arguments (`npm run check -- lint format`), only those.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"

import { must, packAll, packages, root, run } from "./workspace.mjs"

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {string} [after] the check whose output it reads
 * @property {() => Promise<unknown>} run throws with what is wrong
 */

/**
 * Runs all of them, and fails with what each that failed said.
 *
 * @param {ReadonlyArray<ReadonlyArray<string>>} commands
 */
const mustAll = async (commands) => {
  const outcomes = []
  for (const command of commands) outcomes.push({ command, ...(await run(command)) })
  const failed = outcomes.filter(({ code }) => code !== 0)
  if (failed.length > 0)
    throw new Error(failed.map(({ command, output }) => `${command.join(" ")}\n${output}`).join("\n"))
  return outcomes.map(({ output }) => output)
}

// Without its plugin entry in the configuration, effect-tsgo checks no files and is content.
const effectDiagnostics = async () => {
  const projects = [...packages.map(({ folder }) => join(folder, "tsconfig.json")), join(root, "tsconfig.test.json")]
  const outputs = await mustAll(
    projects.map((project) => ["effect-tsgo", "diagnostics", "--format", "text", "--project", project])
  )
  for (const [index, output] of outputs.entries()) {
    const checked = /Checked (\d+) files/.exec(output)?.[1]
    if (checked === undefined || checked === "0")
      throw new Error(`no file was checked in ${projects[index]}\n${output}`)
  }
}

const tarballs = async () => {
  const folder = mkdtempSync(join(tmpdir(), "nexobot-check-"))
  try {
    const packed = [...(await packAll(folder)).values()]
    await mustAll(
      packed.flatMap((tarball) => [
        ["publint", "run", tarball, "--strict"],
        ["attw", tarball, "--profile", "esm-only", "--format", "ascii", "--no-emoji"]
      ])
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @type {ReadonlyArray<Check>} */
const checks = [
  { name: "build", run: () => must(["node", "scripts/build.mjs"]) },
  { name: "format", run: () => must(["oxfmt", "--check", "."]) },
  { name: "unused", run: () => must(["knip", "--no-config-hints"]) },
  { name: "types", after: "build", run: () => must(["tsc", "-b", "--pretty", "false"]) },
  { name: "lint", after: "build", run: () => must(["oxlint", "--type-aware", "--deny-warnings"]) },
  { name: "effect", after: "build", run: effectDiagnostics },
  { name: "tarballs", after: "build", run: tarballs }
]

const names = process.argv.slice(2)
const unknown = names.filter((name) => !checks.some((check) => check.name === name))
if (unknown.length > 0 || !existsSync(join(root, "node_modules"))) {
  const why =
    unknown.length > 0
      ? `no check is named ${unknown.join(", ")}`
      : "nothing is installed: npm start or npm test does it"
  process.stderr.write(`${why}\n`)
  process.exit(2)
}
const chosen = checks.filter(({ name }) => names.length === 0 || names.includes(name))

/** @type {Array<Check>} */
const waiting = [...chosen]
/** @type {Set<string>} */
const unfinished = new Set(chosen.map(({ name }) => name))
/** @type {Array<{ name: string, message: string }>} */
const failures = []

/** @param {Check} check */
const perform = async (check) => {
  const start = performance.now()
  let mark = "ok"
  try {
    await check.run()
  } catch (error) {
    mark = "FAILED"
    failures.push({ name: check.name, message: error instanceof Error ? error.message : String(error) })
  }
  unfinished.delete(check.name)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(`${check.name.padEnd(10)} ${seconds.padStart(5)} s  ${mark}\n`)
}

/** @type {Set<Promise<void>>} */
const running = new Set()
const start = performance.now()
while (unfinished.size > 0) {
  const index = waiting.findIndex(({ after }) => after === undefined || !unfinished.has(after))
  const [next] = index === -1 || running.size >= Math.max(2, availableParallelism()) ? [] : waiting.splice(index, 1)
  if (next === undefined) {
    await Promise.race(running)
    continue
  }
  const task = perform(next).finally(() => running.delete(task))
  running.add(task)
}

for (const { message, name } of failures) process.stdout.write(`\n── ${name} ──\n${message.trimEnd()}\n`)
const total = ((performance.now() - start) / 1000).toFixed(1)
process.stdout.write(
  failures.length === 0
    ? `\nall ${chosen.length} checks passed in ${total} s\n`
    : `\n${failures.length} of ${chosen.length} checks failed in ${total} s: ${failures.map(({ name }) => name).join(", ")}\n`
)
process.exitCode = failures.length === 0 ? 0 : 1
