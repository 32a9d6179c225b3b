import * as Effect from "effect/Effect"

import * as Fallback from "../../Fallback.ts"
import { fromTracker, type PromiseMode } from "./degradedMode.ts"
import { fromCall, run } from "./policy.ts"

/**
 * A policy for plain Node that may answer with a `B` of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseRescue<out B> {
  readonly execute: <A>(
    call: (signal: AbortSignal) => PromiseLike<A> | A,
    options?: {
      /** Aborts the call, and any waiting of the policy, at once. The rejection is the signal's reason. */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<A | B>
}

/**
 * A fallback for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseFallback<out B> extends PromiseRescue<B>, PromiseMode {
  /** The same as `execute`, and says whether the answer is the lesser one. */
  readonly answer: <A>(
    call: (signal: AbortSignal) => PromiseLike<A> | A,
    options?: { readonly signal?: AbortSignal | undefined }
  ) => Promise<Fallback.Answer<A, B, unknown>>
  readonly stats: () => Fallback.Stats
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PromiseFallbackOptions<out B> {
  /** The lesser answer. Keep it simple: it should need nothing that can fail in the same way. */
  readonly to: (error: unknown, signal: AbortSignal) => PromiseLike<B> | B
  /** Which rejections are answered; all are, unless told. */
  readonly when?: (error: unknown) => boolean
  /** Shows in metrics and errors; `fallback` unless told. */
  readonly name?: string
}

/**
 * Answers rejections with something lesser. Rejects with `FallbackError` when the fallback does as well.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fallback = <B>(options: PromiseFallbackOptions<B>): PromiseFallback<B> => {
  Fallback.check(options)
  const { to, ...rest } = options
  const made = Effect.runSync(
    Fallback.make({
      when: () => true,
      ...rest,
      to: (error: unknown) => fromCall((signal) => to(error, signal))
    })
  )
  return {
    execute: (call, given) => run(made.policy(fromCall(call)), given?.signal),
    answer: (call, given) => run(made.answer(fromCall(call)), given?.signal),
    ...fromTracker(made),
    stats: () => Effect.runSync(made.stats)
  }
}
