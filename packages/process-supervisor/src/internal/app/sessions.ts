/**
 * The HTTP/2 sessions of one server.
 */
import type { ServerHttp2Session } from "node:http2"

export type ServerSession = Pick<ServerHttp2Session, "close" | "closed" | "destroy" | "destroyed" | "goaway" | "once">

export interface Sessions {
  readonly add: (session: ServerSession, onClose: () => void) => void
  readonly size: () => number
  /** Asks for no new streams; one that is on its way is served all the same. */
  readonly announce: () => void
  /** No new streams; those that are open end. */
  readonly close: () => void
  readonly destroy: () => void
}

/** With this as the last stream GOAWAY refuses none, as RFC 9113 has it for a graceful end (6.8). */
const anyStream = 2 ** 31 - 1

export const make = (): Sessions => {
  const sessions = new Set<ServerSession>()
  let step: "serving" | "announced" | "closing" = "serving"
  const announce = (session: ServerSession): void => {
    if (!session.closed && !session.destroyed) session.goaway(0, anyStream)
  }
  const close = (session: ServerSession): void => {
    if (!session.closed && !session.destroyed) session.close()
  }
  return {
    add: (session, onClose) => {
      sessions.add(session)
      session.once("close", () => {
        sessions.delete(session)
        onClose()
      })
      if (step === "announced") announce(session)
      if (step === "closing") close(session)
    },
    size: () => sessions.size,
    announce: () => {
      step = "announced"
      sessions.forEach(announce)
    },
    close: () => {
      step = "closing"
      sessions.forEach(close)
    },
    destroy: () => sessions.forEach((session) => session.destroy())
  }
}
