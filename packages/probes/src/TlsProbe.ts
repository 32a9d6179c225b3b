/**
 * Looks at a certificate and all that it rests on, in a file or as a server shows it, and names the weakest link.
 *
 * The connection is only for looking: nothing is sent, no secret is involved, and a bad chain does not end it, so that an
 * expired certificate still tells when it expired. A server in whose chain nothing is wrong is then asked a second time,
 * as clients do: OpenSSL refuses more than is looked for here.
 *
 * @since 0.1.0
 */
import type { X509Certificate } from "node:crypto"
import * as Net from "node:net"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

import * as Certificate from "./internal/certificate.ts"
import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { reachOf } from "./internal/reach.ts"
import { checkedRenewal } from "./internal/renewal.ts"
import { checkedServers } from "./internal/resolve.ts"
import { type Fault, faultsOf, type Signature, weakestLine } from "./internal/tlsFaults.ts"
import * as Look from "./internal/tlsLook.ts"
import type { Refusal } from "./internal/tlsPeer.ts"
import * as S from "./internal/tlsSignatures.ts"

export * from "./internal/tlsSignatures.ts"

/**
 * What renews the certificate, on this machine: a timer of systemd, or a file with a job for cron.
 *
 * @category models
 * @since 0.1.0
 */
export type Renewal =
  | {
      /** Its unit, for example `certbot.timer`. */
      readonly timer: string
      /** Whether it is one of this user's own manager; `false` unless told. */
      readonly user?: boolean
      /** How long ago it may have run last. Any time unless told. */
      readonly within?: Duration.Input
    }
  | {
      /** For example `/etc/cron.d/renew-shop`. Only that a line of it is a job is looked at, not what the job does. */
      readonly cron: string
    }

interface CommonOptions {
  readonly name: string
  /** Roots that are trusted in place of Node's, in PEM: their text, not their path. Node's unless told. */
  readonly ca?: string | ReadonlyArray<string>
  /** Less time left is Degraded; 21 days unless told, or `failBefore` if that is longer. */
  readonly warnBefore?: Duration.Input
  /** Less time left is Unhealthy; 7 days unless told, or `warnBefore` if that is shorter. */
  readonly failBefore?: Duration.Input
  /** Whether it runs is looked at too. Nothing unless told. */
  readonly renewal?: Renewal
  /** Until the chain has been seen, and as long again until OpenSSL has judged it; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TlsServerOptions extends CommonOptions {
  readonly host: string
  /** 443 unless told. */
  readonly port?: number
  /** The name that the server is asked for, and the certificate must have; the host unless told. */
  readonly servername?: string
  /**
   * The oldest version that will do for the newest that the server speaks; `TLSv1.2` unless told. Below that, keys and
   * signatures may be of any strength.
   */
  readonly minVersion?: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3"
  /** DNS servers to ask in place of the system's, each as `ip`, `ip:port` or `[ip]:port`. */
  readonly dnsServers?: ReadonlyArray<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TlsFileOptions extends CommonOptions {
  /** In PEM, as servers want it: the certificate, and behind it those that it rests on. */
  readonly file: string
  /** A name or address that the certificate must have. Any unless told. */
  readonly servername?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export type TlsProbeOptions = TlsServerOptions | TlsFileOptions

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | S.Expired
  | S.Expiring
  | S.NotYetValid
  | S.SelfSigned
  | S.UntrustedRoot
  | S.IncompleteChain
  | S.Refused
  | S.NoCertificate
  | Given<O, "host", S.Unreachable | S.Timeout | S.ProtocolTooOld | S.WrongHost>
  | Given<O, "file", S.WrongOrder>
  | Given<O, "servername", S.WrongHost>
  | Given<O, "renewal", S.RenewalTimerInactive>

const checks = Options.checks("TlsProbe")

const common = ["name", "servername", "ca", "warnBefore", "failBefore", "renewal", "timeout"]

const checkedRoots = (ca: NonNullable<TlsProbeOptions["ca"]>): ReadonlyArray<X509Certificate> =>
  [ca].flat().flatMap((text: unknown) => {
    const roots = typeof text === "string" ? Certificate.parsePem(text) : undefined
    // An intermediate here would hide that it is missing there. A text that is no certificate may be a private key.
    return roots !== undefined && roots.length > 0 && roots.every(Certificate.isSelfSigned)
      ? roots
      : checks.fail("ca", Redacted.make(text), "certificates of roots, in PEM")
  })

const checkedLimits = (options: TlsProbeOptions) => {
  const limitOf = (option: "warnBefore" | "failBefore") => {
    const value = options[option]
    return value === undefined ? undefined : checks.duration(option, value)
  }
  const [warn, fail] = [limitOf("warnBefore"), limitOf("failBefore")]
  if (warn !== undefined && fail !== undefined && Duration.isGreaterThan(fail, warn)) {
    checks.fail("failBefore", fail, `at most warnBefore, ${Duration.format(warn)}`)
  }
  return {
    warnBefore: warn ?? Duration.max(Duration.days(21), fail ?? Duration.zero),
    failBefore: fail ?? Duration.min(Duration.days(7), warn ?? Duration.infinity)
  }
}

/** Where to look, and what only that place can have. */
const placeOf = (
  options: TlsProbeOptions,
  roots: ReadonlyArray<X509Certificate> | undefined,
  timeout: Duration.Duration
) => {
  const servername = options.servername === undefined ? undefined : checks.host("servername", options.servername)
  if ("file" in options) {
    checks.known(options, [...common, "file"])
    const file = checks.nonEmptyString("file", options.file)
    const about = { target: `file://${file}`, shown: file, host: servername, reach: "host" } as const
    return { ...about, look: Look.inFile(file, timeout), reports: [S.WrongOrder] }
  }
  checks.known(options, [...common, "host", "port", "minVersion", "dnsServers"])
  const host = checks.host("host", options.host)
  const port = checks.port("port", options.port ?? 443)
  const shown = `${Net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const look = Look.ofServer({
    host,
    port,
    target: shown,
    servername: servername ?? host,
    minVersion: checks.oneOf("minVersion", options.minVersion ?? "TLSv1.2", Look.versions),
    dnsServers: checkedServers(checks, "dnsServers", options.dnsServers),
    roots: roots?.map(String),
    timeout
  })
  const about = { target: `tls://${shown}`, shown, host: servername ?? host, reach: reachOf(host) }
  return { ...about, look, reports: [S.Unreachable, S.Timeout, S.ProtocolTooOld] }
}

const refused = (target: string, refusal: Refusal, redactor: Redactor): Fault => {
  const why = excerpt(refusal.why, redactor)
  const signature = new S.Refused({ target, code: excerpt(refusal.code, redactor), why })
  return { signature, isDefect: false, says: `clients refuse it: ${signature.code}: ${why}` }
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends TlsProbeOptions>(
  options: Exactly<O, O extends { readonly file: unknown } ? TlsFileOptions : TlsServerOptions>
): Probe.Probe<Found<O>> => {
  checks.known(options, [...common, "file", "host", "port", "minVersion", "dnsServers"])
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  const roots = options.ca === undefined ? undefined : checkedRoots(options.ca)
  const { host, look, reach, reports, shown, target } = placeOf(options, roots, timeout)
  const limits = checkedLimits(options)
  const renewal = checkedRenewal(checks, options.renewal)

  /** What is wrong with the renewal, or why that cannot be said. */
  const renewing = (renewal?.answer ?? Effect.undefined).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail("no answer in time") }),
    Effect.result
  )
  const check = Effect.gen(function* () {
    const [seen, renewed] = yield* Effect.all([look, renewing], { concurrency: 2 })
    const [leaf] = seen.certificates
    const redactor = yield* Redactor
    const chain = Certificate.chainOf(leaf, seen.certificates, roots ?? Certificate.trustedRoots())
    const now = yield* Clock.currentTimeMillis
    const one = { target: shown, leaf, chain, host, now, ...limits, redactor }
    const own: ReadonlyArray<Fault> = [...seen.faults, ...faultsOf(one)]
    // What is known to keep clients away needs no second opinion.
    const refusal = own.some(({ isDefect }) => !isDefect) ? undefined : yield* seen.refusal(chain)
    const faults = refusal === undefined ? own : [refused(shown, refusal, redactor), ...own]
    const unknown = renewed._tag === "Failure" ? excerpt(renewed.failure, redactor) : undefined
    const said = renewed._tag === "Success" ? renewed.success : undefined
    const state = said === undefined ? undefined : excerpt(said, redactor)
    const by = renewal?.by ?? ""
    const notRenewing: ReadonlyArray<Fault> =
      state === undefined
        ? []
        : [
            {
              signature: new S.RenewalTimerInactive({ target: shown, renewal: by, state }),
              isDefect: true,
              says: `not renewed: ${by} is ${state}`
            }
          ]
    // What cannot wait comes first, and a cause before its effect.
    const ordered = [
      ...faults.filter(({ isDefect }) => !isDefect),
      ...notRenewing,
      ...faults.filter(({ isDefect }) => isDefect)
    ]
    const [worst] = ordered
    const about = [weakestLine(one), ...(unknown === undefined ? [] : [`renewal: ${unknown}`]), ...seen.lines]
    if (worst === undefined) {
      return unknown === undefined
        ? Verdict.healthyWith(about.map((line) => `${shown}: ${line}`))
        : Verdict.inconclusive(`${shown}: whether ${by} renews it: ${unknown}`)
    }
    const evidence = [...ordered.map(({ says }) => says), ...about].map((line) => `${shown}: ${line}`)
    return (worst.isDefect ? Verdict.degraded<Signature> : Verdict.unhealthy<Signature>)(worst.signature, evidence)
  }).pipe(Effect.catch((verdict) => Effect.succeed(verdict)))

  const { name, ...asked } = options
  const probe = Probe.make({
    name,
    reports: [
      S.Expired,
      S.Expiring,
      S.NotYetValid,
      S.SelfSigned,
      S.UntrustedRoot,
      S.IncompleteChain,
      S.Refused,
      S.NoCertificate,
      ...(host === undefined ? [] : [S.WrongHost]),
      ...reports,
      ...(renewal === undefined ? [] : [S.RenewalTimerInactive])
    ],
    target,
    // A server whose chain looks good is connected to once more.
    timeout: host === undefined ? timeout : Duration.times(timeout, 2),
    reach,
    question: ["TlsProbe", asked],
    check
  })
  // What only a server or a file can have, or only an option looks for, is neither declared nor found elsewhere.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
