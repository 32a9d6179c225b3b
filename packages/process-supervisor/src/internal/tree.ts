/** Who belongs to a supervised process: its descendants, its group and session, and whoever carries its cookie. */
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable, type ProcessStat, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Cookie from "./cookie.ts"

type Identity = ProcessIdentity.ProcessIdentity

/** Itself first, then whoever descends from it or is in its group or session. Empty when it does not run any more. */
const familyOf = (all: ReadonlyArray<ProcessStat>, child: Identity | undefined): ReadonlyArray<ProcessStat> => {
  const self = all.find((stat) => stat.pid === child?.pid && stat.startTime === child.startTime)
  if (self === undefined) return []
  const found = new Set([self])
  for (const member of found) {
    for (const stat of all) {
      if (stat.parent === member.pid || stat.group === self.pid || stat.session === self.pid) found.add(stat)
    }
  }
  return [...found]
}

const identified = (stats: Iterable<ProcessStat>, bootId: string): ReadonlyArray<Identity> =>
  [...stats].filter((stat) => !isDead(stat)).map(({ pid, startTime }) => ({ pid, startTime, bootId }))

/** The living tree, itself first. */
export const family = Effect.fnUntraced(function* (
  child: Identity | undefined
): Effect.fn.Return<ReadonlyArray<Identity>, Unsupported> {
  if (child === undefined) return []
  const table = yield* ProcessTable
  return identified(familyOf(yield* table.all, child), child.bootId)
})

/**
 * Its tree, and everybody who carries the cookie, of this life or of an earlier one: also those who left the group and
 * lost their parent.
 */
const everybody = Effect.fnUntraced(function* (child: Identity | undefined, ours: Cookie.Cookie) {
  const table = yield* ProcessTable
  const all = yield* table.all
  const found = new Set(familyOf(all, child))
  for (const stat of all) {
    if (isDead(stat) || found.has(stat) || stat.pid === process.pid) continue
    const cookie = yield* Cookie.of(stat.pid)
    if (cookie?.name === ours.name && (yield* Cookie.isOurs(cookie, ours))) found.add(stat)
  }
  return identified(found, yield* table.bootId)
})

const merge = (a: ProcessIdentity.Receipt, b: ProcessIdentity.Receipt): ProcessIdentity.Receipt => ({
  signalled: [...a.signalled, ...b.signalled],
  escalated: [...a.escalated, ...b.escalated],
  survivors: b.survivors
})

/** A process that forks faster than it is killed must not keep a stop going for ever. */
const mostRounds = 20

/**
 * Ends everybody, again and again until two looks in a row find nobody: a process can be forked between a look and the
 * signal. The grace counts once, from the beginning.
 */
export const sweep = Effect.fnUntraced(function* (
  child: Identity | undefined,
  ours: Cookie.Cookie,
  options: { readonly grace: Duration.Duration; readonly signal: NodeJS.Signals }
): Effect.fn.Return<ProcessIdentity.Receipt, Unsupported> {
  const end = (yield* Clock.monotonicTimeNanos) + Duration.toNanosUnsafe(options.grace)
  let receipt: ProcessIdentity.Receipt = { signalled: [], escalated: [], survivors: [] }
  let empty = 0
  for (let round = 0; round < mostRounds && empty < 2; round++) {
    const found = yield* everybody(child, ours)
    if (found.length === 0) {
      empty += 1
      continue
    }
    empty = 0
    const left = end - (yield* Clock.monotonicTimeNanos)
    const grace = Duration.nanos(left > 0n ? left : 0n)
    receipt = merge(receipt, yield* ProcessIdentity.terminate(found, { grace, signal: options.signal }))
    if (receipt.survivors.length > 0) return receipt
  }
  return empty < 2 ? { ...receipt, survivors: yield* everybody(child, ours) } : receipt
})

/**
 * Ends what a child that is gone left in its group. Its number can be signalled safely: as long as the group has
 * members, the kernel gives the number to nobody; and if a process has it now, the group was empty.
 */
export const killGroup = Effect.fnUntraced(function* (child: Identity): Effect.fn.Return<void, Unsupported> {
  const table = yield* ProcessTable
  if ((yield* table.stat(child.pid)) === undefined) yield* table.kill(-child.pid, "SIGKILL")
})

/** Whether a process is in the tree of a child that runs. */
export const isMember = Effect.fnUntraced(function* (
  identity: Identity,
  child: Identity
): Effect.fn.Return<boolean, Unsupported> {
  const table = yield* ProcessTable
  return familyOf(yield* table.all, child).some(
    (stat) => stat.pid === identity.pid && stat.startTime === identity.startTime
  )
})
