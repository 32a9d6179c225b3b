/** A new version takes the place of the old one while somebody asks without a pause; a broken one does not. */
import { once } from "node:events"
import * as Fs from "node:fs"
import { Agent, get, type IncomingMessage } from "node:http"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

import { ProcessSpec, Supervisor } from "@nexobot/process-supervisor"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "example-reload-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

const freePort = Effect.promise(async () => {
  const free = Net.createServer().listen(0, "127.0.0.1")
  await once(free, "listening")
  const address = free.address()
  free.close()
  return typeof address === "object" && address !== null ? address.port : 0
})

const agent = new Agent({ keepAlive: true })
const ask = (port: number) =>
  Effect.promise(async () => {
    const [response] = (await once(get({ port, agent, host: "127.0.0.1" }), "response")) as [IncomingMessage]
    return text(response)
  })

const program = Effect.gen(function* () {
  const file = join(yield* folder, "version")
  const write = (version: string) => Effect.sync(() => Fs.writeFileSync(file, version))
  yield* write("version 1")
  const port = yield* freePort
  const web = ProcessSpec.make({
    name: "web",
    command: process.execPath,
    args: [fileURLToPath(new URL("server.mjs", import.meta.url)), file],
    port,
    ready: "notify"
  })
  yield* Effect.gen(function* () {
    const supervisor = yield* Supervisor.Supervisor
    const answers = new Set<string>()
    let asking = true
    const client = yield* Effect.forkChild(
      Effect.repeat(
        Effect.map(ask(port), (version) => answers.add(version)),
        { while: () => asking }
      )
    )
    yield* write("version 2")
    yield* supervisor.reload("web")
    yield* Console.log("reloaded")
    yield* write("broken")
    yield* supervisor.reload("web").pipe(Effect.catch((error) => Console.log(`not reloaded: ${error.message}`)))
    asking = false
    yield* Fiber.join(client)
    const { restarts, state } = yield* supervisor.status("web")
    yield* Console.log(
      `no request was lost: ${[...answers].join(", then ")}; it is ${state}, with ${restarts} restarts`
    )
  }).pipe(Effect.provide(Supervisor.layer([web])))
})

await Effect.runPromise(Effect.scoped(program))
agent.destroy()
