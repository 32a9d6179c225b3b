/**
 * Probes for programs without Effect.
 *
 * @since 0.1.0
 */
import type * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * @category models
 * @since 0.1.0
 */
export interface CheckOptions {
  /** Its abortion ends the check; nothing is left open then. */
  readonly signal?: AbortSignal
}

/**
 * Runs a check once. The services that a probe needs come in `context`, without which it does not compile: a
 * supervisor's handle has one with `ProcessControl`.
 *
 * Rejects only with the reason of `signal`, and with what a defective probe threw.
 *
 * @category operations
 * @since 0.1.0
 */
export const check = async <S extends Verdict.Signature, R>(
  probe: Probe.Probe<S, R>,
  ...[options]: [R] extends [never]
    ? [options?: CheckOptions]
    : [options: CheckOptions & { readonly context: Context.Context<R> }]
): Promise<Verdict.Verdict<S>> => {
  // Without a context, R is never.
  const none = Context.empty() as Context.Context<R> // oxlint-disable-line typescript/no-unsafe-type-assertion
  const { context = none, signal }: CheckOptions & { readonly context?: Context.Context<R> } = options ?? {}
  signal?.throwIfAborted()
  return Effect.runPromiseWith(context)(probe.check, signal === undefined ? {} : { signal }).catch((cause: unknown) => {
    throw signal?.aborted === true ? signal.reason : cause
  })
}
