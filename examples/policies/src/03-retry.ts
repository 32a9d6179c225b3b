/** A backend that is busy twice, and one that is dead: retries with a budget that both callers share. */
import * as Backoff from "@nexobot/core/Backoff"
import * as Retry from "@nexobot/core/Retry"
import * as RetryBudget from "@nexobot/core/RetryBudget"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

class Busy extends Data.TaggedError("Busy")<{ readonly retryAfter: Duration.Duration }> {}

/** Works at the third attempt, and asks for 50 ms until then. */
const busy = Effect.gen(function* () {
  const attempt = yield* Retry.Attempt
  yield* Console.log(`busy: attempt ${attempt}`)
  if (attempt < 3) return yield* new Busy({ retryAfter: Duration.millis(50) })
  return "an answer"
})

const program = Effect.gen(function* () {
  const budget = yield* RetryBudget.make({ ratio: 0.2, floor: 0.3 })
  const retry = Retry.make({
    name: "example",
    backoff: Backoff.exponential({ initial: "20 millis" }),
    budget,
    attemptTimeout: "200 millis",
    totalTimeout: "1 second"
  })

  yield* Console.log(`busy: ${yield* retry.policy(busy)}`)

  const dead = retry.policy(Effect.fail("connection refused"))
  const error = yield* Effect.flip(dead)
  yield* Console.log(`dead: ${error instanceof Retry.RetryError ? error.message : error}`)
  const { available, calls, retries } = budget.inspect()
  yield* Console.log(`budget: ${calls} calls, ${retries} retries, ${available} left`)
})

await Effect.runPromise(program)
