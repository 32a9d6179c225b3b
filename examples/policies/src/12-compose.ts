/** A stack around one backend: it fails, its circuit opens, a lesser answer is given, and it comes back. */
import * as Backoff from "@nexobot/core/Backoff"
import * as Bulkhead from "@nexobot/core/Bulkhead"
import * as CircuitBreaker from "@nexobot/core/CircuitBreaker"
import * as Fallback from "@nexobot/core/Fallback"
import * as Policy from "@nexobot/core/Policy"
import * as Retry from "@nexobot/core/Retry"
import * as Timeout from "@nexobot/core/Timeout"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

let calls = 0
let works = false
const search = Effect.suspend(() => {
  calls += 1
  return works ? Effect.succeed("12 results") : Effect.fail("connection refused")
})

const program = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make({ consecutive: { failures: 4 }, open: Backoff.constant("300 millis") })
  const fallback = yield* Fallback.make({ to: () => Effect.succeed("no results for now") })
  const guarded = Policy.compose({
    fallback: fallback.policy,
    totalTimeout: Timeout.make({ after: "200 millis" }).policy,
    retry: Retry.make({ attempts: 3, backoff: Backoff.constant("10 millis") }).policy,
    bulkhead: Bulkhead.make({ concurrency: 5, queue: 10 }).policy,
    breaker: breaker.policy,
    timeout: Timeout.make({ after: "100 millis" }).policy
  })
  const show = Effect.gen(function* () {
    const answer = yield* guarded(search)
    yield* Console.log(`${answer}; ${calls} calls so far, circuit ${yield* breaker.state()}`)
  })

  yield* Effect.repeat(show, { times: 2 })
  works = true
  yield* Effect.sleep("350 millis")
  yield* Effect.repeat(show, { times: 1 })
})

await Effect.runPromise(program)
