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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { firstOf } from "./internal/attempts.ts"
import * as Conversation from "./internal/conversation.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { reachOf } from "./internal/reach.ts"
import { checkedServers, endpoint, resolve } from "./internal/resolve.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * No connection, or it broke before the reply was complete.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Tcp/Unreachable")("Tcp/Unreachable", {
  host: Schema.String,
  port: Schema.Int,
  /** The system's code, for example `ECONNREFUSED`, or that of a name that was not resolved, such as `ENOTFOUND`. */
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
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/Tcp/Slow")("Tcp/Slow", {
  host: Schema.String,
  port: Schema.Int,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface TcpProbeOptions {
  readonly name: string
  /** A name or an address; 127.0.0.1 unless told. A name is resolved at each check. */
  readonly host?: string
  readonly port: number
  /** Sent after connecting, for example `"PING\r\n"`. Without `expect`, no reply is waited for. */
  readonly send?: string
  /** What the first line of the reply must match, for example `/^\+PONG/`; only connected to unless told. */
  readonly expect?: RegExp | string
  /** Until everything has been said, the resolution of the name included; 5 seconds unless told. */
  readonly timeout?: Duration.Input
  /** What takes longer is degraded; less than `timeout`. However slow unless told. */
  readonly degradedAfter?: Duration.Input
  /** `ip`, `ip:port` or `[ip]:port`; what this machine uses unless told. */
  readonly dnsServers?: ReadonlyArray<string>
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = Unreachable | Timeout | Given<O, "expect", UnexpectedReply> | Given<O, "degradedAfter", Slow>

type Any = Unreachable | Timeout | UnexpectedReply | Slow

const checks = Options.checks("TcpProbe")

const known = ["name", "host", "port", "send", "expect", "timeout", "degradedAfter", "dnsServers"]

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends TcpProbeOptions>(options: Exactly<O, TcpProbeOptions>): Probe.Probe<Found<O>> => {
  checks.known(options, known)
  const host = checks.host("host", options.host ?? "127.0.0.1")
  const port = checks.port("port", options.port)
  const settings = Conversation.checked(checks, options)
  const dnsServers = checkedServers(checks, "dnsServers", options.dnsServers)
  const { degradedAfter, expect, timeout } = settings
  const isName = Net.isIP(host) === 0
  if (dnsServers !== undefined && !isName) checks.fail("dnsServers", dnsServers, "none for a host that is an address")
  const where = endpoint(host, port)

  const judge = (
    outcome: Conversation.Outcome,
    { connected, remote }: Conversation.Progress,
    addresses: ReadonlyArray<string> | undefined
  ): Verdict.Verdict<Any> => {
    const says = (what: string): ReadonlyArray<string> => {
      const named = addresses === undefined ? "its name was not resolved" : `resolved ${addresses.join(", ")}`
      return isName ? [`${where}: ${what}`, named] : [`${where}: ${what}`]
    }
    switch (outcome._tag) {
      case "Said":
        return isName ? Verdict.healthyWith([`connected ${endpoint(remote ?? "?", port)}`]) : Verdict.healthy
      case "Slow": {
        const { _tag, ...times } = outcome
        return Verdict.degraded(new Slow({ host, port, ...times }), says(`took ${Duration.format(times.took)}`))
      }
      case "Unexpected":
        return Verdict.unhealthy(
          new UnexpectedReply({ host, port, reply: outcome.line }),
          says(`replied ${outcome.line}`)
        )
      case "Late": {
        const what = connected ? "connected, no reply in time" : "no connection in time"
        return Verdict.unhealthy(new Timeout({ host, port, after: timeout, connected }), says(what))
      }
      case "Broken": {
        const { code } = outcome
        const own = ownFault(code)
        if (own !== undefined) return Verdict.inconclusive(`${where}: ${own}`)
        return Verdict.unhealthy(new Unreachable({ host, port, code }), says(code))
      }
    }
  }

  const direct = Effect.succeed(() => Net.connect({ host, port }))
  const named = (found: (addresses: ReadonlyArray<string>) => void) =>
    Effect.gen(function* () {
      const [took, addresses] = yield* Effect.timed(resolve(host, dnsServers))
      found(addresses)
      const left = Duration.subtract(timeout, took)
      const { socket } = yield* firstOf(
        addresses,
        (address) => Net.connect({ host: address, port }),
        left,
        () => {}
      )
      return () => socket
    })
  const check = Effect.suspend(() => {
    const progress: Conversation.Progress = { connected: false, remote: undefined }
    let addresses: ReadonlyArray<string> | undefined
    const held = isName
      ? Effect.scoped(
          Conversation.hold(
            named((found) => (addresses = found)),
            settings,
            progress
          )
        )
      : Conversation.hold(direct, settings, progress)
    return Effect.map(held, (outcome) => judge(outcome, progress, addresses))
  })
  const probe = Probe.make({
    name: options.name,
    reports: [
      Unreachable,
      Timeout,
      ...(expect === undefined ? [] : [UnexpectedReply]),
      ...(degradedAfter === undefined ? [] : [Slow])
    ],
    target: `tcp://${where}`,
    timeout,
    reach: reachOf(host),
    question: ["TcpProbe", { ...settings, dnsServers }],
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
