/**
 * What needs Redis; `ioredis` is an optional peer dependency, and nothing else of this package loads it.
 *
 * @since 0.1.0
 */
export * as RedisClient from "./RedisClient.ts"
