import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

import * as CircuitBreaker from "../../CircuitBreaker.ts"
import * as Outcome from "../../Outcome.ts"
import { type Circuit, refused } from "../circuit.ts"
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
  /**
   * Calls the listener soon after every transition, until the function that is returned here is called. What it throws is
   * logged as a warning, and changes nothing.
   */
  readonly onTransition: (listener: (transition: CircuitBreaker.Transition) => void) => () => void
}

/** Signals that never abort are alike, and making one costs half a call; but one for all would gather all listeners. */
const callsPerSignal = 8
let unused = new AbortController().signal
let timesGiven = 0
const neverAborted = (): AbortSignal => {
  if (timesGiven === callsPerSignal) {
    timesGiven = 0
    unused = new AbortController().signal
  }
  timesGiven++
  return unused
}

/** Queues a microtask for less than `queueMicrotask` does. */
const soon = Promise.resolve()

/** A call that its caller may give up. */
class Waiting {
  private ended = false
  private listening = false
  private readonly signal: AbortSignal
  private readonly circuit: Circuit
  private readonly ticket: number
  private readonly reject: (reason: unknown) => void
  constructor(signal: AbortSignal, circuit: Circuit, ticket: number, reject: (reason: unknown) => void) {
    this.signal = signal
    this.circuit = circuit
    this.ticket = ticket
    this.reject = reject
  }
  /** To be called a microtask later: listening costs more than all else, and is for nothing if the answer was there. */
  listen(): void {
    if (this.ended) return
    if (this.signal.aborted) return this.handleEvent()
    this.listening = true
    this.signal.addEventListener("abort", this, { once: true })
  }
  /** The signal aborted. */
  handleEvent(): void {
    if (this.ended) return
    this.ended = true
    this.circuit.release(this.ticket)
    this.reject(this.signal.reason)
  }
  /** The call ended; whether that is what its caller is to know. */
  end(): boolean {
    if (this.signal.aborted) this.handleEvent()
    if (this.ended) return false
    this.ended = true
    if (this.listening) this.signal.removeEventListener("abort", this)
    return true
  }
}

/** Not part of the turn of who moved the circuit. */
const tell = (listener: (transition: CircuitBreaker.Transition) => void, change: Circuits.Change): void =>
  queueMicrotask(() => {
    const told = Effect.sync(() => listener(CircuitBreaker.transitionOf(change)))
    Effect.runFork(
      Effect.catchCause(told, (cause) => Effect.logWarning("a listener for the transitions of circuits failed", cause))
    )
  })

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

    const runUntil = <A>(
      call: (signal: AbortSignal) => PromiseLike<A> | A,
      signal: AbortSignal,
      on: Circuits.KeyedCircuit<CircuitBreaker.CircuitBreakerError>,
      ticket: number
    ): Promise<A> =>
      // A race of promises would cost more than all the rest.
      new Promise<A>((fulfil, reject) => {
        const began = slowAfter === undefined ? 0 : now()
        const waiting = new Waiting(signal, on, ticket, reject)
        const failed = (error: unknown) => {
          if (!waiting.end()) return
          // What is thrown in here, such as by `classify`, is what the promise rejects with.
          try {
            circuits.settle(on, ticket, Result.fail(error), isSlow(began))
            reject(error)
          } catch (defect) {
            reject(defect)
          }
        }
        const succeeded = (value: A) => {
          if (!waiting.end()) return
          try {
            if (plain) on.succeed(ticket, on.timed(ticket) ? now() : 0, isSlow(began))
            else circuits.settle(on, ticket, Result.succeed(value), isSlow(began))
            fulfil(value)
          } catch (defect) {
            reject(defect)
          }
        }
        try {
          Promise.resolve(call(signal)).then(succeeded, failed)
        } catch (error) {
          return failed(error)
        }
        void soon.then(() => waiting.listen())
      })

    const executeUntil = <A>(call: (signal: AbortSignal) => PromiseLike<A> | A, signal: AbortSignal): Promise<A> => {
      if (signal.aborted) return Promise.reject(signal.reason)
      if (typeof signal.addEventListener !== "function")
        return Promise.reject(new TypeError("signal is no AbortSignal"))
      const ticket = admit()
      return ticket === refused
        ? Promise.reject(circuits.refuse(circuit, now()))
        : runUntil(call, signal, circuit, ticket)
    }

    const run = async <A>(
      call: (signal: AbortSignal) => PromiseLike<A> | A,
      on: Circuits.KeyedCircuit<CircuitBreaker.CircuitBreakerError>,
      ticket: number
    ): Promise<A> => {
      const began = slowAfter === undefined ? 0 : now()
      let value: A
      try {
        value = await call(neverAborted())
      } catch (error) {
        circuits.settle(on, ticket, Result.fail(error), isSlow(began))
        throw error
      }
      if (plain) on.succeed(ticket, on.timed(ticket) ? now() : 0, isSlow(began))
      else circuits.settle(on, ticket, Result.succeed(value), isSlow(began))
      return value
    }

    const execute: PromisePolicy["execute"] = (call, given) => {
      const signal: AbortSignal | null | undefined = given?.signal
      if (signal !== undefined && signal !== null) return executeUntil(call, signal)
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
    onTransition: (listener) => circuits.listen((change) => tell(listener, change))
  }
}
