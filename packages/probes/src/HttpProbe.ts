/**
 * Asks a URL and looks at the status of the answer; at its body and its latency as well, when told.
 *
 * Every check resolves the name anew, opens a connection of its own and closes it: a server that keeps old connections
 * alive and accepts no new ones is not healthy, nor is one to which only an old address leads. That is why this is
 * `node:http` and not `fetch`, which connects once more after an abort and keeps that connection for the next request.
 *
 * @since 0.1.0
 */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import * as Content from "./internal/httpContent.ts"
import * as Exchange from "./internal/httpExchange.ts"
import { checked, type HttpProbeOptions } from "./internal/httpQuestion.ts"
import { broken, report, withoutQuery } from "./internal/httpReport.ts"

export type { HttpProbeOptions } from "./internal/httpQuestion.ts"

/**
 * No connection, or it broke before the answer came.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Http/Unreachable")(
  "Http/Unreachable",
  {
    /** As it was given, without its query. */
    url: Schema.String,
    /** The system's code, for example `ECONNREFUSED`; that of TLS or DNS, or of the parser of HTTP. */
    code: Schema.String
  }
) {}

/**
 * Connected or not, no answer within the time allowed: a frozen server accepts connections all the same.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Http/Timeout")("Http/Timeout", {
  url: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * An answer with a status that was not expected.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedStatus extends Schema.TaggedClass<UnexpectedStatus>("@nexobot/probes/Http/UnexpectedStatus")(
  "Http/UnexpectedStatus",
  { url: Schema.String, status: Schema.Int }
) {}

/**
 * The status was expected, and the body does not say what `expectBody` asks for.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedBody extends Schema.TaggedClass<UnexpectedBody>("@nexobot/probes/Http/UnexpectedBody")(
  "Http/UnexpectedBody",
  {
    url: Schema.String,
    /** At most 200 characters, without secrets. */
    why: Schema.String
  }
) {}

/**
 * The answer was not the expected one, and one of the `alternatives` gave it: the server works, under another path.
 *
 * @category signatures
 * @since 0.1.0
 */
export class WrongRoute extends Schema.TaggedClass<WrongRoute>("@nexobot/probes/Http/WrongRoute")("Http/WrongRoute", {
  url: Schema.String,
  /** Of the answer that was not expected. */
  status: Schema.Int,
  /** The path that works. */
  alternative: Schema.String
}) {}

/**
 * The expected answer, later than `degradedAfter`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/Http/Slow")("Http/Slow", {
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
  | UnexpectedStatus
  | Given<O, "expectBody", UnexpectedBody>
  | Given<O, "alternatives", WrongRoute>
  | Given<O, "degradedAfter", Slow>

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends HttpProbeOptions>(
  options: Exactly<O, HttpProbeOptions>
): Probe.Probe<Found<O>> => {
  const { alternatives, degradedAfter, exchange, expectBody, question, reach, secrets, target, timeout, where } =
    checked(options)
  const shownUrl = withoutQuery(options.url)
  // What a server was told, it may say again.
  const ownSecrets = Redaction.make(secrets)

  /** Why a body is not the expected one, and how it begins. */
  const bodyFault = Effect.fnUntraced(function* (
    expected: Content.Content,
    { body, encoding = "" }: Exchange.Answer,
    redactor: Redaction.Redactor
  ): Effect.fn.Return<readonly [why: string, ...lines: ReadonlyArray<string>] | undefined> {
    const isPlain = encoding.split(",").every((one) => /^(identity)?$/i.test(one.trim()))
    if (!isPlain) return [`is compressed: ${encoding}`]
    if (body === undefined) return [`is longer than ${exchange.maxBody} bytes`]
    const why = yield* Content.mismatch(expected, body, redactor)
    return why === undefined ? undefined : [why, `it begins: ${new TextDecoder().decode(body.subarray(0, 16_384))}`]
  })

  const judging = Effect.fnUntraced(function* (
    answer: Exchange.Answer,
    url: string,
    redactor: Redaction.Redactor
  ): Effect.fn.Return<Verdict.Unhealthy<UnexpectedStatus | UnexpectedBody> | undefined> {
    const { status } = answer
    if (!exchange.isExpected(status)) {
      return Verdict.unhealthy(new UnexpectedStatus({ url, status }), [`status ${status}`])
    }
    const fault = expectBody === undefined ? undefined : yield* bodyFault(expectBody, answer, redactor)
    if (fault === undefined) return undefined
    const [body, ...lines] = fault
    const why = excerpt(body, redactor)
    return Verdict.unhealthy(new UnexpectedBody({ url, why }), [`status ${status}, the body ${why}`, ...lines])
  })

  const check = Effect.gen(function* () {
    const redactor = Redaction.andThen(ownSecrets, yield* Redaction.Redactor)
    const url = redactor.text(shownUrl)
    const seen = Exchange.unseen()
    let bad: Verdict.Unhealthy<UnexpectedStatus | UnexpectedBody> | undefined

    const looking = Effect.gen(function* () {
      const begin = yield* Monotonic.millis
      const answer = yield* Exchange.exchange(target, exchange, seen)
      const took = Duration.millis(Math.round((yield* Monotonic.millis) - begin))
      bad = yield* judging(answer, url, redactor)
      if (bad === undefined) {
        if (degradedAfter === undefined || Duration.isLessThan(took, degradedAfter)) return Verdict.healthy
        return Verdict.degraded(new Slow({ url, took, degradedAfter }), [`took ${Duration.format(took)}`])
      }
      for (const alternative of alternatives) {
        const other = yield* Effect.option(Exchange.exchange(alternative, exchange, Exchange.unseen()))
        if (other._tag === "None" || (yield* judging(other.value, url, redactor)) !== undefined) continue
        const path = redactor.text(alternative.pathname)
        const signature = new WrongRoute({ url, status: answer.status, alternative: path })
        return Verdict.unhealthy(signature, [...bad.evidence, `${path} answers as expected`])
      }
      return bad
    })

    const verdict: Verdict.Verdict<Found<HttpProbeOptions>> = yield* looking.pipe(
      Effect.catch((code) => Effect.succeed(broken(code, seen.route, new Unreachable({ url, code })))),
      Effect.timeoutOrElse({
        duration: timeout,
        // What the first answer said stands, although the alternatives keep us waiting.
        orElse: () =>
          Effect.sync(() => bad ?? Verdict.unhealthy(new Timeout({ url, after: timeout }), ["no answer in time"]))
      })
    )
    return report(verdict, `${exchange.method} ${url}`, seen.route, redactor, seen.redirects)
  })

  const probe = Probe.make({
    name: options.name,
    reports: [
      Unreachable,
      Timeout,
      UnexpectedStatus,
      ...(expectBody === undefined ? [] : [UnexpectedBody]),
      ...(alternatives.length === 0 ? [] : [WrongRoute]),
      ...(degradedAfter === undefined ? [] : [Slow])
    ],
    target: ownSecrets.text(where),
    timeout,
    reach,
    question: ["HttpProbe", question],
    check
  })
  // The compiler cannot follow which signatures the options take away.
  return probe as never // oxlint-disable-line typescript/no-unsafe-type-assertion
}
