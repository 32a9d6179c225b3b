/**
 * What a TLS server shows to whoever connects.
 *
 * @since 0.1.0
 */
import type { X509Certificate } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { deadCode, open, type Route, unseen } from "./httpConnection.ts"
import { codeOf } from "./systemError.ts"

export interface Peer {
  /** As they were sent, the server's own first. */
  readonly certificates: ReadonlyArray<X509Certificate>
  /** For example `TLSv1.2`. */
  readonly protocol: string | undefined
  /** Why the handshake did not come to its end; a server that wants to see our certificate has shown its own by then. */
  readonly code: string | undefined
  /** The address that answered. */
  readonly address: string | undefined
}

/** More than OpenSSL takes. */
const mostCertificates = 100

const sentBy = (socket: Tls.TLSSocket): ReadonlyArray<X509Certificate> => {
  const certificates: Array<X509Certificate> = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && certificates.length < mostCertificates) {
    certificates.push(next)
    next = next.issuerCertificate
  }
  return certificates
}

const handshake = (socket: Net.Socket) =>
  Effect.callback<Peer>((resume) => {
    let shown: Omit<Peer, "address" | "code"> = { certificates: [], protocol: undefined }
    const address = socket.remoteAddress
    // Where there are certificates there still is a connection of OpenSSL's: to ask for the protocol of one that is gone
    // ends the process, as of Node 24.
    const look = () => {
      const certificates = socket instanceof Tls.TLSSocket ? sentBy(socket) : []
      if (socket instanceof Tls.TLSSocket && certificates.length > 0) {
        shown = { certificates, protocol: socket.getProtocol() ?? undefined }
      }
    }
    const seen = (code: string | undefined) => resume(Effect.succeed({ ...shown, code, address }))
    const dead = deadCode(socket)
    if (dead !== undefined) return seen(dead)
    // Comes as soon as the server has shown its certificates, with a response or without. A handshake that fails later
    // leaves nothing to look at.
    socket.on("OCSPResponse", look)
    socket.once("secureConnect", () => {
      look()
      seen(undefined)
    })
    socket.on("error", (error) => seen(codeOf(error)))
    socket.on("close", () => seen("closed without an answer"))
    // It may have been quicker than we.
    look()
    if (shown.certificates.length > 0) seen(undefined)
  })

/** Everything is accepted here, as it is only looked at: nothing is sent, and no secret is involved. */
const lenient: Tls.ConnectionOptions = {
  rejectUnauthorized: false,
  // Without roots, nothing is added to what the server sends.
  ca: [],
  requestOCSP: true,
  minVersion: "TLSv1",
  ciphers: "DEFAULT:@SECLEVEL=0"
}

/** Where to connect. */
export interface To {
  readonly host: string
  readonly port: number
  readonly servername: string
  readonly dnsServers: ReadonlyArray<string> | undefined
  readonly timeout: Duration.Duration
}

const opened = ({ servername, ...to }: To, tls: Tls.ConnectionOptions, route: Route) => {
  // RFC 6066: an address is no name.
  const name = Net.isIP(servername) === 0 ? { servername: servername.replace(/\.$/, "") } : {}
  return open({ ...to, socketPath: undefined, tls: { ...tls, ...name } }, route)
}

/** Fails with the system's code where there is no connection. */
export const peerOf = (to: To, route: Route): Effect.Effect<Peer, string> =>
  Effect.scoped(Effect.flatMap(opened(to, lenient, route), handshake))

/** What OpenSSL says of a certificate has a code of its own, which is not one of the system's. */
const isSystems = (code: string): boolean => /^E[A-Z0-9]+$/.test(code) && code !== "EPROTO"

export interface Refusal {
  readonly code: string
  readonly why: string
}

/**
 * Connects as clients do, and says why they would turn away; fails with the system's code where there is no connection.
 * Whom the certificate is for is left out. Without roots, Node's are trusted.
 */
export const refusalOf = (
  to: To,
  { minVersion, roots }: { readonly minVersion: Tls.SecureVersion; readonly roots: ReadonlyArray<string> | undefined }
): Effect.Effect<Refusal | undefined, string> => {
  const strict: Tls.ConnectionOptions = {
    checkServerIdentity: () => undefined,
    minVersion,
    ...(roots === undefined ? {} : { ca: [...roots] }),
    // Older versions work without security only, as of OpenSSL 3.
    ...(minVersion === "TLSv1" || minVersion === "TLSv1.1" ? { ciphers: "DEFAULT:@SECLEVEL=0" } : {})
  }
  const judgement = (socket: Net.Socket) =>
    Effect.callback<Refusal | undefined, string>((resume) => {
      const refuse = (error: Error) => {
        const code = codeOf(error)
        resume(isSystems(code) ? Effect.fail(code) : Effect.succeed({ code, why: error.message }))
      }
      if (socket.errored) return refuse(socket.errored)
      if (socket instanceof Tls.TLSSocket && socket.authorized) return resume(Effect.undefined)
      const dead = deadCode(socket)
      if (dead !== undefined) return resume(Effect.fail(dead))
      socket.once("secureConnect", () => resume(Effect.undefined))
      socket.on("error", refuse)
      socket.on("close", () => resume(Effect.fail("closed without an answer")))
    })
  return Effect.scoped(Effect.flatMap(opened(to, strict, unseen()), judgement))
}
