import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestMariaDb from "@nexobot/testing/TestMariaDb"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"

import * as Database from "../src/Database.ts"
import * as MysqlDatabase from "../src/MysqlDatabase.ts"
import * as MysqlProbe from "../src/MysqlProbe.ts"
import { shared, strangers } from "./DatabaseContract.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, signatureOf, tcpServer } from "./support.ts"

type Options = Omit<MysqlProbe.MysqlProbeOptions, "name" | "database">

type Finding = MysqlProbe.Found<MysqlProbe.MysqlProbeOptions>

/** The general case: any option may be given. */
const probing = (database: Database.Database, options: Options = {}): Probe.Probe<Finding> =>
  MysqlProbe.make<MysqlProbe.MysqlProbeOptions>({ name: "shop", database, timeout: "10 seconds", ...options })

const at = (url: string) => MysqlDatabase.make({ url })

const nowhere = at("mysql://probe@127.0.0.1:1/shop")

/** As `user`, who has no rights but to log in. */
const asUser = (url: string, user: string) => at(url.replace(/nexo@(.*)\/nexo$/, `${user}@$1`))

type Answer = ReturnType<Database.Session["query"]>

interface Facts {
  readonly variables?: Readonly<Record<string, string>>
  readonly used?: string
  readonly idle?: Answer
  readonly replication?: Answer
}

/** What a replica says of itself. */
const following = { Slave_IO_Running: "Yes", Slave_SQL_Running: "Yes", Seconds_Behind_Master: 0 }

const rows = (record: Readonly<Record<string, string>>): Answer =>
  Effect.succeed(Object.entries(record).map(([name, value]) => ({ Variable_name: name, Value: value })))

const asking = (query: Database.Session["query"]): Database.Database => ({
  ...nowhere,
  connect: Effect.succeed({ query })
})

/** A database of which these things are so. */
const being = ({ idle, replication, used = "1", variables }: Facts) =>
  asking((sql) => {
    if (sql.includes("VARIABLES")) return rows({ max_connections: "100", read_only: "OFF", ...variables })
    if (sql.includes("STATUS LIKE")) return rows({ Threads_connected: used })
    if (sql.includes("innodb_trx")) return idle ?? Effect.succeed([])
    return replication ?? Effect.succeed([])
  })

const refusedWith = (reason: Database.DatabaseError["reason"]) =>
  Effect.fail(new Database.DatabaseError({ target: nowhere.target, reason }))

const failing = (reason: Database.DatabaseError["reason"]) => asking(() => refusedWith(reason))

const denied = refusedWith(
  new Database.QueryFailed({ code: "ER_SPECIFIC_ACCESS_DENIED_ERROR", message: "you may not" })
)

/** What a server says that lets nobody in. */
const refusing = (code: number, message: string): Buffer => {
  const text = Buffer.from(`#08S01${message}`)
  const packet = Buffer.from([text.length + 3, 0, 0, 0, 0xff, code & 0xff, code >> 8])
  return Buffer.concat([packet, text])
}

/** The signatures that are not those of every probe. */
const tags = (probe: Probe.Any) => probe.reports.map(Verdict.tagOf).slice(6)

const tagOf = (facts: Facts, options: Options) =>
  Effect.map(probing(being(facts), options).check, (found) =>
    "signature" in found ? `${found._tag} ${found.signature._tag}` : found._tag
  )

describe("MysqlProbe", () => {
  it("reports just what its options switch on, and so says its type", () => {
    const base = { name: "shop", database: nowhere }
    type Base =
      | MysqlProbe.Unreachable
      | MysqlProbe.Timeout
      | MysqlProbe.AccessDenied
      | MysqlProbe.NotReady
      | MysqlProbe.ConnectionsExhausted
      | MysqlProbe.QueryFailed
    const minimal = MysqlProbe.make(base)
    expectTypeOf(minimal).toEqualTypeOf<Probe.Probe<Base | MysqlProbe.ReadOnly>>()
    assert.deepStrictEqual(tags(minimal), ["Mysql/ReadOnly"])
    const alive = MysqlProbe.make({ ...base, role: "any", timeout: "1 second", maxConnectionsAt: 0.8 })
    expectTypeOf(alive).toEqualTypeOf<Probe.Probe<Base>>()
    assert.deepStrictEqual(tags(alive), [])
    const replica = MysqlProbe.make({ ...base, role: "replica", maxReplicationLag: "1 minute" })
    expectTypeOf(replica).toEqualTypeOf<
      Probe.Probe<Base | MysqlProbe.NotReplica | MysqlProbe.ReplicationStopped | MysqlProbe.ReplicationLag>
    >()
    assert.deepStrictEqual(tags(replica), ["Mysql/NotReplica", "Mysql/ReplicationStopped", "Mysql/ReplicationLag"])
    const follower = MysqlProbe.make({ ...base, role: "replica" })
    expectTypeOf(follower).toEqualTypeOf<Probe.Probe<Base | MysqlProbe.NotReplica | MysqlProbe.ReplicationStopped>>()
    assert.deepStrictEqual(tags(follower), ["Mysql/NotReplica", "Mysql/ReplicationStopped"])
    const either = MysqlProbe.make({ ...base, role: "any", maxReplicationLag: "1 minute" })
    expectTypeOf(either).toEqualTypeOf<Probe.Probe<Base | MysqlProbe.ReplicationStopped | MysqlProbe.ReplicationLag>>()
    assert.deepStrictEqual(tags(either), ["Mysql/ReplicationStopped", "Mysql/ReplicationLag"])
    const watchful = MysqlProbe.make({ ...base, idleInTransaction: "5 minutes", degradedAfter: "1 second" })
    expectTypeOf(watchful).toEqualTypeOf<
      Probe.Probe<Base | MysqlProbe.ReadOnly | MysqlProbe.IdleInTransaction | MysqlProbe.TooSlow>
    >()
    assert.deepStrictEqual(tags(watchful), ["Mysql/ReadOnly", "Mysql/IdleInTransaction", "Mysql/TooSlow"])
    // Who only may have an option does have its signature.
    const general = MysqlProbe.make<MysqlProbe.MysqlProbeOptions>(base)
    expectTypeOf<MysqlProbe.TooSlow | MysqlProbe.NotReplica>().toExtend<Probe.Signatures<typeof general>>()
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => MysqlProbe.make({ ...base, rol: "any" })).option, "rol")
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ database: "mysql://user:secret@127.0.0.1" }, "database"],
      [{ database: { ...nowhere, dialect: "postgres" } }, "database"],
      [{ role: "standby" }, "role"],
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
      const error = refusal(() => MysqlProbe.make({ name: "shop", database: nowhere, ...options }))
      assert.deepStrictEqual([error.module, error.option], ["MysqlProbe", option])
      assert.notInclude(error.message, "secret")
    }
  })

  it("asks the same as another with equal options, whatever their names; says where and how far, without secrets", () => {
    const url = "mysql://probe:s3cret@127.0.0.1:3306/shop"
    const options = { idleInTransaction: "5 minutes", role: "any" } as const
    const probe = MysqlProbe.make({ name: "a", database: at(url), ...options })
    const same = MysqlProbe.make({ name: "b", database: at(url), ...options, idleInTransaction: { minutes: 5 } })
    assert.isTrue(Equal.equals(Probe.question(probe), Probe.question(same)))
    for (const other of [{ role: "primary" }, { idleInTransaction: "4 minutes" }, { timeout: "4 seconds" }] as const) {
      const differs = MysqlProbe.make({ name: "a", database: at(url), ...options, ...other })
      assert.isFalse(Equal.equals(Probe.question(probe), Probe.question(differs)))
    }
    assert.strictEqual(probe.target, "mysql://127.0.0.1:3306/shop")
    assert.strictEqual(probe.reach, "host")
    assert.strictEqual(MysqlProbe.make({ name: "a", database: at("mysql://u@db.example") }).reach, "network")
    assert.notInclude(JSON.stringify(probe), "s3cret")
  })

  it.effect("what it cannot ask is inconclusive; what makes no sense too", () =>
    Effect.gen(function* () {
      const own = yield* probing(failing(new Database.OwnFault({ why: "no file is left" }))).check
      assert.deepStrictEqual(own, Verdict.inconclusive("mysql://127.0.0.1:1/shop: no file is left"))
      for (const odd of [{ used: "many" }, { variables: { max_connections: "" } }]) {
        assert.strictEqual((yield* probing(being(odd)).check)._tag, "Inconclusive")
      }
      for (const row of [{}, { Variable_name: "max_connections", Value: null }]) {
        const strange = asking(() => Effect.succeed([row]))
        assert.strictEqual((yield* probing(strange).check)._tag, "Inconclusive")
      }
    })
  )

  it.effect("the worst is the signature, and the rest is evidence; what could not be judged too", () =>
    Effect.gen(function* () {
      const idle = Effect.succeed([{ id: 42, user: "shop token=abcdef0123456789abcdef\n", seconds: 61 }])
      const found = yield* probing(being({ variables: { read_only: "ON" }, used: "95", idle }), {
        idleInTransaction: "1 minute"
      }).check
      assert.strictEqual(found._tag, "Unhealthy")
      assert.strictEqual(signatureOf(found)._tag, "Mysql/ReadOnly")
      assert.deepStrictEqual("evidence" in found ? found.evidence : [], [
        "mysql://127.0.0.1:1/shop: takes no changes: read_only is ON",
        "mysql://127.0.0.1:1/shop: 95 of 100 connections are taken",
        `mysql://127.0.0.1:1/shop: connection 42 of shop token=${Redaction.mask} is idle in a transaction for 1m 1s`
      ])
      const odd = { ...following, Connection_name: "c\n".repeat(9999), Slave_SQL_Running: "token=abcdef".repeat(999) }
      const stopped = yield* probing(being({ replication: Effect.succeed([odd]) }), { role: "replica" }).check
      assert.isBelow(JSON.stringify(stopped).length, 1000)
      assert.notInclude(JSON.stringify(stopped), "abcdef")
      const blind = { idle: denied, replication: denied }
      const hiddenRole = "mysql://127.0.0.1:1/shop: its replication is not shown to this user: grant REPLICATION CLIENT"
      const hiddenIdle = "mysql://127.0.0.1:1/shop: transactions of others are not shown to this user: grant PROCESS"
      for (const options of [{ role: "replica" }, { role: "any", maxReplicationLag: "1 minute" }] as const) {
        const watchful = { ...options, idleInTransaction: "1 minute" } as const
        const unknown = yield* probing(being(blind), watchful).check
        assert.deepStrictEqual(unknown, Verdict.inconclusive(`${hiddenRole}; ${hiddenIdle}`))
        const near = yield* probing(being({ ...blind, used: "95" }), watchful).check
        assert.strictEqual(near._tag, "Degraded")
        assert.deepStrictEqual("evidence" in near ? near.evidence.slice(1) : [], [hiddenRole, hiddenIdle])
      }
      assert.deepStrictEqual(
        yield* probing(being(blind), { idleInTransaction: "1 minute" }).check,
        Verdict.healthyWith([hiddenIdle])
      )
    })
  )

  it.effect("each limit is where it is said to be, in the words of each product", () =>
    Effect.gen(function* () {
      const full = "Degraded Mysql/ConnectionsExhausted"
      assert.strictEqual(yield* tagOf({ used: "89" }, {}), "Healthy")
      assert.strictEqual(yield* tagOf({ used: "90" }, {}), full)
      assert.strictEqual(yield* tagOf({ used: "50" }, { maxConnectionsAt: 0.5 }), full)
      assert.strictEqual(yield* tagOf({ used: "49" }, { maxConnectionsAt: 0.5 }), "Healthy")
      for (const name of ["read_only", "innodb_read_only", "transaction_read_only", "tx_read_only"]) {
        for (const on of ["ON", "1", "NO_LOCK"]) {
          assert.strictEqual(yield* tagOf({ variables: { [name]: on } }, {}), "Unhealthy Mysql/ReadOnly")
        }
        assert.strictEqual(yield* tagOf({ variables: { [name]: "0" } }, {}), "Healthy")
        assert.strictEqual(yield* tagOf({ variables: { [name]: "ON" } }, { role: "any" }), "Healthy")
      }
      const idle = Effect.succeed([{ id: "42", user: "shop", seconds: "61" }])
      assert.strictEqual(yield* tagOf({ idle }, { idleInTransaction: "1 minute" }), "Degraded Mysql/IdleInTransaction")
      assert.strictEqual(yield* tagOf({ idle }, { idleInTransaction: "61 seconds" }), "Healthy")
      assert.strictEqual(yield* tagOf({ idle }, {}), "Healthy")
      const lag = "Degraded Mysql/ReplicationLag"
      const behind = { role: "any", maxReplicationLag: "1 minute" } as const
      for (const column of ["Seconds_Behind_Master", "Seconds_Behind_Source"]) {
        const { Seconds_Behind_Master: _, ...others } = following
        const replication = (value: unknown) => ({ replication: Effect.succeed([{ ...others, [column]: value }]) })
        assert.strictEqual(yield* tagOf(replication(61), behind), lag)
        assert.strictEqual(yield* tagOf(replication("61"), behind), lag)
        assert.strictEqual(yield* tagOf(replication(60), behind), "Healthy")
        assert.strictEqual(yield* tagOf(replication(61), { role: "replica" }), "Healthy")
        assert.strictEqual(yield* tagOf(replication(61), { role: "any" }), "Healthy")
      }
      const stopped = "Degraded Mysql/ReplicationStopped"
      for (const column of ["Slave_IO_Running", "Slave_SQL_Running", "Replica_IO_Running", "Replica_SQL_Running"]) {
        for (const value of ["No", "Connecting"]) {
          const status = { ...following, Seconds_Behind_Master: null, [column]: value }
          const facts = { replication: Effect.succeed([following, status]) }
          assert.strictEqual(yield* tagOf(facts, behind), stopped)
          assert.strictEqual(yield* tagOf(facts, { role: "replica" }), stopped)
          assert.strictEqual(yield* tagOf(facts, { role: "any" }), "Healthy")
        }
      }
      assert.strictEqual(yield* tagOf({}, behind), "Healthy")
      assert.strictEqual(yield* tagOf({}, { ...behind, role: "replica" }), "Unhealthy Mysql/NotReplica")
    })
  )

  it.effect("versions that do not know replicas yet are asked for slaves, and MariaDB for all connections", () =>
    Effect.gen(function* () {
      const unknown = refusedWith(new Database.QueryFailed({ code: "ER_PARSE_ERROR", message: "near REPLICA" }))
      const replication = Effect.succeed([{ ...following, Seconds_Behind_Master: 7 }])
      for (const [version, statement] of [
        ["8.4.6", "SHOW REPLICA STATUS"],
        ["5.7.44", "SHOW SLAVE STATUS"],
        ["10.11.19-MariaDB-0+deb12u1", "SHOW ALL REPLICAS STATUS"],
        ["10.4.34-MariaDB", "SHOW ALL SLAVES STATUS"]
      ] as const) {
        const old = being({ replication, variables: { version } })
        const database = asking((sql) =>
          /(REPLICAS?|SLAVES?) STATUS/.test(sql) && sql !== statement
            ? unknown
            : Effect.scoped(Effect.flatMap(old.connect, (session) => session.query(sql)))
        )
        const found = yield* probing(database, { role: "replica", maxReplicationLag: "1 second" }).check
        assert.deepInclude(signatureOf(found), { _tag: "Mysql/ReplicationLag", lag: Duration.seconds(7) })
      }
    })
  )

  it.effect("degradedAfter and timeout: time from the first step on", () =>
    Effect.gen(function* () {
      const taking = (time: Duration.Input) => ({
        ...nowhere,
        connect: Effect.andThen(Effect.sleep(time), being({}).connect)
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
        Verdict.degraded(new MysqlProbe.TooSlow({ target: nowhere.target, took: Duration.seconds(3) }), [
          "mysql://127.0.0.1:1/shop: answered after 3s"
        ])
      )
      assert.deepStrictEqual(
        yield* found("5 seconds"),
        Verdict.unhealthy(new MysqlProbe.Timeout({ target: nowhere.target, after: Duration.seconds(4) }), [
          "mysql://127.0.0.1:1/shop: no answer within 4s"
        ])
      )
    })
  )

  it.live("who is no MySQL is unreachable, and who says nothing is late", () =>
    Effect.gen(function* () {
      for (const stranger of Object.values(strangers).slice(0, 10)) {
        const { abandoned, port } = yield* tcpServer(stranger)
        const found = yield* probing(at(`mysql://probe:s3cret@127.0.0.1:${port}/shop`)).check
        assert.strictEqual(signatureOf(found)._tag, "Mysql/Unreachable")
        assert.notInclude(JSON.stringify(found), "s3cret")
        yield* abandoned
      }
      const { abandoned, port } = yield* tcpServer(() => {})
      const late = yield* probing(at(`mysql://probe:s3cret@127.0.0.1:${port}/shop`), { timeout: "100 millis" }).check
      assert.strictEqual(signatureOf(late)._tag, "Mysql/Timeout")
      yield* abandoned
    })
  )
})

describe.skipIf(TestMariaDb.isMissing())("MysqlProbe and MariaDB", () => {
  const primary = shared(
    Effect.tap(
      TestMariaDb.makeWith({ settings: { "log-bin": "log", "server-id": "1", max_connections: "60" } }),
      (server) => server.sql("RESET MASTER; CREATE USER probe@'%'; CREATE USER locked@'%' IDENTIFIED BY 's3cret';")
    )
  )
  const replica = shared(
    Effect.gen(function* () {
      const { port } = yield* primary
      const server = yield* TestMariaDb.makeWith({ settings: { "server-id": "2", read_only: "1" } })
      const source = `MASTER_HOST = '127.0.0.1', MASTER_PORT = ${port}, MASTER_USER = 'nexo'`
      yield* server.sql(`CHANGE MASTER TO ${source}, MASTER_LOG_FILE = 'log.000001', MASTER_LOG_POS = 4; START SLAVE;`)
      return server
    })
  )

  const small = shared(
    Effect.tap(TestMariaDb.makeWith({ settings: { "server-id": "3", max_connections: "10" } }), ({ sql }) =>
      sql("CREATE USER probe@'%'")
    )
  )

  const becomes = (probe: Probe.Probe<Finding>, tag: string) =>
    eventually(
      tag,
      Effect.map(probe.check, (found) =>
        ("signature" in found ? found.signature._tag : found._tag) === tag ? found : undefined
      )
    )

  it.live("a primary is healthy, also for a user without rights, who is told what he may not see", () =>
    Effect.gen(function* () {
      const { url } = yield* primary
      assert.deepStrictEqual(yield* probing(at(url)).check, Verdict.healthy)
      const options = { role: "replica", maxReplicationLag: "1 minute", idleInTransaction: "5 minutes" } as const
      assert.strictEqual(signatureOf(yield* probing(at(url), options).check)._tag, "Mysql/NotReplica")
      assert.deepStrictEqual(yield* probing(asUser(url, "probe")).check, Verdict.healthy)
      const blind = yield* probing(asUser(url, "probe"), options).check
      assert.strictEqual(blind._tag, "Inconclusive")
      assert.match(JSON.stringify(blind), /grant REPLICATION CLIENT.*grant PROCESS/)
    })
  )

  it.live(
    "acceptance(core-and-probes 11): a MariaDB replica where SELECT 1 succeeds is ReadOnly; liveness is unaffected",
    () =>
      Effect.gen(function* () {
        const { url } = yield* replica
        const database = at(url)
        const one = yield* Effect.scoped(Effect.flatMap(database.connect, ({ query }) => query("SELECT 1 AS one")))
        assert.deepStrictEqual(one, [{ one: 1 }])
        const found = yield* probing(database).check
        assert.strictEqual(found._tag, "Unhealthy")
        assert.deepInclude(signatureOf(found), { _tag: "Mysql/ReadOnly", setting: "read_only" })
        assert.deepStrictEqual(yield* probing(database, { role: "any" }).check, Verdict.healthy)
        assert.deepStrictEqual(yield* probing(database, { role: "replica" }).check, Verdict.healthy)
      })
  )

  it.live("a replica that replays no more is degraded, and is not any more when it goes on", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* replica
      const probe = probing(at(url), { role: "replica", maxReplicationLag: "10 seconds" })
      yield* becomes(probe, "Healthy")
      const undemanding = probing(at(url), { role: "replica" })
      for (const [thread, running] of [
        ["SQL_THREAD", "Slave_SQL_Running"],
        ["IO_THREAD", "Slave_IO_Running"]
      ]) {
        yield* sql(`STOP SLAVE ${thread}`)
        for (const one of [probe, undemanding]) {
          const found = yield* becomes(one, "Mysql/ReplicationStopped")
          assert.strictEqual(found._tag, "Degraded")
          assert.include(JSON.stringify(found), `${running} is No`)
        }
        yield* sql(`START SLAVE ${thread}`)
        yield* becomes(probe, "Healthy")
      }
    })
  )

  it.live("a replica of a named connection is one", () =>
    Effect.gen(function* () {
      const { port, sql: onPrimary } = yield* primary
      const { sql, url } = yield* small
      const [file, position] = (yield* onPrimary("SHOW MASTER STATUS")).split("\t")
      const source = `MASTER_HOST = '127.0.0.1', MASTER_PORT = ${port}, MASTER_USER = 'nexo'`
      yield* sql(`CHANGE MASTER 'shop' TO ${source}, MASTER_LOG_FILE = '${file}', MASTER_LOG_POS = ${position}`)
      yield* sql("START ALL SLAVES")
      const demanding = probing(at(url), { role: "replica" })
      const any = probing(at(url), { role: "any", maxReplicationLag: "1 hour" })
      yield* becomes(demanding, "Healthy")
      yield* becomes(any, "Healthy")
      yield* sql("STOP ALL SLAVES")
      for (const probe of [demanding, any]) {
        assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Mysql/ReplicationStopped", connection: "shop" })
      }
      yield* sql("RESET SLAVE 'shop' ALL")
      assert.strictEqual(signatureOf(yield* demanding.check)._tag, "Mysql/NotReplica")
    })
  )

  it.live("of the sessions that are idle in a transaction, the longest is named", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* primary
      const begun = Effect.gen(function* () {
        const session = yield* at(url).connect
        yield* session.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        const [row] = yield* session.query("SELECT CONNECTION_ID() AS id")
        return { session, id: Number(row?.["id"]) }
      })
      // Time is known in whole seconds only.
      const aSecondOf = (id: number) =>
        eventually(
          `${id} has gone on for a second`,
          Effect.map(sql(`SELECT time FROM information_schema.processlist WHERE id = ${id}`), (time) =>
            Number(time) > 0 ? true : undefined
          )
        )
      // At work, and for longer than all others.
      const busy = yield* begun
      yield* Effect.forkChild(busy.session.query("SELECT SLEEP(60)"), { startImmediately: true })
      yield* aSecondOf(busy.id)
      const { id } = yield* begun
      yield* aSecondOf(id)
      yield* begun
      const found = yield* becomes(probing(at(url), { idleInTransaction: "1 millis" }), "Mysql/IdleInTransaction")
      assert.strictEqual(found._tag, "Degraded")
      assert.deepInclude(signatureOf(found), { connection: id, user: "nexo" })
      assert.deepStrictEqual(yield* probing(at(url), { idleInTransaction: "1 hour" }).check, Verdict.healthy)
    })
  )

  it.live("connections: near the limit is degraded, refused is unhealthy; who may kill others still gets in", () =>
    Effect.gen(function* () {
      const server = yield* small
      const database = asUser(server.url, "probe")
      assert.deepStrictEqual(yield* probing(database).check, Verdict.healthy)
      yield* Effect.all(
        Array.from({ length: 9 }, () =>
          eventually("in", Effect.option(database.connect).pipe(Effect.map(Option.getOrUndefined)))
        )
      )
      const nearly = Effect.map(probing(database, { maxConnectionsAt: 1 }).check, (found) =>
        "signature" in found && "used" in found.signature && found.signature.used === 10 ? found : undefined
      )
      assert.strictEqual((yield* eventually("ten of ten", nearly))._tag, "Degraded")
      const tenth = Effect.match(database.connect, { onSuccess: () => true, onFailure: () => undefined })
      yield* eventually("the tenth is in", tenth)
      const full = yield* probing(database).check
      assert.strictEqual(full._tag, "Unhealthy")
      assert.notProperty(signatureOf(full), "used")
      assert.strictEqual(signatureOf(full)._tag, "Mysql/ConnectionsExhausted")
      assert.strictEqual((yield* probing(at(server.url)).check)._tag, "Degraded")
    })
  )

  it.live("a limit of the probe's own account says nothing of the server", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* primary
      yield* sql(
        "CREATE USER hasty@'%' WITH MAX_QUERIES_PER_HOUR 1; CREATE USER single@'%' WITH MAX_USER_CONNECTIONS 1"
      )
      const single = asUser(url, "single")
      yield* single.connect
      for (const [database, limit] of [
        [asUser(url, "hasty"), "max_queries_per_hour"],
        [single, "max_user_connections"]
      ] as const) {
        const found = yield* probing(database).check
        assert.strictEqual(found._tag, "Inconclusive", limit)
        assert.include(JSON.stringify(found), limit)
      }
    })
  )

  it.live("wrong password, unknown database: AccessDenied, in the server's words, without the password", () =>
    Effect.gen(function* () {
      const { url } = yield* primary
      const wrong = yield* probing(asUser(url, "locked:wr0ng-one")).check
      assert.deepInclude(signatureOf(wrong), {
        _tag: "Mysql/AccessDenied",
        message: "Access denied for user 'locked'@'localhost' (using password: YES)"
      })
      assert.notMatch(JSON.stringify(wrong), /wr0ng-one|s3cret/)
      assert.deepInclude(signatureOf(yield* probing(at(url).withDatabase("nowhere")).check), {
        _tag: "Mysql/AccessDenied",
        message: "Unknown database 'nowhere'"
      })
    })
  )

  it.live("a password that has expired is AccessDenied", () =>
    Effect.gen(function* () {
      const { sql, url } = yield* primary
      yield* sql("CREATE USER late@'%'; ALTER USER late@'%' PASSWORD EXPIRE")
      assert.strictEqual(signatureOf(yield* probing(asUser(url, "late")).check)._tag, "Mysql/AccessDenied")
    })
  )

  it.live("frozen is late, thawed is healthy; killed is unreachable until it is back", () =>
    Effect.gen(function* () {
      const server = yield* small
      const database = at(server.url)
      const probe = probing(database)
      yield* server.freeze
      assert.strictEqual(signatureOf(yield* probing(database, { timeout: "200 millis" }).check)._tag, "Mysql/Timeout")
      yield* server.thaw
      yield* becomes(probe, "Healthy")
      yield* server.kill
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "Mysql/Unreachable", code: "ECONNREFUSED" })
      yield* server.start
      yield* becomes(probe, "Healthy")
    })
  )

  probeContract<Finding>("MysqlProbe", {
    situations: {
      Healthy: Effect.map(primary, ({ url }) => MysqlProbe.make({ name: "shop", database: at(url) })),
      Inconclusive: Effect.sync(() => MysqlProbe.make({ name: "shop", database: being({ used: "many" }) })),
      "Mysql/Unreachable": Effect.map(freePort, (port) =>
        MysqlProbe.make({ name: "shop", database: at(`mysql://probe@127.0.0.1:${port}`) })
      ),
      "Mysql/Timeout": Effect.map(
        tcpServer(() => {}),
        ({ port }) =>
          MysqlProbe.make({
            name: "shop",
            database: at(`mysql://probe@127.0.0.1:${port}`),
            timeout: "20 millis"
          })
      ),
      "Mysql/AccessDenied": Effect.map(primary, ({ url }) =>
        MysqlProbe.make({ name: "shop", database: asUser(url, "nobody") })
      ),
      "Mysql/NotReady": Effect.map(
        tcpServer((socket) => socket.end(refusing(1053, "Server shutdown in progress"))),
        ({ port }) => MysqlProbe.make({ name: "shop", database: at(`mysql://probe@127.0.0.1:${port}`) })
      ),
      "Mysql/ConnectionsExhausted": Effect.map(primary, ({ url }) =>
        MysqlProbe.make({ name: "shop", database: at(url), maxConnectionsAt: 0.01 })
      ),
      "Mysql/QueryFailed": Effect.sync(() => {
        const outOfMemory = new Database.QueryFailed({ code: "ER_OUTOFMEMORY", message: "out of memory" })
        return MysqlProbe.make({ name: "shop", database: failing(outOfMemory) })
      }),
      "Mysql/ReadOnly": Effect.map(replica, ({ url }) => MysqlProbe.make({ name: "shop", database: at(url) })),
      "Mysql/NotReplica": Effect.map(primary, ({ url }) =>
        MysqlProbe.make({ name: "shop", database: at(url), role: "replica" })
      ),
      "Mysql/ReplicationLag": Effect.sync(() => {
        const options = { role: "replica", maxReplicationLag: "1 minute" } as const
        const database = being({ replication: Effect.succeed([{ ...following, Seconds_Behind_Master: 61 }]) })
        return MysqlProbe.make({ name: "shop", database, ...options })
      }),
      "Mysql/ReplicationStopped": Effect.sync(() => {
        const database = being({ replication: Effect.succeed([{ ...following, Slave_SQL_Running: "No" }]) })
        return MysqlProbe.make({ name: "shop", database, role: "replica" })
      }),
      "Mysql/IdleInTransaction": Effect.sync(() => {
        const database = being({ idle: Effect.succeed([{ id: 42, user: "shop", seconds: 61 }]) })
        return MysqlProbe.make({ name: "shop", database, idleInTransaction: "1 minute" })
      }),
      "Mysql/TooSlow": Effect.sync(() => {
        const connect = Effect.andThen(Effect.sleep("5 millis"), being({}).connect)
        return MysqlProbe.make({ name: "shop", database: { ...nowhere, connect }, degradedAfter: "1 millis" })
      })
    },
    waiting: Effect.map(
      tcpServer(() => {}),
      ({ port }) => MysqlProbe.make({ name: "shop", database: at(`mysql://probe@127.0.0.1:${port}`) })
    )
  })
})
