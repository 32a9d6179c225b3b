/** What a supervisor with many programs costs while nothing happens. */
import { setTimeout as sleep } from "node:timers/promises"

import type { Peer, Start } from "./peer.ts"
import * as Processes from "./processes.ts"

export interface Cost {
  readonly name: string
  /** Bytes that its own processes have in memory. */
  readonly memory: number
  /** Percent of a processor. */
  readonly cpu: number
}

const programs = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `idle-${index}`, command: "/bin/sleep", args: ["1000000"] }))

/** Itself and its helpers, without what it supervises. */
const own = (pid: number): ReadonlyArray<Processes.Process> =>
  Processes.family(pid).filter(({ command }) => command !== "sleep")

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, one) => total + one, 0)

const cpu = (pid: number): number => sum(own(pid).map((one) => one.cpu))

const settled = async (pid: number, count: number): Promise<void> => {
  const until = performance.now() + 60_000
  while (Processes.family(pid).filter(({ command }) => command === "sleep").length < count) {
    if (performance.now() > until) throw new Error("not all of the programs were started")
    await sleep(100)
  }
}

/** All at the same time: `wait` milliseconds after their start, over `window` milliseconds. */
export const measure = async (
  starts: ReadonlyArray<Start>,
  options: { readonly count: number; readonly wait: number; readonly window: number }
): Promise<ReadonlyArray<Cost>> => {
  await using stack = new AsyncDisposableStack()
  const started = starts.map(async (start): Promise<ReadonlyArray<Peer>> => {
    const peer = await start(programs(options.count))
    if (peer === undefined) return []
    stack.use(peer)
    await settled(peer.pid, options.count)
    return [peer]
  })
  const peers = (await Promise.all(started)).flat()
  await sleep(options.wait)
  const before = peers.map(({ pid }) => cpu(pid))
  const began = performance.now()
  await sleep(options.window)
  return peers.map(({ name, pid }, index) => ({
    name,
    memory: sum(own(pid).map((one) => one.memory)),
    cpu: ((cpu(pid) - (before[index] ?? 0)) / (performance.now() - began)) * 100
  }))
}
