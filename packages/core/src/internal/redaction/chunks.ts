/** Redaction of a text that comes in pieces: gives out what no later piece can change, and keeps the rest. */
import type { Engine } from "./engine.ts"
import { unfinished } from "./shapes.ts"
import * as Spans from "./spans.ts"

export interface Chunks {
  /** Takes a piece and gives what can be told by now, which may be nothing. */
  readonly push: (chunk: string) => string
  /** The rest, at the end. */
  readonly flush: () => string
}

/** At least so much of a line that goes on is kept back: longer than the keys and tokens of providers. */
const leastKept = 1024
/** At most so much, unless a known secret is longer. What goes on for longer is told from its beginning and its end. */
const mostKept = 65_536
/** How far back the beginning of a shape may be that is not complete. */
const context = 128
/** So many places are tried before more text is waited for. */
const mostTried = 32

/** Whether a match goes on, perhaps: it meets the end, or a backslash at the end of which nobody knows what it escapes. */
const isOpen = (text: string, { end }: Spans.Span): boolean =>
  end === text.length || (end === text.length - 1 && text.endsWith("\\"))

/** The place, or the one before if a backslash there escapes what is at the place. */
const beforeEscape = (text: string, start: number, place: number): number => {
  let at = start
  while (at < place) at += text[at] === "\\" ? 2 : 1
  return at > place ? place - 1 : place
}

export const make = (engine: Engine): Chunks => {
  const kept = Math.max(leastKept, engine.longest)
  const most = Math.max(mostKept, kept * 4)
  let text = ""
  /** Of `text`, already given out, and here only because what follows depends on it. */
  let given = 0
  /** No attempt before there is so much text: each takes time in proportion to it. */
  let lineFrom = 0
  let spaceFrom = kept * 2

  /** Whether no match crosses a place, nor can when more text comes. */
  const isSafe = (place: number, spans: ReadonlyArray<Spans.Span>): boolean => {
    // What ends a shape right here may turn out to be the beginning of a known secret, and the shape go on after it.
    const isKnown = text.length - place >= engine.longest
    const crossing = spans.some(
      (span) => span.start < place && (span.end > place || (span.end === place && !isKnown) || isOpen(text, span))
    )
    if (crossing) return false
    const from = Math.max(0, place - context)
    // As it came, and as shapes see it that come after others.
    return !unfinished.test(text.slice(from, place)) && !unfinished.test(Spans.render(text, spans, from, place))
  }

  const isSafeLine = (place: number, spans: ReadonlyArray<Spans.Span>): boolean => {
    if (engine.inside !== undefined && place > text.length - kept) {
      engine.inside.lastIndex = place
      if (engine.inside.test(text)) return false
    }
    return isSafe(place, spans)
  }

  /** The last place after a character that is safe, in what is not given out yet. */
  const lastSafe = (char: string, before: number, safe: (place: number) => boolean): number => {
    let place = text.lastIndexOf(char, before - 1) + 1
    for (let tried = 0; place > given && tried < mostTried; tried += 1) {
      if (safe(place)) return place
      place = place < 2 ? 0 : text.lastIndexOf(char, place - 2) + 1
    }
    return given
  }

  const give = (place: number, spans: ReadonlyArray<Spans.Span>, from = place): string => {
    const output = Spans.render(text, spans, given, place)
    text = text.slice(from)
    given = place - from
    return output
  }

  /** There is too much text, and no good place in it. */
  const force = (spans: ReadonlyArray<Spans.Span>): string => {
    const last = spans.at(-1)
    const open = last !== undefined && isOpen(text, last) ? last : undefined
    if (open === undefined) {
      const wanted = text.length - kept
      const crossed = spans.find(({ end, start }) => start < wanted && end > wanted)
      const place = crossed === undefined ? wanted : crossed.start > given ? crossed.start : crossed.end
      return give(place, spans, Math.max(0, place - 1))
    }
    if (open.start > given) return give(open.start, spans, Math.max(0, open.start - context))
    // All of it is hidden, whatever it is; so its middle is not needed to tell where it ends.
    const shorter =
      text.slice(0, beforeEscape(text, open.start, open.start + kept)) +
      text.slice(beforeEscape(text, open.start, text.length - kept))
    const now = engine.find(shorter).at(-1)
    if (now !== undefined && now.start === open.start && isOpen(shorter, now) && shorter.length < most) {
      text = shorter
      return ""
    }
    return give(text.length, spans, text.length - 1)
  }

  return {
    push: (chunk) => {
      text += chunk
      const hasLine = chunk.includes("\n") && text.length >= lineFrom
      if (!hasLine && text.length < spaceFrom) return ""
      const spans = engine.find(text)
      const line = lastSafe("\n", text.length, (place) => isSafeLine(place, spans))
      const isBehind = line <= text.lastIndexOf("\n")
      const place =
        line > given || text.length - given < kept * 2
          ? line
          : lastSafe(" ", text.length - kept, (space) => isSafe(space, spans))
      let output = place > given ? give(place, spans) : ""
      if (output === "" && text.length - given >= most) output = force(spans)
      lineFrom = isBehind ? text.length + (text.length >> 2) : 0
      spaceFrom = Math.max(kept * 2, text.length + (text.length >> 2))
      return output
    },
    flush: () => {
      const output = Spans.render(text, engine.find(text), given)
      text = ""
      given = 0
      lineFrom = 0
      spaceFrom = kept * 2
      return output
    }
  }
}
