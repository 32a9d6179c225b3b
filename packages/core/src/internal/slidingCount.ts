/** Counts what happened within a sliding window; times are monotonic milliseconds. */
export interface SlidingCount {
  readonly add: (now: number) => void
  readonly total: (now: number) => number
}

/**
 * A ring of buckets, so that the cost is that of an addition however much is counted. The oldest bucket is forgotten
 * whole: between nine tenths of the window and all of it are remembered.
 */
export const make = (window: number, buckets = 10): SlidingCount => {
  const width = window / buckets
  const counts = Array.from({ length: buckets }, () => 0)
  let total = 0
  let newest = -1
  const advance = (now: number): number => {
    const bucket = Math.floor(now / width)
    for (let next = Math.max(newest, bucket - buckets) + 1; next <= bucket; next++) {
      const index = next % buckets
      total -= counts[index] ?? 0
      counts[index] = 0
    }
    newest = Math.max(newest, bucket)
    return newest % buckets
  }
  return {
    add: (now) => {
      const index = advance(now)
      counts[index] = (counts[index] ?? 0) + 1
      total++
    },
    total: (now) => {
      advance(now)
      return total
    }
  }
}
