import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestMariaDb from "../src/TestMariaDb.ts"

describe.skipIf(TestMariaDb.isMissing())("TestMariaDb", () => {
  it.live("has the settings, comes back after its death with what it had, and is gone with the scope", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* TestMariaDb.makeWith({ settings: { max_connections: "33" } })
          assert.strictEqual(yield* server.sql("SELECT @@max_connections"), "33")
          yield* server.sql("CREATE TABLE nexo.one AS SELECT 1 AS a, 2 AS b")
          const { pid } = server
          yield* server.freeze
          yield* server.thaw
          yield* server.kill
          yield* server.start
          yield* server.ready
          const { pid: again } = server
          yield* server.start
          assert.strictEqual(server.pid, again)
          assert.notStrictEqual(server.pid, pid)
          assert.strictEqual(yield* server.sql("SELECT * FROM nexo.one"), "1\t2")
          return Path.dirname(server.socket)
        })
      )
      assert.isFalse(Fs.existsSync(folder))
    })
  )
})
