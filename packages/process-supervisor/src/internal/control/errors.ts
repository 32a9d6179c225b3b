/** The error of the control socket, on both of its ends. */
import * as Schema from "effect/Schema"

/**
 * The kernel takes at most 107 bytes for the path of a unix socket.
 *
 * @category errors
 * @since 0.1.0
 */
export class PathTooLong extends Schema.TaggedClass<PathTooLong>(
  "@nexobot/process-supervisor/ControlSocket/PathTooLong"
)("PathTooLong", { bytes: Schema.Int }) {}

/**
 * The folder is missing and cannot be made, or others may put files into it.
 *
 * @category errors
 * @since 0.1.0
 */
export class FolderUnusable extends Schema.TaggedClass<FolderUnusable>(
  "@nexobot/process-supervisor/ControlSocket/FolderUnusable"
)("FolderUnusable", { why: Schema.String }) {}

/**
 * A supervisor that lives listens there.
 *
 * @category errors
 * @since 0.1.0
 */
export class Taken extends Schema.TaggedClass<Taken>("@nexobot/process-supervisor/ControlSocket/Taken")("Taken", {
  by: Schema.String
}) {}

/**
 * There is something that no supervisor of this user has left, so it stays.
 *
 * @category errors
 * @since 0.1.0
 */
export class Foreign extends Schema.TaggedClass<Foreign>("@nexobot/process-supervisor/ControlSocket/Foreign")(
  "Foreign",
  { what: Schema.String }
) {}

/**
 * The operating system refuses to listen.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenFailed extends Schema.TaggedClass<ListenFailed>(
  "@nexobot/process-supervisor/ControlSocket/ListenFailed"
)("ListenFailed", {
  /** The system's code, for example `ENOSPC`. */
  code: Schema.String
}) {}

/**
 * Nobody listens there.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRunning extends Schema.TaggedClass<NotRunning>("@nexobot/process-supervisor/ControlSocket/NotRunning")(
  "NotRunning",
  {}
) {}

/**
 * Somebody else's supervisor.
 *
 * @category errors
 * @since 0.1.0
 */
export class Denied extends Schema.TaggedClass<Denied>("@nexobot/process-supervisor/ControlSocket/Denied")(
  "Denied",
  {}
) {}

/**
 * It listens and does not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unresponsive extends Schema.TaggedClass<Unresponsive>(
  "@nexobot/process-supervisor/ControlSocket/Unresponsive"
)("Unresponsive", { after: Schema.DurationFromMillis }) {}

/**
 * The connection broke before the answer was complete.
 *
 * @category errors
 * @since 0.1.0
 */
export class Disconnected extends Schema.TaggedClass<Disconnected>(
  "@nexobot/process-supervisor/ControlSocket/Disconnected"
)("Disconnected", {
  /** The system's code, for example `ECONNRESET`. */
  code: Schema.String
}) {}

/**
 * The answer is not one that this version understands.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadAnswer extends Schema.TaggedClass<BadAnswer>("@nexobot/process-supervisor/ControlSocket/BadAnswer")(
  "BadAnswer",
  { why: Schema.String }
) {}

/**
 * The control socket cannot be served, or cannot be asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class ControlSocketError extends Schema.TaggedError<ControlSocketError>(
  "@nexobot/process-supervisor/ControlSocketError"
)("ControlSocketError", {
  path: Schema.String,
  reason: Schema.Union([
    PathTooLong,
    FolderUnusable,
    Taken,
    Foreign,
    ListenFailed,
    NotRunning,
    Denied,
    Unresponsive,
    Disconnected,
    BadAnswer
  ])
}) {
  override get message(): string {
    const { path, reason } = this
    switch (reason._tag) {
      case "PathTooLong":
        return `the socket ${path} would need a path of ${reason.bytes} bytes, and 107 are allowed: name a folder nearer to the root, or a shorter id`
      case "FolderUnusable":
        return `the folder of the socket ${path} cannot be used: ${reason.why}`
      case "Taken":
        return `${path} is in use: ${reason.by}. Stop that supervisor first, or give this one another id`
      case "Foreign":
        return `${path} is ${reason.what}, and stays as it is: move it away, or give this supervisor another id`
      case "ListenFailed":
        return `cannot listen on ${path}: ${reason.code}`
      case "NotRunning":
        return `no supervisor runs at ${path}: start one with "nexo-supervisor run <file>"`
      case "Denied":
        return `the supervisor at ${path} belongs to another user: ask it as that user`
      case "Unresponsive":
        return `the supervisor at ${path} does not answer: is its process stopped, or very busy?`
      case "Disconnected":
        return `the supervisor at ${path} went away before it had answered: ${reason.code}`
      case "BadAnswer":
        return `the supervisor at ${path} answers in a way that is not understood, as another version would: ${reason.why}`
    }
  }
}
