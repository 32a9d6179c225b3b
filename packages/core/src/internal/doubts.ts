import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"

/**
 * Keys of which a cache may hold a wrong copy. Of so many that they cannot all be remembered, all that are not known to
 * have been written anew are doubted.
 */
export interface Doubts<in Key> {
  /** The copy may be wrong from now on. */
  readonly add: (key: Key) => void
  /** The copy was written or removed: what is there now is right. */
  readonly settle: (key: Key) => void
  readonly has: (key: Key) => boolean
}

const put = <Key, Value>(into: MutableHashMap.MutableHashMap<Key, Value>, key: Key, value: Value): void => {
  MutableHashMap.remove(into, key)
  MutableHashMap.set(into, key, value)
}

/** Times are monotonic milliseconds. */
export const make = <Key>(options: {
  /** How many keys are remembered. */
  readonly max: number
  /** How long a copy can live after it was written. */
  readonly life: number
  readonly now: () => number
  /** When the cache last returned: what it was told while it was down may arrive only then. */
  readonly returned: () => number
  /** Until when it is known to work; now, unless it is down. */
  readonly works: () => number
}): Doubts<Key> => {
  const { life, max, now, returned, works } = options
  /** Since when, the oldest first. */
  const doubted = MutableHashMap.empty<Key, number>()
  /** Since when the last one that was forgotten was doubted, while that matters; and what is right in spite of it. */
  let forgotten: number | undefined
  const renewed = MutableHashMap.empty<Key, true>()

  const isOver = (since: number): boolean => works() >= Math.max(since, returned()) + life
  const doubtsAll = (): boolean => {
    if (forgotten === undefined) return false
    if (!isOver(forgotten)) return true
    forgotten = undefined
    MutableHashMap.clear(renewed)
    return false
  }
  return {
    add: (key) => {
      MutableHashMap.remove(renewed, key)
      put(doubted, key, now())
      for (const [oldest, since] of doubted) {
        const over = isOver(since)
        if (!over && MutableHashMap.size(doubted) <= max) return
        MutableHashMap.remove(doubted, oldest)
        if (!over) forgotten = Math.max(forgotten ?? since, since)
      }
    },
    settle: (key) => {
      MutableHashMap.remove(doubted, key)
      if (!doubtsAll()) return
      put(renewed, key, true)
      if (MutableHashMap.size(renewed) <= max) return
      for (const [oldest] of renewed) {
        MutableHashMap.remove(renewed, oldest)
        return
      }
    },
    has: (key) => {
      const since = Option.getOrUndefined(MutableHashMap.get(doubted, key))
      if (since !== undefined) {
        if (!isOver(since)) return true
        MutableHashMap.remove(doubted, key)
      }
      return doubtsAll() && !MutableHashMap.has(renewed, key)
    }
  }
}
