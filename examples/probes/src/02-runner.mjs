/** A runner watches a cache and what needs it. The cache ends: it is suspected, then certain; what needs it is excused. */
import { once } from "node:events"
import { createServer } from "node:http"
import * as Net from "node:net"

import { HttpProbe, TcpProbe } from "@nexobot/probes"
import { startRunner } from "@nexobot/probes/promise"

/** @param {Net.Server} server */
const portOf = async (server) => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return /** @type {Net.AddressInfo} */ (server.address()).port
}
const cache = Net.createServer((socket) => socket.on("error", () => undefined).resume())
let cached = true
const api = createServer((_, response) => response.writeHead(cached ? 200 : 503).end())
const [cachePort, apiPort] = [await portOf(cache), await portOf(api)]

const how = { interval: 500, suspectInterval: 100 }
const runner = await startRunner({
  watch: [
    { ...how, probe: TcpProbe.make({ name: "cache", port: cachePort, timeout: 400 }) },
    {
      ...how,
      probe: HttpProbe.make({ name: "api", url: `http://127.0.0.1:${apiPort}/`, timeout: 400 }),
      dependsOn: ["cache"]
    }
  ]
})
for await (const { name, status, suppressedBy, verdict } of runner.results()) {
  const why = suppressedBy === undefined ? "" : `, because of ${suppressedBy}`
  console.log(`${name}: ${verdict._tag}, counts as ${status}${why}`)
  if (name === "api" && status === "Unhealthy") break
  if (cached && name === "api") {
    console.log("the cache ends")
    cached = false
    cache.close()
  }
}
await runner.stop()
api.close()
