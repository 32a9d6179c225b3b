import * as Effect from "effect/Effect"

import * as Retry from "../../Retry.ts"
import * as RetryBudget from "../../RetryBudget.ts"
import { fromCall, run } from "./policy.ts"

/**
 * Retries for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseRetry {
  /** Calls until it works or there is no sense in it; `attempt` counts from 1. */
  readonly execute: <A>(
    call: (signal: AbortSignal, attempt: number) => PromiseLike<A> | A,
    options?: {
      /** Aborts the attempt that runs, or the pause, at once. The rejection is the signal's reason. */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<A>
}

/**
 * Retries a call that rejects. The last rejection comes out as it is; `RetryError` says why there was no further attempt
 * where it was not for their number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retry = (options: Retry.RetryOptions = {}): PromiseRetry => {
  const { policy } = Retry.make(options)
  return {
    execute: (call, { signal } = {}) =>
      run(policy(Effect.flatMap(Retry.Attempt, (attempt) => fromCall((own) => call(own, attempt)))), signal)
  }
}

/**
 * A budget for the `retry` policies of all that call the same backend.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryBudget = (options: RetryBudget.RetryBudgetOptions = {}): RetryBudget.RetryBudget =>
  Effect.runSync(RetryBudget.make(options))
