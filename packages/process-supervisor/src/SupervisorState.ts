/**
 * The state of supervised processes, rebuilt from the events of their supervisor: what a dashboard shows, and what a journal
 * is read for afterwards.
 *
 * @since 0.1.0
 */
import type { ProcessState } from "@nexobot/core/ProcessControl"
import type { ProcessExit } from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"

import type { SupervisorEvent } from "./SupervisorEvent.ts"

/**
 * One process, as of the last event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly state: ProcessState
  /** The child that runs now. */
  readonly identity: ProcessIdentity.ProcessIdentity | undefined
  readonly startedBy: "request" | "policy" | undefined
  readonly restarts: number
  readonly lastExit: ProcessExit | undefined
}

/**
 * By the names of the processes. One that no event was about is not in it: it is `Stopped`, and was never started.
 *
 * @category models
 * @since 0.1.0
 */
export type SupervisorState = ReadonlyMap<string, Entry>

/**
 * Before the first event.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: SupervisorState = new Map()

const unknown: Entry = {
  state: "Stopped",
  identity: undefined,
  startedBy: undefined,
  restarts: 0,
  lastExit: undefined
}

const gone = { identity: undefined, startedBy: undefined } as const

const changed = (entry: Entry, event: SupervisorEvent): Partial<Entry> => {
  switch (event._tag) {
    case "WaitingFor":
    case "Blocked":
      return { state: "Blocked" }
    case "Skipped":
      return { state: "Skipped" }
    case "Spawned":
      return {
        state: "Starting",
        identity: event.identity,
        startedBy: event.startedBy,
        restarts: event.restarts
      }
    case "Adopted":
      return { state: "Running", identity: event.identity, startedBy: "policy", restarts: event.restarts }
    case "Ready":
      return { state: "Running" }
    case "Reloaded":
      return { state: "Running", identity: event.identity, startedBy: "request" }
    case "Exited": {
      // An old one that was replaced ends while its successor runs.
      const { identity } = event
      if (identity !== undefined && entry.identity !== undefined && !ProcessIdentity.equals(identity, entry.identity))
        return {}
      return { ...gone, lastExit: event.exit }
    }
    case "RestartDecided":
      // Where the old one is still to be stopped, its end follows.
      return entry.identity === undefined
        ? { state: "Waiting", restarts: event.restarts }
        : { restarts: event.restarts }
    case "GaveUp":
      return { state: "Failed" }
    case "Ended":
      return { state: "Ended" }
    case "StopRequested":
    case "Unfit":
      return { state: "Stopping" }
    case "Stopped":
      return { ...gone, state: "Stopped" }
    case "Escalated":
    case "Reloading":
    case "ReloadFailed":
      return {}
  }
}

/**
 * What is known after one more event.
 *
 * @category transitions
 * @since 0.1.0
 */
export const apply = (self: SupervisorState, event: SupervisorEvent): SupervisorState => {
  // Of a group, not of a process.
  if (event._tag === "Escalated") return self
  const entry = self.get(event.name) ?? unknown
  return new Map(self).set(event.name, { ...entry, ...changed(entry, event) })
}
