/** The server's end of the control socket: which request asks for what, and what the answer looks like. */
import type * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"

import * as ProcessControl from "@nexobot/core/ProcessControl"
import type { Unsupported } from "@nexobot/core/ProcessTable"
import { Redactor } from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Claim from "./claim.ts"
import type { ControlSocketError } from "./errors.ts"
import * as Feed from "./feed.ts"
import type { Supervised } from "./supervised.ts"
import * as Wire from "./wire.ts"

/** Much more than any request has. */
const mostBytes = 4096
/** Each takes a file descriptor of the supervisor, which needs them for its children. */
const mostConnections = 64

/** A request that nobody can answer. */
class Refused {
  readonly _tag = "Refused"
  readonly status: number
  readonly message: string
  constructor(status: number, message: string) {
    this.status = status
    this.message = message
  }
}

type Failed = Refused | ProcessControl.ProcessControlError

/** An answer: one value, or one line for each of many. */
type Answer =
  | { readonly _tag: "Value"; readonly value: unknown }
  | { readonly _tag: "Lines"; readonly lines: Stream.Stream<unknown, Failed> }

const value =
  <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
  (of: S["Type"]): Effect.Effect<Answer> =>
    Effect.map(Effect.orDie(Schema.encodeEffect(schema)(of)), (encoded) => ({ _tag: "Value", value: encoded }))

const statusOf = (error: Failed): number => {
  if (error._tag === "Refused") return error.status
  switch (error.reason._tag) {
    case "UnknownProcess":
      return 404
    case "NotRunning":
    case "ReloadFailed":
      return 409
    case "Survivors":
    case "Unavailable":
      return 503
  }
}

const isSignal = (name: string): name is NodeJS.Signals => name in Os.constants.signals

const decodeSignal = Schema.decodeUnknownOption(Wire.Signal)

const signalled = Effect.fnUntraced(function* (supervised: Supervised, name: string, body: string) {
  const asked = decodeSignal(body)
  if (Option.isNone(asked) || !isSignal(asked.value.signal)) {
    return yield* Effect.fail(new Refused(400, 'the body must be {"signal":"SIG…"}, with a signal of this system'))
  }
  yield* supervised.signal(name, asked.value.signal)
})

const nameIn = (encoded: string): Effect.Effect<string, Refused> =>
  Effect.try({ try: () => decodeURIComponent(encoded), catch: () => new Refused(400, "the name is badly encoded") })

const act = Effect.fnUntraced(function* (
  supervised: Supervised,
  action: string,
  name: string,
  body: string
): Effect.fn.Return<Answer, Failed> {
  switch (action) {
    case "start":
    case "restart":
    case "reload":
      return yield* Effect.flatMap(supervised[action](name), () => value(Wire.Done)({}))
    case "stop":
      return yield* Effect.flatMap(supervised.stop(name), (receipt) => value(Wire.Stopped)({ receipt }))
    case "signal":
      return yield* Effect.flatMap(signalled(supervised, name, body), () => value(Wire.Done)({}))
    default:
      return yield* Effect.fail(new Refused(404, "no such action; there are start, stop, restart, reload and signal"))
  }
})

const about = (supervised: Supervised) =>
  value(Wire.About)({
    version: Wire.version,
    id: supervised.id,
    pid: process.pid,
    memoryLimits: [...(supervised.memoryLimits ?? [])].map(([name, bytes]) => ({ name, bytes }))
  })

const answer = Effect.fnUntraced(function* (
  supervised: Supervised,
  method: string,
  target: string,
  body: string
): Effect.fn.Return<Answer, Failed> {
  if (!URL.canParse(target, "http://control")) return yield* Effect.fail(new Refused(400, "the path is no path"))
  const url = new URL(target, "http://control")
  const [kind, name, action, ...more] = url.pathname.slice(1).split("/")
  const isAction = kind === "processes" && name !== undefined && action !== undefined && more.length === 0
  const isStopAll = url.pathname === "/supervisor/stop"
  const isKnown =
    isAction || isStopAll || (name === undefined && ["supervisor", "processes", "events", "logs"].includes(kind ?? ""))
  if (!isKnown) return yield* Effect.fail(new Refused(404, "there is nothing at this path"))
  const expected = isAction || isStopAll ? "POST" : "GET"
  if (method !== expected) return yield* Effect.fail(new Refused(405, `this path wants ${expected}`))
  if (isStopAll) return yield* Effect.flatMap(supervised.stopAll, value(Wire.StoppedAll))
  if (isAction) return yield* act(supervised, action, yield* nameIn(name), body)
  switch (kind) {
    case "supervisor":
      return yield* about(supervised)
    case "processes":
      return yield* Effect.flatMap(supervised.list, value(Wire.Statuses))
    case "logs":
      return { _tag: "Lines", lines: supervised.logs(url.searchParams.get("process") ?? undefined) }
    default:
      return {
        _tag: "Lines",
        lines: Stream.mapEffect(supervised.events, (event) => Effect.orDie(Schema.encodeEffect(Wire.Event)(event)))
      }
  }
})

const bodyOf = (request: Http.IncomingMessage): Effect.Effect<string, Refused> =>
  Effect.callback((resume) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (chunk: string) => {
      if (body.length <= mostBytes) body += chunk
      if (body.length > mostBytes) resume(Effect.fail(new Refused(413, `more than ${mostBytes} bytes`)))
    })
    request.on("end", () => resume(Effect.succeed(body)))
    request.on("error", () => resume(Effect.fail(new Refused(400, "the request is cut short"))))
  })

/** JSON without secrets, whose shape stays: only texts are looked through. */
const shown = (redact: (text: string) => string, of: unknown): string =>
  `${JSON.stringify(of, (_, part: unknown) => (typeof part === "string" ? redact(part) : part))}\n`

const send = (response: Http.ServerResponse, status: number, text: string): void => {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
  response.end(text)
}

const failure = (error: Failed) =>
  Effect.orDie(
    Schema.encodeEffect(Wire.Failure)({
      message: error.message,
      ...(error._tag === "Refused" ? {} : { control: error })
    })
  )

/** Sends lines until there are no more, or the reader is gone. A failure is the last line: the head was sent long ago. */
const sendLines = (
  response: Http.ServerResponse,
  lines: Stream.Stream<unknown, Failed>,
  redact: (text: string) => string
) => {
  const gone = Effect.callback<void>((resume) => {
    if (response.destroyed) resume(Effect.void)
    response.once("close", () => resume(Effect.void))
  })
  response.writeHead(200, { "content-type": "application/x-ndjson" })
  response.flushHeaders()
  const feed = Feed.make(response)
  return lines.pipe(
    Stream.runForEach((line) => Effect.sync(() => feed.push(shown(redact, line)))),
    Effect.catch((error) =>
      Effect.map(failure(error), (said) => feed.push(shown(redact, { _tag: "Failed", failure: said })))
    ),
    Effect.ensuring(Effect.sync(feed.end)),
    Effect.raceFirst(gone)
  )
}

type Respond = (request: Http.IncomingMessage, response: Http.ServerResponse) => Effect.Effect<void>

/** Not loaded before somebody connects: it takes as much memory as a tenth of the supervisor. */
const loadHttp = Effect.promise(() => import("node:http"))

/** Answers that have ended reach who reads them; who does not read is cut off. */
const close = (server: Net.Server, sockets: ReadonlySet<Net.Socket>): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (!server.listening) return resume(Effect.void)
    server.close(() => resume(Effect.void))
  }).pipe(
    Effect.timeoutOrElse({
      duration: "200 millis",
      orElse: () =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
        })
    })
  )

const listen = Effect.fnUntraced(function* (
  path: string,
  respond: Respond
): Effect.fn.Return<void, ControlSocketError, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => Net.createServer({ pauseOnConnect: true })),
    (made) => close(made, sockets)
  )
  server.maxConnections = mostConnections
  const fork = yield* FiberSet.makeRuntime()
  const handler = yield* Effect.cached(
    Effect.map(loadHttp, (http) =>
      // Not interrupted when who asked for it hangs up: half of a restart would be a stop.
      http.createServer((request, response) => void fork(respond(request, response)))
    )
  )
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    // Before it has a handler it may break already.
    socket.on("error", () => {})
    fork(
      Effect.map(handler, (http) => {
        http.emit("connection", socket)
        socket.resume()
      })
    )
  })
  yield* Effect.asVoid(Effect.acquireRelease(Claim.bind(server, path), (remove) => remove))
  // What cannot be accepted later, as without file descriptors, is no reason to end.
  server.on("error", () => {})
})

/**
 * Serves a supervisor at a path that becomes this process's alone, until the scope closes: then nobody is accepted any
 * more, and who is connected is cut off.
 */
export const serve = Effect.fnUntraced(function* (
  supervised: Supervised,
  path: string
): Effect.fn.Return<void, ControlSocketError | Unsupported, Scope.Scope> {
  const { text: redact } = yield* Redactor
  yield* Claim.claim(path)

  const respond = Effect.fnUntraced(
    function* (request: Http.IncomingMessage, response: Http.ServerResponse) {
      const body = yield* bodyOf(request)
      const answered = yield* answer(supervised, request.method ?? "", request.url ?? "", body)
      if (answered._tag === "Lines") yield* sendLines(response, answered.lines, redact)
      else send(response, 200, shown(redact, answered.value))
    },
    (effect, _, response) =>
      effect.pipe(
        Effect.catch((error: Failed) =>
          Effect.map(failure(error), (said) => send(response, statusOf(error), shown(redact, said)))
        ),
        Effect.catchDefect((defect) =>
          Effect.andThen(
            Effect.logError("a request at the control socket failed", defect),
            Effect.sync(() =>
              send(response, 500, shown(redact, { message: "internal error: see the supervisor's log" }))
            )
          )
        )
      )
  )

  yield* listen(path, respond)
})
