import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type { Cluster, Redis } from "ioredis"

import * as CircuitBreaker from "../../CircuitBreaker.ts"
import * as Options from "../../Options.ts"
import type { Policy } from "../../Policy.ts"
import * as RedisCircuitVotes from "../../RedisCircuitVotes.ts"
import * as RedisClient from "../../RedisClient.ts"
import * as RedisPersistence from "../../RedisPersistence.ts"
import { known as breakerOptions, type SharedOptions } from "../circuitOptions.ts"
import { checkClient } from "../redisConnection.ts"
import { fromPolicy, type PromisePolicy, run } from "./policy.ts"

/** What closes before the client does. */
interface Closable extends AsyncDisposable {
  /**
   * Ends its own connections and fibers; also what `await using` does. The client stays open. Calls that have not ended
   * are aborted; they, and all that come later, reject with an `Error` that says that it is closed.
   */
  readonly close: () => Promise<void>
}

/** What runs until it is closed, and what `close` then says in its place. */
const closable = <R>(module: string, layer: Layer.Layer<R>) => {
  const runtime = ManagedRuntime.make(layer)
  const closed = Deferred.makeUnsafe<never>()
  const close = () => {
    // A defect: nobody tries again what is closed, nor counts it as a failure of what is called.
    Deferred.doneUnsafe(closed, Exit.die(new Error(`${module}: it is closed; make another, or close it later`)))
    return runtime.dispose()
  }
  const within = <A, E, R1>(f: (context: Context.Context<R>) => Effect.Effect<A, E, R1>): Effect.Effect<A, E, R1> =>
    Effect.raceFirst(Deferred.await(closed), Effect.flatMap(runtime.contextEffect, f))
  return { within, closable: { close, [Symbol.asyncDispose]: close } }
}

const checks = Options.checks("rateLimit")
const sharedChecks = Options.checks("sharedCircuitBreaker")

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseRateLimitOptions {
  /** A client of `ioredis`, which stays yours to close; give it `enableOfflineQueue: false`. */
  readonly redis: Redis | Cluster
  /** Calls, at least 1, in one window. */
  readonly limit: number
  /** At least 1 millisecond. */
  readonly window: Duration.Input
  /** Calls of the same key share the limit, in all processes; `default` unless told. */
  readonly key?: string
  /** `fixed-window` unless told. */
  readonly algorithm?: "fixed-window" | "token-bucket"
  /** What becomes of a call too many: it fails unless told, or waits. */
  readonly onExceeded?: "fail" | "delay"
  /** Before every key; `ratelimiter:` unless told. */
  readonly prefix?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseRateLimit extends PromisePolicy, Closable {}

/**
 * A limit that all processes at the same Redis share. A call too many rejects with Effect's `RateLimiterError`, whose
 * `reason` is `RateLimitExceeded` with `retryAfter`, or `RateLimitStoreError` when Redis does not answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rateLimit = (options: PromiseRateLimitOptions): PromiseRateLimit => {
  checks.known(options, ["redis", "limit", "window", "key", "algorithm", "onExceeded", "prefix"])
  const { redis, ...rest } = options
  checkClient(checks, redis, "call")
  const consumption = {
    limit: checks.integer("limit", rest.limit, 1),
    window: checks.duration("window", rest.window, 1),
    key: checks.nonEmptyString("key", rest.key ?? "default"),
    algorithm: checks.oneOf("algorithm", rest.algorithm ?? "fixed-window", ["fixed-window", "token-bucket"]),
    onExceeded: checks.oneOf("onExceeded", rest.onExceeded ?? "fail", ["fail", "delay"])
  }
  const prefix = checks.nonEmptyString("prefix", rest.prefix ?? "ratelimiter:")
  const store = Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.map(RateLimiter.makeStoreRedis({ prefix }), (kept) =>
      RateLimiter.RateLimiterStore.of({
        ...kept,
        // Clients with `stringNumbers` answer integers as text, which the limiter would take for nanoseconds.
        fixedWindow: (asked) =>
          Effect.map(
            kept.fixedWindow(asked),
            ([used, left]: readonly [number, unknown]) => [used, Number(left)] as const
          )
      })
    )
  )
  const { closable: closing, within } = closable(
    "rateLimit",
    RateLimiter.layer.pipe(
      Layer.provide(store),
      Layer.provide(RedisPersistence.layer()),
      Layer.provide(RedisClient.layerFrom(redis))
    )
  )
  return {
    ...fromPolicy((self) =>
      within((context) =>
        Context.get(context, RateLimiter.RateLimiter)
          .consume(consumption)
          .pipe(
            Effect.flatMap(({ delay }) => Effect.sleep(delay)),
            Effect.andThen(self)
          )
      )
    ),
    ...closing
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseSharedCircuitBreakerOptions extends SharedOptions, RedisCircuitVotes.RedisCircuitVotesOptions {
  /** A client of `ioredis`, which stays yours to close; give it `enableOfflineQueue: false`. */
  readonly redis: Redis | Cluster
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseSharedCircuitBreaker extends PromisePolicy, Closable {
  /** The circuit of one key. */
  readonly circuit: (key: string) => PromisePolicy
  readonly state: (key?: string) => Promise<CircuitBreaker.State>
  readonly stats: (key?: string) => Promise<CircuitBreaker.Stats>
  readonly isolate: (key?: string) => Promise<void>
  readonly reset: (key?: string) => Promise<void>
}

class Breaker extends Context.Service<Breaker, CircuitBreaker.CircuitBreaker>()(
  "@nexobot/core/internal/promise/redis/Breaker"
) {}

/**
 * A circuit breaker whose votes are in Redis, with the options and defaults of `CircuitBreaker.makeShared`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sharedCircuitBreaker = (options: PromiseSharedCircuitBreakerOptions): PromiseSharedCircuitBreaker => {
  const given: unknown = options
  if (typeof given !== "object" || given === null) sharedChecks.fail("options", given, "an object")
  sharedChecks.known(options, [...breakerOptions, "shared", "redis", "prefix"])
  const { prefix, redis, ...rest } = options
  checkClient(sharedChecks, redis, "call")
  const votes = RedisCircuitVotes.layer(prefix === undefined ? {} : { prefix })
  const { closable: closing, within } = closable(
    "sharedCircuitBreaker",
    Layer.effect(Breaker, CircuitBreaker.makeShared(rest)).pipe(
      Layer.provide(votes),
      Layer.provide(RedisClient.layerFrom(redis))
    )
  )
  const guard = (
    policyOf: (breaker: CircuitBreaker.CircuitBreaker) => Policy<CircuitBreaker.CircuitBreakerError>
  ): PromisePolicy => fromPolicy((self) => within((context) => policyOf(Context.get(context, Breaker))(self)))
  const ask = <A>(f: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<A>) =>
    run(
      within((context) => f(Context.get(context, Breaker))),
      undefined
    )
  return {
    ...guard((breaker) => breaker.policy),
    circuit: (key) => guard((breaker) => breaker.circuit(key).policy),
    state: (key) => ask((breaker) => breaker.state(key)),
    stats: (key) => ask((breaker) => breaker.stats(key)),
    isolate: (key) => ask((breaker) => breaker.isolate(key)),
    reset: (key) => ask((breaker) => breaker.reset(key)),
    ...closing
  }
}
