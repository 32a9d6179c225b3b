/** Two places and a queue of one: the fourth call is refused, and a larger bulkhead lets the queue move. */
import * as Bulkhead from "@nexobot/core/Bulkhead"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

const bulkhead = Bulkhead.make({ concurrency: 2, queue: 1, queueTimeout: "1 second", name: "reports" })

const report = (name: string) =>
  Effect.sleep("100 millis").pipe(
    Effect.as(`${name} is ready`),
    bulkhead.policy,
    Effect.catchTag("BulkheadError", ({ message }) => Effect.succeed(`${name}: ${message}`)),
    Effect.tap(Console.log)
  )

const program = Effect.gen(function* () {
  const calls = yield* Effect.forEach(["a", "b", "c", "d"], (name) =>
    Effect.forkChild(report(name), { startImmediately: true })
  )
  yield* Console.log(bulkhead.inspect())
  yield* bulkhead.resize(3)
  yield* Console.log(bulkhead.inspect())
  yield* Fiber.joinAll(calls)
})

await Effect.runPromise(program)
