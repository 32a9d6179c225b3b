/**
 * Where `TlsProbe` finds certificates: in a file, or at a server.
 *
 * @since 0.1.0
 */
import type { X509Certificate } from "node:crypto"

import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Certificate from "./certificate.ts"
import { excerpt } from "./excerpt.ts"
import { routeLines, unseen } from "./httpConnection.ts"
import { readSmallFile } from "./smallFile.ts"
import { ownFault } from "./systemError.ts"
import type { Fault } from "./tlsFaults.ts"
import { peerOf, type Refusal, refusalOf } from "./tlsPeer.ts"
import * as S from "./tlsSignatures.ts"

export const versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const

type Version = (typeof versions)[number]

/** Chains take a few kilobytes, bundles of all roots some hundred. */
const largestFile = 1_048_576

/** Servers do not send more than a handful. */
const mostCertificates = 50

/** What was seen; it fails with the verdict when there is nothing to see. */
export interface Seen {
  readonly certificates: readonly [X509Certificate, ...ReadonlyArray<X509Certificate>]
  readonly faults: ReadonlyArray<Fault>
  readonly lines: ReadonlyArray<string>
  /** Why clients refuse a chain in which nothing else is wrong. */
  readonly refusal: (chain: Certificate.Chain) => Effect.Effect<Refusal | undefined, Verdict.Verdict<OfPlace>>
}

type OfPlace = S.NoCertificate | S.Unreachable | S.Timeout

export type Look = Effect.Effect<Seen, Verdict.Verdict<OfPlace>>

const nothingAt = (target: string, why: string, lines: ReadonlyArray<string> = []) =>
  Effect.fail(Verdict.unhealthy(new S.NoCertificate({ target, why }), [`${target}: no certificate: ${why}`, ...lines]))

const shown = (chain: Certificate.Chain) => Effect.succeed(Certificate.weaknessOf(chain))

/** What a server that had this file would send. */
export const inFile = (target: string, timeout: Duration.Duration): Look =>
  readSmallFile(target, largestFile).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail("it could not be read in time") }),
    Effect.catch((code): Effect.Effect<string, Verdict.Verdict<S.NoCertificate>> =>
      /^E(NOENT|NOTDIR|LOOP|ISDIR|NOTFILE|FBIG)$/.test(code)
        ? nothingAt(target, code)
        : Effect.fail(Verdict.inconclusive(`${target}: ${ownFault(code) ?? code}`))
    ),
    Effect.flatMap((text): Look => {
      const found = Certificate.parsePem(text)?.slice(0, mostCertificates)
      if (found === undefined) return nothingAt(target, "a certificate in it cannot be read")
      const [first] = found
      if (first === undefined) return nothingAt(target, "none in it")
      // Its own is the one that has issued no other.
      const own = found.find((one) => !Certificate.isIssuerAmong(one, found)) ?? first
      if (own === first)
        return Effect.succeed({ certificates: [first, ...found], faults: [], lines: [], refusal: shown })
      return Effect.map(Redactor, (redactor) => {
        const subject = excerpt(Certificate.nameOf(first), redactor)
        const signature = new S.WrongOrder({ target, subject })
        const says = `"${subject}" stands before the certificate that it has issued`
        return {
          certificates: [own, ...found],
          faults: [{ signature, isDefect: false, says }],
          lines: [],
          refusal: shown
        }
      })
    })
  )

export interface Server {
  readonly host: string
  readonly port: number
  /** As it is shown. */
  readonly target: string
  readonly servername: string
  readonly minVersion: Version
  /** In PEM; Node's unless told. */
  readonly roots: ReadonlyArray<string> | undefined
  readonly dnsServers: ReadonlyArray<string> | undefined
  readonly timeout: Duration.Duration
}

/** What a server shows, and how it speaks. */
export const ofServer = (server: Server): Look => {
  const { minVersion, target, timeout } = server
  const tooOld = new Set<string>(versions.slice(0, versions.indexOf(minVersion)))
  return Effect.suspend((): Look => {
    const route = unseen()
    const unreachable = (code: string): Effect.Effect<never, Verdict.Verdict<S.Unreachable>> => {
      const why = ownFault(code)
      if (why !== undefined) return Effect.fail(Verdict.inconclusive(`${target}: ${why}`))
      const says = [`${target}: ${code}`, ...routeLines(route)]
      return Effect.fail(Verdict.unhealthy(new S.Unreachable({ target, code }), says))
    }
    const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.timeoutOrElse(effect, {
        duration: timeout,
        orElse: () => {
          const connected = route.connected !== undefined
          const says = `${target}: ${connected ? "connected, no certificate" : "no connection"} in time`
          return Effect.fail(
            Verdict.unhealthy(new S.Timeout({ target, after: timeout, connected }), [says, ...routeLines(route)])
          )
        }
      })
    return peerOf(server, route).pipe(
      Effect.catch(unreachable),
      Effect.flatMap(({ address = server.host, certificates: [own, ...others], code, protocol = "" }): Look => {
        if (own === undefined) {
          const why = code ?? "none shown"
          // What OpenSSL says is about what came from there; the rest is about the connection.
          return code === undefined || /^(ERR_|EPROTO)/.test(code)
            ? nothingAt(target, why, routeLines(route))
            : unreachable(code)
        }
        const signature = new S.ProtocolTooOld({ target, protocol, minVersion })
        const old: Fault = { signature, isDefect: false, says: `speaks ${protocol}, at least ${minVersion} expected` }
        return Effect.succeed({
          certificates: [own, ...others],
          faults: tooOld.has(protocol) ? [old] : [],
          lines: routeLines(route),
          // One that ends the handshake, as it wants to see our certificate, lets nobody judge.
          refusal:
            code === undefined
              ? () => refusalOf({ ...server, host: address }, server).pipe(Effect.catch(unreachable), inTime)
              : shown
        })
      }),
      inTime
    )
  })
}
