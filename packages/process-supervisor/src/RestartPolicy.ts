/**
 * Whether, and after what delay, a process that ended is started again.
 *
 * The delays are a `Schedule` value; a sliding window over restarts (Erlang/OTP's restart intensity) bounds their
 * number, and a long enough run begins the schedule anew. Nothing here touches a process: the whole policy can be
 * replayed under a virtual clock.
 *
 * @since 0.1.0
 */
import * as Intensity from "@nexobot/core/Intensity"
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Options from "@nexobot/core/Options"
import type { ProcessExit } from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"

/**
 * As in Erlang/OTP: always restarted, restarted after an abnormal exit (anything but code 0), never restarted.
 *
 * @category models
 * @since 0.1.0
 */
export type RestartType = "permanent" | "transient" | "temporary"

/**
 * @category models
 * @since 0.1.0
 */
export interface RestartPolicy {
  readonly type: RestartType
  readonly schedule: Schedule.Schedule<unknown, ProcessExit>
  readonly intensity: { readonly limit: number; readonly window: Duration.Duration }
  readonly stableAfter: Duration.Duration
}

/**
 * Why a policy gave up: too many restarts within the window, or a schedule that ended.
 *
 * @category models
 * @since 0.1.0
 */
export type GiveUpReason = "IntensityExceeded" | "ScheduleEnded"

/**
 * What to do after an exit; `Done` when the restart type says that this exit is fine.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision =
  | { readonly _tag: "Restart"; readonly after: Duration.Duration }
  | { readonly _tag: "GiveUp"; readonly reason: GiveUpReason }
  | { readonly _tag: "Done" }

/**
 * A policy with its memory: one for each life of a process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Driver {
  /** Decides about a run that took `ranFor`; times are read from the monotonic clock. */
  readonly decide: (exit: ProcessExit, ranFor: Duration.Duration) => Effect.Effect<Decision>
}

const checks = Options.checks("RestartPolicy")

/**
 * The usual delays: the first restart at once, later ones after `initial` (100 ms), growing by `factor` (2) up to `max`
 * (2 s), each within 20 % at random.
 *
 * The cap is low on purpose. Ten restarts of a process that ends within its first seconds then fit into the default
 * window of a minute, so that a crash loop is given up instead of going on for ever just below the limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backoff = (
  options: {
    readonly initial?: Duration.Input
    readonly factor?: number
    readonly max?: Duration.Input
  } = {}
): Schedule.Schedule<unknown, ProcessExit> => {
  checks.known(options, ["initial", "factor", "max"], "delays.")
  const initial = checks.duration("delays.initial", options.initial ?? "100 millis")
  const max = checks.duration("delays.max", options.max ?? "2 seconds", initial)
  const factor = options.factor ?? 2
  if (!Number.isFinite(factor) || factor < 1) {
    checks.fail("delays.factor", factor, "a finite number of at least 1")
  }
  return Schedule.concat(
    Schedule.recurs(1),
    Schedule.jittered(Schedule.min([Schedule.exponential(initial, factor), Schedule.spaced(max)]))
  )
}

/**
 * Makes a policy. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: {
    /** `permanent` unless told. */
    readonly type?: RestartType
    /** The delays between restarts; `backoff()` unless told. Its end means giving up. */
    readonly schedule?: Schedule.Schedule<unknown, ProcessExit>
    /** At most this many restarts within any such window; 10 in 60 s unless told. */
    readonly intensity?: Intensity.Policy
    /** A run of at least this long begins the schedule anew; 10 s unless told. */
    readonly stableAfter?: Duration.Input
  } = {}
): RestartPolicy => {
  checks.known(options, ["type", "schedule", "intensity", "stableAfter"])
  const schedule = options.schedule ?? backoff()
  if (!Schedule.isSchedule(schedule)) checks.fail("schedule", schedule, "a Schedule")
  const intensity = options.intensity ?? { limit: 10, window: "60 seconds" }
  checks.known(intensity, ["limit", "window"], "intensity.")
  return {
    type: checks.oneOf("type", options.type ?? "permanent", ["permanent", "transient", "temporary"]),
    schedule,
    intensity: {
      limit: checks.integer("intensity.limit", intensity.limit, 0),
      window: checks.duration("intensity.window", intensity.window, "1 millis")
    },
    stableAfter: checks.duration("stableAfter", options.stableAfter ?? "10 seconds")
  }
}

const isNormal = (exit: ProcessExit): boolean => exit._tag === "Exited" && exit.code === 0

/**
 * Starts a policy from its beginning.
 *
 * @category constructors
 * @since 0.1.0
 */
export const driver = (policy: RestartPolicy): Effect.Effect<Driver> =>
  Effect.map(Schedule.toStep(policy.schedule), (first): Driver => {
    let step = first
    let restarts: Intensity.Attempts = []
    return {
      decide: Effect.fnUntraced(function* (exit, ranFor) {
        if (policy.type === "temporary" || (policy.type === "transient" && isNormal(exit))) return { _tag: "Done" }
        if (Duration.isGreaterThanOrEqualTo(ranFor, policy.stableAfter)) step = yield* Schedule.toStep(policy.schedule)
        const now = yield* Monotonic.millis
        const after = yield* step(now, exit).pipe(
          Effect.map(([, delay]) => delay),
          Pull.catchDone(() => Effect.undefined)
        )
        if (after === undefined) return { _tag: "GiveUp", reason: "ScheduleEnded" }
        // The window counts restarts, not decisions: with shrinking delays more restarts than decisions could fit in.
        const counted = Intensity.attempt(policy.intensity, restarts, now + Duration.toMillis(after))
        if (counted === undefined) return { _tag: "GiveUp", reason: "IntensityExceeded" }
        restarts = counted
        return { _tag: "Restart", after }
      })
    }
  })
