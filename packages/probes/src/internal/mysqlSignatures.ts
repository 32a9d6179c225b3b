/**
 * What `MysqlProbe` can find. `target` is always the database, without user and password.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

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
 * A replica gets no changes from its primary, or does not make those that it got: what it answers gets older.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicationStopped extends Schema.TaggedClass<ReplicationStopped>(
  "@nexobot/probes/Mysql/ReplicationStopped"
)("Mysql/ReplicationStopped", {
  target: Schema.String,
  /** The name of the connection (MariaDB) or channel (MySQL); empty where it has none. */
  connection: Schema.String
}) {}

/**
 * A replica is behind its primary by more than `maxReplicationLag`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class ReplicationLag extends Schema.TaggedClass<ReplicationLag>("@nexobot/probes/Mysql/ReplicationLag")(
  "Mysql/ReplicationLag",
  { target: Schema.String, lag: Schema.DurationFromMillis }
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
