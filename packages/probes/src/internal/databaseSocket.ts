/**
 * What the adapters of databases share: a socket of their own below the driver, and errors without secrets.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

import * as Redaction from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

import * as Database from "../Database.ts"
import { excerpt } from "./excerpt.ts"
import { lookupOf, resolve } from "./resolve.ts"
import { ownFault } from "./systemError.ts"

/** What a server says until it has let us in, and in one session altogether; who says more is no database to ask. */
const mostAtLogin = 64 * 1024
const mostInSession = 64 * 1024 * 1024

const tooMuch = (most: number) => Object.assign(new Error(`more than ${most} bytes`), { code: "EMSGSIZE" })

/** The sockets of one session. */
export interface Sockets {
  readonly open: (options: Net.NetConnectOpts) => Net.Socket
  /** As a driver gets it, which has to listen at once: it flows. */
  readonly bounded: (socket: Net.Socket) => Net.Socket
  readonly destroy: () => void
  /** We are in. */
  readonly loggedIn: () => void
}

/**
 * Gives a driver its socket. Drivers say goodbye and wait for an answer, or cancel what runs and wait for that: a frozen
 * server gives none. So the socket is destroyed here when the scope closes, whatever the driver thinks.
 */
export const sockets: Effect.Effect<Sockets, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const opened = new Set<Net.Socket>()
    let most = mostAtLogin
    return {
      open: (options: Net.NetConnectOpts): Net.Socket => {
        const socket = Net.connect(options)
        opened.add(socket)
        socket.setNoDelay(true)
        // Drivers take their listeners away before the last error came.
        socket.on("error", () => {})
        return socket
      },
      bounded: (socket: Net.Socket): Net.Socket =>
        socket.on("data", () => {
          if (socket.bytesRead > most) socket.destroy(tooMuch(most))
        }),
      destroy: () => {
        for (const socket of opened) socket.destroy()
      },
      loggedIn: () => {
        most = mostInSession
      }
    }
  }),
  ({ destroy }) => Effect.sync(destroy)
)

export type Reason = Database.DatabaseError["reason"]

/** Makes the errors of one database; what they show is redacted. */
export const failing = (target: string, password: Redacted.Redacted | undefined) => {
  const own = Redaction.make(password === undefined ? [] : [password])
  return (reasonOf: (shown: (message: string) => string) => Reason): Effect.Effect<never, Database.DatabaseError> =>
    Effect.flatMap(Redaction.Redactor, (redactor) => {
      const both = Redaction.andThen(own, redactor)
      return Effect.fail(new Database.DatabaseError({ target, reason: reasonOf((text) => excerpt(text, both)) }))
    })
}

/** No connection, or a broken one: the system's code, or what the driver says. */
export const broken = (code: string): Reason => {
  const why = ownFault(code)
  return why === undefined ? new Database.Unreachable({ code }) : new Database.OwnFault({ why })
}

/** Where a socket of it leads, asked anew each time. Fails with the system's code. */
export const addressOf = (host: string, port: number): Effect.Effect<Net.NetConnectOpts, string> =>
  Effect.map(resolve(host), (addresses) => ({ host, port, lookup: lookupOf(addresses) }))
