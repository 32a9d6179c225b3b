import type { ChildProcess } from "node:child_process"
import type { Socket } from "node:net"

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as Timeout from "../../Timeout.ts"
import { ownOf } from "../ownership.ts"
import { associate, fromCall, run } from "./policy.ts"

/**
 * Something that must not outlive a call that was given up, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseOwned {
  /** In errors. */
  readonly description: string
  /** Done once, when the call is given up and `isGone` says `false`. */
  readonly release: () => unknown
  /** Asked again and again; a rejection says that nobody knows. */
  readonly isGone: () => PromiseLike<boolean> | boolean
}

/**
 * Registers what the call owns, at any time while it runs. What comes after the call was given up is released at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseOwn {
  /** Destroyed; gone when its handle has closed. */
  readonly socket: (socket: Socket, description?: string) => void
  /** SIGTERM, after the grace (500 milliseconds unless told) SIGKILL; gone when it was reaped and its pipes are closed. */
  readonly child: (child: ChildProcess, options?: { readonly grace?: Duration.Input }) => void
  readonly resource: (owned: PromiseOwned) => void
}

/**
 * A timeout for plain Node. The call gets a signal that aborts when it is given up, and a way to register what it owns.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseTimeout {
  readonly execute: <A>(
    call: (signal: AbortSignal, own: PromiseOwn) => PromiseLike<A> | A,
    options?: {
      /**
       * Aborts the call, and releases what it owns. The rejection is the signal's reason, and comes at once: the release
       * goes on without anybody waiting for it.
       */
      readonly signal?: AbortSignal | undefined
    }
  ) => Promise<A>
}

const tried = <A>(f: () => PromiseLike<A> | A) => Effect.promise(async () => f())

/** The call starts on the fiber that is guarded, so what is current then is its register, and no other's. */
const prepare =
  <A>(call: (signal: AbortSignal, own: PromiseOwn) => PromiseLike<A> | A) =>
  (signal: AbortSignal): PromiseLike<A> | A => {
    const own = ownOf(Fiber.getCurrent())
    return call(signal, {
      socket: (socket, description) => own(Timeout.socket(socket, description)),
      child: (child, options) => own(Timeout.child(child, options)),
      resource: ({ description, isGone, release }) =>
        own({ description, release: tried(release), isGone: tried(isGone) })
    })
  }

/**
 * A timeout with the options of `Timeout.make`; it rejects with `TimeoutError`, which says what became of the call. A
 * promise cannot be stopped: without a registered resource nobody knows. Composed with other policies, as the innermost,
 * it gives the call the same second argument.
 *
 * @category constructors
 * @since 0.1.0
 */
export const timeout = (settings: Timeout.TimeoutOptions): PromiseTimeout => {
  const { policy } = Timeout.make(settings)
  const guarded: PromiseTimeout = {
    execute: (call, options) => run(policy(fromCall(prepare(call))), options?.signal)
  }
  return associate(guarded, { policy, prepare })
}
