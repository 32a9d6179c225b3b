/**
 * How a component is watched and healed.
 *
 * @since 0.1.0
 */
import type * as Health from "@nexobot/core/Health"
import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  /** Between checks; 5 seconds unless told. */
  readonly period?: Duration.Input
  /** Between checks while something is wrong or being verified; 500 milliseconds unless told. */
  readonly fastPeriod?: Duration.Input
  /** Between checks of an escalated component; 30 seconds unless told. */
  readonly slowPeriod?: Duration.Input
  /** Consecutive bad checks until an incident opens; 3 unless told. */
  readonly fall?: number
  /** Consecutive good checks until an unhealthy probe counts as healthy; 2 unless told. */
  readonly rise?: number
  /** How long all probes must be good after a remedy before the incident is resolved; 5 seconds unless told. */
  readonly stable?: Duration.Input
  /** How long a remedy may take to show; then the next rung is tried. 30 seconds unless told. */
  readonly within?: Duration.Input
  /** How long one check may take; then it is inconclusive. 10 seconds unless told. */
  readonly checkWithin?: Duration.Input
  /** How long carrying out a remedy may take; then it is interrupted, and the probes say what came of it. 1 minute. */
  readonly applyWithin?: Duration.Input
  /** Attempts until the component is left to a human; 5 unless told. */
  readonly attempts?: number
  /** Health that lasts this long gives the attempts back; 10 minutes unless told. */
  readonly resetAfter?: Duration.Input
}

/**
 * A checked policy; times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly period: number
  readonly fastPeriod: number
  readonly slowPeriod: number
  readonly health: Health.Policy
  readonly stable: number
  readonly within: number
  readonly checkWithin: number
  readonly applyWithin: number
  readonly attempts: number
  readonly resetAfter: number
}

const names = [
  "period",
  "fastPeriod",
  "slowPeriod",
  "fall",
  "rise",
  "stable",
  "within",
  "checkWithin",
  "applyWithin",
  "attempts",
  "resetAfter"
] as const

/**
 * Checks options; `module` is named in the error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: PolicyOptions = {}, module = "Policy"): Policy => {
  const checks = Options.checks(module)
  checks.known(options, names)
  const millis = (name: keyof PolicyOptions, value: Duration.Input) =>
    Duration.toMillis(checks.duration(name, value, "1 millis"))
  const policy: Policy = {
    period: millis("period", options.period ?? "5 seconds"),
    fastPeriod: millis("fastPeriod", options.fastPeriod ?? "500 millis"),
    slowPeriod: millis("slowPeriod", options.slowPeriod ?? "30 seconds"),
    health: {
      fall: checks.integer("fall", options.fall ?? 3, 1),
      rise: checks.integer("rise", options.rise ?? 2, 1)
    },
    stable: millis("stable", options.stable ?? "5 seconds"),
    within: millis("within", options.within ?? "30 seconds"),
    checkWithin: millis("checkWithin", options.checkWithin ?? "10 seconds"),
    applyWithin: millis("applyWithin", options.applyWithin ?? "1 minute"),
    attempts: checks.integer("attempts", options.attempts ?? 5, 1),
    resetAfter: millis("resetAfter", options.resetAfter ?? "10 minutes")
  }
  if (policy.within < policy.stable) {
    checks.fail("within", options.within ?? "30 seconds", "at least `stable`, or no remedy could ever be verified")
  }
  return policy
}
