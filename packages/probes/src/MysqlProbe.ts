/**
 * Logs in to a MySQL or MariaDB and asks whether it does what its role is: `SELECT 1` succeeds on a read-only replica too.
 *
 * Two to four short statements over a connection of its own; it writes nothing.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type * as Database from "./Database.ts"
import * as DatabaseProbe from "./internal/databaseProbe.ts"
import type { Exactly, Given } from "./internal/given.ts"
import * as S from "./internal/mysqlSignatures.ts"

export * from "./internal/mysqlSignatures.ts"

/**
 * What a server is for. A `primary` takes changes; a `replica` gets them from another; of `any` nothing is demanded, as
 * when the question is whether it lives.
 *
 * @category models
 * @since 0.1.0
 */
export type Role = "primary" | "replica" | "any"

/**
 * @category models
 * @since 0.1.0
 */
export interface MysqlProbeOptions {
  readonly name: string
  /** Made by `MysqlDatabase.make`. */
  readonly database: Database.Database
  /** `primary` unless told. A liveness probe takes `any`: nobody restarts a replica for being one. */
  readonly role?: Role
  /** The share of the connections from which on it is degraded; 0.9 unless told. */
  readonly maxConnectionsAt?: number
  /** The longest that a session may be idle in a transaction, in whole seconds; not judged unless told. */
  readonly idleInTransaction?: Duration.Input
  /** How far a replica may be behind, in whole seconds; not judged unless told. Needs another role than `primary`. */
  readonly maxReplicationLag?: Duration.Input
  /** Slower answers are degraded; not judged unless told. */
  readonly degradedAfter?: Duration.Input
  /** For connecting, logging in and the answers; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type OfRole<R> = R extends "any" ? never : R extends "replica" ? S.NotReplica | S.ReplicationStopped : S.ReadOnly

/**
 * What a probe with these options can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | S.Unreachable
  | S.Timeout
  | S.AccessDenied
  | S.NotReady
  | S.ConnectionsExhausted
  | S.QueryFailed
  | OfRole<O extends { readonly role?: infer R } ? ("role" extends keyof O ? R : "primary") : "primary">
  | Given<O, "idleInTransaction", S.IdleInTransaction>
  | Given<O, "maxReplicationLag", S.ReplicationStopped | S.ReplicationLag>
  | Given<O, "degradedAfter", S.TooSlow>

type Any = Found<Required<MysqlProbeOptions>>

type Findings = ReadonlyArray<DatabaseProbe.Finding<Any>>

const checks = Options.checks("MysqlProbe")

/** One of them is on where changes are refused; which there are depends on the product and its version. */
const readOnlySettings = ["read_only", "innodb_read_only", "transaction_read_only", "tx_read_only"]

const settingsQuestion = `SHOW SESSION VARIABLES WHERE Variable_name IN ('version', 'max_connections', ${readOnlySettings
  .map((name) => `'${name}'`)
  .join(", ")})`

const Setting = Schema.Struct({ Variable_name: Schema.String, Value: Schema.String })

const asRecord = (rows: ReadonlyArray<typeof Setting.Type>): Record<string, string> =>
  Object.fromEntries(rows.map((row) => [row.Variable_name.toLowerCase(), row.Value]))

const idleQuestion = `
SELECT p.id AS id, p.user AS user, p.time AS seconds
FROM information_schema.innodb_trx AS t JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
WHERE p.command = 'Sleep' ORDER BY p.time DESC LIMIT 1`

const Seconds = Schema.Union([Schema.Finite, Schema.FiniteFromString])

const Idle = Schema.Struct({ id: Seconds, user: Schema.String, seconds: Seconds })

/** The products, and their versions, have other names for the same. */
const Replication = Schema.Struct({
  Connection_name: Schema.optionalKey(Schema.String),
  Channel_Name: Schema.optionalKey(Schema.String),
  Slave_IO_Running: Schema.optionalKey(Schema.String),
  Slave_SQL_Running: Schema.optionalKey(Schema.String),
  Replica_IO_Running: Schema.optionalKey(Schema.String),
  Replica_SQL_Running: Schema.optionalKey(Schema.String),
  Seconds_Behind_Master: Schema.optionalKey(Schema.NullOr(Seconds)),
  Seconds_Behind_Source: Schema.optionalKey(Schema.NullOr(Seconds))
})

type Asked<A> = Effect.Effect<A, Database.DatabaseError | DatabaseProbe.Strange>

/** `undefined` where this user may not ask. */
const ifAllowed = <A>(asked: Asked<A>): Asked<A | undefined> =>
  Effect.catchTag(asked, "DatabaseError", (error) =>
    error.reason._tag === "QueryFailed" && /ACCESS_?DENIED/.test(error.reason.code)
      ? Effect.undefined
      : Effect.fail(error)
  )

/**
 * Versions before 8.0.22 and 10.5 do not know replicas. MariaDB shows only the connection that has no name unless it is
 * asked for all.
 */
const replicationOf = (
  session: Database.Session,
  version: string
): Asked<ReadonlyArray<typeof Replication.Type> | undefined> => {
  const [what, formerly] = /mariadb/i.test(version) ? ["ALL REPLICAS", "ALL SLAVES"] : ["REPLICA", "SLAVE"]
  const asked = Effect.catchTag(session.query(`SHOW ${what} STATUS`), "DatabaseError", (error) =>
    error.reason._tag === "QueryFailed" && error.reason.code === "ER_PARSE_ERROR"
      ? session.query(`SHOW ${formerly} STATUS`)
      : Effect.fail(error)
  )
  return ifAllowed(DatabaseProbe.rowsAs(Replication)(asked))
}

const ofIdleness = Effect.fnUntraced(function* (target: string, most: Duration.Duration, idle: typeof Idle.Type) {
  const age = Duration.seconds(idle.seconds)
  if (Duration.isLessThanOrEqualTo(age, most)) return []
  const user = yield* DatabaseProbe.shown(idle.user)
  const line = `${target}: connection ${idle.id} of ${user} is idle in a transaction for ${Duration.format(age)}`
  return [DatabaseProbe.degraded(new S.IdleInTransaction({ target, connection: idle.id, user, age }), line)]
})

const ofReplication = Effect.fnUntraced(function* (
  target: string,
  most: Duration.Duration | undefined,
  status: typeof Replication.Type
): Effect.fn.Return<Findings, DatabaseProbe.Strange> {
  const stopped = Object.entries(status).find(([column, value]) => column.endsWith("_Running") && value !== "Yes")
  if (stopped !== undefined) {
    const connection = yield* DatabaseProbe.shown(status.Connection_name ?? status.Channel_Name ?? "")
    const which = connection === "" ? "" : ` "${connection}"`
    const line = `${target}: its replication${which} has stopped: ${yield* DatabaseProbe.shown(stopped.join(" is "))}`
    return [DatabaseProbe.degraded(new S.ReplicationStopped({ target, connection }), line)]
  }
  if (most === undefined) return []
  const seconds = status.Seconds_Behind_Source ?? status.Seconds_Behind_Master ?? null
  // Known wherever it runs.
  if (seconds === null) return yield* new DatabaseProbe.Strange()
  const lag = Duration.seconds(seconds)
  return Duration.isGreaterThan(lag, most)
    ? [DatabaseProbe.degraded(new S.ReplicationLag({ target, lag }), `${target}: is behind by ${Duration.format(lag)}`)]
    : []
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends MysqlProbeOptions>(
  options: Exactly<O, MysqlProbeOptions>
): Probe.Probe<Found<O>> => {
  // prettier-ignore
  checks.known(options, [
    "name", "database", "role", "maxConnectionsAt", "idleInTransaction", "maxReplicationLag", "degradedAfter", "timeout"
  ])
  const settings = DatabaseProbe.checked(checks, "mysql", options)
  const { database, degradedAfter, idleInTransaction, maxReplicationLag } = settings
  const role = checks.oneOf("role", options.role ?? "primary", ["primary", "replica", "any"])
  if (maxReplicationLag !== undefined && role === "primary") {
    checks.fail("maxReplicationLag", maxReplicationLag, "the role replica or any: a primary is behind nobody")
  }
  const { identity, reach, target } = database

  const connections = Effect.fnUntraced(function* (session: Database.Session, variables: Record<string, string>) {
    const counted = session.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
    const status = asRecord(yield* DatabaseProbe.rowsAs(Setting)(counted))
    const [limit, used] = [Number(variables["max_connections"]), Number(status["threads_connected"])]
    if (!(Number.isInteger(limit) && limit > 0 && Number.isInteger(used))) return yield* new DatabaseProbe.Strange()
    const readOnly = readOnlySettings.find((name) => !["OFF", "0"].includes(variables[name]?.toUpperCase() ?? "OFF"))
    const findings: Findings =
      role === "primary" && readOnly !== undefined
        ? [
            DatabaseProbe.unhealthy(
              new S.ReadOnly({ target, setting: readOnly }),
              `${target}: takes no changes: ${readOnly} is ${yield* DatabaseProbe.shown(variables[readOnly] ?? "")}`
            )
          ]
        : []
    return [
      ...findings,
      ...DatabaseProbe.nearLimit<Any>(settings, used, limit, () => new S.ConnectionsExhausted({ target, used, limit }))
    ]
  })

  const replication = Effect.fnUntraced(function* (session: Database.Session, version: string) {
    if (role !== "replica" && maxReplicationLag === undefined) return { findings: [], unjudged: [] }
    const statuses = yield* replicationOf(session, version)
    if (statuses === undefined) {
      const why = `${target}: its replication is not shown to this user: grant REPLICATION CLIENT`
      return { findings: [], unjudged: [why] }
    }
    if (statuses.length === 0 && role === "replica") {
      const none: Findings = [DatabaseProbe.unhealthy(new S.NotReplica({ target }), `${target}: is no replica`)]
      return { findings: none, unjudged: [] }
    }
    const found = yield* Effect.forEach(statuses, (status) => ofReplication(target, maxReplicationLag, status))
    return { findings: found.flat(), unjudged: [] }
  })

  const idleness = Effect.fnUntraced(function* (session: Database.Session) {
    if (idleInTransaction === undefined) return { findings: [], notes: [] }
    const idle = yield* ifAllowed(DatabaseProbe.rowsAs(Idle)(session.query(idleQuestion)))
    if (idle === undefined) {
      return { findings: [], notes: [`${target}: transactions of others are not shown to this user: grant PROCESS`] }
    }
    const [longest] = idle
    const findings: Findings = longest === undefined ? [] : yield* ofIdleness(target, idleInTransaction, longest)
    return { findings, notes: [] }
  })

  const ask = Effect.fnUntraced(function* (session: Database.Session) {
    const variables = asRecord(yield* DatabaseProbe.rowsAs(Setting)(session.query(settingsQuestion)))
    const first = yield* connections(session, variables)
    const { findings, unjudged } = yield* replication(session, variables["version"] ?? "")
    const idle = yield* idleness(session)
    return { findings: [...first, ...findings, ...idle.findings], notes: idle.notes, unjudged }
  })

  const reports: ReadonlyArray<Verdict.SignatureClass<Any>> = [
    S.Unreachable,
    S.Timeout,
    S.AccessDenied,
    S.NotReady,
    S.ConnectionsExhausted,
    S.QueryFailed,
    ...(role === "primary" ? [S.ReadOnly] : []),
    ...(role === "replica" ? [S.NotReplica] : []),
    ...(role === "replica" || maxReplicationLag !== undefined ? [S.ReplicationStopped] : []),
    ...(idleInTransaction === undefined ? [] : [S.IdleInTransaction]),
    ...(maxReplicationLag === undefined ? [] : [S.ReplicationLag]),
    ...(degradedAfter === undefined ? [] : [S.TooSlow])
  ]
  const check = DatabaseProbe.check<Any>(
    settings,
    ask,
    {
      unreachable: (code) => new S.Unreachable({ target, code }),
      late: (after) => new S.Timeout({ target, after }),
      denied: (message) => new S.AccessDenied({ target, message }),
      notReady: (message) => new S.NotReady({ target, message }),
      full: () => new S.ConnectionsExhausted({ target }),
      failed: (code, message) => new S.QueryFailed({ target, code, message })
    },
    (took) => new S.TooSlow({ target, took })
  )
  const { name, ...asked } = { ...settings, name: options.name, role, database: identity }
  const probe: Probe.Probe<Any> = Probe.make({
    name,
    reports,
    target,
    timeout: settings.timeout,
    reach,
    question: ["MysqlProbe", asked],
    check
  })
  // The signatures of options that were not given are not among what it reports.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
