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

import type { Place } from "./redisConversation.ts"
import { codeOf } from "./systemError.ts"

/**
 * Options of `node:tls` that say whom to trust, and who asks.
 *
 * @category models
 * @since 0.1.0
 */
export type RedisTlsOptions = Pick<
  Tls.ConnectionOptions,
  | "ca"
  | "cert"
  | "key"
  | "passphrase"
  | "pfx"
  | "crl"
  | "servername"
  | "checkServerIdentity"
  | "rejectUnauthorized"
  | "minVersion"
  | "maxVersion"
  | "ciphers"
  | "ecdhCurve"
  | "sigalgs"
>

/**
 * Where Redis is, as `url` or in parts, and what it should be.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedisProbeOptions {
  readonly name: string
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. User, password and database are optional. */
  readonly url?: string | Redacted.Redacted
  /** 127.0.0.1 unless told. */
  readonly host?: string
  /** 6379 unless told. */
  readonly port?: number
  readonly username?: string
  readonly password?: Redacted.Redacted
  /** The number of the database; 0 unless told. */
  readonly database?: number
  /** `true` for TLS with what Node trusts, or options of `node:tls`; they may go with a `rediss://` URL too. */
  readonly tls?: boolean | RedisTlsOptions
  /** What it must be. Either is fine unless told. */
  readonly role?: "primary" | "replica"
  /**
   * With `role`. Of a primary, how long one of its replicas may say nothing; of a replica, how long its primary may: that
   * speaks every 10 seconds at least, as `repl-ping-replica-period` says. Not judged unless told.
   */
  readonly maxReplicaLag?: Duration.Input
  /** From this share of `maxmemory` on its memory is high, unless it evicts; 0.9 unless told. */
  readonly memoryAt?: number
  /** From this share of `maxclients` on it has too many clients; 0.9 unless told. */
  readonly clientsAt?: number
  /** Longer answers are degraded, as `Redis/Slow`. */
  readonly degradedAfter?: Duration.Input
  /** Until all is answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

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
