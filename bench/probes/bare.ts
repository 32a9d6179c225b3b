/** The least that a check of a port can cost: connect and close, at a steady rate, with nothing around it. */
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

export interface Spent {
  readonly checks: number
  /** Microseconds of CPU, this process's and the kernel's for it. */
  readonly cpu: number
}

/** What is spent, and how much is done, while something runs. */
export const spending = async (run: () => Promise<void>, checks: () => number): Promise<Spent> => {
  const [cpuBefore, checksBefore] = [process.cpuUsage(), checks()]
  await run()
  const { system, user } = process.cpuUsage(cpuBefore)
  return { cpu: user + system, checks: checks() - checksBefore }
}

export const measure = (options: {
  readonly port: number
  readonly hosts: ReadonlyArray<string>
  readonly perSecond: number
  readonly seconds: number
  /** Milliseconds from one wake to the next: what is due in between comes together. */
  readonly slot: number
}): Promise<Spent> => {
  const { hosts, perSecond, port, seconds, slot } = options
  let started = 0
  let closed = 0
  const connect = (host: string) => {
    const socket = Net.connect({ host, port })
    socket.on("connect", () => socket.destroy())
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      closed += 1
    })
  }
  return spending(
    async () => {
      const began = performance.now()
      while (performance.now() - began < seconds * 1000) {
        const due = Math.floor(((performance.now() - began) / 1000) * perSecond)
        for (; started < due; started++) connect(hosts[started % hosts.length] ?? "")
        await sleep(slot)
      }
      // The last ones.
      await sleep(100)
    },
    () => closed
  )
}
