/** One watched child: its family, what it uses, and whether that is too much. */
import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable, type ProcessSample, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { Limits } from "../../ResourceLimits.ts"
import * as Sustained from "../sustained.ts"
import * as Family from "./family.ts"
import * as Load from "./load.ts"

export type Breach = ProcessExit.MemoryLimit | ProcessExit.CpuLimit

/** What is known of a tree. */
export interface Usage {
  /** Bytes. What is shared within the tree counts once as soon as the tree is near its limit. */
  readonly memory: number | undefined
  /** Percent of one core. */
  readonly cpu: number | undefined
  /** Those that live. */
  readonly processes: number
}

export const unknown: Usage = { memory: undefined, cpu: undefined, processes: 0 }

/** What the shell may tell of one child. */
export interface Extra {
  /** Pids that belong to it by other means, such as a control group. */
  readonly members?: () => ReadonlyArray<number>
}

export interface App {
  readonly child: ProcessIdentity
  readonly extra: Extra
  /** The members and what they had used at the last look: whoever joins is put in here. */
  family: Family.Family
  usage: Usage
  /** Monotonic milliseconds of the next look that it needs by itself; `Infinity` leaves it to the look at everybody. */
  due: number
  /** A look at its members, at this time. Calls back what is to be told. */
  readonly look: (samples: ReadonlyMap<number, ProcessSample>, clock: () => number) => Effect.Effect<void, Unsupported>
  /** Nothing more is called back, not even of a look that is under way. */
  readonly close: () => void
}

export interface Rhythm {
  /** Milliseconds between two looks. */
  readonly usual: number
  /** The same, near a limit. */
  readonly near: number
  /** The same, without limits. It may grow. */
  readonly idle: () => number
}

/** The next look: all are looked at in the same moments, as one list of `/proc` serves all of them. */
export const nextLook = (now: number, every: number): number => (Math.floor(now / every) + 1) * every

/** The share of the memory limit from which on it is looked at more often, and shared pages are told apart. */
const nearShare = 0.8

/** Telling shared pages apart costs the kernel a walk through the page tables: so many times the cost is left between. */
const rest = 50
/** It is done as often as this at least, or a breach would be noticed late. */
const longestRest = 1000

/** On a machine that is busy, looks come late: so many milliseconds do not make the time between them unknown. */
const lateLook = 5000

const rule = (what: { readonly limit: number; readonly sustain: Duration.Duration }): Sustained.Rule => ({
  limit: what.limit,
  sustain: Duration.toMillis(what.sustain),
  longestGap: longestRest
})

const blank = ({ pid, startTime }: ProcessIdentity): ProcessSample => ({
  pid,
  startTime,
  parent: 0,
  group: pid,
  session: pid,
  state: "S",
  threads: 1,
  command: "",
  cpu: 0,
  reaped: 0,
  memory: 0
})

export const make = (
  child: ProcessIdentity,
  limits: Limits | undefined,
  onBreach: (breach: Breach) => void,
  extra: Extra,
  rhythm: Rhythm
): App => {
  const memoryRule = limits?.memory && rule(limits.memory)
  const cpuRule = limits?.cpu && rule(limits.cpu)
  const isWatched = memoryRule !== undefined || cpuRule !== undefined
  const load = Load.make(() => Math.max(lateLook, 3 * (isWatched ? rhythm.usual : rhythm.idle())))
  let memoryState: Sustained.State
  let cpuState: Sustained.State
  let shared: { readonly bytes: number; readonly resident: number; readonly until: number } | undefined
  let isOver = false
  let isBreached = false

  const breached = (breach: Breach): void => {
    if (isOver || isBreached) return
    isBreached = true
    onBreach(breach)
  }

  /**
   * The sum of what each has of its own and its part of what it shares; `undefined` while an earlier one is good. In a
   * window that decides, none is.
   */
  const proportional = Effect.fnUntraced(function* (resident: number, limit: number, clock: () => number) {
    const begin = clock()
    if (shared !== undefined && memoryState === undefined && begin < shared.until) {
      if (shared.bytes + resident - shared.resident <= limit) return
    }
    const table = yield* ProcessTable
    let bytes = 0
    for (const { memory, pid } of app.family.values()) {
      if (memory > 0) bytes += (yield* table.proportionalMemory(pid)) ?? memory
    }
    const end = clock()
    shared = { bytes, resident, until: end + Math.min(longestRest, rest * (end - begin)) }
    return bytes
  })

  const lookAtMemory = Effect.fnUntraced(function* (resident: number, clock: () => number) {
    if (memoryRule === undefined) return resident
    const { limit, sustain } = memoryRule
    const isNear = resident >= limit * nearShare
    if (isNear) app.due = nextLook(clock(), rhythm.near)
    const used = isNear && app.family.size > 1 ? yield* proportional(resident, limit, clock) : resident
    if (used === undefined) return shared?.bytes
    const now = clock()
    const { isBreached: isAbove, state } = Sustained.step(memoryRule, memoryState, used, now)
    memoryState = state
    if (isAbove) breached(new ProcessExit.MemoryLimit({ limit, used }))
    // The look that decides comes when the time is up, not when it happens to be due.
    else if (state !== undefined) app.due = Math.min(app.due, now + Math.max(0, sustain - state.above))
    return used
  })

  const lookAtCpu = (percent: number | undefined, now: number): void => {
    if (cpuRule === undefined || percent === undefined) return
    const { isBreached: isAbove, state } = Sustained.step(cpuRule, cpuState, percent, now)
    cpuState = state
    if (isAbove) breached(new ProcessExit.CpuLimit({ limit: cpuRule.limit, used: percent }))
  }

  const app: App = {
    child,
    extra,
    family: new Map([[child.pid, blank(child)]]),
    usage: unknown,
    due: 0,
    look: Effect.fnUntraced(function* (samples, clock) {
      const now = clock()
      app.due = isWatched ? nextLook(now, rhythm.usual) : Number.POSITIVE_INFINITY
      const before = app.family
      const after = Family.survivors(before, samples)
      const itself = after.get(child.pid)
      if (itself === undefined || isDead(itself)) {
        // Whoever it left behind is the sweep's concern; of a tree without its root nothing is to be decided.
        app.family = new Map()
        app.usage = unknown
        app.due = Number.POSITIVE_INFINITY
        return
      }
      app.family = after
      const cpu = load.add(now, Family.spent(before, after))
      const memory = yield* lookAtMemory(Family.resident(after), clock)
      lookAtCpu(cpu, now)
      const processes = [...after.values()].filter((member) => !isDead(member)).length
      app.usage = { memory, cpu, processes }
    }),
    close: () => {
      isOver = true
    }
  }
  return app
}
