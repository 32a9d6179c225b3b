/** Why a specification cannot work on this machine, or beside the others, as found before anything starts. */
import * as Schema from "effect/Schema"

import { ContainmentError, describe as describeContainment } from "./containment/containmentError.ts"
import { EnvFileError } from "./envFile.ts"

const id = (name: string) => `@nexobot/process-supervisor/SpecError/${name}` as const

/** There is nothing at this path, or of this name in any folder of its `PATH`. */
export class NotFound extends Schema.TaggedClass<NotFound>(id("NotFound"))("NotFound", {
  path: Schema.String,
  /** Of a name that was looked up. */
  searched: Schema.optionalKey(Schema.Array(Schema.String))
}) {}

/** Something else is there. */
export class WrongKind extends Schema.TaggedClass<WrongKind>(id("WrongKind"))("WrongKind", {
  path: Schema.String,
  expected: Schema.Literals(["a file", "a folder"])
}) {}

/** A script whose first line names a program that is not there: the system says of the script that it is not. */
export class NoInterpreter extends Schema.TaggedClass<NoInterpreter>(id("NoInterpreter"))("NoInterpreter", {
  path: Schema.String,
  /** What stands behind `#!`. */
  line: Schema.String
}) {}

/** It is there, and the system refuses. */
export class Denied extends Schema.TaggedClass<Denied>(id("Denied"))("Denied", {
  path: Schema.String,
  need: Schema.Literals(["execute", "enter", "write", "look up"]),
  /** The system's, for example `EACCES`. */
  code: Schema.String,
  /** For whom, when it is not the supervisor's user. */
  uid: Schema.optionalKey(Schema.Int)
}) {}

/** The file system does not answer. */
export class NotAnswering extends Schema.TaggedClass<NotAnswering>(id("NotAnswering"))("NotAnswering", {}) {}

/** Only root can run a process as somebody else. */
export class NeedsRoot extends Schema.TaggedClass<NeedsRoot>(id("NeedsRoot"))("NeedsRoot", {
  id: Schema.Int
}) {}

export const Reason = Schema.Union([
  NotFound,
  NoInterpreter,
  WrongKind,
  Denied,
  NotAnswering,
  NeedsRoot,
  EnvFileError,
  ContainmentError
])

export type Reason = typeof Reason.Type

const describe = (reason: Reason): string => {
  switch (reason._tag) {
    case "NotFound":
      return reason.searched === undefined
        ? `${reason.path} does not exist: make it, or correct the path`
        : `${reason.path} is in none of ${reason.searched.join(", ") || "no folder"}: install it, add its folder to PATH, or give its path`
    case "NoInterpreter":
      return (
        `${reason.path} begins with #!${JSON.stringify(reason.line).slice(1, -1)}, which does not exist: ` +
        (reason.line.endsWith("\r") ? "save it with Unix line ends" : "install it, or correct that line")
      )
    case "WrongKind":
      return `${reason.path} is not ${reason.expected}`
    case "Denied": {
      const who = reason.uid === undefined ? "" : ` as user ${reason.uid}`
      return `${reason.path}: no permission to ${reason.need}${who} (${reason.code}): change its mode or owner`
    }
    case "NotAnswering":
      return "the file system does not answer: see whether a disk or a mount hangs"
    case "NeedsRoot":
      return `to run as ${reason.id} takes root: start the supervisor as root, or leave it out`
    case "EnvFileError":
      return reason.message
    case "ContainmentError":
      return describeContainment(reason.reason)
  }
}

export class SpecError extends Schema.TaggedError<SpecError>("@nexobot/process-supervisor/SpecError")("SpecError", {
  /** The name of the process. */
  process: Schema.String,
  /** The option that is wrong. */
  field: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    return `process "${this.process}", ${this.field}: ${describe(this.reason)}`
  }

  /** The system's code as starting it nevertheless would give it. */
  get code(): string {
    switch (this.reason._tag) {
      case "NotFound":
      case "NoInterpreter":
        return "ENOENT"
      case "WrongKind":
        return this.reason.expected === "a folder" ? "ENOTDIR" : "EACCES"
      case "Denied":
        return this.reason.code
      case "NeedsRoot":
        return "EPERM"
      case "NotAnswering":
        return "ETIMEDOUT"
      case "ContainmentError":
        return "CONTAINMENT"
      default:
        return "EINVAL"
    }
  }
}

export const errorOf = (process: string, field: string, reason: Reason): SpecError =>
  new SpecError({ process, field, reason })
