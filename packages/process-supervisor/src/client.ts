/**
 * A running supervisor asked and told from another process, for programs that do not use Effect: promises and async
 * iterables.
 *
 * @since 0.1.0
 */
import type { ProcessStatus } from "@nexobot/core/ProcessControl"
import type { Receipt } from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import * as ControlSocket from "./ControlSocket.ts"
import type { StoppedAll } from "./internal/control/supervised.ts"
import type { LogLine } from "./ProcessLog.ts"
import type { SupervisorEvent } from "./SupervisorEvent.ts"

/**
 * A supervisor behind a socket. Nothing is left open between two calls, so there is nothing to close. Errors are
 * `ProcessControlError`s, and `ControlSocketError`s when the supervisor cannot be asked.
 *
 * @category models
 * @since 0.1.0
 */
export interface ControlHandle {
  readonly id: string
  readonly pid: number
  readonly memoryLimits: ReadonlyMap<string, number>
  readonly list: () => Promise<ReadonlyArray<ProcessStatus>>
  readonly start: (name: string) => Promise<void>
  readonly stop: (name: string) => Promise<Receipt>
  /** Each after those that depend on it. Does not reject for what is left: `failures` say so. */
  readonly stopAll: () => Promise<StoppedAll>
  readonly restart: (name: string) => Promise<void>
  readonly reload: (name: string) => Promise<void>
  readonly signal: (name: string, signal: NodeJS.Signals) => Promise<void>
  /** Begins with the latest events; ends with the supervisor, or when it is not iterated any more. */
  readonly events: () => AsyncIterable<SupervisorEvent>
  /** What a process, or each of them, writes from now on. */
  readonly logs: (name?: string) => AsyncIterable<LogLine>
  /** Events and log lines that were lost so far, as they were read too slowly. */
  readonly lost: () => number
}

/**
 * Connects to the supervisor at `<state folder>/<id>.sock`; rejects with `ControlSocketError` when there is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connectSupervisor = async (path: string): Promise<ControlHandle> => {
  const control = await Effect.runPromise(ControlSocket.connect(path))
  const { id, lost, memoryLimits = new Map(), pid } = control
  return {
    id,
    lost,
    memoryLimits,
    pid,
    list: () => Effect.runPromise(control.list),
    start: (name) => Effect.runPromise(control.start(name)),
    stop: (name) => Effect.runPromise(control.stop(name)),
    stopAll: () => Effect.runPromise(control.stopAll),
    restart: (name) => Effect.runPromise(control.restart(name)),
    reload: (name) => Effect.runPromise(control.reload(name)),
    signal: (name, signal) => Effect.runPromise(control.signal(name, signal)),
    events: () => Stream.toAsyncIterable(control.events),
    logs: (name) => Stream.toAsyncIterable(control.logs(name))
  }
}
