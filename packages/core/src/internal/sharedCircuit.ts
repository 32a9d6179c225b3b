/** Exchanges votes with the breakers of other processes, in the background: no call of a closed circuit waits for it. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"

import { CircuitVotes, CircuitVotesError, type Tally } from "../CircuitVotes.ts"
import type { Circuits, KeyedCircuit } from "./circuits.ts"

export interface Settings {
  readonly quorum: number
  readonly refresh: Duration.Duration
  readonly whenAway: "closed" | "open"
  readonly node: string | undefined
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Whether this node may make the trial of an open circuit. To be run without interruptions, but for what is restored. */
export type Claim = (circuit: KeyedCircuit<unknown>, restore: Restore) => Effect.Effect<boolean>

const late = new CircuitVotesError({ why: "no answer within the refresh interval" })

export const share = Effect.fnUntraced(function* <E>(circuits: Circuits<E>, settings: Settings) {
  const { quorum, refresh, whenAway } = settings
  const votes = yield* CircuitVotes
  const node = settings.node ?? `node-${(yield* Random.nextIntBetween(0, 2 ** 48)).toString(36)}`
  const refreshMillis = Duration.toMillis(refresh)
  const wake = yield* Queue.sliding<void>(1)
  /** Keys of which the others do not know yet what became of them here. */
  const untold = new Set<string>()
  /** Keys of which the others may have the trial, as nothing came of the one here. */
  const unused = new Set<string>()
  const openedByVotes = new Set<string>()
  /** Keys that were reset; then the votes that were there, which do not count, and when they expire. */
  const wasReset = new Set<string>()
  const ignored = new Map<string, Map<string, number>>()
  const claiming = new Set<string>()
  const refusedUntil = new Map<string, number>()
  const soon = Effect.timeoutOrElse({ duration: refresh, orElse: () => Effect.fail(late) })

  const stop = circuits.listen(({ circuit, to, why }) => {
    if (to === "HalfOpen" || circuit.byVotes) return
    if (why === "reset") wasReset.add(circuit.key)
    untold.add(circuit.key)
    Queue.offerUnsafe(wake, undefined)
  })
  const release = ({ key }: { readonly key: string }) => {
    unused.add(key)
    Queue.offerUnsafe(wake, undefined)
  }
  circuits.released = release
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      stop()
      circuits.released = () => undefined
    })
  )

  const tell = Effect.fnUntraced(function* (key: string) {
    const circuit = circuits.peek(key)
    untold.delete(key)
    const remaining = circuit?.phase === "Open" && !circuit.byVotes ? circuit.until - circuits.now() : 0
    if (remaining > 0) return yield* votes.vote(key, node, Duration.millis(remaining))
    // Half-open again already: the trial decides what to say.
    if (circuit?.phase !== "HalfOpen" && circuit?.phase !== "Open") yield* votes.withdraw(key, node)
  })

  const handOver = Effect.fnUntraced(function* (key: string) {
    unused.delete(key)
    const trying = claiming.has(key) || (circuits.peek(key)?.trialsRunning(circuits.now()) ?? 0) > 0
    if (!trying) yield* votes.releaseTrial(key, node)
  })

  /** When the votes of the others expire. One of this node may be about to be withdrawn: its own circuit knows better. */
  const othersIn = (tally: Tally | undefined, now: number) => {
    const others = new Map<string, number>()
    for (const [one, remaining] of tally ?? []) if (one !== node) others.set(one, now + Duration.toMillis(remaining))
    return others
  }

  const look = Effect.gen(function* () {
    // What becomes untold meanwhile, or again, is told in the next round.
    for (const key of Array.from(untold))
      yield* Effect.onError(soon(tell(key)), () => Effect.sync(() => untold.add(key)))
    for (const key of Array.from(unused))
      yield* Effect.onError(soon(handOver(key)), () => Effect.sync(() => unused.add(key)))
    const tally = yield* soon(votes.tally)
    const now = circuits.now()
    for (const key of wasReset) ignored.set(key, othersIn(tally.get(key), now))
    wasReset.clear()
    for (const [key, old] of ignored) {
      for (const [one, until] of old) if (until <= now) old.delete(one)
      if (old.size === 0) ignored.delete(key)
    }
    const opened = new Set<string>()
    for (const [key, cast] of tally) {
      const others = othersIn(cast, now)
      for (const [one, until] of ignored.get(key) ?? []) {
        // An answer is at most `refresh` old. What expires later than that can explain is another vote.
        if ((others.get(one) ?? 0) <= until + refreshMillis) others.delete(one)
      }
      if (others.size < quorum) continue
      opened.add(key)
      openedByVotes.add(key)
      const circuit = circuits.lookup(key)
      circuit.voters = [...others.keys()]
      circuit.openByVotes(Math.max(...others.values()), now)
    }
    for (const key of openedByVotes) {
      if (opened.has(key)) continue
      openedByVotes.delete(key)
      circuits.peek(key)?.votesGone(now)
    }
    for (const [key, until] of refusedUntil) if (until <= now) refusedUntil.delete(key)
  })

  const setAway = (away: boolean) =>
    Effect.sync(() => {
      circuits.barred = away && whenAway === "open"
    })

  let warned = false
  const warn = (cause: Cause.Cause<CircuitVotesError>) =>
    Effect.suspend(() => {
      if (warned || !Cause.hasDies(cause)) return Effect.void
      warned = true
      return Effect.logWarning("the store of the votes of circuits has a defect, and counts as away meanwhile", cause)
    })
  /** A defect is for the author of the store to mend, and no reason to stop asking it. */
  const failed = (cause: Cause.Cause<CircuitVotesError>) => Effect.andThen(warn(cause), setAway(true))

  yield* Effect.matchCauseEffect(look, { onSuccess: () => setAway(false), onFailure: failed }).pipe(
    Effect.andThen(Effect.timeoutOption(Queue.take(wake), refresh)),
    Effect.forever,
    Effect.forkScoped
  )
  // Without hints the votes are read as often as `refresh` says.
  yield* Stream.runForEach(votes.changes, () => Queue.offer(wake, undefined)).pipe(
    Effect.catchCause(warn),
    Effect.forkScoped
  )

  const lease = Duration.millis(circuits.resolved.settings.trials.lease)
  const claim: Claim = (circuit, restore) =>
    Effect.suspend(() => {
      const { key } = circuit
      if (claiming.has(key) || circuits.now() < (refusedUntil.get(key) ?? 0)) return Effect.succeed(false)
      claiming.add(key)
      unused.delete(key)
      return restore(soon(Effect.suspend(() => votes.claimTrial(key, node, lease)))).pipe(
        // The store may have granted it, or may yet.
        Effect.onExit((exit) =>
          Effect.sync(() => {
            claiming.delete(key)
            if (Exit.isFailure(exit)) release(circuit)
          })
        ),
        Effect.catchCause((cause) =>
          Cause.hasInterrupts(cause) ? Effect.interrupt : Effect.as(failed(cause), whenAway === "closed")
        ),
        Effect.tap((granted) => Effect.sync(() => granted || refusedUntil.set(key, circuits.now() + refreshMillis)))
      )
    })
  return claim
})
