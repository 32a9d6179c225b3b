/**
 * Why Redis did not do as it was asked, as data. No reason has a command's arguments in it, nor what Redis says beside
 * its code, as that repeats them.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import { format } from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * There is no connection. A command that was under way may have been executed.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/core/RedisClient/Unreachable")(
  "Unreachable",
  { why: Schema.String }
) {}

/**
 * No answer came in time. The command may have been executed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedClass<TimedOut>("@nexobot/core/RedisClient/TimedOut")("TimedOut", {
  after: Schema.Duration
}) {}

/**
 * It is a replica, or was made one by a failover.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadOnly extends Schema.TaggedClass<ReadOnly>("@nexobot/core/RedisClient/ReadOnly")("ReadOnly", {}) {}

/**
 * The user or the password is wrong or missing, or the user may not do this.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthFailed extends Schema.TaggedClass<AuthFailed>("@nexobot/core/RedisClient/AuthFailed")("AuthFailed", {
  /** Redis's own code. */
  code: Schema.String
}) {}

/**
 * It has started and reads its data.
 *
 * @category errors
 * @since 0.1.0
 */
export class Loading extends Schema.TaggedClass<Loading>("@nexobot/core/RedisClient/Loading")("Loading", {}) {}

/**
 * It answered with another error.
 *
 * @category errors
 * @since 0.1.0
 */
export class Other extends Schema.TaggedClass<Other>("@nexobot/core/RedisClient/Other")("Other", {
  why: Schema.String
}) {}

/**
 * @category errors
 * @since 0.1.0
 */
export type Reason = Unreachable | TimedOut | ReadOnly | AuthFailed | Loading | Other

/**
 * @category errors
 * @since 0.1.0
 */
export class RedisClientError extends Schema.TaggedError<RedisClientError>("@nexobot/core/RedisClientError")(
  "RedisClientError",
  { reason: Schema.Union([Unreachable, TimedOut, ReadOnly, AuthFailed, Loading, Other]) }
) {
  override get message(): string {
    switch (this.reason._tag) {
      case "Unreachable":
        return `Redis cannot be reached (${this.reason.why}): see that it runs and that the address is right`
      case "TimedOut":
        return `Redis gave no answer within ${format(this.reason.after)}: see whether it hangs or a script blocks it`
      case "ReadOnly":
        return "Redis is a replica and takes no writes (READONLY): connect to the primary, through sentinels for one that moves"
      case "AuthFailed":
        return `Redis refuses the user (${this.reason.code}): see the user name, the password and the user's ACL`
      case "Loading":
        return "Redis is still loading its data (LOADING): try again"
      case "Other":
        return `Redis refused: ${this.reason.why}`
    }
  }
}

const unreachable =
  /^(Connection is closed|Stream isn't writeable|Command aborted due to|connect |read |write |getaddrinfo |Socket timeout|Failed to refresh slots|All sentinels|Cluster isn't ready|None of startup nodes)/

/**
 * The reason in what a command, or the connection, failed with; `after` is the time limit that it was under.
 *
 * @category conversions
 * @since 0.1.0
 */
export const reasonOf = (cause: unknown, after: Duration.Duration): Reason => {
  if (!(cause instanceof Error)) return new Other({ why: "something that is no error was thrown" })
  // A cluster says only that every node failed; the last one says how.
  if ("lastNodeError" in cause && cause.lastNodeError instanceof Error) return reasonOf(cause.lastNodeError, after)
  const { message, name } = cause
  const code = /^-?([A-Z][A-Z_]+)(?= |$)/.exec(message)?.[1] ?? ""
  switch (code) {
    case "NOAUTH":
    case "WRONGPASS":
    case "NOPERM":
      return new AuthFailed({ code })
    case "READONLY":
      return new ReadOnly()
    case "LOADING":
      return new Loading()
  }
  if (message === "Command timed out") return new TimedOut({ after })
  if (name === "MaxRetriesPerRequestError") return new Unreachable({ why: "the connection broke" })
  if (code === "CLUSTERDOWN" || code === "MASTERDOWN") return new Unreachable({ why: code })
  // Redis repeats arguments: of commands and settings that it does not know, and of scripts that fail.
  if (code !== "" || name === "ReplyError") {
    return new Other({ why: `${code === "" ? "an error" : code}${commandOf(cause)}` })
  }
  // Also a system error, such as of TLS or of a name that cannot be resolved.
  if (name === "AbortError" || unreachable.test(message) || ("code" in cause && typeof cause.code === "string")) {
    return new Unreachable({ why: message })
  }
  return new Other({ why: message })
}

/** What `ioredis` notes in an error that Redis answered with. */
const commandOf = (cause: Error): string =>
  "command" in cause &&
  typeof cause.command === "object" &&
  cause.command !== null &&
  "name" in cause.command &&
  typeof cause.command.name === "string"
    ? ` in answer to ${cause.command.name.toUpperCase()}`
    : ""
