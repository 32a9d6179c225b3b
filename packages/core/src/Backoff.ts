/**
 * How long to wait before the next attempt: a pure function of the attempt and of a seed between 0 and 1. What is
 * persisted between runs is the attempt, never the delay; schedules are derived.
 *
 * Jitter is full unless told otherwise: any delay between zero and the computed one is as likely, which spreads a herd
 * best (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

import * as Options from "./Options.ts"

const checks = Options.checks("Backoff")

/**
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  /**
   * The delay in milliseconds before attempt `attempt + 1`; 0 is the first failure. `seed` is from 0 up to but not
   * including 1, and moves nothing without jitter.
   */
  readonly delay: (attempt: number, seed: number) => number
}

/**
 * - `full`: anything between zero and the computed delay.
 * - `equal`: half of the computed delay, and anything up to the other half.
 * - `none`: the computed delay; callers that failed together come back together.
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = "full" | "equal" | "none"

const jitters: ReadonlyArray<Jitter> = ["full", "equal", "none"]

const spread = (millis: number, jitter: Jitter, seed: number): number => {
  switch (jitter) {
    case "full":
      return millis * seed
    case "equal":
      return millis / 2 + (millis / 2) * seed
    case "none":
      return millis
  }
}

/**
 * The same delay every time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (
  delay: Duration.Input,
  options: {
    /** `none` unless told. */
    readonly jitter?: Jitter
  } = {}
): Backoff => {
  checks.known(options, ["jitter"])
  const millis = Duration.toMillis(checks.duration("delay", delay))
  const jitter = checks.oneOf("jitter", options.jitter ?? "none", jitters)
  return { delay: (_, seed) => spread(millis, jitter, seed) }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ExponentialOptions {
  /** Before the first repetition; 100 milliseconds unless told. */
  readonly initial?: Duration.Input
  /** What each delay is multiplied by to have the next, from 1 to 100; 2 unless told. */
  readonly factor?: number
  /** No delay is longer; 30 seconds unless told. */
  readonly max?: Duration.Input
  /** `full` unless told. */
  readonly jitter?: Jitter
}

/**
 * Delays that grow up to a limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: ExponentialOptions = {}): Backoff => {
  checks.known(options, ["initial", "factor", "max", "jitter"])
  const initial = Duration.toMillis(checks.duration("initial", options.initial ?? "100 millis"))
  const factor = checks.number("factor", options.factor ?? 2, 1, 100)
  const max = Duration.toMillis(checks.duration("max", options.max ?? "30 seconds", initial))
  const jitter = checks.oneOf("jitter", options.jitter ?? "full", jitters)
  // 0 × ∞ is not a number: no delay stays no delay, however often it is doubled.
  return {
    delay: (attempt, seed) => (initial === 0 ? 0 : spread(Math.min(max, initial * factor ** attempt), jitter, seed))
  }
}

/**
 * The same delays as a schedule that never ends; randomness comes from Effect's `Random`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const schedule = (self: Backoff): Schedule.Schedule<number> =>
  Schedule.modifyDelay(Schedule.forever, ({ output }) =>
    Effect.map(Random.next, (seed) => Duration.millis(self.delay(output, seed)))
  )
