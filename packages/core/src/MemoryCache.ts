/**
 * A cache in the memory of this process, of bounded size: the copy that was used longest ago goes first. It lives by the
 * monotonic clock, so that a step of the wall clock neither empties it nor keeps a copy for ever.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"

import type { CachePort } from "./CachePort.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"

const checks = Options.checks("MemoryCache")

interface Stored<Value> {
  readonly value: Value
  readonly freshUntil: number
  readonly keptUntil: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface MemoryCache<in Key, in out Value> extends CachePort<Key, Value> {
  /** Copies that take up room, those that have expired since and were not asked for included. */
  readonly size: Effect.Effect<number>
}

/**
 * Keys are compared as `Equal` does: numbers and strings by value, and so are plain objects and arrays.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Key, Value>(
  options: {
    /** How many copies it holds; 1000 unless told. */
    readonly capacity?: number
  } = {}
): Effect.Effect<MemoryCache<Key, Value>> => {
  checks.known(options, ["capacity"])
  const capacity = checks.integer("capacity", options.capacity ?? 1000, 1)
  return Effect.map(Monotonic.reader, (now) => {
    // Oldest use first.
    const copies = MutableHashMap.empty<Key, Stored<Value>>()
    return {
      get: (key) =>
        Effect.sync(() => {
          const found = Option.getOrUndefined(MutableHashMap.get(copies, key))
          if (found === undefined) return undefined
          MutableHashMap.remove(copies, key)
          const at = now()
          if (at >= found.keptUntil) return undefined
          MutableHashMap.set(copies, key, found)
          return { value: found.value, fresh: at < found.freshUntil }
        }),
      set: (key, value, { staleFor, ttl }) =>
        Effect.sync(() => {
          const freshUntil = now() + Duration.toMillis(ttl)
          MutableHashMap.remove(copies, key)
          MutableHashMap.set(copies, key, { value, freshUntil, keptUntil: freshUntil + Duration.toMillis(staleFor) })
          if (MutableHashMap.size(copies) <= capacity) return
          for (const oldest of MutableHashMap.keys(copies)) {
            MutableHashMap.remove(copies, oldest)
            return
          }
        }),
      remove: (key) => Effect.sync(() => void MutableHashMap.remove(copies, key)),
      size: Effect.sync(() => MutableHashMap.size(copies))
    }
  })
}
