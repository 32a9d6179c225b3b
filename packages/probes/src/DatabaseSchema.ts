/**
 * What the tables of a database look like, as data: written by hand, or read from a database.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Database from "./Database.ts"
import { strange } from "./internal/databaseFailure.ts"
import { normalDefault } from "./internal/schemaDefault.ts"
import * as Queries from "./internal/schemaQueries.ts"
import { normalType } from "./internal/schemaType.ts"

/**
 * What is left out is not judged.
 *
 * @category models
 * @since 0.1.0
 */
export interface Column {
  /** Any of its names, for example `varchar(255)` or `timestamptz`. */
  readonly type: string
  readonly nullable?: boolean
  /** As in SQL, for example `now()`, `'new'` or `0`; `null` for none, `auto` for one that the database counts. */
  readonly default?: string | null
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Table {
  readonly columns: Readonly<Record<string, Column>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface DatabaseSchema {
  readonly tables: Readonly<Record<string, Table>>
}

const checks = Options.checks("DatabaseSchema")

const checkedColumn = (at: string, column: Column): void => {
  checks.known(column, ["type", "nullable", "default"], `${at}.`)
  if (checks.nonEmptyString(`${at}.type`, column.type).trim() === "") checks.fail(`${at}.type`, column.type, "a type")
  if (column.nullable !== undefined) checks.boolean(`${at}.nullable`, column.nullable)
  const written: unknown = column.default
  if (written !== undefined && written !== null && (typeof written !== "string" || written.trim() === "")) {
    checks.fail(`${at}.default`, written, "SQL, such as '' for an empty text, or null for none")
  }
}

const entriesOf = <A>(at: string, record: Readonly<Record<string, A>>): ReadonlyArray<readonly [string, A]> =>
  typeof record !== "object" || record === null || Array.isArray(record)
    ? checks.fail(at, record, "an object")
    : Object.entries(record)

/**
 * Checks a schema that was written by hand, or came from a file.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (schema: DatabaseSchema): DatabaseSchema => {
  checks.known(schema, ["tables"])
  const tables = entriesOf("tables", schema.tables)
  if (tables.length === 0) checks.fail("tables", schema.tables, "at least one")
  for (const [name, table] of tables) {
    checks.known(table, ["columns"], `tables.${name}.`)
    const at = `tables.${name}.columns`
    for (const [column, told] of entriesOf(at, table.columns)) checkedColumn(`${at}.${column}`, told)
  }
  return schema
}

/**
 * The same column in one form: `varchar(9)` and `character varying(9)` are equal then, as are `now()` and
 * `CURRENT_TIMESTAMP`.
 *
 * @category operations
 * @since 0.1.0
 */
export const normalise = (dialect: Database.Database["dialect"], column: Column): Column => {
  const type = normalType(dialect, column.type)
  return {
    type,
    ...(column.nullable === undefined ? {} : { nullable: column.nullable }),
    ...(column.default === undefined ? {} : { default: normalDefault(dialect, type, column.default) })
  }
}

/**
 * Every column in its normal form.
 *
 * @category operations
 * @since 0.1.0
 */
export const normaliseAll = (dialect: Database.Database["dialect"], schema: DatabaseSchema): DatabaseSchema => ({
  tables: mapped(schema.tables, ({ columns }) => ({ columns: mapped(columns, (column) => normalise(dialect, column)) }))
})

const mapped = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Readonly<Record<string, B>> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)] as const))

const Read = Schema.Struct({
  table_name: Schema.String,
  column_name: Schema.NullOr(Schema.String),
  column_type: Schema.String,
  nullable: Schema.String,
  column_default: Schema.NullOr(Schema.String)
})

const decode = Schema.decodeUnknownEffect(Schema.Array(Read))

/**
 * Reads the tables, in normal form, with every column told, by a session that is there and in no transaction. Views are
 * left out.
 *
 * @category operations
 * @since 0.1.0
 */
export const readFrom = Effect.fnUntraced(function* (
  session: Database.Session,
  database: Pick<Database.Database, "dialect" | "target">,
  namespace = "public"
): Effect.fn.Return<DatabaseSchema, Database.DatabaseError> {
  const { dialect, target } = database
  const rows = yield* Queries.columns(session, dialect, namespace)
  const columns = yield* Effect.mapError(decode(rows), () => {
    const message = "the catalogue of this server has another form"
    return new Database.DatabaseError({ target, reason: new Database.QueryFailed({ code: strange, message }) })
  })
  const tables = new Map<string, Array<readonly [string, Column]>>()
  for (const row of columns) {
    const found = tables.get(row.table_name) ?? []
    tables.set(row.table_name, found)
    if (row.column_name === null) continue
    const column = { type: row.column_type, nullable: row.nullable === "YES", default: row.column_default }
    found.push([row.column_name, normalise(dialect, column)])
  }
  return {
    tables: Object.fromEntries(
      [...tables].map(([name, found]) => [name, { columns: Object.fromEntries(found) }] as const)
    )
  }
})

/**
 * Reads the tables of a database, in normal form, with every column told. Views are left out.
 *
 * In MySQL, a user sees only what a privilege allows.
 *
 * @category operations
 * @since 0.1.0
 */
export const read = (
  database: Database.Database,
  options: {
    /** Postgres: the schema that has them, `public` unless told. MySQL has none. */
    readonly namespace?: string
  } = {}
): Effect.Effect<DatabaseSchema, Database.DatabaseError> => {
  checks.known(options, ["namespace"])
  const { namespace } = options
  if (namespace !== undefined) checks.nonEmptyString("namespace", namespace)
  return Effect.scoped(Effect.flatMap(database.connect, (session) => readFrom(session, database, namespace)))
}
