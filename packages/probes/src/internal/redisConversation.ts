/**
 * One conversation with Redis over a connection of its own: all is asked at once, and the connection is gone with the
 * last answer.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"
import * as Tls from "node:tls"

import * as Effect from "effect/Effect"

import { decoder, type Reply } from "./redisReply.ts"
import { lookupOf, resolve } from "./resolve.ts"
import { codeOf, ownFault } from "./systemError.ts"

export interface Place {
  readonly host: string
  readonly port: number
  /** `undefined` for no TLS. */
  readonly tls: Tls.ConnectionOptions | undefined
}

export type Command = readonly [name: string, ...args: ReadonlyArray<string>]

export interface Heard {
  /** In the order of the commands; fewer when it broke. */
  readonly replies: ReadonlyArray<Reply>
  /** Why there are not all of them. */
  readonly broken: string | undefined
}

/** Nothing was asked: the name has no address, or, `isOwn`, no socket can be made with these options. */
export interface Unasked {
  readonly code: string
  readonly isOwn: boolean
}

/** Of several addresses that were tried, one that tells of the other side is worth more than one that tells of ours. */
export const codeOfConnection = (error: unknown): string => {
  const codes = error instanceof AggregateError ? error.errors.map(codeOf) : []
  return codes.find((code) => ownFault(code) === undefined) ?? codeOf(error)
}

/** As Redis wants it: the number of parts, and each part after its length in bytes. */
const encode = (commands: ReadonlyArray<Command>): string =>
  commands
    .flatMap((command) => [`*${command.length}`, ...command.flatMap((part) => [`$${Buffer.byteLength(part)}`, part])])
    .map((line) => `${line}\r\n`)
    .join("")

const dial = ({ host, port, tls }: Place, addresses: ReadonlyArray<string>): Net.Socket => {
  const where = { host, port, lookup: lookupOf(addresses) }
  return tls === undefined ? Net.connect(where) : Tls.connect({ ...tls, ...where })
}

/** Calls `onConnect` when the connection stands, before any handshake of TLS. */
export const converse = (
  place: Place,
  commands: ReadonlyArray<Command>,
  onConnect: () => void
): Effect.Effect<Heard, Unasked> => {
  const resolved = Effect.mapError(resolve(place.host), (code): Unasked => ({ code, isOwn: false }))
  return Effect.flatMap(resolved, (addresses) =>
    Effect.callback<Heard, Unasked>((resume) => {
      let socket: Net.Socket
      try {
        socket = dial(place, addresses)
      } catch (cause) {
        return resume(Effect.fail({ code: codeOf(cause), isOwn: true }))
      }
      const decode = decoder(commands.length)
      const replies: Array<Reply> = []
      const done = (broken?: string) => {
        socket.destroy()
        resume(Effect.succeed({ replies, broken }))
      }
      socket.on("error", (error) => done(codeOfConnection(error)))
      socket.on("close", () => done("closed without an answer"))
      socket.once("connect", onConnect)
      socket.once(place.tls === undefined ? "connect" : "secureConnect", () => socket.write(encode(commands)))
      socket.on("data", (chunk: Buffer) => {
        const found = decode(chunk)
        if (found === undefined) return done("no Redis answers there")
        replies.push(...found)
        return replies.length >= commands.length ? done() : undefined
      })
      return Effect.sync(() => socket.destroy())
    })
  )
}
