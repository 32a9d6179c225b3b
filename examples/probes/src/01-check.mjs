/** One check each: a page that answers, one that lost its route, and a port on which nobody listens. */
import { once } from "node:events"
import { createServer } from "node:http"

import { HttpProbe, TcpProbe } from "@nexobot/probes"
import { check } from "@nexobot/probes/promise"

const server = createServer(({ url }, response) => {
  response.writeHead(url === "/" ? 404 : 200).end(`the page ${url}`)
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address())
const page = `http://127.0.0.1:${port}`

const probes = [
  HttpProbe.make({ name: "login", url: `${page}/auth`, expectBody: /page/ }),
  HttpProbe.make({ name: "home", url: `${page}/`, alternatives: ["/auth"] }),
  TcpProbe.make({ name: "nobody", port: 1 })
]

for (const probe of probes) {
  const verdict = await check(probe, { signal: AbortSignal.timeout(5000) })
  if (verdict._tag === "Unhealthy") console.log(`${probe.name}: ${verdict.signature._tag}`, ...verdict.evidence)
  else console.log(`${probe.name}: ${verdict._tag}`)
}
server.close()
