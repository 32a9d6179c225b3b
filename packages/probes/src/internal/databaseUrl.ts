/**
 * The URL of a database, as the adapters take it. It may hold a password: no error shows any part of it.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import type * as Options from "@nexobot/core/Options"
import type * as Probe from "@nexobot/core/Probe"
import * as Redacted from "effect/Redacted"

import { reachOf } from "./reach.ts"

export interface DatabaseUrl {
  /** As it was given. */
  readonly url: Redacted.Redacted
  readonly user: string
  readonly password: Redacted.Redacted | undefined
  readonly database: string | undefined
  readonly host: string
  readonly port: number
  /** Of a unix socket, or of the folder in which it is; then nothing is on the network. */
  readonly path: string | undefined
  readonly parameters: ReadonlyMap<string, string>
  /** With the name of a database, if it has one. */
  readonly targetOf: (database: string | undefined) => string
  readonly reach: Probe.Reach
}

export interface Expected {
  readonly protocols: readonly [string, ...ReadonlyArray<string>]
  readonly defaultPort: number
  /** The parameter that has the path of a unix socket. */
  readonly pathParameter: string
  /** Others that are understood. */
  readonly parameters: ReadonlyArray<string>
}

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Throws `OptionError` for the option `url`. */
export const parse = (checks: Options.Checks, given: unknown, expected: Expected): DatabaseUrl => {
  const text: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
  const refuse = (why: string): never =>
    checks.fail(
      "url",
      typeof text === "string" ? Redacted.make(text) : text,
      `${why}; characters such as @, /, # and ? \
in a password are written as in ${encodeURIComponent("p@ss/word")}`
    )
  if (typeof text !== "string" || !URL.canParse(text)) {
    return refuse(`a URL that begins with ${expected.protocols.join("// or ")}//`)
  }
  const url = new URL(text)
  if (!expected.protocols.includes(url.protocol)) return refuse(`a URL that begins with ${expected.protocols[0]}//`)
  // An @ that belongs to a password, behind a / of it: the rest of the password would be a host. Tabs and ends of lines
  // would be left out.
  if (`${url.pathname}${url.search}`.includes("@") || /[\t\n\r]/.test(text.trim())) {
    return refuse("a URL with an @ before its host and no other, in one line")
  }
  const names = [...url.searchParams.keys()]
  const known = [expected.pathParameter, ...expected.parameters]
  if (url.hash !== "" || new Set(names).size !== names.length || names.some((name) => !known.includes(name))) {
    return refuse(`a URL with no other parameters than ${known.join(", ")}, and no fragment`)
  }
  const [user, password, database] = [url.username, url.password, url.pathname.replace(/^\//, "")].map(decoded)
  if (user === undefined || password === undefined || database === undefined) {
    return refuse("a URL in which every % begins an escape")
  }
  if (user === "" || [user, password, database].some((part) => part.includes("\0"))) return refuse("a URL with a user")
  const path = url.searchParams.get(expected.pathParameter) ?? undefined
  if (path !== undefined && (!path.startsWith("/") || url.hostname !== "localhost")) {
    return refuse(`a URL whose ${expected.pathParameter} is an absolute path and whose host is localhost`)
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1")
  const port = url.port === "" ? expected.defaultPort : Number(url.port)
  try {
    checks.host("url", host)
    checks.port("url", port)
  } catch {
    // They may be pieces of a password.
    return refuse("a URL with the name or address of a host, and a port from 1 to 65535 if it has one")
  }
  const where = path ?? `${Net.isIPv6(host) ? `[${host}]` : host}:${port}`
  return {
    url: Redacted.make(text),
    user,
    password: password === "" ? undefined : Redacted.make(password),
    database: database === "" ? undefined : database,
    host,
    port,
    path,
    parameters: new Map(url.searchParams),
    targetOf: (name) => `${expected.protocols[0]}//${where}${name === undefined ? "" : `/${name}`}`,
    reach: path === undefined ? reachOf(host) : "host"
  }
}
