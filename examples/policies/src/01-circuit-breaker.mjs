/** A server that fails, then works: the circuit of its host opens, refuses calls at once, and one trial closes it. */
import { once } from "node:events"
import { createServer } from "node:http"
import { setTimeout } from "node:timers/promises"

import * as Backoff from "@nexobot/core/Backoff"
import { circuitBreaker } from "@nexobot/core/promise"

let alive = false
let requests = 0
const server = createServer((_, response) => {
  requests++
  response.writeHead(alive ? 200 : 500).end("an answer")
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())

const breaker = circuitBreaker({ consecutive: { failures: 3 }, open: Backoff.constant("200 millis") })
breaker.onTransition(({ from, key, to, why }) => console.log(`  ${key}: ${from} > ${to}: ${why}`))
const api = breaker.circuit("api")

const call = () =>
  api
    .execute(async (signal) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, { signal })
      const text = await response.text()
      if (!response.ok) throw new Error(`status ${response.status}`)
      return text
    })
    .catch((/** @type {Error} */ error) => error.message)

for (let i = 0; i < 5; i++) console.log(await call())
console.log(`${requests} of 5 calls reached the server`)

alive = true
await setTimeout(250)
console.log(await call())
console.log(await call())
server.close()
server.closeAllConnections()
