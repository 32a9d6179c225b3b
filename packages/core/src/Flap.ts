/**
 * How restless a target is: a score that each change between good and bad raises and that quiet time halves. The higher
 * it is, the longer a target must be steady before anybody relies on what it shows.
 *
 * It is the damping of routes of RFC 2439 (penalty, half-life, a threshold to suppress and a lower one to reuse, a
 * ceiling), applied to checks. A pure machine, one value per target; times are monotonic milliseconds. An inconclusive
 * check moves nothing.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

import * as Options from "./Options.ts"
import type { Signature, Verdict } from "./Verdict.ts"

const checks = Options.checks("Flap")

/**
 * @category models
 * @since 0.1.0
 */
export interface FlapOptions {
  /** Quiet time that halves the score; 5 minutes unless told (for routes RFC 2439 takes 15). */
  readonly halfLife?: Duration.Input
  /**
   * A score from which the target is flapping; 4 unless told, which is two outages in a row. It is what routers do by
   * default: 2000, where a withdrawal costs 1000 and is two changes here.
   */
  readonly suppress?: number
  /** A score below which it no longer is; less than `suppress`; 1.5 unless told, as the 750 of routers. */
  readonly reuse?: number
  /** The score grows no further, so that a long storm is not held against the target for ever; 12 unless told. */
  readonly max?: number
  /** How long a target with a score of 0 must be steady; doubled by each outage; 5 seconds unless told. */
  readonly holdDown?: Duration.Input
  /** No hold-down is longer; 5 minutes unless told. */
  readonly maxHoldDown?: Duration.Input
}

/**
 * Checked options; times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly halfLife: number
  readonly suppress: number
  readonly reuse: number
  readonly max: number
  readonly holdDown: number
  readonly maxHoldDown: number
}

/**
 * What is known of one target.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flap {
  /** What the last conclusive check showed; `undefined` before the first. */
  readonly good: boolean | undefined
  /** When it began to show that. */
  readonly since: number
  /** When it last did. Time in which nobody could tell is not steady time. */
  readonly seen: number
  /** As it was at `since`. */
  readonly score: number
  /** Whether the score has reached `suppress`, at `since`, and was not below `reuse` after that. */
  readonly flapping: boolean
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: FlapOptions = {}): Policy => {
  checks.known(options, ["halfLife", "suppress", "reuse", "max", "holdDown", "maxHoldDown"])
  const suppress = checks.number("suppress", options.suppress ?? 4, 1)
  const reuse = checks.number("reuse", options.reuse ?? Math.min(1.5, suppress / 2), 0)
  // With one threshold for both, the target would alternate between flapping and not; at 0 it would never cease to.
  if (reuse === 0 || reuse >= suppress) checks.fail("reuse", reuse, "more than 0 and less than `suppress`")
  const holdDown = checks.duration("holdDown", options.holdDown ?? "5 seconds")
  const usual = Duration.max(Duration.minutes(5), holdDown)
  return {
    halfLife: Duration.toMillis(checks.duration("halfLife", options.halfLife ?? "5 minutes", "1 millis")),
    suppress,
    reuse,
    max: checks.number("max", options.max ?? Math.max(12, suppress), suppress),
    holdDown: Duration.toMillis(holdDown),
    maxHoldDown: Duration.toMillis(checks.duration("maxHoldDown", options.maxHoldDown ?? usual, holdDown))
  }
}

/**
 * Nothing was checked yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: Flap = { good: undefined, since: 0, seen: 0, score: 0, flapping: false }

/**
 * The score at `now`, from 0 to `max`; one change adds 1.
 *
 * @category accessors
 * @since 0.1.0
 */
export const score = (policy: Policy, self: Flap, now: number): number =>
  self.score * 2 ** (-Math.max(0, now - self.since) / policy.halfLife)

/**
 * Whether it alternates so often that what it shows at the moment means little.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isFlapping = (policy: Policy, self: Flap, now: number): boolean =>
  self.flapping && score(policy, self, now) >= policy.reuse

/**
 * The state after one more check. A degraded target works: it counts as good.
 *
 * @category transitions
 * @since 0.1.0
 */
export const next = (policy: Policy, self: Flap, verdict: Verdict<Signature>, now: number): Flap => {
  if (verdict._tag === "Inconclusive") return self
  const good = verdict._tag !== "Unhealthy"
  if (good === self.good) return now <= self.seen ? self : { ...self, seen: now }
  if (self.good === undefined) return { ...initial, good, since: now, seen: now }
  const raised = Math.min(policy.max, score(policy, self, now) + 1)
  const flapping = raised >= policy.suppress || isFlapping(policy, self, now)
  return { good, since: now, seen: now, score: raised, flapping }
}

/**
 * How many milliseconds the target must stay as it is now: `holdDown`, doubled by every two changes that the score
 * remembers, up to `maxHoldDown`. It is fixed by the last change, so a wait that has begun gets no longer.
 *
 * @category accessors
 * @since 0.1.0
 */
export const holdDown = (policy: Policy, self: Flap): number =>
  Math.min(policy.maxHoldDown, policy.holdDown * 2 ** (self.score / 2))

/**
 * Whether conclusive checks have shown the same, good or bad, for the whole hold-down.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isSteady = (policy: Policy, self: Flap): boolean =>
  self.good !== undefined && self.seen - self.since >= holdDown(policy, self)

/**
 * Whether a target that was unhealthy may count as healthy again: it has been good for the whole hold-down.
 *
 * @category accessors
 * @since 0.1.0
 */
export const hasRecovered = (policy: Policy, self: Flap): boolean => self.good === true && isSteady(policy, self)

/**
 * Whether repairing it makes sense: it is bad, and if it was flapping it has been bad for the whole hold-down. A target
 * that comes back by itself again and again is not helped by being restarted each time it is away.
 *
 * @category accessors
 * @since 0.1.0
 */
export const mayRepair = (policy: Policy, self: Flap, now: number): boolean =>
  self.good === false && (!isFlapping(policy, self, now) || isSteady(policy, self))
