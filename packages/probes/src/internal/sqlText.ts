/**
 * Texts of SQL, with what is quoted in them told apart from the rest.
 *
 * @since 0.1.0
 */
import type { Database } from "../Database.ts"

export type Dialect = Database["dialect"]

/** A quoted piece, a run without quotes, or a quote that is never closed. MySQL has backslashes in strings. */
const pieces: Readonly<Record<Dialect, RegExp>> = {
  postgres: /'(?:[^']|'')*'|"(?:[^"]|"")*"|[^'"]+|['"]/g,
  mysql: /'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|[^'"`]+|['"`]/gs
}

const isQuoted = (piece: string): boolean => piece.length > 1 && /^['"`]/.test(piece)

/** The text with its pieces outside quotes, and those within, replaced. */
const replacing = (
  dialect: Dialect,
  text: string,
  outside: (piece: string) => string,
  within: (piece: string) => string = (piece) => piece
): string => text.replace(pieces[dialect], (piece) => (isQuoted(piece) ? within(piece) : outside(piece)))

/** In lower case, with single spaces and none within brackets or beside commas, but for what is quoted. */
export const tidy = (dialect: Dialect, text: string): string =>
  replacing(dialect, text, (piece) =>
    piece
      .toLowerCase()
      .replace(/\s+/g, " ")
      .replace(/ ?([(,[]) ?/g, "$1")
      .replace(/ ([)\]])/g, "$1")
  ).trim()

/** The same length, with a character that no SQL has in place of what is quoted. */
export const masked = (dialect: Dialect, text: string): string =>
  replacing(
    dialect,
    text,
    (piece) => piece,
    (piece) => "\0".repeat(piece.length)
  )

/** How deep in brackets each place is; negative when they close too early. */
const depths = (text: string): ReadonlyArray<number> => {
  let depth = 0
  return text.split("").map((character) => {
    if (character === "(" || character === "[") depth += 1
    if (character === ")" || character === "]") depth -= 1
    return depth
  })
}

/** Without brackets around all of it. */
const bare = (dialect: Dialect, text: string): string => {
  const places = depths(masked(dialect, text))
  const closed = places.indexOf(0)
  return text.startsWith("(") && closed === text.length - 1 ? text.slice(1, -1).trim() : text
}

const typeName = "(?:[a-z_][\\w$]*|\\0+)"

/** A cast, in the names that Postgres has for types. */
const castText = [
  "::(?:character varying|bit varying|double precision|time(?:stamp)?(?:\\(\\d\\))? with(?:out)? time zone|",
  `${typeName}(?:\\.${typeName})?)(?:\\(\\d+(?:,-?\\d+)?\\))?(?:\\[\\])*`
].join("")

const castOfQuoted = new RegExp(`(?<=\\0)${castText}`, "g")

const onlyCast = new RegExp(`^${castText}$`)

/** Without the casts that Postgres adds: of literals, and of all of it. */
const uncast = (text: string): string => {
  const hidden = masked("postgres", text)
  const last = hidden.lastIndexOf("::")
  if (last > 0 && depths(hidden)[last] === 0 && onlyCast.test(hidden.slice(last))) {
    return uncast(text.slice(0, last).trim())
  }
  let shown = ""
  let at = 0
  for (const { 0: found, index } of hidden.matchAll(castOfQuoted)) {
    shown += text.slice(at, index)
    at = index + found.length
  }
  return shown + text.slice(at)
}

/** Without the brackets and casts around an expression that say nothing more. */
export const core = (dialect: Dialect, text: string): string => {
  const inner = bare(dialect, dialect === "postgres" ? uncast(text) : text)
  return inner === text ? text : core(dialect, inner)
}

/** What a literal stands for, if the text is one. */
export const unquoted = (dialect: Dialect, text: string): string | undefined => {
  const [piece, ...others] = text.match(pieces[dialect]) ?? []
  const quotes = dialect === "postgres" ? /^'/ : /^['"]/
  if (piece === undefined || others.length > 0 || !isQuoted(piece) || !quotes.test(piece)) return undefined
  const quote = piece.charAt(0)
  const inner = piece.slice(1, -1).replaceAll(quote + quote, quote)
  return dialect === "postgres" ? inner : inner.replace(/\\(.)/gs, "$1")
}

/** A literal that stands for this. */
export const quoted = (dialect: Dialect, text: string): string => {
  const escaped = dialect === "postgres" ? text : text.replaceAll("\\", "\\\\")
  return `'${escaped.replaceAll("'", "''")}'`
}

/** A name, whatever is in it. */
export const identifier = (dialect: Dialect, name: string): string => {
  const quote = dialect === "postgres" ? '"' : "`"
  return quote + name.replaceAll(quote, quote + quote) + quote
}
