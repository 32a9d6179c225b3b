import * as Options from "../../Options.ts"
import * as RedisLeases from "../../RedisLeases.ts"
import { checkClient } from "../redisConnection.ts"
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
export const redisLeases = (options: PromiseRedisLeasesOptions): PromiseLeases => {
  checks.known(options, ["redis", "ttl", "prefix"])
  const { redis, ...rest } = options
  return fromLeases(RedisLeases.make(checkClient(checks, redis, "eval"), rest))
}
