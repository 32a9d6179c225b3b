/**
 * The port through which probes ask a SQL database. `@nexobot/probes/postgres` and `@nexobot/probes/mysql` have the
 * adapters; each keeps the same contract, and needs a driver that is an optional peer dependency.
 *
 * @since 0.1.0
 */
import type * as Probe from "@nexobot/core/Probe"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * No connection, or it broke.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@nexobot/probes/Database/Unreachable")(
  "Unreachable",
  {
    /** The system's code, for example `ECONNREFUSED`. */
    code: Schema.String
  }
) {}

/**
 * This machine, or a limit of the account that asks, and not the database, is the reason: no file descriptor is left, or
 * the account may ask no more this hour.
 *
 * @category errors
 * @since 0.1.0
 */
export class OwnFault extends Schema.TaggedClass<OwnFault>("@nexobot/probes/Database/OwnFault")("OwnFault", {
  why: Schema.String
}) {}

/**
 * It answers, and accepts no sessions yet or any more: it starts, recovers, or shuts down.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReady extends Schema.TaggedClass<NotReady>("@nexobot/probes/Database/NotReady")("NotReady", {
  message: Schema.String
}) {}

/**
 * All of its connections are taken.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyConnections extends Schema.TaggedClass<TooManyConnections>(
  "@nexobot/probes/Database/TooManyConnections"
)("TooManyConnections", { message: Schema.String }) {}

/**
 * The user, the password or the database is not accepted.
 *
 * @category errors
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedClass<AccessDenied>("@nexobot/probes/Database/AccessDenied")(
  "AccessDenied",
  { message: Schema.String }
) {}

/**
 * The statement was refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryFailed extends Schema.TaggedClass<QueryFailed>("@nexobot/probes/Database/QueryFailed")(
  "QueryFailed",
  {
    /** Postgres: the SQLSTATE. MySQL: the name of the error, for example `ER_NO_SUCH_TABLE`. */
    code: Schema.String,
    message: Schema.String
  }
) {}

/**
 * Messages are the server's, redacted; they never hold a password.
 *
 * @category errors
 * @since 0.1.0
 */
export class DatabaseError extends Schema.TaggedError<DatabaseError>("@nexobot/probes/DatabaseError")("DatabaseError", {
  target: Schema.String,
  reason: Schema.Union([Unreachable, OwnFault, NotReady, TooManyConnections, AccessDenied, QueryFailed])
}) {
  override get message(): string {
    const { reason } = this
    const why = "message" in reason ? reason.message : "why" in reason ? reason.why : reason.code
    return `${this.target}: ${reason._tag}: ${why}`
  }
}

/**
 * One row, by column. What Postgres and MySQL send for numbers beyond 2^53, decimals and dates is a string.
 *
 * @category models
 * @since 0.1.0
 */
export type Row = Readonly<Record<string, unknown>>

/**
 * One connection, one conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session {
  /** Runs one statement; parameters stand as `$1` in Postgres and as `?` in MySQL. */
  readonly query: (
    sql: string,
    parameters?: ReadonlyArray<string | number>
  ) => Effect.Effect<ReadonlyArray<Row>, DatabaseError>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Database {
  readonly dialect: "postgres" | "mysql"
  /** Without user and password, for example `postgres://127.0.0.1:5432/shop`. */
  readonly target: string
  readonly reach: Probe.Reach
  /** All that the connection depends on; equal (`Equal.equals`) for databases that are the same. Never shown. */
  readonly identity: unknown
  /**
   * Opens a connection of its own, and closes it with the scope. When that is interrupted, or the database does not
   * answer, the socket is gone all the same: closing waits for nobody. The server may go on with a statement until it
   * notices; a long one needs a limit of the server's own (`statement_timeout`, `max_statement_time`).
   */
  readonly connect: Effect.Effect<Session, DatabaseError, Scope.Scope>
  /** Whether a query may have several statements: with it, a query can end a transaction that it is put into. */
  readonly multipleStatements: boolean
  /** Another database of the same server, with the same login. */
  readonly withDatabase: (name: string) => Database
}
