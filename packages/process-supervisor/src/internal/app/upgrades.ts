/**
 * Connections that an app took over by an upgrade, such as WebSockets.
 */
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"

export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex & { readonly bytesWritten: number }
  /** When it was asked for: whoever has written since has agreed. */
  readonly bytesWritten: number
  told: boolean
}

/** Tells the peer of an upgraded connection that this process ends. */
export type TellUpgraded = (socket: Duplex, request: IncomingMessage) => void

/** The frame "close, 1001: going away" of RFC 6455, from a server. It may stand between any two frames. */
const goingAway = Buffer.from([0x88, 0x02, 0x03, 0xe9])

/** Unless told otherwise; of other protocols nothing is known. */
export const tellWebSocket: TellUpgraded = (socket, request) => {
  if (request.headers.upgrade?.toLowerCase() === "websocket") socket.write(goingAway)
}

/** Once, and not before the app has agreed to the upgrade: the answer would not be one of HTTP. */
export const tell = (upgrade: Upgrade, tellUpgraded: TellUpgraded): void => {
  const { bytesWritten, request, socket, told } = upgrade
  if (told || !socket.writable || socket.bytesWritten === bytesWritten) return
  upgrade.told = true
  tellUpgraded(socket, request)
}
