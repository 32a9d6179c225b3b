/** A cache that hangs for a while: one caller waits for it, everybody else is served by the database. */
import * as Backoff from "@nexobot/core/Backoff"
import * as CacheAside from "@nexobot/core/CacheAside"
import type { CachePort } from "@nexobot/core/CachePort"
import * as MemoryCache from "@nexobot/core/MemoryCache"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const program = Effect.gen(function* () {
  let hangs = false
  const memory = yield* MemoryCache.make<string, string>()
  const through = <A>(operation: Effect.Effect<A>) => Effect.suspend(() => (hangs ? Effect.never : operation))
  const cache: CachePort<string, string> = {
    get: (key) => through(memory.get(key)),
    set: (key, value, lifetime) => through(memory.set(key, value, lifetime)),
    remove: (key) => through(memory.remove(key))
  }
  const users = yield* CacheAside.make({
    cache,
    source: (id: string) => Effect.as(Effect.sleep("5 millis"), `user ${id}`),
    cacheTimeout: "100 millis",
    backoff: Backoff.constant("200 millis")
  })
  const show = Effect.gen(function* () {
    const [took, { from }] = yield* Effect.timed(users.answer("ada"))
    const { _tag } = yield* users.mode
    yield* Console.log(`${_tag}: from the ${from}, ${Duration.toMillis(took) >= 90 ? "after a wait" : "at once"}`)
  })

  yield* Effect.repeat(show, { times: 1 })
  hangs = true
  yield* Effect.repeat(show, { times: 2 })
  hangs = false
  yield* Effect.sleep("250 millis")
  yield* Effect.repeat(show, { times: 1 })
  const { cacheFailures, loads } = yield* users.stats
  yield* Console.log(`${loads} loads, ${cacheFailures} failures of the cache`)
})

await Effect.runPromise(program)
