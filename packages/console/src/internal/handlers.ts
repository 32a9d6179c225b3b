/** What the endpoints of `Api` do. */
import { Recovery } from "@nexobot/recovery/Recovery"
import type * as Report from "@nexobot/recovery/Report"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

import { Api, NotReady, RecoverRequest, SessionRequest } from "../Api.ts"
import { Authorization, Forbidden, Unauthorized } from "../Authorization.ts"
import { Access, sessionLifetime } from "./access.ts"
import * as DashboardPage from "./dashboardPage.ts"
import * as RequestBody from "./requestBody.ts"
import { isHttps, isWrite, sessionCookie } from "./requestSource.ts"

/** What the handlers need of the console they belong to. */
export class Surroundings extends Context.Service<
  Surroundings,
  {
    /** Lives as long as the console. */
    readonly scope: Scope.Scope
    readonly events: HttpServerResponse.HttpServerResponse
  }
>()("@nexobot/console/internal/Surroundings") {}

const autoRecovery = HttpApiBuilder.group(
  Api,
  "autoRecovery",
  Effect.fnUntraced(function* (handlers) {
    const recovery = yield* Recovery
    const { scope } = yield* Surroundings
    // The console's scope owns it, not the request: a closed browser tab must not leave a component half restarted.
    const outliving = <A, E>(effect: Effect.Effect<A, E>) => Effect.flatMap(Effect.forkIn(effect, scope), Fiber.join)
    return handlers
      .handle("report", () => Effect.all({ log: recovery.log, statistics: recovery.statistics }))
      .handleRaw(
        "recover",
        Effect.fnUntraced(function* ({ request }) {
          const wanted = yield* RequestBody.decode(
            request,
            RecoverRequest,
            '{"action":"full"} or {"component":"<name>"} as application/json'
          )
          const outcomes =
            "action" in wanted
              ? yield* outliving(recovery.recoverAll)
              : [yield* outliving(recovery.recover(wanted.component))]
          return { outcomes }
        })
      )
  })
)

const system = HttpApiBuilder.group(
  Api,
  "system",
  Effect.fnUntraced(function* (handlers) {
    const recovery = yield* Recovery
    const { events } = yield* Surroundings
    return handlers
      .handle("health", () => Effect.map(recovery.states, (components) => ({ components })))
      .handle("events", () => Effect.succeed(events))
  })
)

const session = HttpApiBuilder.group(
  Api,
  "session",
  Effect.fnUntraced(function* (handlers) {
    const access = yield* Access
    return handlers.handleRaw(
      "open",
      Effect.fnUntraced(function* ({ request }) {
        const credential = yield* RequestBody.decode(
          request,
          SessionRequest,
          '{"code":"<one-time code>"} or {"token":"<token>"} as application/json'
        )
        const id = yield* access.open(credential)
        if (Option.isNone(id)) {
          return yield* new Unauthorized({ message: "the code or token is wrong, used or expired" })
        }
        return HttpServerResponse.setCookieUnsafe(
          HttpServerResponse.empty({ status: 204 }),
          sessionCookie(request),
          id.value,
          { httpOnly: true, sameSite: "strict", path: "/", maxAge: sessionLifetime, secure: isHttps(request) }
        )
      })
    )
  })
)

/** Nothing was seen of it yet: no verdict, and no evidence of a check that could not tell. */
const isUnchecked = (component: Report.ComponentState): boolean =>
  (component.status === "Unknown" || component.status === "Starting") &&
  component.probes.every((probe) => probe.status === "Unknown" && probe.evidence.length === 0)

const probes = HttpApiBuilder.group(
  Api,
  "probes",
  Effect.fnUntraced(function* (handlers) {
    const recovery = yield* Recovery
    return handlers
      .handle("live", () => Effect.succeed({ status: "live" as const }))
      .handle(
        "ready",
        Effect.fnUntraced(function* () {
          const states = yield* Effect.timeoutOrElse(recovery.states, {
            duration: "5 seconds",
            orElse: () =>
              Effect.fail(new NotReady({ message: "the loop does not answer", waiting: recovery.components }))
          })
          const waiting = states.filter(isUnchecked).map((component) => component.name)
          if (waiting.length > 0) {
            return yield* new NotReady({ message: `not checked yet: ${waiting.join(", ")}`, waiting })
          }
          return { status: "ready" as const }
        })
      )
  })
)

const dashboard = HttpApiBuilder.group(Api, "dashboard", (handlers) =>
  handlers.handle("page", () =>
    Effect.succeed(
      HttpServerResponse.setHeaders(
        HttpServerResponse.text(DashboardPage.html, { contentType: "text/html; charset=utf-8" }),
        DashboardPage.headers
      )
    )
  )
)

const authorization = Layer.effect(
  Authorization,
  Effect.gen(function* () {
    const access = yield* Access
    return Authorization.of({
      bearer: Effect.fnUntraced(function* (httpEffect, { credential }) {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (request.headers["authorization"] !== undefined) {
          if (access.isToken(Redacted.value(credential))) return yield* httpEffect
          return yield* new Unauthorized({ message: "the bearer token is wrong" })
        }
        const id = request.cookies[sessionCookie(request)]
        if (id === undefined || !(yield* access.isSession(id))) {
          return yield* new Unauthorized({ message: "a bearer token or a session is required" })
        }
        // A cookie is sent by the browser unasked, so a write must show that our own page made it.
        if (isWrite(request) && request.headers["origin"] === undefined) {
          return yield* new Forbidden({
            reason: "MissingOrigin",
            message: "a write with a session cookie needs an Origin header"
          })
        }
        return yield* httpEffect
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(Api).pipe(
  Layer.provide([autoRecovery, system, session, probes, dashboard]),
  Layer.provide(authorization)
)
