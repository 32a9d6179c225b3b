/**
 * Refuses calls by itself when the backend accepts few: the more it fails, the fewer calls reach it, so that it is not
 * kept down by the load of calls that fail anyway. No configuration of the backend is needed, and each client decides
 * on what it sees alone.
 *
 * The chance to be refused is max(0, (requests − K · accepts) / (requests + 1)) over the last two minutes, where
 * requests are all calls, with the refused ones, and accepts those that succeeded ("Handling Overload" in Site
 * Reliability Engineering, 2016).
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"

import * as SlidingCount from "./internal/slidingCount.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"
import type { Policy } from "./Policy.ts"

const checks = Options.checks("Throttle")

/**
 * The backend accepted too few of the recent calls.
 *
 * @category errors
 * @since 0.1.0
 */
export class Overloaded extends Schema.TaggedClass<Overloaded>("@nexobot/core/Throttle/Overloaded")("Overloaded", {}) {}

/**
 * The call was not made.
 *
 * @category errors
 * @since 0.1.0
 */
export class ThrottleError extends Schema.TaggedError<ThrottleError>("@nexobot/core/ThrottleError")("ThrottleError", {
  /** Of the throttle. */
  name: Schema.String,
  reason: Overloaded
}) {
  readonly [Outcome.refusal] = true
  override get message(): string {
    return `the throttle "${this.name}" refused the call: too few recent calls succeeded; do without, or try again later`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ThrottleOptions {
  /** In metrics and errors; `throttle` unless told. */
  readonly name?: string
  /**
   * K: calls that may reach the backend for each that it accepts, from 1 to 100; 2 unless told. Nothing is refused while
   * at least one in K succeeds. A lower one spares the backend more, a higher one notices its return sooner.
   */
  readonly multiplier?: number
  /** How long calls count, at least 1 second; 2 minutes unless told. Time is monotonic. */
  readonly window?: Duration.Input
  /**
   * The largest chance to be refused, from 0 to 1; 1 unless told, which is the formula as it is. It takes some four
   * windows to pass all calls again after a long outage, at times ten; with 0.9 it takes less than two.
   */
  readonly maxRefusal?: number
  /** What a call says about the backend; `Outcome.byResult` unless told. What is ignored counts neither way. */
  readonly classify?: Outcome.Classify
}

/**
 * What a throttle has seen within its window.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** Calls, with those that were refused. */
  readonly requests: number
  readonly accepts: number
  /** The chance that the next call is refused, from 0 to 1. */
  readonly refusal: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Throttle {
  readonly policy: Policy<ThrottleError>
  readonly inspect: () => State
}

const refusals = Metric.counter("nexobot_throttle_refusals", {
  description: "Calls that a throttle refused",
  incremental: true
})

/**
 * A throttle for one backend. A call counts when it ends: calls in flight are neither accepted nor refused yet, and a
 * burst at a healthy backend is none of its failures. Limit the time of calls inside, or one that hangs never counts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ThrottleOptions = {}): Effect.Effect<Throttle> => {
  checks.known(options, ["name", "multiplier", "window", "maxRefusal", "classify"])
  const name = checks.nonEmptyString("name", options.name ?? "throttle")
  const multiplier = checks.number("multiplier", options.multiplier ?? 2, 1, 100)
  const window = Duration.toMillis(checks.duration("window", options.window ?? "2 minutes", "1 second"))
  const maxRefusal = checks.number("maxRefusal", options.maxRefusal ?? 1, 0, 1)
  const classify = options.classify ?? Outcome.byResult
  if (typeof classify !== "function") checks.fail("classify", classify, "a function")
  return Effect.map(Monotonic.reader, (clock) => {
    const requests = SlidingCount.make(window)
    const accepts = SlidingCount.make(window)
    const chance = (now: number) => {
      const made = requests.total(now)
      return Math.min(maxRefusal, Math.max(0, (made - multiplier * accepts.total(now)) / (made + 1)))
    }
    // Made once: most of the cost of an error is its stack.
    const refused = Effect.andThen(
      Metric.update(Metric.withAttributes(refusals, { name }), 1),
      Effect.fail(new ThrottleError({ name, reason: new Overloaded() }))
    )
    const count = (exit: Exit.Exit<unknown, unknown>): undefined => {
      const outcome = Outcome.ofExit(exit, classify)
      if (outcome === "ignored") return
      const now = clock()
      requests.add(now)
      if (outcome === "success") accepts.add(now)
    }
    const policy: Policy<ThrottleError> = <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.withFiber<A, E | ThrottleError, R>((fiber) => {
        const now = clock()
        const refusal = chance(now)
        if (refusal > 0 && fiber.getRef(Random.Random).nextDoubleUnsafe() < refusal) {
          requests.add(now)
          return refused
        }
        return Effect.onExitPrimitive(self, count)
      })
    return {
      policy,
      inspect: () => {
        const now = clock()
        return { requests: requests.total(now), accepts: accepts.total(now), refusal: chance(now) }
      }
    }
  })
}
