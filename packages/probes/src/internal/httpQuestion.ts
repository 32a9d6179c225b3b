/**
 * The options of `HttpProbe`, checked, as the question that it asks.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"

import type { HttpProbeOptions } from "../HttpProbe.ts"
import { checkedContent } from "./httpContent.ts"
import type { Question } from "./httpExchange.ts"
import { checkedHeaders, checkedPlace, checkedTimes } from "./httpOptions.ts"

const checks = Options.checks("HttpProbe")

const checkedStatuses = (expected: unknown): ((status: number) => boolean) => {
  if (!(Array.isArray(expected) && expected.length > 0)) {
    return checks.fail("expectStatus", expected, "at least one status")
  }
  const classes = new Set<number>()
  const single = new Set<number>()
  for (const one of expected) {
    if (typeof one === "string") classes.add(Number(checks.oneOf("expectStatus", one, ["2xx", "3xx", "4xx", "5xx"])[0]))
    else single.add(checks.integer("expectStatus", one, 100, 599))
  }
  return (status) => single.has(status) || classes.has(Math.floor(status / 100))
}

const checkedAlternatives = (paths: unknown, target: URL): ReadonlyArray<URL> => {
  if (paths === undefined) return []
  const expected = "at least one path, beginning with / and other than that of the URL"
  if (!(Array.isArray(paths) && paths.length > 0)) return checks.fail("alternatives", paths, expected)
  return paths.map((path: unknown) => {
    const url = typeof path === "string" && /^\/(?![/\\])/.test(path) ? new URL(path, target) : undefined
    return url === undefined || url.href === target.href ? checks.fail("alternatives", path, expected) : url
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
  const question: Question = {
    method,
    isExpected: checkedStatuses(options.expectStatus ?? ["2xx"]),
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
    target,
    question,
    expectBody,
    alternatives: checkedAlternatives(options.alternatives, target)
  }
}
