import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestBlackhole from "../src/TestBlackhole.ts"

/** What became of a connection after a while. */
const outcome = (host: string, port: number) =>
  Effect.callback<string>((resume) => {
    const socket = Net.connect({ host, port })
    socket.on("connect", () => resume(Effect.succeed("connected")))
    socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message)))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: "300 millis", orElse: () => Effect.succeed("nothing") }))

describe("TestBlackhole", () => {
  it.live("who connects hears nothing, until its scope closes", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(
        Effect.gen(function* () {
          const hole = yield* TestBlackhole.make("127.0.0.2")
          assert.strictEqual(hole.host, "127.0.0.2")
          for (const _ of [1, 2]) assert.strictEqual(yield* outcome(hole.host, hole.port), "nothing")
          return hole.port
        })
      )
      assert.strictEqual(yield* outcome("127.0.0.2", port), "ECONNREFUSED")
    })
  )

  it.live("takes the port that it is told", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(TestBlackhole.make())
      const hole = yield* TestBlackhole.make("127.0.0.1", port)
      assert.deepStrictEqual(hole, { host: "127.0.0.1", port })
      assert.strictEqual(yield* outcome("127.0.0.1", port), "nothing")
    })
  )
})
