/**
 * Waits for what a test expects of the real world, and catches what a constructor refuses.
 *
 * @since 0.1.0
 */
import { OptionError } from "@nexobot/core/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/**
 * How long `eventually` waits: long enough for a machine that is busy with something else, because the time passes only
 * when something is wrong.
 *
 * @category constants
 * @since 0.1.0
 */
export const patience = "20 seconds"

/**
 * Asks every few milliseconds until there is an answer. Dies after `patience`, and says what did not happen.
 *
 * @category operations
 * @since 0.1.0
 */
export const eventually = <A, E, R>(what: string, ask: Effect.Effect<A | undefined, E, R>): Effect.Effect<A, E, R> =>
  ask.pipe(
    Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: (answer) => answer !== undefined }),
    Effect.timeoutOption(patience),
    Effect.flatMap((answer) =>
      Option.isSome(answer) && answer.value !== undefined
        ? Effect.succeed(answer.value)
        : Effect.die(new Error(`it did not happen: ${what}`))
    )
  )

/**
 * The `OptionError` with which a constructor refuses its options. Throws when it refuses nothing, or throws something
 * else.
 *
 * @category operations
 * @since 0.1.0
 */
export const refusal = (make: () => unknown): OptionError => {
  try {
    make()
  } catch (error) {
    if (error instanceof OptionError) return error
    throw error
  }
  throw new Error("nothing was refused")
}
