/** The server that is killed in measurements, seen from outside. */
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

import { inBench } from "./paths.ts"

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = Net.createServer().on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** An ES module, the same in CommonJS, which starts in two thirds of the time, and one that tells that it lives. */
export type Kind = "gateway.mjs" | "gateway.cjs" | "heartbeat.mjs"

/** The arguments of Node. */
export const args = (kind: Kind, port: number): ReadonlyArray<string> => [inBench(`fixtures/${kind}`), String(port)]

/** The pid that answers on a port; `undefined` when nobody does. By a bare socket: who asks must not take the processor. */
const ask = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    let answer = ""
    const socket = Net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.0\r\n\r\n"))
    socket.setEncoding("latin1").setTimeout(250, () => socket.destroy())
    socket.on("data", (text: string) => (answer += text))
    socket.on("error", () => undefined)
    socket.on("close", () => resolve(answer.includes("\r\n\r\n") ? Number(answer.split("\r\n\r\n")[1]) : undefined))
  })

/** The pid, other than `than`, that answers within so many milliseconds. */
const other = async (port: number, than: number | undefined, within: number): Promise<number | undefined> => {
  const began = performance.now()
  while (performance.now() - began < within) {
    const pid = await ask(port)
    if (pid !== undefined && pid !== than) return pid
    await sleep(1)
  }
  return undefined
}

/** Waits until a process other than `than` answers. */
export const answering = async (port: number, than?: number): Promise<number> => {
  const pid = await other(port, than, 30_000)
  if (pid === undefined) throw new Error(`nobody answers on port ${port}`)
  return pid
}

/** Milliseconds from `kill -9` of whoever answers until somebody else does. */
export const killed = async (port: number): Promise<number> => {
  const pid = await answering(port)
  const began = performance.now()
  process.kill(pid, "SIGKILL")
  await answering(port, pid)
  return performance.now() - began
}

/** The same for SIGSTOP; `undefined` if nobody does in time, and then it goes on. */
export const stopped = async (port: number, within: number): Promise<number | undefined> => {
  const pid = await answering(port)
  const began = performance.now()
  process.kill(pid, "SIGSTOP")
  const healed = await other(port, pid, within)
  const took = performance.now() - began
  if (healed !== undefined) return took
  process.kill(pid, "SIGCONT")
  return undefined
}
