/**
 * Where copies of values are kept: what `CacheAside` asks of a cache. `MemoryCache` and `RedisCache` are there; for
 * another store write these three operations.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * This value cannot be written, by this cache or by any like it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unstorable extends Schema.TaggedClass<Unstorable>("@nexobot/core/CachePort/Unstorable")("Unstorable", {
  why: Schema.String
}) {}

/**
 * This key cannot be told from others, by this cache or by any like it.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnusableKey extends Schema.TaggedClass<UnusableKey>("@nexobot/core/CachePort/UnusableKey")("UnusableKey", {
  why: Schema.String
}) {}

/**
 * What a cache fails with when the fault is not its own: it says nothing about whether the cache works.
 *
 * @category errors
 * @since 0.1.0
 */
export class CachePortError extends Schema.TaggedError<CachePortError>("@nexobot/core/CachePortError")(
  "CachePortError",
  { reason: Schema.Union([Unstorable, UnusableKey]) }
) {
  override get message(): string {
    return this.reason._tag === "Unstorable"
      ? `the value cannot be stored: ${this.reason.why}; see that it fits the schema of the cache`
      : `the key cannot be used: ${this.reason.why}; give the cache a \`key\` that makes a text of it`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Copy<out Value> {
  readonly value: Value
  /** Whether it is younger than the `ttl` that it was stored with. */
  readonly fresh: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Lifetime {
  /** For so long the copy is fresh. */
  readonly ttl: Duration.Duration
  /** For so long after that it is kept, stale; zero for not at all. */
  readonly staleFor: Duration.Duration
}

/**
 * All operations have to be interruptible, as they are given up when they take too long.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachePort<in Key, in out Value, out E = never> {
  /** `undefined` when there is no copy, and when what is there cannot be read: it is overwritten then. */
  readonly get: (key: Key) => Effect.Effect<Copy<Value> | undefined, E>
  readonly set: (key: Key, value: Value, lifetime: Lifetime) => Effect.Effect<void, E>
  /** Nothing happens when there is no copy. */
  readonly remove: (key: Key) => Effect.Effect<void, E>
}
