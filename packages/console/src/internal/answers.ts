/** What every answer has in common: errors are JSON, secrets are masked, headers keep browsers from guessing. */
import type * as Redaction from "@nexobot/core/Redaction"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpServerError from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"

import { Api } from "../Api.ts"
import type { Forbidden } from "../Authorization.ts"

/** The methods of each path. */
const methodsOf: ReadonlyMap<string, ReadonlyArray<string>> = Object.values(Api.groups)
  .flatMap((group) => Object.values(group.endpoints))
  .reduce((known, endpoint) => {
    const methods = endpoint.method === "GET" ? ["GET", "HEAD"] : [endpoint.method]
    return known.set(endpoint.path, [...(known.get(endpoint.path) ?? []), ...methods])
  }, new Map<string, ReadonlyArray<string>>())

export const pathOf = (url: string): string => url.replace(/^https?:\/\/[^/]*/, "").split(/[?#]/, 1)[0] ?? ""

export const isKnownPath = (path: string): boolean => methodsOf.has(path)

const json = (status: number, body: object): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(body, { status })

const notFound = (request: HttpServerRequest): HttpServerResponse.HttpServerResponse => {
  const path = pathOf(request.url)
  const methods = methodsOf.get(path)
  return methods === undefined
    ? json(404, { _tag: "NotFound", message: `there is nothing at ${path}`, known: [...methodsOf.keys()] })
    : HttpServerResponse.setHeader(
        json(405, { _tag: "MethodNotAllowed", message: `${path} takes ${methods.join(", ")}`, allowed: methods }),
        "allow",
        methods.join(", ")
      )
}

export const forbidden = (error: Forbidden): HttpServerResponse.HttpServerResponse =>
  json(403, { _tag: error._tag, reason: error.reason, message: error.message })

export const closing = json(503, { _tag: "Closing", message: "this console is closing" })

/** A route that does not exist is the caller's mistake; anything else that fails here is ours, and goes to the log. */
export const recoverErrors = <E, R>(
  effect: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  request: HttpServerRequest,
  redactor: Redaction.Redactor
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.catchCause(effect, (cause) => {
    const error = Cause.squash(cause)
    if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound") {
      return Effect.succeed(notFound(request))
    }
    // Either the console closes, and this tells why; or the caller left, and nobody reads it.
    if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(closing)
    return Effect.as(
      Effect.logError("The console failed to answer", redactor.text(Cause.pretty(cause))),
      json(500, { _tag: "InternalError", message: "the console failed to answer; its log says why" })
    )
  })

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** Masks secrets in JSON at one place, whatever the handler was. By value, so that the result is JSON still. */
const redacted = (
  response: HttpServerResponse.HttpServerResponse,
  redactor: Redaction.Redactor
): HttpServerResponse.HttpServerResponse => {
  const body = response.body
  if (body._tag !== "Uint8Array" || !body.contentType.startsWith("application/json")) return response
  const value = decodeJson(new TextDecoder().decode(body.body))
  return value._tag === "None"
    ? response
    : HttpServerResponse.setBody(response, HttpBody.jsonUnsafe(redactor.value(value.value)))
}

const headers = {
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

export const finish = (
  response: HttpServerResponse.HttpServerResponse,
  redactor: Redaction.Redactor
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(
    redacted(response, redactor),
    response.status === 401 ? { ...headers, "www-authenticate": 'Bearer realm="nexobot"' } : headers
  )
