/**
 * One form for each default of a column, however it was written.
 *
 * @since 0.1.0
 */
import { core, type Dialect, quoted, tidy, unquoted } from "./sqlText.ts"

/** The database counts by itself: `serial`, `identity`, `auto_increment`. */
export const auto = "auto"

const isNumber = (type: string): boolean =>
  /^(?:smallint|integer|bigint|numeric|real|double|money|tinyint|mediumint|int|decimal|float|year)\b/.test(type) &&
  !type.endsWith("[]")

const number = (text: string): string | undefined => {
  const [, sign = "", whole = "", part = ""] = /^([+-]?) ?(\d*)(?:\.(\d*))?$/.exec(text) ?? []
  if (whole + part === "") return undefined
  const [start, rest] = [whole.replace(/^0+(?=.)/, "") || "0", part.replace(/0+$/, "")]
  const value = rest === "" ? start : `${start}.${rest}`
  return sign === "-" && value !== "0" ? `-${value}` : value
}

const truths: ReadonlyMap<string, string> = new Map([
  ...["true", "t", "1", "yes", "on"].map((text) => [text, "true"] as const),
  ...["false", "f", "0", "no", "off"].map((text) => [text, "false"] as const)
])

/** What a literal, with quotes or without, means for a column of the type. */
const literal = (dialect: Dialect, type: string, text: string): string | undefined => {
  const inner = unquoted(dialect, text)
  const value = inner ?? text
  if (type === "boolean") return truths.get(value.toLowerCase())
  if (isNumber(type)) return number(value)
  return inner !== undefined || number(value) !== undefined ? quoted(dialect, value) : undefined
}

const moments: Readonly<Record<Dialect, RegExp>> = {
  postgres: /^(?:(?:now|transaction_timestamp)\(\)|current_timestamp(?:\((\d)\))?)$/,
  mysql: /^(?:(?:now|localtime|localtimestamp|current_timestamp)\((\d?)\)|localtime|localtimestamp|current_timestamp)$/
}

/** `null` for none. The type is a normal one. */
export const normalDefault = (dialect: Dialect, type: string, text: string | null): string | null => {
  if (text === null) return null
  const expression = core(dialect, tidy(dialect, text))
  if (expression === "null") return null
  if (expression.startsWith("nextval(")) return auto
  const moment = moments[dialect].exec(expression)
  if (moment !== null) {
    const digits = moment[1] ?? ""
    return digits === "" || digits === "0" ? "current_timestamp" : `current_timestamp(${digits})`
  }
  if (dialect === "mysql" && /^(?:curdate|current_date)\(\)$/.test(expression)) return "current_date"
  if (expression === "array[]") return "'{}'"
  // MariaDB tells 0 as b'0'.
  if (dialect === "mysql" && /^bit\b/.test(type) && /^\d{1,15}$/.test(expression)) {
    return `b'${Number(expression).toString(2)}'`
  }
  return literal(dialect, type, expression) ?? expression
}
