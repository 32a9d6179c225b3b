/**
 * Asks a URL and looks at the status of the answer.
 *
 * Every check opens a connection of its own and closes it: a server that keeps old connections alive and accepts no new
 * ones is not healthy. That is why this is `node:http` and not `fetch`, which connects once more after an abort and
 * keeps that connection for the next request.
 *
 * @since 0.1.0
 */
import * as Http from "node:http"
import * as Https from "node:https"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/**
 * No connection, or it broke before an answer came.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Http/Unreachable")(
  "Http/Unreachable",
  {
    url: Schema.String,
    /** The system's code, for example `ECONNREFUSED`. */
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
 * @category models
 * @since 0.1.0
 */
export interface HttpProbeOptions {
  readonly name: string
  /** An `http:` or `https:` URL. Without credentials: send them as headers. */
  readonly url: string
  /** `GET` unless told. */
  readonly method?: "GET" | "HEAD"
  /** Where a redirect leads to another origin, redacted ones, `authorization`, `cookie` and `host` stay behind. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>>
  /** Statuses that are healthy; 200 to 299 unless told. Up to ten redirects with another status are followed first. */
  readonly expectStatus?: ReadonlyArray<number>
  /** Until the head of the answer has come; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

const checks = Options.checks("HttpProbe")

/** These belong to the connection, and it to the probe: one check, one connection, no body. */
const reserved = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const isValid = (validate: () => void): boolean => {
  try {
    validate()
    return true
  } catch {
    return false
  }
}

const checkedHeader = ([name, value]: [string, unknown]): readonly [string, string] => {
  if (!isValid(() => Http.validateHeaderName(name)) || reserved.has(name.toLowerCase())) {
    checks.fail("headers", name, "names of headers that are not about the connection")
  }
  const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
  return typeof text === "string" && isValid(() => Http.validateHeaderValue(name, text))
    ? [name, text]
    : // The value itself, which may be a secret, must not get into the error.
      checks.fail(`headers.${name}`, typeof text, "a string of characters that a header may have")
}

interface Answer {
  readonly status: number
  readonly location: string | undefined
}

/** The head of the answer, or the code of what went wrong. Nothing is open afterwards; the body is not waited for. */
const ask = (url: URL, options: Http.RequestOptions) =>
  Effect.callback<Answer, string>((resume) => {
    const open: typeof Http.request = url.protocol === "https:" ? Https.request : Http.request
    const request = open(url, { ...options, agent: false })
    const done = (result: Effect.Effect<Answer, string>) => {
      resume(result)
      request.destroy()
    }
    request.on("response", ({ headers, statusCode = 0 }) =>
      done(Effect.succeed({ status: statusCode, location: headers.location }))
    )
    request.on("error", (error: NodeJS.ErrnoException) => done(Effect.fail(error.code ?? error.message)))
    request.on("close", () => done(Effect.fail("closed without an answer")))
    request.end()
    return Effect.sync(() => request.destroy())
  })

const redirects = new Set([301, 302, 303, 307, 308])
const mostRedirects = 10

/** Where an answer sends us. */
const nextOf = ({ location, status }: Answer, from: URL): URL | undefined => {
  if (!redirects.has(status) || location === undefined || !URL.canParse(location, from.href)) return undefined
  const next = new URL(location, from)
  return next.protocol === "http:" || next.protocol === "https:" ? next : undefined
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: HttpProbeOptions): Probe.Probe<Unreachable | Timeout | UnexpectedStatus> => {
  checks.known(options, ["name", "url", "method", "headers", "expectStatus", "timeout"])
  const target = checks.httpUrl("url", options.url)
  const url = options.url
  const method = checks.oneOf("method", options.method ?? "GET", ["GET", "HEAD"])
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  const expected = options.expectStatus
  if (expected !== undefined && !(Array.isArray(expected) && expected.length > 0)) {
    checks.fail("expectStatus", expected, "at least one status")
  }
  expected?.forEach((status) => checks.integer("expectStatus", status, 100, 599))
  const isExpected = (status: number) => expected?.includes(status) ?? (status >= 200 && status <= 299)
  const given = Object.entries(options.headers ?? {})
  const headers = { ...Object.fromEntries(given.map(checkedHeader)), connection: "close" }
  const ownOnly = new Set(["authorization", "cookie", "host", "proxy-authorization"])
  for (const [name, value] of given) if (Redacted.isRedacted(value)) ownOnly.add(name.toLowerCase())
  const elsewhere = Object.fromEntries(Object.entries(headers).filter(([name]) => !ownOnly.has(name.toLowerCase())))

  const statusOf = (from: URL, followed: number): Effect.Effect<number, string> =>
    Effect.flatMap(ask(from, { method, headers: from.origin === target.origin ? headers : elsewhere }), (answer) => {
      const next = isExpected(answer.status) || followed === mostRedirects ? undefined : nextOf(answer, from)
      return next === undefined ? Effect.succeed(answer.status) : statusOf(next, followed + 1)
    })
  const says = (what: string) => [`${method} ${url}: ${what}`]
  const check = statusOf(target, 0).pipe(
    Effect.match({
      onSuccess: (status) =>
        isExpected(status)
          ? Verdict.healthy
          : Verdict.unhealthy(new UnexpectedStatus({ url, status }), says(`status ${status}`)),
      onFailure: (code) => Verdict.unhealthy(new Unreachable({ url, code }), says(code))
    }),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.sync(() => Verdict.unhealthy(new Timeout({ url, after: timeout }), says("no answer in time")))
    })
  )
  return Probe.make({ name: options.name, reports: [Unreachable, Timeout, UnexpectedStatus], check })
}
