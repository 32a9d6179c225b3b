/** The circuits of one breaker by key, for both faces: eviction, refusals made once, what is counted. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Result from "effect/Result"

import * as Monotonic from "../Monotonic.ts"
import * as Outcome from "../Outcome.ts"
import { Circuit, type Host, type Phase, type Settings, type Why } from "./circuit.ts"

export type State = "Closed" | "Open" | "HalfOpen" | "Isolated"

export interface Change {
  readonly circuit: KeyedCircuit<unknown>
  readonly from: State
  readonly to: State
  readonly why: Why
  /** Milliseconds of the wall clock. */
  readonly at: number
}

export interface Resolved {
  readonly name: string
  readonly settings: Settings
  /** How long a circuit stays unused until it is forgotten, in milliseconds. */
  readonly keep: number
  readonly classify: Outcome.Classify
  /** Milliseconds that a failure asks to be left alone; 0 if it does not. */
  readonly retryAfter: (error: unknown) => number
}

/** A circuit and the error with which it refuses at present. */
export class KeyedCircuit<E> extends Circuit {
  /** Who voted, while it is open by votes. */
  voters: ReadonlyArray<string> = []
  error: E | undefined
  errorGeneration = -1
  errorUntil = 0
  away: E | undefined
}

/** How a circuit's phase shows: a ramp is a part of being closed. */
export const stateOf = (phase: Phase): State => (phase === "Ramping" || phase === "Forgotten" ? "Closed" : phase)

/**
 * Lookups between two sweeps, and how many circuits one sweep looks at. A circuit is looked at twice before it goes, so
 * that with four for each lookup there are never more than twice as many as were used within the idle time.
 */
const sweepEvery = 64
const sweepSize = 256

/** A refusal says how long to wait. It is made anew when so small a part of the open time has passed. */
const refreshes = 64

const transitionCounter = Metric.counter("nexobot_circuit_breaker_transitions", {
  description: "Circuits that moved to another state",
  incremental: true
})
const refusalCounter = Metric.counter("nexobot_circuit_breaker_refusals", {
  description: "Calls refused by a circuit; counted in bulk, at transitions and while refusing",
  incremental: true
})
const stateGauge = Metric.gauge("nexobot_circuit_breaker_circuits", { description: "Circuits that are not closed" })

export class Circuits<E> {
  /** Whether every call is refused, because the votes of the others cannot be had. */
  barred = false
  /** Told when a trial said nothing. */
  released: (circuit: Circuit) => void = () => undefined
  readonly now: () => number
  readonly resolved: Resolved
  private readonly byKey = new Map<string, KeyedCircuit<E>>()
  private readonly listeners = new Set<(change: Change) => void>()
  private readonly counts = { Open: 0, HalfOpen: 0, Isolated: 0 }
  private readonly host: Host
  private readonly explain: (circuit: KeyedCircuit<E>, now: number, away: boolean) => E
  private readonly count: (refusals: number) => void
  private refusals = 0
  private lookups = 0
  private sweeping: Iterator<KeyedCircuit<E>> = [][Symbol.iterator]()

  constructor(
    resolved: Resolved,
    explain: (circuit: KeyedCircuit<E>, now: number, away: boolean) => E,
    outside: {
      readonly now: () => number
      readonly wall: () => number
      readonly random: () => number
      readonly transition: (to: State) => void
      readonly refusals: (count: number) => void
      readonly gauge: (state: State, count: number) => void
    }
  ) {
    this.resolved = resolved
    this.explain = explain
    this.now = outside.now
    this.count = outside.refusals
    this.host = {
      random: outside.random,
      released: (circuit) => this.released(circuit),
      changed: (circuit, phase, why) => {
        const from = stateOf(phase)
        const to = stateOf(circuit.phase)
        if (from === to || !(circuit instanceof KeyedCircuit)) return
        if (from !== "Closed") outside.gauge(from, --this.counts[from])
        if (to !== "Closed") outside.gauge(to, ++this.counts[to])
        outside.transition(to)
        this.flush()
        const change = { circuit, from, to, why, at: outside.wall() }
        for (const listener of this.listeners) listener(change)
      }
    }
    this.forgotten = (state) => outside.gauge(state, --this.counts[state])
  }

  private readonly forgotten: (state: "Open" | "HalfOpen" | "Isolated") => void

  /** The circuit of the key, made if there is none. */
  lookup(key: string): KeyedCircuit<E> {
    if (++this.lookups >= sweepEvery) this.sweep()
    const known = this.byKey.get(key)
    if (known !== undefined) return known
    const circuit = new KeyedCircuit<E>(key, this.resolved.settings, this.host, this.now())
    this.byKey.set(key, circuit)
    return circuit
  }

  peek(key: string): KeyedCircuit<E> | undefined {
    return this.byKey.get(key)
  }

  keys(): ReadonlyArray<string> {
    return [...this.byKey.keys()]
  }

  /** Calls the listener at every transition until the returned function is called. */
  listen(listener: (change: Change) => void): () => void {
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }

  /** The error that refuses a call now. */
  refuse(circuit: KeyedCircuit<E>, now: number): E {
    circuit.refusals++
    this.refusals++
    circuit.last = now
    if (this.barred) return (circuit.away ??= this.explain(circuit, now, true))
    const known = circuit.error
    if (known !== undefined && circuit.errorGeneration === circuit.generation && now < circuit.errorUntil) return known
    this.flush()
    circuit.errorGeneration = circuit.generation
    const remaining = circuit.until - now
    circuit.errorUntil =
      remaining > 0 ? now + Math.min(remaining, Math.max(1, (circuit.until - circuit.since) / refreshes)) : now + 1000
    return (circuit.error = this.explain(circuit, now, false))
  }

  /** What a call said of what it called. */
  settle(circuit: Circuit, ticket: number, result: Result.Result<unknown, unknown>, slow: boolean): void {
    let outcome: Outcome.Outcome = "ignored"
    let atLeast = 0
    let judged = false
    // A judgement that throws is a bug of its author: it surfaces, and a trial gets its slot back all the same.
    try {
      outcome = this.resolved.classify(result)
      if (outcome === "failure") {
        atLeast = this.resolved.retryAfter(Result.isSuccess(result) ? result.success : result.failure)
      }
      judged = outcome !== "ignored"
    } finally {
      if (!judged) circuit.release(ticket)
    }
    if (outcome === "success") circuit.succeed(ticket, this.now(), slow)
    else if (outcome === "failure") circuit.fail(ticket, this.now(), slow, atLeast)
  }

  /** Pushes the refusals that were only counted so far. */
  flush(): void {
    if (this.refusals > 0) this.count(this.refusals)
    this.refusals = 0
  }

  private sweep(): void {
    this.lookups = 0
    const now = this.now()
    for (let i = 0; i < sweepSize; i++) {
      const next = this.sweeping.next()
      if (next.done === true) {
        this.sweeping = this.byKey.values()
        return
      }
      const circuit = next.value
      if (circuit.used) {
        circuit.used = false
        circuit.last = now
        continue
      }
      const since = circuit.phase === "Open" ? Math.max(circuit.last, circuit.until) : circuit.last
      if (circuit.phase === "Isolated" || now - since < this.resolved.keep) continue
      this.byKey.delete(circuit.key)
      if (circuit.phase === "Open" || circuit.phase === "HalfOpen") this.forgotten(circuit.phase)
      circuit.forget()
    }
  }
}

export const make = Effect.fnUntraced(function* <E>(
  resolved: Resolved,
  explain: (circuit: KeyedCircuit<E>, now: number, away: boolean) => E
) {
  const context = yield* Effect.context()
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const now = yield* Monotonic.reader
  const { name } = resolved
  const refusals = Metric.withAttributes(refusalCounter, { name })
  return new Circuits(resolved, explain, {
    now,
    wall: () => clock.currentTimeMillisUnsafe(),
    random: () => random.nextDoubleUnsafe(),
    transition: (to) => Metric.withAttributes(transitionCounter, { name, to }).updateUnsafe(1, context),
    refusals: (count) => refusals.updateUnsafe(count, context),
    gauge: (state, count) => Metric.withAttributes(stateGauge, { name, state }).updateUnsafe(count, context)
  })
})
