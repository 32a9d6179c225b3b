/** A real server that answers 503 with Retry-After, then works; and a caller who leaves in the middle of a pause. */
import { once } from "node:events"
import { createServer } from "node:http"

import { retry } from "@nexobot/core/promise"
import * as RetryAfter from "@nexobot/core/RetryAfter"

let requests = 0
const server = createServer((_, response) => {
  requests++
  if (requests < 3) response.writeHead(503, { "retry-after": "0" }).end()
  else response.end("an answer")
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())

const policy = retry({
  attemptTimeout: "500 millis",
  totalTimeout: "2 seconds",
  retryAfter: (error, now) => (error instanceof Response ? RetryAfter.fromHeaders(error.headers, now) : undefined)
})

const answer = await policy.execute(async (signal, attempt) => {
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal })
  console.log(`attempt ${attempt}: ${response.status}`)
  if (!response.ok) throw response
  return response.text()
})
console.log(answer)
server.close()

// The pause would be an hour; the abort ends it at once.
const patient = retry({ retryAfter: () => "1 hour" })
const dead = () => Promise.reject(new Error("connection refused"))
await patient
  .execute(dead, { signal: AbortSignal.timeout(100) })
  .catch((/** @type {Error} */ error) => console.log(`left: ${error.name}`))
