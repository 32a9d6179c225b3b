/**
 * The circuits of several processes that call the same thing, seen together. A process votes when its own circuit opens;
 * only a quorum of votes opens the circuits of the others, so that one bad process does not stop everybody.
 *
 * A vote or a withdrawal of the node that holds the trial of that key ends the trial, so that the next node need not wait
 * for the lease: the vote says that the trial failed, the withdrawal that it succeeded.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/**
 * The place where votes are kept does not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitVotesError extends Schema.TaggedError<CircuitVotesError>("@nexobot/core/CircuitVotesError")(
  "CircuitVotesError",
  { why: Schema.String }
) {
  override get message(): string {
    return `the votes of the circuits cannot be had: ${this.why}`
  }
}

/**
 * The votes for one key that have not expired: who voted, and until that vote expires.
 *
 * @category models
 * @since 0.1.0
 */
export type Tally = ReadonlyMap<string, Duration.Duration>

/**
 * @category services
 * @since 0.1.0
 */
export class CircuitVotes extends Context.Service<
  CircuitVotes,
  {
    /** Says that this node's circuit is open for so long; a later vote replaces an earlier one. Ends its own trial. */
    readonly vote: (key: string, node: string, open: Duration.Duration) => Effect.Effect<void, CircuitVotesError>
    /** Says that this node's circuit closed. Takes back its vote, if there is one, and ends its own trial. */
    readonly withdraw: (key: string, node: string) => Effect.Effect<void, CircuitVotesError>
    /** Keys with votes; one that is not there has none. */
    readonly tally: Effect.Effect<ReadonlyMap<string, Tally>, CircuitVotesError>
    /**
     * The one trial that all nodes together may make of an open key: `true` for who gets it, for at most `lease`. Who has
     * it may claim it again, which renews the lease.
     */
    readonly claimTrial: (
      key: string,
      node: string,
      lease: Duration.Duration
    ) => Effect.Effect<boolean, CircuitVotesError>
    /** Says that the trial was not made, or said nothing. Ends its own trial and changes no vote. */
    readonly releaseTrial: (key: string, node: string) => Effect.Effect<void, CircuitVotesError>
    /** Keys whose votes changed, as soon as this place knows; a hint to look, which may be missed. */
    readonly changes: Stream.Stream<string>
  }
>()("@nexobot/core/CircuitVotes") {}

const later = (duration: Duration.Duration) =>
  Effect.map(Clock.monotonicTimeNanos, (now) => now + Duration.toNanosUnsafe(duration))

/**
 * Votes among the breakers of one process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<CircuitVotes> = Layer.effect(
  CircuitVotes,
  Effect.gen(function* () {
    const votes = new Map<string, Map<string, bigint>>()
    const trials = new Map<string, { readonly node: string; readonly until: bigint }>()
    const changed = yield* PubSub.sliding<string>(64)
    const endTrial = (key: string, node: string) => {
      if (trials.get(key)?.node === node) trials.delete(key)
    }
    return CircuitVotes.of({
      vote: Effect.fnUntraced(function* (key, node, open) {
        const until = yield* later(open)
        endTrial(key, node)
        votes.set(key, (votes.get(key) ?? new Map<string, bigint>()).set(node, until))
        yield* PubSub.publish(changed, key)
      }),
      withdraw: Effect.fnUntraced(function* (key, node) {
        endTrial(key, node)
        if (votes.get(key)?.delete(node) === true) yield* PubSub.publish(changed, key)
      }),
      tally: Effect.map(Clock.monotonicTimeNanos, (now) => {
        const tally = new Map<string, Tally>()
        for (const [key, { until }] of trials) if (until <= now) trials.delete(key)
        for (const [key, byNode] of votes) {
          for (const [node, until] of byNode) if (until <= now) byNode.delete(node)
          if (byNode.size === 0) votes.delete(key)
          else tally.set(key, new Map([...byNode].map(([node, until]) => [node, Duration.nanos(until - now)])))
        }
        return tally
      }),
      claimTrial: Effect.fnUntraced(function* (key, node, lease) {
        const now = yield* Clock.monotonicTimeNanos
        const held = trials.get(key)
        if (held !== undefined && held.node !== node && held.until > now) return false
        trials.set(key, { node, until: yield* later(lease) })
        return true
      }),
      releaseTrial: (key, node) => Effect.sync(() => endTrial(key, node)),
      changes: Stream.fromPubSub(changed)
    })
  })
)
