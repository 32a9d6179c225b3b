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

import { deadCode, open, type Route } from "./httpConnection.ts"
import { codeOf } from "./systemError.ts"

export interface Peer {
  /** As they were sent, the server's own first. */
  readonly certificates: ReadonlyArray<X509Certificate>
  /** For example `TLSv1.2`. */
  readonly protocol: string | undefined
  /** Why the handshake did not come to its end; a server that wants to see our certificate has shown its own by then. */
  readonly code: string | undefined
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
    let shown: Omit<Peer, "code"> = { certificates: [], protocol: undefined }
    // Where there are certificates there still is a connection of OpenSSL's: to ask for the protocol of one that is gone
    // ends the process, as of Node 24.
    const look = () => {
      const certificates = socket instanceof Tls.TLSSocket ? sentBy(socket) : []
      if (socket instanceof Tls.TLSSocket && certificates.length > 0) {
        shown = { certificates, protocol: socket.getProtocol() ?? undefined }
      }
    }
    const seen = (code: string | undefined) => resume(Effect.succeed({ ...shown, code }))
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

/** Fails with the system's code where there is no connection. */
export const peerOf = (
  to: {
    readonly host: string
    readonly port: number
    readonly servername: string
    readonly dnsServers: ReadonlyArray<string> | undefined
    readonly timeout: Duration.Duration
  },
  route: Route
): Effect.Effect<Peer, string> => {
  // RFC 6066: an address is no name.
  const name = Net.isIP(to.servername) === 0 ? { servername: to.servername.replace(/\.$/, "") } : {}
  return Effect.scoped(
    Effect.flatMap(open({ ...to, socketPath: undefined, tls: { ...lenient, ...name } }, route), handshake)
  )
}
