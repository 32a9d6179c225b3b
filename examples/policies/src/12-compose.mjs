/** A real server that hangs once and then works: the attempt is given up, its socket closed, and the next one succeeds. */
import { once } from "node:events"
import { createServer } from "node:http"

import { bulkhead, circuitBreaker, compose, retry, timeout } from "@nexobot/core/promise"

let requests = 0
const server = createServer((request, response) => {
  requests += 1
  const number = requests
  if (number > 1) response.end("an answer")
  else request.socket.once("close", () => console.log("the server sees request 1 end"))
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())

const breaker = circuitBreaker({ name: "search" })
const guarded = compose({
  totalTimeout: timeout({ after: "2 seconds" }),
  retry: retry({ attempts: 3 }),
  bulkhead: bulkhead({ concurrency: 10 }),
  breaker,
  timeout: timeout({ after: "200 millis" })
})

const answer = await guarded.execute(async (signal) => {
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal })
  return response.text()
})
console.log(`${answer}, after ${requests} requests; circuit ${breaker.state()}`)
server.close()
