/**
 * Remedies for programs without Effect.
 *
 * @since 0.1.0
 */
import type * as Remediator from "@nexobot/core/Remediator"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * @category models
 * @since 0.1.0
 */
export interface ApplyOptions {
  /** Its abortion ends the remedy as soon as that is safe: a restart that has begun is brought to its end. */
  readonly signal?: AbortSignal
}

/**
 * Applies a remedy once, after its precondition. What it needs comes in `context`, without which it does not compile: a
 * supervisor's handle has one with `ProcessControl`.
 *
 * Nobody is asked and no snapshot is taken: that is the recovery loop's work, or yours.
 *
 * Rejects with `RemediationError` (its `reason._tag` is `Refused` when nothing was done, else `Failed`) or with the
 * reason of `signal`.
 *
 * @category operations
 * @since 0.1.0
 */
export const apply = async <S, R = never>(
  remediator: Remediator.Remediator<S, R>,
  signature: NoInfer<S>,
  ...[options]: [R] extends [never]
    ? [options?: ApplyOptions]
    : [options: ApplyOptions & { readonly context: Context.Context<R> }]
): Promise<void> => {
  // Without a context, R is never.
  const none = Context.empty() as Context.Context<R> // oxlint-disable-line typescript/no-unsafe-type-assertion
  const { context = none, signal }: ApplyOptions & { readonly context?: Context.Context<R> } = options ?? {}
  signal?.throwIfAborted()
  const remedy = Effect.andThen(remediator.precondition(signature), remediator.apply(signature))
  return Effect.runPromiseWith(context)(remedy, signal === undefined ? {} : { signal }).catch((cause: unknown) => {
    throw signal?.aborted === true ? signal.reason : cause
  })
}
