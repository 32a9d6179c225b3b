import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestRedis from "../src/TestRedis.ts"

describe.skipIf(TestRedis.isMissing())("TestRedis", () => {
  it.live("answers, is empty again after a restart, and is gone with its scope", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(
        Effect.gen(function* () {
          const redis = yield* TestRedis.make
          assert.strictEqual(yield* redis.ask("SET a b"), "+OK")
          assert.strictEqual(
            yield* redis.ask("NONSENSE"),
            "-ERR unknown command 'NONSENSE', with args beginning with: "
          )
          yield* redis.restart
          assert.strictEqual(yield* redis.ask("EXISTS a"), ":0")
          return redis
        })
      )
      assert.strictEqual(yield* gone.ask("PING"), "", "nobody is there")
    })
  )

  it.live("takes settings", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.makeWith(["--requirepass", "secret"])
      assert.match(yield* redis.ask("PING"), /^-NOAUTH/)
    })
  )

  it.live("a replica has its primary's data and takes no writes", () =>
    Effect.gen(function* () {
      const primary = yield* TestRedis.make
      yield* primary.ask("SET a b")
      const replica = yield* TestRedis.makeReplica(primary)
      assert.strictEqual(yield* replica.ask("EXISTS a"), ":1")
      assert.match(yield* replica.ask("SET a c"), /^-READONLY/)
    })
  )

  it.live("one that loads is still at it", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.makeLoading
      assert.match(yield* redis.ask("GET a"), /^-LOADING/)
    })
  )
})
