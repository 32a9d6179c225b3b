/**
 * The connections of one server, and how they come to an end without a request being lost.
 *
 * Not `server.closeIdleConnections`: it destroys a connection while a request is on its way to it, and spares one that
 * never had a request, such as a browser opens in advance.
 */
import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http"
import * as Net from "node:net"

import { constVoid } from "effect/Function"

import type { ServerSession, Sessions } from "./sessions.ts"
import * as SessionsOf from "./sessions.ts"
import type { AppTimers } from "./timers.ts"
import { tell, type TellUpgraded, type Upgrade } from "./upgrades.ts"

/** A connection that speaks HTTP/1; of any other only the socket is known. */
interface Connection {
  readonly socket: Net.Socket
  /** Begun and not finished, in the order of their requests. */
  readonly answers: Array<ServerResponse>
  /** The one that says `Connection: close`. */
  last: ServerResponse | undefined
  /** Bytes read when the last request had ended: if there are more, another one is on its way. */
  quietAt: number
  upgrade: Upgrade | undefined
}

export interface Connections {
  /**
   * Accepts nobody from now on, lets every request end, closes what has none, and settles when nothing is left. What
   * had no request in the last `idle` milliseconds is closed.
   */
  readonly drain: (idle: number) => Promise<void>
  /** Destroys what is left; how much that was. */
  readonly cut: () => number
}

const isTls = (server: Net.Server): boolean => "setSecureContext" in server
const isHttp2 = (server: Net.Server): boolean => "updateSettings" in server
const isHttp = (server: Net.Server): server is HttpServer => "closeIdleConnections" in server

const peerOf = ({ remoteAddress, remotePort }: Net.Socket): string => `${remoteAddress} ${remotePort}`

/** Whether requests on this connection come as events of the server with their socket. */
const speaksHttp1 = (server: Net.Server, socket: Net.Socket): boolean =>
  isHttp2(server) ? "alpnProtocol" in socket && socket.alpnProtocol !== "h2" : isHttp(server)

/** Listens only once the app does too: a server behaves differently when somebody listens to these. */
const shadow = (
  server: Net.Server,
  event: string,
  listener:
    | ((request: IncomingMessage, response: ServerResponse) => void)
    | ((request: IncomingMessage, socket: Net.Socket) => void)
): void => {
  const add = (): void => void server.prependListener(event, listener)
  if (server.listenerCount(event) > 0) return add()
  const onNew = (name: string | symbol): void => {
    if (name !== event) return
    server.off("newListener", onNew)
    add()
  }
  server.on("newListener", onNew)
}

/** The last answer says that the connection ends, and none before it: those after it would never be sent. */
const retire = (connection: Connection): void => {
  const { answers, last } = connection
  const next = answers.at(-1)
  if (next === undefined || next === last) return
  if (last !== undefined && !last.headersSent) last.removeHeader("connection")
  if (!next.headersSent) next.setHeader("connection", "close")
  connection.last = next
}

/** Milliseconds of a turn of the event loop in which hardly anybody can have come. */
const short = 0.2

/**
 * Whoever waits in the kernel's queue of a server when it closes is lost, although he is connected. Node takes one out
 * of it each time that its event loop turns: a short turn without a connection says that the queue is as good as empty.
 */
const whenQueueIsEmpty = (server: Net.Server, timers: AppTimers, longest: number, work: () => void): void => {
  const end = timers.now() + longest
  let accepted = 0
  const onConnection = (): void => void (accepted += 1)
  const turn = (before: number, began: number): void => {
    const now = timers.now()
    const isEmpty = accepted === before && now - began < short
    if (!isEmpty && now < end) {
      const known = accepted
      return timers.soon(() => turn(known, now))
    }
    server.off("connection", onConnection)
    work()
  }
  server.on("connection", onConnection)
  timers.soon(() => turn(-1, 0))
}

export const track = (server: Net.Server, timers: AppTimers, tellUpgraded: TellUpgraded): Connections => {
  const connections = new Map<Net.Socket, Connection>()
  /** Of a TLS server, by their peers: the client has not said yet what it wants. */
  const handshakes = new Map<string, Net.Socket>()
  const sessions: Sessions = SessionsOf.make()
  let draining = false
  /** That the server does not listen any more. */
  let isClosed = false
  let onEmpty: () => void = constVoid

  const settle = (): void => {
    if (isClosed && connections.size === 0 && handshakes.size === 0 && sessions.size() === 0) onEmpty()
  }
  const add = (socket: Net.Socket): void => {
    handshakes.delete(peerOf(socket))
    connections.set(socket, { socket, answers: [], last: undefined, quietAt: socket.bytesRead, upgrade: undefined })
    socket.once("close", () => {
      connections.delete(socket)
      settle()
    })
  }
  const onHandshake = (socket: Net.Socket): void => {
    const peer = peerOf(socket)
    handshakes.set(peer, socket)
    socket.once("close", () => {
      if (handshakes.get(peer) === socket) handshakes.delete(peer)
      settle()
    })
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // What speaks HTTP/2 has none: its session is told.
    if (request.httpVersionMajor !== 1) return
    // It may be older than the app.
    if (!connections.has(request.socket)) add(request.socket)
    const connection = connections.get(request.socket)
    if (connection === undefined || connection.answers.includes(response)) return
    const { answers, socket } = connection
    answers.push(response)
    if (draining) retire(connection)
    response.once("close", () => {
      answers.splice(answers.indexOf(response), 1)
      connection.quietAt = socket.bytesRead
      // Its head may have been sent before, without a word of the end.
      if (draining && answers.length === 0) socket.destroySoon()
    })
  }
  const onUpgrade = (request: IncomingMessage, socket: Net.Socket): void => {
    const connection = connections.get(socket)
    if (connection !== undefined)
      connection.upgrade = { request, socket, bytesWritten: socket.bytesWritten, told: false }
  }
  const tellAll = (): void => {
    for (const { upgrade } of connections.values()) if (upgrade !== undefined) tell(upgrade, tellUpgraded)
  }
  const closeIdle = (): void => {
    for (const socket of handshakes.values()) socket.destroy()
    for (const { answers, quietAt, socket, upgrade } of connections.values()) {
      const isIdle = upgrade === undefined && answers.length === 0 && socket.bytesRead === quietAt
      if (isIdle && speaksHttp1(server, socket)) socket.destroySoon()
    }
    // Those that are older than the app.
    if (isHttp(server)) server.closeIdleConnections()
    tellAll()
    sessions.close()
  }

  if (isTls(server)) server.on("connection", onHandshake)
  server.on(isTls(server) ? "secureConnection" : "connection", add)
  server.on("session", (session: ServerSession) => sessions.add(session, settle))
  server.prependListener("request", onRequest)
  for (const event of ["checkContinue", "checkExpectation"]) shadow(server, event, onRequest)
  for (const event of ["upgrade", "connect"]) shadow(server, event, onUpgrade)

  return {
    drain: (idle) =>
      new Promise((resolve) => {
        const begin = (): void => {
          draining = true
          // Not the method of an HTTP server, which closes idle connections at once.
          Net.Server.prototype.close.call(server, () => {
            isClosed = true
            settle()
          })
          for (const connection of connections.values()) retire(connection)
          sessions.announce()
          tellAll()
          onEmpty = (): void => {
            cancel()
            resolve()
          }
          const cancel = timers.after(idle, closeIdle)
          settle()
        }
        whenQueueIsEmpty(server, timers, idle, begin)
      }),
    cut: () => {
      const left = [...connections.keys(), ...handshakes.values()].filter((socket) => !socket.destroyed)
      sessions.destroy()
      for (const socket of left) socket.destroy()
      if (isHttp(server)) server.closeAllConnections()
      return left.length
    }
  }
}
