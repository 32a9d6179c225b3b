/**
 * A connection of one check's own, to addresses that are asked anew.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"
import * as Tls from "node:tls"

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import { connecting, firstOf } from "./attempts.ts"
import { endpoint, resolve } from "./resolve.ts"
import { codeOf } from "./systemError.ts"

export interface To {
  /** A name or an address, without brackets. */
  readonly host: string
  readonly port: number
  readonly tls: Tls.ConnectionOptions | undefined
  /** A unix socket in place of host and port. */
  readonly socketPath: string | undefined
  readonly dnsServers: ReadonlyArray<string> | undefined
  /** All the time that there is. */
  readonly timeout: Duration.Duration
}

/** What was seen on the way; it grows while a check runs, so that one that is cut short can tell as well. */
export interface Route {
  /** What it is that leads there; `undefined` before the first attempt. */
  by: "name" | "address" | "socket" | undefined
  resolved: ReadonlyArray<string>
  connected: string | undefined
  /** Addresses that were tried in vain before, and why. */
  failed: ReadonlyArray<string>
}

export const unseen = (): Route => ({ by: undefined, resolved: [], connected: undefined, failed: [] })

/** For a name: where it led. An address is its own story. */
export const routeLines = ({ by, connected, failed, resolved }: Route): ReadonlyArray<string> => {
  if (by !== "name") return []
  if (resolved.length === 0) return ["its name was not resolved"]
  const reached = connected === undefined ? "not connected" : `connected ${connected}`
  return [`${reached}, resolved ${resolved.join(", ")}`, ...failed]
}

export const isSecure = ({ protocol }: URL): boolean => protocol === "https:" || protocol === "wss:"

export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, "")

/** The port that a URL has, or its protocol. */
export const portOf = (url: URL): number => (url.port === "" ? (isSecure(url) ? 443 : 80) : Number(url.port))

/** What TLS needs to know: the name for which the certificate must be, unless it is told. */
export const tlsFor = (url: URL, told: Tls.ConnectionOptions | undefined): Tls.ConnectionOptions | undefined => {
  if (!isSecure(url)) return undefined
  const host = hostOf(url)
  return { ...(Net.isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ["http/1.1"], ...told }
}

/** Connected; with TLS, the handshake goes on. Fails with a code. Its scope destroys it. */
export const open = Effect.fnUntraced(function* (
  { dnsServers, host, port, socketPath, timeout, tls }: To,
  route: Route
): Effect.fn.Return<Net.Socket, string, Scope.Scope> {
  const dial = (where: { readonly path: string } | { readonly host: string; readonly port: number }) =>
    tls === undefined ? Net.connect(where) : Tls.connect({ ...tls, ...where })
  const at = (where: Parameters<typeof dial>[0]) => connecting(() => dial(where))
  if (socketPath !== undefined) {
    route.by = "socket"
    const socket = yield* at({ path: socketPath })
    route.connected = socketPath
    return socket
  }
  route.by = Net.isIP(host) === 0 ? "name" : "address"
  const to = (address: string) => ({ host: address, port })
  if (Net.isIP(host) !== 0) {
    const socket = yield* at(to(host))
    route.connected = endpoint(host, port)
    return socket
  }
  const [took, addresses] = yield* Effect.timed(resolve(host, dnsServers))
  route.resolved = addresses
  const vain = (address: string, why: string) => {
    route.failed = [...route.failed, `${endpoint(address, port)}: ${why}`]
  }
  const left = Duration.subtract(timeout, took)
  const found = yield* firstOf(addresses, (address) => dial(to(address)), left, vain)
  for (const address of found.silent) vain(address, "no answer yet")
  route.connected = endpoint(found.address, port)
  return found.socket
})

/** Why a socket is of no use any more, if it is: its events are over before anybody else listens. */
export const deadCode = (socket: Net.Socket): string | undefined =>
  socket.destroyed ? (socket.errored ? codeOf(socket.errored) : "closed without an answer") : undefined
