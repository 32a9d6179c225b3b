import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

import * as CircuitBreaker from "../../CircuitBreaker.ts"
import * as Outcome from "../../Outcome.ts"
import { refused } from "../circuit.ts"
import * as Guard from "../circuitGuard.ts"
import { resolve } from "../circuitOptions.ts"
import * as Circuits from "../circuits.ts"
import { associate, type PromisePolicy } from "./policy.ts"

/**
 * The circuit of one key, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseCircuit extends PromisePolicy {
  readonly key: string
}

/**
 * A circuit breaker for plain Node. `execute`, and every operation that is given no key, means the circuit of the key
 * `CircuitBreaker.defaultKey`. Refused calls reject with `CircuitBreakerError`; a call whose signal aborts says nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseCircuitBreaker extends PromisePolicy {
  readonly circuit: (key: string) => PromiseCircuit
  readonly state: (key?: string) => CircuitBreaker.State
  readonly stats: (key?: string) => CircuitBreaker.Stats
  /** Keys that are remembered at present. */
  readonly keys: () => ReadonlyArray<string>
  /** Refuses all calls until `reset`. */
  readonly isolate: (key?: string) => void
  /** Closes the circuit at once, without a trial and a ramp, and forgets what happened. */
  readonly reset: (key?: string) => void
  /** Calls the listener soon after every transition, until the function that is returned here is called. */
  readonly onTransition: (listener: (transition: CircuitBreaker.Transition) => void) => () => void
}

/** For calls that take no signal. One that is handed out would gather the listeners of all calls. */
const unused = new AbortController().signal

/**
 * A circuit breaker with the options and defaults of `CircuitBreaker.make`. Sharing votes with other processes needs
 * `CircuitBreaker.makeShared`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const circuitBreaker = (options: CircuitBreaker.Options = {}): PromiseCircuitBreaker => {
  const resolved = resolve(options)
  const circuits = Effect.runSync(Circuits.make(resolved, CircuitBreaker.explain))
  const { now } = circuits
  const plain = resolved.classify === Outcome.byResult
  const slowAfter = resolved.settings.slow?.after
  const isSlow = (began: number): boolean => slowAfter !== undefined && now() - began >= slowAfter

  const handle = (key: string): PromiseCircuit => {
    let circuit = circuits.lookup(key)

    const admit = (): number => {
      if (circuit.phase === "Forgotten") circuit = circuits.lookup(key)
      return circuit.admit(now())
    }

    const executeUntil = async <A>(
      call: (signal: AbortSignal) => PromiseLike<A> | A,
      signal: AbortSignal
    ): Promise<A> => {
      signal.throwIfAborted()
      const ticket = admit()
      if (ticket === refused) throw circuits.refuse(circuit, now())
      const on = circuit
      const began = slowAfter === undefined ? 0 : now()
      const { promise: aborted, reject } = Promise.withResolvers<never>()
      const abort = () => reject(signal.reason)
      signal.addEventListener("abort", abort, { once: true })
      let value: A
      try {
        value = await Promise.race([aborted, call(signal)])
      } catch (error) {
        if (signal.aborted) on.release(ticket)
        else circuits.settle(on, ticket, Result.fail(error), isSlow(began))
        signal.throwIfAborted()
        throw error
      } finally {
        signal.removeEventListener("abort", abort)
      }
      circuits.settle(on, ticket, Result.succeed(value), isSlow(began))
      return value
    }

    const run = async <A>(
      call: (signal: AbortSignal) => PromiseLike<A> | A,
      on: Circuits.KeyedCircuit<CircuitBreaker.CircuitBreakerError>,
      ticket: number
    ): Promise<A> => {
      const began = slowAfter === undefined ? 0 : now()
      let value: A
      try {
        value = await call(call.length === 0 ? unused : new AbortController().signal)
      } catch (error) {
        circuits.settle(on, ticket, Result.fail(error), isSlow(began))
        throw error
      }
      if (plain) on.succeed(ticket, on.timed(ticket) ? now() : 0, isSlow(began))
      else circuits.settle(on, ticket, Result.succeed(value), isSlow(began))
      return value
    }

    const execute: PromisePolicy["execute"] = (call, given) => {
      if (given?.signal !== undefined) return executeUntil(call, given.signal)
      if (circuit.phase === "Closed") return run(call, circuit, circuit.generation)
      const ticket = admit()
      // Rejected, not thrown: a refusal costs half as much.
      return ticket === refused ? Promise.reject(circuits.refuse(circuit, now())) : run(call, circuit, ticket)
    }
    // Among policies written with Effect the circuit guards an effect as well.
    return associate({ key, execute }, { policy: Guard.make(circuits, undefined, key) })
  }

  return {
    execute: handle(CircuitBreaker.defaultKey).execute,
    circuit: handle,
    state: (key = CircuitBreaker.defaultKey) => Circuits.stateOf(circuits.peek(key)?.phase ?? "Closed"),
    stats: (key = CircuitBreaker.defaultKey) => CircuitBreaker.inspect(circuits, key),
    keys: () => circuits.keys(),
    isolate: (key = CircuitBreaker.defaultKey) => circuits.lookup(key).isolate(now()),
    reset: (key = CircuitBreaker.defaultKey) => circuits.lookup(key).reset(now()),
    // A listener that throws must not fail the call that moved the circuit.
    onTransition: (listener) =>
      circuits.listen((change) => queueMicrotask(() => listener(CircuitBreaker.transitionOf(change))))
  }
}
