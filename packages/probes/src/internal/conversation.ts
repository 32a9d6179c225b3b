/**
 * A connection over which at most one line is said each way. It is what probes of sockets have in common.
 *
 * @since 0.1.0
 */
import type * as Net from "node:net"

import type { Checks } from "@nexobot/core/Options"
import { Redactor } from "@nexobot/core/Redaction"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { excerpt } from "./excerpt.ts"
import { codeOf } from "./systemError.ts"
import { checkedTimes, type Times } from "./times.ts"

/** The options of it; each probe documents them. */
export interface Options {
  readonly send?: string
  readonly expect?: RegExp | string
  readonly timeout?: Duration.Input
  readonly degradedAfter?: Duration.Input
}

export interface Settings extends Times {
  readonly send: string | undefined
  readonly expect: RegExp | undefined
}

export const checked = (checks: Checks, options: Options): Settings => {
  const { expect, send } = options
  if (send !== undefined && typeof send !== "string") checks.fail("send", send, "a string")
  return {
    send,
    expect: expect === undefined ? undefined : checks.pattern("expect", expect),
    ...checkedTimes(checks, options)
  }
}

/** How far it has come: what a timeout has to tell. */
export interface Progress {
  connected: boolean
  /** The address of the other side, where it has one. */
  remote: string | undefined
}

export type Outcome =
  | { readonly _tag: "Said" }
  /** Said, but it took longer than `degradedAfter`. */
  | { readonly _tag: "Slow"; readonly took: Duration.Duration; readonly degradedAfter: Duration.Duration }
  /** The first line of the reply, as it may be shown. */
  | { readonly _tag: "Unexpected"; readonly line: string }
  | { readonly _tag: "Broken"; readonly code: string }
  | { readonly _tag: "Late" }

const said: Outcome = { _tag: "Said" }
const late: Outcome = { _tag: "Late" }

const broken = (code: string): Outcome => ({ _tag: "Broken", code })

/** A reply longer than this without a line end is cut there. */
const replyLimit = 4096

/** A client that tries a port which the system gives to clients, and where nobody listens, can get that very port. */
const isConnectedToItself = (socket: Net.Socket): boolean =>
  socket.localPort !== undefined &&
  socket.localPort === socket.remotePort &&
  socket.localAddress === socket.remoteAddress

const judge = (expect: RegExp, reply: ReadonlyArray<Buffer>): Outcome => {
  const text = Buffer.concat(reply).subarray(0, replyLimit).toString("utf8")
  const [line = ""] = text.split(/\r?\n/, 1)
  // A copy: a sticky or global expression remembers where it stopped.
  return new RegExp(expect).test(line) ? said : { _tag: "Unexpected", line }
}

/** Nothing is open afterwards. Without `expect` it is over when all is sent. */
const talk = (dial: () => Net.Socket, { expect, send }: Settings, progress: Progress) =>
  Effect.callback<Outcome>((resume) => {
    const socket = dial()
    const done = (outcome: Outcome) => {
      socket.destroy()
      resume(Effect.succeed(outcome))
    }
    socket.on("error", (error) => done(broken(codeOf(error))))
    const connected = () => {
      if (isConnectedToItself(socket)) return done(broken("ECONNREFUSED"))
      progress.connected = true
      progress.remote = socket.remoteAddress
      if (expect !== undefined) return send === undefined ? undefined : socket.write(send)
      if (send === undefined) return done(said)
      // Destroying the socket drops what is not written yet; and who is not heard out may not listen either.
      socket.resume()
      return socket.write(send, (error) => error ?? done(said))
    }
    if (expect !== undefined) {
      const reply: Array<Buffer> = []
      let length = 0
      socket.on("data", (chunk: Buffer) => {
        reply.push(chunk)
        length += chunk.length
        if (length > replyLimit || chunk.includes("\n")) done(judge(expect, reply))
      })
      // The last line may have no end.
      socket.on("end", () => done(length === 0 ? broken("closed without a reply") : judge(expect, reply)))
    }
    // It may stand already, and may even be over: its events are gone then.
    if (socket.destroyed) done(broken(socket.errored === null ? "closed without a reply" : codeOf(socket.errored)))
    else if (socket.connecting) socket.on("connect", connected)
    else connected()
    return Effect.sync(() => socket.destroy())
  })

/** What an outcome becomes that is more than a word. */
const completed = (outcome: Outcome): Effect.Effect<Outcome> =>
  outcome._tag === "Unexpected"
    ? Effect.map(Redactor, (redactor) => ({ _tag: "Unexpected", line: excerpt(outcome.line, redactor) }))
    : Effect.succeed(outcome)

/** Holds the conversation as soon as it is known how to dial, all within the time allowed. */
export const hold = <R>(
  dial: Effect.Effect<() => Net.Socket, string, R>,
  settings: Settings,
  progress: Progress
): Effect.Effect<Outcome, never, R> => {
  const { degradedAfter, timeout } = settings
  const held = dial.pipe(
    Effect.flatMap((connect) => talk(connect, settings, progress)),
    Effect.catch((code) => Effect.succeed(broken(code))),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.succeed(late) }),
    Effect.flatMap(completed)
  )
  if (degradedAfter === undefined) return held
  return Effect.map(Effect.timed(held), ([took, outcome]) =>
    outcome._tag === "Said" && Duration.isGreaterThan(took, degradedAfter)
      ? { _tag: "Slow", took, degradedAfter }
      : outcome
  )
}
