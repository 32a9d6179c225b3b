import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type * as Backoff from "../../Backoff.ts"
import * as CacheAside from "../../CacheAside.ts"
import type { CachePort, Copy, Lifetime } from "../../CachePort.ts"
import * as MemoryCache from "../../MemoryCache.ts"
import { fromTracker, type PromiseMode } from "./degradedMode.ts"
import { fromCall, run } from "./policy.ts"

/**
 * A cache written with promises. A rejection means that it is down; each operation is given up when its signal aborts.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseCache<in Key, in out Value> {
  /** `undefined` or `null` when there is no copy, and when what is there cannot be read. */
  readonly get: (key: Key, signal: AbortSignal) => PromiseLike<Copy<Value> | null | undefined>
  readonly set: (key: Key, value: Value, lifetime: Lifetime, signal: AbortSignal) => PromiseLike<unknown>
  readonly remove: (key: Key, signal: AbortSignal) => PromiseLike<unknown>
}

/**
 * A cache aside a source, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseCacheAside<in Key, out Value> extends PromiseMode {
  /** The value of a key. Callers who ask for the same at the same time share one load; the last one to leave ends it. */
  readonly get: (key: Key, options?: { readonly signal?: AbortSignal | undefined }) => Promise<Value>
  /** The same, with where it is from. */
  readonly answer: (
    key: Key,
    options?: { readonly signal?: AbortSignal | undefined }
  ) => Promise<CacheAside.Answer<Value>>
  /** Forgets the copy; to be called after the source has changed. Never rejects. */
  readonly invalidate: (key: Key) => Promise<void>
  readonly stats: () => CacheAside.Stats
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseCacheAsideOptions<in out Key, in out Value> {
  /** As `memoryCache` makes, or one of your own. */
  readonly cache: PromiseCache<Key, Value>
  /** Where the truth is. What it rejects with is what callers get; it is never stored. */
  readonly source: (key: Key, signal: AbortSignal) => PromiseLike<Value> | Value
  /** For so long a copy is used; 300 seconds unless told. */
  readonly ttl?: Duration.Input
  /** For so long after that a copy may be served if the source fails; zero, for never, unless told. */
  readonly staleIfError?: Duration.Input
  /** How long the cache may take for each operation; 250 milliseconds unless told. */
  readonly cacheTimeout?: Duration.Input
  /** How long a cache that failed is left alone; from 500 milliseconds up to 10 seconds unless told, half of it jitter. */
  readonly backoff?: Backoff.Backoff
  /** Whether a value is worth storing; all are, unless told. */
  readonly shouldStore?: (value: Value, key: Key) => boolean
  /** Shows in metrics; `cache-aside` unless told. */
  readonly name?: string
}

const portOf = <Key, Value>(cache: PromiseCache<Key, Value>): CachePort<Key, Value, unknown> => ({
  get: (key) =>
    Effect.map(
      fromCall((signal) => cache.get(key, signal)),
      (copy) => copy ?? undefined
    ),
  set: (key, value, lifetime) => Effect.asVoid(fromCall((signal) => cache.set(key, value, lifetime, signal))),
  remove: (key) => Effect.asVoid(fromCall((signal) => cache.remove(key, signal)))
})

/**
 * Reads through a cache, and does without it while it is down.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cacheAside = <Key, Value>(
  options: PromiseCacheAsideOptions<Key, Value>
): PromiseCacheAside<Key, Value> => {
  CacheAside.check(options)
  const { cache, source, ...rest } = options
  const aside = Effect.runSync(
    CacheAside.make<Key, Value, unknown>({
      ...rest,
      cache: portOf(cache),
      source: (key) => fromCall((signal) => source(key, signal))
    })
  )
  return {
    get: (key, given) => run(aside.get(key), given?.signal),
    answer: (key, given) => run(aside.answer(key), given?.signal),
    invalidate: (key) => Effect.runPromise(aside.invalidate(key)),
    ...fromTracker(aside),
    stats: () => Effect.runSync(aside.stats)
  }
}

/**
 * A cache in the memory of this process, of bounded size: the copy that was used longest ago goes first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const memoryCache = <Key, Value>(
  options: {
    /** How many copies it holds; 1000 unless told. */
    readonly capacity?: number
  } = {}
): PromiseCache<Key, Value> => {
  const cache = Effect.runSync(MemoryCache.make<Key, Value>(options))
  return {
    get: (key) => Effect.runPromise(cache.get(key)),
    set: (key, value, lifetime) => Effect.runPromise(cache.set(key, value, lifetime)),
    remove: (key) => Effect.runPromise(cache.remove(key))
  }
}
