/** Who belongs to a supervised process: its descendants, its group and session, and whoever carries its cookie. */
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable, type ProcessStat, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Cookie from "./cookie.ts"

type Identity = ProcessIdentity.ProcessIdentity

/** Itself first, then whoever descends from it or is in its group or session. */
export const familyOf = (all: ReadonlyArray<ProcessStat>, self: ProcessStat): ReadonlyArray<ProcessStat> => {
  const found = new Set([self])
  for (const member of found) {
    for (const stat of all) {
      if (stat.parent === member.pid || stat.group === self.pid || stat.session === self.pid) found.add(stat)
    }
  }
  return [...found]
}

/** Empty when it does not run any more. */
const treeOf = (all: ReadonlyArray<ProcessStat>, child: Identity | undefined): ReadonlyArray<ProcessStat> => {
  const self = all.find((stat) => stat.pid === child?.pid && stat.startTime === child.startTime)
  return self === undefined ? [] : familyOf(all, self)
}

const identified = (stats: Iterable<ProcessStat>, bootId: string): ReadonlyArray<Identity> =>
  [...stats].filter((stat) => !isDead(stat)).map(({ pid, startTime }) => ({ pid, startTime, bootId }))

/** The living tree, itself first. */
export const family = Effect.fnUntraced(function* (
  child: Identity | undefined
): Effect.fn.Return<ReadonlyArray<Identity>, Unsupported> {
  if (child === undefined) return []
  const table = yield* ProcessTable
  return identified(treeOf(yield* table.all, child), child.bootId)
})

interface Whom {
  /** What the containment of the child knows beside. */
  readonly members?: Effect.Effect<ReadonlyArray<number>>
  /** Only those of this life of the process; of all its lives unless told. */
  readonly life?: number
}

/** A process and those above it. */
export const ancestryOf = (
  byPid: ReadonlyMap<number, ProcessStat>,
  self: ProcessStat | undefined
): ReadonlySet<ProcessStat> => {
  const found = new Set<ProcessStat>()
  for (let at = self; at !== undefined && !found.has(at); at = byPid.get(at.parent)) found.add(at)
  return found
}

interface Look {
  readonly all: ReadonlyArray<ProcessStat>
  /** We and those above us: whatever marks we have inherited, such as in a shell of an earlier life. */
  readonly above: ReadonlySet<ProcessStat>
  /** Of whoever has one. */
  readonly cookies: ReadonlyMap<ProcessStat, Cookie.Cookie>
}

const asked = new WeakMap<typeof ProcessTable.Service, Deferred.Deferred<Look, Unsupported>>()

/** How many processes are stopped now. */
let sweeps = 0
const few = 4

/**
 * Looks at everybody, after it was asked for. Who ask in the same turn of the event loop share one look, and in the same
 * moment where many are stopped: a hundred together would read the whole table some hundred times.
 */
const look = Effect.gen(function* (): Effect.fn.Return<Look, Unsupported> {
  const table = yield* ProcessTable
  const shared = asked.get(table)
  if (shared !== undefined) return yield* Deferred.await(shared)
  const answer = Deferred.makeUnsafe<Look, Unsupported>()
  asked.set(table, answer)
  yield* sweeps > few ? Effect.sleep(Duration.millis(Math.min(sweeps, 20))) : Effect.yieldNow
  asked.delete(table)
  const read = Effect.gen(function* () {
    const all = yield* table.all
    const byPid = new Map(all.map((stat) => [stat.pid, stat]))
    const above = ancestryOf(byPid, byPid.get(process.pid))
    const cookies = new Map<ProcessStat, Cookie.Cookie>()
    for (const stat of all) {
      const cookie = isDead(stat) || above.has(stat) ? undefined : yield* Cookie.of(stat.pid)
      if (cookie !== undefined) cookies.set(stat, cookie)
    }
    return { all, above, cookies }
  })
  const exit = yield* Effect.exit(read)
  Deferred.doneUnsafe(answer, exit)
  return yield* exit
}).pipe(Effect.uninterruptible)

/**
 * Its tree, and everybody who carries the cookie, of this life or of an earlier one: also those who left the group and
 * lost their parent.
 */
const everybody = Effect.fnUntraced(function* (child: Identity | undefined, ours: Cookie.Cookie, whom: Whom) {
  const table = yield* ProcessTable
  const { above, all, cookies } = yield* look
  const found = new Set(treeOf(all, child))
  const members = new Set(whom.members === undefined ? [] : yield* whom.members)
  for (const stat of all) {
    if (isDead(stat) || found.has(stat) || above.has(stat)) continue
    if (members.has(stat.pid)) found.add(stat)
    const cookie = cookies.get(stat)
    if (cookie?.name !== ours.name || !(yield* Cookie.isOurs(cookie, ours))) continue
    if (whom.life === undefined || (yield* Cookie.lifeOf(stat.pid)) === whom.life) found.add(stat)
  }
  return identified(found, yield* table.bootId)
})

/** Of several processes. */
export const together = (receipts: ReadonlyArray<ProcessIdentity.Receipt>): ProcessIdentity.Receipt => ({
  signalled: receipts.flatMap(({ signalled }) => signalled),
  escalated: receipts.flatMap(({ escalated }) => escalated),
  survivors: receipts.flatMap(({ survivors }) => survivors)
})

/** Of one process, one round after the other: who is left is who the last one has left. */
export const merge = (a: ProcessIdentity.Receipt, b: ProcessIdentity.Receipt): ProcessIdentity.Receipt => ({
  signalled: [...a.signalled, ...b.signalled],
  escalated: [...a.escalated, ...b.escalated],
  survivors: b.survivors
})

/** A process that forks faster than it is killed must not keep a stop going for ever. */
const mostRounds = 20

/**
 * Ends everybody, again and again until two looks in a row find nobody: a process can be forked between a look and the
 * signal. Each stop signal has its grace once, from the beginning.
 */
export const sweep = Effect.fnUntraced(
  function* (
    child: Identity | undefined,
    ours: Cookie.Cookie,
    options: Whom & { readonly grace: Duration.Duration; readonly signals: ReadonlyArray<NodeJS.Signals> }
  ): Effect.fn.Return<ProcessIdentity.Receipt, Unsupported> {
    sweeps += 1
    const { grace, signals } = options
    const end = (yield* Clock.monotonicTimeNanos) + Duration.toNanosUnsafe(grace) * BigInt(signals.length)
    let receipt: ProcessIdentity.Receipt = { signalled: [], escalated: [], survivors: [] }
    let empty = 0
    for (let round = 0; round < mostRounds && empty < 2; round++) {
      const found = yield* everybody(child, ours, options)
      if (found.length === 0) {
        empty += 1
        continue
      }
      empty = 0
      const left = end - (yield* Clock.monotonicTimeNanos)
      // Who comes late has missed the first signals.
      const late = { grace: Duration.nanos(left > 0n ? left : 0n), signals: signals.slice(-1) }
      receipt = merge(receipt, yield* ProcessIdentity.terminate(found, round === 0 ? { grace, signals } : late))
      if (receipt.survivors.length > 0) return receipt
    }
    return empty < 2 ? { ...receipt, survivors: yield* everybody(child, ours, options) } : receipt
  },
  Effect.ensuring(Effect.sync(() => void (sweeps -= 1)))
)

/**
 * Ends what a child that is gone left in its group. Its number can be signalled safely: as long as the group has
 * members, the kernel gives the number to nobody; and if a process has it now, the group was empty. An adopted one can
 * stay a zombie, where nobody reaps it.
 */
export const killGroup = Effect.fnUntraced(function* (child: Identity): Effect.fn.Return<void, Unsupported> {
  const table = yield* ProcessTable
  const stat = yield* table.stat(child.pid)
  const isGone = stat === undefined || (isDead(stat) && stat.startTime === child.startTime)
  if (isGone) yield* table.kill(-child.pid, "SIGKILL")
})

/** In whose tree, of children that run, a process is. */
export const memberOf = Effect.fnUntraced(function* (
  identity: Identity,
  children: ReadonlyArray<readonly [string, Identity]>
): Effect.fn.Return<string | undefined, Unsupported> {
  const all = yield* (yield* ProcessTable).all
  const isIt = ({ pid, startTime }: ProcessStat): boolean => pid === identity.pid && startTime === identity.startTime
  for (const [name, child] of children) if (treeOf(all, child).some(isIt)) return name
  return undefined
})
