/**
 * The mind of a supervisor: what is to be started and stopped next, given what happened. Pure; times are monotonic
 * milliseconds. It holds no process, and whoever carries out its orders decides nothing.
 *
 * Each unit has a goal, and may have a reason to be stopped before it goes on. `reconcile` orders whatever brings the
 * units nearer to that and is allowed by their dependencies: who is needed by others is started before and stopped after
 * them. So requests, failures and group strategies only change goals, and cannot contradict each other.
 */
import * as Intensity from "@nexobot/core/Intensity"
import type { ProcessState } from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"

import * as RestartPolicy from "../RestartPolicy.ts"
import * as Plan from "./plan.ts"

type StartedBy = "request" | "policy"

/** Why a unit is to be stopped and started anew. */
type Cycle =
  | { readonly _tag: "Request" }
  | { readonly _tag: "Group" }
  | { readonly _tag: "Recycle"; readonly why: ProcessExit.Recycled["why"] }
  | { readonly _tag: "Unfit"; readonly exit: ProcessExit.ProcessExit }

export interface Unit {
  readonly state: ProcessState
  readonly goal: "Up" | "Down"
  readonly cycle: Cycle | undefined
  /** It was told to start, and has not said yet that it did. */
  readonly spawning: boolean
  /** Not started before. */
  readonly due: number
  /** It is stopped for good, as its group gave up. */
  readonly condemned: boolean
  /** Something outlived its last stop: it is stopped again before it is started. */
  readonly survivors: boolean
  readonly startedBy: StartedBy
  readonly restarts: number
  readonly memory: RestartPolicy.Memory
  readonly lastExit: ProcessExit.ProcessExit | undefined
}

export interface State {
  readonly units: ReadonlyMap<string, Unit>
  /** Restarts counted by each group. */
  readonly groups: ReadonlyArray<Intensity.Attempts>
}

export type Input =
  | { readonly _tag: "Start" | "Stop" | "Restart"; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Held" | "Spawned" | "Ready"; readonly name: string }
  /** `restarts` are those of earlier lives of the supervisor. */
  | { readonly _tag: "Adopted"; readonly name: string; readonly restarts: number }
  | {
      /** It ended, or could not be spawned, and nobody had ordered its stop. */
      readonly _tag: "Exited"
      readonly name: string
      readonly exit: ProcessExit.ProcessExit
      readonly ranFor: Duration.Duration
    }
  /** An ordered stop is over. */
  | { readonly _tag: "Stopped"; readonly name: string; readonly ranFor: Duration.Duration; readonly survivors: boolean }
  /** It runs, and must not go on. */
  | { readonly _tag: "Unfit"; readonly name: string; readonly exit: ProcessExit.ProcessExit }
  | { readonly _tag: "Recycle"; readonly name: string; readonly why: ProcessExit.Recycled["why"] }
  | { readonly _tag: "Tick" }

export type Order =
  | { readonly _tag: "Start"; readonly name: string; readonly startedBy: StartedBy }
  /** `exit` is how the stop is to be recorded; without it, as asked for by `by`. */
  | {
      readonly _tag: "Stop"
      readonly name: string
      readonly by: "request" | "group"
      readonly exit: ProcessExit.ProcessExit | undefined
    }

export type GiveUpReason = RestartPolicy.GiveUpReason | "SpawnFailed" | "Survivors" | "GroupGaveUp"

/** What it decided, for the journal. */
export type Decision =
  | { readonly _tag: "StopRequested"; readonly name: string; readonly by: "request" | "group" }
  | {
      readonly _tag: "RestartDecided"
      readonly name: string
      readonly after: number
      readonly why: RestartReason
      readonly restarts: number
    }
  | { readonly _tag: "Blocked"; readonly name: string; readonly on: ReadonlyArray<string> }
  | {
      readonly _tag: "Skipped"
      readonly name: string
      readonly because: string
      readonly exit: ProcessExit.ProcessExit | undefined
    }
  | { readonly _tag: "GaveUp"; readonly name: string; readonly reason: GiveUpReason }
  | { readonly _tag: "Ended"; readonly name: string }
  /** `name` is the group that cannot go on, `to` the one that it is a member of. */
  | { readonly _tag: "Escalated"; readonly name: string; readonly to: string; readonly because: string }

export type RestartReason = "Exit" | "Group" | "Recycled" | "Request"

export interface Step {
  readonly state: State
  readonly orders: ReadonlyArray<Order>
  readonly decisions: ReadonlyArray<Decision>
}

const idle: Unit = {
  state: "Stopped",
  goal: "Down",
  cycle: undefined,
  spawning: false,
  due: 0,
  condemned: false,
  survivors: false,
  startedBy: "request",
  restarts: 0,
  memory: RestartPolicy.fresh,
  lastExit: undefined
}

export const initial = (plan: Plan.Plan): State => ({
  units: new Map(plan.units.map((unit) => [unit.name, idle])),
  groups: plan.groups.map(() => [])
})

/** It has a process, or may have one any moment. */
const isEngaged = ({ spawning, state }: Unit): boolean =>
  spawning || state === "Starting" || state === "Running" || state === "Stopping"

const isToStop = (unit: Unit): boolean => isEngaged(unit) && (unit.goal === "Down" || unit.cycle !== undefined)

/** When something is due after `now`, without anything else happening. Who is overdue waits for others, not for time. */
export const nextDue = (state: State, now: number): number | undefined => {
  let next: number | undefined
  for (const { due, goal, state: is } of state.units.values()) {
    if (is === "Waiting" && goal === "Up" && due > now && (next === undefined || due < next)) next = due
  }
  return next
}

/** Pause of a whole group before its parent starts it again. */
const groupPause = 1000

export const step = (
  plan: Plan.Plan,
  given: State,
  input: Input,
  { now, seed }: { readonly now: number; readonly seed: number }
): Step => {
  const units = new Map(given.units)
  const groups = [...given.groups]
  const orders: Array<Order> = []
  const decisions: Array<Decision> = []

  const unitOf = (name: string): Unit => units.get(name) ?? idle
  const planOf = (name: string) => plan.units.find((unit) => unit.name === name)
  const change = (name: string, changes: Partial<Unit>): void => void units.set(name, { ...unitOf(name), ...changes })

  const announceRestart = (name: string, why: RestartReason): void => {
    const { due, restarts } = unitOf(name)
    decisions.push({ _tag: "RestartDecided", name, why, restarts, after: Math.max(0, due - now) })
  }

  /**
   * Restarts a unit with its group, `anew` if the group as a whole is: not what has ended well, was stopped, or is on its
   * way down. What failed on its own meanwhile does not count beside it.
   */
  const takeAlong = (name: string, due: number, anew: boolean): void => {
    const unit = unitOf(name)
    const isFailed = unit.state === "Failed"
    if (unit.goal === "Down" && !unit.condemned && !isFailed) return
    const cycle: Cycle = unit.cycle?._tag === "Request" ? unit.cycle : { _tag: "Group" }
    if (planOf(name)?.policy.type === "temporary") {
      // Never restarted: it only ends with the others.
      if (isEngaged(unit)) change(name, { goal: "Down", condemned: false, cycle })
      return
    }
    if (anew) change(name, { memory: RestartPolicy.fresh })
    const then = anew ? due : Math.max(due, unit.due)
    // Announced when it has stopped.
    if (isEngaged(unit)) return change(name, { due: then, goal: "Up", condemned: false, cycle })
    if (unit.state === "Waiting" && !anew) {
      if (then === unit.due) return
      change(name, { due: then })
      return announceRestart(name, "Group")
    }
    if (!anew || !(isFailed || unit.state === "Waiting")) return
    if (unit.survivors) {
      change(name, { due: then, goal: "Up", cycle })
      return orderStop(name, "group", undefined)
    }
    change(name, { due: then, goal: "Up", state: "Waiting", startedBy: "policy", restarts: unit.restarts + 1 })
    announceRestart(name, "Group")
  }

  const condemn = (name: string): void => {
    const unit = unitOf(name)
    if (unit.goal === "Down") return
    if (isEngaged(unit)) change(name, { goal: "Down", condemned: true, cycle: undefined })
    else if (["Waiting", "Blocked", "Skipped"].includes(unit.state)) {
      change(name, { goal: "Down", state: "Failed" })
      decisions.push({ _tag: "GaveUp", name, reason: "GroupGaveUp" })
    }
  }

  /**
   * Counts a restart in a group; `false` when it has had too many. When it was decided counts, as in Erlang/OTP: members
   * are restarted after different delays, and what was counted last would not be what comes last.
   */
  const isBorneBy = (group: number): boolean => {
    const intensity = plan.groups[group]?.intensity
    const counted = intensity === undefined ? undefined : Intensity.attempt(intensity, groups[group] ?? [], now)
    if (counted === undefined) return false
    groups[group] = counted
    return true
  }

  /** A group cannot go on: whoever it is a member of restarts it, or cannot go on either. */
  const escalate = (group: number, because: string): void => {
    const parent = plan.groups[group]?.parent
    if (parent === undefined) return
    const to = plan.groups[parent]?.name ?? ""
    decisions.push({ _tag: "Escalated", name: plan.groups[group]?.name ?? "", to, because })
    const members = Plan.membersOf(plan, group)
    const along = Plan.takenAlong(plan, parent, members)
    if (isBorneBy(parent)) {
      for (const within of groups.keys()) if (Plan.isWithin(plan, within, group)) groups[within] = []
      for (const { name } of members) takeAlong(name, now + groupPause, true)
      for (const { name } of along) takeAlong(name, now + groupPause, false)
    } else if (plan.groups[parent]?.parent === undefined) {
      for (const { name } of [...members, ...along]) condemn(name)
    } else {
      escalate(parent, because)
    }
  }

  const fail = (name: string, reason: GiveUpReason): void => {
    change(name, { state: "Failed", goal: "Down", cycle: undefined, condemned: false })
    decisions.push({ _tag: "GaveUp", name, reason })
    const unit = planOf(name)
    if (unit === undefined || reason === "GroupGaveUp") return
    if (plan.groups[unit.group]?.parent !== undefined) return escalate(unit.group, name)
    for (const along of Plan.takenAlong(plan, unit.group, [unit])) condemn(along.name)
  }

  /** What follows from an end that nobody wanted. */
  const failedRun = (name: string, exit: ProcessExit.ProcessExit, ranFor: Duration.Duration): void => {
    const unit = planOf(name)
    if (unit === undefined) return
    const { memory: remembered, startedBy } = unitOf(name)
    if (exit._tag === "SpawnFailed" && startedBy === "request") return fail(name, "SpawnFailed")
    const { decision, memory } = RestartPolicy.decide(unit.policy, remembered, { exit, ranFor, now, seed })
    change(name, { memory })
    if (decision._tag === "Done") {
      change(name, { state: "Ended" })
      return void decisions.push({ _tag: "Ended", name })
    }
    if (decision._tag === "GiveUp") return fail(name, decision.reason)
    const due = now + Duration.toMillis(decision.after)
    change(name, { due, state: "Waiting", startedBy: "policy" })
    // The root counts only its groups: its own units have a policy each, and are none of each other's business.
    if (plan.groups[unit.group]?.parent !== undefined && !isBorneBy(unit.group)) return escalate(unit.group, name)
    change(name, { restarts: unitOf(name).restarts + 1 })
    announceRestart(name, "Exit")
    for (const along of Plan.takenAlong(plan, unit.group, [unit])) takeAlong(along.name, due, false)
  }

  const exited = ({ exit, name, ranFor }: Extract<Input, { _tag: "Exited" }>): void => {
    const { condemned, cycle, goal, state } = unitOf(name)
    change(name, { spawning: false, lastExit: exit })
    // It was told to stop in the same moment: the end of that follows.
    if (state === "Stopping") return
    // Its stop was decided, and waited for others: what it left is still to be looked for.
    if (goal === "Down" || cycle?._tag === "Group" || cycle?._tag === "Request") {
      return orderStop(name, condemned || cycle?._tag === "Group" ? "group" : "request", undefined)
    }
    change(name, { cycle: undefined })
    failedRun(name, exit, ranFor)
  }

  const stopped = ({ name, ranFor, survivors }: Extract<Input, { _tag: "Stopped" }>): void => {
    const { condemned, cycle, due, goal } = unitOf(name)
    change(name, { spawning: false, state: "Stopped", cycle: undefined, condemned: false, survivors })
    if (condemned) return fail(name, "GroupGaveUp")
    if (goal === "Down") return
    // Another one beside what outlived SIGKILL would make two.
    if (survivors) return fail(name, "Survivors")
    switch (cycle?._tag) {
      case "Unfit":
        return failedRun(name, cycle.exit, ranFor)
      case "Recycle":
        change(name, { state: "Waiting", due: now, startedBy: "policy" })
        return announceRestart(name, "Recycled")
      case "Group":
        change(name, { state: "Waiting", due, startedBy: "policy", restarts: unitOf(name).restarts + 1 })
        return announceRestart(name, "Group")
      // A restart, or a start that was asked for while it was being stopped.
      default:
        change(name, { state: "Waiting", due: now, startedBy: "request", memory: RestartPolicy.fresh })
        return announceRestart(name, "Request")
    }
  }

  const start = (name: string): void => {
    const unit = unitOf(name)
    if (isEngaged(unit)) return change(name, { goal: "Up", condemned: false })
    if (unit.goal === "Up" && ["Waiting", "Blocked"].includes(unit.state)) return
    if (unit.survivors) return restart(name)
    change(name, { goal: "Up", state: "Waiting", due: now, startedBy: "request", memory: RestartPolicy.fresh })
  }

  const restart = (name: string): void => {
    const engaged = isEngaged(unitOf(name))
    change(name, { goal: "Up", condemned: false, cycle: { _tag: "Request" } })
    // Also of what does not run: an earlier life may have left something behind.
    if (!engaged) orderStop(name, "request", undefined)
  }

  const stop = (name: string): void => {
    change(name, { goal: "Down", condemned: false, cycle: undefined })
    if (!isEngaged(unitOf(name))) orderStop(name, "request", undefined)
  }

  /** It runs, and nobody has decided otherwise. */
  const isToGoOn = (name: string): boolean => {
    const { cycle, goal, spawning, state } = unitOf(name)
    return (state === "Running" || (state === "Starting" && !spawning)) && goal === "Up" && cycle === undefined
  }

  const orderStop = (name: string, by: "request" | "group", exit: ProcessExit.ProcessExit | undefined): void => {
    change(name, { state: "Stopping", spawning: false })
    if (exit === undefined) decisions.push({ _tag: "StopRequested", name, by })
    orders.push({ _tag: "Stop", name, by, exit })
  }

  /** Who needs this one: by its dependencies, or as a later member of a group that restarts the rest. */
  const successors = (name: string): ReadonlyArray<string> => links.get(name)?.after ?? []
  const predecessors = (name: string): ReadonlyArray<Plan.Link> => links.get(name)?.before ?? []
  const links = Plan.linksOf(plan)

  /** A unit that will not come, as far as `until` goes: who waits for it waits in vain. */
  const isLost = ({ name, until }: Plan.Link): boolean => {
    const { lastExit, state } = unitOf(name)
    if (until === "order") return false
    if (state === "Failed" || state === "Skipped") return true
    const unit = planOf(name)
    const endedWell = lastExit === undefined || unit === undefined || RestartPolicy.isNormal(unit.policy, lastExit)
    return state === "Ended" && !endedWell
  }

  const isThere = ({ name, until }: Plan.Link): boolean => {
    const { cycle, spawning, state } = unitOf(name)
    if (cycle !== undefined) return false
    switch (until) {
      case "completed":
        return state === "Ended"
      case "started":
        return state === "Running" || state === "Ended" || (state === "Starting" && !spawning)
      case "ready":
        return state === "Running" || state === "Ended"
      case "order":
        // A member before it that was stopped on request, or is lost, keeps nobody from starting.
        return !["Blocked", "Waiting", "Starting", "Stopping"].includes(state) || unitOf(name).goal === "Down"
    }
  }

  /** Also if it is to start again after that. */
  const isStopping = (name: string): boolean => unitOf(name).state === "Stopping" || isToStop(unitOf(name))

  /** Whether somebody who is to be gone before it starts is not. */
  const isHeldByStops = (name: string): boolean => {
    if (successors(name).some(isStopping)) return true
    for (let group = planOf(name)?.group; group !== undefined; group = plan.groups[group]?.parent) {
      if (plan.groups[group]?.strategy !== "one_for_all") continue
      if (Plan.membersOf(plan, group).some((other) => isStopping(other.name))) return true
    }
    return false
  }

  /** `true` when something changed, so that others may go on. */
  const reconcileUnit = (name: string): boolean => {
    const unit = unitOf(name)
    if (isToStop(unit) && unit.state !== "Stopping") {
      if (successors(name).some(isStopping)) return false
      const { cycle } = unit
      const exit =
        cycle?._tag === "Unfit"
          ? cycle.exit
          : cycle?._tag === "Recycle"
            ? new ProcessExit.Recycled({ why: cycle.why })
            : undefined
      orderStop(name, unit.condemned || cycle?._tag === "Group" ? "group" : "request", exit)
      return true
    }
    if (isEngaged(unit) || unit.goal === "Down") return false
    const before = predecessors(name)
    if (unit.state === "Skipped") {
      if (before.some(isLost)) return false
      change(name, { state: "Waiting", due: now })
      return true
    }
    if (unit.state !== "Blocked" && !(unit.state === "Waiting" && unit.due <= now)) return false
    const lost = before.find(isLost)
    if (lost !== undefined) {
      change(name, { state: "Skipped" })
      decisions.push({ _tag: "Skipped", name, because: lost.name, exit: unitOf(lost.name).lastExit })
      return true
    }
    const missing = before.filter((link) => !isThere(link)).map((link) => link.name)
    if (missing.length > 0) {
      if (unit.state === "Blocked") return false
      change(name, { state: "Blocked" })
      decisions.push({ _tag: "Blocked", name, on: missing })
      return true
    }
    if (isHeldByStops(name)) return false
    change(name, { state: "Starting", spawning: true })
    orders.push({ _tag: "Start", name, startedBy: unit.startedBy })
    return true
  }

  const reconcile = (): void => {
    let changed = true
    while (changed) {
      changed = false
      for (const { name } of plan.units) changed = reconcileUnit(name) || changed
    }
  }

  switch (input._tag) {
    case "Start":
      input.names.forEach(start)
      break
    case "Restart":
      input.names.forEach(restart)
      break
    case "Stop":
      input.names.forEach(stop)
      break
    case "Held":
      if (unitOf(input.name).spawning) change(input.name, { state: "Blocked" })
      break
    case "Spawned":
      if (unitOf(input.name).spawning) change(input.name, { state: "Starting", spawning: false })
      break
    case "Ready":
      if (unitOf(input.name).state === "Starting") change(input.name, { state: "Running" })
      break
    case "Adopted":
      change(input.name, { state: "Running", goal: "Up", startedBy: "policy", restarts: input.restarts })
      break
    case "Exited":
      exited(input)
      break
    case "Stopped":
      stopped(input)
      break
    case "Unfit":
      if (isToGoOn(input.name)) change(input.name, { cycle: { _tag: "Unfit", exit: input.exit }, lastExit: input.exit })
      break
    case "Recycle":
      if (isToGoOn(input.name)) {
        change(input.name, { cycle: { _tag: "Recycle", why: input.why } })
      } else if (unitOf(input.name).state === "Failed" && input.why === "FilesChanged") {
        // What made it fail may be mended.
        start(input.name)
        if (unitOf(input.name).state === "Waiting") announceRestart(input.name, "Recycled")
      }
      break
    case "Tick":
      break
  }
  reconcile()
  return { state: { units, groups }, orders, decisions }
}
