/**
 * Time that no clock step moves, for windows, periods and differences. Wall time only labels.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * Milliseconds of the monotonic clock; only differences mean something.
 *
 * @category accessors
 * @since 0.1.0
 */
export const millis: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/**
 * Reads the same clock without an effect, for code that is too hot for one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reader: Effect.Effect<() => number> = Effect.map(
  Clock.Clock,
  (clock) => () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
)
