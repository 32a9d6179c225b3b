/**
 * One name for each type of a column, whichever of its names was written.
 *
 * @since 0.1.0
 */
import { type Dialect, quoted, tidy, unquoted } from "./sqlText.ts"

const postgresNames: ReadonlyMap<string, string> = new Map([
  ["bool", "boolean"],
  ["char varying", "character varying"],
  ["char", "character"],
  ["dec", "numeric"],
  ["decimal", "numeric"],
  ["float4", "real"],
  ["float8", "double precision"],
  ["int", "integer"],
  ["int2", "smallint"],
  ["int4", "integer"],
  ["int8", "bigint"],
  ["national character", "character"],
  ["national character varying", "character varying"],
  ["nchar", "character"],
  ["bigserial", "bigint"],
  ["serial", "integer"],
  ["serial2", "smallint"],
  ["serial4", "integer"],
  ["serial8", "bigint"],
  ["smallserial", "smallint"],
  ["time", "time without time zone"],
  ["timestamp", "timestamp without time zone"],
  ["timestamptz", "timestamp with time zone"],
  ["timetz", "time with time zone"],
  ["varbit", "bit varying"],
  ["varchar", "character varying"]
])

/** Sizes that a type has when none is written, or that say the same as none. */
const postgresSize = (name: string, size: string | undefined): string | undefined => {
  if (name === "character" || name === "bit") return size ?? "1"
  if (name === "numeric" && size !== undefined) return size.includes(",") ? size : `${size},0`
  return /^(?:time|timestamp|interval)\b/.test(name) && size === "6" ? undefined : size
}

/** These mean something else within quotes. */
const reserved = new Set([...postgresNames.keys(), ...postgresNames.values(), "bit", "float", "interval"])

/** `"status"` is `status`; `"Status"` is not. */
const simple = (name: string): string =>
  name.replace(/"([a-z_][a-z0-9_]*)"/g, (found, inner: string) => (reserved.has(inner) ? found : inner))

const postgres = (written: string): string => {
  const text = written.replace(/ collate (?:[\w.]|"[^"]*")+$/, "")
  const [, base = text, size, suffix = "", dimensions = ""] =
    /^([^()[\]']+?)(?:\((\d+(?:,-?\d+)?)\))?((?: [a-z]+)*)((?:\[\d*\])*)$/.exec(text) ?? []
  const whole = `${base}${suffix}`.replace(/^pg_catalog\./, "")
  const element = whole.replace(/ array$/, "")
  const array = dimensions === "" && element === whole ? "" : "[]"
  if (element === "float") return (size !== undefined && Number(size) <= 24 ? "real" : "double precision") + array
  const name = postgresNames.get(element) ?? simple(element)
  const known = postgresSize(name, size)
  if (known === undefined) return name + array
  // The size stands in the middle: timestamp(3) with time zone.
  return (name.startsWith("time") ? name.replace(/^\w+/, `$&(${known})`) : `${name}(${known})`) + array
}

const mysqlNames: ReadonlyMap<string, string> = new Map([
  ["bool", "boolean"],
  ["char varying", "varchar"],
  ["character varying", "varchar"],
  ["character", "char"],
  ["dec", "decimal"],
  ["double precision", "double"],
  ["fixed", "decimal"],
  ["float4", "float"],
  ["float8", "double"],
  ["int1", "tinyint"],
  ["int2", "smallint"],
  ["int3", "mediumint"],
  ["int4", "int"],
  ["int8", "bigint"],
  ["integer", "int"],
  // MariaDB has no type of its own for it.
  ["json", "longtext"],
  ["long varchar", "mediumtext"],
  ["long", "mediumtext"],
  ["middleint", "mediumint"],
  ["national char", "char"],
  ["national varchar", "varchar"],
  ["nchar", "char"],
  ["numeric", "decimal"],
  ["nvarchar", "varchar"],
  ["real", "double"]
])

const whole = new Set(["tinyint", "smallint", "mediumint", "int", "bigint"])

/** Widths of whole numbers are for show; other sizes have defaults. */
const mysqlSize = (name: string, size: string | undefined, isFilled: boolean): string | undefined => {
  if (whole.has(name) || name === "year") return isFilled ? size : undefined
  if (name === "decimal") return size === undefined ? "10,0" : size.includes(",") ? size : `${size},0`
  if (["char", "binary", "bit"].includes(name)) return size ?? "1"
  return ["time", "datetime", "timestamp"].includes(name) && size === "0" ? undefined : size
}

/** Labels of an `enum` or a `set` may have either kind of quotes. */
const withPlainLabels = (text: string): string =>
  text.replace(/'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"/gs, (label) =>
    label.startsWith("'") ? label : quoted("mysql", unquoted("mysql", label) ?? label)
  )

const mysql = (written: string): string => {
  const text = /^(?:enum|set)\b/.test(written) ? withPlainLabels(written) : written
  const without = text.replace(/ ?\b(?:character set|charset|collate)(?: ?= ?| )\w+/g, "").trim()
  const [, base, size, suffix = ""] =
    /^([a-z][a-z0-9_ ]*?)(?:\((.*)\))?((?:\s|\b(?:unsigned|signed|zerofill)\b)*)$/s.exec(without) ?? []
  if (base === undefined) return without
  const name = mysqlNames.get(base.trim()) ?? base.trim()
  if (name === "serial") return "bigint unsigned"
  const isFilled = suffix.includes("zerofill")
  const isUnsigned = isFilled || suffix.includes("unsigned")
  if (name === "tinyint" && size === "1" && !isUnsigned) return "boolean"
  if (name === "float" && size !== undefined && !size.includes(",")) return Number(size) <= 24 ? "float" : "double"
  const known = mysqlSize(name, size, isFilled)
  return `${name}${known === undefined ? "" : `(${known})`}${isUnsigned ? " unsigned" : ""}${isFilled ? " zerofill" : ""}`
}

export const normalType = (dialect: Dialect, text: string): string => {
  const tidied = tidy(dialect, text)
  return dialect === "postgres" ? postgres(tidied) : mysql(tidied)
}
