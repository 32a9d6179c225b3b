/**
 * Measures. `npm run bench -- [suite ...] [--json]`; all suites unless named. With `--json` the standard output has one
 * JSON object a line and nothing else.
 *
 * Each suite is bundled to JavaScript and runs in a process of its own.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import { promisify } from "node:util"

import { bundle } from "./bundle.ts"
import { inBench } from "./paths.ts"
import { json, type Row, table } from "./report.ts"

const suites = Fs.readdirSync(inBench("suites"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length))

const words = process.argv.slice(2)
const flags = words.filter((word) => word.startsWith("-"))
const names = words.filter((word) => !word.startsWith("-"))
const unknown = [...flags.filter((flag) => flag !== "--json"), ...names.filter((name) => !suites.includes(name))]

const run = async (name: string): Promise<ReadonlyArray<Row>> => {
  const child = promisify(execFile)(process.execPath, [inBench("run-suite.mjs"), await bundle(`suites/${name}.ts`)], {
    env: { ...process.env, BENCH_FOLDER: new URL("./", import.meta.url).href }
  })
  child.child.stderr?.pipe(process.stderr)
  return JSON.parse((await child).stdout)
}

if (unknown.length > 0) {
  process.stderr.write(`bench: no such suite or option: ${unknown.join(", ")}\n`)
  process.stderr.write(`suites: ${suites.join(", ")}; option: --json\n`)
  process.exitCode = 1
} else {
  for (const name of names.length === 0 ? suites : names) {
    const rows = await run(name)
    process.stdout.write(flags.includes("--json") ? json(rows) : table(rows))
    if (rows.some((row) => row.ok === false)) process.stderr.write(`bench: ${name} missed a target\n`)
  }
}
