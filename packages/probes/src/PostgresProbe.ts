/**
 * Logs in to a Postgres and asks whether it does what its role is: `SELECT 1` succeeds on a standby too.
 *
 * One statement over a connection of its own; it writes nothing.
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
 * No connection, or it broke; or something answers there that is no Postgres.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Postgres/Unreachable")(
  "Postgres/Unreachable",
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
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Postgres/Timeout")("Postgres/Timeout", {
  target: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * The user, the password or the database is not accepted.
 *
 * @category signatures
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedClass<AccessDenied>("@nexobot/probes/Postgres/AccessDenied")(
  "Postgres/AccessDenied",
  {
    target: Schema.String,
    /** The server's words. */
    message: Schema.String
  }
) {}

/**
 * It runs and accepts no sessions: it starts, recovers after a crash, or shuts down.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotReady extends Schema.TaggedClass<NotReady>("@nexobot/probes/Postgres/NotReady")("Postgres/NotReady", {
  target: Schema.String,
  /** The server's words, for example `the database system is starting up`. */
  message: Schema.String
}) {}

/**
 * All connections are taken, so that it refuses another (unhealthy), or nearly all (degraded).
 *
 * @category signatures
 * @since 0.1.0
 */
export class ConnectionsExhausted extends Schema.TaggedClass<ConnectionsExhausted>(
  "@nexobot/probes/Postgres/ConnectionsExhausted"
)("Postgres/ConnectionsExhausted", {
  target: Schema.String,
  /** Connections of clients; not known where it refuses. */
  used: Schema.optionalKey(Schema.Int),
  /** `max_connections` without those that are kept for superusers. */
  limit: Schema.optionalKey(Schema.Int)
}) {}

/**
 * It let us in, and refused the probe's statement: it is out of memory, its catalogue is damaged.
 *
 * @category signatures
 * @since 0.1.0
 */
export class QueryFailed extends Schema.TaggedClass<QueryFailed>("@nexobot/probes/Postgres/QueryFailed")(
  "Postgres/QueryFailed",
  {
    target: Schema.String,
    /** The SQLSTATE. */
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
export class ReadOnly extends Schema.TaggedClass<ReadOnly>("@nexobot/probes/Postgres/ReadOnly")("Postgres/ReadOnly", {
  target: Schema.String,
  /** `standby`: it is one. `setting`: `default_transaction_read_only` is on for this user, database or server. */
  why: Schema.Literals(["standby", "setting"])
}) {}

/**
 * It is a primary, although it should be a standby: it was promoted.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NotStandby extends Schema.TaggedClass<NotStandby>("@nexobot/probes/Postgres/NotStandby")(
  "Postgres/NotStandby",
  { target: Schema.String }
) {}

/**
 * A standby is behind its primary by more than `maxReplicationLag`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicationLag extends Schema.TaggedClass<ReplicationLag>("@nexobot/probes/Postgres/ReplicationLag")(
  "Postgres/ReplicationLag",
  { target: Schema.String, lag: Schema.DurationFromMillis }
) {}

/**
 * A session began a transaction and has been doing nothing since: it keeps locks, and dead rows from being removed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class IdleInTransaction extends Schema.TaggedClass<IdleInTransaction>(
  "@nexobot/probes/Postgres/IdleInTransaction"
)("Postgres/IdleInTransaction", {
  target: Schema.String,
  /** Of the server's process; `pg_terminate_backend` ends it. */
  pid: Schema.Int,
  application: Schema.String,
  age: Schema.DurationFromMillis
}) {}

/**
 * It answered, after more than `degradedAfter`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class TooSlow extends Schema.TaggedClass<TooSlow>("@nexobot/probes/Postgres/TooSlow")("Postgres/TooSlow", {
  target: Schema.String,
  took: Schema.DurationFromMillis
}) {}

/**
 * What a server is for. A `primary` takes changes; a `standby` only answers questions; of `any` nothing is demanded, as
 * when the question is whether it lives.
 *
 * @category models
 * @since 0.1.0
 */
export type Role = "primary" | "standby" | "any"

/**
 * @category models
 * @since 0.1.0
 */
export interface PostgresProbeOptions {
  readonly name: string
  /** Made by `PostgresDatabase.make`. */
  readonly database: Database.Database
  /** `primary` unless told. A liveness probe takes `any`: nobody restarts a standby for being one. */
  readonly role?: Role
  /** The share of the connections from which on it is degraded; 0.9 unless told. */
  readonly maxConnectionsAt?: number
  /** The longest that a session may be idle in a transaction; not judged unless told. */
  readonly idleInTransaction?: Duration.Input
  /** How far a standby may be behind; not judged unless told. Needs another role than `primary`. */
  readonly maxReplicationLag?: Duration.Input
  /** Slower answers are degraded; not judged unless told. */
  readonly degradedAfter?: Duration.Input
  /** For connecting, logging in and the answer; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type OfRole<R> = R extends "any" ? never : R extends "standby" ? NotStandby : ReadOnly

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

type Any = Signatures<Required<PostgresProbeOptions>>

const checks = Options.checks("PostgresProbe")

/**
 * Everybody sees that others' sessions are there; what kind they are and what they do, only members of
 * `pg_read_all_stats`. Processes of the server itself have no user or no database.
 * A standby that has replayed all that it got is not behind while it is connected; else its lag is the age of the last change that it has replayed, or its own.
 */
const question = `
select
  pg_is_in_recovery() as "isStandby",
  current_setting('transaction_read_only') = 'on' as "isReadOnly",
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int as "limit",
  sessions.used,
  sessions.hidden,
  idle.pid as "idlePid",
  idle.application_name as "idleApplication",
  (extract(epoch from clock_timestamp() - idle.state_change) * 1000)::float8 as "idleMillis",
  case
    when not pg_is_in_recovery() then null
    when exists (select from pg_stat_wal_receiver) and pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
    else extract(
      epoch from clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())
    ) * 1000
  end::float8 as "lagMillis"
from (
  select
    count(*) filter (where coalesce(backend_type = 'client backend', true))::int as used,
    count(*) filter (where backend_type is null)::int as hidden
  from pg_stat_activity where datid is not null and usesysid is not null
) as sessions
left join (
  select pid, application_name, state_change from pg_stat_activity
  where state like 'idle in transaction%' order by state_change limit 1
) as idle on true`

const Answer = Schema.Struct({
  isStandby: Schema.Boolean,
  isReadOnly: Schema.Boolean,
  limit: Schema.Int,
  used: Schema.Int,
  hidden: Schema.Int,
  idlePid: Schema.NullOr(Schema.Int),
  idleApplication: Schema.NullOr(Schema.String),
  idleMillis: Schema.NullOr(Schema.Finite),
  lagMillis: Schema.NullOr(Schema.Finite)
})

type Findings = ReadonlyArray<DatabaseProbe.Finding<Any>>

const ofRole = (target: string, role: Role, { isReadOnly, isStandby }: typeof Answer.Type): Findings => {
  if (role === "standby" && !isStandby) {
    return [DatabaseProbe.unhealthy(new NotStandby({ target }), `${target}: is no standby`)]
  }
  if (role !== "primary" || !isReadOnly) return []
  const [why, line] = isStandby
    ? (["standby", "is a standby and takes no changes"] as const)
    : (["setting", "takes no changes: default_transaction_read_only is on"] as const)
  return [DatabaseProbe.unhealthy(new ReadOnly({ target, why }), `${target}: ${line}`)]
}

const ofIdleness = Effect.fnUntraced(function* (
  target: string,
  most: Duration.Duration | undefined,
  { idleApplication, idleMillis, idlePid }: typeof Answer.Type
): Effect.fn.Return<Findings> {
  if (most === undefined || idlePid === null || idleMillis === null) return []
  const age = Duration.millis(Math.round(idleMillis))
  if (Duration.isLessThanOrEqualTo(age, most)) return []
  const application = yield* DatabaseProbe.shown(idleApplication ?? "")
  const line = `${target}: session ${idlePid} of "${application}" is idle in a transaction for ${Duration.format(age)}`
  return [DatabaseProbe.degraded(new IdleInTransaction({ target, pid: idlePid, application, age }), line)]
})

const ofLag = (target: string, most: Duration.Duration | undefined, { lagMillis }: typeof Answer.Type): Findings => {
  if (most === undefined || lagMillis === null) return []
  const lag = Duration.millis(Math.max(0, Math.round(lagMillis)))
  return Duration.isGreaterThan(lag, most)
    ? [DatabaseProbe.degraded(new ReplicationLag({ target, lag }), `${target}: is behind by ${Duration.format(lag)}`)]
    : []
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends PostgresProbeOptions>(
  options: Exactly<O, PostgresProbeOptions>
): Probe.Probe<Signatures<O>> => {
  // prettier-ignore
  checks.known(options, [
    "name", "database", "role", "maxConnectionsAt", "idleInTransaction", "maxReplicationLag", "degradedAfter", "timeout"
  ])
  const settings = DatabaseProbe.checked(checks, "postgres", options)
  const { database, degradedAfter, idleInTransaction, maxReplicationLag } = settings
  const role = checks.oneOf("role", options.role ?? "primary", ["primary", "standby", "any"])
  if (maxReplicationLag !== undefined && role === "primary") {
    checks.fail("maxReplicationLag", maxReplicationLag, "the role standby or any: a primary is behind nobody")
  }
  const { identity, reach, target } = database

  const ask = Effect.fnUntraced(function* (session: Database.Session) {
    const [answer] = yield* DatabaseProbe.rowsAs(Answer)(session.query(question))
    if (answer === undefined) return yield* new DatabaseProbe.Strange()
    const { hidden, limit, used } = answer
    const notes: Array<string> = []
    if (idleInTransaction !== undefined && hidden > 0) {
      notes.push(`${target}: what ${hidden} sessions of others do is not shown to this user: grant pg_read_all_stats`)
    }
    const findings: Findings = [
      ...ofRole(target, role, answer),
      ...DatabaseProbe.nearLimit(settings, used, limit, () => new ConnectionsExhausted({ target, used, limit })),
      ...ofLag(target, maxReplicationLag, answer),
      ...(yield* ofIdleness(target, idleInTransaction, answer))
    ]
    return { findings, notes }
  })

  const reports: ReadonlyArray<Verdict.SignatureClass<Any>> = [
    Unreachable,
    Timeout,
    AccessDenied,
    NotReady,
    ConnectionsExhausted,
    QueryFailed,
    ...(role === "primary" ? [ReadOnly] : []),
    ...(role === "standby" ? [NotStandby] : []),
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
  const probe: Probe.Probe<Any> = Probe.make({
    name,
    reports,
    target,
    reach,
    question: ["PostgresProbe", asked],
    check
  })
  // The signatures of options that were not given are not among what it reports.
  return probe as Probe.Probe<Signatures<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
