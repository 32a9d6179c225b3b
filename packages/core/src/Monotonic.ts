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
