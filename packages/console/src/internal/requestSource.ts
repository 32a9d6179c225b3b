/** Where a request says it comes from and goes to. */
import type { HttpServerRequest } from "effect/http/HttpServerRequest"

import { Forbidden } from "../Authorization.ts"

const parsed = (url: string): URL | undefined => (URL.canParse(url) ? new URL(url) : undefined)

/** The request's own URL as the client named it: the `Host` header decides, as it does for a browser's origin. */
const ownUrl = (request: HttpServerRequest): URL | undefined => {
  const original = parsed(request.originalUrl)
  const scheme = request.protocol ?? (original?.protocol === "https:" ? "https" : "http")
  const host = request.headers["host"] ?? original?.host
  // A Host header is a host and perhaps a port; anything else in it must not slip through as a user name or a path.
  return host === undefined || !/^[\w.:[\]-]+$/.test(host) ? undefined : parsed(`${scheme}://${host}/`)
}

/** As the browser sees it: behind something that ends TLS, only the origin tells. */
export const isHttps = (request: HttpServerRequest): boolean =>
  ownUrl(request)?.protocol === "https:" || request.headers["origin"]?.startsWith("https://") === true

/** Cookies ignore ports: without the port in its name, two consoles on one machine would log each other out. */
export const sessionCookie = (request: HttpServerRequest): string =>
  `nexobot-console-${ownUrl(request)?.port || "default"}`

export const isWrite = (request: HttpServerRequest): boolean => !["GET", "HEAD", "OPTIONS"].includes(request.method)

/** `127.0.0.0/8`, `::1` and `localhost`: names that DNS cannot point elsewhere. */
const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname)

export const checkHost = (request: HttpServerRequest, allowedHosts: ReadonlyArray<string>): Forbidden | undefined => {
  const url = ownUrl(request)
  if (url !== undefined && (isLoopback(url.hostname) || allowedHosts.includes(url.hostname))) return undefined
  return new Forbidden({
    reason: "UnknownHost",
    message: `this console does not answer for host "${request.headers["host"] ?? ""}"; add it to allowedHosts`
  })
}

/**
 * Refuses a write from a page of another origin. A server behind something that ends TLS sees plain http while the page
 * has an https origin of the same host: that one is its own; the other way round is not.
 */
export const checkOrigin = (request: HttpServerRequest): Forbidden | undefined => {
  const origin = request.headers["origin"]
  if (origin === undefined || !isWrite(request)) return undefined
  const own = ownUrl(request)
  const from = parsed(origin)
  const sameHost = own !== undefined && from !== undefined && from.origin === origin && from.host === own.host
  if (sameHost && (from.protocol === own.protocol || from.protocol === "https:")) return undefined
  return new Forbidden({ reason: "ForeignOrigin", message: `writes from origin "${origin}" are refused` })
}
