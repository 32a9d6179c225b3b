/**
 * Degraded mode: reads through a cache, and does without it while it is down. A cache that fails costs one caller at a
 * time its timeout, once per backoff; everybody else goes straight to the source. When it answers again it is used again.
 *
 * @since 0.1.0
 */
import * as Cache from "effect/Cache"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import type * as Stream from "effect/Stream"

import * as Backoff from "./Backoff.ts"
import { type CachePort, CachePortError, type Copy } from "./CachePort.ts"
import * as DegradedMode from "./DegradedMode.ts"
import * as Doubts from "./internal/doubts.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"

const checks = Options.checks("CacheAside")

/** Keys that a cache may hold a wrong copy of are remembered up to so many; beyond that all are doubted for a while. */
const maxDoubtful = 10_000

/** In milliseconds; a `retryAfter` that is longer, or infinite, is not heeded to its end: the cache has to come back. */
const maxRetryAfter = 300_000

/**
 * Where a value is from: a fresh copy, the source, or a stale copy because the source failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer<out Value> {
  readonly value: Value
  readonly from: "cache" | "source" | "stale"
}

/**
 * Counts since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Answered by a fresh copy. */
  readonly hits: number
  /** Loads from the source that were begun. */
  readonly loads: number
  /** Answered by a stale copy, as the source failed. */
  readonly stale: number
  /** Operations of the cache that failed or took too long. */
  readonly cacheFailures: number
  /** Values and keys that the cache cannot write; see that they fit its schema, and its `key`. */
  readonly unstorable: number
  /** Operations that were left out, as the cache is left alone. */
  readonly skipped: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface CacheAside<in Key, out Value, out E = never, out R = never> {
  /** The value of a key. Callers who ask for the same at the same time share one load; the last one to leave ends it. */
  readonly get: (key: Key) => Effect.Effect<Value, E, R>
  /** The same, with where it is from. */
  readonly answer: (key: Key) => Effect.Effect<Answer<Value>, E, R>
  /**
   * Forgets the copy; to be called after the source has changed. A load that is under way answers those who wait for it,
   * and is not stored. While the cache is down the key is remembered, and its copy is not used when the cache returns. Of
   * more than 10,000 such keys, no copy is used when it returns, until it was written anew or the old ones have expired.
   */
  readonly invalidate: (key: Key) => Effect.Effect<void>
  /** `Degraded` while the cache is left alone. */
  readonly mode: Effect.Effect<DegradedMode.DegradedMode>
  /** The mode at once, and each change of it. */
  readonly changes: Stream.Stream<DegradedMode.DegradedMode>
  readonly stats: Effect.Effect<Stats>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface CacheAsideOptions<in out Key, in out Value, out E, out R> {
  readonly cache: CachePort<Key, Value, unknown>
  /** Where the truth is. What it fails with is what callers get; it is never stored. */
  readonly source: (key: Key) => Effect.Effect<Value, E, R>
  /** For so long a copy is used; 300 seconds unless told. */
  readonly ttl?: Duration.Input
  /** For so long after that a copy may be served if the source fails; zero, for never, unless told. */
  readonly staleIfError?: Duration.Input
  /** How long the cache may take for each operation; 250 milliseconds unless told. */
  readonly cacheTimeout?: Duration.Input
  /**
   * How long a cache that failed is left alone, unless its failure says so itself (`Outcome.retryAfter`, at most 5 minutes); from 500
   * milliseconds up to 10 seconds unless told, half of it jitter.
   */
  readonly backoff?: Backoff.Backoff
  /** Whether a value is worth storing; all are, unless told. */
  readonly shouldStore?: (value: Value, key: Key) => boolean
  /** Shows in metrics; `cache-aside` unless told. */
  readonly name?: string
}

const keys = ["cache", "source", "ttl", "staleIfError", "cacheTimeout", "backoff", "shouldStore", "name"]

/**
 * The cache as it may be asked now: never longer than its timeout, and not at all while it is left alone.
 */
const patient = Effect.fnUntraced(function* (options: {
  readonly name: string
  readonly timeout: Duration.Duration
  readonly backoff: Backoff.Backoff
}) {
  const attributes = { name: options.name }
  const failuresMetric = Metric.counter("nexobot_cache_aside_cache_failures", { attributes, incremental: true })
  const tracker = yield* DegradedMode.make(Metric.gauge("nexobot_cache_aside_degraded", { attributes }))
  const now = yield* Monotonic.reader
  const counts = { failures: 0, skipped: 0, unstorable: 0 }
  let inRow = 0
  let retryAt = 0
  let trial = false
  let returnedAt = Number.NEGATIVE_INFINITY
  let failedAt = Number.NEGATIVE_INFINITY
  // What began before the last change of mind proves nothing: neither a late failure nor a late success counts.
  let epoch = 0

  /** Nothing is known: the next call makes the trial. */
  const left = (admitted: number): void => {
    if (admitted === epoch) trial = false
  }

  const failed = Effect.fnUntraced(function* (admitted: number, cause: Cause.Cause<unknown>) {
    const error = Cause.squash(cause)
    if (error instanceof CachePortError) {
      counts.unstorable += 1
      return left(admitted)
    }
    const seed = yield* Random.next
    counts.failures += 1
    if (admitted !== epoch) return yield* Metric.update(failuresMetric, 1)
    epoch += 1
    trial = false
    if (!tracker.isDegraded()) failedAt = now()
    const asked = Outcome.retryAfter(error)
    const delay =
      asked === undefined ? options.backoff.delay(inRow, seed) : Math.min(Duration.toMillis(asked), maxRetryAfter)
    inRow += 1
    retryAt = now() + delay
    yield* tracker.degrade(DegradedMode.whyOf(error))
    yield* Metric.update(failuresMetric, 1)
  })

  const succeeded = (admitted: number) =>
    Effect.suspend(() => {
      if (admitted !== epoch || !tracker.isDegraded()) return Effect.void
      epoch += 1
      trial = false
      inRow = 0
      returnedAt = now()
      return tracker.recover
    })

  const late = new Error(`no answer within ${Duration.format(options.timeout)}`)

  /** `None` when the cache is left alone or has failed. */
  const ask = <A>(operation: () => Effect.Effect<A, unknown>): Effect.Effect<Option.Option<A>> =>
    Effect.suspend(() => {
      let admitted: number | undefined
      return Effect.suspend(() => {
        if (tracker.isDegraded()) {
          if (trial || now() < retryAt) {
            counts.skipped += 1
            return Effect.succeedNone
          }
          // Here, where leaving is seen: a trial that is begun outside of that and left would never end.
          trial = true
        }
        admitted = epoch
        return Effect.suspend(operation).pipe(
          Effect.timeoutOrElse({ duration: options.timeout, orElse: () => Effect.fail(late) }),
          Effect.asSome
        )
      }).pipe(
        Effect.onExit((exit) => {
          const turn = admitted
          if (turn === undefined) return Effect.void
          if (Exit.isSuccess(exit)) return succeeded(turn)
          if (!Cause.hasInterruptsOnly(exit.cause)) return failed(turn, exit.cause)
          return Effect.sync(() => left(turn))
        }),
        // A cache never fails a call, by a bug of its adapter neither.
        Effect.catchCause(() => Effect.succeedNone)
      )
    })

  return {
    ask,
    counts,
    tracker,
    now,
    returned: () => returnedAt,
    works: () => (tracker.isDegraded() ? failedAt : now())
  }
})

/** What an adapter answers may be anything, such as `null` for a miss. */
const isCopy = (answer: unknown): boolean =>
  Predicate.hasProperty(answer, "value") && Predicate.hasProperty(answer, "fresh") && typeof answer.fresh === "boolean"

/**
 * Refuses options whose functions are none; those of promises are checked before they are wrapped.
 *
 * @internal
 */
export const check = (options: {
  readonly cache: { readonly [K in keyof CachePort<never, unknown>]: unknown }
  readonly source: unknown
  readonly shouldStore?: unknown
}): void => {
  checks.known(options, keys)
  const { cache, shouldStore, source } = options
  for (const operation of ["get", "set", "remove"] as const) {
    if (typeof cache?.[operation] !== "function") checks.fail("cache", cache, "a cache, such as MemoryCache makes")
  }
  if (typeof source !== "function") checks.fail("source", source, "a function of the key")
  if (shouldStore !== undefined && typeof shouldStore !== "function") {
    checks.fail("shouldStore", shouldStore, "a predicate of the value and the key")
  }
}

/**
 * Puts a cache aside a source.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Key, Value, E = never, R = never>(
  options: CacheAsideOptions<Key, Value, E, R>
): Effect.Effect<CacheAside<Key, Value, E, R>> => {
  check(options)
  const { cache, shouldStore, source } = options
  const backoff = options.backoff ?? Backoff.exponential({ initial: "500 millis", max: "10 seconds", jitter: "equal" })
  if (typeof backoff?.delay !== "function") checks.fail("backoff", backoff, "a backoff, such as Backoff.exponential()")
  const name = checks.nonEmptyString("name", options.name ?? "cache-aside")
  const timeout = checks.duration("cacheTimeout", options.cacheTimeout ?? "250 millis", "1 millis")
  const lifetime = {
    ttl: checks.duration("ttl", options.ttl ?? "300 seconds", "1 millis"),
    staleFor: checks.duration("staleIfError", options.staleIfError ?? 0)
  }
  const servesStale = Duration.isPositive(lifetime.staleFor)
  const staleMetric = Metric.counter("nexobot_cache_aside_stale_answers", { attributes: { name }, incremental: true })

  return Effect.gen(function* () {
    const { ask, counts, now, returned, tracker, works } = yield* patient({ name, timeout, backoff })
    const stats = { hits: 0, loads: 0, stale: 0 }
    const loading = MutableHashMap.empty<Key, { storable: boolean }>()
    // The cache may hold a copy that is out of date: forgetting it failed, or a write that was given up may still arrive.
    const doubts = Doubts.make<Key>({
      max: maxDoubtful,
      // A write that was given up may take effect a little later.
      life: Duration.toMillis(lifetime.ttl) + Duration.toMillis(lifetime.staleFor) + Duration.toMillis(timeout),
      now,
      returned,
      works
    })

    const store = (key: Key, value: Value, load: { readonly storable: boolean }) =>
      Effect.suspend(() => {
        if (!load.storable || shouldStore?.(value, key) === false) return Effect.succeedNone
        return ask(() =>
          Effect.onExit(cache.set(key, value, lifetime), (exit) =>
            // One that was given up may still arrive, and one that was overtaken by `invalidate` has.
            Effect.sync(() => (Exit.isSuccess(exit) && load.storable ? doubts.settle(key) : doubts.add(key)))
          )
        )
      })

    const fromSource = (key: Key, copy: Copy<Value> | undefined): Effect.Effect<Answer<Value>, E, R> => {
      const loaded = Effect.map(source(key), (value): Answer<Value> => ({ value, from: "source" }))
      if (copy === undefined || !servesStale) return loaded
      return loaded.pipe(
        Effect.catch(() => {
          stats.stale += 1
          return Effect.as(Metric.update(staleMetric, 1), { value: copy.value, from: "stale" } as const)
        })
      )
    }

    const load = (key: Key): Effect.Effect<Answer<Value>, E, R> =>
      Effect.suspend(() => {
        const current = { storable: true }
        const found = Effect.suspend(() => {
          MutableHashMap.set(loading, key, current)
          return doubts.has(key) ? Effect.succeedNone : ask(() => cache.get(key))
        })
        return found.pipe(
          Effect.flatMap((one) => {
            const copy = Option.getOrUndefined(Option.filter(one, isCopy))
            if (copy?.fresh === true) {
              stats.hits += 1
              return Effect.succeed<Answer<Value>>({ value: copy.value, from: "cache" })
            }
            stats.loads += 1
            return Effect.tap(fromSource(key, copy), (answer) =>
              answer.from === "source" ? store(key, answer.value, current) : Effect.void
            )
          }),
          Effect.ensuring(
            Effect.sync(() => {
              const latest = Option.getOrUndefined(MutableHashMap.get(loading, key))
              if (latest === current) MutableHashMap.remove(loading, key)
            })
          )
        )
      })

    // Nothing is kept here: it is what makes callers share a load.
    const flights = yield* Cache.makeWith(load, {
      capacity: Number.POSITIVE_INFINITY,
      timeToLive: () => 0,
      requireServicesAt: "lookup"
    })

    return {
      get: (key) => Effect.map(Cache.get(flights, key), ({ value }) => value),
      answer: (key) => Cache.get(flights, key),
      invalidate: (key) =>
        Effect.suspend(() => {
          const current = Option.getOrUndefined(MutableHashMap.get(loading, key))
          if (current !== undefined) current.storable = false
          doubts.add(key)
          return Cache.invalidate(flights, key).pipe(
            Effect.andThen(ask(() => Effect.tap(cache.remove(key), () => Effect.sync(() => doubts.settle(key))))),
            Effect.asVoid
          )
        }),
      mode: tracker.mode,
      changes: tracker.changes,
      stats: Effect.sync(() => ({
        ...stats,
        cacheFailures: counts.failures,
        unstorable: counts.unstorable,
        skipped: counts.skipped
      }))
    }
  })
}
