/** The client's end of the control socket. */
import type * as Http from "node:http"

import type { ProcessControlError } from "@nexobot/core/ProcessControl"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import { unreachable } from "./claim.ts"
import { BadAnswer, ControlSocketError, Unresponsive } from "./errors.ts"
import type { StoppedAll, Supervised } from "./supervised.ts"
import * as Wire from "./wire.ts"

/** What a question that needs no work may take; an action takes what it takes. */
const patience = Duration.seconds(5)

/** Much more than the statuses of a thousand processes. */
const mostCharacters = 16_777_216

interface Request {
  readonly method: "GET" | "POST"
  readonly target: string
  readonly body?: string
}

/** Begins a request, and breaks it off at the end: nothing is left open in between. */
const begin = (path: string, { body, method, target }: Request) =>
  Effect.acquireRelease(
    // Who only serves does not need it, and it is not small.
    Effect.map(
      Effect.promise(() => import("node:http")),
      (http) => {
        const request = http.request({ socketPath: path, method, path: target, agent: false, host: "control" })
        // Who waits for something hears of it; in between nobody does.
        request.on("error", () => {})
        request.on("response", (response) => void response.on("error", () => {}))
        request.end(body)
        return request
      }
    ),
    (request) => Effect.sync(() => request.destroy())
  )

/** The head of an answer. */
const head = (path: string, request: Http.ClientRequest) =>
  Effect.callback<Http.IncomingMessage, ControlSocketError>((resume) => {
    request.on("response", (response) => resume(Effect.succeed(response)))
    request.on("error", (cause) => resume(Effect.fail(unreachable(path, cause))))
  })

const bad = (path: string, why: string) => new ControlSocketError({ path, reason: new BadAnswer({ why }) })

const decode =
  <S extends Schema.Codec<unknown, unknown>>(path: string, schema: S) =>
  (text: string): Effect.Effect<S["Type"], ControlSocketError> =>
    Schema.decodeEffect(Schema.fromJsonString(schema))(text).pipe(Effect.mapError((error) => bad(path, error.message)))

const whole = (path: string, response: Http.IncomingMessage) =>
  Effect.callback<string, ControlSocketError>((resume) => {
    let text = ""
    response.setEncoding("utf8")
    response.on("data", (chunk: string) => {
      if (text.length <= mostCharacters) text += chunk
      else resume(Effect.fail(bad(path, `more than ${mostCharacters} characters`)))
    })
    response.on("end", () => resume(Effect.succeed(text)))
    response.on("error", (cause) => resume(Effect.fail(unreachable(path, cause))))
  })

/** What the supervisor refused is its own error; that the request was wrong is a bug, or another version. */
const refusal = (path: string, { control, message }: typeof Wire.Failure.Type) =>
  Effect.fail(control ?? bad(path, message))

const refused = (path: string, text: string) =>
  Effect.flatMap(decode(path, Wire.Failure)(text), (failure) => refusal(path, failure))

const exchange = Effect.fnUntraced(function* (path: string, request: Request) {
  const response = yield* Effect.flatMap(begin(path, request), (begun) => head(path, begun))
  const text = yield* whole(path, response)
  return response.statusCode === 200 ? text : yield* refused(path, text)
}, Effect.scoped)

const ask = <S extends Schema.Codec<unknown, unknown>>(
  path: string,
  target: string,
  schema: S
): Effect.Effect<S["Type"], ControlSocketError> =>
  exchange(path, { method: "GET", target }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(new ControlSocketError({ path, reason: new Unresponsive({ after: patience }) }))
    }),
    Effect.catchTag("ProcessControlError", (error) => Effect.fail(bad(path, error.message))),
    Effect.flatMap(decode(path, schema))
  )

/** The next piece of an answer that goes on; done at its end. */
const piece = (path: string, response: Http.IncomingMessage) =>
  Effect.callback<string, ControlSocketError | Cause.Done>((resume) => {
    const settle = (result: Effect.Effect<string, ControlSocketError | Cause.Done>) => {
      forget()
      resume(result)
    }
    const onError = (cause: Error) => settle(Effect.fail(unreachable(path, cause)))
    const look = () => {
      const chunk: unknown = response.read()
      if (typeof chunk === "string") settle(Effect.succeed(chunk))
      else if (response.errored !== null) onError(response.errored)
      else if (response.readableEnded) settle(Cause.done())
      else if (response.destroyed) onError(new Error("closed"))
    }
    const forget = () => {
      for (const event of ["readable", "end", "close"]) response.off(event, look)
      response.off("error", onError)
    }
    for (const event of ["readable", "end", "close"]) response.on(event, look)
    response.on("error", onError)
    look()
    return Effect.sync(forget)
  })

/** The lines of an answer that goes on, as they are asked for: who does not ask makes the supervisor drop the oldest. */
const lines = (path: string, target: string) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const response = yield* Effect.flatMap(begin(path, { method: "GET", target }), (begun) => head(path, begun))
      if (response.statusCode !== 200) {
        return yield* Effect.flatMap(whole(path, response), (text) => refused(path, text))
      }
      response.setEncoding("utf8")
      return Stream.splitLines(Stream.fromEffectRepeat(piece(path, response)))
    })
  )

/** What a client has besides what a supervisor has. */
export interface Remote extends Supervised<ControlSocketError> {
  readonly pid: number
  readonly stopAll: Effect.Effect<StoppedAll, ControlSocketError>
  /** Events and log lines that this client was too slow for, so far. */
  readonly lost: () => number
}

/** Asks whoever listens at the path who it is. */
export const connect = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Remote, ControlSocketError> {
  const about = yield* ask(path, "/supervisor", Wire.About)
  if (about.version !== Wire.version) {
    return yield* bad(path, `it speaks version ${about.version}, this is ${Wire.version}`)
  }
  let lost = 0
  const decoded = <S extends Schema.Codec<unknown, unknown>>(target: string, schema: S) => {
    const read = decode(path, schema)
    const notice = decode(path, Wire.Notice)
    return lines(path, target).pipe(
      Stream.mapEffect((text): Effect.Effect<ReadonlyArray<S["Type"]>, ControlSocketError | ProcessControlError> => {
        if (!Wire.isNotice(text)) return Effect.map(read(text), (line) => [line])
        return Effect.flatMap(notice(text), (said) => {
          if (said._tag === "Failed") return refusal(path, said.failure)
          lost += said.count
          return Effect.succeed([])
        })
      }),
      Stream.flattenIterable
    )
  }
  const act = (name: string, action: string, body?: string) =>
    exchange(path, {
      method: "POST",
      target: `/processes/${encodeURIComponent(name)}/${action}`,
      ...(body === undefined ? {} : { body })
    })
  return {
    id: about.id,
    pid: about.pid,
    memoryLimits: new Map(about.memoryLimits.map(({ bytes, name }) => [name, bytes])),
    list: ask(path, "/processes", Wire.Statuses),
    start: (name) => Effect.asVoid(act(name, "start")),
    stop: (name) =>
      act(name, "stop").pipe(
        Effect.flatMap(decode(path, Wire.Stopped)),
        Effect.map(({ receipt }) => receipt)
      ),
    stopAll: exchange(path, { method: "POST", target: "/supervisor/stop" }).pipe(
      Effect.catchTag("ProcessControlError", (error) => Effect.fail(bad(path, error.message))),
      Effect.flatMap(decode(path, Wire.StoppedAll))
    ),
    restart: (name) => Effect.asVoid(act(name, "restart")),
    reload: (name) => Effect.asVoid(act(name, "reload")),
    signal: (name, signal) => Effect.asVoid(act(name, "signal", JSON.stringify({ signal }))),
    events: decoded("/events", Wire.Event).pipe(
      Stream.catchTag("ProcessControlError", (error) => Stream.fail(bad(path, error.message)))
    ),
    logs: (name) => decoded(name === undefined ? "/logs" : `/logs?process=${encodeURIComponent(name)}`, Wire.Log),
    lost: () => lost
  }
})
