/**
 * How fast the output of a child gets into files that rotate, in each format, and how fast the least that Node can do
 * is: a pipe into a stream of a file that does not rotate.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import * as Effect from "effect/Effect"

import * as AppLog from "../../packages/process-supervisor/src/internal/logs/appLog.ts"
import * as ProcessLog from "../../packages/process-supervisor/src/ProcessLog.ts"
import { median, type Row, row } from "../report.ts"

const suite = "supervisor"
const peer = "pipe to fs.createWriteStream, no rotation"
const rounds = 3
const bytes = 300_000_000

/** Lines of 100 bytes, as many as make `bytes`; the child has nothing to do but to write them. */
const makeInput = (path: string): void => {
  const line = `${"GET /api/v2/orders?page=2 200 12ms user=4711 ".repeat(3).slice(0, 99)}\n`
  Fs.writeFileSync(path, line.repeat(bytes / 100))
}

const talking = (input: string) => spawn("cat", [input], { stdio: ["ignore", "pipe", "ignore"] })

const throughput = (since: number): number => bytes / 1e6 / ((performance.now() - since) / 1000)

const logged = (folder: string, options: Partial<ProcessLog.LogOptions>): Promise<number> => {
  const settings = ProcessLog.make({ file: Path.join(folder, "app.log"), whenFull: "block", ...options })
  const run = Effect.gen(function* () {
    const log = yield* AppLog.make("app", settings)
    const since = performance.now()
    yield* log.attach({ stdout: talking(Path.join(folder, "input")).stdout, stderr: null }).drained
    yield* log.settled
    const figure = throughput(since)
    const { dropped, written } = log.stats()
    if (written.bytes !== bytes || dropped.bytes > 0) throw new Error("not all of it was written")
    return figure
  })
  return Effect.runPromise(Effect.scoped(run))
}

const bare = async (folder: string): Promise<number> => {
  const since = performance.now()
  const file = Fs.createWriteStream(Path.join(folder, "app.log"))
  await new Promise<void>((resolve, reject) => {
    talking(Path.join(folder, "input")).stdout.pipe(file).on("finish", resolve).on("error", reject)
  })
  return throughput(since)
}

const cases: ReadonlyArray<readonly [string, Partial<ProcessLog.LogOptions>]> = [
  ["raw", { rotate: { gzip: false } }],
  ["raw, old files compressed meanwhile", {}],
  ["prefixed", { format: "prefixed", rotate: { gzip: false } }],
  ["json", { format: "json", rotate: { gzip: false } }]
]

const tidy = (folder: string): void => {
  for (const name of Fs.readdirSync(folder)) if (name !== "input") Fs.rmSync(Path.join(folder, name))
}

export const run = async (): Promise<ReadonlyArray<Row>> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexo-bench-log-"))
  try {
    makeInput(Path.join(folder, "input"))
    const samples = new Map<string, Array<number>>([peer, ...cases.map(([name]) => name)].map((name) => [name, []]))
    // Interleaved, so that whatever else the machine does meets all of them.
    for (let round = 0; round < rounds; round += 1) {
      samples.get(peer)?.push(await bare(folder))
      tidy(folder)
      for (const [name, options] of cases) {
        samples.get(name)?.push(await logged(folder, options))
        tidy(folder)
      }
    }
    const peerValue = median(samples.get(peer) ?? [])
    return cases.map(([name]) =>
      row({
        suite,
        name: `log throughput with rotation at 50 MB, ${name}, median`,
        value: median(samples.get(name) ?? []),
        unit: "MB/s",
        peer,
        peerValue,
        ...(name === "raw" ? { target: { text: "≥ 100 MB/s", holds: (value: number) => value >= 100 } } : {})
      })
    )
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}
