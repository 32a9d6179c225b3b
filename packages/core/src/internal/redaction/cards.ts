/** Numbers of payment cards in a text. */
import type { Span } from "./spans.ts"

/**
 * Issuers by their first digits, with the lengths of their numbers (ISO/IEC 7812; "Payment card number", Wikipedia).
 * Lengths that are hardly issued are left out, so that identifiers of 17 and 18 digits, as of messages, stay.
 */
const issuers: ReadonlyArray<readonly [first: RegExp, lengths: ReadonlyArray<number>]> = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^(?:30[0-5]|3095|36|3[89])/, [14]],
  [/^(?:6011|64[4-9]|65|62)/, [16, 19]],
  [/^35(?:2[89]|[3-8])/, [16, 19]],
  [/^(?:5018|5020|5038|5893|6304|6759|676[1-3])/, [13, 16, 19]]
]

const luhn = (digits: string): boolean => {
  let sum = 0
  for (let index = 0; index < digits.length; index += 1) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 48
    sum += index % 2 === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2
  }
  return sum % 10 === 0
}

const isCard = (digits: string): boolean =>
  issuers.some(([first, lengths]) => lengths.includes(digits.length) && first.test(digits)) && luhn(digits)

const shortest = 13
const longest = 19
/** A part of a written number: cards are printed in parts of three to six digits. */
const isPart = (part: string): boolean => part.length >= 3 && part.length <= 6

const isDigit = (code: number): boolean => code >= 48 && code <= 57
const isInNumber = (code: number): boolean => isDigit(code) || code === 32 || code === 45

interface Group extends Span {
  readonly digits: string
}

const groupsIn = (text: string, start: number, end: number): ReadonlyArray<Group> => {
  const groups: Array<Group> = []
  for (let at = start; at < end; at += 1) {
    const first = at
    while (at < end && isDigit(text.charCodeAt(at))) at += 1
    if (at > first) groups.push({ digits: text.slice(first, at), start: first, end: at })
  }
  return groups
}

/** The card that begins with a group of digits, if one does. */
const cardFrom = (groups: ReadonlyArray<Group>, first: number): Group | undefined => {
  const begin = groups[first]
  // Issuers begin with 2 to 6.
  if (begin === undefined || begin.digits < "2" || begin.digits > "7") return undefined
  let whole = begin
  for (let next = first + 1; whole.digits.length <= longest; next += 1) {
    if (whole.digits.length >= shortest && isCard(whole.digits)) return whole
    const before = groups[next - 1]
    const group = groups[next]
    // One space or dash between groups, each of a size that is printed.
    if (before === undefined || group === undefined || group.start - before.end !== 1) return undefined
    if (!isPart(before.digits) || !isPart(group.digits)) return undefined
    whole = { digits: whole.digits + group.digits, start: begin.start, end: group.end }
  }
  return undefined
}

/** Whether a group begins with a digit with which cards do, 2 to 6. */
const hasIssuer = (text: string, start: number, end: number): boolean => {
  let before = 0
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at)
    if (code >= 50 && code <= 54 && !isDigit(before)) return true
    before = code
  }
  return false
}

/** The digits of a fraction, such as 0.4111111111111111, are no card. */
const isFraction = (text: string, start: number): boolean =>
  text.charCodeAt(start - 1) === 46 && isDigit(text.charCodeAt(start - 2))

/** A card has two neighbours of these at least. */
const step = 6

/** Looks at every sixth character only: a card cannot hide between them. */
export const find = (text: string): ReadonlyArray<Span> => {
  if (text.length < shortest) return []
  const spans: Array<Span> = []
  let done = 0
  for (let at = 0; at < text.length; at += step) {
    if (!isInNumber(text.charCodeAt(at)) || !isInNumber(text.charCodeAt(at + step)) || at < done) continue
    let start = at
    while (start > done && isInNumber(text.charCodeAt(start - 1))) start -= 1
    let end = at + 1
    while (end < text.length && isInNumber(text.charCodeAt(end))) end += 1
    done = end
    if (end - start < shortest || !hasIssuer(text, start, end)) continue
    const groups = groupsIn(text, start, end)
    for (let index = 0; index < groups.length; index += 1) {
      const card = cardFrom(groups, index)
      if (card === undefined || isFraction(text, card.start)) continue
      spans.push({ start: card.start, end: card.end })
      while ((groups[index + 1]?.start ?? card.end) < card.end) index += 1
    }
  }
  return spans
}
