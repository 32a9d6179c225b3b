/** A server that is asked to end while it works: it says so, finishes what it has begun, closes its pool, and ends. */
import { createServer } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

import { supervised } from "@nexobot/process-supervisor/app"

const pool = { end: async () => console.log("  the pool is closed") }
const app = supervised({
  close: [pool],
  // Time for a balancer to see it.
  readinessDelay: "300 millis",
  onDrained: ({ cut, exitCode, reason }) => console.log(`${reason}: ${cut} connections cut off, exit code ${exitCode}`)
})
const server = createServer(
  app.handler(async (_request, response) => {
    await sleep(600)
    response.end("the page")
  })
)
const { port } = await app.listen(server, { port: 0, host: "127.0.0.1" })

/** @param {string} path */
const ask = async (path) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`)
  console.log(`  ${path}: ${answer.status} ${await answer.text()}`)
}

await ask("/readyz")
app.ready()
await ask("/readyz")

console.log("it is asked to end while somebody waits for a page")
const page = ask("/page")
await sleep(50)
process.kill(process.pid, "SIGTERM")
await sleep(50)
await ask("/readyz")
await ask("/healthz")
await page
