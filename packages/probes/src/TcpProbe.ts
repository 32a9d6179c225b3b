/**
 * Connects to a TCP port; with `send` and `expect` it also holds a one-line conversation, because the kernel accepts
 * connections for a frozen process.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * No connection, or it broke before the reply was complete.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Tcp/Unreachable")("Tcp/Unreachable", {
  host: Schema.String,
  port: Schema.Int,
  /** The system's code, for example `ECONNREFUSED`. */
  code: Schema.String
}) {}

/**
 * No connection, or no reply, within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Tcp/Timeout")("Tcp/Timeout", {
  host: Schema.String,
  port: Schema.Int,
  after: Schema.DurationFromMillis,
  /** Whether the connection stood: then something is there and does not answer. */
  connected: Schema.Boolean
}) {}

/**
 * A reply that does not match `expect`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedReply extends Schema.TaggedClass<UnexpectedReply>("@nexobot/probes/Tcp/UnexpectedReply")(
  "Tcp/UnexpectedReply",
  {
    host: Schema.String,
    port: Schema.Int,
    /** Its first line, at most 200 characters. */
    reply: Schema.String
  }
) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface TcpProbeOptions {
  readonly name: string
  /** 127.0.0.1 unless told. */
  readonly host?: string
  readonly port: number
  /** Sent after connecting, for example `"PING\r\n"`. Without `expect`, no reply is waited for. */
  readonly send?: string
  /** What the first line of the reply must match, for example `/^\+PONG/`. */
  readonly expect?: RegExp
  /** Until everything has been said; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

const checks = Options.checks("TcpProbe")

/** A reply longer than this without a line end is cut there. */
const replyLimit = 4096

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: TcpProbeOptions): Probe.Probe<Unreachable | Timeout | UnexpectedReply> => {
  checks.known(options, ["name", "host", "port", "send", "expect", "timeout"])
  const host = checks.nonEmptyString("host", options.host ?? "127.0.0.1")
  const port = checks.port("port", options.port)
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  const { expect, send } = options
  if (send !== undefined && typeof send !== "string") checks.fail("send", send, "a string")
  if (expect !== undefined && !(expect instanceof RegExp)) checks.fail("expect", expect, "a regular expression")

  const judge = (reply: string) => {
    const line = reply.split(/\r?\n/)[0] ?? ""
    // A copy: a sticky or global expression remembers where it stopped.
    if (expect === undefined || new RegExp(expect).test(line)) return Verdict.healthy
    const shown = line.slice(0, 200)
    return Verdict.unhealthy(new UnexpectedReply({ host, port, reply: shown }), [`${host}:${port} replied ${shown}`])
  }
  const check = Effect.suspend(() => {
    let connected = false
    const talk = Effect.callback<Verdict.Verdict<Unreachable | UnexpectedReply>>((resume) => {
      const socket = Net.connect({ host, port })
      let reply = ""
      const done = (verdict: Verdict.Verdict<Unreachable | UnexpectedReply>) => {
        socket.destroy()
        resume(Effect.succeed(verdict))
      }
      const broken = (code: string) =>
        done(Verdict.unhealthy(new Unreachable({ host, port, code }), [`${host}:${port}: ${code}`]))
      socket.setEncoding("utf8")
      socket.on("connect", () => {
        connected = true
        const isLast = expect === undefined
        // Destroying the socket drops what is not written yet.
        if (send !== undefined) socket.write(send, () => isLast && done(Verdict.healthy))
        else if (isLast) done(Verdict.healthy)
      })
      socket.on("data", (text: string) => {
        reply += text
        if (reply.includes("\n") || reply.length > replyLimit) done(judge(reply))
      })
      socket.on("error", (error: NodeJS.ErrnoException) => broken(error.code ?? error.message))
      socket.on("close", () => (reply === "" ? broken("closed without a reply") : done(judge(reply))))
      return Effect.sync(() => socket.destroy())
    })
    return Effect.timeoutOrElse(talk, {
      duration: timeout,
      orElse: () =>
        Effect.sync(() =>
          Verdict.unhealthy(new Timeout({ host, port, after: timeout, connected }), [
            `${host}:${port}: ${connected ? "connected, no reply" : "no connection"} in time`
          ])
        )
    })
  })
  return Probe.make({ name: options.name, reports: [Unreachable, Timeout, UnexpectedReply], check })
}
