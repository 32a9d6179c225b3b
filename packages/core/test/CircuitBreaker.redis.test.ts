import * as Net from "node:net"
import * as Readline from "node:readline"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import { child, eventually, fixture } from "./support.ts"

/** A process that shares the breaker, which is asked to do something and tells how it ended. */
const member = Effect.fnUntraced(function* (redis: number, node: string, quorum: number, open: "long" | "short") {
  const { line } = yield* child([fixture("shared-circuit.ts"), `${redis}`, node, `${quorum}`, open])
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => Net.connect(Number(line), "127.0.0.1")),
    (one) => Effect.sync(() => one.destroy())
  )
  const lines = Readline.createInterface(socket)
  return (wanted: "work" | "fail" | "state") =>
    Effect.callback<string>((resume) => {
      lines.once("line", (answer) => resume(Effect.succeed(answer)))
      socket.write(`${wanted}\n`)
    })
})

type Member = Effect.Success<ReturnType<typeof member>>

const fails = (one: Member) => Effect.andThen(one("fail"), one("fail"))

const becomes = (one: Member, state: string) =>
  eventually(
    `it is ${state}`,
    Effect.map(one("state"), (now) => (now === state ? true : undefined))
  )

/** Longer than two refreshes, in which votes would have arrived. */
const enoughTime = Effect.sleep("500 millis")

const trio = (redis: number, open: "long" | "short" = "long") =>
  Effect.all([member(redis, "a", 2, open), member(redis, "b", 2, open), member(redis, "c", 2, open)], {
    concurrency: 3
  })

describe.skipIf(TestRedis.isMissing())("CircuitBreaker shared through Redis", () => {
  it.live(
    "acceptance(core-and-probes 8): of three processes one alone opens nobody else's circuit, two open the third's",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestRedis.make
        const [a, b, c] = yield* trio(port)
        yield* fails(a)
        assert.strictEqual(yield* a("work"), "Open")
        yield* enoughTime
        assert.deepStrictEqual([yield* b("work"), yield* c("work")], ["worked", "worked"])
        yield* fails(b)
        yield* becomes(c, "Open")
        assert.strictEqual(yield* c("work"), "SharedOpen")
      }),
    60_000
  )

  it.live(
    "while Redis is frozen or dead each judges by itself and no call waits; after that they share again",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.make
        const [a, b, c] = yield* trio(server.port)
        yield* server.freeze
        // If each waited for Redis, it would be for 200 milliseconds each time, and so 200 seconds.
        yield* Effect.replicateEffect(c("work"), 1000, { discard: true }).pipe(Effect.timeout("20 seconds"))
        yield* fails(a)
        assert.deepStrictEqual([yield* a("work"), yield* b("work")], ["Open", "worked"])
        yield* server.kill
        yield* fails(b)
        yield* enoughTime
        assert.deepStrictEqual([yield* b("work"), yield* c("work")], ["Open", "worked"])
        // The votes that could not be told are told now, though this Redis has never seen any of them.
        yield* server.restart
        yield* becomes(c, "Open")
        // Frozen after that, nobody forgets what was agreed.
        yield* server.freeze
        yield* enoughTime
        assert.strictEqual(yield* c("work"), "SharedOpen")
      }),
    60_000
  )

  it.live(
    "when the two that opened it close it again, the third's closes too",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestRedis.make
        const [a, b, c] = yield* trio(port, "short")
        yield* Effect.all([fails(a), fails(b)], { concurrency: 2 })
        yield* becomes(c, "Open")
        for (const one of [a, b]) {
          yield* eventually(
            "its trial passes",
            Effect.map(one("work"), (answer) => (answer === "worked" ? true : undefined))
          )
        }
        yield* eventually(
          "the third works",
          Effect.map(c("work"), (answer) => (answer === "worked" ? true : undefined))
        )
        yield* becomes(c, "Closed")
      }),
    60_000
  )
})
