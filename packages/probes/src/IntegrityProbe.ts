/**
 * Asks a database a question whose answer has a number of rows that is known beforehand: mostly none.
 *
 * The transaction is read-only, the server itself stops a query that takes too long, and rows are counted there.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import type * as Database from "./Database.ts"
import { checkDatabase, inconclusive, Reason } from "./internal/databaseFailure.ts"
import { excerpt } from "./internal/excerpt.ts"
import type { Exactly } from "./internal/given.ts"
import { type Dialect, identifier, masked } from "./internal/sqlText.ts"

/**
 * The rule does not hold: there are more rows than there may be, or fewer.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Violated extends Schema.TaggedClass<Violated>("@nexobot/probes/Integrity/Violated")("Integrity/Violated", {
  rule: Schema.String,
  /** As far as they were counted. */
  rows: Schema.Int,
  /** Whether there are more than were counted. */
  andMore: Schema.Boolean
}) {}

/**
 * A table or column that the rule is about is not there.
 *
 * @category signatures
 * @since 0.1.0
 */
export class MissingTable extends Schema.TaggedClass<MissingTable>("@nexobot/probes/Integrity/MissingTable")(
  "Integrity/MissingTable",
  {
    rule: Schema.String,
    /** What the database says. */
    message: Schema.String
  }
) {}

/**
 * No answer within the time allowed; the server has stopped too.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Integrity/Timeout")("Integrity/Timeout", {
  rule: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * The database could not be asked. Probes of the database itself tell more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class DatabaseUnavailable extends Schema.TaggedClass<DatabaseUnavailable>(
  "@nexobot/probes/Integrity/DatabaseUnavailable"
)("Integrity/DatabaseUnavailable", { target: Schema.String, reason: Reason }) {}

/**
 * What the probe can find, whatever its options.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found = Violated | MissingTable | Timeout | DatabaseUnavailable

/**
 * @category models
 * @since 0.1.0
 */
export interface IntegrityProbeOptions {
  readonly name: string
  /** One that takes a single statement at a time. */
  readonly database: Database.Database
  /** What must hold, for people, for example `every product has an image`. */
  readonly rule: string
  /** One SELECT without a locking clause; it finds what breaks the rule. In MySQL its columns have different names. */
  readonly query: string
  /** The rows that there may be at most; 0 unless told, and any number where `minRows` is told. */
  readonly maxRows?: number
  /** The rows that there must be at least; 0 unless told. */
  readonly minRows?: number
  /** Columns whose values may be shown of the first five rows too many, such as keys. None unless told. */
  readonly show?: ReadonlyArray<string>
  /** 10 seconds unless told; at most 24 days. */
  readonly timeout?: Duration.Input
}

const checks = Options.checks("IntegrityProbe")

/** Rows are counted so far, for people to know how bad it is. */
const counted = 1000

/** Beyond this, counting is a burden. */
const mostRows = 100_000

/** Rows of which something is shown. */
const sampled = 5

/** Beyond this, Postgres takes no limit of time. */
const mostTime = Duration.days(24)

/** MariaDB takes these locks in a read-only transaction too, and whoever writes waits for them. */
const locking = /\block\s+in\s+share\s+mode\b|\bfor\s+(?:update|share)\b/i

const checked = (options: IntegrityProbeOptions) => {
  checks.known(options, ["name", "database", "rule", "query", "maxRows", "minRows", "show", "timeout"])
  checkDatabase(checks, options.database)
  const { dialect, multipleStatements } = options.database
  // One of the statements could end the transaction, and the next one write.
  if (multipleStatements) checks.fail("database", "multipleStatements: true", "one that takes a single statement")
  const query = checks.nonEmptyString("query", options.query).trim().replace(/\s*;$/, "")
  if (!/^(?:select|with)\b/i.test(query)) checks.fail("query", query, "one statement that begins with SELECT or WITH")
  if (dialect === "mysql" && locking.test(masked(dialect, query))) {
    checks.fail("query", query, "one without a locking clause")
  }
  const minRows = checks.integer("minRows", options.minRows ?? 0, 0, mostRows)
  const maxRows =
    options.maxRows === undefined && minRows > 0
      ? undefined
      : checks.integer("maxRows", options.maxRows ?? 0, minRows, mostRows)
  const show: ReadonlyArray<string> = options.show ?? []
  if (!Array.isArray(show)) checks.fail("show", show, "a list of names of columns")
  for (const column of show) checks.nonEmptyString("show", column)
  const timeout = checks.duration("timeout", options.timeout ?? "10 seconds", "1 millis")
  if (Duration.isGreaterThan(timeout, mostTime)) checks.fail("timeout", timeout, "at most 24 days")
  return {
    database: options.database,
    rule: checks.nonEmptyString("rule", options.rule),
    query,
    minRows,
    maxRows,
    show,
    timeout
  }
}

type Settings = ReturnType<typeof checked>

/** The query may end with a comment; a limit around it is the server's to keep. */
const around = (query: string, columns: string, limit: number): string =>
  `SELECT ${columns} FROM (\n${query}\n) AS nexo_rows LIMIT ${limit}`

const countOf = (query: string, limit: number): string =>
  `SELECT count(*) AS counted FROM (${around(query, "1 AS one", limit)}) AS nexo_counted`

const sampleOf = (dialect: Dialect, { query, show }: Settings): string => {
  const text = dialect === "postgres" ? "text" : "char"
  const columns = show.map((column) => {
    const name = identifier(dialect, column)
    return `left(CAST(${name} AS ${text}), 100) AS ${name}`
  })
  return around(query, columns.join(", "), sampled)
}

/** From now on the server stops a statement after this time by itself. */
const limiting = Effect.fnUntraced(function* (session: Database.Session, dialect: Dialect, time: Duration.Duration) {
  const millis = Math.max(1, Math.ceil(Duration.toMillis(time)))
  if (dialect === "postgres") return yield* session.query(`SET LOCAL statement_timeout = ${millis}`)
  const [row] = yield* session.query("SELECT version() AS version")
  const isMaria = /mariadb/i.test(String(row?.["version"]))
  return yield* session.query(
    isMaria ? `SET SESSION max_statement_time = ${millis / 1000}` : `SET SESSION max_execution_time = ${millis}`
  )
})

/** A read-only transaction that sees one moment, and all rows of it, or is refused. */
const begin = Effect.fnUntraced(function* (session: Database.Session, dialect: Dialect, timeout: Duration.Duration) {
  if (dialect === "postgres") {
    yield* session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    // Rows that a policy hides would be rows that break no rule.
    yield* session.query("SET LOCAL row_security = off")
    return yield* limiting(session, dialect, timeout)
  }
  yield* limiting(session, dialect, timeout)
  return yield* session.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
})

const holds = ({ maxRows, minRows }: Settings, rows: number): boolean =>
  rows >= minRows && (maxRows === undefined || rows <= maxRows)

const counting = Effect.fnUntraced(function* ({ database, query, timeout }: Settings, limit: number) {
  const session = yield* database.connect
  yield* begin(session, database.dialect, timeout)
  const [answer] = yield* session.query(countOf(query, limit))
  const rows = answer?.["counted"]
  return { session, rows: typeof rows === "number" || typeof rows === "string" ? Number(rows) : Number.NaN }
})

/** What may be shown of the first rows. What goes wrong with it is told in its place: the rows were counted. */
const sampling = (settings: Settings, session: Database.Session, left: Duration.Duration) =>
  Effect.gen(function* () {
    const { database, show } = settings
    yield* limiting(session, database.dialect, left)
    const sample = yield* session.query(sampleOf(database.dialect, settings))
    const redactor = yield* Redactor
    return sample.map((row) => excerpt(show.map((column) => `${column}: ${String(row[column])}`).join(", "), redactor))
  }).pipe(
    Effect.catch(({ message }) => Effect.succeed([`no rows can be shown: ${message}`])),
    Effect.timeoutOrElse({
      duration: left,
      orElse: () => Effect.succeed(["no rows can be shown: no answer in time"])
    })
  )

const asking = (settings: Settings) =>
  Effect.gen(function* (): Effect.fn.Return<Verdict.Verdict<Found>, Database.DatabaseError, Scope.Scope> {
    const { maxRows, minRows, rule, show, timeout } = settings
    const limit = Math.max(counted, minRows, (maxRows ?? 0) + 1)
    const [spent, answer] = yield* Effect.timed(Effect.timeoutOption(counting(settings, limit), timeout))
    if (Option.isNone(answer)) {
      return Verdict.unhealthy(new Timeout({ rule, after: timeout }), [`${rule}: no answer in time`])
    }
    const { rows, session } = answer.value
    if (!Number.isSafeInteger(rows)) return Verdict.inconclusive(`${rule}: the answer is no number of rows`)
    if (holds(settings, rows)) return Verdict.healthy
    const isTooMany = rows >= minRows
    const left = Duration.subtract(timeout, spent)
    const lines = isTooMany && show.length > 0 ? yield* sampling(settings, session, left) : []
    const andMore = rows === limit
    const expected = isTooMany ? `at most ${maxRows}` : `at least ${minRows}`
    return Verdict.unhealthy(new Violated({ rule, rows, andMore }), [
      `${rule}: ${rows} rows${andMore ? " or more" : ""}, ${expected} expected`,
      ...lines
    ])
  })

/** What the servers say when a query was stopped because of its time. */
const stopped = new Set(["57014", "ER_STATEMENT_TIMEOUT", "ER_QUERY_TIMEOUT"])

/** What they say of a table, column or schema that is not there. Of functions it may be a typing error. */
const missing = new Set(["42P01", "42703", "3F000", "ER_NO_SUCH_TABLE", "ER_BAD_FIELD_ERROR", "ER_BAD_DB_ERROR"])

const failure = (
  { database: { target }, rule, timeout }: Settings,
  error: Database.DatabaseError
): Verdict.Verdict<Found> => {
  const { message, reason } = error
  if (reason._tag === "OwnFault") return Verdict.inconclusive(message)
  if (reason._tag === "QueryFailed") {
    if (stopped.has(reason.code))
      return Verdict.unhealthy(new Timeout({ rule, after: timeout }), [`${rule}: ${message}`])
    if (missing.has(reason.code)) {
      return Verdict.unhealthy(new MissingTable({ rule, message: reason.message }), [`${rule}: ${message}`])
    }
    // Whoever wrote the query has to know: the data are not judged.
    return inconclusive(error) ?? Verdict.inconclusive(`${rule}: ${message}`)
  }
  return Verdict.unhealthy(new DatabaseUnavailable({ target, reason: reason._tag }), [message])
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends IntegrityProbeOptions>(
  options: Exactly<O, IntegrityProbeOptions>
): Probe.Probe<Found> => {
  const settings = checked(options)
  const { database, maxRows, minRows, query, rule, show, timeout } = settings
  const check = Effect.scoped(asking(settings)).pipe(Effect.catch((error) => Effect.succeed(failure(settings, error))))
  return Probe.make({
    name: options.name,
    reports: [Violated, MissingTable, Timeout, DatabaseUnavailable],
    target: database.target,
    timeout,
    reach: database.reach,
    cost: 5,
    question: ["IntegrityProbe", database.identity, rule, query, minRows, maxRows, show, timeout],
    check
  })
}
