/** The journal of one supervisor: every event in order, the latest ones again for those who come late. */
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
  readonly publish: (name: string, make: (common: Common) => SupervisorEvent) => Effect.Effect<void>
  readonly stream: Stream.Stream<SupervisorEvent>
}

/** Processes start while the layer is built, before anybody can subscribe: the latest events are replayed. */
const replay = 256
/** A subscriber that sleeps through this many loses the oldest, and can tell by `sequence`. */
const capacity = 4096

export const make: Effect.Effect<Events, never, Scope.Scope> = Effect.gen(function* () {
  const hub = yield* PubSub.sliding<SupervisorEvent>({ capacity, replay })
  yield* Effect.addFinalizer(() => PubSub.shutdown(hub))
  let sequence = 0
  return {
    publish: (name, event) =>
      Effect.clockWith((clock) => {
        sequence += 1
        const monotonic = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
        return PubSub.publish(hub, event({ sequence, name, at: clock.currentTimeMillisUnsafe(), monotonic }))
      }),
    stream: Stream.fromPubSub(hub)
  }
})
