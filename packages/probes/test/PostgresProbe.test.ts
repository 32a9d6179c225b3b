import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestPostgres from "@nexobot/testing/TestPostgres"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import * as Database from "../src/Database.ts"
import * as PostgresDatabase from "../src/PostgresDatabase.ts"
import * as PostgresProbe from "../src/PostgresProbe.ts"
import { shared, strangers } from "./DatabaseContract.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, signatureOf, tcpServer } from "./support.ts"

type Options = Omit<PostgresProbe.PostgresProbeOptions, "name" | "database">

type Finding = PostgresProbe.Found<PostgresProbe.PostgresProbeOptions>

/** The general case: any option may be given. */
const probing = (database: Database.Database, options: Options = {}): Probe.Probe<Finding> =>
  PostgresProbe.make<PostgresProbe.PostgresProbeOptions>({ name: "shop", database, timeout: "10 seconds", ...options })

const at = (url: string) => PostgresDatabase.make({ url })

const nowhere = at("postgres://probe@127.0.0.1:1/shop")

/** As `user`, who has no rights but to log in. */
const asUser = (url: string, user: string) => at(url.replace("postgres@", `${user}@`))

/** The same where a password is needed. */
const guardedAs = (url: string, password: string) => at(url.replace("postgres:s3cret@", `probe:${password}@`))

/** A database that answers with these rows, or not at all. */
const answering = (asked: ReturnType<Database.Session["query"]>): Database.Database => ({
  ...nowhere,
  connect: Effect.succeed({ query: () => asked })
})

const good = {
  isStandby: false,
  isReadOnly: false,
  limit: 100,
  used: 1,
  hidden: 0,
  idlePid: null,
  idleApplication: null,
  idleMillis: null,
  lagMillis: null
}

/** A database of which these things are so. */
const being = (facts: Partial<Record<keyof typeof good, unknown>>) => answering(Effect.succeed([{ ...good, ...facts }]))

/** What a server says that lets nobody in. */
const refusing = (code: string, message: string): Buffer => {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`)
  const head = Buffer.from("E....")
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

const failing = (reason: Database.DatabaseError["reason"]) =>
  answering(Effect.fail(new Database.DatabaseError({ target: nowhere.target, reason })))

/** The signatures that are not those of every probe. */
const tags = (probe: Probe.Any) => probe.reports.map(Verdict.tagOf).slice(6)

const tagOf = (facts: Parameters<typeof being>[0], options: Options) =>
  Effect.map(probing(being(facts), options).check, (found) =>
    "signature" in found ? `${found._tag} ${found.signature._tag}` : found._tag
  )

describe("PostgresProbe", () => {
  it("reports just what its options switch on, and so says its type", () => {
    const base = { name: "shop", database: nowhere }
    type Base =
      | PostgresProbe.Unreachable
      | PostgresProbe.Timeout
      | PostgresProbe.AccessDenied
      | PostgresProbe.NotReady
      | PostgresProbe.ConnectionsExhausted
      | PostgresProbe.QueryFailed
    const minimal = PostgresProbe.make(base)
    expectTypeOf(minimal).toEqualTypeOf<Probe.Probe<Base | PostgresProbe.ReadOnly>>()
    assert.deepStrictEqual(tags(minimal), ["Postgres/ReadOnly"])
    const alive = PostgresProbe.make({ ...base, role: "any", timeout: "1 second", maxConnectionsAt: 0.8 })
    expectTypeOf(alive).toEqualTypeOf<Probe.Probe<Base>>()
    assert.deepStrictEqual(tags(alive), [])
    const standby = PostgresProbe.make({ ...base, role: "standby", maxReplicationLag: "1 minute" })
    expectTypeOf(standby).toEqualTypeOf<Probe.Probe<Base | PostgresProbe.NotStandby | PostgresProbe.ReplicationLag>>()
    assert.deepStrictEqual(tags(standby), ["Postgres/NotStandby", "Postgres/ReplicationLag"])
    const watchful = PostgresProbe.make({ ...base, idleInTransaction: "5 minutes", degradedAfter: "1 second" })
    expectTypeOf(watchful).toEqualTypeOf<
      Probe.Probe<Base | PostgresProbe.ReadOnly | PostgresProbe.IdleInTransaction | PostgresProbe.TooSlow>
    >()
    assert.deepStrictEqual(tags(watchful), ["Postgres/ReadOnly", "Postgres/IdleInTransaction", "Postgres/TooSlow"])
    // Who only may have an option does have its signature.
    const general = PostgresProbe.make<PostgresProbe.PostgresProbeOptions>(base)
    expectTypeOf<PostgresProbe.TooSlow | PostgresProbe.NotStandby>().toExtend<Probe.Signatures<typeof general>>()
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => PostgresProbe.make({ ...base, rol: "any" })).option, "rol")
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ database: "postgres://user:secret@127.0.0.1" }, "database"],
      [{ database: { ...nowhere, dialect: "mysql" } }, "database"],
      [{ role: "replica" }, "role"],
      [{ maxConnectionsAt: 0 }, "maxConnectionsAt"],
      [{ maxConnectionsAt: 1.1 }, "maxConnectionsAt"],
      [{ maxConnectionsAt: Number.NaN }, "maxConnectionsAt"],
      [{ idleInTransaction: 0 }, "idleInTransaction"],
      [{ maxReplicationLag: "1 minute" }, "maxReplicationLag"],
      [{ maxReplicationLag: "1 minute", role: "primary" }, "maxReplicationLag"],
      [{ maxReplicationLag: -1, role: "any" }, "maxReplicationLag"],
      [{ degradedAfter: "5 seconds" }, "degradedAfter"],
      [{ degradedAfter: "2 seconds", timeout: "1 second" }, "degradedAfter"],
      [{ timeout: 0 }, "timeout"],
      [{ timeout: Infinity }, "timeout"],
      [{ retries: 3 }, "retries"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => PostgresProbe.make({ name: "shop", database: nowhere, ...options }))
      assert.deepStrictEqual([error.module, error.option], ["PostgresProbe", option])
      assert.notInclude(error.message, "secret")
    }
  })

  it("asks the same as another with equal options, whatever their names; says where and how far, without secrets", () => {
    const url = "postgres://probe:s3cret@127.0.0.1:5432/shop"
    const options = { idleInTransaction: "5 minutes", role: "any" } as const
    const probe = PostgresProbe.make({ name: "a", database: at(url), ...options })
    const same = PostgresProbe.make({ name: "b", database: at(url), ...options, idleInTransaction: { minutes: 5 } })
    assert.isTrue(Equal.equals(Probe.question(probe), Probe.question(same)))
    for (const other of [{ role: "primary" }, { idleInTransaction: "4 minutes" }, { timeout: "4 seconds" }] as const) {
      const differs = PostgresProbe.make({ name: "a", database: at(url), ...options, ...other })
      assert.isFalse(Equal.equals(Probe.question(probe), Probe.question(differs)))
    }
    assert.strictEqual(probe.target, "postgres://127.0.0.1:5432/shop")
    assert.strictEqual(probe.reach, "host")
    assert.strictEqual(PostgresProbe.make({ name: "a", database: at("postgres://u@db.example") }).reach, "network")
    assert.notInclude(JSON.stringify(probe), "s3cret")
  })

  it.effect("what it cannot ask is inconclusive; what makes no sense too", () =>
    Effect.gen(function* () {
      const own = yield* probing(failing(new Database.OwnFault({ why: "no file is left" }))).check
      assert.deepStrictEqual(own, Verdict.inconclusive("postgres://127.0.0.1:1/shop: no file is left"))
      for (const rows of [[], [{ used: "many" }], [{ ...good, used: null }]]) {
        assert.strictEqual((yield* probing(answering(Effect.succeed(rows))).check)._tag, "Inconclusive")
      }
    })
  )

  it.effect("the worst is the signature, and the rest is evidence; what could not be judged too", () =>
    Effect.gen(function* () {
      const idle = { idlePid: 42, idleApplication: "shop token=abcdef0123456789abcdef\n", idleMillis: 61_000 }
      const all = { isReadOnly: true, isStandby: true, used: 95, lagMillis: 9000, hidden: 3, ...idle }
      const found = yield* probing(being(all), { idleInTransaction: "1 minute" }).check
      assert.strictEqual(found._tag, "Unhealthy")
      assert.strictEqual(signatureOf(found)._tag, "Postgres/ReadOnly")
      assert.deepStrictEqual("evidence" in found ? found.evidence : [], [
        "postgres://127.0.0.1:1/shop: is a standby and takes no changes",
        "postgres://127.0.0.1:1/shop: 95 of 100 connections are taken",
        `postgres://127.0.0.1:1/shop: session 42 of "shop token=${Redaction.mask}" is idle in a transaction for 1m 1s`,
        "postgres://127.0.0.1:1/shop: what 3 sessions of others do is not shown to this user: grant pg_read_all_stats"
      ])
    })
  )

  it.effect("each limit is where it is said to be", () =>
    Effect.gen(function* () {
      const full = "Degraded Postgres/ConnectionsExhausted"
      assert.strictEqual(yield* tagOf({ used: 89 }, {}), "Healthy")
      assert.strictEqual(yield* tagOf({ used: 90 }, {}), full)
      assert.strictEqual(yield* tagOf({ used: 50 }, { maxConnectionsAt: 0.5 }), full)
      assert.strictEqual(yield* tagOf({ used: 49 }, { maxConnectionsAt: 0.5 }), "Healthy")
      const idle = { idlePid: 42, idleApplication: "", idleMillis: 60_001 }
      assert.strictEqual(yield* tagOf(idle, { idleInTransaction: "1 minute" }), "Degraded Postgres/IdleInTransaction")
      assert.strictEqual(yield* tagOf(idle, { idleInTransaction: "2 minutes" }), "Healthy")
      assert.strictEqual(yield* tagOf(idle, {}), "Healthy")
      const behind = { isStandby: true, isReadOnly: true, lagMillis: 60_001 }
      const lag = "Degraded Postgres/ReplicationLag"
      assert.strictEqual(yield* tagOf(behind, { role: "any", maxReplicationLag: "1 minute" }), lag)
      assert.strictEqual(yield* tagOf(behind, { role: "any", maxReplicationLag: "61 seconds" }), "Healthy")
      assert.strictEqual(yield* tagOf(behind, { role: "standby" }), "Healthy")
    })
  )

  it.effect("degradedAfter and timeout: time from the first step on", () =>
    Effect.gen(function* () {
      const taking = (time: Duration.Input) => ({
        ...nowhere,
        connect: Effect.as(Effect.sleep(time), { query: () => Effect.succeed([good]) })
      })
      const found = (time: Duration.Input) =>
        Effect.gen(function* () {
          const options = { degradedAfter: "2 seconds", timeout: "4 seconds" } as const
          const check = yield* Effect.forkChild(probing(taking(time), options).check, { startImmediately: true })
          yield* TestClock.adjust("10 seconds")
          return yield* Fiber.join(check)
        })
      assert.deepStrictEqual(yield* found("2 seconds"), Verdict.healthy)
      assert.deepStrictEqual(
        yield* found("3 seconds"),
        Verdict.degraded(new PostgresProbe.TooSlow({ target: nowhere.target, took: Duration.seconds(3) }), [
          "postgres://127.0.0.1:1/shop: answered after 3s"
        ])
      )
      assert.deepStrictEqual(
        yield* found("5 seconds"),
        Verdict.unhealthy(new PostgresProbe.Timeout({ target: nowhere.target, after: Duration.seconds(4) }), [
          "postgres://127.0.0.1:1/shop: no answer within 4s"
        ])
      )
    })
  )

  it.live("who is no Postgres is unreachable, and who says nothing is late", () =>
    Effect.gen(function* () {
      for (const stranger of Object.values(strangers).slice(0, 10)) {
        const { abandoned, port } = yield* tcpServer(stranger)
        const found = yield* probing(at(`postgres://probe:s3cret@127.0.0.1:${port}/shop`)).check
        assert.strictEqual(signatureOf(found)._tag, "Postgres/Unreachable")
        assert.notInclude(JSON.stringify(found), "s3cret")
        yield* abandoned
      }
      const { abandoned, port } = yield* tcpServer(() => {})
      const late = yield* probing(at(`postgres://probe:s3cret@127.0.0.1:${port}/shop`), { timeout: "100 millis" }).check
      assert.strictEqual(signatureOf(late)._tag, "Postgres/Timeout")
      yield* abandoned
    })
  )
})

describe.skipIf(TestPostgres.isMissing())("PostgresProbe and Postgres", () => {
  const primary = shared(
    Effect.tap(
      TestPostgres.makeWith({ settings: { max_connections: "45", superuser_reserved_connections: "3" } }),
      (server) =>
        server.sql(
          "CREATE ROLE probe LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats; CREATE DATABASE shop;"
        )
    )
  )
  const standby = shared(
    Effect.flatMap(primary, (server) =>
      TestPostgres.makeWith({ standbyOf: server, settings: { max_connections: "45" } })
    )
  )
  /** Needs a password, and has room for four of the users who are no superusers. */
  const guarded = shared(
    Effect.tap(
      TestPostgres.makeWith({
        password: "s3cret",
        // Without a `recovery.signal` nothing is restored.
        settings: {
          max_connections: "6",
          superuser_reserved_connections: "2",
          max_wal_senders: "0",
          restore_command: "while test -e hold; do sleep 0.05; done; false"
        }
      }),
      (server) => server.sql("CREATE ROLE probe LOGIN PASSWORD 's3cret'")
    )
  )

  it.live("a primary is healthy, also for a user without rights, and to the eyes of all that can be asked", () =>
    Effect.gen(function* () {
      const { url } = yield* primary
      assert.deepStrictEqual(yield* probing(at(url)).check, Verdict.healthy)
      const options = { role: "any", maxReplicationLag: "1 minute", idleInTransaction: "5 minutes" } as const
      assert.strictEqual((yield* probing(asUser(url, "probe"), options).check)._tag, "Healthy")
      assert.deepInclude(signatureOf(yield* probing(at(url), { role: "standby" }).check), {
        _tag: "Postgres/NotStandby"
      })
    })
  )

  it.live(
    "acceptance(core-and-probes 11): a standby where SELECT 1 succeeds is ReadOnly; the liveness role is unaffected",
    () =>
      Effect.gen(function* () {
        const { url } = yield* standby
        const database = at(url)
        const rows = yield* Effect.scoped(Effect.flatMap(database.connect, ({ query }) => query("SELECT 1 AS one")))
        assert.deepStrictEqual(rows, [{ one: 1 }])
        const found = yield* probing(database).check
        assert.strictEqual(found._tag, "Unhealthy")
        assert.deepInclude(signatureOf(found), { _tag: "Postgres/ReadOnly", why: "standby" })
        assert.deepStrictEqual(yield* probing(database, { role: "any" }).check, Verdict.healthy)
        assert.deepStrictEqual(yield* probing(database, { role: "standby" }).check, Verdict.healthy)
      })
  )

  it.live("a standby that replays no more is behind, and is not any more when it goes on", () =>
    Effect.gen(function* () {
      const { sql } = yield* primary
      const { sql: onStandby, url } = yield* standby
      const probe = probing(at(url), { role: "standby", maxReplicationLag: "50 millis" })
      yield* sql("CREATE TABLE seen (at timestamptz); INSERT INTO seen VALUES (now())")
      const is = (tag: string) =>
        eventually(
          tag,
          Effect.map(probe.check, (found) => {
            const name = "signature" in found ? found.signature._tag : found._tag
            return name === tag ? true : undefined
          })
        )
      yield* is("Healthy")
      yield* onStandby("SELECT pg_wal_replay_pause()")
      yield* sql("INSERT INTO seen VALUES (now())")
      yield* is("Postgres/ReplicationLag")
      yield* onStandby("SELECT pg_wal_replay_resume()")
      yield* is("Healthy")
    })
  )

  it.live("a standby that restarts while nothing changes on the primary is not behind", () =>
    Effect.gen(function* () {
      const server = yield* standby
      yield* server.kill
      yield* server.start
      yield* server.ready
      // What it received counts from the beginning of a segment on, and what it replayed from where it was.
      const ahead = "SELECT pg_last_wal_replay_lsn() > pg_last_wal_receive_lsn() FROM pg_stat_wal_receiver"
      yield* eventually(
        "it is connected",
        Effect.map(server.sql(ahead), (answer) => (answer === "t" ? true : undefined))
      )
      const probe = probing(at(server.url), { role: "standby", maxReplicationLag: "50 millis" })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it.live("read-only by a setting of the user, the database or the server is ReadOnly too", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* primary
      yield* sql("ALTER DATABASE shop SET default_transaction_read_only = on")
      const database = at(url).withDatabase("shop")
      const found = signatureOf(yield* probing(database).check)
      assert.deepInclude(found, { _tag: "Postgres/ReadOnly", why: "setting" })
      assert.deepStrictEqual(yield* probing(database, { role: "any" }).check, Verdict.healthy)
    })
  )

  it.live("idle in transaction: the longest is named; who may not see it is told so", () =>
    Effect.gen(function* () {
      const { url } = yield* primary
      // Longer than the one that is meant: a session that has nothing to do, and one that is at work.
      const elsewhere = yield* Effect.all([at(url).connect, at(url).connect])
      yield* elsewhere[0].query("SELECT 1")
      yield* elsewhere[1].query("BEGIN")
      yield* Effect.forkChild(elsewhere[1].query("SELECT pg_sleep(60)"), { startImmediately: true })
      const session = yield* at(`${url}?application_name=importer`).connect
      yield* session.query("BEGIN")
      const [row] = yield* session.query("SELECT pg_backend_pid() AS pid")
      const later = yield* at(`${url}?application_name=later`).connect
      yield* later.query("BEGIN")
      yield* later.query("SELECT pg_sleep(0.01)")
      const options = { idleInTransaction: "1 millis" } as const
      const found = yield* probing(asUser(url, "watcher"), options).check
      assert.strictEqual(found._tag, "Degraded")
      assert.deepInclude(signatureOf(found), {
        _tag: "Postgres/IdleInTransaction",
        pid: Number(row?.["pid"]),
        application: "importer"
      })
      assert.deepStrictEqual(yield* probing(at(url), { idleInTransaction: "1 hour" }).check, Verdict.healthy)
      const blind = yield* probing(asUser(url, "probe"), options).check
      assert.strictEqual(blind._tag, "Healthy")
      assert.match(JSON.stringify(blind), /what \d+ sessions of others do is not shown to this user/)
    })
  )

  it.live("connections: near the limit is degraded, refused is unhealthy, and superusers still get in", () =>
    Effect.gen(function* () {
      const { url } = yield* guarded
      const database = guardedAs(url, "s3cret")
      assert.deepStrictEqual(yield* probing(database).check, Verdict.healthy)
      yield* Effect.all([database.connect, database.connect, database.connect])
      // The session of the check before may still be going.
      const near = yield* eventually(
        "four of four",
        Effect.map(probing(database, { maxConnectionsAt: 1 }).check, (found) =>
          "signature" in found && "used" in found.signature && found.signature.used === 4 ? found : undefined
        )
      )
      assert.strictEqual(near._tag, "Degraded")
      assert.deepInclude(signatureOf(near), { _tag: "Postgres/ConnectionsExhausted", used: 4, limit: 4 })
      const fourth = Effect.match(database.connect, { onSuccess: () => true, onFailure: () => undefined })
      yield* eventually("the fourth is in", fourth)
      const full = yield* probing(database).check
      assert.strictEqual(full._tag, "Unhealthy")
      assert.notProperty(signatureOf(full), "used")
      assert.strictEqual(signatureOf(full)._tag, "Postgres/ConnectionsExhausted")
      assert.strictEqual((yield* probing(at(url)).check)._tag, "Degraded")
    })
  )

  it.live("a limit of the probe's own role says nothing of the server; one of the database does", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* primary
      yield* sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 1; CREATE DATABASE narrow CONNECTION LIMIT 0")
      const database = asUser(url, "limited")
      yield* database.connect
      const limited = yield* probing(database).check
      assert.strictEqual(limited._tag, "Inconclusive")
      assert.match(JSON.stringify(limited), /too many connections for role/)
      const narrow = yield* probing(asUser(url, "probe").withDatabase("narrow")).check
      assert.strictEqual(narrow._tag, "Unhealthy")
      assert.strictEqual(signatureOf(narrow)._tag, "Postgres/ConnectionsExhausted")
    })
  )

  it.live("wrong password, unknown database: AccessDenied, in the server's words, without the password", () =>
    Effect.gen(function* () {
      const { url } = yield* guarded
      const wrong = yield* probing(guardedAs(url, "wr0ng-one")).check
      assert.deepInclude(signatureOf(wrong), {
        _tag: "Postgres/AccessDenied",
        message: 'password authentication failed for user "probe"'
      })
      assert.notMatch(JSON.stringify(wrong), /wr0ng-one|s3cret/)
      assert.deepInclude(signatureOf(yield* probing(at(url).withDatabase("nowhere")).check), {
        _tag: "Postgres/AccessDenied",
        message: 'database "nowhere" does not exist'
      })
    })
  )

  it.live("frozen is late, thawed is healthy; killed is unreachable; in recovery it is not ready; then healthy", () =>
    Effect.gen(function* () {
      const server = yield* guarded
      const database = at(server.url)
      const probe = probing(database)
      // Sessions of checks that gave up still count for a moment.
      const isBack = eventually(
        "it is back",
        Effect.map(probe.check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
      )
      yield* server.freeze
      assert.strictEqual(
        signatureOf(yield* probing(database, { timeout: "200 millis" }).check)._tag,
        "Postgres/Timeout"
      )
      yield* server.thaw
      yield* isBack
      yield* server.kill
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Postgres/Unreachable", code: "ECONNREFUSED" })
      for (const name of ["hold", "recovery.signal"]) Fs.writeFileSync(Path.join(server.data, name), "")
      yield* server.start
      const notReady = eventually(
        "it recovers",
        Effect.map(probe.check, (found) =>
          "signature" in found && found.signature._tag === "Postgres/NotReady" ? found : undefined
        )
      )
      assert.match(JSON.stringify(yield* notReady), /the database system is starting up|not yet accepting/)
      Fs.rmSync(Path.join(server.data, "hold"))
      yield* isBack
    })
  )

  probeContract<Finding>("PostgresProbe", {
    situations: {
      Healthy: Effect.map(primary, ({ url }) => PostgresProbe.make({ name: "shop", database: at(url) })),
      Inconclusive: Effect.sync(() => PostgresProbe.make({ name: "shop", database: being({ used: "many" }) })),
      "Postgres/Unreachable": Effect.map(freePort, (port) =>
        PostgresProbe.make({ name: "shop", database: at(`postgres://probe@127.0.0.1:${port}`) })
      ),
      "Postgres/Timeout": Effect.map(
        tcpServer(() => {}),
        ({ port }) =>
          PostgresProbe.make({
            name: "shop",
            database: at(`postgres://probe@127.0.0.1:${port}`),
            timeout: "20 millis"
          })
      ),
      "Postgres/AccessDenied": Effect.map(primary, ({ url }) =>
        PostgresProbe.make({ name: "shop", database: asUser(url, "nobody") })
      ),
      "Postgres/NotReady": Effect.map(
        tcpServer((socket) =>
          socket.once("data", () => socket.end(refusing("57P03", "the database system is starting up")))
        ),
        ({ port }) => PostgresProbe.make({ name: "shop", database: at(`postgres://probe@127.0.0.1:${port}`) })
      ),
      "Postgres/ConnectionsExhausted": Effect.map(primary, ({ url }) =>
        PostgresProbe.make({ name: "shop", database: at(url), maxConnectionsAt: 0.01 })
      ),
      "Postgres/QueryFailed": Effect.sync(() => {
        const outOfMemory = new Database.QueryFailed({ code: "53200", message: "out of memory" })
        return PostgresProbe.make({ name: "shop", database: failing(outOfMemory) })
      }),
      "Postgres/ReadOnly": Effect.map(standby, ({ url }) => PostgresProbe.make({ name: "shop", database: at(url) })),
      "Postgres/NotStandby": Effect.map(primary, ({ url }) =>
        PostgresProbe.make({ name: "shop", database: at(url), role: "standby" })
      ),
      "Postgres/ReplicationLag": Effect.sync(() => {
        const options = { role: "standby", maxReplicationLag: "1 minute" } as const
        const database = being({ isStandby: true, isReadOnly: true, lagMillis: 61_000 })
        return PostgresProbe.make({ name: "shop", database, ...options })
      }),
      "Postgres/IdleInTransaction": Effect.gen(function* () {
        const database = at((yield* primary).url)
        const session = yield* Effect.orDie(database.connect)
        yield* session.query("BEGIN")
        // Older than a millisecond from the first check on.
        yield* session.query("SELECT pg_sleep(0.01)")
        yield* Effect.sleep("10 millis")
        return PostgresProbe.make({ name: "shop", database, idleInTransaction: "1 millis" })
      }),
      "Postgres/TooSlow": Effect.sync(() => {
        const connect = Effect.as(Effect.sleep("5 millis"), { query: () => Effect.succeed([good]) })
        return PostgresProbe.make({ name: "shop", database: { ...nowhere, connect }, degradedAfter: "1 millis" })
      })
    },
    waiting: Effect.map(
      tcpServer(() => {}),
      ({ port }) => PostgresProbe.make({ name: "shop", database: at(`postgres://probe@127.0.0.1:${port}`) })
    )
  })
})
