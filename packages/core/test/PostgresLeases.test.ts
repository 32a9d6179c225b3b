import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

import { Leases } from "../src/Lease.ts"
import * as PostgresLeases from "../src/PostgresLeases.ts"
import { isFree, leaseContract, Takers } from "./leaseContract.ts"
import { cannotRunPostgres, postgresServer } from "./postgresServer.ts"
import { eventually, refusal } from "./support.ts"

const without = cannotRunPostgres()

class Server extends Context.Service<Server, Effect.Success<typeof postgresServer>>()("test/Server") {}
const serverLayer = Layer.effect(Server, postgresServer)

const make = (options?: PostgresLeases.PostgresLeasesOptions) =>
  Effect.gen(function* () {
    const sql = yield* Effect.flatMap(Server, ({ client }) => client)
    const layer = PostgresLeases.layer(options).pipe(Layer.provide(Layer.succeed(PgClient.PgClient, sql)))
    const leases = yield* Leases.pipe(Effect.provide(layer))
    return { sql, leases }
  })

/** Backends that hold or want an advisory lock. */
const holding = (sql: PgClient.PgClient) =>
  Effect.map(sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and granted`, (rows) =>
    rows.map(({ pid }) => pid)
  )

/** Far from what a busy machine may be late by, and far from a test's patience. */
const ttl = "600 millis"

describe("the options", () => {
  for (const [options, option] of [
    [{ ttl: 0 }, "ttl"],
    [{ ttl: "99 millis" }, "ttl"],
    [{ ttl: "Infinity" }, "ttl"],
    [{ ttl: "25 hours" }, "ttl"],
    [{ schema: "" }, "schema"],
    [{ schema: "ä".repeat(32) }, "schema"],
    [{ schema: "a\0b" }, "schema"],
    [{ shema: "a" }, "shema"]
  ] as const) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      const bad = options as PostgresLeases.PostgresLeasesOptions
      assert.deepInclude(
        refusal(() => PostgresLeases.layer(bad)),
        { module: "PostgresLeases", option }
      )
    })
  }
})

if (!without) {
  leaseContract(
    "Postgres",
    Layer.effect(
      Takers,
      Effect.gen(function* () {
        const { client } = yield* postgresServer
        const leases = Effect.map(client, (sql) => PostgresLeases.make(sql, { ttl }))
        return Takers.of({ one: yield* leases, other: yield* leases })
      })
    )
  )

  it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("with a real Postgres", (test) => {
    test.effect("makes its table in the schema it is given, also when many make it at once", () =>
      Effect.gen(function* () {
        const { sql } = yield* make()
        const schema = `of "its own"`
        const all = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (n) =>
          Effect.map(make({ schema }), ({ leases }) => leases.take(`resource ${n}`))
        )
        const taken = yield* Effect.all(all, { concurrency: "unbounded" })
        assert.strictEqual(taken.filter(Option.isSome).length, 6)
        const rows = yield* sql<{ resource: string }>`
          select resource from "of ""its own""".nexobot_lease_fences order by resource`
        assert.deepStrictEqual(
          rows.map(({ resource }) => resource),
          [1, 2, 3, 4, 5, 6].map((n) => `resource ${n}`)
        )
        // Leases of another schema are other leases.
        assert.isTrue(yield* isFree((yield* make()).leases, "resource 1"))
      })
    )

    test.effect("is lost at once when its connection is cut, and the next gets a larger fence", () =>
      Effect.gen(function* () {
        // So long that only the cut itself can be what was noticed.
        const { leases, sql } = yield* make({ ttl: "1 hour" })
        const lease = Option.getOrThrow(yield* leases.take("cut"))
        const pids = yield* holding(sql)
        assert.strictEqual(pids.length, 1)
        yield* sql`select pg_terminate_backend(${pids[0] ?? 0})`
        yield* lease.lost.pipe(Effect.timeout("20 seconds"))
        const next = yield* eventually("it is free", Effect.map(leases.take("cut"), Option.getOrUndefined))
        assert.isAbove(next.fence, lease.fence)
      }).pipe(Effect.scoped)
    )

    test.effect("does not take connections from the client's pool, and leaves none behind", () =>
      Effect.gen(function* () {
        const { leases, sql } = yield* make({ ttl })
        const sessions = Effect.map(
          sql<{
            count: number
          }>`select count(*)::int as count from pg_stat_activity where backend_type = 'client backend'`,
          (rows) => rows[0]?.count
        )
        yield* sessions
        const before = yield* sessions
        // The pool has three.
        yield* Effect.scoped(
          Effect.gen(function* () {
            for (const n of [1, 2, 3, 4, 5]) assert.isTrue(Option.isSome(yield* leases.take(`pool ${n}`)))
            for (const n of [1, 2, 3, 4, 5]) assert.isTrue(Option.isNone(yield* leases.take(`pool ${n}`)))
            yield* sql`select 1`
          })
        )
        yield* eventually(
          "all are gone",
          Effect.map(sessions, (count) => (count === before ? true : undefined))
        )
      })
    )

    test.effect("grows its fence although the clock of Postgres is behind it", () =>
      Effect.gen(function* () {
        const { leases, sql } = yield* make({ schema: "behind" })
        yield* isFree(leases, "a")
        const ahead = 2 ** 52
        yield* sql`update behind.nexobot_lease_fences set fence = ${ahead}`
        const lease = Option.getOrThrow(yield* leases.take("a"))
        assert.strictEqual(lease.fence, ahead + 1)
      })
    )

    test.effect("ends a session that it does not hear of: a frozen holder keeps no lease", () =>
      Effect.gen(function* () {
        const { sql } = yield* make()
        const { leases } = yield* make({ ttl })
        const lease = Option.getOrThrow(yield* leases.take("silent"))
        // What renews it does not run: this process is as good as frozen.
        const until = process.hrtime.bigint() + 1_500_000_000n
        while (process.hrtime.bigint() < until);
        yield* lease.lost.pipe(Effect.timeout("20 seconds"))
        yield* eventually(
          "it is free",
          Effect.map(holding(sql), (pids) => (pids.length === 0 ? true : undefined))
        )
        const next = Option.getOrThrow(yield* leases.take("silent"))
        assert.isAbove(next.fence, lease.fence)
      }).pipe(Effect.scoped)
    )

    test.effect("is lost, and none is granted, while Postgres is frozen; then all is as before", () =>
      Effect.gen(function* () {
        const { freeze, thaw } = yield* Server
        const { leases } = yield* make({ ttl })
        const frozen = Effect.gen(function* () {
          const lease = Option.getOrThrow(yield* leases.take("frozen"))
          yield* Effect.acquireRelease(freeze, () => thaw)
          // Cancelling a query that is not answered takes 5 s: that must not be waited for.
          yield* lease.lost.pipe(Effect.timeout("4 seconds"))
          const error = yield* Effect.flip(leases.take("other"))
          assert.include(error.message, "Postgres did not answer within 600 ms")
          return lease
        })
        const lease = yield* Effect.scoped(frozen)
        const next = yield* eventually("it is free", Effect.map(leases.take("frozen"), Option.getOrUndefined))
        assert.isAbove(next.fence, lease.fence)
      })
    )

    test.effect("closes within seconds while Postgres is frozen, and ends its connection all the same", () =>
      Effect.gen(function* () {
        const { freeze, thaw } = yield* Server
        const { leases, sql } = yield* make({ ttl })
        const scope = yield* Scope.make()
        assert.isTrue(Option.isSome(yield* Scope.provide(leases.take("closing"), scope)))
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.acquireRelease(freeze, () => thaw)
            const [taking] = yield* Effect.timed(Effect.flip(Effect.scoped(leases.take("other"))))
            assert.isBelow(Duration.toMillis(taking), 3500)
            const [closing] = yield* Effect.timed(Scope.close(scope, Exit.void))
            assert.isBelow(Duration.toMillis(closing), 3500)
          })
        )
        yield* eventually(
          "no lock is left",
          Effect.map(holding(sql), (pids) => (pids.length === 0 ? true : undefined))
        )
      })
    )

    test.effect("makes its table again after somebody dropped it", () =>
      Effect.gen(function* () {
        const { leases, sql } = yield* make({ schema: "dropped" })
        assert.isTrue(yield* isFree(leases, "a"))
        yield* sql`drop table dropped.nexobot_lease_fences`
        assert.match((yield* Effect.flip(isFree(leases, "a"))).message, /does not exist/)
        assert.isTrue(yield* isFree(leases, "a"))
      })
    )

    test.effect("tells apart what differs only in where its schema ends", () =>
      Effect.gen(function* () {
        const one = (yield* make({ schema: "a b" })).leases
        const other = (yield* make({ schema: "a" })).leases
        assert.isTrue(Option.isSome(yield* one.take("c")))
        assert.isTrue(Option.isSome(yield* other.take("b c")))
      }).pipe(Effect.scoped)
    )

    test.effect("fails with what Postgres says", () =>
      Effect.gen(function* () {
        const { sql } = yield* make()
        yield* sql`create role nobody login`
        const limited = { host: "127.0.0.1", port: (yield* Server).port, username: "nobody", database: "postgres" }
        const refused = PostgresLeases.make({ config: limited }, { schema: "not_mine" }).take("a")
        const { reason } = yield* Effect.flip(Effect.scoped(refused))
        assert.strictEqual(reason.why, "permission denied for database postgres")
        const config = { ...sql.config, url: undefined, host: "127.0.0.1", port: 1, username: "postgres" }
        const error = yield* Effect.flip(Effect.scoped(PostgresLeases.make({ config }).take("a")))
        assert.strictEqual(error._tag, "LeaseError")
        assert.match(error.reason.why, /ECONNREFUSED/)
      })
    )
  })
}
