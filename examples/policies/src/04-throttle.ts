/** A backend that dies and comes back, and how many calls a throttle lets through to it. */
import * as Throttle from "@nexobot/core/Throttle"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const program = Effect.gen(function* () {
  const throttle = yield* Throttle.make({ name: "example", window: "1 second" })

  let reached = 0
  const calls = Effect.fnUntraced(function* (title: string, count: number, backend: Effect.Effect<string, string>) {
    reached = 0
    const call = throttle.policy(
      Effect.suspend(() => {
        reached++
        return backend
      })
    )
    yield* Effect.ignore(call).pipe(Effect.repeat({ times: count - 1 }))
    const { refusal } = throttle.inspect()
    yield* Console.log(`${title}: ${reached} of ${count} reached it; a share of ${refusal.toFixed(2)} is refused now`)
  })

  yield* calls("healthy", 10, Effect.succeed("an answer"))
  yield* calls("dead", 100, Effect.fail("overloaded"))
  // Nothing counts for longer than the window.
  yield* Effect.sleep("1100 millis")
  yield* calls("back", 100, Effect.succeed("an answer"))
})

await Effect.runPromise(program)
