/**
 * Limits of memory: how soon is a child that grows past its limit told to end, and what does it cost to look at fifty
 * that have limits and do nothing?
 */
import { spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as ProcessIdentity from "../../packages/core/src/ProcessIdentity.ts"
import * as Sampler from "../../packages/process-supervisor/src/internal/sampler.ts"
import * as ResourceLimits from "../../packages/process-supervisor/src/ResourceLimits.ts"
import { median, percentile, type Row, row } from "../report.ts"

const suite = "supervisor"
const rounds = 12
const limit = 100 * 1_048_576
const sustain = 500
const apps = 50
/** Milliseconds over which the cost is measured, once all is at rest. */
const window = 10_000

/** Waits as long as it is told, grows by 5 MB at a time, holds what it has above the limit, and says at SIGTERM for how long it was there. */
const glutton = `
const taken = []
let crossed
const grow = () => {
  taken.push(Buffer.alloc(5 * 1048576, 1))
  if (process.memoryUsage.rss() <= ${limit}) return setTimeout(grow, 5)
  crossed = performance.now()
  setInterval(() => taken.length, 1000)
}
setTimeout(grow, Number(process.argv[1]))
process.on("SIGTERM", () => {
  console.log(performance.now() - crossed)
  process.exit()
})`

const started = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "ignore"] })),
    (child) =>
      Effect.sync(() => {
        if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
      })
  )

const identityOf = Effect.fnUntraced(function* (pid: number | undefined) {
  const identity = pid === undefined ? undefined : yield* ProcessIdentity.of(pid)
  return identity ?? (yield* Effect.die(new Error("the child did not start")))
})

/** Milliseconds from the first moment above the limit to SIGTERM. */
const breach = Effect.fnUntraced(function* (sampler: Sampler.Sampler, wait: number) {
  const child = yield* started(process.execPath, "-e", glutton, String(wait))
  const identity = yield* identityOf(child.pid)
  const limits = { memory: ResourceLimits.memory({ limit, sustain }), cpu: undefined }
  const end = sampler.watch("glutton", identity, limits, () =>
    Effect.runFork(ProcessIdentity.signal(identity, "SIGTERM"))
  )
  const said = yield* Effect.promise(async () => {
    let text = ""
    for await (const data of child.stdout) text += String(data)
    return text
  })
  end()
  return Number(said)
}, Effect.scoped)

const breaches = Effect.gen(function* () {
  const sampler = yield* Sampler.make()
  const samples: Array<number> = []
  for (let round = 0; round < rounds; round += 1) {
    // Crossed at another moment between two looks each time.
    samples.push(yield* breach(sampler, 1000 + (round * 1000) / rounds))
  }
  return samples
})

/** Percent of a core. */
const cost: Effect.Effect<number, unknown, Scope.Scope> = Effect.gen(function* () {
  const sampler = yield* Sampler.make()
  const limits = { memory: ResourceLimits.memory({ limit: "1 GB" }), cpu: ResourceLimits.cpu({ limit: 100 }) }
  for (let app = 0; app < apps; app += 1) {
    const child = yield* started("sleep", "1000000")
    sampler.watch(`app ${app}`, yield* identityOf(child.pid), limits, () => {})
  }
  yield* Effect.sleep("3 seconds")
  const [used, since] = [process.cpuUsage(), performance.now()]
  yield* Effect.promise(() => sleep(window))
  const { system, user } = process.cpuUsage(used)
  return ((system + user) / 1000 / (performance.now() - since)) * 100
})

export const run = async (): Promise<ReadonlyArray<Row>> => {
  const times = await Effect.runPromise(Effect.scoped(breaches))
  const target = { text: "≤ 1 s + window", holds: (value: number) => value <= 1000 + sustain }
  return [
    row({
      suite,
      name: "memory limit crossed → SIGTERM, window of 500 ms, median",
      value: median(times),
      unit: "ms",
      target
    }),
    row({ suite, name: "the same, slowest", value: percentile(times, 1), unit: "ms", target }),
    row({
      suite,
      name: "processor for looking at 50 idle apps with limits",
      value: await Effect.runPromise(Effect.scoped(cost)),
      unit: "% of a core",
      target: { text: "≤ 1 %", holds: (value) => value <= 1 }
    })
  ]
}
