/**
 * Where a Redis is and how it is asked, from the options of `RedisProbe`.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"
import * as Tls from "node:tls"

import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"

import type { RedisProbeOptions, RedisTlsOptions } from "../RedisProbe.ts"
import type { Place } from "./redisConversation.ts"
import { codeOf } from "./systemError.ts"

export interface Settings extends Place {
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly database: number
  readonly role: "primary" | "replica" | undefined
  readonly maxReplicaLag: Duration.Duration | undefined
  readonly memoryAt: number
  readonly clientsAt: number
  readonly degradedAfter: Duration.Duration | undefined
  readonly timeout: Duration.Duration
}

const checks = Options.checks("RedisProbe")

const known: ReadonlyArray<keyof RedisProbeOptions> = [
  "name",
  "url",
  "host",
  "port",
  "username",
  "password",
  "database",
  "tls",
  "role",
  "maxReplicaLag",
  "memoryAt",
  "clientsAt",
  "degradedAfter",
  "timeout"
]

type Address = Pick<Settings, "host" | "port" | "username" | "password" | "database"> & { readonly secure: boolean }

/** More databases than anybody has. */
const mostDatabases = 1_000_000

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** What is wrong with it is never shown: it has a password. */
const ofUrl = (given: unknown): Address => {
  const refuse = (): never =>
    checks.fail(
      "url",
      Redacted.make(""),
      "redis://user:password@host:6379/0, or rediss:// for TLS; escaped, no parameters"
    )
  const text: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
  if (typeof text !== "string" || !URL.canParse(text)) return refuse()
  const url = new URL(text)
  const [username, password] = [decoded(url.username), decoded(url.password)]
  const isOfRedis =
    /^rediss?:$/.test(url.protocol) && /^(\/\d{0,6})?$/.test(url.pathname) && url.search + url.hash === ""
  if (!isOfRedis || url.hostname === "" || username === undefined || password === undefined) return refuse()
  if (username !== "" && password === "") return refuse()
  return {
    // Brackets belong to the URL, not to the address.
    host: checks.host("url", url.hostname.replace(/^\[(.*)\]$/, "$1")),
    port: url.port === "" ? 6379 : checks.port("url", Number(url.port)),
    username: username === "" ? undefined : username,
    password: password === "" ? undefined : Redacted.make(password),
    database: Number(url.pathname.slice(1)),
    secure: url.protocol === "rediss:"
  }
}

const passwordOf = (given: unknown): Redacted.Redacted =>
  Redacted.isRedacted(given) && typeof Redacted.value(given) === "string"
    ? Redacted.make(String(Redacted.value(given)))
    : checks.fail("password", Redacted.make(""), "a redacted string")

const ofParts = ({ database, host, password, port, tls, username }: RedisProbeOptions): Address => {
  if (username !== undefined && password === undefined) checks.fail("username", username, "nothing without a password")
  return {
    host: checks.host("host", host ?? "127.0.0.1"),
    port: checks.port("port", port ?? 6379),
    username: username === undefined ? undefined : checks.nonEmptyString("username", username),
    password: password === undefined ? undefined : passwordOf(password),
    database: checks.integer("database", database ?? 0, 0, mostDatabases),
    secure: tls !== undefined && tls !== false
  }
}

const partsOnly = ["host", "port", "username", "password", "database"] as const

const addressOf = (options: RedisProbeOptions): Address => {
  if (options.url === undefined) return ofParts(options)
  const twice = partsOnly.find((part) => options[part] !== undefined)
  // It may be a password.
  if (twice !== undefined) checks.fail(twice, Redacted.make(""), "nothing beside url, which says it")
  const address = ofUrl(options.url)
  if (options.tls !== undefined && !address.secure) checks.fail("tls", options.tls, "a URL that begins with rediss://")
  if (options.tls === false) checks.fail("tls", false, "nothing, or options, with a URL that begins with rediss://")
  return address
}

const knownOfTls: ReadonlyArray<keyof RedisTlsOptions> = [
  "ca",
  "cert",
  "key",
  "passphrase",
  "pfx",
  "crl",
  "servername",
  "checkServerIdentity",
  "rejectUnauthorized",
  "minVersion",
  "maxVersion",
  "ciphers",
  "ecdhCurve",
  "sigalgs"
]

/** A copy, which is what was checked. What is wrong with it is never shown: it may be a key. */
const tlsOf = ({ tls }: RedisProbeOptions): RedisTlsOptions => {
  if (tls === undefined || typeof tls === "boolean") return {}
  checks.known(tls, knownOfTls, "tls.")
  const { checkServerIdentity, ...rest } = tls
  if (rest.rejectUnauthorized !== undefined) checks.boolean("tls.rejectUnauthorized", rest.rejectUnauthorized)
  if (rest.servername !== undefined) checks.nonEmptyString("tls.servername", rest.servername)
  if (checkServerIdentity !== undefined && typeof checkServerIdentity !== "function") {
    checks.fail("tls.checkServerIdentity", typeof checkServerIdentity, "a function")
  }
  try {
    Tls.createSecureContext(rest)
    return { ...structuredClone(rest), ...(checkServerIdentity === undefined ? {} : { checkServerIdentity }) }
  } catch (cause) {
    const code = codeOf(cause)
    const why = /^ERR_\w+$/.test(code) ? ` (${code})` : ""
    return checks.fail("tls", Redacted.make(""), `options that node:tls accepts${why}`)
  }
}

/** Throws `OptionError`. */
export const checked = (options: RedisProbeOptions): Settings => {
  checks.known(options, known)
  const { degradedAfter: late, maxReplicaLag: lag, role } = options
  const { secure, ...address } = addressOf(options)
  const tls = tlsOf(options)
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  const degradedAfter = late === undefined ? undefined : checks.duration("degradedAfter", late, "1 millis")
  if (degradedAfter !== undefined && Duration.isGreaterThanOrEqualTo(degradedAfter, timeout)) {
    checks.fail("degradedAfter", late, `less than the timeout of ${Duration.format(timeout)}`)
  }
  if (lag !== undefined && role === undefined) checks.fail("maxReplicaLag", lag, "nothing without a role")
  return {
    ...address,
    tls: secure ? tls : undefined,
    role: role === undefined ? undefined : checks.oneOf("role", role, ["primary", "replica"]),
    // Redis counts whole seconds.
    maxReplicaLag: lag === undefined ? undefined : checks.duration("maxReplicaLag", lag, "1 second"),
    memoryAt: checks.number("memoryAt", options.memoryAt ?? 0.9, 0.01, 1),
    clientsAt: checks.number("clientsAt", options.clientsAt ?? 0.9, 0.01, 1),
    degradedAfter,
    timeout
  }
}

/** Without user and password. */
export const targetOf = ({ database, host, port, tls }: Settings): string =>
  `${tls === undefined ? "redis" : "rediss"}://${Net.isIPv6(host) ? `[${host}]` : host}:${port}/${database}`
