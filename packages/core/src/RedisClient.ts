/**
 * The connection to Redis that the adapters of this package share, an `ioredis` client (an optional peer dependency).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type { Cluster, Redis } from "ioredis"

/**
 * @category services
 * @since 0.1.0
 */
export class RedisClient extends Context.Service<RedisClient, Redis | Cluster>()("@nexobot/core/RedisClient") {}
