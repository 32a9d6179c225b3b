import * as Http from "node:http"
import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import { refusal } from "../../testing/src/Expect.ts"
import * as SupervisedApp from "../src/SupervisedApp.ts"
import { ask } from "./fixtures/app/support.ts"

const status = (port: number, path: string) => Effect.promise(() => ask(port, path).then((answer) => answer.status))

const serving = Effect.fnUntraced(function* (options: SupervisedApp.SupervisedAppOptions) {
  const scope = yield* Scope.make()
  const app = Context.get(
    yield* Scope.provide(Layer.build(SupervisedApp.layer(options)), scope),
    SupervisedApp.SupervisedApp
  )
  const held: Array<() => void> = []
  const server = Http.createServer(
    app.handler((request, response) => {
      if (request.url === "/held") held.push(() => response.end("late"))
      else response.end("ok")
    })
  )
  const { port } = yield* app.listen(server, { port: 0, host: "127.0.0.1" })
  return { app, port, held, scope }
})

/** Real events need real time to come, whatever clock the test has. */
const turns = Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve))))

describe("SupervisedApp", () => {
  it.live("the release of the scope is the drain: requests under way are answered", () =>
    Effect.gen(function* () {
      const { app, held, port, scope } = yield* serving({ drain: "20 seconds" })
      assert.strictEqual(yield* status(port, "/readyz"), 503)
      yield* app.ready
      assert.strictEqual(yield* status(port, "/readyz"), 200)
      const answer = ask(port, "/held")
      yield* Effect.repeat(turns, { until: () => held.length > 0 })
      const drained = yield* Effect.forkChild(app.drained)
      const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.repeat(turns, { until: () => app.signal.aborted })
      assert.strictEqual(yield* app.phase, "Draining")
      for (const end of held) end()
      assert.strictEqual((yield* Effect.promise(() => answer)).body, "late")
      yield* Fiber.join(closed)
      assert.deepStrictEqual(yield* Fiber.join(drained), { reason: "Call", cut: 0, notClosed: [], exitCode: 0 })
      assert.strictEqual(yield* app.phase, "Stopped")
    })
  )

  it.effect("its bounds are of the program's clock: what is not done by then is cut off", () =>
    Effect.gen(function* () {
      const { app, held, port, scope } = yield* serving({ drain: "1 hour", readinessDelay: "1 hour" })
      yield* app.ready
      const answer = ask(port, "/held").catch(() => "cut off")
      yield* Effect.repeat(turns, { until: () => held.length > 0 })
      const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.repeat(turns, { until: () => app.signal.aborted })
      // The delay: it goes on serving.
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* status(port, "/"), 200)
      assert.strictEqual(yield* status(port, "/readyz"), 503)
      yield* TestClock.adjust("1 minute")
      const refused = Effect.promise(() =>
        ask(port, "/").then(
          () => false,
          () => true
        )
      )
      yield* Effect.repeat(refused, { until: (is) => is })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Effect.promise(() => answer), "cut off")
      yield* Fiber.join(closed)
      assert.strictEqual((yield* app.drained).exitCode, 124)
    })
  )

  it.live("a port that is held is a typed error; bad options are defects, or thrown at once", () =>
    Effect.gen(function* () {
      const { app, port, scope } = yield* serving({})
      const error = yield* Effect.flip(app.listen(Net.createServer(), { port, host: "127.0.0.1" }))
      assert.deepStrictEqual(error.reason, { _tag: "PortHeld", port, reusePort: false })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(app.listen(Net.createServer(), { port: -1 }))))
      assert.strictEqual(refusal(() => SupervisedApp.layer({ drain: -1 })).option, "drain")
      yield* Scope.close(scope, Exit.void)
    })
  )
})
