/** One check each: a page that answers, one that lost its route, and a port on which nobody listens. */
import { once } from "node:events"
import { createServer } from "node:http"

import type * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import { HttpProbe, TcpProbe } from "@nexobot/probes"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const server = createServer(({ url }, response) => {
  response.writeHead(url === "/" ? 404 : 200).end(`the page ${url}`)
})
server.listen(0, "127.0.0.1")
await once(server, "listening")
const address = server.address()
const port = typeof address === "object" && address !== null ? address.port : 0
const page = `http://127.0.0.1:${port}`

// Their signatures differ; here it is enough that they have one.
const probes: ReadonlyArray<Probe.Probe<Verdict.Signature>> = [
  HttpProbe.make({ name: "login", url: `${page}/auth`, expectBody: /page/ }),
  HttpProbe.make({ name: "home", url: `${page}/`, alternatives: ["/auth"] }),
  TcpProbe.make({ name: "nobody", port: 1 })
]

const program = Effect.forEach(probes, (probe) =>
  Effect.flatMap(probe.check, (verdict) =>
    verdict._tag === "Unhealthy"
      ? Console.log(`${probe.name}: ${verdict.signature._tag}`, ...verdict.evidence)
      : Console.log(`${probe.name}: ${verdict._tag}`)
  )
)

await Effect.runPromise(program)
server.close()
