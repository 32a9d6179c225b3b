/** Three nodes share a breaker: one that fails alone stops nobody; when two fail, the third stops without a failure. */
import * as CircuitBreaker from "@nexobot/core/CircuitBreaker"
import * as RedisCircuitVotes from "@nexobot/core/RedisCircuitVotes"
import * as RedisClient from "@nexobot/core/RedisClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

import { withRedis } from "./redis-server.mjs"

const node = (name: string) =>
  CircuitBreaker.makeShared({
    consecutive: { failures: 2 },
    shared: { quorum: 2, node: name, refresh: "50 millis" }
  })

const call = (breaker: CircuitBreaker.CircuitBreaker, backend: Effect.Effect<string, string>) =>
  backend.pipe(
    breaker.policy,
    Effect.catchTag("CircuitBreakerError", ({ reason }) => Effect.succeed(`refused: ${reason._tag}`)),
    Effect.catch((failure) => Effect.succeed(failure))
  )
const fail = (breaker: CircuitBreaker.CircuitBreaker) =>
  Effect.repeat(call(breaker, Effect.fail("the backend failed")), { times: 1 })

const program = Effect.gen(function* () {
  const [a, b, c] = yield* Effect.all([node("a"), node("b"), node("c")])
  const report = (title: string) =>
    Effect.gen(function* () {
      // Votes are read in the background.
      yield* Effect.sleep("200 millis")
      const states = yield* Effect.all([a.state(), b.state(), c.state()])
      yield* Console.log(`${title}: ${states.join(", ")}; c says "${yield* call(c, Effect.succeed("an answer"))}"`)
    })

  yield* fail(a)
  yield* report("a fails")
  yield* fail(b)
  yield* report("b fails too")
}).pipe(Effect.scoped)

await withRedis(async (port) => {
  const votes = Layer.provide(RedisCircuitVotes.layer(), RedisClient.layer({ host: "127.0.0.1", port }))
  await Effect.runPromise(Effect.provide(program, votes))
})
