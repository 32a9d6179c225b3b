/**
 * What differs between a schema as it should be and as it is.
 *
 * @since 0.1.0
 */
import type * as DatabaseSchema from "../DatabaseSchema.ts"
import type { Dialect } from "./sqlText.ts"

export type What = "type" | "nullability" | "default"

export type Finding =
  | { readonly _tag: "MissingTable"; readonly table: string }
  | { readonly _tag: "MissingColumn"; readonly table: string; readonly column: string }
  | {
      readonly _tag: "Drift"
      readonly table: string
      readonly column: string
      readonly what: What
      readonly expected: string
      readonly found: string
    }
  | { readonly _tag: "GhostTable"; readonly table: string }
  | { readonly _tag: "GhostColumn"; readonly table: string; readonly column: string }

type Columns = DatabaseSchema.Table["columns"]

/** By names as they are compared, each with the name as it was written. */
const byName = <A>(record: Readonly<Record<string, A>>, isFolded: boolean) =>
  new Map(Object.entries(record).map(([name, told]) => [isFolded ? name.toLowerCase() : name, { name, told }] as const))

const parts: ReadonlyArray<readonly [What, (column: DatabaseSchema.Column) => string | undefined]> = [
  ["type", ({ type }) => type],
  ["nullability", ({ nullable }) => (nullable === undefined ? undefined : nullable ? "nullable" : "not null")],
  ["default", (column) => (column.default === null ? "none" : column.default)]
]

const columnFindings = (dialect: Dialect, table: string, expected: Columns, live: Columns): ReadonlyArray<Finding> => {
  // MySQL does not tell `Id` and `id` apart as names of columns.
  const [wanted, there] = [byName(expected, dialect === "mysql"), byName(live, dialect === "mysql")]
  const differing = [...wanted].flatMap(([key, { name: column, told }]): ReadonlyArray<Finding> => {
    const found = there.get(key)?.told
    if (found === undefined) return [{ _tag: "MissingColumn", table, column }]
    return parts.flatMap(([what, partOf]) => {
      const [one, other] = [partOf(told), partOf(found) ?? "none"]
      return one === undefined || one === other
        ? []
        : [{ _tag: "Drift", table, column, what, expected: one, found: other }]
    })
  })
  const more = [...there].filter(([key]) => !wanted.has(key))
  return [...differing, ...more.map(([, { name }]): Finding => ({ _tag: "GhostColumn", table, column: name }))]
}

const order: ReadonlyArray<Finding["_tag"]> = ["MissingTable", "MissingColumn", "Drift", "GhostTable", "GhostColumn"]

/** Of two schemas in normal form, the worst first; with `isFolded`, `Users` and `users` are one table. */
export const findings = (
  dialect: Dialect,
  expected: DatabaseSchema.DatabaseSchema,
  live: DatabaseSchema.DatabaseSchema,
  isFolded: boolean
): ReadonlyArray<Finding> => {
  const [wanted, there] = [byName(expected.tables, isFolded), byName(live.tables, isFolded)]
  const differing = [...wanted].flatMap(([key, { name: table, told }]): ReadonlyArray<Finding> => {
    const found = there.get(key)?.told
    return found === undefined
      ? [{ _tag: "MissingTable", table }]
      : columnFindings(dialect, table, told.columns, found.columns)
  })
  // Databases sort names in ways of their own.
  const ghosts = [...there].flatMap(([key, { name }]) => (wanted.has(key) ? [] : [name])).toSorted()
  return [...differing, ...ghosts.map((table): Finding => ({ _tag: "GhostTable", table }))].toSorted(
    (a, b) => order.indexOf(a._tag) - order.indexOf(b._tag)
  )
}

export const lineOf = (finding: Finding): string => {
  switch (finding._tag) {
    case "MissingTable":
      return `table ${finding.table} is missing`
    case "MissingColumn":
      return `column ${finding.table}.${finding.column} is missing`
    case "Drift":
      return `${finding.what} of ${finding.table}.${finding.column} is ${finding.found}, not ${finding.expected}`
    case "GhostTable":
      return `table ${finding.table} was not declared`
    case "GhostColumn":
      return `column ${finding.table}.${finding.column} was not declared`
  }
}
