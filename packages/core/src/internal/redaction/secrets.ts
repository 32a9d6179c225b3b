/**
 * The forms in which a known secret may stand in a text, each with words of which one is in it for sure.
 *
 * Every expression is linear in the text: a form is looked for only around its words, and no two repetitions in it can
 * share a run of characters.
 */
import type { Span } from "./spans.ts"

export interface Form {
  /** Wherever the form stands, one of these does, in any case. */
  readonly words: ReadonlyArray<string>
  /** The form around the word found there. */
  readonly find: (text: string, at: number) => Span | undefined
  /** No text in this form is longer. */
  readonly longest: number
}

/** Before an escaped character: JSON in JSON in JSON has seven. */
const backslashes = "\\\\{1,7}"

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")

const hexDigits = (hex: string): string =>
  hex.replace(/[a-f]/gi, (digit) => `[${digit.toLowerCase()}${digit.toUpperCase()}]`)

const percentOf = (char: string): string =>
  [...Buffer.from(char, "utf8")].map((byte) => `%(?:25){0,2}${hexDigits(byte.toString(16).padStart(2, "0"))}`).join("")

/** `first` is how many backslashes may stand before its first unit. */
const unicodeOf = (char: string, first: string): string =>
  char
    .split("")
    .map((unit, index) => {
      const hex = unit.charCodeAt(0).toString(16).padStart(4, "0")
      return `${index === 0 ? first : backslashes}u${hexDigits(hex)}`
    })
    .join("")

const shortEscapes: Readonly<Record<string, string>> = { "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t" }

const isWord = (part: string | undefined): boolean => part !== undefined && /^[A-Za-z0-9]$/.test(part)

/**
 * A part of a secret, as itself and as URL and JSON encoders write it, each to their own taste and up to three deep. A
 * run of backslashes is one part, and takes those of the escape after it too: a backslash never has two readings.
 */
const partPattern = (part: string, index: number, parts: ReadonlyArray<string>): string => {
  const { length } = part
  if (part.startsWith("\\")) {
    const run = `\\\\{${length},${length * 8 + 7}}`
    return `(?:${run}|(?:${percentOf("\\")}){${length}}|(?:${unicodeOf("\\", backslashes)}){${length}})`
  }
  if (isWord(part)) return part
  const afterRun = parts[index - 1]?.startsWith("\\") === true
  const before = afterRun ? "" : backslashes
  const short = shortEscapes[part]
  // Itself last: backwards, too, an escape belongs to what it escapes.
  const forms = [
    ...(/["'/`]/.test(part) && !afterRun ? [backslashes + escaped(part)] : []),
    ...(short === undefined ? [] : [before + short]),
    unicodeOf(part, before),
    percentOf(part),
    ...(part === " " ? ["\\+"] : []),
    escaped(part)
  ]
  return `(?:${forms.join("|")})`
}

const longestOf = (part: string): number =>
  isWord(part) ? 1 : Math.max(Buffer.byteLength(part) * 7, part.length * 12, part.length * 8 + 7)

/** What a part that is no letter or digit begins with, however it is written. */
const beginnings = (part: string): ReadonlyArray<string> => [
  part.slice(0, 1),
  "\\",
  "%",
  ...(part === " " ? ["+"] : [])
]

/** A word this long is rare enough in texts that do not have the secret. */
const wordLength = 6

interface Anchor {
  /** The index of the part at which the words begin. */
  readonly first: number
  readonly words: ReadonlyArray<string>
}

/** Letters and digits are written in one way only: the longest run of them, with what may follow if it is short. */
const anchorOf = (parts: ReadonlyArray<string>): Anchor => {
  let first = 0
  let length = 0
  for (let at = 0; at < parts.length; at += 1) {
    const start = at
    while (isWord(parts[at])) at += 1
    if (at - start <= length) continue
    first = start
    length = at - start
    // At its very beginning it is found most cheaply.
    if (start === 0 && length >= wordLength) break
  }
  const run = parts.slice(first, first + Math.min(length, wordLength)).join("")
  const following = parts[first + length]
  const words = length >= 4 || following === undefined ? [run] : beginnings(following).map((next) => run + next)
  return { first, words }
}

const partsOf = (secret: string): ReadonlyArray<string> => secret.match(/\\+|[^\\]/gsu) ?? []

const plainForm = (secret: string): Form => {
  const parts = partsOf(secret)
  const { first, words } = anchorOf(parts)
  const patterns = parts.map(partPattern)
  const before = patterns.slice(0, first).join("")
  // Built when it is needed: of most secrets no word is ever seen.
  let expression: RegExp | undefined
  return {
    words,
    longest: parts.reduce((sum, part) => sum + longestOf(part), 0),
    find: (text, at) => {
      expression ??= new RegExp(`${before === "" ? "" : `(?<=(${before}))`}${patterns.slice(first).join("")}`, "y")
      expression.lastIndex = at
      const match = expression.exec(text)
      return match === null ? undefined : { start: at - (match[1] ?? "").length, end: expression.lastIndex }
    }
  }
}

/** A form that is written in one way, but for the case of hexadecimal digits. */
const literalForm = (form: string, anyCase = false): Form => {
  const runs = form.match(/[A-Za-z0-9]+/g) ?? []
  const run = runs.toSorted((a, b) => b.length - a.length)[0] ?? ""
  const word = (run.length < 3 ? form : run).slice(0, wordLength)
  const offset = form.indexOf(word)
  return {
    words: [word],
    longest: form.length,
    find: (text, at) => {
      const start = at - offset
      if (start < 0) return undefined
      const end = start + form.length
      const is = anyCase ? text.slice(start, end).toLowerCase() === form : text.startsWith(form, start)
      return is ? { start, end } : undefined
    }
  }
}

/** Base64 hides a secret behind three alignments, and its first and last characters depend on the neighbours. */
const base64Forms = (bytes: Buffer): ReadonlyArray<string> => {
  const aligned = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
  })
  return [...new Set([...aligned, ...aligned.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))])]
}

/** Encodings of a word shorter than this are too short to be told from ordinary text. */
const shortestEncoded = 4

/** The forms of a secret that is not empty. */
export const formsOf = (secret: string): ReadonlyArray<Form> => {
  const bytes = Buffer.from(secret, "utf8")
  if (bytes.length < shortestEncoded) return [plainForm(secret)]
  return [
    plainForm(secret),
    ...base64Forms(bytes).map((form) => literalForm(form)),
    literalForm(bytes.toString("hex"), true)
  ]
}

/** A secret of several lines, such as a key file, is often printed line by line. */
export const withKeyLines = (secret: string): ReadonlyArray<string> => [
  secret,
  ...secret.split(/[\r\n]+/).filter((line) => line !== secret && /^[\w+/=-]{16,}$/.test(line))
]

/** How much before the end of a line is looked at to tell whether a secret of several lines goes on after it. */
const lookedAt = 32

/** Whether a place right after a line feed may be inside of a secret; undefined if none has a line feed. */
export const insideOf = (secrets: ReadonlyArray<string>): RegExp | undefined => {
  const beginningsOf = secrets.flatMap((secret) => {
    const parts = partsOf(secret)
    const patterns = parts.map(partPattern)
    return parts.flatMap((part, index) =>
      part === "\n" && index < parts.length - 1
        ? [`${patterns.slice(Math.max(0, index - lookedAt), index).join("")}\n`]
        : []
    )
  })
  return beginningsOf.length === 0 ? undefined : new RegExp(`(?<=${[...new Set(beginningsOf)].join("|")})`, "y")
}
