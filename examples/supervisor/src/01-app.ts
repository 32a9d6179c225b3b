/** A server whose program ends while it works: it says so, finishes what it has begun, closes its pool, and ends. */
import { createServer } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

import * as SupervisedApp from "@nexobot/process-supervisor/SupervisedApp"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"

const Pool = Layer.effectDiscard(Effect.acquireRelease(Effect.void, () => Console.log("  the pool is closed")))

// Built on top of the pool, and so released before it. Time for a balancer to see it.
const App = SupervisedApp.layer({ readinessDelay: "300 millis" }).pipe(Layer.provideMerge(Pool))

const ask = (port: number, path: string) =>
  Effect.promise(async () => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return `  ${path}: ${answer.status} ${await answer.text()}`
  }).pipe(Effect.flatMap(Console.log))

const program = Effect.gen(function* () {
  const app = yield* SupervisedApp.SupervisedApp
  const server = createServer(
    app.handler(async (_request, response) => {
      await sleep(600)
      response.end("the page")
    })
  )
  const { port } = yield* app.listen(server, { port: 0, host: "127.0.0.1" })
  yield* ask(port, "/readyz")
  yield* app.ready
  yield* ask(port, "/readyz")
  return port
})

const client = Effect.fnUntraced(function* (port: number) {
  const page = yield* Effect.forkChild(ask(port, "/page"))
  yield* Effect.sleep("100 millis")
  yield* ask(port, "/readyz")
  yield* Fiber.join(page)
})

// With `NodeRuntime.runMain` SIGTERM interrupts the program; here it ends by itself while a client asks.
const clients = await Effect.runPromise(
  Effect.gen(function* () {
    const port = yield* program
    yield* Console.log("it ends while somebody waits for a page")
    const asking = yield* Effect.forkDetach(client(port))
    yield* Effect.sleep("50 millis")
    return asking
  }).pipe(Effect.provide(App))
)
await Effect.runPromise(Fiber.join(clients))
console.log("it has ended")
