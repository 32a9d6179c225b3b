/** The process that is killed in measurements, seen from outside. */
import * as Http from "node:http"
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

import { inBench } from "./paths.ts"

export const script = inBench("fixtures/gateway.mjs")

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = Net.createServer().on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** The pid that answers on a port; `undefined` when nobody does. */
const ask = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const request = Http.get({ port, host: "127.0.0.1", agent: false, timeout: 1000 }, (response) => {
      let body = ""
      response.setEncoding("utf8")
      response.on("data", (text: string) => (body += text))
      response.on("end", () => resolve(Number(body)))
      response.on("error", () => resolve(undefined))
    })
    request.on("timeout", () => request.destroy())
    request.on("error", () => resolve(undefined))
  })

/** Waits until a process other than `than` answers. */
export const answering = async (port: number, than?: number): Promise<number> => {
  const end = performance.now() + 30_000
  while (performance.now() < end) {
    const pid = await ask(port)
    if (pid !== undefined && pid !== than) return pid
    await sleep(2)
  }
  throw new Error(`nobody answers on port ${port}`)
}

/** Milliseconds from a kill to the answer of its successor. */
export const killToAnswer = async (port: number): Promise<number> => {
  const pid = await answering(port)
  // Out of its start: neither side is to be measured while it still works off the one before.
  await sleep(150)
  const began = performance.now()
  process.kill(pid, "SIGKILL")
  await answering(port, pid)
  return performance.now() - began
}
