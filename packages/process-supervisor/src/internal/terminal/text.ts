/** Text for a terminal that has columns, and that does what control characters tell it. */
import { stripVTControlCharacters } from "node:util"

/**
 * One line that tells a terminal nothing: what programs write and are named could move its cursor, rename its window or
 * put text into its clipboard. Escape sequences go, with what they say; so do control characters, and those that turn
 * the direction of writing or take no room. A tabulator is a space.
 */
export const plain = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  /^[\x20-\x7e]*$/.test(text)
    ? text
    : stripVTControlCharacters(text.toWellFormed())
        .replace(/\t/g, " ")
        .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, "")

/** JSON in one line, also for a terminal: JSON itself leaves some control characters as they are. */
export const json = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** Two columns each, in the terminals of today: East Asian scripts, their full-width forms, and emoji. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u

const columnsOf = (character: string): number => (/\p{M}/u.test(character) ? 0 : wide.test(character) ? 2 : 1)

/** Columns that a plain text takes. */
export const width = (text: string): number => {
  // oxlint-disable-next-line no-control-regex
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += columnsOf(character)
  return columns
}

/** At most so many columns of a plain text; what is cut off is an ellipsis. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  if (columns <= 0) return ""
  let kept = ""
  let used = 1
  for (const character of text) {
    used += columnsOf(character)
    if (used > columns) break
    kept += character
  }
  return `${kept}…`
}

/** Exactly so many columns of a plain text. */
export const fit = (text: string, columns: number, align: "left" | "right" = "left"): string => {
  const shown = cut(text, columns)
  const room = " ".repeat(Math.max(0, columns - width(shown)))
  return align === "left" ? shown + room : room + shown
}

/** A plain text as lines of at most so many columns, between words where it can. */
export const wrap = (text: string, columns: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    let rest = word
    if (line !== "" && width(line) + 1 + width(rest) > columns) {
      lines.push(line)
      line = ""
    }
    while (width(rest) > columns) {
      // The ellipsis is what `cut` adds: the next line begins behind what it kept.
      const part = cut(rest, columns + 1).slice(0, -1)
      if (part === "") break
      lines.push(part)
      rest = rest.slice(part.length)
    }
    line = line === "" ? rest : `${line} ${rest}`
  }
  return [...lines, line]
}
