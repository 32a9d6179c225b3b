/**
 * Compares the tables of a database with what they should look like.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type * as Database from "./Database.ts"
import * as DatabaseSchema from "./DatabaseSchema.ts"
import { checkDatabase, inconclusive, Reason } from "./internal/databaseFailure.ts"
import { excerpt } from "./internal/excerpt.ts"
import type { Exactly } from "./internal/given.ts"
import { type Finding, findings, lineOf } from "./internal/schemaDrift.ts"
import { identifier } from "./internal/sqlText.ts"

/**
 * A table that was declared is not there.
 *
 * @category signatures
 * @since 0.1.0
 */
export class MissingTable extends Schema.TaggedClass<MissingTable>("@nexobot/probes/Schema/MissingTable")(
  "Schema/MissingTable",
  { table: Schema.String }
) {}

/**
 * A column that was declared is not there.
 *
 * @category signatures
 * @since 0.1.0
 */
export class MissingColumn extends Schema.TaggedClass<MissingColumn>("@nexobot/probes/Schema/MissingColumn")(
  "Schema/MissingColumn",
  { table: Schema.String, column: Schema.String }
) {}

/**
 * A column is other than declared.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Drift extends Schema.TaggedClass<Drift>("@nexobot/probes/Schema/Drift")("Schema/Drift", {
  table: Schema.String,
  column: Schema.String,
  what: Schema.Literals(["type", "nullability", "default"]),
  /** In normal form, for example `character varying(255)`; at most 200 characters. */
  expected: Schema.String,
  /** In normal form, at most 200 characters. */
  found: Schema.String
}) {}

/**
 * A table that nobody declared.
 *
 * @category signatures
 * @since 0.1.0
 */
export class GhostTable extends Schema.TaggedClass<GhostTable>("@nexobot/probes/Schema/GhostTable")(
  "Schema/GhostTable",
  { table: Schema.String }
) {}

/**
 * A column that nobody declared, in a table that somebody did.
 *
 * @category signatures
 * @since 0.1.0
 */
export class GhostColumn extends Schema.TaggedClass<GhostColumn>("@nexobot/probes/Schema/GhostColumn")(
  "Schema/GhostColumn",
  { table: Schema.String, column: Schema.String }
) {}

/**
 * The database could not be asked. Probes of the database itself tell more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class DatabaseUnavailable extends Schema.TaggedClass<DatabaseUnavailable>(
  "@nexobot/probes/Schema/DatabaseUnavailable"
)("Schema/DatabaseUnavailable", { target: Schema.String, reason: Reason }) {}

/**
 * What to make of something that was not declared.
 *
 * @category models
 * @since 0.1.0
 */
export type Ghosts = "ignored" | "degraded" | "unhealthy"

/**
 * @category models
 * @since 0.1.0
 */
export interface SchemaProbeOptions {
  readonly name: string
  readonly database: Database.Database
  /** What should be there; what it leaves out of a column is not judged. */
  readonly schema: DatabaseSchema.DatabaseSchema
  /** The schema of Postgres that has the tables; `public` unless told. MySQL has none. */
  readonly namespace?: string
  /** Tables that are never ghosts, for example `/^_prisma_/`; a text is a whole name. None unless told. */
  readonly ignore?: ReadonlyArray<RegExp | string>
  /** `degraded` unless told. */
  readonly ghostTables?: Ghosts
  /** `ignored` unless told. */
  readonly ghostColumns?: Ghosts
  /** 10 seconds unless told. */
  readonly timeout?: Duration.Input
}

type Any = MissingTable | MissingColumn | Drift | GhostTable | GhostColumn | DatabaseUnavailable

type IfSeen<Told, S> = Told extends "ignored" ? never : S

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | MissingTable
  | MissingColumn
  | Drift
  | DatabaseUnavailable
  | (O extends { readonly ghostTables: infer Told } ? IfSeen<Told, GhostTable> : GhostTable)
  | ("ghostColumns" extends keyof O ? IfSeen<O["ghostColumns"], GhostColumn> : never)

const checks = Options.checks("SchemaProbe")

const known = ["name", "database", "schema", "namespace", "ignore", "ghostTables", "ghostColumns", "timeout"]

const ghosts = ["ignored", "degraded", "unhealthy"] as const

/** Findings that are told, at most. */
const told = 50

const signatureOf = (finding: Finding, shown: (text: string) => string): Exclude<Any, DatabaseUnavailable> => {
  const table = shown(finding.table)
  switch (finding._tag) {
    case "MissingTable":
      return new MissingTable({ table })
    case "MissingColumn":
      return new MissingColumn({ table, column: shown(finding.column) })
    case "Drift":
      return new Drift({
        table,
        column: shown(finding.column),
        what: finding.what,
        expected: shown(finding.expected),
        found: shown(finding.found)
      })
    case "GhostTable":
      return new GhostTable({ table })
    case "GhostColumn":
      return new GhostColumn({ table, column: shown(finding.column) })
  }
}

const checked = (options: SchemaProbeOptions) => {
  checks.known(options, known)
  const { database, namespace } = options
  checkDatabase(checks, database)
  if (namespace !== undefined) {
    checks.nonEmptyString("namespace", namespace)
    if (database.dialect === "mysql") checks.fail("namespace", namespace, "none with MySQL")
  }
  const ignored: ReadonlyArray<RegExp | string> = options.ignore ?? []
  if (!Array.isArray(ignored)) checks.fail("ignore", ignored, "a list of names and regular expressions")
  for (const one of ignored) {
    // Without a pattern in it, a text would be found in other names too.
    if (!(one instanceof RegExp)) checks.nonEmptyString("ignore", one)
  }
  return {
    database,
    schema: DatabaseSchema.make(options.schema),
    namespace: namespace ?? "public",
    ignored,
    ghostTables: checks.oneOf("ghostTables", options.ghostTables ?? "degraded", ghosts),
    ghostColumns: checks.oneOf("ghostColumns", options.ghostColumns ?? "ignored", ghosts),
    timeout: checks.duration("timeout", options.timeout ?? "10 seconds", "1 millis")
  }
}

type Settings = ReturnType<typeof checked>

const isIgnored = ({ ignored }: Settings, table: string): boolean =>
  // A copy: a sticky or global expression remembers where it stopped.
  ignored.some((one) => (typeof one === "string" ? one === table : new RegExp(one).test(table)))

const judge = (settings: Settings, all: ReadonlyArray<Finding>, redactor: Redactor): Verdict.Verdict<Any> => {
  // A default may be a secret.
  const shown = (text: string) => excerpt(text, redactor)
  const weight = (finding: Finding): Ghosts => {
    if (finding._tag === "GhostTable") return isIgnored(settings, finding.table) ? "ignored" : settings.ghostTables
    return finding._tag === "GhostColumn" ? settings.ghostColumns : "unhealthy"
  }
  const bad = all.filter((finding) => weight(finding) !== "ignored")
  const first = bad.find((finding) => weight(finding) === "unhealthy") ?? bad[0]
  if (first === undefined) return Verdict.healthy
  const sorted = [first, ...bad.filter((one) => one !== first)]
  const more = sorted.length > told ? [`and ${sorted.length - told} more`] : []
  const evidence = [...sorted.slice(0, told).map((one) => shown(lineOf(one))), ...more]
  return weight(first) === "unhealthy"
    ? Verdict.unhealthy(signatureOf(first, shown), evidence)
    : Verdict.degraded(signatureOf(first, shown), evidence)
}

/**
 * MySQL hides what a user may not see. Whoever asks for such a table or column is told that he may not; what gives an
 * answer is there, as a view is.
 */
const confirmed = (session: Database.Session, all: ReadonlyArray<Finding>) =>
  Effect.filter(all.slice(0, told), (finding) => {
    if (finding._tag !== "MissingTable" && finding._tag !== "MissingColumn") return Effect.succeed(true)
    const what = finding._tag === "MissingColumn" ? identifier("mysql", finding.column) : "1"
    return session.query(`SELECT ${what} FROM ${identifier("mysql", finding.table)} LIMIT 0`).pipe(
      Effect.as(false),
      Effect.catchIf(
        ({ reason }) => reason._tag === "QueryFailed" && notThere.has(reason.code),
        () => Effect.succeed(true)
      )
    )
  }).pipe(Effect.map((first) => [...first, ...all.slice(told)]))

const notThere = new Set(["ER_NO_SUCH_TABLE", "ER_BAD_FIELD_ERROR"])

/** What differs. MySQL is asked how it compares the names of tables, and once more for what seems to be missing. */
const comparing = Effect.fnUntraced(function* (
  session: Database.Session,
  { database, namespace }: Settings,
  expected: DatabaseSchema.DatabaseSchema
) {
  const { dialect } = database
  const live = yield* DatabaseSchema.readFrom(session, database, namespace)
  if (dialect === "postgres") return findings(dialect, expected, live, false)
  const [row] = yield* session.query("SELECT @@lower_case_table_names AS folding")
  return yield* confirmed(session, findings(dialect, expected, live, Number(row?.["folding"]) > 0))
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends SchemaProbeOptions>(
  options: Exactly<O, SchemaProbeOptions>
): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const { database, ghostColumns, ghostTables, ignored, namespace, schema, timeout } = settings
  const { dialect, target } = database
  const expected: DatabaseSchema.DatabaseSchema = DatabaseSchema.normaliseAll(dialect, schema)

  const unavailable = (reason: DatabaseUnavailable["reason"], says: string) =>
    Verdict.unhealthy(new DatabaseUnavailable({ target, reason }), [says])
  const check = Effect.scoped(
    Effect.gen(function* () {
      const session = yield* database.connect
      const all = yield* comparing(session, settings, expected)
      return judge(settings, all, yield* Redactor)
    })
  ).pipe(
    Effect.catch((error): Effect.Effect<Verdict.Verdict<Any>> => {
      const { reason } = error
      if (reason._tag === "OwnFault") return Effect.succeed(Verdict.inconclusive(error.message))
      return Effect.succeed(inconclusive(error) ?? unavailable(reason._tag, error.message))
    }),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(unavailable("Timeout", `${target}: no answer in time`))
    })
  )
  const probe = Probe.make({
    name: options.name,
    reports: [
      MissingTable,
      MissingColumn,
      Drift,
      DatabaseUnavailable,
      ...(ghostTables === "ignored" ? [] : [GhostTable]),
      ...(ghostColumns === "ignored" ? [] : [GhostColumn])
    ],
    target,
    timeout,
    reach: database.reach,
    cost: 5,
    question: [
      "SchemaProbe",
      database.identity,
      expected,
      namespace,
      ignored.map((one) => [typeof one, String(one)]),
      ghostTables,
      ghostColumns,
      timeout
    ],
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
