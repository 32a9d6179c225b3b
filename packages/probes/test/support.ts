import * as Http from "node:http"
import * as Net from "node:net"

import { assert } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import type * as Verdict from "@nexobot/core/Verdict"
import { eventually } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** The signature of a verdict that has one. */
export const signatureOf = <S extends Verdict.Signature>(verdict: Verdict.Verdict<S>): S => {
  if ("signature" in verdict) return verdict.signature
  throw new Error(`no signature: ${JSON.stringify(verdict)}`)
}

/** The probe, with what it needs. */
export const provided = <S extends Verdict.Signature, R>(
  probe: Probe.Probe<S, R>,
  layer: Layer.Layer<R>
): Probe.Probe<S> => ({ ...probe, check: Effect.provide(probe.check, layer) })

// Servers

export interface TestServer {
  readonly port: number
  /** Connections accepted so far. */
  readonly accepted: () => number
  /** Waits until nobody is connected any more. */
  readonly abandoned: Effect.Effect<void>
}

const serving = (server: Net.Server): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<TestServer>((resume) => {
      const sockets = new Set<Net.Socket>()
      let accepted = 0
      server.on("connection", (socket: Net.Socket) => {
        accepted += 1
        sockets.add(socket)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        if (address === null || typeof address === "string") throw new Error("no port")
        const abandoned = eventually(
          "every connection is closed",
          Effect.sync(() => (sockets.size === 0 ? true : undefined))
        )
        resume(Effect.succeed({ port: address.port, accepted: () => accepted, abandoned: Effect.asVoid(abandoned) }))
      })
      server.on("close", () => {
        for (const socket of sockets) socket.destroy()
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.emit("close")
      })
  )

export const tcpServer = (onConnection: (socket: Net.Socket) => void) =>
  serving(
    Net.createServer((socket) => {
      onConnection(socket)
      // Who does not read does not learn that the other side closed.
      socket.resume()
    })
  )

export const httpServer = (listener: Http.RequestListener) => serving(Http.createServer(listener))

/** A port on which nobody listens. */
export const freePort = Effect.map(Effect.scoped(tcpServer(() => {})), (server) => server.port)

/** Sends a signal, and makes sure that it was sent. */
export const signal = (identity: ProcessIdentity.ProcessIdentity, name: NodeJS.Signals) =>
  Effect.map(ProcessIdentity.signal(identity, name), (sent) => assert.isTrue(sent))
