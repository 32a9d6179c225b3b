/**
 * Asks DNS servers for a name and looks at the answer.
 *
 * Only the servers are asked: not the hosts file, and without search domains. Each check asks anew and keeps nothing.
 *
 * @since 0.1.0
 */
import * as Dns from "node:dns"
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { ask, normalised, type Type, types } from "./internal/dnsRecords.ts"
import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { reachOf } from "./internal/reach.ts"
import { addressOf, checkedServers, isAbsent } from "./internal/resolve.ts"
import { ownFault } from "./internal/systemError.ts"
import { checkedTimes } from "./internal/times.ts"

/** What was asked; all signatures have it. */
const asked = { host: Schema.String, type: Schema.Literals(types) }

/**
 * The server says that there is no such name, or that the name has no record of this type.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedClass<NotFound>("@nexobot/probes/Dns/NotFound")("Dns/NotFound", {
  ...asked,
  /** `ENOTFOUND`: no such name; `ENODATA`: a name, without such a record. */
  code: Schema.String
}) {}

/**
 * The server answers that it cannot or will not answer.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ServerFailure extends Schema.TaggedClass<ServerFailure>("@nexobot/probes/Dns/ServerFailure")(
  "Dns/ServerFailure",
  {
    ...asked,
    /** `ESERVFAIL`, `EREFUSED`, … */
    code: Schema.String
  }
) {}

/**
 * No answer within the time allowed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Dns/Timeout")("Dns/Timeout", {
  ...asked,
  after: Schema.DurationFromMillis
}) {}

/**
 * Nothing takes the question at the server's address.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Dns/Unreachable")("Dns/Unreachable", {
  ...asked,
  /** For example `ECONNREFUSED`. */
  code: Schema.String
}) {}

/**
 * An answer that is not what `expect` says.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedAnswer extends Schema.TaggedClass<UnexpectedAnswer>("@nexobot/probes/Dns/UnexpectedAnswer")(
  "Dns/UnexpectedAnswer",
  {
    ...asked,
    /** The records, at most ten, each at most 200 characters. */
    answers: Schema.Array(Schema.String)
  }
) {}

/**
 * The right answer, after longer than `degradedAfter`. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/Dns/Slow")("Dns/Slow", {
  ...asked,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * Which records the answer must have, in any order: all of these and maybe others, at least one of these, or these and
 * no others. Each is written as in a zone file: `127.0.0.1`, `10 mail.example.com`, `0 5 5060 sip.example.com`; but
 * texts without quotes, and in one piece: `v=spf1 -all` of `TXT`, and `0 issue ca.example` of `CAA`.
 *
 * @category models
 * @since 0.1.0
 */
export type Expectation =
  | { readonly allOf: ReadonlyArray<string> }
  | { readonly anyOf: ReadonlyArray<string> }
  | { readonly exactly: ReadonlyArray<string> }

/**
 * @category models
 * @since 0.1.0
 */
export interface DnsProbeOptions {
  readonly name: string
  /** The name that is asked for, complete: `app.example.com`. */
  readonly host: string
  /** `A` unless told. */
  readonly type?: Type
  /** `ip`, `ip:port` or `[ip]:port`; the system's unless told. The next is asked when one fails or is silent. */
  readonly servers?: ReadonlyArray<string>
  /** Any answer that has a record of the type unless told. */
  readonly expect?: Expectation
  /** Until there is an answer; 5 seconds unless told. Lost questions are asked again within it. */
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
  | NotFound
  | ServerFailure
  | Timeout
  | Unreachable
  | Given<O, "expect", UnexpectedAnswer>
  | Given<O, "degradedAfter", Slow>

type Any = NotFound | ServerFailure | Timeout | Unreachable | UnexpectedAnswer | Slow

const checks = Options.checks("DnsProbe")

const known = ["name", "host", "type", "servers", "expect", "timeout", "degradedAfter"]

type Rule = "allOf" | "anyOf" | "exactly"

interface Expected {
  readonly rule: Rule
  readonly records: ReadonlyArray<string>
}

const checkedExpectation = (expect: Expectation, type: Type): Expected => {
  const rules: ReadonlyArray<Rule> = ["allOf", "anyOf", "exactly"]
  checks.known(expect, rules, "expect.")
  const [[rule, records] = ["", undefined], ...others] = Object.entries(expect)
  if (others.length > 0 || !Array.isArray(records) || records.length === 0) {
    return checks.fail("expect", expect, "one of allOf, anyOf and exactly, with at least one record")
  }
  const [option, isRecord, what] =
    type === "A"
      ? [`expect.${rule}`, Net.isIPv4, "IPv4 addresses"]
      : type === "AAAA"
        ? [`expect.${rule}`, Net.isIPv6, "IPv6 addresses"]
        : [`expect.${rule}`, (text: string) => text !== "", "non-empty strings"]
  return {
    rule: checks.oneOf("expect", rule, rules),
    records: records.map((record: unknown) =>
      typeof record === "string" && isRecord(record) ? normalised(type, record) : checks.fail(option, record, what)
    )
  }
}

const meets = ({ records, rule }: Expected, answers: ReadonlyArray<string>): boolean => {
  if (rule === "anyOf") return records.some((record) => answers.includes(record))
  const hasAll = records.every((record) => answers.includes(record))
  return rule === "allOf" ? hasAll : hasAll && answers.every((answer) => records.includes(answer))
}

const checked = (options: DnsProbeOptions) => {
  checks.known(options, known)
  const type = checks.oneOf("type", options.type ?? "A", types)
  const host = checks.host("host", options.host)
  if (Net.isIP(host) !== 0) checks.fail("host", host, "a name, not an address")
  return {
    host,
    type,
    servers: checkedServers(checks, "servers", options.servers),
    expected: options.expect === undefined ? undefined : checkedExpectation(options.expect, type),
    ...checkedTimes(checks, options)
  }
}

/** More records than these are not shown. */
const mostShown = 10

const shownOf = (records: ReadonlyArray<string>, redactor: Redaction.Redactor): ReadonlyArray<string> =>
  records.slice(0, mostShown).map((record) => excerpt(record, redactor))

/** The records that are shown, and how many are not. */
const listed = (shown: ReadonlyArray<string>, { length }: ReadonlyArray<string>): string =>
  shown.join(", ") + (length > shown.length ? ` and ${length - shown.length} more` : "")

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends DnsProbeOptions>(options: Exactly<O, DnsProbeOptions>): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const { degradedAfter, expected, host, servers, timeout, type } = settings
  const whom = servers?.join(",") ?? "system"
  const says = (what: string) => `${type} of ${host}: ${what}`

  const judgeAnswer = (answers: ReadonlyArray<string>, took: Duration.Duration) =>
    Effect.map(Redaction.Redactor, (redactor): Verdict.Verdict<Any> => {
      const shown = shownOf(answers, redactor)
      const evidence = [says(listed(shown, answers))]
      if (expected !== undefined && !meets(expected, answers)) {
        const rule = `expected ${expected.rule}: ${listed(shownOf(expected.records, redactor), expected.records)}`
        return Verdict.unhealthy(new UnexpectedAnswer({ host, type, answers: shown }), [...evidence, rule])
      }
      return degradedAfter !== undefined && Duration.isGreaterThan(took, degradedAfter)
        ? Verdict.degraded(new Slow({ host, type, took, degradedAfter }), [
            ...evidence,
            `took ${Duration.format(took)}`
          ])
        : Verdict.healthyWith(evidence)
    })

  const late = Verdict.unhealthy(new Timeout({ host, type, after: timeout }), [says(`no answer in time from ${whom}`)])
  const judgeCode = (code: string): Verdict.Verdict<Any> => {
    const own = ownFault(code)
    if (own !== undefined) return Verdict.inconclusive(says(own))
    if (isAbsent(code)) return Verdict.unhealthy(new NotFound({ host, type, code }), [says(code)])
    if (code === Dns.TIMEOUT) return late
    const Class = code === Dns.CONNREFUSED ? Unreachable : ServerFailure
    return Verdict.unhealthy(new Class({ host, type, code }), [says(`${code} from ${whom}`)])
  }

  const check = Effect.timed(ask(host, type, servers)).pipe(
    Effect.matchEffect({
      onSuccess: ([took, answers]) => judgeAnswer(answers, took),
      onFailure: (code) => Effect.succeed(judgeCode(code))
    }),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.succeed(late) })
  )
  const probe = Probe.make({
    name: options.name,
    reports: [
      NotFound,
      ServerFailure,
      Timeout,
      Unreachable,
      ...(expected === undefined ? [] : [UnexpectedAnswer]),
      ...(degradedAfter === undefined ? [] : [Slow])
    ],
    target: `dns://${whom}/${host}?type=${type}`,
    timeout,
    reach: servers?.every((server) => reachOf(addressOf(server)) === "host") === true ? "host" : "network",
    question: ["DnsProbe", settings],
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
