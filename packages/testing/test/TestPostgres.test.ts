import * as Fs from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { eventually } from "../src/Expect.ts"
import * as TestPostgres from "../src/TestPostgres.ts"

describe.skipIf(TestPostgres.isMissing())("TestPostgres", () => {
  it.live("has the settings, has a standby that follows, comes back after its death, and is gone with the scope", () =>
    Effect.gen(function* () {
      const folders = yield* Effect.scoped(
        Effect.gen(function* () {
          const primary = yield* TestPostgres.makeWith({ settings: { work_mem: "1234kB" } })
          assert.strictEqual(yield* primary.sql("SHOW work_mem"), "1234kB")
          const standby = yield* TestPostgres.makeWith({ standbyOf: primary })
          assert.strictEqual(yield* standby.sql("SELECT pg_is_in_recovery()"), "t")
          yield* primary.sql("CREATE TABLE one AS SELECT 1 AS a, 2 AS b")
          const copied = eventually(
            "the standby has it",
            Effect.map(standby.sql("SELECT count(*) FROM pg_class WHERE relname = 'one'"), (count) =>
              count === "1" ? true : undefined
            )
          )
          yield* copied
          assert.strictEqual(yield* standby.sql("SELECT * FROM one"), "1|2")
          const { pid } = standby
          yield* standby.kill
          yield* standby.start
          yield* standby.ready
          const { pid: again } = standby
          yield* standby.start
          assert.strictEqual(standby.pid, again)
          assert.notStrictEqual(standby.pid, pid)
          assert.strictEqual(yield* standby.sql("SELECT * FROM one"), "1|2")
          return [primary.folder, standby.folder]
        })
      )
      for (const folder of folders) assert.isFalse(Fs.existsSync(folder))
    })
  )
})
