/**
 * An action meant to restore health. Contravariant in its signature: a remedy that needs `{ pid }` treats every
 * signature that has one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Options from "./Options.ts"

/**
 * The precondition does not hold: nothing was done.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@nexobot/core/Remediator/Refused")("Refused", {
  why: Schema.String
}) {}

/**
 * The action was tried and did not do what it should.
 *
 * @category errors
 * @since 0.1.0
 */
export class Failed extends Schema.TaggedClass<Failed>("@nexobot/core/Remediator/Failed")("Failed", {
  why: Schema.String
}) {}

/**
 * Error of a remediation.
 *
 * @category errors
 * @since 0.1.0
 */
export class RemediationError extends Schema.TaggedError<RemediationError>("@nexobot/core/RemediationError")(
  "RemediationError",
  { remediator: Schema.String, reason: Schema.Union([Refused, Failed]) }
) {
  override get message(): string {
    return `${this.remediator} ${this.reason._tag === "Refused" ? "refused" : "failed"}: ${this.reason.why}`
  }
}

/**
 * What else feels the action.
 *
 * @category models
 * @since 0.1.0
 */
export type BlastRadius = "file" | "process" | "component" | "host"

/**
 * What the action needs of the operating system.
 *
 * @category models
 * @since 0.1.0
 */
export type Privilege = "none" | "own-user" | "root"

/**
 * @category models
 * @since 0.1.0
 */
export interface Remediator<in S, out R = never> {
  /** Stable name of the rung in journals and approvals. */
  readonly id: string
  readonly description: string
  readonly blastRadius: BlastRadius
  /** Whether what was before can be had back. */
  readonly reversible: boolean
  readonly privilege: Privilege
  /** A human must agree first. */
  readonly needsApproval: boolean
  /** A snapshot must have been taken first. */
  readonly needsSnapshot: boolean
  /** Checked right before acting; a refusal does nothing and counts as no attempt. */
  readonly precondition: (signature: S) => Effect.Effect<void, RemediationError, R>
  readonly apply: (signature: S) => Effect.Effect<void, RemediationError, R>
}

const checks = Options.checks("Remediator")

/** Both ascending. */
const radii: ReadonlyArray<BlastRadius> = ["file", "process", "component", "host"]
const privileges: ReadonlyArray<Privilege> = ["none", "own-user", "root"]

/**
 * Makes a remediator.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <S, R = never, R2 = never>(options: {
  readonly id: string
  readonly description: string
  readonly blastRadius: BlastRadius
  readonly reversible: boolean
  /** `none` unless told. */
  readonly privilege?: Privilege
  /** `false` unless told. */
  readonly needsApproval?: boolean
  /** `false` unless told. */
  readonly needsSnapshot?: boolean
  /** Always holds unless told. */
  readonly precondition?: (signature: S) => Effect.Effect<void, RemediationError, R2>
  readonly apply: (signature: S) => Effect.Effect<void, RemediationError, R>
  // Without `NoInfer` a rung written in place, with no precondition, would need `unknown`: what a ladder may need.
}): Remediator<S, R | NoInfer<R2>> => ({
  id: checks.nonEmptyString("id", options.id),
  description: checks.nonEmptyString("description", options.description),
  blastRadius: checks.oneOf("blastRadius", options.blastRadius, radii),
  reversible: options.reversible,
  privilege: checks.oneOf("privilege", options.privilege ?? "none", privileges),
  needsApproval: options.needsApproval ?? false,
  needsSnapshot: options.needsSnapshot ?? false,
  precondition: options.precondition ?? (() => Effect.void),
  apply: options.apply
})

/**
 * One rung of several steps, done in order. Its precondition is the first step's; each later step's is checked when its
 * turn comes, because the earlier ones make it true. It is as far-reaching as its worst step.
 *
 * @category combinators
 * @since 0.1.0
 */
export const sequence = <S1, R1, S2, R2>(
  first: Remediator<S1, R1>,
  second: Remediator<S2, R2>
): Remediator<S1 & S2, R1 | R2> => ({
  id: `${first.id}, ${second.id}`,
  description: `${first.description}; then ${second.description}`,
  blastRadius: widest(first.blastRadius, second.blastRadius),
  reversible: first.reversible && second.reversible,
  privilege: strongest(first.privilege, second.privilege),
  needsApproval: first.needsApproval || second.needsApproval,
  needsSnapshot: first.needsSnapshot || second.needsSnapshot,
  precondition: first.precondition,
  apply: (signature) =>
    first.apply(signature).pipe(
      // Lazily: the second step may look at the world as soon as it is called, not only when it runs.
      Effect.flatMap(() => second.precondition(signature)),
      Effect.flatMap(() => second.apply(signature))
    )
})

const greatest =
  <const A extends string>(ascending: ReadonlyArray<A>) =>
  (a: A, b: A): A =>
    ascending.indexOf(a) >= ascending.indexOf(b) ? a : b
const widest = greatest(radii)
const strongest = greatest(privileges)

/**
 * The precondition of remedy `remediator` does not hold.
 *
 * @category errors
 * @since 0.1.0
 */
export const refused = (remediator: string, why: string): RemediationError =>
  new RemediationError({ remediator, reason: new Refused({ why }) })

/**
 * Remedy `remediator` was tried and failed.
 *
 * @category errors
 * @since 0.1.0
 */
export const failed = (remediator: string, why: string): RemediationError =>
  new RemediationError({ remediator, reason: new Failed({ why }) })
