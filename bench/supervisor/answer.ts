/**
 * `kill -9` of a supervised server until its port answers again, and SIGSTOP likewise. Every supervisor runs at the same
 * time, and they are asked in turns, so that whatever else the machine does meets all of them.
 */
import { setTimeout as sleep } from "node:timers/promises"

import * as Gateway from "../gateway.ts"
import type { Peer, Start } from "./peer.ts"

interface Running {
  readonly peer: Peer
  readonly port: number
}

/** Milliseconds by the supervisor's name. */
export type Samples = ReadonlyMap<string, ReadonlyArray<number>>

const withAll = async <A>(
  starts: ReadonlyArray<Start>,
  kind: Gateway.Kind,
  use: (running: ReadonlyArray<Running>) => Promise<A>
): Promise<A> => {
  await using stack = new AsyncDisposableStack()
  const started = starts.map(async (start): Promise<ReadonlyArray<Running>> => {
    const port = await Gateway.freePort()
    const args = Gateway.args(kind, port)
    const program = { name: "gateway", command: process.execPath, args, heartbeat: kind === "heartbeat.mjs" }
    const peer = await start([program])
    if (peer === undefined) return []
    stack.use(peer)
    await Gateway.answering(port)
    return [{ peer, port }]
  })
  const running = (await Promise.all(started)).flat()
  return await use(running)
}

/** Out of its start: nobody is to be measured while it still works off the one before; runit waits within a second. */
const rest = async ({ peer, port }: Running, since: number | undefined): Promise<void> => {
  await Gateway.answering(port)
  const ran = since === undefined ? 0 : performance.now() - since
  await sleep(peer.name === "runit" ? Math.max(150, 1100 - ran) : 150)
}

/** The first round only warms up. */
export const killed = (starts: ReadonlyArray<Start>, kind: Gateway.Kind, rounds: number): Promise<Samples> =>
  withAll(starts, kind, async (running) => {
    const samples = new Map(running.map(({ peer }) => [peer.name, new Array<number>()]))
    const healed = new Map<string, number>()
    for (let round = 0; round <= rounds; round += 1) {
      for (const one of running) {
        const { name } = one.peer
        // Its steps are whole seconds: a few show them.
        if (name === "supervisord" && round > 3) continue
        await rest(one, healed.get(name))
        const sample = await Gateway.killed(one.port)
        healed.set(name, performance.now())
        if (round > 0) samples.get(name)?.push(sample)
      }
    }
    return samples
  })

/** Five kills, each as soon as the one before is healed. */
export const killedInARow = (starts: ReadonlyArray<Start>): Promise<Samples> =>
  withAll(starts, "gateway.mjs", async (running) => {
    const samples = new Map<string, Array<number>>()
    for (const one of running) {
      await rest(one, undefined)
      const row: Array<number> = []
      for (let kill = 0; kill < 5; kill += 1) row.push(await Gateway.killed(one.port))
      samples.set(one.peer.name, row)
    }
    return samples
  })

/** SIGSTOP three times, at all of them at once; nothing more is asked of one that was not healed in time. */
export const stopped = (starts: ReadonlyArray<Start>, within: number): Promise<Samples> =>
  withAll(starts, "heartbeat.mjs", async (running) => {
    const samples = new Map<string, ReadonlyArray<number>>()
    await Promise.all(
      running.map(async ({ peer, port }) => {
        const healed: Array<number> = []
        for (let round = 0; round < 3; round += 1) {
          // Not in step with its heartbeat.
          await sleep(1300 + 170 * round)
          const took = await Gateway.stopped(port, within)
          if (took === undefined) break
          healed.push(took)
        }
        samples.set(peer.name, healed)
      })
    )
    return samples
  })
