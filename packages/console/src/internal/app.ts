/** The console as one function from request to answer; a server, a Fetch handler and a Node listener run it. */
import * as Redaction from "@nexobot/core/Redaction"
import { Recovery } from "@nexobot/recovery/Recovery"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"

import * as Access from "./access.ts"
import * as Answers from "./answers.ts"
import * as Events from "./events.ts"
import * as Handlers from "./handlers.ts"
import { checkHost, checkOrigin } from "./requestSource.ts"

export interface App {
  readonly token: Redacted.Redacted
  readonly issueCode: Effect.Effect<string>
  readonly handle: Effect.Effect<HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope>
  /** Ends the event streams and refuses what comes after. Also done when the scope closes. */
  readonly stop: Effect.Effect<void>
}

/** An orchestrator names a pod by its address; these two answer it, and tell nobody anything worth a rebinding. */
const anyHost: ReadonlySet<string> = new Set(["/livez", "/readyz"])

export const make = Effect.fnUntraced(function* (options: {
  readonly token: Redacted.Redacted | undefined
  readonly allowedHosts: ReadonlyArray<string>
}): Effect.fn.Return<App, never, Recovery | Scope.Scope> {
  const token = options.token ?? Redacted.make(Access.randomSecret())
  const recovery = yield* Recovery
  const scope = yield* Effect.scope
  const redactor = Redaction.andThen(yield* Redaction.Redactor, Redaction.make([token]))
  const closing = yield* Deferred.make<void>()
  const access = Access.make(token)
  const router = yield* HttpRouter.make
  const routes = Handlers.layer.pipe(
    Layer.provide([
      Layer.succeed(Access.Access, access),
      Layer.succeed(Recovery, recovery),
      Layer.succeed(HttpRouter.HttpRouter, router),
      Layer.succeed(Handlers.Surroundings, {
        scope,
        events: Events.response({ recovery, redactor, closing: Deferred.await(closing) })
      }),
      HttpServer.layerServices
    ])
  )
  // A memo map of its own: in that of the program, a second console would find its routes built already and get none.
  yield* Layer.buildWithMemoMap(routes, Layer.makeMemoMapUnsafe(), scope)
  const route = router.asHttpEffect()
  const stop = Effect.asVoid(Deferred.succeed(closing, undefined))
  yield* Effect.addFinalizer(() => stop)

  const answer = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    if (yield* Deferred.isDone(closing)) return Answers.closing
    const refusal =
      (anyHost.has(Answers.pathOf(request.url)) ? undefined : checkHost(request, options.allowedHosts)) ??
      checkOrigin(request)
    return refusal === undefined ? yield* route : Answers.forbidden(refusal)
  })
  return {
    token,
    issueCode: access.issueCode,
    stop,
    handle: Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const response = yield* Answers.recoverErrors(answer(request), request, redactor)
      return Answers.finish(response, redactor)
    })
  }
})
