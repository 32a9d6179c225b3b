import { assert, describe, it } from "@effect/vitest"
import { Recovery } from "@nexobot/recovery/Recovery"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"

import * as Console from "../src/Console.ts"
import { component, fake } from "./fixture.ts"

const token = "a-token-of-some-length"

/** Reads a stream until its text has what is looked for, or it ends. */
const open = (address: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const abort = new AbortController()
      const response = await fetch(`${address}/api/system/events`, {
        headers: { authorization: `Bearer ${token}` },
        signal: abort.signal
      })
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      let text = ""
      let ended = false
      const until = async (wanted: string) => {
        while (!text.includes(wanted) && !ended) {
          const part = await reader?.read()
          ended = part?.done !== false
          text += part?.value ?? ""
        }
        return text
      }
      return { response, abort, until: (wanted: string) => Effect.promise(() => until(wanted)) }
    }),
    (client) => Effect.sync(() => client.abort.abort())
  )

const serve = Effect.gen(function* () {
  const loop = yield* fake([component("shop", "Healthy"), component("mail", "Healthy")])
  const console = yield* Console.make({ token: Redacted.make(token), port: 0 }).pipe(
    Effect.provideService(Recovery, loop.recovery)
  )
  return { loop, address: console.address }
})

const eventually = (what: () => boolean) =>
  Effect.sync(what).pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("10 seconds")
  )

describe("events", () => {
  it.live("the states at once, then each change", () =>
    Effect.gen(function* () {
      const { loop, address } = yield* serve
      const client = yield* open(address)
      assert.strictEqual(client.response.headers.get("content-type"), "text/event-stream")
      const first = yield* client.until('"shop"')
      assert.strictEqual(
        first,
        `event: states\ndata: ${JSON.stringify({ components: yield* loop.recovery.states })}\n\n`
      )
      yield* loop.set(component("mail", "Recovering", { detail: "restarting\nit" }))
      const text = yield* client.until('"Recovering"')
      assert.include(text, '"detail":"restarting\\nit"')
    })
  )

  it.live("a client that leaves is noticed, and nothing keeps reading for it", () =>
    Effect.gen(function* () {
      const { loop, address } = yield* serve
      const clients = yield* Effect.replicateEffect(open(address), 5)
      for (const client of clients) yield* client.until("data:")
      assert.strictEqual(loop.readers(), 5)
      for (const client of clients.slice(1)) client.abort.abort()
      yield* eventually(() => loop.readers() === 1)
      yield* loop.set(component("mail", "Stopped"))
      assert.include(yield* clients[0]?.until('"Stopped"') ?? Effect.succeed(""), '"Stopped"')
    })
  )

  it.live("a client that does not read costs no memory: it gets the latest states, not all", () =>
    Effect.gen(function* () {
      const { loop, address } = yield* serve
      const client = yield* open(address)
      yield* client.until("data:")
      const rounds = 400
      for (let round = 1; round <= rounds; round++) {
        yield* loop.set(component("mail", "Healthy", { detail: `round ${round} ${"x".repeat(100_000)}` }))
        yield* Effect.yieldNow
      }
      const text = yield* client.until(`round ${rounds} `)
      const seen = text.match(/round \d+ /g)?.length ?? 0
      assert.isAbove(seen, 0)
      assert.isBelow(seen, rounds)
    })
  )

  it.effect("a sign of life every 15 seconds; after an hour the client must ask again", () =>
    Effect.gen(function* () {
      const { address, loop } = yield* serve
      const client = yield* open(address)
      yield* client.until("data:")
      yield* TestClock.adjust("15 seconds")
      assert.include(yield* client.until(": still here"), "\n\n: still here\n\n")
      yield* TestClock.adjust(Duration.hours(1))
      yield* client.until("nothing that ever comes")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(loop.readers(), 0)
    })
  )
})
