/**
 * A cap on calls at a time that finds its own value: it grows while calls are as fast as they were when there were few,
 * and shrinks when they get slower, which means that they queue at the other side, or when they fail.
 *
 * A gradient as in the adaptive concurrency filter of Envoy and in `Gradient2Limit` of Netflix's concurrency-limits: the
 * next limit is the limit × tolerance × baseline / latency, from half of the limit up to itself, plus its square root
 * while there is no queue. Failures decrease it by a ratio, as in `AIMDLimit` of the latter.
 *
 * The baseline, the latency without load, is the lowest median of a window. A process that starts while the other side is
 * overloaded has never seen that: every 20th window tries half of the limit, and keeps it if calls are so much faster that
 * the whole was too high. If the other side has become slower for good, the limit falls to `min`, and what is measured
 * there is the new baseline.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"

import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"
import type { Policy } from "./Policy.ts"

const checks = Options.checks("AdaptiveLimit")

/**
 * As many calls run as the other side is believed to bear.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitReached extends Schema.TaggedClass<LimitReached>("@nexobot/core/AdaptiveLimit/LimitReached")(
  "LimitReached",
  { limit: Schema.Int }
) {}

/**
 * The call was not made. One error serves many callers, so its stack is not theirs.
 *
 * @category errors
 * @since 0.1.0
 */
export class AdaptiveLimitError extends Schema.TaggedError<AdaptiveLimitError>("@nexobot/core/AdaptiveLimitError")(
  "AdaptiveLimitError",
  {
    /** Of the limit. */
    name: Schema.String,
    reason: LimitReached
  }
) {
  readonly [Outcome.refusal] = true
  override get message(): string {
    return (
      `the limit "${this.name}" is reached: ${this.reason.limit} calls run, and more would queue at the other side; ` +
      "shed this call, or try again later"
    )
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveLimitOptions {
  /** Calls at a time to begin with, from `min` to `max`; 20 unless told, or the nearest that is allowed. */
  readonly initial?: number
  /** Never less: what the other side bears in any state; 1 unless told. The baseline is measured anew at this limit. */
  readonly min?: number
  /** Never more; 1000 unless told. */
  readonly max?: number
  /** How many times slower than the baseline calls may be before the limit shrinks, from 1 to 10; 1.5 unless told. */
  readonly tolerance?: number
  /** What the limit is multiplied by after a window with too many failures, from 0.1 to 0.99; 0.9 unless told. */
  readonly backoff?: number
  /** The share of a window's calls that may fail, from 0 up to 1; 0.1 unless told. */
  readonly failureRatio?: number
  /**
   * How often the limit changes at most, at least 10 milliseconds; 1 second unless told. A window lasts until 10 calls
   * that began in it have ended, so that it is the present limit that is judged.
   */
  readonly window?: Duration.Input
  /** What a call says about the other side; `Outcome.byResult` unless told. Only successes tell the latency. */
  readonly classify?: Outcome.Classify
  /** In metrics and errors; `adaptive_limit` unless told. */
  readonly name?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** Calls that may run at a time. */
  readonly limit: number
  readonly running: number
  /** The latency without load; `undefined` before the first window has ended. */
  readonly baseline: Duration.Duration | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveLimit {
  readonly policy: Policy<AdaptiveLimitError>
  readonly inspect: () => State
}

/** As in Netflix's `WindowedLimit`. */
const leastSamples = 10

/** Windows from one trial of half the limit to the next. */
const trialEvery = 20

/** Latencies kept of a window, the last ones: enough for a median. */
const mostSamples = 256

const refusals = Metric.counter("nexobot_adaptive_limit_refusals", {
  description: "Calls that an adaptive limit refused",
  incremental: true
})

const current = Metric.gauge("nexobot_adaptive_limit_limit", { description: "Calls that may run at a time" })

interface Settings {
  readonly initial: number
  readonly min: number
  readonly max: number
  readonly tolerance: number
  readonly backoff: number
  readonly failureRatio: number
  readonly window: number
  readonly classify: Outcome.Classify
  readonly name: string
}

const keys = ["initial", "min", "max", "tolerance", "backoff", "failureRatio", "window", "classify", "name"] as const

const resolve = (options: AdaptiveLimitOptions): Settings => {
  checks.known(options, keys)
  const min = checks.integer("min", options.min ?? 1, 1)
  const max = checks.integer("max", options.max ?? Math.max(1000, min), min)
  const classify = options.classify ?? Outcome.byResult
  if (typeof classify !== "function") checks.fail("classify", classify, "a function")
  return {
    initial: checks.integer("initial", options.initial ?? Math.min(max, Math.max(min, 20)), min, max),
    min,
    max,
    tolerance: checks.number("tolerance", options.tolerance ?? 1.5, 1, 10),
    backoff: checks.number("backoff", options.backoff ?? 0.9, 0.1, 0.99),
    failureRatio: checks.number("failureRatio", options.failureRatio ?? 0.1, 0, 0.999),
    window: Duration.toMillis(checks.duration("window", options.window ?? "1 second", "10 millis")),
    classify,
    name: checks.nonEmptyString("name", options.name ?? "adaptive_limit")
  }
}

/** The calls that began after the limit was last looked at. */
class Window {
  readonly #latencies = new Float64Array(mostSamples)
  successes = 0
  failures = 0
  /** Most calls at a time, with the one that was refused if there was one. */
  peak: number
  readonly since: number

  constructor(since: number, peak: number) {
    this.since = since
    this.peak = peak
  }

  succeeded(latency: number): void {
    this.#latencies[this.successes % mostSamples] = latency
    this.successes++
  }

  get size(): number {
    return this.successes + this.failures
  }

  median(): number | undefined {
    const count = Math.min(this.successes, mostSamples)
    // Of two in the middle the lower one: it is a latency that was seen.
    return this.#latencies.subarray(0, count).toSorted()[(count - 1) >> 1]
  }
}

/**
 * An adaptive limit for one dependency, and for calls that take about as long as each other: keep a limit of its own for
 * each kind of call. It refuses and never queues; retry above it, or not at all.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: AdaptiveLimitOptions = {}): Effect.Effect<AdaptiveLimit> => {
  const settings = resolve(options)
  const { classify, max, min, name } = settings
  const gauge = Metric.withAttributes(current, { name })
  return Effect.gen(function* () {
    const clock = yield* Monotonic.reader
    /** With its fraction, so that small steps add up. */
    let limit = settings.initial
    let running = 0
    let baseline: number | undefined
    let window = new Window(clock(), 0)
    let windows = 0
    /** What half of the limit is tried against. */
    let trial: { readonly limit: number; readonly latency: number } | undefined
    let refuse: { readonly limit: number; readonly effect: Effect.Effect<never, AdaptiveLimitError> } | undefined

    const refuseAt = (whole: number) => {
      if (refuse?.limit !== whole) {
        const effect = Effect.andThen(
          Metric.update(Metric.withAttributes(refusals, { name }), 1),
          // Made once: most of the cost of an error is its stack.
          Effect.fail(new AdaptiveLimitError({ name, reason: new LimitReached({ limit: whole }) }))
        )
        refuse = { limit: whole, effect }
      }
      return refuse.effect
    }

    const nextLimit = (): number => {
      const against = trial
      trial = undefined
      windows++
      const present = against?.limit ?? limit
      if (window.failures > window.size * settings.failureRatio) return present * settings.backoff
      const latency = window.median()
      if (latency === undefined) return present
      // At the least limit there is no load of ours: calls that are slow here have become slow.
      baseline = baseline === undefined || Math.floor(limit) === min ? latency : Math.min(baseline, latency)
      if (against !== undefined) {
        if (against.latency <= latency * settings.tolerance) return present
        windows = trialEvery
        return limit
      }
      // Nobody knows whether more than twice of what was tried would be borne.
      const isUsed = window.peak * 2 >= limit
      const gradient = latency === 0 ? 1 : Math.max(0.5, Math.min(1, (settings.tolerance * baseline) / latency))
      if (gradient < 1) return limit * gradient
      if (!isUsed) return limit
      const next = limit + Math.sqrt(limit)
      if (windows < trialEvery) return next
      windows = 0
      trial = { limit: next, latency }
      return next / 2
    }

    const close = (now: number): Effect.Effect<void> | undefined => {
      const before = Math.floor(limit)
      limit = Math.min(max, Math.max(min, nextLimit()))
      window = new Window(now, running)
      const after = Math.floor(limit)
      return before === after ? undefined : Metric.update(gauge, after)
    }

    const leave = (
      exit: Exit.Exit<unknown, unknown>,
      began: number,
      within: Window
    ): Effect.Effect<void> | undefined => {
      running--
      // What began under an earlier limit says nothing about this one.
      if (within !== window) return undefined
      const outcome = Outcome.ofExit(exit, classify)
      if (outcome === "ignored") return undefined
      const now = clock()
      if (outcome === "success") window.succeeded(now - began)
      else window.failures++
      return window.size >= leastSamples && now - window.since >= settings.window ? close(now) : undefined
    }

    const policy: Policy<AdaptiveLimitError> = <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.uninterruptibleMask<A, E | AdaptiveLimitError, R>((restore) => {
        const whole = Math.floor(limit)
        if (running >= whole) {
          window.peak = Math.max(window.peak, running + 1)
          return refuseAt(whole)
        }
        running++
        window.peak = Math.max(window.peak, running)
        const began = clock()
        const within = window
        return Effect.onExitPrimitive(restore(self), (exit) => leave(exit, began, within))
      })

    yield* Metric.update(gauge, settings.initial)
    return {
      policy,
      inspect: () => ({
        limit: Math.floor(limit),
        running,
        baseline: baseline === undefined ? undefined : Duration.millis(baseline)
      })
    }
  })
}
