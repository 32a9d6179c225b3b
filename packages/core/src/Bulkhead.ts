/**
 * A cap on calls at a time, so that one slow dependency cannot take all sockets, memory and patience of a process. Who
 * finds no room waits in a bounded queue, first come first served, or is refused at once.
 *
 * Not built on `effect/Semaphore`: a wait with a time limit must give its place back or keep it, never lose it, and the
 * queue has a bound. A place is handed from the one that leaves to the first that waits in one step.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"

import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"
import type { Policy } from "./Policy.ts"

const checks = Options.checks("Bulkhead")

/**
 * All places are taken, and so are those of the queue.
 *
 * @category errors
 * @since 0.1.0
 */
export class Full extends Schema.TaggedClass<Full>("@nexobot/core/Bulkhead/Full")("Full", {
  concurrency: Schema.Int,
  queue: Schema.Int
}) {}

/**
 * No place became free while the call was allowed to wait.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueueTimeout extends Schema.TaggedClass<QueueTimeout>("@nexobot/core/Bulkhead/QueueTimeout")(
  "QueueTimeout",
  { after: Schema.Duration }
) {}

/**
 * The call was not made. One error serves many callers, so its stack is not theirs.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadError extends Schema.TaggedError<BulkheadError>("@nexobot/core/BulkheadError")("BulkheadError", {
  /** Of the bulkhead. */
  name: Schema.String,
  /** Of a keyed bulkhead. */
  key: Schema.optionalKey(Schema.String),
  reason: Schema.Union([Full, QueueTimeout])
}) {
  readonly [Outcome.refusal] = true
  override get message(): string {
    const bulkhead = `the bulkhead "${this.name}"${this.key === undefined ? "" : ` of ${JSON.stringify(this.key)}`}`
    switch (this.reason._tag) {
      case "Full":
        return (
          `${bulkhead} is full: ${this.reason.concurrency} calls run and ${this.reason.queue} may wait; ` +
          "shed this call, or raise concurrency if the other side bears it"
        )
      case "QueueTimeout":
        return (
          `${bulkhead} had no room within ${Duration.format(this.reason.after)}; ` +
          "shed this call, or find out why the calls inside take so long"
        )
    }
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface BulkheadOptions {
  /** Calls that may run at a time, at least 1. */
  readonly concurrency: number
  /** Calls that may wait for a place; 0 unless told, which refuses at once. */
  readonly queue?: number
  /** How long a call may wait for a place; without end unless told. Needs a queue. */
  readonly queueTimeout?: Duration.Input
  /** In metrics and errors; `bulkhead` unless told. */
  readonly name?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** How many may run at a time. */
  readonly concurrency: number
  /** More than `concurrency` for a while after it was lowered. */
  readonly running: number
  readonly waiting: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly policy: Policy<BulkheadError>
  readonly inspect: () => State
  /** Changes `concurrency`. Calls that run stay; those that wait and now have room start, in their order. */
  readonly resize: (concurrency: number) => Effect.Effect<void>
}

/**
 * The places of one key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Partition {
  readonly key: string
  readonly policy: Policy<BulkheadError>
  readonly inspect: () => State
}

/**
 * @category models
 * @since 0.1.0
 */
export interface KeyedBulkhead {
  /** The places of this key; the same each time, however long nobody uses them. */
  readonly partition: (key: string) => Partition
  /** Keys with calls that run or wait; no others are remembered. */
  readonly keys: () => ReadonlyArray<string>
  /** Changes `concurrency` of every key. */
  readonly resize: (concurrency: number) => Effect.Effect<void>
}

interface Settings {
  concurrency: number
  readonly queue: number
  readonly queueTimeout: Duration.Duration | undefined
  readonly name: string
}

const resolve = (options: BulkheadOptions): Settings => {
  checks.known(options, ["concurrency", "queue", "queueTimeout", "name"])
  const queue = checks.integer("queue", options.queue ?? 0, 0)
  const { queueTimeout } = options
  if (queueTimeout !== undefined && queue === 0) {
    checks.fail("queueTimeout", queueTimeout, "nothing, as long as queue is 0 and nobody waits")
  }
  return {
    concurrency: checks.integer("concurrency", options.concurrency, 1),
    queue,
    queueTimeout: queueTimeout === undefined ? undefined : checks.duration("queueTimeout", queueTimeout, "1 milli"),
    name: checks.nonEmptyString("name", options.name ?? "bulkhead")
  }
}

const refusals = Metric.counter("nexobot_bulkhead_refusals", {
  description: "Calls that a bulkhead refused",
  incremental: true
})

const refuse = ({ name }: Settings, key: string | undefined, reason: Full | QueueTimeout) =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(refusals, { name, reason: reason._tag }), 1),
    Effect.fail(new BulkheadError(key === undefined ? { name, reason } : { name, key, reason }))
  )

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

interface Waiter {
  /** It has a place, counted as running, though it may not have continued yet. */
  admitted: boolean
  wake: (() => void) | undefined
}

interface Places {
  /** Takes a place for a call, or waits for one. Within an uninterruptible region, which `restore` ends for the call. */
  readonly enter: <A, E, R>(self: Effect.Effect<A, E, R>, restore: Restore) => Effect.Effect<A, E | BulkheadError, R>
  readonly inspect: () => State
  /** Admits as many waiters as there is room for. */
  readonly admit: () => void
}

const makePlaces = (settings: Settings, key: string | undefined, onIdle: () => void): Places => {
  const waiters = new Set<Waiter>()
  let running = 0

  // Made when first needed and again after a resize: most of the cost of an error is its stack.
  let full: { readonly concurrency: number; readonly effect: Effect.Effect<never, BulkheadError> } | undefined
  const refuseFull = () => {
    const { concurrency, queue } = settings
    if (full?.concurrency !== concurrency) {
      full = { concurrency, effect: refuse(settings, key, new Full({ concurrency, queue })) }
    }
    return full.effect
  }

  const admit = () => {
    const dispatcher = Fiber.getCurrent()?.currentDispatcher
    for (const waiter of waiters) {
      if (running >= settings.concurrency) return
      waiters.delete(waiter)
      waiter.admitted = true
      running++
      // Not woken within the call that leaves: it would run the waiter's call, and the next one's, on its own stack.
      if (dispatcher === undefined) waiter.wake?.()
      else dispatcher.scheduleTask(() => waiter.wake?.(), 0)
    }
  }

  const leave = () => {
    running--
    if (waiters.size > 0) admit()
    if (running === 0 && waiters.size === 0) onIdle()
    return undefined
  }

  const wait = (waiter: Waiter) => {
    const woken = Effect.callback<void>((resume) => {
      if (waiter.admitted) resume(Effect.void)
      else waiter.wake = () => resume(Effect.void)
    })
    const { queueTimeout } = settings
    if (queueTimeout === undefined) return woken
    return Effect.timeoutOrElse(woken, {
      duration: queueTimeout,
      // The queue decides, not the race: a waiter that was handed a place in this very moment has it.
      orElse: () =>
        waiters.delete(waiter) ? refuse(settings, key, new QueueTimeout({ after: queueTimeout })) : Effect.void
    })
  }

  const enter: Places["enter"] = (self, restore) => {
    // Then nobody waits: who leaves hands the place on in the same step.
    if (running < settings.concurrency) {
      running++
      return Effect.onExitPrimitive(restore(self), leave, true)
    }
    if (waiters.size >= settings.queue) return refuseFull()
    const waiter: Waiter = { admitted: false, wake: undefined }
    waiters.add(waiter)
    const waited = Effect.onExitPrimitive(
      restore(wait(waiter)),
      (exit) => {
        if (exit._tag === "Success") return undefined
        return waiter.admitted ? leave() : void waiters.delete(waiter)
      },
      true
    )
    return Effect.flatMap(waited, () => Effect.onExitPrimitive(restore(self), leave, true))
  }

  return {
    enter,
    inspect: () => ({ concurrency: settings.concurrency, running, waiting: waiters.size }),
    admit
  }
}

const resizeWith = (settings: Settings, places: () => Iterable<Places>) => (concurrency: number) => {
  const checked = checks.integer("concurrency", concurrency, 1)
  return Effect.sync(() => {
    settings.concurrency = checked
    for (const one of places()) one.admit()
  })
}

/**
 * A bulkhead for one dependency. A call that is interrupted, waiting or running, gives its place back at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: BulkheadOptions): Bulkhead => {
  const settings = resolve(options)
  const places = makePlaces(settings, undefined, () => {})
  return {
    policy: (self) => Effect.uninterruptibleMask((restore) => places.enter(self, restore)),
    inspect: places.inspect,
    resize: resizeWith(settings, () => [places])
  }
}

/**
 * A bulkhead with as many places and as long a queue for each key: hosts, tenants. Keys that nobody uses cost nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeKeyed = (options: BulkheadOptions): KeyedBulkhead => {
  const settings = resolve(options)
  const used = new Map<string, Places>()
  const placesOf = (key: string) => {
    const found = used.get(key)
    if (found !== undefined) return found
    const made = makePlaces(settings, key, () => used.delete(key))
    used.set(key, made)
    return made
  }
  return {
    partition: (key) => ({
      key,
      // In one step: in between, the last to leave would forget these places, and the next caller make others.
      policy: (self) => Effect.uninterruptibleMask((restore) => placesOf(key).enter(self, restore)),
      inspect: () => used.get(key)?.inspect() ?? { concurrency: settings.concurrency, running: 0, waiting: 0 }
    }),
    keys: () => [...used.keys()],
    resize: resizeWith(settings, () => used.values())
  }
}
