import { assert, describe, it } from "@effect/vitest"
import { refusal } from "@nexobot/testing/Expect"
import * as TestPostgres from "@nexobot/testing/TestPostgres"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

import * as PostgresDatabase from "../src/PostgresDatabase.ts"
import { ask, databaseContract } from "./DatabaseContract.ts"
import { tcpServer } from "./support.ts"

describe.skipIf(TestPostgres.isMissing())("Postgres", () => {
  databaseContract<TestPostgres.TestPostgres>({
    module: "PostgresDatabase",
    server: TestPostgres.makeWith,
    make: PostgresDatabase.make,
    scheme: "postgres",
    slow: "SELECT pg_sleep(60)",
    huge: "SELECT repeat('x', 1000000) FROM generate_series(1, 100)",
    echo: "SELECT $1::text AS a, $2::int AS b",
    values:
      "SELECT 9007199254740993 AS big, 1.50 AS decimal, timestamp '2026-01-02 03:04:05' AS moment, NULL AS nothing",
    moment: /^2026-01-02T03:04:05.000Z$/,
    encrypted: "SELECT ssl::int AS encrypted FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    connected: "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    unknownTable: "42P01",
    unix: ({ folder, port }, password) => `postgres://postgres:${password}@localhost:${port}/postgres?host=${folder}`
  })
})

describe("PostgresDatabase", () => {
  it.live("a server without TLS is unreachable for who wants it, and fine for who prefers it", () =>
    Effect.gen(function* () {
      const refusing = yield* tcpServer((socket) => socket.once("data", () => socket.write("N")))
      const url = `postgres://user:secret@127.0.0.1:${refusing.port}/shop`
      for (const strict of [{ url, tls: true }, { url: `${url}?sslmode=require` }]) {
        const { reason } = yield* Effect.flip(ask(PostgresDatabase.make(strict), "SELECT 1"))
        assert.deepInclude(reason, { _tag: "Unreachable", code: "The server does not support TLS" })
      }
      const waiting = ask(PostgresDatabase.make({ url: `${url}?sslmode=prefer` }), "SELECT 1")
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(waiting, "200 millis")))
      yield* refusing.abandoned
    })
  )

  it("refuses what it does not know of TLS", () => {
    const url = "postgres://user:secret@127.0.0.1/shop"
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ url: `${url}?sslmode=sometimes` }, "url"],
      [{ url: `${url}?sslmode=disable&sslmode=require` }, "url"],
      [{ url: `${url}?host=relative` }, "url"],
      [{ url, tls: "yes" }, "tls"],
      [{ url, tls: { verfy: false } }, "tls.verfy"],
      [{ url, tls: { verify: 1 } }, "tls.verify"],
      [{ url, tls: { ca: "" } }, "tls.ca"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => PostgresDatabase.make({ url, ...options }))
      assert.strictEqual(error.option, option)
      assert.notInclude(error.message, "secret")
    }
    for (const sslmode of ["disable", "prefer", "require", "verify-full"]) {
      assert.strictEqual(
        PostgresDatabase.make({ url: `${url}?sslmode=${sslmode}` }).target,
        "postgres://127.0.0.1:5432/shop"
      )
    }
  })
})
