/**
 * What is to be done when, for thousands of entries: one heap, and one fiber that sleeps until the first is due. A timer
 * for each entry would cost more than the checks that it starts.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Something that is due at most once at a time. */
export interface Entry {
  readonly run: () => void
  /** Its place in the heap; -1 when it is not due at all. */
  index: number
  at: number
}

export const entry = (run: () => void): Entry => ({ run, index: -1, at: 0 })

/** Times are milliseconds of the monotonic clock. */
export interface Agenda {
  readonly now: () => number
  /** Moves it there if it is due at another time. */
  readonly set: (entry: Entry, at: number) => void
  readonly clear: (entry: Entry) => void
  /** Forgets everything. */
  readonly reset: () => void
  /** Does something that must not stop the rest: what it throws is a defect, and logged. */
  readonly attempt: (run: () => void) => void
}

/** As many are done in one turn of the event loop at most: after a standstill of the machine, all are due at once. */
const burst = 100

export const make = (context: Context.Context<never>, clock: Clock.Clock): Agenda => {
  const heap: Array<Entry> = []
  const runFork = Effect.runForkWith(context)
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  let isTicking = false

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const put = (one: Entry, index: number) => {
    heap[index] = one
    one.index = index
  }
  /** To where it belongs, from a place that is free for it. */
  const settle = (one: Entry, from: number) => {
    let index = from
    for (
      let up = heap[(index - 1) >> 1];
      index > 0 && up !== undefined && one.at < up.at;
      up = heap[(index - 1) >> 1]
    ) {
      put(up, index)
      index = (index - 1) >> 1
    }
    for (;;) {
      const left = heap[2 * index + 1]
      const right = heap[2 * index + 2]
      const least = right !== undefined && left !== undefined && right.at < left.at ? right : left
      if (least === undefined || least.at >= one.at) break
      const below = least.index
      put(least, index)
      index = below
    }
    put(one, index)
  }
  const remove = (one: Entry) => {
    const { index } = one
    if (index < 0) return
    one.index = -1
    const last = heap.pop()
    if (last !== undefined && last !== one) settle(last, index)
  }

  const arm = () => {
    const first = heap[0]
    if (isTicking || first === undefined || wakesAt <= first.at) return
    sleeper?.interruptUnsafe()
    wakesAt = first.at
    // Timers know whole milliseconds only, and drop the rest: it would wake too soon, with nothing to do.
    const pause = Math.max(1, Math.ceil(first.at - now()))
    sleeper = runFork(Effect.andThen(clock.sleep(Duration.millis(pause)), wake))
  }
  const attempt = (run: () => void) => {
    try {
      run()
    } catch (defect) {
      runFork(Effect.logError("a defect in the runner", Cause.die(defect)))
    }
  }
  const wake = Effect.sync(() => {
    sleeper = undefined
    wakesAt = Infinity
    isTicking = true
    const time = now()
    for (let count = 0; count < burst; count++) {
      const first = heap[0]
      if (first === undefined || first.at > time) break
      remove(first)
      attempt(first.run)
    }
    isTicking = false
    arm()
  })

  return {
    now,
    set: (one, at) => {
      if (one.index < 0) heap.push(one)
      one.at = at
      settle(one, one.index < 0 ? heap.length - 1 : one.index)
      arm()
    },
    clear: remove,
    attempt,
    reset: () => {
      sleeper?.interruptUnsafe()
      sleeper = undefined
      wakesAt = Infinity
      for (const one of heap) one.index = -1
      heap.length = 0
    }
  }
}
