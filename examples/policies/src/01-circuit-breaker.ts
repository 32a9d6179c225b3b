/** A backend dies and comes back. The circuit opens, refuses calls at once, tries one, and lets a growing share pass. */
import * as Backoff from "@nexobot/core/Backoff"
import * as CircuitBreaker from "@nexobot/core/CircuitBreaker"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

let alive = false
const backend = Effect.suspend(() => (alive ? Effect.succeed("an answer") : Effect.fail("connection refused")))

const program = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make({
    consecutive: { failures: 3, within: "1 second" },
    open: Backoff.constant("200 millis"),
    ramp: { duration: "300 millis", from: 0.2 }
  })
  yield* breaker.transitions.pipe(
    Stream.runForEach(({ from, to, why }) => Console.log(`  ${from} > ${to}: ${why}`)),
    Effect.forkScoped({ startImmediately: true })
  )
  const call = breaker.policy(backend).pipe(
    Effect.catchTag("CircuitBreakerError", ({ reason }) => Effect.succeed(`refused: ${reason._tag}`)),
    Effect.catch((why) => Effect.succeed(`failed: ${why}`))
  )
  for (let i = 0; i < 4; i++) yield* Effect.flatMap(call, Console.log)

  alive = true
  yield* Effect.sleep("250 millis")
  yield* Effect.flatMap(call, (answer) => Console.log(`trial: ${answer}`))
  for (const pause of ["0 millis", "150 millis", "150 millis"] as const) {
    yield* Effect.sleep(pause)
    const answers = yield* Effect.all(Array.from({ length: 100 }, () => call))
    const passed = answers.filter((answer) => answer === "an answer").length
    yield* Console.log(`${passed} of 100 calls pass`)
  }
})

await Effect.runPromise(Effect.scoped(program))
