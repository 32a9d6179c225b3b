/**
 * Checks the options that probes over HTTP have in common.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"

import type { Checks } from "@nexobot/core/Options"
import type * as Probe from "@nexobot/core/Probe"
import type * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"

import * as Connection from "./httpConnection.ts"
import { reachOf } from "./reach.ts"
import { checkedServers } from "./resolve.ts"
import { checkedSocketPath, shownSocketPath } from "./socketPath.ts"

/** These belong to the connection, and it to the probe: one check, one connection, no body. */
const ofConnection = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** Where secrets stand even if nobody says that they are. */
const ofOrigin = ["authorization", "cookie", "host", "proxy-authorization"]

const isValid = (validate: () => unknown): boolean => {
  try {
    validate()
    return true
  } catch {
    return false
  }
}

export interface CheckedHeaders {
  readonly all: Readonly<Record<string, string>>
  /** Those that another origin may see. */
  readonly elsewhere: Readonly<Record<string, string>>
  /** What must not be shown if a server says it again. */
  readonly secrets: ReadonlyArray<string>
  /** The same as far as a verdict depends on it. */
  readonly question: unknown
}

/** A value that is secret, and its part behind a scheme, such as `Bearer`: that alone is the secret. */
const secretsOf = (value: string): ReadonlyArray<string> => {
  const [, credentials] = /^\S+\s+(\S+)$/.exec(value.trim()) ?? []
  return credentials === undefined ? [value] : [value, credentials]
}

/** Names come out in lower case. */
export const checkedHeaders = (
  checks: Checks,
  headers: unknown,
  isReserved: (name: string) => boolean = () => false
): CheckedHeaders => {
  // Any name will do, and only of a plain object.
  if (headers !== undefined) checks.known(headers, Object.keys(Object(headers)), "headers.")
  const secret = new Set(ofOrigin)
  const secrets: Array<string> = []
  const names = new Set<string>()
  const given = Object.entries(Object(headers)).map(([name, value]): readonly [string, string] => {
    const key = name.toLowerCase()
    if (names.has(key)) checks.fail("headers", name, "each name once, whatever its case")
    names.add(key)
    if (!isValid(() => Http.validateHeaderName(name)) || ofConnection.has(key) || isReserved(key)) {
      checks.fail("headers", name, "names of headers that are not about the connection")
    }
    if (Redacted.isRedacted(value)) secret.add(key)
    const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
    if (typeof text !== "string" || !isValid(() => Http.validateHeaderValue(name, text))) {
      // The value itself, which may be a secret, must not get into the error.
      return checks.fail(`headers.${name}`, typeof text, "a string of characters that a header may have")
    }
    if (Redacted.isRedacted(value)) secrets.push(...secretsOf(text))
    return [key, text]
  })
  const elsewhere = given.filter(([key]) => !secret.has(key))
  return {
    all: Object.fromEntries(given),
    elsewhere: Object.fromEntries(elsewhere),
    secrets,
    question: [
      Object.fromEntries(given.map(([key, text]) => [key, Redacted.make(text)])),
      elsewhere.map(([key]) => key).toSorted()
    ]
  }
}

/** What TLS is told; `undefined` where there is none. */
const checkedTls = (
  checks: Checks,
  url: URL,
  { ca, servername }: { readonly ca?: unknown; readonly servername?: unknown }
): Tls.ConnectionOptions | undefined => {
  if (!Connection.isSecure(url)) {
    if (ca !== undefined) checks.fail("ca", "given", `none with ${url.protocol}`)
    if (servername !== undefined) checks.fail("servername", servername, `none with ${url.protocol}`)
    return undefined
  }
  // The first says whether there is one, the second whether all of them are whole.
  const isCertificate =
    typeof ca === "string" && isValid(() => [new Crypto.X509Certificate(ca), Tls.createSecureContext({ ca })])
  if (ca !== undefined && !isCertificate) checks.fail("ca", typeof ca, "certificates in PEM")
  if (
    servername !== undefined &&
    (typeof servername !== "string" || Net.isIP(checks.host("servername", servername)) !== 0)
  ) {
    checks.fail("servername", servername, "a host name")
  }
  return {
    ...(isCertificate ? { ca } : {}),
    ...(typeof servername === "string" ? { servername } : {})
  }
}

export interface PlaceOptions {
  readonly dnsServers?: unknown
  readonly socketPath?: unknown
  readonly ca?: unknown
  readonly servername?: unknown
}

export interface Place {
  readonly reach: Probe.Reach
  /** For people, without the query, which may have secrets; a path may have them as well. */
  readonly where: string
  /** How to get to a URL of this origin, and of another. */
  readonly connectionFor: (url: URL) => Connection.To
  /** The same as far as a verdict depends on it. */
  readonly question: unknown
}

export const checkedPlace = (
  checks: Checks,
  target: URL,
  { ca, dnsServers, servername, socketPath }: PlaceOptions,
  timeout: Duration.Duration
): Place => {
  const host = Connection.hostOf(target)
  const path = socketPath === undefined ? undefined : checkedSocketPath(checks, "socketPath", socketPath)
  const servers = checkedServers(checks, "dnsServers", dnsServers)
  if (servers !== undefined && path !== undefined) checks.fail("dnsServers", servers, "none with socketPath")
  if (servers !== undefined && Net.isIP(host) !== 0) {
    checks.fail("dnsServers", servers, "none for a host that is an address")
  }
  const tls = checkedTls(checks, target, { ca, servername })
  return {
    reach: path === undefined ? reachOf(host) : "host",
    where: `${path === undefined ? "" : `unix:${shownSocketPath(path)} `}${target.origin}${target.pathname}`,
    connectionFor: (url) => {
      const isOwn = url.origin === target.origin
      return {
        host: Connection.hostOf(url),
        port: Connection.portOf(url),
        tls: Connection.tlsFor(url, isOwn ? tls : undefined),
        socketPath: isOwn ? path : undefined,
        dnsServers: servers,
        timeout
      }
    },
    question: { dnsServers: servers, path, tls }
  }
}
