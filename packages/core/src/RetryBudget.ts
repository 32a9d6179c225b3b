/**
 * How many retries callers may make together: a share of their calls, and a few more each second. When a backend is
 * down, retries of all of them would multiply its load just as it tries to come back; a budget keeps that bounded.
 *
 * The idea and the numbers are Finagle's: 20 % of the calls, and 10 per second, over 10 seconds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as SlidingCount from "./internal/slidingCount.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"

const checks = Options.checks("RetryBudget")

/** A millionth of a retry: `0.29 * 100` is a little less than 29 in binary. */
const rounding = 1e-6

/**
 * @category models
 * @since 0.1.0
 */
export interface RetryBudgetOptions {
  /** Retries per call, from 0 to 10; 0.2 unless told. */
  readonly ratio?: number
  /** Retries per second that are allowed whatever the number of calls, from 0 up; 10 unless told. */
  readonly floor?: number
  /** How long calls and retries count, at least 1 second; 10 seconds unless told. Time is monotonic. */
  readonly window?: Duration.Input
}

/**
 * What a budget has seen within its window.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly calls: number
  readonly retries: number
  /** Retries that would be allowed now, with no further call. */
  readonly available: number
}

/**
 * Give one budget to all callers of the same backend. Its operations are plain functions of constant cost.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget {
  /** Counts a call: the first attempt, not its retries. */
  readonly deposit: () => void
  /** Counts a retry and returns `true`, or returns `false` when there is none left. */
  readonly withdraw: () => boolean
  readonly inspect: () => State
}

/**
 * A budget with nothing spent. The whole window's floor may be spent at once: with the defaults, 100 retries.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: RetryBudgetOptions = {}): Effect.Effect<RetryBudget> => {
  checks.known(options, ["ratio", "floor", "window"])
  const ratio = checks.number("ratio", options.ratio ?? 0.2, 0, 10)
  const floor = checks.number("floor", options.floor ?? 10, 0)
  const window = Duration.toMillis(checks.duration("window", options.window ?? "10 seconds", "1 second"))
  const reserve = (floor * window) / 1000
  return Effect.map(Monotonic.reader, (clock) => {
    const calls = SlidingCount.make(window)
    const retries = SlidingCount.make(window)
    const available = (now: number) =>
      Math.max(0, Math.floor(reserve + ratio * calls.total(now) + rounding) - retries.total(now))
    return {
      deposit: () => calls.add(clock()),
      withdraw: () => {
        const now = clock()
        if (available(now) === 0) return false
        retries.add(now)
        return true
      },
      inspect: () => {
        const now = clock()
        return { calls: calls.total(now), retries: retries.total(now), available: available(now) }
      }
    }
  })
}
