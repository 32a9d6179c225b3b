/**
 * The options of `HttpProbe`, checked, as the question that it asks.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"

import { checkedContent } from "./httpContent.ts"
import type { Question } from "./httpExchange.ts"
import { checkedHeaders, checkedPlace } from "./httpOptions.ts"
import { withoutQuery } from "./httpReport.ts"
import { checkedTimes } from "./times.ts"

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
  /** Statuses that are healthy, such as `[200, "3xx"]`; `["2xx"]` unless told. Redirects with others are followed. */
  readonly expectStatus?: ReadonlyArray<number | "2xx" | "3xx" | "4xx" | "5xx">
  /** Redirects that are followed, at most, from 0 to 20; 10 unless told. */
  readonly follow?: number
  /**
   * What the body must say: a text that is in it, an expression that it matches, or a schema that decodes its JSON. The
   * body is not read unless this is told.
   */
  readonly expectBody?: string | RegExp | Schema.ConstraintDecoder<unknown>
  /** Bytes of a body, at most; a longer one is not expected. 1 MiB unless told. */
  readonly maxBody?: number
  /** Paths of the same origin that are asked when the answer is not the expected one, such as `["/auth"]`. */
  readonly alternatives?: readonly [string, ...ReadonlyArray<string>]
  /** An expected answer that took as long is degraded. Must be shorter than `timeout`. */
  readonly degradedAfter?: Duration.Input
  /** Until the head of the answer has come, and its body if that is looked at; 5 seconds unless told. */
  readonly timeout?: Duration.Input
  /** The DNS servers that are asked, each as `ip`, `ip:port` or `[ip]:port`; what the system asks unless told. */
  readonly dnsServers?: ReadonlyArray<string>
  /** A unix socket to which it connects in place of the host of the URL; at most 107 bytes. */
  readonly socketPath?: string
  /** `https:`: certificates in PEM that are trusted instead of the system's. */
  readonly ca?: string
  /** `https:`: the name for which the certificate must be; the host of the URL unless told. */
  readonly servername?: string
}

const checks = Options.checks("HttpProbe")

/** Single ones, and classes by their first digit. */
const checkedStatuses = (expected: unknown): ReadonlySet<number> => {
  if (!(Array.isArray(expected) && expected.length > 0)) {
    return checks.fail("expectStatus", expected, "at least one status")
  }
  return new Set(
    expected.map((one: unknown) =>
      typeof one === "string"
        ? Number(checks.oneOf("expectStatus", one, ["2xx", "3xx", "4xx", "5xx"])[0])
        : checks.integer("expectStatus", one, 100, 599)
    )
  )
}

const checkedAlternatives = (paths: unknown, target: URL): ReadonlyArray<URL> => {
  if (paths === undefined) return []
  const expected = "at least one path, beginning with / and other than that of the URL"
  if (!(Array.isArray(paths) && paths.length > 0)) return checks.fail("alternatives", paths, expected)
  return paths.map((path: unknown) => {
    const url = typeof path === "string" && /^\/(?![/\\])/.test(path) ? new URL(path, target) : undefined
    if (url !== undefined && url.href !== target.href) return url
    return checks.fail("alternatives", typeof path === "string" ? withoutQuery(path) : path, expected)
  })
}

const known: ReadonlyArray<keyof HttpProbeOptions> = [
  "name",
  "url",
  "method",
  "headers",
  "expectStatus",
  "follow",
  "expectBody",
  "maxBody",
  "alternatives",
  "degradedAfter",
  "timeout",
  "dnsServers",
  "socketPath",
  "ca",
  "servername"
]

const longestBody = 1024 * 1024

export const checked = (options: HttpProbeOptions) => {
  checks.known(options, known)
  const target = checks.httpUrl("url", options.url)
  target.hash = ""
  const method = checks.oneOf("method", options.method ?? "GET", ["GET", "HEAD"])
  const expectBody =
    options.expectBody === undefined ? undefined : checkedContent(checks, "expectBody", options.expectBody)
  if (expectBody !== undefined && method === "HEAD") checks.fail("expectBody", "given", "none with HEAD")
  if (expectBody === undefined && options.maxBody !== undefined) {
    checks.fail("maxBody", options.maxBody, "none without expectBody")
  }
  // The body is asked for as it is.
  const headers = checkedHeaders(
    checks,
    options.headers,
    (key) => key === "accept-encoding" && expectBody !== undefined
  )
  const plain = expectBody === undefined ? {} : { "accept-encoding": "identity" }
  const times = checkedTimes(checks, options)
  const place = checkedPlace(checks, target, options, times.timeout)
  const statuses = checkedStatuses(options.expectStatus ?? ["2xx"])
  const alternatives = checkedAlternatives(options.alternatives, target)
  const exchange: Question = {
    method,
    isExpected: (status) => statuses.has(status) || statuses.has(Math.floor(status / 100)),
    follow: checks.integer("follow", options.follow ?? 10, 0, 20),
    maxBody:
      expectBody === undefined
        ? undefined
        : checks.integer("maxBody", options.maxBody ?? longestBody, 1, 64 * longestBody),
    headersFor: (url) => ({ ...plain, ...(url.origin === target.origin ? headers.all : headers.elsewhere) }),
    connectionFor: place.connectionFor
  }
  return {
    ...times,
    reach: place.reach,
    where: place.where,
    secrets: headers.secrets,
    target,
    exchange,
    expectBody,
    alternatives,
    /** All that a verdict depends on: copies, as an object of options may be changed later. */
    question: {
      ...times,
      url: Redacted.make(target.href),
      alternatives: alternatives.map(({ href }) => Redacted.make(href)),
      headers: headers.question,
      place: place.question,
      statuses,
      expectBody,
      method,
      follow: exchange.follow,
      maxBody: exchange.maxBody
    }
  }
}
