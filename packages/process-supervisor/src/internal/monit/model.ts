/** What the terminal view knows, and how it changes. */
import type { ProcessStatus } from "@nexobot/core/ProcessControl"

import type { LogLine } from "../../ProcessLog.ts"
import type { SupervisorEvent } from "../../SupervisorEvent.ts"
import * as Phrases from "../terminal/phrases.ts"
import { plain } from "../terminal/text.ts"

/** Lines that are kept for each process: more than any terminal shows. */
const mostLines = 200

export interface Line {
  readonly at: number
  readonly kind: "stdout" | "stderr" | "event"
  readonly text: string
}

export interface Model {
  readonly id: string
  readonly processes: ReadonlyArray<ProcessStatus>
  readonly memoryLimits: ReadonlyMap<string, number>
  /** Name of the process that keys act on. */
  readonly selected: string | undefined
  /** By process; each list has the latest last. */
  readonly lines: ReadonlyMap<string, ReadonlyArray<Line>>
  /** What came of the latest key. */
  readonly message: { readonly text: string; readonly isBad: boolean } | undefined
  /** Lines that the view was too slow for. */
  readonly lost: number
}

export const empty = (id: string, memoryLimits: Model["memoryLimits"]): Model => ({
  id,
  processes: [],
  memoryLimits,
  selected: undefined,
  lines: new Map(),
  message: undefined,
  lost: 0
})

/** A selected process that is gone leaves the selection to its place in the list. */
export const withProcesses = (model: Model, processes: ReadonlyArray<ProcessStatus>): Model => {
  const isThere = processes.some(({ name }) => name === model.selected)
  const before = model.processes.findIndex(({ name }) => name === model.selected)
  const next = processes[Math.min(Math.max(before, 0), processes.length - 1)]
  return { ...model, processes, selected: isThere ? model.selected : next?.name }
}

/** Up is -1, down is 1; it stays at the ends. */
export const move = (model: Model, by: number): Model => {
  const now = model.processes.findIndex(({ name }) => name === model.selected)
  const next = model.processes[Math.min(Math.max(now + by, 0), model.processes.length - 1)]
  return { ...model, selected: next?.name }
}

const withLines = (model: Model, process: string, added: ReadonlyArray<Line>): Model => {
  const lines = [...(model.lines.get(process) ?? []), ...added].slice(-mostLines)
  return { ...model, lines: new Map(model.lines).set(process, lines) }
}

const linesOf = ({ at, stream, text }: LogLine): ReadonlyArray<Line> =>
  text.split("\n").map((part) => ({ at, kind: stream, text: plain(part) }))

/** All that came since the last picture at once: of many lines only those are looked at that can be seen. */
export const withLogs = (model: Model, added: ReadonlyArray<LogLine>): Model =>
  [...Map.groupBy(added, ({ process }) => process)].reduce(
    (before, [process, lines]) => withLines(before, process, lines.slice(-mostLines).flatMap(linesOf)),
    model
  )

export const withEvent = (model: Model, event: SupervisorEvent): Model =>
  withLines(model, event.name, [{ at: event.at, kind: "event", text: Phrases.event(event) }])

export const selectedProcess = (model: Model): ProcessStatus | undefined =>
  model.processes.find(({ name }) => name === model.selected)
