/**
 * The client's side of a WebSocket, as a sequence of events.
 *
 * @since 0.1.0
 */
import type * as Net from "node:net"

import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { type RawData, WebSocket } from "ws"

import { codeOf } from "./systemError.ts"

export type Event =
  | { readonly _tag: "Opened" }
  | { readonly _tag: "Message"; readonly bytes: Uint8Array }
  /** No handshake: another status than 101, or a 101 that does not keep the protocol. */
  | { readonly _tag: "Refused"; readonly status: number; readonly why: string }
  /** It ended after the handshake. */
  | { readonly _tag: "Closed"; readonly code: number; readonly reason: string }
  /** It ended before. */
  | { readonly _tag: "Broken"; readonly code: string }

export interface Settings {
  readonly url: URL
  readonly protocols: ReadonlyArray<string>
  readonly headers: Readonly<Record<string, string>>
  readonly origin: string | undefined
  /** Sent after the handshake. */
  readonly send: string | undefined
  /** Messages that are taken, at most. */
  readonly messages: number
}

const bounds = {
  maxPayload: 1024 * 1024,
  // A compressed message can be larger than it looks.
  perMessageDeflate: false,
  // Milliseconds that a server has to end the connection after its close frame; `ws` would wait for half a minute.
  closeTimeout: 100
}

/** The codes with which a connection is closed by the one who cannot take what came (RFC 6455, 7.4.1). */
const closeCodes: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008
}

const closeCodeOf = (code: string): number => closeCodes[code] ?? (code.startsWith("WS_ERR_") ? 1002 : 1006)

const bytesOf = (data: RawData): Uint8Array =>
  Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? new Uint8Array(data) : data

/** Speaks over the socket, which is of no use to anybody else afterwards. */
export const talk = Effect.fnUntraced(function* (
  socket: Net.Socket,
  { headers, messages, origin, protocols, send, url }: Settings
): Effect.fn.Return<Queue.Dequeue<Event>, never, Scope.Scope> {
  const events = yield* Queue.unbounded<Event>()
  const tell = (event: Event) => void Queue.offerUnsafe(events, event)
  let shook = false
  let opened = false
  let received = 0
  const listen = () => {
    const client = new WebSocket(url, [...protocols], {
      createConnection: () => socket,
      headers: { ...headers },
      ...(origin === undefined ? {} : { origin }),
      ...bounds
    })
    client.on("unexpected-response", (request, { statusCode: status = 0 }) => {
      tell({ _tag: "Refused", status, why: `status ${status}` })
      request.destroy()
    })
    client.on("upgrade", () => {
      shook = true
    })
    client.on("open", () => {
      opened = true
      tell({ _tag: "Opened" })
      if (send !== undefined) client.send(send)
    })
    client.on("message", (data) => {
      received += 1
      if (received <= messages) tell({ _tag: "Message", bytes: bytesOf(data) })
      else client.terminate()
    })
    client.on("error", (error) => {
      const code = codeOf(error)
      if (opened) tell({ _tag: "Closed", code: closeCodeOf(code), reason: error.message })
      else if (shook) tell({ _tag: "Refused", status: 101, why: error.message })
      else tell({ _tag: "Broken", code })
    })
    client.on("close", (code, reason) => {
      if (opened) tell({ _tag: "Closed", code, reason: reason.toString("utf8") })
      else tell({ _tag: "Broken", code: "closed without an answer" })
    })
    return client
  }
  yield* Effect.acquireRelease(Effect.sync(listen), (client) => Effect.sync(() => client.terminate()))
  return events
})
