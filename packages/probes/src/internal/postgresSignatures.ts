/**
 * What `PostgresProbe` can find. `target` is always the database, without user and password.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

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
