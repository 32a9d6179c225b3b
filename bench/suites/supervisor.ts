/**
 * Our supervisor beside PM2, supervisord and runit, each in processes of its own, all driven and seen from outside by the
 * same means. `bare` is what any supervisor written in Node must take at least: the kernel takes its time to take a
 * server apart (a dozen threads, 45 MB), and to fork.
 */
import * as Gateway from "../gateway.ts"
import * as Pm2 from "../pm2.ts"
import { median, percentile, type Row, row } from "../report.ts"
import * as Answer from "../supervisor/answer.ts"
import * as Bare from "../supervisor/bare.ts"
import * as Idle from "../supervisor/idle.ts"
import * as Limits from "../supervisor/limits.ts"
import * as LogThroughput from "../supervisor/logThroughput.ts"
import * as Ours from "../supervisor/ours.ts"
import * as Respawn from "../supervisor/respawn.ts"
import * as Runit from "../supervisor/runit.ts"
import * as Supervisord from "../supervisor/supervisord.ts"

const suite = "supervisor"

/** As many kills as a 99th percentile needs. */
const kills = 100

const worst = (samples: ReadonlyArray<number>): number => Math.max(...samples)
const most = (limit: number, unit: string) => ({ text: `≤ ${limit} ${unit}`, holds: (value: number) => value <= limit })

/** One row for each peer that was measured, and one without a peer if none was. */
const beside = (
  name: string,
  samples: Answer.Samples,
  figure: (samples: ReadonlyArray<number>) => number,
  targets: Readonly<Record<string, { text: string; holds: (value: number, peer: number) => boolean }>>
): ReadonlyArray<Row> => {
  const value = figure(samples.get(Ours.name) ?? [])
  const peers = [...samples].filter(([peer]) => peer !== Ours.name)
  return peers.map(([peer, theirs]) => {
    const peerValue = figure(theirs)
    const target = targets[peer]
    return row({
      suite,
      name,
      value,
      unit: "ms",
      peer,
      peerValue,
      ...(target === undefined ? {} : { target: { text: target.text, holds: () => target.holds(value, peerValue) } })
    })
  })
}

const versus = {
  runit: { text: "≤ runit + 10 ms", holds: (value: number, peer: number) => value <= peer + 10 },
  [Pm2.name]: { text: "≤ 0.6 × pm2", holds: (value: number, peer: number) => value <= 0.6 * peer }
}

const respawn = async (what: Respawn.Case): Promise<ReadonlyArray<Row>> => {
  const ours = await Respawn.measure(Ours.start, what, kills)
  const bare = await Respawn.measure(Bare.start, what, kills)
  return [
    { share: 0.5, label: "p50", limit: 5 },
    { share: 0.99, label: "p99", limit: 25 }
  ].map(({ label, limit, share }) =>
    row({
      suite,
      name: `kill -9 of ${what.what} to replacement executing, ${label}`,
      value: percentile(ours, share),
      unit: "ms",
      peer: Bare.name,
      peerValue: percentile(bare, share),
      target: most(limit, "ms")
    })
  )
}

const respawns = async (): Promise<ReadonlyArray<Row>> => {
  const port = await Gateway.freePort()
  return [
    ...(await respawn({
      what: "/bin/sleep",
      command: "/bin/sleep",
      args: ["1000000"],
      settled: () => Promise.resolve()
    })),
    ...(await respawn({
      what: "Node HTTP server",
      command: process.execPath,
      args: Gateway.args("gateway.mjs", port),
      settled: () => Gateway.answering(port)
    }))
  ]
}

const answers = async (): Promise<ReadonlyArray<Row>> => {
  const all = [Ours.start, Bare.start, Runit.start, Pm2.start, Supervisord.start]
  const inARow = [Ours.start, Runit.start, Pm2.start]
  return [
    ...beside("kill -9 to port answering, ES module", await Answer.killed(all, "gateway.mjs", 11), median, versus),
    ...beside("kill -9 to port answering, CommonJS", await Answer.killed(all, "gateway.cjs", 11), median, versus),
    ...beside("kill -9 five times in a row to port answering, worst", await Answer.killedInARow(inARow), worst, versus)
  ]
}

const hangs = async (): Promise<ReadonlyArray<Row>> => {
  const within = 8000
  const samples = await Answer.stopped([Ours.start, Pm2.start, Runit.start, Supervisord.start], within)
  const ours = samples.get(Ours.name) ?? []
  const never = [...samples].filter(([peer, theirs]) => peer !== Ours.name && theirs.length === 0).map(([peer]) => peer)
  return [
    row({
      suite,
      name: "SIGSTOP to port answering, heartbeat within 3 s, worst",
      value: ours.length === 0 ? within : worst(ours),
      unit: "ms",
      peer: `${never.join(", ")} (not in ${within / 1000} s)`,
      target: most(4000, "ms")
    })
  ]
}

const idle = async (): Promise<ReadonlyArray<Row>> => {
  const costs = await Idle.measure([Ours.start, Ours.startEffect, Pm2.start, Supervisord.start, Runit.start], {
    count: 50,
    wait: 4000,
    window: 10_000
  })
  const [ours, ...others] = costs
  if (ours === undefined) return []
  const figures = [
    { what: "memory", unit: "MB", limit: 80, of: (cost: Idle.Cost) => cost.memory / 1e6 },
    { what: "processor", unit: "%", limit: 1, of: (cost: Idle.Cost) => cost.cpu }
  ]
  return figures.flatMap(({ limit, of, unit, what }) =>
    others.map((other) =>
      row({
        suite,
        name: `${what} with 50 idle apps`,
        value: of(ours),
        unit,
        peer: other.name,
        peerValue: of(other),
        target: most(limit, unit)
      })
    )
  )
}

const parts = { respawns, answers, hangs, idle, limits: Limits.run, logs: LogThroughput.run }

export const run = async (): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const [name, part] of Object.entries(parts)) {
    process.stderr.write(`bench: ${suite}, ${name}\n`)
    rows.push(...(await part()))
  }
  return rows
}
