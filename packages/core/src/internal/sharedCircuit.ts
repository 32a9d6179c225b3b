/** Exchanges votes with the breakers of other processes, in the background: no call of a closed circuit waits for it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"

import { CircuitVotes, CircuitVotesError } from "../CircuitVotes.ts"
import type { Circuits, KeyedCircuit } from "./circuits.ts"

export interface Settings {
  readonly quorum: number
  readonly refresh: Duration.Duration
  readonly whenAway: "closed" | "open"
  readonly node: string | undefined
}

/** Whether this node may make the trial of an open circuit. */
export type Claim = (circuit: KeyedCircuit<unknown>) => Effect.Effect<boolean>

const late = new CircuitVotesError({ why: "no answer within the refresh interval" })

export const share = Effect.fnUntraced(function* <E>(circuits: Circuits<E>, settings: Settings) {
  const { quorum, refresh, whenAway } = settings
  const votes = yield* CircuitVotes
  const node = settings.node ?? `node-${(yield* Random.nextIntBetween(0, 2 ** 48)).toString(36)}`
  const refreshMillis = Duration.toMillis(refresh)
  const wake = yield* Queue.sliding<void>(1)
  /** Keys of which the others do not know yet what became of them here. */
  const untold = new Set<string>()
  const openedByVotes = new Set<string>()
  const claiming = new Set<string>()
  const refusedUntil = new Map<string, number>()
  const soon = Effect.timeoutOrElse({ duration: refresh, orElse: () => Effect.fail(late) })

  const stop = circuits.listen(({ circuit, to }) => {
    if (to === "HalfOpen" || circuit.byVotes) return
    untold.add(circuit.key)
    Queue.offerUnsafe(wake, undefined)
  })
  yield* Effect.addFinalizer(() => Effect.sync(stop))

  const tell = Effect.fnUntraced(function* (key: string) {
    const circuit = circuits.peek(key)
    untold.delete(key)
    const remaining = circuit?.phase === "Open" && !circuit.byVotes ? circuit.until - circuits.now() : 0
    if (remaining > 0) return yield* votes.vote(key, node, Duration.millis(remaining))
    // Half-open again already: the trial decides what to say.
    if (circuit?.phase !== "HalfOpen" && circuit?.phase !== "Open") yield* votes.withdraw(key, node)
  })

  const look = Effect.gen(function* () {
    // What becomes untold meanwhile, or again, is told in the next round.
    for (const key of Array.from(untold))
      yield* Effect.onError(soon(tell(key)), () => Effect.sync(() => untold.add(key)))
    const tally = yield* soon(votes.tally)
    const now = circuits.now()
    for (const [key, { nodes, remaining }] of tally) {
      // A vote of this node may be one that it is about to withdraw; its own circuit knows better.
      const others = nodes.filter((one) => one !== node)
      if (others.length < quorum) continue
      openedByVotes.add(key)
      const circuit = circuits.lookup(key)
      circuit.voters = others
      circuit.openByVotes(now + Duration.toMillis(remaining), now)
    }
    for (const key of openedByVotes) {
      const left = tally.get(key)?.nodes.filter((one) => one !== node).length ?? 0
      if (left >= quorum) continue
      openedByVotes.delete(key)
      circuits.peek(key)?.votesGone(now)
    }
    for (const [key, until] of refusedUntil) if (until <= now) refusedUntil.delete(key)
  })

  const setAway = (away: boolean) =>
    Effect.sync(() => {
      circuits.barred = away && whenAway === "open"
    })

  yield* Effect.matchEffect(look, { onSuccess: () => setAway(false), onFailure: () => setAway(true) }).pipe(
    Effect.andThen(Effect.timeoutOption(Queue.take(wake), refresh)),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.forkScoped(Stream.runForEach(votes.changes, () => Queue.offer(wake, undefined)))

  const ask = (circuit: KeyedCircuit<unknown>) =>
    soon(votes.claimTrial(circuit.key, node, Duration.millis(circuits.resolved.settings.trials.lease))).pipe(
      Effect.catch(() => Effect.as(setAway(true), whenAway === "closed")),
      Effect.tap((granted) =>
        Effect.sync(() => granted || refusedUntil.set(circuit.key, circuits.now() + refreshMillis))
      ),
      Effect.ensuring(Effect.sync(() => claiming.delete(circuit.key)))
    )

  const claim: Claim = (circuit) =>
    Effect.suspend(() => {
      const { key } = circuit
      if (claiming.has(key) || circuits.now() < (refusedUntil.get(key) ?? 0)) return Effect.succeed(false)
      claiming.add(key)
      return ask(circuit)
    })
  return claim
})
