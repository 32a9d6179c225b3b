/**
 * What needs Redis; `ioredis` is an optional peer dependency, and nothing else of this package loads it.
 *
 * @since 0.1.0
 */
export * as RedisCache from "./RedisCache.ts"
export * as RedisCircuitVotes from "./RedisCircuitVotes.ts"
export * as RedisClient from "./RedisClient.ts"
export * as RedisClientError from "./RedisClientError.ts"
export * as RedisLeases from "./RedisLeases.ts"
export * as RedisPersistence from "./RedisPersistence.ts"
