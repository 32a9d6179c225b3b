/**
 * A process named for ever: pid, start time and boot id. A bare pid names whoever has it next.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

import { isDead, ProcessTable, type Unsupported } from "./ProcessTable.ts"

/**
 * @category models
 * @since 0.1.0
 */
export const ProcessIdentity = Schema.Struct({
  pid: Schema.Int,
  /** Clock ticks after boot. */
  startTime: Schema.Int,
  bootId: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type ProcessIdentity = typeof ProcessIdentity.Type

/**
 * The identity of the process that has this pid now; `undefined` when none has, or only a zombie.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = Effect.fnUntraced(function* (
  pid: number
): Effect.fn.Return<ProcessIdentity | undefined, Unsupported> {
  const table = yield* ProcessTable
  const stat = yield* table.stat(pid)
  if (stat === undefined || isDead(stat)) return undefined
  return { pid, startTime: stat.startTime, bootId: yield* table.bootId }
})

/**
 * @category predicates
 * @since 0.1.0
 */
export const equals = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId

/**
 * Whether the very process still runs; a zombie does not.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isAlive = Effect.fnUntraced(function* (self: ProcessIdentity): Effect.fn.Return<boolean, Unsupported> {
  const now = yield* of(self.pid)
  return now !== undefined && equals(now, self)
})

/**
 * Sends a signal after checking, in the same moment, that the pid still belongs to this process. `false` when it does
 * not: nobody was signalled.
 *
 * @category operations
 * @since 0.1.0
 */
export const signal = Effect.fnUntraced(function* (
  self: ProcessIdentity,
  name: NodeJS.Signals
): Effect.fn.Return<boolean, Unsupported> {
  const table = yield* ProcessTable
  return (yield* isAlive(self)) && (yield* table.kill(self.pid, name))
})

/**
 * What became of processes that were told to end.
 *
 * @category models
 * @since 0.1.0
 */
export const Receipt = Schema.Struct({
  /** Got the first signal. */
  signalled: Schema.Array(ProcessIdentity),
  /** Did not end within the grace and got SIGKILL. */
  escalated: Schema.Array(ProcessIdentity),
  /** Still alive after that: in an uninterruptible wait for a disk, or not ours to signal. */
  survivors: Schema.Array(ProcessIdentity)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Receipt = typeof Receipt.Type

const alive = (all: ReadonlyArray<ProcessIdentity>) => Effect.filter(all, isAlive)

const poll = Schedule.spaced("10 millis")

/** Ends as soon as all are gone, or after `within`. */
const awaitExit = (all: ReadonlyArray<ProcessIdentity>, within: Duration.Input) =>
  alive(all).pipe(
    Effect.repeat({ schedule: poll, until: (left) => left.length === 0 }),
    Effect.timeoutOption(within),
    Effect.asVoid
  )

/**
 * Ends processes: the stop signals in turn (and SIGCONT, or a stopped one would never see them), each with a grace, then
 * SIGKILL to those that are left. Each signal goes to a verified identity.
 *
 * @category operations
 * @since 0.1.0
 */
export const terminate = Effect.fnUntraced(function* (
  all: ReadonlyArray<ProcessIdentity>,
  options: {
    /** After each signal. */
    readonly grace: Duration.Input
    /** SIGTERM unless told. */
    readonly signals?: ReadonlyArray<NodeJS.Signals>
  }
): Effect.fn.Return<Receipt, Unsupported> {
  let signalled: ReadonlyArray<ProcessIdentity> | undefined
  for (const name of options.signals ?? ["SIGTERM" as const]) {
    const reached = yield* Effect.filter(signalled ?? all, (one) => signal(one, name))
    yield* Effect.forEach(reached, (one) => signal(one, "SIGCONT"), { discard: true })
    yield* awaitExit(reached, options.grace)
    signalled ??= reached
  }
  const escalated = yield* Effect.filter(signalled ?? [], (one) => signal(one, "SIGKILL"))
  yield* awaitExit(escalated, "2 seconds")
  // Of all, not of those that were signalled: one that may not be signalled lives on too.
  return { signalled: signalled ?? [], escalated, survivors: yield* alive(all) }
})
