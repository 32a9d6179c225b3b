import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

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
      /**
       * Aborts the call, and any waiting of the policy. The rejection is the signal's reason, whatever the call then does,
       * and comes at once: what is released goes on without anybody waiting for it.
       */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<A>
}

/** The error itself, as the caller threw it; never a wrapper. */
const asThrown = (error: unknown) => error

/** A call as an effect that fails with what it rejects with. */
export const fromCall = <A>(call: (signal: AbortSignal) => PromiseLike<A> | A): Effect.Effect<A, unknown> =>
  Effect.tryPromise({ try: async (own) => call(own), catch: asThrown })

const valueOf = <A>(exit: Exit.Exit<A, unknown>): A => {
  if (Exit.isSuccess(exit)) return exit.value
  throw Cause.squash(exit.cause)
}

const runUntil = async <A>(effect: Effect.Effect<A, unknown>, signal: AbortSignal): Promise<A> => {
  signal.throwIfAborted()
  const { promise, reject, resolve } = Promise.withResolvers<Exit.Exit<A, unknown>>()
  let fiber: Fiber.Fiber<A, unknown> | undefined
  const abort = () => {
    // Whatever comes of the interruption, and however long its finalizers take.
    reject(signal.reason)
    fiber?.interruptUnsafe()
  }
  signal.addEventListener("abort", abort, { once: true })
  try {
    fiber = Effect.runFork(effect)
    if (signal.aborted) fiber.interruptUnsafe()
    fiber.addObserver(resolve)
    return valueOf(await promise)
  } finally {
    signal.removeEventListener("abort", abort)
  }
}

/**
 * Runs an effect until its end, and rejects with the failure itself; or until the signal aborts, and rejects with its
 * reason without waiting for the effect's finalizers. Plain JavaScript may give `null` for no signal.
 */
export const run = async <A>(effect: Effect.Effect<A, unknown>, signal: AbortSignal | null | undefined): Promise<A> =>
  signal === undefined || signal === null ? valueOf(await Effect.runPromiseExit(effect)) : runUntil(effect, signal)

/** What `execute` does, written with Effect, so that several layers can share one run. */
interface Native {
  readonly policy: Policy<unknown>
  /** What the innermost layer gives the call beside the signal. */
  readonly prepare?: <A>(
    call: (signal: AbortSignal) => PromiseLike<A> | A
  ) => (signal: AbortSignal) => PromiseLike<A> | A
}

const natives = new WeakMap<PromisePolicy["execute"], Native>()

export const nativeOf = (policy: PromisePolicy): Native | undefined => natives.get(policy.execute)

/** Says of an `execute` that was written otherwise what it does. */
export const associate = <P extends PromisePolicy>(policy: P, native: Native): P => {
  natives.set(policy.execute, native)
  return policy
}

/**
 * Runs promises under a policy written with Effect. What the call rejects with is what `execute` rejects with, and so
 * are the policy's own errors, which are classes with a `_tag`.
 */
export const fromPolicy = (policy: Policy<unknown>): PromisePolicy =>
  associate({ execute: (call, options) => run(policy(fromCall(call)), options?.signal) }, { policy })
