import * as Options from "../../Options.ts"
import * as RedisLeases from "../../RedisLeases.ts"
import { fromLeases, type PromiseLeases } from "./leases.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseRedisLeasesOptions extends RedisLeases.RedisLeasesOptions {
  /** A client of `ioredis`, which stays yours to close. */
  readonly redis: RedisLeases.Scripts
}

const checks = Options.checks("redisLeases")

/**
 * Leases among all processes that reach the same Redis.
 *
 * @category constructors
 * @since 0.1.0
 */
export const redisLeases = ({ redis, ...options }: PromiseRedisLeasesOptions): PromiseLeases => {
  if (typeof redis !== "object" || typeof redis.eval !== "function") checks.fail("redis", redis, "a client of ioredis")
  return fromLeases(RedisLeases.make(redis, options))
}
