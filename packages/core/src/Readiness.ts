/**
 * May it receive work, and should it be restarted? Two questions with two answers: a server that starts or drains must
 * get no work, and must not be restarted for that.
 *
 * A pure machine, one value per target or for the own process; times are monotonic milliseconds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

import * as Options from "./Options.ts"

const checks = Options.checks("Readiness")

/**
 * @category models
 * @since 0.1.0
 */
export interface ReadinessOptions {
  /** How long starting may take; failures in that time count for nothing. 30 seconds unless told. */
  readonly grace?: Duration.Input
  /** Whether the first success ends the grace (unless told), or it always lasts whole. */
  readonly untilSuccess?: boolean
  /** How long draining may take; failures in that time count for nothing. 30 seconds unless told, as in Kubernetes. */
  readonly drain?: Duration.Input
}

/**
 * Checked options; times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly grace: number
  readonly untilSuccess: boolean
  readonly drain: number
}

/**
 * - `Starting`: it has not worked yet.
 * - `Ready`: it has.
 * - `Draining`: it was asked to end, and finishes what it has begun.
 * - `Stopped`: it has ended on request.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = "Starting" | "Ready" | "Draining" | "Stopped"

/**
 * @category models
 * @since 0.1.0
 */
export interface Readiness {
  readonly phase: Phase
  /** When it was started. */
  readonly started: number
  /** When this phase began. */
  readonly since: number
}

/**
 * What an endpoint answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly status: 200 | 503
  /** The phase, in lower case; `overdue` when it has lasted longer than it may. */
  readonly body: string
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ReadinessOptions = {}): Policy => {
  checks.known(options, ["grace", "untilSuccess", "drain"])
  const { untilSuccess = true } = options
  return {
    grace: Duration.toMillis(checks.duration("grace", options.grace ?? "30 seconds")),
    untilSuccess:
      typeof untilSuccess === "boolean" ? untilSuccess : checks.fail("untilSuccess", untilSuccess, "true or false"),
    drain: Duration.toMillis(checks.duration("drain", options.drain ?? "30 seconds"))
  }
}

/**
 * It was started at `now`.
 *
 * @category transitions
 * @since 0.1.0
 */
export const starting = (now: number): Readiness => ({ phase: "Starting", started: now, since: now })

/**
 * It works. What drains or is stopped does not become ready again by a late success: only a new start helps.
 *
 * @category transitions
 * @since 0.1.0
 */
export const ready = (self: Readiness, now: number): Readiness =>
  self.phase === "Starting" ? { ...self, phase: "Ready", since: now } : self

/**
 * It was asked to end, for example by SIGTERM. Asking again buys no time.
 *
 * @category transitions
 * @since 0.1.0
 */
export const draining = (self: Readiness, now: number): Readiness =>
  self.phase === "Starting" || self.phase === "Ready" ? { ...self, phase: "Draining", since: now } : self

/**
 * It has ended on request.
 *
 * @category transitions
 * @since 0.1.0
 */
export const stopped = (self: Readiness, now: number): Readiness =>
  self.phase === "Stopped" ? self : { ...self, phase: "Stopped", since: now }

/**
 * Why failures count for nothing at `now`, if they do.
 *
 * @category accessors
 * @since 0.1.0
 */
export const excuse = (policy: Policy, self: Readiness, now: number): Exclude<Phase, "Ready"> | undefined => {
  switch (self.phase) {
    case "Starting":
      return now - self.started < policy.grace ? "Starting" : undefined
    case "Ready":
      return !policy.untilSuccess && now - self.started < policy.grace ? "Starting" : undefined
    case "Draining":
      return now - self.since < policy.drain ? "Draining" : undefined
    case "Stopped":
      return "Stopped"
  }
}

/** A start or a drain that has used up its time hangs. */
const isOverdue = (policy: Policy, self: Readiness, now: number): boolean =>
  self.phase !== "Ready" && excuse(policy, self, now) === undefined

const answer = (policy: Policy, self: Readiness, now: number, good: boolean): Answer => ({
  status: good ? 200 : 503,
  body: isOverdue(policy, self, now) ? "overdue" : self.phase.toLowerCase()
})

/**
 * For `/readyz`: 200 only while it is ready.
 *
 * @category conversions
 * @since 0.1.0
 */
export const readiness = (policy: Policy, self: Readiness, now: number): Answer =>
  answer(policy, self, now, self.phase === "Ready")

/**
 * For `/healthz`: 200 while it starts, works or drains; 503 when it has stopped, or starting or draining takes longer
 * than it may, so that whoever restarts what hangs does.
 *
 * @category conversions
 * @since 0.1.0
 */
export const liveness = (policy: Policy, self: Readiness, now: number): Answer =>
  answer(policy, self, now, self.phase !== "Stopped" && !isOverdue(policy, self, now))
