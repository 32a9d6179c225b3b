import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestPort from "../src/TestPort.ts"

const listening = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server, Error>((resume) => {
      const server = Net.createServer()
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

describe("TestPort", () => {
  it.live("is a port of the range on which somebody can listen", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 20_100)
      assert.isTrue(port >= 20_000 && port < 20_100, `${port}`)
      yield* listening(port)
    })
  )

  it.live("passes over a port that is taken", () =>
    Effect.gen(function* () {
      const taken = yield* TestPort.free(20_100, 20_200)
      yield* listening(taken)
      const free = yield* TestPort.free(taken, taken + 2)
      assert.strictEqual(free, taken + 1)
    })
  )
})
