/**
 * What a supervisor tells of its processes. Series are made once, with their labels, and written without an effect: log
 * bytes come by the thousand.
 */
import type { ProcessState } from "@nexobot/core/ProcessControl"
import type * as Context from "effect/Context"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"

/** What became of bytes that a process wrote. */
export type LogOutcome = "written" | "dropped" | "filtered"

/** What a process uses now; `undefined` is told as 0, as it is while it does not run. */
export interface Used {
  readonly memory: number | undefined
  readonly cpu: number | undefined
  readonly uptimeSeconds: number | undefined
}

/** Of one process, whatever its lives. */
export interface ProcessMetrics {
  /** `exit` is the tag of what led to it. */
  readonly restarted: (exit: string) => void
  readonly state: (state: ProcessState) => void
  readonly logged: (outcome: LogOutcome, bytes: number) => void
  /** From the order to start it to its pid. */
  readonly spawned: (seconds: number) => void
  /** Forgets its gauges, which would go on telling of a process that is supervised no more. */
  readonly close: () => void
}

/** From a tenth of a millisecond to some three seconds. */
const boundaries = Metric.exponentialBoundaries({ start: 0.0001, factor: 2, count: 16 })

/** `used` is asked whenever somebody reads the metrics, so that nothing has to be written every few seconds. */
export const make = (
  supervisor: string,
  process: string,
  context: Context.Context<never>,
  used: () => Used
): ProcessMetrics => {
  const attributes = { supervisor, process }
  const counters = new Map<string, Metric.Counter<number>>()
  const states = new Map<ProcessState, Metric.Gauge<number>>()
  let current: ProcessState | undefined

  const count = (id: string, description: string, by: number, more: Record<string, string>): void => {
    const series = `${id} ${Object.values(more).join()}`
    const known =
      counters.get(series) ??
      Metric.counter(id, { description, attributes: { ...attributes, ...more }, incremental: true })
    counters.set(series, known)
    known.updateUnsafe(by, context)
  }
  const gauge = (id: string, description: string, read: (from: Used) => number | undefined) =>
    Metric.registerUnsafe(Metric.gauge(id, { description, attributes }), context, {
      get: () => ({ value: read(used()) ?? 0 }),
      update: constVoid,
      modify: constVoid
    })
  const gauges = [
    gauge("nexobot_supervisor_memory_bytes", "Resident memory of the whole tree", (from) => from.memory),
    gauge("nexobot_supervisor_cpu_percent", "Of the whole tree, in percent of one core", (from) => from.cpu),
    gauge("nexobot_supervisor_uptime_seconds", "For how long it has been running", (from) => from.uptimeSeconds)
  ]
  const stateOf = (state: ProcessState): Metric.Gauge<number> => {
    const known =
      states.get(state) ??
      Metric.gauge("nexobot_supervisor_state", {
        description: "1 for the state that a process is in, 0 for those it was in",
        attributes: { ...attributes, state }
      })
    states.set(state, known)
    return known
  }
  const spawns = Metric.histogram("nexobot_supervisor_spawn_seconds", {
    description: "From the order to start a process to its pid",
    attributes,
    boundaries
  })

  return {
    restarted: (exit) => count("nexobot_supervisor_restarts", "Restarts, by the exit that led to them", 1, { exit }),
    state: (state) => {
      if (current !== undefined) stateOf(current).updateUnsafe(0, context)
      stateOf(state).updateUnsafe(1, context)
      current = state
    },
    logged: (outcome, bytes) => {
      const description = "Bytes that a process wrote, by what became of them"
      if (bytes > 0) count("nexobot_supervisor_log_bytes", description, bytes, { outcome })
    },
    spawned: (seconds) => spawns.updateUnsafe(seconds, context),
    close: () => {
      for (const one of gauges) one.remove()
      for (const one of states.values()) Metric.removeUnsafe(one, context)
    }
  }
}
