/**
 * One publisher, and subscribers that may be slow: each has a bounded queue of its own, and who does not keep up loses
 * the oldest.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

export interface FanOut<A> {
  /** How many subscribers lost one by it. */
  readonly publish: (value: A) => number
  /** Begins with what `latest` has at that moment. */
  readonly stream: Stream.Stream<A>
  readonly end: () => void
}

export const make = <A>(capacity: number, latest: () => ReadonlyArray<A>): FanOut<A> => {
  const queues = new Set<Queue.Queue<A, Cause.Done>>()
  let hasEnded = false
  const subscribe = Effect.gen(function* () {
    const queue = yield* Queue.sliding<A, Cause.Done>(capacity)
    if (hasEnded) Queue.endUnsafe(queue)
    else queues.add(queue)
    yield* Effect.addFinalizer(() => {
      queues.delete(queue)
      return Queue.shutdown(queue)
    })
    return Stream.concat(Stream.fromIterable(latest()), Stream.fromQueue(queue))
  })
  return {
    publish: (value) => {
      let lost = 0
      for (const queue of queues) {
        if (Queue.sizeUnsafe(queue) >= capacity) lost += 1
        Queue.offerUnsafe(queue, value)
      }
      return lost
    },
    stream: Stream.unwrap(subscribe),
    end: () => {
      hasEnded = true
      for (const queue of queues) Queue.endUnsafe(queue)
      queues.clear()
    }
  }
}
