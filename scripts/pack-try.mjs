/**
 * `npm run pack:try`: packs every package as it would be published, installs the tarballs with npm into a fresh TypeScript
 * application and a fresh JavaScript application outside the workspace, and runs both on the oldest supported Node and
 * on the newest.
 *
 * Each application imports every export of every tarball, and uses the packages for real; see `test/fixtures/pack`. The
 * TypeScript one has the optional peers, is checked with `skipLibCheck: false`, and its files that must not compile are
 * seen not to. The JavaScript one does without the peers. With `--keep` the folder stays, for a look.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { must, packAll, root, run } from "./workspace.mjs"

/** @param {string} file */
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"))

const oldest = "22.19"
const newest = readJson(join(root, "package.json")).devDependencies.node
/** A file that must not compile, and what the compiler has to name. */
const refused = new Map([
  ["missing-rung.ts", "Http/Timeout"],
  ["dead-rung.ts", "Http/Bored"]
])

/** What cannot be loaded without an optional peer. */
const needPeer = new Set([
  "@nexobot/core/postgres",
  "@nexobot/core/PostgresLeases",
  "@nexobot/probes/postgres",
  "@nexobot/probes/PostgresDatabase",
  "@nexobot/probes/mysql",
  "@nexobot/probes/MysqlDatabase"
])

const fixtures = join(root, "test", "fixtures", "pack")
const folder = mkdtempSync(join(tmpdir(), "nexobot-pack-"))

/**
 * @param {string} what
 * @param {() => Promise<unknown>} action
 */
const step = async (what, action) => {
  const start = performance.now()
  await action()
  process.stdout.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s  ${what}\n`)
}

/**
 * What users may import: each key of `exports`, patterns filled in with what the tarball holds.
 *
 * @param {string} app
 * @param {string} name
 */
const specifiers = async (app, name) => {
  const installed = join(app, "node_modules", name)
  const { exports } = readJson(join(installed, "package.json"))
  const { stdout } = await must(["find", "dist", "-name", "*.d.ts"], { cwd: installed })
  const modules = stdout
    .trim()
    .split("\n")
    .map((file) => file.slice("dist/".length, -".d.ts".length))
  return Object.entries(exports).flatMap(([key, target]) => {
    if (target === null || key === "./package.json") return []
    if (!String(target).startsWith("./dist/")) throw new Error(`${name} exports ${key} as ${target}: not what is built`)
    if (!key.includes("*")) return [join(name, key)]
    return modules
      .filter((module) => !module.includes("/") && module !== "index")
      .map((module) => join(name, key.replace("*", module)))
  })
}

/**
 * A program that imports all of them.
 *
 * @param {ReadonlyArray<string>} modules
 */
const source = (modules) =>
  modules.map((name, index) => `import * as m${index} from ${JSON.stringify(name)}`).join("\n")

/** @type {Array<string>} */
const failures = []

const main = async () => {
  await step("build", () => must(["node", join(root, "scripts/build.mjs")]))
  /** @type {Map<string, string>} */
  let tarballs = new Map()
  await step("pack", async () => {
    tarballs = await packAll(folder)
  })
  const files = Object.fromEntries([...tarballs].map(([name, file]) => [name, `file:${file}`]))

  const nodeFolder = join(folder, "nodes")
  mkdirSync(nodeFolder)
  writeFileSync(join(nodeFolder, "package.json"), JSON.stringify({ private: true, dependencies: { node: oldest } }))

  /** @param {string} app */
  const install = async (app) => {
    cpSync(join(fixtures, app), join(folder, app), { recursive: true })
    cpSync(join(fixtures, "server.mjs"), join(folder, app, "server.mjs"))
    const file = join(folder, app, "package.json")
    const manifest = readJson(file)
    // The tarballs depend on one another by version; none of these versions needs to be published.
    writeFileSync(
      file,
      JSON.stringify(
        { ...manifest, dependencies: { ...manifest.dependencies, ...files }, overrides: files },
        undefined,
        2
      )
    )
    await must(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: join(folder, app) })
  }
  await Promise.all([
    step(`install Node ${oldest}`, () =>
      must(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: nodeFolder })
    ),
    step("install into the TypeScript application", () => install("ts-app")),
    step("install into the JavaScript application", () => install("js-app"))
  ])

  const names = [...tarballs.keys()]
  const imports = (await Promise.all(names.map((name) => specifiers(join(folder, "js-app"), name)))).flat()
  const count = `${imports.length} exports of ${names.length} packages`
  writeFileSync(join(folder, "ts-app", "exports.ts"), source(imports))
  writeFileSync(join(folder, "js-app", "exports.mjs"), source(imports.filter((name) => !needPeer.has(name))))

  const tsApp = join(folder, "ts-app")
  const tsc = join(tsApp, "node_modules", ".bin", "tsc")
  const flags = [
    "--ignoreConfig",
    "--pretty",
    "false",
    "--noEmit",
    "--strict",
    "--target",
    "ES2024",
    "--module",
    "NodeNext",
    "--types",
    "node",
    "--skipLibCheck"
  ]
  await step(`type check of the TypeScript application: ${count}, libraries included`, () =>
    must([tsc, "-p", "."], { cwd: tsApp })
  )
  for (const [file, name] of refused) {
    await step(`${file} does not compile, and the error names ${name}`, async () => {
      const { code, output } = await run([tsc, ...flags, file], { cwd: tsApp })
      if (code === 0) throw new Error(`${file} compiled`)
      const errors = output.split("\n").filter((line) => line.includes("error TS"))
      const [error = ""] = errors
      if (errors.length !== 1 || !error.startsWith(file) || !output.includes(name)) {
        throw new Error(`${file} was refused for another reason:\n${output}`)
      }
    })
  }

  for (const [version, place] of [
    [oldest, nodeFolder],
    [newest, root]
  ]) {
    const node = join(place, "node_modules", "node", "bin", "node")
    /** @type {ReadonlyArray<readonly [app: string, file: string, what: string]>} */
    const programs = [
      ["js-app", "exports.mjs", "all of them load without the optional peers, but those of databases"],
      ["ts-app", "out/main.js", "the TypeScript application heals"],
      ["js-app", "main.mjs", "the JavaScript application restarts and serves"]
    ]
    for (const [app, file, what] of programs) {
      await step(`Node ${version}: ${what}`, async () => {
        const { code, output } = await run([node, file], { cwd: join(folder, app) })
        if (code !== 0) throw new Error(`${app}/${file} on Node ${version} exited with ${code}\n${output}`)
      }).catch((error) => void failures.push(error.message))
    }
  }
}

try {
  await main()
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error))
} finally {
  if (process.argv.includes("--keep")) process.stdout.write(`kept in ${folder}\n`)
  else rmSync(folder, { recursive: true, force: true })
}
for (const failure of failures) process.stdout.write(`\n── failed ──\n${failure.trimEnd()}\n`)
process.stdout.write(failures.length === 0 ? "\nthe packages work as packed\n" : `\n${failures.length} failed\n`)
process.exitCode = failures.length === 0 ? 0 : 1
