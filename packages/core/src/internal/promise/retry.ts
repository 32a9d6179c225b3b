import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as Retry from "../../Retry.ts"
import * as RetryBudget from "../../RetryBudget.ts"
import { associate, fromCall, run } from "./policy.ts"

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

/** The call starts on the fiber that is guarded, so what is current then is the number of its own attempt. */
const prepare =
  <A>(call: (signal: AbortSignal, attempt: number) => PromiseLike<A> | A) =>
  (signal: AbortSignal): PromiseLike<A> | A =>
    call(signal, Fiber.getCurrent()?.getRef(Retry.Attempt) ?? 1)

/**
 * Retries a call that rejects. The last rejection comes out as it is; `RetryError` says why there was no further attempt
 * where it was not for their number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retry = (settings: Retry.RetryOptions = {}): PromiseRetry => {
  const { policy } = Retry.make(settings)
  const guarded: PromiseRetry = {
    execute: (call, options) => run(policy(fromCall(prepare(call))), options?.signal)
  }
  return associate(guarded, { policy, prepare })
}

/**
 * A budget for the `retry` policies of all that call the same backend.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryBudget = (options: RetryBudget.RetryBudgetOptions = {}): RetryBudget.RetryBudget =>
  Effect.runSync(RetryBudget.make(options))
