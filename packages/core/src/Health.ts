/**
 * Rise and fall: one bad check is no outage, and one good check is no recovery.
 *
 * A pure machine, one value per probe. An inconclusive check moves nothing: it shows as `Unknown` and counts neither as
 * failure nor as success.
 *
 * @since 0.1.0
 */
import type { Signature, Verdict } from "./Verdict.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** Consecutive bad checks until the target counts as unhealthy. */
  readonly fall: number
  /** Consecutive good checks until an unhealthy target counts as healthy again. */
  readonly rise: number
}

/**
 * @category models
 * @since 0.1.0
 */
export type Status = "Unknown" | "Healthy" | "Degraded" | "Unhealthy"

/**
 * @category models
 * @since 0.1.0
 */
export interface Health<out S extends Signature = Signature> {
  /** What hysteresis has confirmed; `Unknown` before the first conclusive check. */
  readonly confirmed: Status
  /** The signature of a confirmed `Unhealthy` or `Degraded`, or of failures that are not confirmed yet. */
  readonly signature: S | undefined
  readonly evidence: ReadonlyArray<string>
  /** Consecutive bad checks. */
  readonly failures: number
  /** Consecutive good checks since the last bad one. */
  readonly successes: number
  /** Why the last check said nothing, if it did. */
  readonly inconclusive: string | undefined
}

/**
 * Nothing was checked yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: Health<never> = {
  confirmed: "Unknown",
  signature: undefined,
  evidence: [],
  failures: 0,
  successes: 0,
  inconclusive: undefined
}

/**
 * The health after one more check.
 *
 * @category transitions
 * @since 0.1.0
 */
export const next = <S extends Signature>(policy: Policy, self: Health<S>, verdict: Verdict<S>): Health<S> => {
  switch (verdict._tag) {
    case "Inconclusive":
      return { ...self, inconclusive: verdict.reason }
    case "Unhealthy": {
      const failures = self.failures + 1
      return {
        confirmed: failures >= policy.fall ? "Unhealthy" : self.confirmed,
        signature: verdict.signature,
        evidence: verdict.evidence,
        failures,
        successes: 0,
        inconclusive: undefined
      }
    }
    case "Healthy":
    case "Degraded": {
      const successes = self.successes + 1
      const recovering = self.confirmed === "Unhealthy" && successes < policy.rise
      const degraded = verdict._tag === "Degraded" ? verdict : undefined
      return {
        confirmed: recovering ? "Unhealthy" : verdict._tag,
        signature: recovering ? self.signature : degraded?.signature,
        evidence: recovering ? self.evidence : (degraded?.evidence ?? []),
        failures: 0,
        successes,
        inconclusive: undefined
      }
    }
  }
}

/**
 * What to show: a probe whose last check said nothing is `Unknown`, never `Healthy`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const status = (self: Health): Status => (self.inconclusive === undefined ? self.confirmed : "Unknown")
