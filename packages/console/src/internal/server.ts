/** A server of our own, which closes in bounded time whatever its clients do. */
import * as Http from "node:http"

import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import type { ServeError } from "effect/http/HttpServerError"
import * as NetAddress from "effect/net/NetAddress"

import type { App } from "./app.ts"

/** Answers under way may finish for so long; a page that reads events is told at once. */
const grace = "2 seconds"

/** Ends when no answer is under way, which says more than connections: browsers open some ahead and keep others. */
const watchAnswers = (server: Http.Server): Effect.Effect<void> => {
  const open = new Set<Http.ServerResponse>()
  let idle: (() => void) | undefined
  const add = (_request: Http.IncomingMessage, response: Http.ServerResponse) => {
    open.add(response)
    response.once("close", () => {
      open.delete(response)
      if (open.size === 0) idle?.()
    })
  }
  server.on("request", add)
  server.on("checkContinue", add)
  return Effect.callback((resume) => {
    idle = () => resume(Effect.void)
    if (open.size === 0) resume(Effect.void)
  })
}

/** Fails with what the operating system said. */
export const listen = Effect.fnUntraced(function* (
  app: App,
  options: { readonly host: string; readonly port: number }
) {
  const context = yield* Effect.context()
  const server = Http.createServer()
  const idle = watchAnswers(server)
  const bound = yield* NodeHttpServer.make(() => server, { ...options, gracefulShutdownTimeout: grace })
  // Without a listener, a failed accept (no file descriptor left) would end the program that we watch over.
  server.on("error", (cause) => Effect.runForkWith(context)(Effect.logError("The console's server failed", cause)))
  yield* bound.serve(app.handle)
  const cut = Effect.andThen(
    Effect.timeoutOption(idle, grace),
    Effect.sync(() => server.closeAllConnections())
  )
  const closed = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
  })
  // Runs before the finalizers of the above, which would wait for every connection.
  yield* Effect.addFinalizer(() => Effect.andThen(app.stop, Effect.all([closed, cut], { concurrency: "unbounded" })))
  return { port: NetAddress.isInetAddress(bound.address) ? bound.address.port : options.port }
})

export const codeOf = (error: ServeError): string => {
  const cause = error.cause
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"
}

/** How a browser on this machine reaches it; the wildcard addresses are no destinations. */
export const addressOf = (host: string, port: number): string => {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}
