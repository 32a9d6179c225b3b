/** A server that drains: not ready, but alive. Whoever watches it tells nobody, and retells what could not be told. */
import { once } from "node:events"
import { createServer } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

import { healthMonitor } from "@nexobot/core/promise"
import * as Readiness from "@nexobot/core/Readiness"
import * as Verdict from "@nexobot/core/Verdict"

const policy = Readiness.make({ grace: "10 seconds", drain: "5 seconds" })
let state = Readiness.ready(Readiness.starting(performance.now()), performance.now())
const server = createServer((request, response) => {
  const ask = request.url === "/readyz" ? Readiness.readiness : Readiness.liveness
  const { body, status } = ask(policy, state, performance.now())
  response.writeHead(status, { connection: "close" }).end(body)
}).listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())

const monitor = healthMonitor({ targets: { shop: {}, mail: {} }, fall: 1, readiness: { drain: "200 millis" } })
const check = async () => {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined)
  monitor.record("shop", answer?.ok ? Verdict.healthy : Verdict.unhealthy({ _tag: "Http/Unreachable" }))
}
/** @param {import("@nexobot/core/Alerts").Decision} decision */
const tell = ({ raise, resolve }) => {
  for (const { id, target } of raise) console.log(`  alert #${id} ${target}`)
  for (const { id, target, why } of resolve) console.log(`  resolved #${id} ${target}: ${why}`)
}

await check()
console.log(`shop is ${monitor.inspect("shop").status}; it is asked to end`)
state = Readiness.draining(state, performance.now())
monitor.draining("shop")
for (const path of ["/healthz", "/readyz"]) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`)
  console.log(`  ${path}: ${answer.status} ${await answer.text()}`)
}
server.close()
await check()
await monitor.decide(tell)
console.log("it is gone, and nobody was told; but it does not come back in time")
await sleep(250)
await check()
await monitor.decide(() => Promise.reject(new Error("no network"))).catch((error) => console.log(`  ${error.message}`))
await monitor.decide(tell)
monitor.stopped("shop")
await monitor.decide(tell)
