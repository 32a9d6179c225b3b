/**
 * The times at which a probe is to be checked: fixed places, an interval apart, and each turn a little beside its own.
 * Nothing adds up: after a thousand rounds the thousandth place is where it always was.
 *
 * @since 0.1.0
 */

/** Times are milliseconds. */
export interface Grid {
  readonly interval: number
  /** The time of place 0. */
  readonly origin: number
  /** Turns are at its multiples. */
  readonly slot: number
  /** A share of the interval. */
  readonly jitter: number
}

/**
 * When the `index`-th of so many grids has its first turn, from the begin of the runner: one after the other, a thousand
 * a second, and sooner only as far as it is to be within the first interval.
 */
export const firstTurn = (index: number, count: number, interval: number): number =>
  index * Math.min(1, interval / count)

/**
 * Of a runner: to wake up costs several checks, so that some ten of them wait for each other, if that is not for long.
 */
export const slotOf = (intervals: ReadonlyArray<number>): number => {
  const perMilli = intervals.reduce((sum, interval) => sum + 1 / interval, 0)
  return Math.min(10 / perMilli, shortestOf(intervals) / 10, 500)
}

const shortestOf = (intervals: ReadonlyArray<number>): number =>
  intervals.reduce((shortest, interval) => Math.min(shortest, interval), Infinity)

/**
 * Where the `index`-th grid of a runner has its origin, as a share of the interval. Steps of the golden ratio spread any
 * number of grids evenly, also those of one interval among others.
 */
export const phase = (index: number, offset: number): number => (offset + index * 0.618_033_988_749_894_9) % 1

/**
 * The place after this one that has not passed. From between the places, for which `place` is `undefined`, it is more
 * than half an interval away.
 */
export const placeAfter = (self: Grid, now: number, place: number | undefined): number => {
  const passed = (now - self.origin) / self.interval
  return place === undefined ? Math.floor(passed + 0.5) + 1 : Math.max(place, Math.floor(passed)) + 1
}

/** When its turn is. `draw` is from 0 to 1. */
export const timeOf = (self: Grid, place: number, draw: number): number => {
  const time = self.origin + self.interval * (place + (2 * draw - 1) * self.jitter)
  return Math.ceil(time / self.slot) * self.slot
}
