/**
 * What the loop tells the outside: states, recovery log, statistics, outcomes. Plain and encodable, so that the REST
 * API, the dashboard and the Promise face show the same shapes.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * - `Unknown`: nothing conclusive was seen; never shown as healthy.
 * - `Starting`: failures do not count yet.
 * - `Suspect`: bad checks, fewer than `fall` in a row.
 * - `Recovering`: a rung is being carried out.
 * - `Verifying`: the rung is done, the probes have not been healthy for long enough.
 * - `Escalated`: no rung is left, or none may be tried; a human is needed. Watched on, slowly.
 * - `Stopped`: on request; left alone.
 *
 * @category models
 * @since 0.1.0
 */
export const ComponentStatus = Schema.Literals([
  "Unknown",
  "Starting",
  "Healthy",
  "Degraded",
  "Suspect",
  "Unhealthy",
  "Recovering",
  "Verifying",
  "Escalated",
  "Stopped"
])

/**
 * @category models
 * @since 0.1.0
 */
export type ComponentStatus = typeof ComponentStatus.Type

/**
 * @category models
 * @since 0.1.0
 */
export const ProbeState = Schema.Struct({
  name: Schema.String,
  status: Schema.Literals(["Unknown", "Healthy", "Degraded", "Unhealthy"]),
  /** Tag of the signature last reported, if it is not healthy. */
  signature: Schema.optionalKey(Schema.String),
  evidence: Schema.Array(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ProbeState = typeof ProbeState.Type

/**
 * @category models
 * @since 0.1.0
 */
export const ComponentState = Schema.Struct({
  name: Schema.String,
  status: ComponentStatus,
  /** Since when it has this status; ISO 8601, UTC. */
  since: Schema.String,
  /** One line for people: what is wrong, or what is being done. Empty when healthy. */
  detail: Schema.String,
  /** Attempts made since the component was last stably healthy, and how many are allowed. */
  attempts: Schema.Int,
  attemptLimit: Schema.Int,
  probes: Schema.Array(ProbeState)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ComponentState = typeof ComponentState.Type

/**
 * One attempt of one rung, an escalation, or a recovery without us.
 *
 * @category models
 * @since 0.1.0
 */
export const RecoveryLogEntry = Schema.Struct({
  /** When it ended; ISO 8601, UTC. */
  timestamp: Schema.String,
  component: Schema.String,
  /** Tag of the signature that was treated. */
  error: Schema.String,
  /** Why this answer: the rule and what was seen. */
  diagnosis: Schema.String,
  action: Schema.String,
  /** Verified by the component's probes, not by the action's own word. */
  success: Schema.Boolean
})

/**
 * @category models
 * @since 0.1.0
 */
export type RecoveryLogEntry = typeof RecoveryLogEntry.Type

/**
 * Derived from the journal, so they survive a restart.
 *
 * @category models
 * @since 0.1.0
 */
export const Statistics = Schema.Struct({
  /** Incidents that ended: healed, or escalated to a human. One that a stop on request ended is in the log only. */
  totalRecoveries: Schema.Int,
  /** Share of them that healed, 0–1; 0 when there was none. */
  successRate: Schema.Finite,
  /** Mean time from the opening of a healed incident to its verified end, in seconds; 0 when there was none. */
  avgRecoveryTime: Schema.Finite,
  /** Tag of the most frequent signature; empty when there was none. */
  mostCommonError: Schema.String,
  /** Component with the most incidents; empty when there was none. */
  mostProblematicComponent: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type Statistics = typeof Statistics.Type

/**
 * How a recovery that somebody asked for ended.
 *
 * - `healthy`: nothing was wrong, nothing was done.
 * - `recovered`: a rung was carried out (or the component healed meanwhile), and the probes verified it.
 * - `escalated`: a human is needed.
 * - `stopped`: the component is stopped on request, so nothing was done.
 * - `unknown`: its probes cannot tell, so nothing was done.
 *
 * @category models
 * @since 0.1.0
 */
export const Outcome = Schema.Struct({
  component: Schema.String,
  outcome: Schema.Literals(["healthy", "recovered", "escalated", "stopped", "unknown"]),
  /** The rung that healed it, if one did. */
  action: Schema.optionalKey(Schema.String),
  detail: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type
