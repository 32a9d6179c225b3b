/** What is asked of a supervisor, and when it is answered. */
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import type { Conductor } from "./conductor.ts"
import type * as Machine from "./machine.ts"
import { linksOf, type Plan } from "./plan.ts"
import type { Unit } from "./unit.ts"

export const failed = (process: string, reason: ProcessControl.ProcessControlError["reason"]) =>
  new ProcessControl.ProcessControlError({ process, reason })

export const unavailable = (name: string, why: string) =>
  Effect.fail(failed(name, new ProcessControl.Unavailable({ why })))

/** Asked after each input; `undefined` means "not yet". */
export type Ask<E> = (name: string, input: Machine.Input, now: Machine.State) => Effect.Effect<void, E> | undefined

/**
 * Makes a request, and asks for each name, from that request on, until there is an answer; fails with the first failure.
 */
export const request = <E>(
  conductor: Conductor,
  names: ReadonlyArray<string>,
  made: Machine.Input,
  ask: Ask<E>
): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    const waitedFor = new Set(names)
    let isMade = false
    const answer = conductor.until<void, E>((input, now) => {
      isMade ||= input === made
      if (!isMade) return undefined
      for (const name of waitedFor) {
        const found = ask(name, input, now)
        if (found === undefined) continue
        waitedFor.delete(name)
        if (found !== Effect.void) return found
      }
      return waitedFor.size === 0 ? Effect.void : undefined
    })
    const waiting = yield* Effect.forkChild(answer, { startImmediately: true })
    conductor.dispatch(made)
    return yield* Fiber.join(waiting)
  })

const isStopOf = (name: string, input: Machine.Input) => input._tag === "Stopped" && input.name === name

/** Also when somebody has asked for its start since. */
export const stopped: Ask<never> = (name, input, now) =>
  isStopOf(name, input) || ["Stopped", "Failed"].includes(now.units.get(name)?.state ?? "Stopped")
    ? Effect.void
    : undefined

/** How a start turned out: it runs, it waits for others, or it cannot be. */
export const started =
  (unitOf: (name: string) => Unit, isReadyAtOnce: (name: string) => boolean): Ask<ProcessControl.ProcessControlError> =>
  (name, input, now) => {
    const unit = now.units.get(name)
    if ("name" in input && input.name === name) {
      if (input._tag === "Spawned" && !isReadyAtOnce(name)) return Effect.void
      if (input._tag === "Held") return Effect.void
      // While it is stopped to be started anew, the end of the old one says nothing.
      if (input._tag === "Exited" && unit?.state !== "Stopping") {
        const never = input.exit._tag === "SpawnFailed" || input.exit._tag === "PortHeld"
        return never ? unavailable(name, ProcessExit.describe(input.exit)) : Effect.void
      }
      if (input._tag === "Stopped" && input.survivors) {
        const { survivors } = unitOf(name).receipt()
        return Effect.fail(failed(name, new ProcessControl.Survivors({ pids: survivors.map(({ pid }) => pid) })))
      }
    }
    switch (unit?.state) {
      case "Starting":
        return input._tag === "Start" && !unit.spawning && unit.cycle === undefined ? Effect.void : undefined
      case "Waiting":
        // It is on its way already: its policy waits.
        return input._tag === "Start" && unit.startedBy === "policy" ? Effect.void : undefined
      case "Running":
      case "Blocked":
        return unit.cycle === undefined ? Effect.void : undefined
      case "Skipped":
        return unavailable(name, "what it depends on has failed")
      case "Failed":
        return unavailable(name, "it was given up")
      case "Stopped":
        return isStopOf(name, input) ? unavailable(name, "it was stopped before it had started") : undefined
      default:
        return undefined
    }
  }

/** In these it is on its way somewhere. */
const underWay: ReadonlySet<ProcessControl.ProcessState> = new Set(["Blocked", "Waiting", "Starting", "Stopping"])

/**
 * It has shown how its start turns out: it is ready, has failed once, or waits for what is not to be had now. To be asked
 * for names in the order in which they wait for one another.
 */
export const settled = (plan: Plan): Ask<never> => {
  const all = new Set<string>()
  return (name, input, now) => {
    const { state = "Stopped" } = now.units.get(name) ?? {}
    const decisive =
      "name" in input && input.name === name && ["Exited", "Unfit", "Held", "Stopped"].includes(input._tag)
    const isBlockedForLong =
      state === "Blocked" && (linksOf(plan).get(name)?.before ?? []).every((link) => all.has(link.name))
    if (!decisive && !isBlockedForLong && underWay.has(state)) return undefined
    all.add(name)
    return Effect.void
  }
}
