import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import type { Policy } from "../../Policy.ts"

/**
 * A policy for plain Node. The call gets a signal that aborts when its caller does, or when the policy gives it up.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromisePolicy {
  readonly execute: <A>(
    call: (signal: AbortSignal) => PromiseLike<A> | A,
    options?: {
      /** Aborts the call, and any waiting of the policy, at once. The rejection is the signal's reason. */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<A>
}

/** The error itself, as the caller threw it; never a wrapper. */
const asThrown = (error: unknown) => error

/**
 * Runs promises under a policy written with Effect. What the call rejects with is what `execute` rejects with, and so
 * are the policy's own errors, which are classes with a `_tag`.
 */
export const fromPolicy = (policy: Policy<unknown>): PromisePolicy => ({
  execute: async (call, options = {}) => {
    const { signal } = options
    signal?.throwIfAborted()
    const guarded = policy(Effect.tryPromise({ try: async (own) => call(own), catch: asThrown }))
    const exit = await Effect.runPromiseExit(guarded, signal === undefined ? undefined : { signal })
    if (Exit.isSuccess(exit)) return exit.value
    if (Cause.hasInterruptsOnly(exit.cause)) signal?.throwIfAborted()
    throw Cause.squash(exit.cause)
  }
})
