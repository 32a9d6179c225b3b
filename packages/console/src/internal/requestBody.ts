/** A small JSON body, decoded strictly; everything that can be wrong with one is the caller's mistake. */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"

import { InvalidRequest, PayloadTooLarge } from "../Api.ts"

const limitBytes = 64 * 1024

/** A body that was read by somebody before us never comes; neither does that of a stalled client. */
const patience = "10 seconds"

const tooLarge = new PayloadTooLarge({ message: `the body is larger than ${limitBytes} bytes`, limitBytes })

const isTooLarge = (error: HttpServerError): boolean =>
  error.reason._tag === "RequestParseError" && error.reason.reason === "BodyTooLarge"

export const decode = <A, I>(request: HttpServerRequest, schema: Schema.Codec<A, I>, expected: string) => {
  const invalid = (message: string) => new InvalidRequest({ message, expected })
  const parse = Schema.decodeUnknownEffect(Schema.fromJsonString(schema), { onExcessProperty: "error" })
  return Effect.gen(function* () {
    const type = (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase()
    if (type !== "application/json") {
      return yield* invalid(`the content type is ${type === "" ? "missing" : `"${type}"`}, not application/json`)
    }
    const bytes = yield* request.arrayBuffer.pipe(
      Effect.mapError((error) => (isTooLarge(error) ? tooLarge : invalid("the body could not be read"))),
      Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(invalid("the body did not arrive")) })
    )
    const text = yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => invalid("the body is not UTF-8")
    })
    return yield* Effect.mapError(parse(text), () => invalid("the body is not what is expected"))
  }).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limitBytes)))
}
