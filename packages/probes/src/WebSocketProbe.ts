/**
 * Opens a WebSocket; with `expect` it also looks at what the server says first, because a proxy in front of a dead
 * server shakes hands all the same, and a server that does not like a token says so only afterwards.
 *
 * Every check resolves the name anew, opens a connection of its own, and cuts it without waiting for a goodbye.
 *
 * @since 0.1.0
 */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"

import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import * as Connection from "./internal/httpConnection.ts"
import { mismatch } from "./internal/httpContent.ts"
import { broken, report, withoutQuery } from "./internal/httpReport.ts"
import { checked, type WebSocketProbeOptions } from "./internal/webSocketOptions.ts"
import { type Event, talk } from "./internal/webSocketTalk.ts"

export type { WebSocketProbeOptions } from "./internal/webSocketOptions.ts"

/**
 * No connection, or it broke before the handshake was answered.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/WebSocket/Unreachable")(
  "WebSocket/Unreachable",
  {
    /** As it was given, without its query. */
    url: Schema.String,
    /** The system's code, for example `ECONNREFUSED`; that of TLS or DNS, or of the parser of HTTP. */
    code: Schema.String
  }
) {}

/**
 * No connection, no handshake, or no message within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/WebSocket/Timeout")("WebSocket/Timeout", {
  url: Schema.String,
  after: Schema.DurationFromMillis,
  /** Whether the connection stood: then something is there and does not answer. */
  connected: Schema.Boolean
}) {}

/**
 * An answer, and no WebSocket: another status than 101, or a 101 that does not keep the protocol, such as one with a
 * wrong `Sec-WebSocket-Accept` or without a subprotocol that was asked for.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@nexobot/probes/WebSocket/Refused")("WebSocket/Refused", {
  url: Schema.String,
  status: Schema.Int
}) {}

/**
 * The connection ended after the handshake, and nothing that was said before was as expected.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Closed extends Schema.TaggedClass<Closed>("@nexobot/probes/WebSocket/Closed")("WebSocket/Closed", {
  url: Schema.String,
  /**
   * The server's (RFC 6455, 7.4.1), 1006 if it gave none. Or ours, for what we cannot take: 1002 for frames that do not
   * keep the protocol, 1007 for invalid UTF-8, 1008 for a message in too many parts, 1009 for one of more than 1 MiB.
   */
  code: Schema.Int,
  /** At most 200 characters, without secrets. */
  reason: Schema.String
}) {}

/**
 * The server said something else than `expect` asks for.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedMessage extends Schema.TaggedClass<UnexpectedMessage>(
  "@nexobot/probes/WebSocket/UnexpectedMessage"
)("WebSocket/UnexpectedMessage", {
  url: Schema.String,
  /** At most 200 characters, without secrets. */
  why: Schema.String
}) {}

/**
 * All as expected, later than `degradedAfter`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/WebSocket/Slow")("WebSocket/Slow", {
  url: Schema.String,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * What a probe with such options reports.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Unreachable
  | Timeout
  | Refused
  | Given<O, "expect", Closed | UnexpectedMessage>
  | Given<O, "degradedAfter", Slow>

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends WebSocketProbeOptions>(
  options: Exactly<O, WebSocketProbeOptions>
): Probe.Probe<Found<O>> => {
  const { connection, degradedAfter, expect, question, reach, secrets, settings, timeout, where } = checked(options)
  const shownUrl = withoutQuery(options.url)
  // What a server was told, it may say again.
  const ownSecrets = Redaction.make(secrets)

  const check = Effect.gen(function* () {
    const redactor = Redaction.andThen(ownSecrets, yield* Redaction.Redactor)
    const url = redactor.text(shownUrl)
    const route = Connection.unseen()

    const ended = (event: Event): Verdict.Verdict<Unreachable | Refused | Closed> => {
      switch (event._tag) {
        case "Broken":
          return broken(event.code, route, new Unreachable({ url, code: event.code }))
        case "Refused":
          return Verdict.unhealthy(new Refused({ url, status: event.status }), [event.why])
        case "Closed": {
          const reason = excerpt(event.reason, redactor)
          return Verdict.unhealthy(new Closed({ url, code: event.code, reason }), [`closed: ${event.code} ${reason}`])
        }
        default:
          return Verdict.healthy
      }
    }

    const talking = Effect.gen(function* () {
      const events = yield* talk(yield* Connection.open(connection, route), settings)
      const opened = yield* Queue.take(events)
      if (opened._tag !== "Opened" || expect === undefined) return ended(opened)
      for (let left = settings.messages; ; left -= 1) {
        const event = yield* Queue.take(events)
        if (event._tag !== "Message") return ended(event)
        const fault = yield* mismatch(expect, event.bytes, redactor)
        if (fault === undefined) return Verdict.healthy
        if (left > 1) continue
        const why = excerpt(fault, redactor)
        const begin = new TextDecoder().decode(event.bytes.subarray(0, 16_384))
        return Verdict.unhealthy(new UnexpectedMessage({ url, why }), [`the message ${why}`, `it begins: ${begin}`])
      }
    })

    const begin = yield* Monotonic.millis
    const verdict: Verdict.Verdict<Found<WebSocketProbeOptions>> = yield* Effect.scoped(talking).pipe(
      Effect.catch((code) => Effect.succeed(ended({ _tag: "Broken", code }))),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.sync(() => {
            const connected = route.connected !== undefined
            const what = connected ? "connected, no answer in time" : "no connection in time"
            return Verdict.unhealthy(new Timeout({ url, after: timeout, connected }), [what])
          })
      })
    )
    const took = Duration.millis(Math.round((yield* Monotonic.millis) - begin))
    const isSlow = degradedAfter !== undefined && Duration.isGreaterThanOrEqualTo(took, degradedAfter)
    const judged =
      isSlow && verdict._tag === "Healthy"
        ? Verdict.degraded(new Slow({ url, took, degradedAfter }), [`took ${Duration.format(took)}`])
        : verdict
    return report(judged, url, route, redactor)
  })

  const probe = Probe.make({
    name: options.name,
    reports: [
      Unreachable,
      Timeout,
      Refused,
      ...(expect === undefined ? [] : [Closed, UnexpectedMessage]),
      ...(degradedAfter === undefined ? [] : [Slow])
    ],
    target: ownSecrets.text(where),
    timeout,
    reach,
    question: ["WebSocketProbe", question],
    check
  })
  // The compiler cannot follow which signatures the options take away.
  return probe as never // oxlint-disable-line typescript/no-unsafe-type-assertion
}
