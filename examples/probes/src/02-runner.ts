/** A runner watches a cache and what needs it. The cache ends: it is suspected, then certain; what needs it is excused. */
import { once } from "node:events"
import { createServer } from "node:http"
import * as Net from "node:net"

import { HttpProbe, Runner, TcpProbe } from "@nexobot/probes"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const portOf = async (server: Net.Server) => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}
const cache = Net.createServer((socket) => socket.on("error", () => undefined).resume())
let cached = true
const api = createServer((_, response) => response.writeHead(cached ? 200 : 503).end())
const [cachePort, apiPort] = [await portOf(cache), await portOf(api)]

const how = { interval: "500 millis", suspectInterval: "100 millis" } as const
const program = Effect.gen(function* () {
  const runner = yield* Runner.make({
    watch: [
      { ...how, probe: TcpProbe.make({ name: "cache", port: cachePort, timeout: "400 millis" }) },
      {
        ...how,
        probe: HttpProbe.make({ name: "api", url: `http://127.0.0.1:${apiPort}/`, timeout: "400 millis" }),
        dependsOn: ["cache"]
      }
    ]
  })
  yield* runner.results.pipe(
    Stream.tap(({ name, status, suppressedBy, verdict }) => {
      const why = suppressedBy === undefined ? "" : `, because of ${suppressedBy}`
      return Console.log(`${name}: ${verdict._tag}, counts as ${status}${why}`)
    }),
    Stream.tap(({ name }) =>
      Effect.sync(() => {
        if (!cached || name !== "api") return
        console.log("the cache ends")
        cached = false
        cache.close()
      })
    ),
    Stream.takeUntil(({ name, status }) => name === "api" && status === "Unhealthy"),
    Stream.runDrain
  )
})

await Effect.runPromise(Effect.scoped(program))
api.close()
