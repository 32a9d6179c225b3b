/** What the control socket, the command and the terminal view need of a supervisor, whether it is here or behind a socket. */
import type { ProcessControlError, ProcessStatus } from "@nexobot/core/ProcessControl"
import type { Receipt } from "@nexobot/core/ProcessIdentity"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

import type { LogLine } from "../../ProcessLog.ts"
import type { SupervisorEvent } from "../../SupervisorEvent.ts"

/** What came of stopping all. */
export interface StoppedAll {
  readonly receipt: Receipt
  /** Why some are not gone, one for each. */
  readonly failures: ReadonlyArray<ProcessControlError>
}

/** `E` is what goes wrong between here and there; nothing, in the supervisor's own process. */
export interface Supervised<E = never> {
  readonly id: string
  readonly list: Effect.Effect<ReadonlyArray<ProcessStatus>, E>
  readonly start: (name: string) => Effect.Effect<void, ProcessControlError | E>
  readonly stop: (name: string) => Effect.Effect<Receipt, ProcessControlError | E>
  /** Each after those that depend on it. */
  readonly stopAll: Effect.Effect<StoppedAll, E>
  readonly restart: (name: string) => Effect.Effect<void, ProcessControlError | E>
  readonly reload: (name: string) => Effect.Effect<void, ProcessControlError | E>
  readonly signal: (name: string, signal: NodeJS.Signals) => Effect.Effect<void, ProcessControlError | E>
  readonly events: Stream.Stream<SupervisorEvent, E>
  /** Of one process, or of all. */
  readonly logs: (name?: string) => Stream.Stream<LogLine, ProcessControlError | E>
  /** Bytes that a process may use, by its name, where it has a limit. */
  readonly memoryLimits?: ReadonlyMap<string, number>
}
