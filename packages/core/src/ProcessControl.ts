/**
 * The port through which probes look at supervised processes and remedies act on them. `@nexobot/process-supervisor`
 * is one implementation; systemd, Docker or PM2 can be others.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type { Lifecycle } from "./Component.ts"
import { describe, ProcessExit } from "./ProcessExit.ts"
import type { ProcessIdentity, Receipt } from "./ProcessIdentity.ts"

/**
 * No process of that name is supervised.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownProcess extends Schema.TaggedClass<UnknownProcess>("@nexobot/core/ProcessControl/UnknownProcess")(
  "UnknownProcess",
  { known: Schema.Array(Schema.String) }
) {}

/**
 * It has no running process to act on.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRunning extends Schema.TaggedClass<NotRunning>("@nexobot/core/ProcessControl/NotRunning")(
  "NotRunning",
  {}
) {}

/**
 * Processes outlived SIGKILL; starting another one beside them would make two.
 *
 * @category errors
 * @since 0.1.0
 */
export class Survivors extends Schema.TaggedClass<Survivors>("@nexobot/core/ProcessControl/Survivors")("Survivors", {
  pids: Schema.Array(Schema.Int)
}) {}

/**
 * The new one did not become ready, and is gone; the old one runs as before.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReloadFailed extends Schema.TaggedClass<ReloadFailed>("@nexobot/core/ProcessControl/ReloadFailed")(
  "ReloadFailed",
  {
    /** What became of the new one. */
    exit: ProcessExit
  }
) {}

/**
 * The platform or the operating system refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedClass<Unavailable>("@nexobot/core/ProcessControl/Unavailable")(
  "Unavailable",
  { why: Schema.String }
) {}

/**
 * Error of every operation on supervised processes.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProcessControlError extends Schema.TaggedError<ProcessControlError>("@nexobot/core/ProcessControlError")(
  "ProcessControlError",
  { process: Schema.String, reason: Schema.Union([UnknownProcess, NotRunning, Survivors, ReloadFailed, Unavailable]) }
) {
  override get message(): string {
    switch (this.reason._tag) {
      case "UnknownProcess":
        return `no process named "${this.process}"; known are ${this.reason.known.join(", ") || "none"}`
      case "NotRunning":
        return `"${this.process}" has no running process`
      case "Survivors":
        return `"${this.process}" left processes that outlived SIGKILL: ${this.reason.pids.join(", ")}`
      case "ReloadFailed":
        return `"${this.process}" was not replaced, and runs as before: the new one ${describe(this.reason.exit)}`
      case "Unavailable":
        return `"${this.process}": ${this.reason.why}`
    }
  }
}

/**
 * - `Blocked`: to be started, and waits for what it depends on.
 * - `Starting`: spawned and not ready yet, within its start grace.
 * - `Running`: ready.
 * - `Waiting`: it ended and waits for its next restart.
 * - `Stopping`, `Stopped`: on request.
 * - `Ended`: it ended and its restart type says that this is fine.
 * - `Failed`: it ended too often, or cannot be spawned; nobody restarts it by himself any more.
 * - `Skipped`: not started, as something that it depends on has failed for good.
 *
 * @category models
 * @since 0.1.0
 */
export type ProcessState =
  | "Blocked"
  | "Starting"
  | "Running"
  | "Waiting"
  | "Stopping"
  | "Stopped"
  | "Ended"
  | "Failed"
  | "Skipped"

/**
 * @category models
 * @since 0.1.0
 */
export interface ProcessStatus {
  readonly name: string
  readonly state: ProcessState
  /** The child that runs now. */
  readonly identity: ProcessIdentity | undefined
  /** Since when it runs, as time passed. */
  readonly uptime: Duration.Duration | undefined
  /** Restarts that the restart policy decided, since the supervisor began. */
  readonly restarts: number
  readonly lastExit: ProcessExit | undefined
  /** Whether the child that runs now was asked for, or put back by the restart policy after an exit. */
  readonly startedBy: "request" | "policy" | undefined
  /** Bytes of its whole tree, each shared one counted in part where that is known; `undefined` before it was measured. */
  readonly memory: number | undefined
  /** Of its whole tree, in percent of one core, lately; `undefined` before it was measured. */
  readonly cpu: number | undefined
}

/**
 * To whom a process belongs.
 *
 * - `Current`: it is part of a supervised process that runs now.
 * - `Orphan`: it was left behind by a supervised process that is gone.
 * - `Foreign`: it is not proven ours, so it is not touched.
 *
 * @category models
 * @since 0.1.0
 */
export type Ownership =
  | { readonly _tag: "Current"; readonly process: string }
  | { readonly _tag: "Orphan"; readonly process: string }
  | { readonly _tag: "Foreign" }

/**
 * @category services
 * @since 0.1.0
 */
export class ProcessControl extends Context.Service<
  ProcessControl,
  {
    readonly list: Effect.Effect<ReadonlyArray<ProcessStatus>>
    readonly status: (process: string) => Effect.Effect<ProcessStatus, ProcessControlError>
    /** Pids of the living tree of a supervised process, itself first. */
    readonly tree: (process: string) => Effect.Effect<ReadonlyArray<ProcessIdentity>, ProcessControlError>
    /** Stops the whole tree, if there is one, and starts anew. Also starts what is `Stopped` or `Failed`. */
    readonly restart: (process: string) => Effect.Effect<void, ProcessControlError>
    /** Stops the whole tree; it stays stopped until `restart`. */
    readonly stop: (process: string) => Effect.Effect<Receipt, ProcessControlError>
    /** Signals the child itself, not its tree. */
    readonly signal: (process: string, signal: NodeJS.Signals) => Effect.Effect<void, ProcessControlError>
    readonly ownership: (identity: ProcessIdentity) => Effect.Effect<Ownership>
  }
>()("@nexobot/core/ProcessControl") {}

/**
 * The lifecycle of a supervised process, for `Component.make`. A process that is restarted by its policy is starting; a
 * process whose policy gave up should be running.
 *
 * @category accessors
 * @since 0.1.0
 */
export const lifecycle = (process: string): Effect.Effect<Lifecycle, never, ProcessControl> =>
  ProcessControl.use((control) => control.status(process)).pipe(
    Effect.map((status): Lifecycle => {
      switch (status.state) {
        case "Blocked":
        case "Starting":
        case "Waiting":
          return "Starting"
        case "Stopping":
        case "Stopped":
        case "Ended":
          return "Stopped"
        case "Running":
        case "Failed":
        case "Skipped":
          return "Running"
      }
    }),
    Effect.orElseSucceed((): Lifecycle => "Running")
  )
