import * as Monotonic from "@nexobot/core/Monotonic"
/**
 * Looks at what supervised processes use: one for all of them, as one list of `/proc` serves all.
 *
 * A look at a child with a limit reads one file of each process in its tree, which also proves that it is still the same
 * process, and asks only for the names in `/proc`: whoever was not there at the last look is read, and may have joined a
 * tree. Everything is read anew every few seconds, which is also all that children without a limit get. While nothing is
 * watched, nothing is read.
 */
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { ProcessTable, type ProcessSample, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

import type { Limits } from "../ResourceLimits.ts"
import * as Oom from "./oom.ts"
import * as App from "./sampler/app.ts"
import * as Family from "./sampler/family.ts"

export type { Breach, Usage } from "./sampler/app.ts"

export interface Sampler {
  /**
   * Watches a child from now on, in place of an earlier one of that name, until the result is called. A breach is told
   * once. Callbacks are called synchronously.
   */
  readonly watch: (
    name: string,
    child: ProcessIdentity,
    limits: Limits | undefined,
    onBreach: (breach: App.Breach) => void,
    extra?: App.Extra
  ) => () => void
  /** As of the last look. */
  readonly usage: (name: string) => App.Usage
}

export interface Options {
  /** Between two looks at a child with a limit; a third of it near the limit. `"750 millis"` unless told. */
  readonly interval?: Duration.Input
  /** Between two looks at everybody; `"4 seconds"` unless told. */
  readonly everybody?: Duration.Input
}

/** So many processes are read before others get a turn: a machine may have thousands. */
const batch = 100
/**
 * Milliseconds of rest for each process after a look at everybody. To read one takes some 15 µs: no more than 0.4 % of a
 * core, however many there are. It is not measured, as on a busy machine that would measure the others.
 */
const restForEach = 4

/** Those who belong to a tree are put into its family, with what they had used when they joined. */
const join = (
  watched: ReadonlyArray<App.App>,
  named: ReadonlyArray<readonly [pid: number, app: App.App]>,
  samples: ReadonlyMap<number, ProcessSample>,
  isNew: (pid: number) => boolean
): void => {
  const owners = new Map<number, App.App>()
  const roots = new Map<number, App.App>()
  for (const app of watched) {
    if (app.family.size > 0) roots.set(app.child.pid, app)
    for (const pid of app.family.keys()) owners.set(pid, app)
  }
  for (const [pid, app] of named) {
    if (samples.has(pid) && !owners.has(pid)) owners.set(pid, app)
  }
  Family.assign(owners, roots, samples)
  for (const [pid, app] of owners) {
    const sample = samples.get(pid)
    if (sample === undefined || app.family.has(pid)) continue
    // What a newcomer has used, it has used here.
    app.family.set(pid, isNew(pid) ? { ...sample, cpu: 0, reaped: 0 } : sample)
  }
}

export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Sampler, Unsupported, Scope.Scope> {
  const table = yield* ProcessTable
  const clock = yield* Monotonic.reader
  const usual = Duration.toMillis(Duration.fromInputUnsafe(options.interval ?? "750 millis"))
  const shortestIdle = Duration.toMillis(Duration.fromInputUnsafe(options.everybody ?? "4 seconds"))
  let idle = shortestIdle
  const rhythm: App.Rhythm = { usual, near: usual / 3, idle: () => idle }

  const apps = new Map<string, App.App>()
  const wake = yield* Latch.make(false)
  let wakeAt = Number.POSITIVE_INFINITY
  let everybodyAt = Number.NEGATIVE_INFINITY
  /** Who was there at the last look. */
  let seen: ReadonlySet<number> = new Set()

  const read = Effect.fnUntraced(function* (pids: ReadonlyArray<number>) {
    const samples = new Map<number, ProcessSample>()
    for (let from = 0; from < pids.length; from += batch) {
      if (from > 0) yield* Effect.yieldNow
      for (const sample of yield* table.samples(pids.slice(from, from + batch))) samples.set(sample.pid, sample)
    }
    return samples
  })

  const look = Effect.fnUntraced(function* () {
    const begin = clock()
    const isForAll = begin >= everybodyAt
    const watched = [...apps.values()]
    const due = isForAll ? watched : watched.filter((app) => app.due <= begin)
    if (due.length === 0) return
    const pids = yield* table.pids
    const before = seen
    const fresh = before.size === 0 ? pids : pids.filter((pid) => !before.has(pid))
    const named = due.flatMap((app) => (app.extra.members?.() ?? []).map((pid) => [pid, app] as const))
    const asked = new Set([...fresh, ...named.map(([pid]) => pid)])
    for (const app of due) for (const pid of app.family.keys()) asked.add(pid)
    const samples = yield* read(isForAll ? pids : [...asked])
    seen = new Set(pids)
    for (const app of watched) {
      for (const [pid, { startTime }] of app.family) {
        const sample = samples.get(pid)
        // Somebody else has its number by now; the root's place is kept, so that the look tells that it is gone.
        if (sample !== undefined && sample.startTime !== startTime && pid !== app.child.pid) app.family.delete(pid)
      }
    }
    if (isForAll || fresh.length > 0 || named.length > 0) {
      join(watched, named, samples, (pid) => before.size > 0 && !before.has(pid))
    }
    for (const app of due) yield* app.look(samples, clock)
    if (!isForAll) return
    // What else is to be read every few seconds needs no timer of its own.
    Oom.look()
    idle = Math.max(shortestIdle, restForEach * pids.length)
    everybodyAt = clock() + idle
  })

  const pause = Effect.suspend(() => {
    wakeAt = apps.size === 0 ? Number.POSITIVE_INFINITY : everybodyAt
    for (const { due } of apps.values()) wakeAt = Math.min(wakeAt, due)
    wake.closeUnsafe()
    if (wakeAt === Number.POSITIVE_INFINITY) return wake.await
    // At least a millisecond: nothing may keep it from sleeping.
    return Effect.timeoutOption(wake.await, Duration.millis(Math.max(1, wakeAt - clock())))
  })

  // Fails at once where there is no `/proc`.
  yield* table.pids
  yield* look().pipe(
    // For want of a descriptor, for example: nothing is known of this moment, and the next look will do.
    Effect.catchTag("Unsupported", () => Effect.sleep(rhythm.usual)),
    // A callback of ours is broken: the others are watched nevertheless.
    Effect.catchDefect((defect) => Effect.andThen(Effect.logError("sampler", defect), Effect.sleep(rhythm.usual))),
    Effect.andThen(pause),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    watch: (name, child, limits, onBreach, extra = {}) => {
      const app = App.make(child, limits, onBreach, extra, rhythm)
      app.due = App.nextLook(clock(), rhythm.usual)
      apps.get(name)?.close()
      apps.set(name, app)
      if (app.due < wakeAt) wake.openUnsafe()
      return () => {
        app.close()
        if (apps.get(name) === app) apps.delete(name)
      }
    },
    usage: (name) => apps.get(name)?.usage ?? App.unknown
  }
})
