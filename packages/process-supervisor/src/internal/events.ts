/** The journal of one supervisor: every event in order, the latest ones again for those who come late. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import type { SupervisorEvent } from "../SupervisorEvent.ts"

/** What every event has. */
export interface Common {
  readonly sequence: number
  readonly name: string
  readonly at: number
  readonly monotonic: number
}

export interface Events {
  /**
   * It is told in this turn of the event loop, after what happens in it: a restart does not wait for its journal. The times
   * are those of the call. A subscriber that is slow loses the oldest.
   */
  readonly publish: (name: string, make: (common: Common) => SupervisorEvent) => void
  readonly stream: Stream.Stream<SupervisorEvent>
}

/** Processes start while the layer is built, before anybody can subscribe: the latest events are replayed. */
const replay = 256
/** A subscriber that sleeps through this many loses the oldest, and can tell by `sequence`. */
const capacity = 4096

export const make: Effect.Effect<Events, never, Scope.Scope> = Effect.gen(function* () {
  const hub = yield* PubSub.sliding<SupervisorEvent | undefined>({ capacity, replay })
  const clock = yield* Clock.Clock
  let sequence = 0
  let untold: Array<() => SupervisorEvent> = []
  const tell = (): void => {
    const events = untold
    untold = []
    for (const event of events) Effect.runSync(PubSub.publish(hub, event()))
  }
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      tell()
      return PubSub.publish(hub, undefined)
    })
  )
  return {
    publish: (name, event) => {
      sequence += 1
      const monotonic = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const common = { sequence, name, at: clock.currentTimeMillisUnsafe(), monotonic }
      if (untold.push(() => event(common)) === 1) queueMicrotask(tell)
    },
    stream: Stream.fromPubSub(hub).pipe(Stream.takeWhile((event) => event !== undefined))
  }
})
