/**
 * A sliding window over attempts: at most `limit` within `window`. As a policy it refuses the calls above that at once;
 * `attempt` is the same as a pure function, with times in monotonic milliseconds.
 *
 * The idea is Erlang/OTP's restart intensity: what is tried too often is broken in a way that trying does not mend.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"

import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"
import type * as Guard from "./Policy.ts"

/**
 * The numbers of a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** Attempts allowed within the window. */
  readonly limit: number
  readonly window: Duration.Input
}

/**
 * The attempts that still lie within the window, oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export type Attempts = ReadonlyArray<number>

/**
 * Counts an attempt at `now`, or returns `undefined` when the window is full.
 *
 * @category transitions
 * @since 0.1.0
 */
export const attempt = (
  policy: { readonly limit: number; readonly window: Duration.Duration },
  attempts: Attempts,
  now: number
): Attempts | undefined => {
  const since = now - Duration.toMillis(policy.window)
  const recent = attempts.filter((at) => at > since)
  return recent.length < policy.limit ? [...recent, now] : undefined
}

/**
 * There were as many attempts within the window as are allowed.
 *
 * @category errors
 * @since 0.1.0
 */
export class Exceeded extends Schema.TaggedClass<Exceeded>("@nexobot/core/Intensity/Exceeded")("Exceeded", {
  limit: Schema.Int,
  window: Schema.Duration
}) {}

/**
 * The call was not made.
 *
 * @category errors
 * @since 0.1.0
 */
export class IntensityError extends Schema.TaggedError<IntensityError>("@nexobot/core/IntensityError")(
  "IntensityError",
  {
    /** Of the window. */
    name: Schema.String,
    reason: Exceeded,
    /** Until the oldest attempt leaves the window. */
    retryAfter: Schema.Duration
  }
) {
  readonly [Outcome.refusal] = true
  override get message(): string {
    const { limit, window } = this.reason
    return `${this.name}: the call was not made, as there were ${limit} within ${Duration.format(window)}; find out what makes them necessary, or try again in ${Duration.format(this.retryAfter)}`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface IntensityOptions extends Policy {
  /** Calls allowed within the window, at least 1. */
  readonly limit: number
  /** At least 1 millisecond; time is monotonic. */
  readonly window: Duration.Input
  /** In metrics and errors; `intensity` unless told. */
  readonly name?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** Attempts within the window. */
  readonly attempts: number
  /** Until another attempt is allowed; zero when it is now. */
  readonly retryAfter: Duration.Duration
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Intensity {
  /** Counts the call when it begins, whatever becomes of it; a refused one does not count. */
  readonly policy: Guard.Policy<IntensityError>
  readonly inspect: () => State
}

const refusals = Metric.counter("nexobot_intensity_refusals", {
  description: "Calls above the limit of a window",
  incremental: true
})

const checks = Options.checks("Intensity")

/**
 * A window with no attempt in it. It remembers at most `limit` times, and a call costs the same whatever the limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: IntensityOptions): Effect.Effect<Intensity> => {
  checks.known(options, ["limit", "window", "name"])
  const limit = checks.integer("limit", options.limit, 1)
  const window = checks.duration("window", options.window, "1 millis")
  const name = checks.nonEmptyString("name", options.name ?? "intensity")
  const span = Duration.toMillis(window)
  const reason = new Exceeded({ limit, window })
  const count = Metric.update(Metric.withAttributes(refusals, { name }), 1)
  const refused = (left: number) =>
    Effect.andThen(count, Effect.fail(new IntensityError({ name, reason, retryAfter: Duration.millis(left) })))
  return Effect.map(Monotonic.reader, (clock): Intensity => {
    // A ring of the last `limit` attempts: the one that the next replaces is the oldest.
    const times: Array<number> = []
    let next = 0
    const wait = (now: number) => {
      const oldest = times[next]
      return oldest === undefined ? 0 : Math.max(0, oldest + span - now)
    }
    return {
      policy: <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.suspend<A, E | IntensityError, R>(() => {
          const now = clock()
          const left = wait(now)
          if (left > 0) return refused(left)
          times[next] = now
          next = (next + 1) % limit
          return self
        }),
      inspect: () => {
        const now = clock()
        return {
          attempts: times.filter((at) => at > now - span).length,
          retryAfter: Duration.millis(wait(now))
        }
      }
    }
  })
}
