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

import { resolve } from "./resolve.ts"
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
  resolved: ReadonlyArray<string>
  connected: string | undefined
  /** Addresses that were tried in vain, and why. */
  failed: ReadonlyArray<string>
}

export const unseen = (): Route => ({ resolved: [], connected: undefined, failed: [] })

/** For a name: where it led. An address is its own story. */
export const routeLines = ({ connected, failed, resolved }: Route): ReadonlyArray<string> => {
  if (resolved.length === 0) return []
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

/** An address has its share of the time, so that one that drops packets leaves some to those behind it. */
const longestAttempt = Duration.seconds(1)

const connecting = (make: () => Net.Socket): Effect.Effect<Net.Socket, string, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(Effect.sync(make), (socket) => Effect.sync(() => socket.destroy())),
    (socket) =>
      Effect.callback<Net.Socket, string>((resume) => {
        socket.once("connect", () => resume(Effect.succeed(socket)))
        // It stays: an error that nobody listens to would end the process.
        socket.on("error", (error) => resume(Effect.fail(codeOf(error))))
        return Effect.sync(() => socket.destroy())
      })
  )

/** Connected; with TLS, the handshake goes on. Fails with a code. Its scope destroys it. */
export const open = Effect.fnUntraced(function* (
  { dnsServers, host, port, socketPath, timeout, tls }: To,
  route: Route
): Effect.fn.Return<Net.Socket, string, Scope.Scope> {
  const at = (where: { readonly path: string } | { readonly host: string; readonly port: number }) =>
    connecting(() => (tls === undefined ? Net.connect(where) : Tls.connect({ ...tls, ...where })))
  if (socketPath !== undefined) {
    const socket = yield* at({ path: socketPath })
    route.connected = socketPath
    return socket
  }
  const addresses = yield* resolve(host, dnsServers)
  if (Net.isIP(host) === 0) route.resolved = addresses
  const share = Duration.min(longestAttempt, Duration.divideUnsafe(timeout, addresses.length + 1))
  let last = "ENOTFOUND"
  for (const [index, address] of addresses.entries()) {
    const attempt = at({ host: address, port })
    const limited =
      index === addresses.length - 1
        ? attempt
        : Effect.timeoutOrElse(attempt, { duration: share, orElse: () => Effect.fail("ETIMEDOUT") })
    const tried = yield* Effect.result(limited)
    const shown = Net.isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
    if (tried._tag === "Success") {
      route.connected = shown
      return tried.success
    }
    last = tried.failure
    if (route.resolved.length > 0) route.failed = [...route.failed, `${shown}: ${last}`]
  }
  return yield* Effect.fail(last)
})

/** Why a socket is of no use any more, if it is: its events are over before anybody else listens. */
export const deadCode = (socket: Net.Socket): string | undefined =>
  socket.destroyed ? (socket.errored ? codeOf(socket.errored) : "closed without an answer") : undefined
