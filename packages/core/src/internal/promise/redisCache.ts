import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Cluster, Redis } from "ioredis"

import * as Options from "../../Options.ts"
import * as RedisCache from "../../RedisCache.ts"
import { RedisClient } from "../../RedisClient.ts"
import type { PromiseCache } from "./cacheAside.ts"
import { run } from "./policy.ts"

const checks = Options.checks("RedisCache")

/**
 * A cache in Redis for `cacheAside`, shared by all processes that use the same prefix. Rejects with `RedisClientError`,
 * and with `CachePortError` for values that the schema cannot write and keys that are no text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const redisCache = <Key, Value>(options: {
  /** A client of `ioredis`, which stays yours to close; give it `enableOfflineQueue: false`. */
  readonly redis: Redis | Cluster
  /** Before every key; give it a version when the schema changes, for example `users:v2:`. */
  readonly prefix: string
  readonly schema: Schema.Codec<Value, unknown>
  /** The key as text; needed unless keys are strings, numbers or booleans: others are refused by `CachePortError`. */
  readonly key?: (key: Key) => string
}): PromiseCache<Key, Value> => {
  checks.known(options, ["redis", "prefix", "schema", "key"])
  const { redis, ...rest } = options
  if (typeof redis?.multi !== "function") checks.fail("redis", redis, "a client of ioredis")
  const cache = Effect.runSync(Effect.provideService(RedisCache.make<Key, Value>(rest), RedisClient, redis))
  return {
    get: (key, signal) => run(cache.get(key), signal),
    set: (key, value, lifetime, signal) => run(cache.set(key, value, lifetime), signal),
    remove: (key, signal) => run(cache.remove(key), signal)
  }
}
