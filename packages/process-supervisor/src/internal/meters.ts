import * as Monotonic from "@nexobot/core/Monotonic"
/** Keeps the metrics of all processes of a supervisor. */
import type { ProcessState } from "@nexobot/core/ProcessControl"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

import type { LogStats } from "../ProcessLog.ts"
import type * as Machine from "./machine.ts"
import * as Metrics from "./metrics.ts"

/** What is asked of one process. */
export interface Metered {
  readonly used: () => Metrics.Used
  readonly logStats: () => LogStats
  /** Why it was last restarted. */
  readonly lastExit: () => string | undefined
}

export interface Meters {
  readonly ordered: (order: Machine.Order) => void
  readonly decided: (decision: Machine.Decision) => void
  readonly began: (name: string) => void
  readonly stepped: (state: Machine.State) => void
}

/** How often bytes of output are counted. */
const logsEvery = Schedule.spaced("5 seconds")

export const make = Effect.fnUntraced(function* (
  supervisor: string,
  processes: ReadonlyArray<string>,
  metered: (name: string) => Metered
): Effect.fn.Return<Meters, never, Scope.Scope> {
  const context = yield* Effect.context()
  const clock = yield* Monotonic.reader
  const all = new Map(
    processes.map((name) => [name, Metrics.make(supervisor, name, context, () => metered(name).used())])
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => all.forEach((metrics) => metrics.close())))
  const ordered = new Map<string, number>()
  const states = new Map<string, ProcessState>()
  const counted = new Map<string, LogStats>()
  const readLogs = Effect.sync(() => {
    for (const [name, metrics] of all) {
      const now = metered(name).logStats()
      const before = counted.get(name)
      counted.set(name, now)
      for (const outcome of ["written", "dropped", "filtered"] as const) {
        metrics.logged(outcome, now[outcome].bytes - (before?.[outcome].bytes ?? 0))
      }
    }
  })
  yield* Effect.forkScoped(Effect.schedule(readLogs, logsEvery))
  return {
    ordered: ({ _tag, name }) => {
      if (_tag === "Start") ordered.set(name, clock())
    },
    decided: ({ _tag, name }) => {
      const exit = _tag === "RestartDecided" ? metered(name).lastExit() : undefined
      if (exit !== undefined) all.get(name)?.restarted(exit)
    },
    began: (name) => {
      const at = ordered.get(name)
      // One that is reloaded or taken over was not ordered.
      if (at !== undefined) all.get(name)?.spawned((clock() - at) / 1000)
      ordered.delete(name)
    },
    stepped: ({ units }) => {
      for (const [name, { state }] of units) {
        if (states.get(name) === state) continue
        states.set(name, state)
        all.get(name)?.state(state)
      }
    }
  }
})
