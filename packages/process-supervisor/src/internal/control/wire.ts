/** What goes over the control socket, as JSON. */
import { ProcessControlError, type ProcessStatus } from "@nexobot/core/ProcessControl"
import { ProcessExit } from "@nexobot/core/ProcessExit"
import { ProcessIdentity, Receipt } from "@nexobot/core/ProcessIdentity"
import * as Schema from "effect/Schema"

import type { LogLine } from "../../ProcessLog.ts"
import { SupervisorEvent } from "../../SupervisorEvent.ts"

const json = Schema.toCodecJson

const State = Schema.Literals([
  "Blocked",
  "Starting",
  "Running",
  "Waiting",
  "Stopping",
  "Stopped",
  "Ended",
  "Failed",
  "Skipped"
])

const Status: Schema.Codec<ProcessStatus, unknown> = Schema.Struct({
  name: Schema.String,
  state: State,
  identity: Schema.UndefinedOr(ProcessIdentity),
  uptime: Schema.UndefinedOr(Schema.DurationFromMillis),
  restarts: Schema.Int,
  lastExit: Schema.UndefinedOr(ProcessExit),
  startedBy: Schema.UndefinedOr(Schema.Literals(["request", "policy"])),
  memory: Schema.UndefinedOr(Schema.Finite),
  cpu: Schema.UndefinedOr(Schema.Finite)
})

/** The version of all this; a client of another one says so, and does not guess. */
export const version = 1

export const About = json(
  Schema.Struct({
    version: Schema.Int,
    id: Schema.String,
    pid: Schema.Int,
    memoryLimits: Schema.Array(Schema.Struct({ name: Schema.String, bytes: Schema.Finite }))
  })
)

export const Statuses = json(Schema.Array(Status))

export const Done = json(Schema.Struct({}))

export const Stopped = json(Schema.Struct({ receipt: Receipt }))

export const StoppedAll = json(Schema.Struct({ receipt: Receipt, failures: Schema.Array(ProcessControlError) }))

/** The body of a request to signal. */
export const Signal = Schema.fromJsonString(
  Schema.Struct({ signal: Schema.String.check(Schema.isPattern(/^SIG[A-Z0-9]{2,8}$/)) })
)

const Refusal = Schema.Struct({ message: Schema.String, control: Schema.optionalKey(ProcessControlError) })

/** `control` is there when the supervisor refused; without it, the request itself was wrong. */
export const Failure = json(Refusal)

export const Event = json(SupervisorEvent)

const Line: Schema.Codec<LogLine, unknown> = Schema.Struct({
  process: Schema.String,
  stream: Schema.Literals(["stdout", "stderr"]),
  text: Schema.String,
  at: Schema.Finite
})

export const Log = json(Line)

/** Between lines: so many came that the reader was too slow for; or there will be no more, and why. */
export const Notice = json(
  Schema.Union([
    Schema.TaggedStruct("Lost", { count: Schema.Int }),
    Schema.TaggedStruct("Failed", { failure: Refusal })
  ])
)

/** By which a notice is told from an event or a log line. */
export const isNotice = (line: string): boolean => /^\{"_tag":"(Lost|Failed)"/.test(line)
