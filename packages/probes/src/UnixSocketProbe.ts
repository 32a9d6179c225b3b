/**
 * Connects to a unix socket; with `send` and `expect` it also holds a one-line conversation, because the kernel accepts
 * connections for a frozen process.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Conversation from "./internal/conversation.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { checkedSocketPath, shownSocketPath } from "./internal/socketPath.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * There is nothing at the path: whoever listens there has not started, or has ended in good order.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/UnixSocket/Missing")("UnixSocket/Missing", {
  path: Schema.String
}) {}

/**
 * Nobody accepts: the socket was left behind, is no socket, or has a full queue; or the connection broke before the
 * reply was complete.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/UnixSocket/Unreachable")(
  "UnixSocket/Unreachable",
  {
    path: Schema.String,
    /** The system's code: `ECONNREFUSED` for a socket left behind, `EAGAIN` for a full queue. */
    code: Schema.String
  }
) {}

/**
 * No reply within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/UnixSocket/Timeout")("UnixSocket/Timeout", {
  path: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * A reply that does not match `expect`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedReply extends Schema.TaggedClass<UnexpectedReply>("@nexobot/probes/UnixSocket/UnexpectedReply")(
  "UnixSocket/UnexpectedReply",
  {
    path: Schema.String,
    /** Its first line, at most 200 characters, without secrets. */
    reply: Schema.String
  }
) {}

/**
 * All went well, and took longer than `degradedAfter`. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/UnixSocket/Slow")("UnixSocket/Slow", {
  path: Schema.String,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface UnixSocketProbeOptions {
  readonly name: string
  /** Of the socket, at most 107 bytes; on Linux one that begins with a NUL names a socket without a file. */
  readonly path: string
  /** Sent after connecting, for example `"PING\r\n"`. Without `expect`, no reply is waited for. */
  readonly send?: string
  /** What the first line of the reply must match, for example `/^\+PONG/`; only connected to unless told. */
  readonly expect?: RegExp | string
  /** Until everything has been said; 5 seconds unless told. */
  readonly timeout?: Duration.Input
  /** What takes longer is degraded; less than `timeout`. However slow unless told. */
  readonly degradedAfter?: Duration.Input
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Missing
  | Unreachable
  | Timeout
  | Given<O, "expect", UnexpectedReply>
  | Given<O, "degradedAfter", Slow>

type Any = Missing | Unreachable | Timeout | UnexpectedReply | Slow

const checks = Options.checks("UnixSocketProbe")

const known = ["name", "path", "send", "expect", "timeout", "degradedAfter"]

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends UnixSocketProbeOptions>(
  options: Exactly<O, UnixSocketProbeOptions>
): Probe.Probe<Found<O>> => {
  checks.known(options, known)
  const path = checkedSocketPath(checks, "path", options.path)
  const settings = Conversation.checked(checks, options)
  const { degradedAfter, expect, timeout } = settings
  const where = shownSocketPath(path)

  const judge = (outcome: Conversation.Outcome, { connected }: Conversation.Progress): Verdict.Verdict<Any> => {
    switch (outcome._tag) {
      case "Said":
        return Verdict.healthy
      case "Slow": {
        const { _tag, ...times } = outcome
        return Verdict.degraded(new Slow({ path, ...times }), [`${where}: took ${Duration.format(times.took)}`])
      }
      case "Unexpected":
        return Verdict.unhealthy(new UnexpectedReply({ path, reply: outcome.line }), [
          `${where}: replied ${outcome.line}`
        ])
      case "Late": {
        const what = connected ? "connected, no reply in time" : "no connection in time"
        return Verdict.unhealthy(new Timeout({ path, after: timeout }), [`${where}: ${what}`])
      }
      case "Broken": {
        const { code } = outcome
        if (code === "ENOENT") return Verdict.unhealthy(new Missing({ path }), [`${where} is not there`])
        // Of a unix socket EAGAIN tells that nobody takes the connections that wait there.
        const own = code === "EAGAIN" ? undefined : ownFault(code)
        if (own !== undefined) return Verdict.inconclusive(`${where}: ${own}`)
        const why = code === "EAGAIN" ? "too many connections wait to be accepted (EAGAIN)" : code
        return Verdict.unhealthy(new Unreachable({ path, code }), [`${where}: ${why}`])
      }
    }
  }

  const dial = Effect.succeed(() => Net.connect({ path }))
  const check = Effect.suspend(() => {
    const progress: Conversation.Progress = { connected: false, remote: undefined }
    return Effect.map(Conversation.hold(dial, settings, progress), (outcome) => judge(outcome, progress))
  })
  const probe = Probe.make({
    name: options.name,
    reports: [
      Missing,
      Unreachable,
      Timeout,
      ...(expect === undefined ? [] : [UnexpectedReply]),
      ...(degradedAfter === undefined ? [] : [Slow])
    ],
    target: `unix://${where}`,
    timeout,
    // What is shown of a path may be shown of two: a name without a file begins with `@` there, and a file may as well.
    question: ["UnixSocketProbe", { ...settings, path }],
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
