/**
 * Measures. `npm run bench -- [suite ...] [--json]`; all suites unless named. With `--json` the standard output has one
 * JSON object a line and nothing else.
 *
 * Each suite is bundled to JavaScript and runs in a process of its own: what users run is JavaScript, too, and Node's
 * type stripping takes some 40 MB, which a supervisor pays for with every fork.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"

import { build } from "tsup"

import { inBench } from "./paths.ts"
import { json, type Row, table } from "./report.ts"

const suites = Fs.readdirSync(inBench("suites"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -".ts".length))

const words = process.argv.slice(2)
const flags = words.filter((word) => word.startsWith("-"))
const names = words.filter((word) => !word.startsWith("-"))
const unknown = [...flags.filter((flag) => flag !== "--json"), ...names.filter((name) => !suites.includes(name))]

const outDir = inBench("../node_modules/.cache/bench")

const run = async (name: string): Promise<ReadonlyArray<Row>> => {
  await build({
    entry: { [name]: inBench(`suites/${name}.ts`) },
    outDir,
    config: false,
    silent: true,
    format: "esm",
    outExtension: () => ({ js: ".mjs" }),
    target: "node22",
    platform: "node",
    dts: false,
    noExternal: [/.*/],
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
  })
  const child = promisify(execFile)(process.execPath, [inBench("run-suite.mjs"), Path.join(outDir, `${name}.mjs`)], {
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
