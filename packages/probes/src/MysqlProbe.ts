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

/**
 * No connection, or it broke; or something answers there that is no MySQL.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Mysql/Unreachable")(
  "Mysql/Unreachable",
  {
    target: Schema.String,
    /** The system's code, for example `ECONNREFUSED`. */
    code: Schema.String
  }
) {}

/**
 * No answer within the time allowed: a frozen server accepts connections all the same.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Mysql/Timeout")("Mysql/Timeout", {
  target: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * The user, the password or the database is not accepted.
 *
 * @category signatures
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedClass<AccessDenied>("@nexobot/probes/Mysql/AccessDenied")(
  "Mysql/AccessDenied",
  {
    target: Schema.String,
    /** The server's words. */
    message: Schema.String
  }
) {}

/**
 * It runs and accepts no sessions: it shuts down.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotReady extends Schema.TaggedClass<NotReady>("@nexobot/probes/Mysql/NotReady")("Mysql/NotReady", {
  target: Schema.String,
  /** The server's words, for example `Server shutdown in progress`. */
  message: Schema.String
}) {}

/**
 * All connections are taken, so that it refuses another (unhealthy), or nearly all (degraded).
 *
 * @category signatures
 * @since 0.1.0
 */
export class ConnectionsExhausted extends Schema.TaggedClass<ConnectionsExhausted>(
  "@nexobot/probes/Mysql/ConnectionsExhausted"
)("Mysql/ConnectionsExhausted", {
  target: Schema.String,
  /** Connections of clients; not known where it refuses. */
  used: Schema.optionalKey(Schema.Int),
  /** `max_connections`. */
  limit: Schema.optionalKey(Schema.Int)
}) {}

/**
 * It let us in, and refused the probe's statement: it is out of memory, a table of its own is damaged.
 *
 * @category signatures
 * @since 0.1.0
 */
export class QueryFailed extends Schema.TaggedClass<QueryFailed>("@nexobot/probes/Mysql/QueryFailed")(
  "Mysql/QueryFailed",
  {
    target: Schema.String,
    /** The name of the error, for example `ER_OUTOFMEMORY`. */
    code: Schema.String,
    message: Schema.String
  }
) {}

/**
 * It answers questions and takes no changes, although it is the primary.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReadOnly extends Schema.TaggedClass<ReadOnly>("@nexobot/probes/Mysql/ReadOnly")("Mysql/ReadOnly", {
  target: Schema.String,
  /** The setting that is on: `read_only`, `innodb_read_only` or the one of transactions. */
  setting: Schema.String
}) {}

/**
 * It replicates from nobody, although it should be a replica.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotReplica extends Schema.TaggedClass<NotReplica>("@nexobot/probes/Mysql/NotReplica")("Mysql/NotReplica", {
  target: Schema.String
}) {}

/**
 * A replica is behind its primary by more than `maxReplicationLag`, or replicates no more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicationLag extends Schema.TaggedClass<ReplicationLag>("@nexobot/probes/Mysql/ReplicationLag")(
  "Mysql/ReplicationLag",
  {
    target: Schema.String,
    /** Absent where replication stopped. */
    lag: Schema.optionalKey(Schema.DurationFromMillis)
  }
) {}

/**
 * A session began a transaction and has been doing nothing since: it keeps locks, and old versions of rows.
 *
 * @category signatures
 * @since 0.1.0
 */
export class IdleInTransaction extends Schema.TaggedClass<IdleInTransaction>("@nexobot/probes/Mysql/IdleInTransaction")(
  "Mysql/IdleInTransaction",
  {
    target: Schema.String,
    /** The number of the connection; `KILL` ends it. */
    connection: Schema.Int,
    user: Schema.String,
    age: Schema.DurationFromMillis
  }
) {}

/**
 * It answered, after more than `degradedAfter`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class TooSlow extends Schema.TaggedClass<TooSlow>("@nexobot/probes/Mysql/TooSlow")("Mysql/TooSlow", {
  target: Schema.String,
  took: Schema.DurationFromMillis
}) {}

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

type OfRole<R> = R extends "any" ? never : R extends "replica" ? NotReplica : ReadOnly

/**
 * What a probe with these options can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Signatures<O> =
  | Unreachable
  | Timeout
  | AccessDenied
  | NotReady
  | ConnectionsExhausted
  | QueryFailed
  | OfRole<O extends { readonly role?: infer R } ? ("role" extends keyof O ? R : "primary") : "primary">
  | Given<O, "idleInTransaction", IdleInTransaction>
  | Given<O, "maxReplicationLag", ReplicationLag>
  | Given<O, "degradedAfter", TooSlow>

type Any = Signatures<Required<MysqlProbeOptions>>

type Findings = ReadonlyArray<DatabaseProbe.Finding<Any>>

const checks = Options.checks("MysqlProbe")

/** One of them is on where changes are refused; which there are depends on the product and its version. */
const readOnlySettings = ["read_only", "innodb_read_only", "transaction_read_only", "tx_read_only"]

const settingsQuestion = `SHOW SESSION VARIABLES WHERE Variable_name IN ('max_connections', ${readOnlySettings
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

/** MariaDB and MySQL have other names for it. */
const Replication = Schema.Struct({
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

/** Versions before 8.0.22 and 10.5 do not know the word. */
const replicationOf = (session: Database.Session): Asked<ReadonlyArray<typeof Replication.Type>> =>
  Effect.catchTag(session.query("SHOW REPLICA STATUS"), "DatabaseError", (error) =>
    error.reason._tag === "QueryFailed" && error.reason.code === "ER_PARSE_ERROR"
      ? session.query("SHOW SLAVE STATUS")
      : Effect.fail(error)
  ).pipe(DatabaseProbe.rowsAs(Replication))

const ofIdleness = Effect.fnUntraced(function* (target: string, most: Duration.Duration, idle: typeof Idle.Type) {
  const age = Duration.seconds(idle.seconds)
  if (Duration.isLessThanOrEqualTo(age, most)) return []
  const user = yield* DatabaseProbe.shown(idle.user)
  const line = `${target}: connection ${idle.id} of ${user} is idle in a transaction for ${Duration.format(age)}`
  return [DatabaseProbe.degraded(new IdleInTransaction({ target, connection: idle.id, user, age }), line)]
})

const ofLag = (target: string, most: Duration.Duration, status: typeof Replication.Type): Findings => {
  const seconds = status.Seconds_Behind_Source ?? status.Seconds_Behind_Master ?? null
  if (seconds === null) {
    return [DatabaseProbe.degraded(new ReplicationLag({ target }), `${target}: its replication has stopped`)]
  }
  const lag = Duration.seconds(seconds)
  return Duration.isGreaterThan(lag, most)
    ? [DatabaseProbe.degraded(new ReplicationLag({ target, lag }), `${target}: is behind by ${Duration.format(lag)}`)]
    : []
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends MysqlProbeOptions>(
  options: Exactly<O, MysqlProbeOptions>
): Probe.Probe<Signatures<O>> => {
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

  const connections = Effect.fnUntraced(function* (session: Database.Session) {
    const variables = asRecord(yield* DatabaseProbe.rowsAs(Setting)(session.query(settingsQuestion)))
    const counted = session.query("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
    const status = asRecord(yield* DatabaseProbe.rowsAs(Setting)(counted))
    const [limit, used] = [Number(variables["max_connections"]), Number(status["threads_connected"])]
    if (!(Number.isInteger(limit) && limit > 0 && Number.isInteger(used))) return yield* new DatabaseProbe.Strange()
    const readOnly = readOnlySettings.find((name) => !["OFF", "0"].includes(variables[name]?.toUpperCase() ?? "OFF"))
    const findings: Findings =
      role === "primary" && readOnly !== undefined
        ? [
            DatabaseProbe.unhealthy(
              new ReadOnly({ target, setting: readOnly }),
              `${target}: takes no changes: ${readOnly} is ${variables[readOnly]}`
            )
          ]
        : []
    return [
      ...findings,
      ...DatabaseProbe.nearLimit<Any>(settings, used, limit, () => new ConnectionsExhausted({ target, used, limit }))
    ]
  })

  const replication = Effect.fnUntraced(function* (session: Database.Session) {
    if (role !== "replica" && maxReplicationLag === undefined) return { findings: [], notes: [] }
    const statuses = yield* ifAllowed(replicationOf(session))
    if (statuses === undefined) {
      return { findings: [], notes: [`${target}: its replication is not shown to this user: grant REPLICATION CLIENT`] }
    }
    const findings: Findings =
      statuses.length === 0 && role === "replica"
        ? [DatabaseProbe.unhealthy(new NotReplica({ target }), `${target}: is no replica`)]
        : maxReplicationLag === undefined
          ? []
          : statuses.flatMap((status) => ofLag(target, maxReplicationLag, status))
    return { findings, notes: [] }
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
    const first = yield* connections(session)
    const others = [yield* replication(session), yield* idleness(session)]
    return {
      findings: [...first, ...others.flatMap(({ findings }) => findings)],
      notes: others.flatMap(({ notes }) => notes)
    }
  })

  const reports: ReadonlyArray<Verdict.SignatureClass<Any>> = [
    Unreachable,
    Timeout,
    AccessDenied,
    NotReady,
    ConnectionsExhausted,
    QueryFailed,
    ...(role === "primary" ? [ReadOnly] : []),
    ...(role === "replica" ? [NotReplica] : []),
    ...(idleInTransaction === undefined ? [] : [IdleInTransaction]),
    ...(maxReplicationLag === undefined ? [] : [ReplicationLag]),
    ...(degradedAfter === undefined ? [] : [TooSlow])
  ]
  const check = DatabaseProbe.check<Any>(
    settings,
    ask,
    {
      unreachable: (code) => new Unreachable({ target, code }),
      late: (after) => new Timeout({ target, after }),
      denied: (message) => new AccessDenied({ target, message }),
      notReady: (message) => new NotReady({ target, message }),
      full: () => new ConnectionsExhausted({ target }),
      failed: (code, message) => new QueryFailed({ target, code, message })
    },
    (took) => new TooSlow({ target, took })
  )
  const { name, ...asked } = { ...settings, name: options.name, role, database: identity }
  const probe: Probe.Probe<Any> = Probe.make({ name, reports, target, reach, question: ["MysqlProbe", asked], check })
  // The signatures of options that were not given are not among what it reports.
  return probe as Probe.Probe<Signatures<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
