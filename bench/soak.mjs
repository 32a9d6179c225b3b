/**
 * Restarts programs thousands of times and fails when the supervisor keeps anything of them: memory, handles, open files,
 * processes. `npm run soak -- [--restarts 10000]`
 */
import { execFile } from "node:child_process"
import { parseArgs, promisify } from "node:util"

import { bundle } from "./bundle.ts"

const { values } = parseArgs({ options: { restarts: { type: "string", default: "10000" } } })
const restarts = Number(values.restarts)
if (!Number.isInteger(restarts) || restarts < 100) {
  process.stderr.write("soak: --restarts takes a whole number of at least 100\n")
  process.exit(2)
}

/**
 * Most that may be held at the end, as a multiple of what was held after a tenth of the restarts. Resident memory is not
 * judged: V8's pages become more with nothing but node:child_process, too (docs/supervisor/measured.md), so that only what
 * lives in them counts. `native` is what is resident outside of them.
 */
const most = { native: 1.3, heap: 1.25, handles: 1, files: 1, processes: 1 }

const began = performance.now()
const { stdout } = await promisify(execFile)(process.execPath, [
  "--expose-gc",
  await bundle("fixtures/soak.ts"),
  String(restarts)
])
const reports = stdout
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line))
console.table(reports)

const first = reports[0]
const last = reports.at(-1)
const grown = Object.entries(most).filter(([what, factor]) => last[what] > first[what] * factor)
for (const [what, factor] of grown) {
  process.stderr.write(`soak: ${what} grew from ${first[what]} to ${last[what]}, by more than ${factor} times\n`)
}
process.stdout.write(`${last.restarts} restarts in ${((performance.now() - began) / 1000).toFixed(1)} s\n`)
process.exitCode = grown.length === 0 ? 0 : 1
