/**
 * One question and its answer over HTTP, redirects included.
 *
 * @since 0.1.0
 */
import * as Http from "node:http"
import type * as Net from "node:net"

import * as Effect from "effect/Effect"

import * as Connection from "./httpConnection.ts"
import { codeOf } from "./systemError.ts"

export interface Answer {
  readonly url: URL
  readonly status: number
  readonly location: string | undefined
  /** How it is compressed, if it is. */
  readonly encoding: string | undefined
  /** Undefined when nobody asked for it, or when it is longer than asked for. */
  readonly body: Uint8Array | undefined
}

export interface Question {
  readonly method: string
  readonly headersFor: (url: URL) => Readonly<Record<string, string>>
  readonly connectionFor: (url: URL) => Connection.To
  /** How many bytes of the body are read, at most: none with `undefined`. Who expects an answer wants its body. */
  readonly maxBody: number | undefined
  readonly isExpected: (status: number) => boolean
  /** Redirects that are followed, at most. */
  readonly follow: number
}

/** See `Connection.Route`. */
export interface Seen {
  route: Connection.Route
  /** Where redirects led. */
  redirects: ReadonlyArray<string>
}

export const unseen = (): Seen => ({ route: Connection.unseen(), redirects: [] })

/** Bytes that come in pieces. They are copied: a piece of one byte would keep all of the memory it was read into. */
const collecting = (most: number) => {
  let bytes = new Uint8Array(Math.min(most, 16_384))
  let size = 0
  return {
    /** Whether there was room for it. */
    add: (piece: Uint8Array): boolean => {
      const next = size + piece.length
      if (next > most) return false
      if (next > bytes.length) {
        const larger = new Uint8Array(Math.min(most, Math.max(next, 2 * bytes.length)))
        larger.set(bytes.subarray(0, size))
        bytes = larger
      }
      bytes.set(piece, size)
      size = next
      return true
    },
    all: (): Uint8Array => bytes.subarray(0, size)
  }
}

/** The answer, or the code of what went wrong. */
const converse = (socket: Net.Socket, url: URL, question: Question) =>
  Effect.callback<Answer, string>((resume) => {
    const { isExpected, maxBody, method } = question
    const request = Http.request({
      method,
      path: url.pathname + url.search,
      headers: { host: url.host, ...question.headersFor(url), connection: "close" },
      createConnection: () => socket
    })
    const done = (result: Effect.Effect<Answer, string>) => {
      resume(result)
      request.destroy()
    }
    let message: Http.IncomingMessage | undefined
    const fail = (error: unknown) => {
      // What follows a complete answer is no part of it, whether it comes in the same packet or later.
      if (message?.complete !== true) done(Effect.fail(codeOf(error)))
    }
    const answered = ({ headers, statusCode: status = 0 }: Http.IncomingMessage, body?: Uint8Array) =>
      done(Effect.succeed({ url, status, location: headers.location, encoding: headers["content-encoding"], body }))
    request.on("response", (response) => {
      const { headers, statusCode = 0 } = response
      const declared = Number(headers["content-length"] ?? 0)
      if (maxBody === undefined || !isExpected(statusCode) || declared > maxBody) return answered(response)
      message = response
      const body = collecting(maxBody)
      response.on("data", (chunk: Uint8Array) => {
        if (!body.add(chunk)) answered(response)
      })
      response.on("end", () => answered(response, body.all()))
      response.on("error", fail)
    })
    // Nobody asked for another protocol.
    request.on("upgrade", (response) => answered(response))
    request.on("error", fail)
    request.on("close", () => fail("closed without an answer"))
    request.end()
    return Effect.sync(() => request.destroy())
  })

const ask = (url: URL, question: Question, seen: Seen): Effect.Effect<Answer, string> =>
  Effect.scoped(
    Effect.flatMap(
      Effect.suspend(() => {
        seen.route = Connection.unseen()
        return Connection.open(question.connectionFor(url), seen.route)
      }),
      (socket) => {
        const dead = Connection.deadCode(socket)
        return dead === undefined ? converse(socket, url, question) : Effect.fail(dead)
      }
    )
  )

const redirects = new Set([301, 302, 303, 307, 308])

/** Where an answer sends us. */
const nextOf = ({ location, status, url }: Answer): URL | undefined => {
  if (!redirects.has(status) || location === undefined || !URL.canParse(location, url.href)) return undefined
  const next = new URL(location, url)
  return next.protocol === "http:" || next.protocol === "https:" ? next : undefined
}

/** What may be told of a URL from outside. */
const told = ({ origin, pathname }: URL): string => `${origin}${pathname}`

/** The last answer: redirects with a status that is not expected are followed first. */
export const exchange = Effect.fnUntraced(function* (
  from: URL,
  question: Question,
  seen: Seen
): Effect.fn.Return<Answer, string> {
  const visited = new Set([from.href])
  for (let answer = yield* ask(from, question, seen); ;) {
    const next = question.isExpected(answer.status) ? undefined : nextOf(answer)
    if (next === undefined) return answer
    next.hash = ""
    seen.redirects = [...seen.redirects, `redirects to ${told(next)}`]
    if (visited.has(next.href)) {
      seen.redirects = [...seen.redirects, "which is a loop"]
      return answer
    }
    if (visited.size > question.follow) return answer
    visited.add(next.href)
    answer = yield* ask(next, question, seen)
  }
})
