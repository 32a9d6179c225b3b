/**
 * How the databases are asked what their tables look like.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

import type * as Database from "../Database.ts"
import { auto } from "./schemaDefault.ts"
import { type Dialect, identifier, quoted } from "./sqlText.ts"

/** The catalogue shows tables to everybody, while the information schema hides those without a privilege. */
const postgres = `
  SELECT c.relname::text AS table_name, a.attname::text AS column_name,
    coalesce(pg_catalog.format_type(a.atttypid, a.atttypmod), '') AS column_type,
    CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS nullable,
    CASE WHEN a.attidentity <> '' THEN '${auto}' WHEN a.attgenerated <> '' THEN 'generated'
      ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS column_default
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
  ORDER BY c.relname, a.attnum`

/** The driver knows a column by the name that it was given here; the server's own are in upper case or not. */
const mysql = `
  SELECT t.table_name AS table_name, c.column_name AS column_name, c.column_type AS column_type,
    c.is_nullable AS nullable, c.column_default AS column_default, c.extra AS extra, version() AS version
  FROM information_schema.tables t
  JOIN information_schema.columns c ON c.table_name = t.table_name
  WHERE t.table_schema = database() AND c.table_schema = database() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
  ORDER BY t.table_name, c.ordinal_position`

/** MariaDB reports defaults as they stand in SQL, MySQL the values of those that are no expressions. */
const mysqlDefault = ({ column_default, extra, version }: Database.Row): string | null => {
  const said = String(extra).toLowerCase()
  if (said.includes("auto_increment")) return auto
  if (/\b(?:virtual|stored|persistent) generated\b/.test(said)) return "generated"
  if (typeof column_default !== "string") return null
  if (/mariadb/i.test(String(version))) return column_default
  if (said.includes("default_generated")) return column_default.replaceAll("\\'", "'").replace(/\b_[a-z0-9]+(?=')/g, "")
  return /^current_timestamp\b/i.test(column_default) ? column_default : quoted("mysql", column_default)
}

/** What is not on the search path is shown with its namespace: so it is the same for every user. */
const postgresRows = Effect.fnUntraced(function* (session: Database.Session, namespace: string) {
  // Behind a pool, a setting of the session would be the next one's, too.
  yield* session.query("BEGIN READ ONLY")
  yield* session.query("SET LOCAL search_path = pg_catalog")
  const rows = yield* session.query(postgres, [namespace])
  yield* session.query("COMMIT")
  return rows.map(({ column_default, column_name, column_type, nullable, table_name }) => ({
    table_name,
    column_name,
    column_type: within(column_type, namespace),
    nullable,
    column_default: within(column_default, namespace)
  }))
})

export const columns = (
  session: Database.Session,
  dialect: Dialect,
  namespace: string
): Effect.Effect<ReadonlyArray<Database.Row>, Database.DatabaseError> =>
  dialect === "postgres"
    ? postgresRows(session, namespace)
    : Effect.map(session.query(mysql), (rows) => rows.map((row) => ({ ...row, column_default: mysqlDefault(row) })))

/** As it is written within the namespace: without its name, but for what is in strings. */
const within = (text: unknown, namespace: string): unknown => {
  if (typeof text !== "string") return text
  const names = [namespace, identifier("postgres", namespace)].map((name) =>
    name.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&")
  )
  const prefix = new RegExp(`'(?:[^']|'')*'|(?<![\\w$."])(?:${names.join("|")})\\.(?=["\\p{L}_])`, "gu")
  return text.replace(prefix, (found) => (found.startsWith("'") ? found : ""))
}
