/**
 * Leases in Redis (5 or later): among all processes that reach the same server, expiring by its clock, renewed by their
 * holders.
 *
 * A fence is at least the milliseconds of Redis's own clock, so that a server that comes back empty, or a replica that
 * missed the last writes, does not grant an earlier fence again. A small key with the last fence stays for each resource.
 *
 * While a failover is under way two holders are possible, as with any lock in Redis: let what you act on refuse the
 * smaller fence.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

import { checkTtl, keep, type Renewal, unavailable } from "./internal/lease.ts"
import { escape } from "./internal/leaseName.ts"
import { type LeaseError, Leases } from "./Lease.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as RedisClient from "./RedisClient.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface RedisLeasesOptions {
  /**
   * How long the right outlives its holder, from 100 ms to 1 day; renewed at a third of it. 15 s unless told, as for a
   * Kubernetes leader.
   */
  readonly ttl?: Duration.Input
  /** Begins the name of each key, `nexobot:lease:` unless told. */
  readonly prefix?: string
}

/**
 * What is needed of a client: running a script. Clients of `ioredis`, for one server or a cluster, do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scripts {
  readonly eval: (script: string, keys: number, ...args: Array<string | number>) => Promise<unknown>
}

/**
 * KEYS: lease, fence. ARGV: token, ttl. The fence, or 0 when it is held. By our own token, when a client that lost the
 * answer sent this again: it is granted again, as nobody heard of the first fence.
 */
const take = `
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
local fence = tonumber(redis.call("GET", KEYS[2]) or "0") + 1
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > fence then fence = now end
redis.call("SET", KEYS[2], string.format("%.0f", fence))
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return fence`

/** KEYS: lease. ARGV: token, ttl. */
const renew = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])`

/** KEYS: lease. ARGV: token. */
const release = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("DEL", KEYS[1])`

/** A release that is not heard within this is left to expiry. */
const releaseWithin = "1 second"

/** Clients with `stringNumbers` answer integers as text. */
const integerOf = (answer: unknown): number =>
  typeof answer === "number" || (typeof answer === "string" && /^\d+$/.test(answer)) ? Number(answer) : Number.NaN

const checks = Options.checks("RedisLeases")

/**
 * Leases kept by a client of the caller's, which stays the caller's to close.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (client: Scripts, options: RedisLeasesOptions = {}): Leases["Service"] =>
  using(
    (resource, script, keys, args) =>
      Effect.tryPromise({
        try: () => client.eval(script, keys.length, ...keys, ...args),
        catch: (cause) => unavailable(resource, cause)
      }),
    options
  )

const using = (
  evaluate: (
    resource: string,
    script: string,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>
  ) => Effect.Effect<unknown, LeaseError>,
  options: RedisLeasesOptions
): Leases["Service"] => {
  checks.known(options, ["ttl", "prefix"])
  const ttl = checkTtl(checks, options.ttl)
  const prefix = checks.nonEmptyString("prefix", options.prefix ?? "nexobot:lease:")

  return Leases.of({
    take: Effect.fnUntraced(function* (resource) {
      // In braces, so that a cluster keeps both keys at one place.
      const lease = `${prefix}{${escape(resource)}}`
      const token = Crypto.randomUUID()
      const run = (script: string, keys: ReadonlyArray<string>, args: ReadonlyArray<string | number>) =>
        evaluate(resource, script, keys, args)
      const letGo = run(release, [lease], [token]).pipe(Effect.timeoutOption(releaseWithin), Effect.ignore)

      const outer = yield* Effect.scope
      const since = yield* Monotonic.millis
      const asked = run(take, [lease, `${lease}:fence`], [token, ttl]).pipe(
        Effect.timeoutOption(ttl),
        Effect.flatMap((answer) => {
          if (Option.isNone(answer)) {
            return Effect.fail(unavailable(resource, `Redis did not answer within ${ttl} ms`))
          }
          const granted = integerOf(answer.value)
          return Number.isSafeInteger(granted)
            ? Effect.succeed(granted)
            : Effect.fail(unavailable(resource, `Redis answered ${String(answer.value)}`))
        })
      )
      // What is asked for may be granted although no answer comes: it is given back in any case but a clear no.
      const fence = yield* Effect.uninterruptibleMask((restore) =>
        restore(asked).pipe(
          Effect.onInterrupt(() => letGo),
          // Nobody waits for it.
          Effect.tapError(() => Effect.forkDetach(letGo)),
          Effect.tap((granted) => (granted === 0 ? Effect.void : Scope.addFinalizer(outer, letGo)))
        )
      )
      if (fence === 0) return Option.none()
      const renewed = run(renew, [lease], [token, ttl]).pipe(
        Effect.map((answer): Renewal => (integerOf(answer) === 1 ? "kept" : "gone")),
        Effect.orElseSucceed((): Renewal => "unknown")
      )
      const kept = yield* keep({ adapter: "redis", resource, fence, ttl, since, renew: renewed, cut: Effect.never })
      return Option.some(kept)
    })
  })
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: RedisLeasesOptions = {}): Layer.Layer<Leases, never, RedisClient.RedisClient> => {
  // Looked at now: the client comes later.
  using(() => Effect.never, options)
  return Layer.effect(
    Leases,
    Effect.map(RedisClient.RedisClient, (client) =>
      using(
        (resource, script, keys, args) =>
          RedisClient.call(client, (one) => one.eval(script, keys.length, ...keys, ...args)).pipe(
            Effect.mapError((error) => unavailable(resource, error))
          ),
        options
      )
    )
  )
}
