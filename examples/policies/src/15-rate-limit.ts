/** Two clients share a limit of five calls. */
import * as RedisClient from "@nexobot/core/RedisClient"
import * as RedisPersistence from "@nexobot/core/RedisPersistence"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"

import { withRedis } from "./redis-server.mjs"

const limiter = (port: number) =>
  RateLimiter.layer.pipe(
    Layer.provide(RateLimiter.layerStoreRedis({ prefix: "example:" })),
    Layer.provide(RedisPersistence.layer()),
    Layer.provide(RedisClient.layer({ host: "127.0.0.1", port }))
  )

const worker = Effect.fnUntraced(function* (name: string) {
  const { consume } = yield* RateLimiter.RateLimiter
  for (let call = 1; call <= 4; call++) {
    const answer = yield* consume({ key: "mail", limit: 5, window: "1 minute" }).pipe(
      Effect.map(({ remaining }) => `passed, ${remaining} are left`),
      Effect.catch(({ reason }) => Effect.succeed(reason._tag))
    )
    yield* Console.log(`${name}, call ${call}: ${answer}`)
  }
})

await withRedis(async (port) => {
  // A layer of its own for each, as if they were two processes.
  const two = ["one", "two"].map((name) => Effect.provide(worker(name), limiter(port), { local: true }))
  await Effect.runPromise(Effect.all(two, { concurrency: 2, discard: true }))
})
