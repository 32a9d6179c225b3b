/**
 * Stops calling what does not work, and finds out with few calls whether it works again. One circuit per key: a breaker
 * guards many hosts or tenants with one policy.
 *
 * - Closed: calls pass. Failures in a row, a share of failures, or a share of slow calls open the circuit.
 * - Open: calls are refused at once, until the open time ends.
 * - Half-open: few trial calls decide. A trial that hangs loses its slot when its lease ends.
 * - Isolated: refused until an operator resets it.
 *
 * What was called before a transition changes nothing after it, and steps of the wall clock move nothing.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import type { CircuitVotes } from "./CircuitVotes.ts"
import type * as Machine from "./internal/circuit.ts"
import * as Guard from "./internal/circuitGuard.ts"
import { type Options, resolve, resolveSharing, type SharedOptions } from "./internal/circuitOptions.ts"
import * as Circuits from "./internal/circuits.ts"
import * as Shared from "./internal/sharedCircuit.ts"
import * as Outcome from "./Outcome.ts"
import type { Policy } from "./Policy.ts"

/**
 * The circuit is open by the judgement of this process.
 *
 * @category errors
 * @since 0.1.0
 */
export class Open extends Schema.TaggedClass<Open>("@nexobot/core/CircuitBreaker/Open")("Open", {
  /** Until a trial may be made. */
  retryAfter: Schema.Duration
}) {}

/**
 * Others found that the circuit should be open.
 *
 * @category errors
 * @since 0.1.0
 */
export class SharedOpen extends Schema.TaggedClass<SharedOpen>("@nexobot/core/CircuitBreaker/SharedOpen")(
  "SharedOpen",
  { nodes: Schema.Array(Schema.String), retryAfter: Schema.Duration }
) {}

/**
 * Trial calls are running, here or in another process, and there is no slot for one more.
 *
 * @category errors
 * @since 0.1.0
 */
export class HalfOpen extends Schema.TaggedClass<HalfOpen>("@nexobot/core/CircuitBreaker/HalfOpen")("HalfOpen", {}) {}

/**
 * The circuit has closed just now and does not admit all calls yet.
 *
 * @category errors
 * @since 0.1.0
 */
export class Ramping extends Schema.TaggedClass<Ramping>("@nexobot/core/CircuitBreaker/Ramping")("Ramping", {}) {}

/**
 * Somebody isolated the circuit.
 *
 * @category errors
 * @since 0.1.0
 */
export class Isolated extends Schema.TaggedClass<Isolated>("@nexobot/core/CircuitBreaker/Isolated")("Isolated", {}) {}

/**
 * The votes of the other processes cannot be had, and the breaker was told to refuse calls then.
 *
 * @category errors
 * @since 0.1.0
 */
export class VotesAway extends Schema.TaggedClass<VotesAway>("@nexobot/core/CircuitBreaker/VotesAway")(
  "VotesAway",
  {}
) {}

/**
 * The call was not made. It is made once and then given to all callers for a while, so its stack is not theirs.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitBreakerError extends Schema.TaggedError<CircuitBreakerError>("@nexobot/core/CircuitBreakerError")(
  "CircuitBreakerError",
  { key: Schema.String, reason: Schema.Union([Open, SharedOpen, HalfOpen, Ramping, Isolated, VotesAway]) }
) {
  get [Outcome.refusal](): true {
    return true
  }
  /** How long no call will be made, where that is known. */
  get retryAfter(): Duration.Duration | undefined {
    return this.reason._tag === "Open" || this.reason._tag === "SharedOpen" ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    const circuit = `the circuit ${JSON.stringify(this.key)}`
    switch (this.reason._tag) {
      case "Open":
        return `${circuit} is open: what it guards fails; call again in ${Duration.format(this.reason.retryAfter)}`
      case "SharedOpen":
        return (
          `${circuit} is open, as ${this.reason.nodes.join(", ")} found; ` +
          `call again in ${Duration.format(this.reason.retryAfter)}`
        )
      case "HalfOpen":
        return `${circuit} is being tried with few calls; call again shortly`
      case "Ramping":
        return `${circuit} has just closed and admits only a part of the calls; call again shortly`
      case "Isolated":
        return `${circuit} was isolated by hand; reset it to let calls pass`
      case "VotesAway":
        return `${circuit} refuses calls while the votes of the other processes cannot be had; look after their store`
    }
  }
}

export type { Options, SharedOptions, Sharing } from "./internal/circuitOptions.ts"

/**
 * Closed, with or without a ramp; open; half-open; isolated by hand.
 *
 * @category models
 * @since 0.1.0
 */
export type State = Circuits.State

/**
 * Why a circuit moved.
 *
 * @category models
 * @since 0.1.0
 */
export type Why = Machine.Why

/**
 * @category models
 * @since 0.1.0
 */
export interface Transition {
  readonly key: string
  readonly from: State
  readonly to: State
  readonly why: Why
  readonly at: DateTime.Utc
}

/**
 * Plain numbers about one circuit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly state: State
  /** Judged calls, failures and slow calls within the windows; all 0 unless closed. */
  readonly calls: number
  readonly failures: number
  readonly slow: number
  /** Failures in a row. */
  readonly consecutive: number
  /** How often it opened in a row. */
  readonly trips: number
  /** Calls that it refused. */
  readonly refusals: number
  /** Trial calls that hold a slot. */
  readonly trials: number
  /** The share of calls that passes: 1 when closed, less during the ramp, 0 otherwise. */
  readonly share: number
  /** Milliseconds until a trial may be made; 0 unless open. */
  readonly retryAfterMillis: number
}

/**
 * The circuit of one key. It stays the circuit of that key, however long nobody uses it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Circuit {
  readonly key: string
  readonly policy: Policy<CircuitBreakerError>
}

/**
 * `policy`, and every operation that is given no key, means the circuit of the key `defaultKey`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker {
  readonly policy: Policy<CircuitBreakerError>
  readonly circuit: (key: string) => Circuit
  readonly state: (key?: string) => Effect.Effect<State>
  readonly stats: (key?: string) => Effect.Effect<Stats>
  /** Keys that are remembered at present. */
  readonly keys: Effect.Effect<ReadonlyArray<string>>
  /** Refuses all calls until `reset`. */
  readonly isolate: (key?: string) => Effect.Effect<void>
  /**
   * Closes the circuit at once, without a trial and a ramp, and forgets what happened. The votes of others that are there
   * count again once they are renewed.
   */
  readonly reset: (key?: string) => Effect.Effect<void>
  /** From now on. Who does not keep up misses the oldest: 256 are kept. */
  readonly transitions: Stream.Stream<Transition>
}

/**
 * The key of calls without one.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultKey = "default"

/**
 * Why a circuit refuses a call.
 *
 * @internal
 */
export const explain = (
  circuit: Circuits.KeyedCircuit<CircuitBreakerError>,
  now: number,
  away: boolean
): CircuitBreakerError => {
  const { key } = circuit
  if (away) return new CircuitBreakerError({ key, reason: new VotesAway() })
  if (circuit.phase === "Isolated") return new CircuitBreakerError({ key, reason: new Isolated() })
  if (circuit.phase === "Ramping") return new CircuitBreakerError({ key, reason: new Ramping() })
  if (circuit.phase !== "Open" || now >= circuit.until) return new CircuitBreakerError({ key, reason: new HalfOpen() })
  // Whole milliseconds, which read better; rather too long than too short.
  const retryAfter = Duration.millis(Math.ceil(circuit.until - now))
  return new CircuitBreakerError({
    key,
    reason: circuit.byVotes ? new SharedOpen({ nodes: circuit.voters, retryAfter }) : new Open({ retryAfter })
  })
}

/**
 * The state of a key that nobody has used is that of a new circuit.
 *
 * @internal
 */
export const inspect = (circuits: Circuits.Circuits<CircuitBreakerError>, key: string): Stats => {
  circuits.flush()
  const now = circuits.now()
  const circuit = circuits.lookup(key)
  const counts = circuit.counts(now)
  return {
    state: Circuits.stateOf(circuit.phase),
    ...counts,
    consecutive: circuit.streak,
    trips: circuit.trips,
    refusals: circuit.refusals,
    trials: circuit.trialsRunning(now),
    share: circuit.share(now),
    retryAfterMillis: circuit.phase === "Open" ? Math.max(0, circuit.until - now) : 0
  }
}

/**
 * @internal
 */
export const transitionOf = ({ at, circuit, from, to, why }: Circuits.Change): Transition => ({
  key: circuit.key,
  from,
  to,
  why,
  at: DateTime.makeUnsafe(at)
})

const breaker: (
  circuits: Circuits.Circuits<CircuitBreakerError>,
  claim: Shared.Claim | undefined
) => Effect.Effect<CircuitBreaker> = Effect.fnUntraced(function* (circuits, claim) {
  const published = yield* PubSub.sliding<Transition>(256)
  const run = Effect.runSyncWith(yield* Effect.context())
  circuits.listen((change) => {
    run(PubSub.publish(published, transitionOf(change)))
  })
  const circuit = (key: string): Circuit => ({ key, policy: Guard.make(circuits, claim, key) })
  const at = (f: (circuit: Machine.Circuit, now: number) => void) => (key?: string) =>
    Effect.sync(() => f(circuits.lookup(key ?? defaultKey), circuits.now()))
  return {
    policy: circuit(defaultKey).policy,
    circuit,
    state: (key?: string) => Effect.sync(() => Circuits.stateOf(circuits.peek(key ?? defaultKey)?.phase ?? "Closed")),
    stats: (key?: string) => Effect.sync(() => inspect(circuits, key ?? defaultKey)),
    keys: Effect.sync(() => circuits.keys()),
    isolate: at((one, now) => one.isolate(now)),
    reset: at((one, now) => one.reset(now)),
    transitions: Stream.fromPubSub(published)
  }
})

/**
 * A breaker by the judgement of this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreaker> => {
  const resolved = resolve(options)
  return Effect.flatMap(Circuits.make(resolved, explain), (circuits) => breaker(circuits, undefined))
}

/**
 * A breaker that votes when its circuits open, and opens those for which enough others voted. The store of votes is asked
 * in the background and for trials only: its slowness delays no call of a closed circuit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeShared = (
  options: SharedOptions
): Effect.Effect<CircuitBreaker, never, CircuitVotes | Scope.Scope> => {
  const resolved = resolve(options, ["shared"])
  const sharing = resolveSharing(options.shared)
  return Effect.flatMap(Circuits.make(resolved, explain), (circuits) =>
    Effect.flatMap(Shared.share(circuits, sharing), (claim) => breaker(circuits, claim))
  )
}
