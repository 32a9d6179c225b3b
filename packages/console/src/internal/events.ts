/** The component states as server-sent events. */
import type * as Redaction from "@nexobot/core/Redaction"
import type * as Recovery from "@nexobot/recovery/Recovery"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"

/** A client that vanished without a word is only noticed by writing to it, and proxies cut silent connections. */
const heartbeat = "15 seconds"

/** A stream ends now and then, so that the client must show again that it may have it; browsers reconnect at once. */
const longest = "1 hour"

export const response = (options: {
  readonly recovery: Recovery.Recovery["Service"]
  readonly redactor: Redaction.Redactor
  /** Completes when the console closes. */
  readonly closing: Effect.Effect<void>
}): HttpServerResponse.HttpServerResponse => {
  const states = options.recovery.changes.pipe(
    // Only the latest states matter: a slow client skips some, and costs no memory.
    Stream.buffer({ capacity: 1, strategy: "sliding" }),
    Stream.map((components) => `event: states\ndata: ${JSON.stringify(options.redactor.value({ components }))}\n\n`)
  )
  const heartbeats = Stream.tick(heartbeat).pipe(
    Stream.drop(1),
    Stream.map(() => ": still here\n\n")
  )
  const body = Stream.merge(states, heartbeats, { haltStrategy: "left" }).pipe(
    Stream.interruptWhen(Effect.race(options.closing, Effect.sleep(longest))),
    Stream.encodeText
  )
  return HttpServerResponse.stream(body, {
    contentType: "text/event-stream",
    // nginx would hold events back until its buffer is full
    headers: { "x-accel-buffering": "no" }
  })
}
