/**
 * What one check found.
 *
 * A signature is any `Schema.TaggedClass`: typed, encodable, and cheap, because it carries no stack. Tags are
 * namespaced by the kind of probe, for example `Http/Timeout`.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"

/**
 * The typed reason of a verdict that is not healthy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Signature {
  readonly _tag: string
}

/**
 * The class of a signature: a codec that knows its tag.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignatureClass<out S extends Signature = Signature> extends Schema.ConstraintCodec<S, unknown> {
  readonly fields: { readonly _tag: { readonly schema: { readonly literal: S["_tag"] } } }
}

/**
 * The target does what it is for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Healthy {
  readonly _tag: "Healthy"
  /** What was seen, where that is worth telling: the address that answered, for example. */
  readonly evidence?: ReadonlyArray<string>
}

/**
 * The target works, with a defect worth knowing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Degraded<out S> {
  readonly _tag: "Degraded"
  readonly signature: S
  /** What was seen, line by line, for people; never parsed. */
  readonly evidence: ReadonlyArray<string>
}

/**
 * The target does not do what it is for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unhealthy<out S> {
  readonly _tag: "Unhealthy"
  readonly signature: S
  /** What was seen, line by line, for people; never parsed. */
  readonly evidence: ReadonlyArray<string>
}

/**
 * The check itself failed: it says nothing about the target, and starts no remediation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inconclusive {
  readonly _tag: "Inconclusive"
  readonly reason: string
}

/**
 * The result of one check.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict<S> = Healthy | Degraded<S> | Unhealthy<S> | Inconclusive

/**
 * @category constructors
 * @since 0.1.0
 */
export const healthy: Healthy = { _tag: "Healthy" }

/**
 * Healthy, and there is something to tell.
 *
 * @category constructors
 * @since 0.1.0
 */
export const healthyWith = (evidence: ReadonlyArray<string>): Healthy => ({ _tag: "Healthy", evidence })

/**
 * @category constructors
 * @since 0.1.0
 */
export const degraded = <S extends Signature>(signature: S, evidence: ReadonlyArray<string> = []): Degraded<S> => ({
  _tag: "Degraded",
  signature,
  evidence
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const unhealthy = <S extends Signature>(signature: S, evidence: ReadonlyArray<string> = []): Unhealthy<S> => ({
  _tag: "Unhealthy",
  signature,
  evidence
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const inconclusive = (reason: string): Inconclusive => ({ _tag: "Inconclusive", reason })

/**
 * The tag that a signature class stands for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tagOf = <S extends Signature>(signatureClass: SignatureClass<S>): S["_tag"] =>
  signatureClass.fields._tag.schema.literal
