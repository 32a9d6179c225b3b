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
import * as S from "./internal/postgresSignatures.ts"

export * from "./internal/postgresSignatures.ts"

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

type OfRole<R> = R extends "any" ? never : R extends "standby" ? S.NotStandby : S.ReadOnly

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
  | Given<O, "maxReplicationLag", S.ReplicationLag>
  | Given<O, "degradedAfter", S.TooSlow>

type Any = Found<Required<PostgresProbeOptions>>

const checks = Options.checks("PostgresProbe")

/**
 * Everybody sees that others' sessions are there; what kind they are and what they do, only members of
 * `pg_read_all_stats`. Processes of the server itself have no user or no database.
 * A standby that has replayed all that it got is not behind while it is connected; else its lag is the age of the last
 * change that it has replayed, or its own. After a restart it counts what it got from the beginning of a segment on, and
 * has replayed more than that until the next change comes.
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
    when exists (select from pg_stat_wal_receiver) and pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0
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
    return [DatabaseProbe.unhealthy(new S.NotStandby({ target }), `${target}: is no standby`)]
  }
  if (role !== "primary" || !isReadOnly) return []
  const [why, line] = isStandby
    ? (["standby", "is a standby and takes no changes"] as const)
    : (["setting", "takes no changes: default_transaction_read_only is on"] as const)
  return [DatabaseProbe.unhealthy(new S.ReadOnly({ target, why }), `${target}: ${line}`)]
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
  return [DatabaseProbe.degraded(new S.IdleInTransaction({ target, pid: idlePid, application, age }), line)]
})

const ofLag = (target: string, most: Duration.Duration | undefined, { lagMillis }: typeof Answer.Type): Findings => {
  if (most === undefined || lagMillis === null) return []
  const lag = Duration.millis(Math.max(0, Math.round(lagMillis)))
  return Duration.isGreaterThan(lag, most)
    ? [DatabaseProbe.degraded(new S.ReplicationLag({ target, lag }), `${target}: is behind by ${Duration.format(lag)}`)]
    : []
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends PostgresProbeOptions>(
  options: Exactly<O, PostgresProbeOptions>
): Probe.Probe<Found<O>> => {
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
      ...DatabaseProbe.nearLimit(settings, used, limit, () => new S.ConnectionsExhausted({ target, used, limit })),
      ...ofLag(target, maxReplicationLag, answer),
      ...(yield* ofIdleness(target, idleInTransaction, answer))
    ]
    return { findings, notes }
  })

  const reports: ReadonlyArray<Verdict.SignatureClass<Any>> = [
    S.Unreachable,
    S.Timeout,
    S.AccessDenied,
    S.NotReady,
    S.ConnectionsExhausted,
    S.QueryFailed,
    ...(role === "primary" ? [S.ReadOnly] : []),
    ...(role === "standby" ? [S.NotStandby] : []),
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
    question: ["PostgresProbe", asked],
    check
  })
  // The signatures of options that were not given are not among what it reports.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
