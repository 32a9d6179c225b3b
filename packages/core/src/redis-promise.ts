/**
 * What needs Redis, with promises, for plain Node; `ioredis` is an optional peer dependency.
 *
 * @since 0.1.0
 */
export {
  type PromiseRateLimit,
  type PromiseRateLimitOptions,
  type PromiseSharedCircuitBreaker,
  type PromiseSharedCircuitBreakerOptions,
  rateLimit,
  sharedCircuitBreaker
} from "./internal/promise/redis.ts"
export { redisCache } from "./internal/promise/redisCache.ts"
export { type PromiseRedisLeasesOptions, redisLeases } from "./internal/promise/redisLeases.ts"
