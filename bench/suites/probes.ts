/**
 * What a runner costs, and whether it keeps its schedule: 10,000 TCP probes with as many targets, beside as many bare
 * connections a second in the same process; how soon the first verdicts are there; and what it costs when there is little
 * to do.
 */
import { setTimeout as sleep } from "node:timers/promises"

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Grid from "../../packages/probes/src/internal/grid.ts"
import * as Runner from "../../packages/probes/src/Runner.ts"
import * as TcpProbe from "../../packages/probes/src/TcpProbe.ts"
import * as Bare from "../probes/bare.ts"
import * as Listener from "../probes/listener.ts"
import { percentile, type Row, row } from "../report.ts"

const suite = "probes"
const many = 10_000
const interval = 5
const perSecond = many / interval

interface Watching {
  readonly lags: Array<number>
  readonly verdicts: Map<string, number>
  readonly count: () => number
  readonly close: () => Promise<void>
}

const watch = async (port: number, count: number, every: Duration.Input): Promise<Watching> => {
  const watched = Array.from({ length: count }, (_, index) => ({
    probe: TcpProbe.make({ name: `tcp ${index}`, host: Listener.addressOf(index), port }),
    interval: every
  }))
  const scope = Scope.makeUnsafe()
  const runner = await Effect.runPromise(Scope.provide(Runner.make({ watch: watched }), scope))
  const lags: Array<number> = []
  const verdicts = new Map<string, number>()
  let seen = 0
  const follow = Stream.runForEachArray(runner.results, (results) =>
    Effect.sync(() => {
      seen += results.length
      for (const { lag, verdict } of results) {
        lags.push(Duration.toMillis(lag))
        verdicts.set(verdict._tag, (verdicts.get(verdict._tag) ?? 0) + 1)
      }
    })
  )
  const following = Effect.runPromise(follow)
  return {
    lags,
    verdicts,
    count: () => seen,
    close: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await following
    }
  }
}

/** What is measured is checks that succeed: with others among them, no promise is kept. */
const rowOf = ({ verdicts }: Watching, options: Omit<Parameters<typeof row>[0], "suite">): Row => {
  const bad = [...verdicts].filter(([verdict]) => verdict !== "Healthy")
  if (bad.length === 0 && verdicts.size > 0) return row({ suite, ...options })
  process.stderr.write(`bench: probes: ${JSON.stringify(bad)} were not healthy\n`)
  const text = `${options.target?.text ?? "no target"}, all healthy`
  return row({ suite, ...options, target: { text, holds: () => false } })
}

const measureStart = async (port: number): Promise<Row> => {
  const count = 1000
  const began = performance.now()
  const watching = await watch(port, count, "60 seconds")
  while (watching.count() < count && performance.now() - began < 20_000) await sleep(2)
  const value = (performance.now() - began) / 1000
  await watching.close()
  return rowOf(watching, {
    name: "start to first verdict of 1,000 probes, all of them",
    value,
    unit: "s",
    target: { text: "≤ 2 s", holds: (seconds) => seconds <= 2 }
  })
}

const measureIdle = async (port: number): Promise<Row> => {
  const seconds = 10
  const watching = await watch(port, 100, `${interval} seconds`)
  await sleep(interval * 1000)
  const { cpu } = await Bare.spending(() => sleep(seconds * 1000), watching.count)
  await watching.close()
  return rowOf(watching, {
    name: "CPU with 100 probes at 5 s",
    value: cpu / seconds / 10_000,
    unit: "%",
    target: { text: "≤ 0.5 %", holds: (share) => share <= 0.5 }
  })
}

const measureMany = async (port: number): Promise<ReadonlyArray<Row>> => {
  const hosts = Array.from({ length: many }, (_, index) => Listener.addressOf(index))
  // As many in one wake as the runner.
  const slot = Grid.slotOf(hosts.map(() => interval * 1000))
  // Before and after, as the machine may have something else to do in between.
  const before = await Bare.measure({ port, hosts, perSecond, seconds: 5, slot })
  const watching = await watch(port, many, `${interval} seconds`)
  await sleep(1.5 * interval * 1000)
  watching.lags.length = 0
  let rss = 0
  const sampler = setInterval(() => (rss = Math.max(rss, process.memoryUsage.rss())), 250)
  const ours = await Bare.spending(() => sleep(3 * interval * 1000), watching.count)
  clearInterval(sampler)
  await watching.close()
  const after = await Bare.measure({ port, hosts, perSecond, seconds: 5, slot })
  return [
    rowOf(watching, {
      name: "10,000 TCP probes at 5 s, lag behind schedule, p99",
      value: percentile(watching.lags, 0.99),
      unit: "ms",
      target: { text: "p99 ≤ 100 ms", holds: (lag) => lag <= 100 }
    }),
    rowOf(watching, {
      name: "10,000 TCP probes at 5 s, memory",
      value: rss / 2 ** 20,
      unit: "MB",
      target: { text: "RSS ≤ 300 MB", holds: (size) => size <= 300 }
    }),
    rowOf(watching, {
      name: "10,000 TCP probes at 5 s, checks",
      value: ours.checks / (3 * interval),
      unit: "/s",
      target: { text: `${perSecond} ± 2 %`, holds: (rate) => Math.abs(rate / perSecond - 1) <= 0.02 }
    }),
    rowOf(watching, {
      name: "10,000 TCP probes at 5 s, CPU",
      value: ours.cpu / ours.checks,
      unit: "µs/check",
      peer: "connect and close",
      peerValue: (before.cpu + after.cpu) / (before.checks + after.checks),
      target: { text: "≤ 2 × peer", holds: (_, ratio) => (ratio === null ? null : ratio <= 2) }
    })
  ]
}

export const run = async (): Promise<ReadonlyArray<Row>> => {
  await using listener = await Listener.start(many)
  const { port } = listener
  return [await measureStart(port), await measureIdle(port), ...(await measureMany(port))]
}
