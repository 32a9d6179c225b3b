/**
 * Whether, and after what delay, a process that ended is started again.
 *
 * The delays are a `Backoff`; a sliding window over restarts (Erlang/OTP's restart intensity) bounds their number, and a
 * long enough run begins them anew. Nothing here touches a process or a clock: a policy is data, its memory is a value,
 * and a decision is a pure function of both.
 *
 * @since 0.1.0
 */
import * as Backoff from "@nexobot/core/Backoff"
import * as Intensity from "@nexobot/core/Intensity"
import * as Options from "@nexobot/core/Options"
import type { ProcessExit } from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"

/**
 * As in Erlang/OTP: always restarted, restarted after an abnormal exit (a code that is not among the normal ones, or
 * anything but a code), never restarted.
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
  readonly backoff: Backoff.Backoff
  readonly attempts: number | undefined
  readonly intensity: { readonly limit: number; readonly window: Duration.Duration }
  readonly stableAfter: Duration.Duration
  readonly normalCodes: ReadonlyArray<number>
}

/**
 * A `RestartPolicy` is itself such options: what `make` returns can be given wherever options are.
 *
 * @category models
 * @since 0.1.0
 */
export interface RestartOptions {
  /** `permanent` unless told. */
  readonly type?: RestartType
  /** The delays between restarts, or what makes exponential ones; `RestartPolicy.backoff()` unless told. */
  readonly backoff?: Backoff.Backoff | Backoff.ExponentialOptions
  /** Most restarts in a row, without a run of `stableAfter` between them; as many as `intensity` allows unless told. */
  readonly attempts?: number | undefined
  /** At most this many restarts within any such window; 10 in 60 s unless told. */
  readonly intensity?: Intensity.Policy
  /** A run of at least this long begins delays and `attempts` anew; 10 s unless told. */
  readonly stableAfter?: Duration.Input
  /** Exit codes, from 0 to 255, with which it ends well; `[0]` unless told. */
  readonly normalCodes?: ReadonlyArray<number>
}

/**
 * Why a policy gave up: too many restarts within the window, or in a row.
 *
 * @category models
 * @since 0.1.0
 */
export type GiveUpReason = "IntensityExceeded" | "AttemptsExhausted"

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
 * What a policy remembers of one life of a process: from a requested start to the next.
 *
 * @category models
 * @since 0.1.0
 */
export interface Memory {
  /** Restarts since the last stable run. */
  readonly attempt: number
  /** When it was, or will be, restarted: monotonic milliseconds. */
  readonly restarts: Intensity.Attempts
}

/**
 * Of a process that was just started on request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fresh: Memory = { attempt: 0, restarts: [] }

const checks = Options.checks("RestartPolicy")

/**
 * The usual delays: the first restart at once, later ones after `initial` (100 ms), growing by `factor` (2) up to `max`
 * (2 s), of which the second half is at random (`equal`) unless told.
 *
 * The limit is low on purpose. Ten restarts of a process that ends within its first seconds then fit into the default
 * window of a minute, so that a crash loop is given up instead of going on for ever just below the limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backoff = (options: Backoff.ExponentialOptions = {}): Backoff.Backoff => {
  const later = Backoff.exponential({ max: "2 seconds", jitter: "equal", ...options })
  return { delay: (attempt, seed) => (attempt === 0 ? 0 : later.delay(attempt - 1, seed)) }
}

const isBackoff = (value: Backoff.Backoff | Backoff.ExponentialOptions): value is Backoff.Backoff =>
  "delay" in value && typeof value.delay === "function"

/**
 * Makes a policy. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: RestartOptions = {}): RestartPolicy => {
  checks.known(options, ["type", "backoff", "attempts", "intensity", "stableAfter", "normalCodes"])
  const delays = options.backoff ?? backoff()
  if (typeof delays !== "object" || delays === null) checks.fail("backoff", delays, "a Backoff, or options of one")
  const intensity = options.intensity ?? { limit: 10, window: "60 seconds" }
  checks.known(intensity, ["limit", "window"], "intensity.")
  const codes = options.normalCodes ?? [0]
  if (!Array.isArray(codes)) checks.fail("normalCodes", codes, "an array of exit codes")
  return {
    type: checks.oneOf("type", options.type ?? "permanent", ["permanent", "transient", "temporary"]),
    backoff: isBackoff(delays) ? delays : Backoff.exponential(delays),
    attempts: options.attempts === undefined ? undefined : checks.integer("attempts", options.attempts, 0),
    intensity: {
      limit: checks.integer("intensity.limit", intensity.limit, 0),
      window: checks.duration("intensity.window", intensity.window, "1 millis")
    },
    stableAfter: checks.duration("stableAfter", options.stableAfter ?? "10 seconds"),
    normalCodes: codes.map((code, index) => checks.integer(`normalCodes[${index}]`, code, 0, 255))
  }
}

/**
 * Whether it ended well.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isNormal = (policy: RestartPolicy, exit: ProcessExit): boolean =>
  exit._tag === "Exited" && policy.normalCodes.includes(exit.code)

/**
 * Decides about a run that took `ranFor` and ended at `now` (monotonic milliseconds); `seed`, from 0 up to but not
 * including 1, spreads the delay.
 *
 * @category transitions
 * @since 0.1.0
 */
export const decide = (
  policy: RestartPolicy,
  memory: Memory,
  end: {
    readonly exit: ProcessExit
    readonly ranFor: Duration.Duration
    readonly now: number
    readonly seed: number
  }
): { readonly decision: Decision; readonly memory: Memory } => {
  if (policy.type === "temporary" || (policy.type === "transient" && isNormal(policy, end.exit))) {
    return { decision: { _tag: "Done" }, memory }
  }
  const attempt = Duration.isGreaterThanOrEqualTo(end.ranFor, policy.stableAfter) ? 0 : memory.attempt
  if (policy.attempts !== undefined && attempt >= policy.attempts) {
    return { decision: { _tag: "GiveUp", reason: "AttemptsExhausted" }, memory }
  }
  const after = policy.backoff.delay(attempt, end.seed)
  // The window counts restarts, not decisions: with shrinking delays more restarts than decisions could fit in.
  const restarts = Intensity.attempt(policy.intensity, memory.restarts, end.now + after)
  if (restarts === undefined) return { decision: { _tag: "GiveUp", reason: "IntensityExceeded" }, memory }
  return { decision: { _tag: "Restart", after: Duration.millis(after) }, memory: { attempt: attempt + 1, restarts } }
}
