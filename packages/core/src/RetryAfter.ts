/**
 * The HTTP header `Retry-After`: how long a server asks to be left alone, in seconds or until a date (RFC 9110, section
 * 10.2.3).
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

const time = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`
const month = `(?<month>${months.join("|")})`

/** The three forms of RFC 9110, section 5.6.7. */
const forms: ReadonlyArray<RegExp> = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  new RegExp(String.raw`^[A-Z][a-z]{2}, (?<day>\d\d) ${month} (?<year>\d{4}) ${time} GMT$`),
  // Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(String.raw`^[A-Z][a-z]{5,8}, (?<day>\d\d)-${month}-(?<year>\d\d) ${time} GMT$`),
  // Sun Nov  6 08:49:37 1994
  new RegExp(String.raw`^[A-Z][a-z]{2} ${month} (?<day>[ \d]\d) ${time} (?<year>\d{4})$`)
]

/** A year of two digits is the nearest that ends so; one that seems more than 50 years ahead is past. */
const fullYear = (text: string, now: number): number => {
  const year = Number(text)
  if (text.length > 2) return year
  const current = new Date(now).getUTCFullYear()
  const guess = current - (current % 100) + year
  return guess > current + 50 ? guess - 100 : guess < current - 49 ? guess + 100 : guess
}

/** Milliseconds since 1970. Not `Date.parse`: it reads "1.5" as a date, and some dates as local time. */
const parseDate = (text: string, now: number): number | undefined => {
  for (const form of forms) {
    const parts = form.exec(text)?.groups
    if (parts === undefined) continue
    const { day = "", hour = "", minute = "", second = "", year = "" } = parts
    const index = months.indexOf(parts["month"] ?? "")
    // Not before the year 100, which `Date.UTC` would take for the twentieth century.
    const fields = [fullYear(year, now), index, Number(day), Number(hour), Number(minute)] as const
    const at = Date.UTC(...fields, Number(second))
    const seen = new Date(Date.UTC(...fields))
    const exists =
      seen.getUTCFullYear() === fields[0] &&
      seen.getUTCMonth() === fields[1] &&
      seen.getUTCDate() === fields[2] &&
      seen.getUTCHours() === fields[3] &&
      seen.getUTCMinutes() === fields[4] &&
      // 60 is a leap second.
      Number(second) <= 60
    return exists ? at : undefined
  }
  return undefined
}

/** What RFC 9111, section 1.2.2 has for a number of seconds that is too large. */
const mostSeconds = 2 ** 31

/**
 * How long a value of the header asks to wait, counted from `now`, in milliseconds since 1970: a date can only be
 * compared with wall time. Zero for a date that has passed; `undefined` for what is neither seconds nor a date.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (header: string, now: number): Duration.Duration | undefined => {
  const text = header.trim()
  if (/^\d+$/.test(text)) return Duration.seconds(Math.min(Number(text), mostSeconds))
  const at = parseDate(text, now)
  return at === undefined ? undefined : Duration.millis(Math.max(0, at - now))
}

/**
 * Headers as `fetch`, Node and Effect have them.
 *
 * @category models
 * @since 0.1.0
 */
export type HeadersLike =
  | { readonly get: (name: string) => string | null }
  | Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

const isGetter = (headers: HeadersLike): headers is { readonly get: (name: string) => string | null } =>
  typeof headers["get"] === "function"

const find = (headers: HeadersLike): string | undefined => {
  if (isGetter(headers)) return headers.get("retry-after") ?? undefined
  const name = Object.keys(headers).find((key) => key.toLowerCase() === "retry-after")
  const value = name === undefined ? undefined : headers[name]
  return typeof value === "string" ? value : value?.[0]
}

/**
 * The same from the headers of a response, whatever the case of their names; `undefined` where there is none.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromHeaders = (headers: HeadersLike, now: number): Duration.Duration | undefined => {
  const value = find(headers)
  return value === undefined ? undefined : parse(value, now)
}
