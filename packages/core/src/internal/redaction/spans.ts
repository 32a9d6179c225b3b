/** What is hidden in a text: stretches of the original, and the text as it reads with a mask in place of each. */

export const mask = "<redacted>"

export interface Span {
  readonly start: number
  readonly end: number
}

/** Sorted, and one where they overlap; those that only touch stay apart. */
const merge = (spans: ReadonlyArray<Span>): ReadonlyArray<Span> => {
  const merged: Array<Span> = []
  for (const span of spans.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1)
    if (last === undefined || span.start >= last.end) merged.push(span)
    else if (span.end > last.end) merged[merged.length - 1] = { start: last.start, end: span.end }
  }
  return merged
}

/** The text from one place to another, with masks. */
export const render = (text: string, spans: ReadonlyArray<Span>, from = 0, to = text.length): string => {
  let output = ""
  let last = from
  for (const { end, start } of spans) {
    if (end <= from || start >= to) continue
    output += text.slice(last, Math.max(start, last)) + mask
    last = end
  }
  return output + text.slice(last, Math.max(to, last))
}

/** The index of the last of the sorted numbers that is at most `value`; -1 if there is none. */
const lastAtMost = (sorted: ReadonlyArray<number>, value: number): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

export class Hidden {
  readonly original: string
  spans: ReadonlyArray<Span> = []
  /** The text as it reads now. */
  text: string
  /** Where each span starts in the original, and where its mask does now. */
  #starts: ReadonlyArray<number> = []
  #masks: ReadonlyArray<number> = []

  constructor(original: string) {
    this.original = original
    this.text = original
  }

  /** Where a place of the original is now; -1 if it is hidden. */
  now(place: number): number {
    const index = lastAtMost(this.#starts, place)
    const span = this.spans[index]
    if (span === undefined) return place
    return place < span.end ? -1 : (this.#masks[index] ?? 0) + mask.length + place - span.end
  }

  /** Hides stretches of the text as it reads now; a mask that they touch upon becomes a part of them. */
  hide(found: ReadonlyArray<Span>): void {
    if (found.length === 0) return
    const originally = found.map(({ end, start }) => ({
      start: this.#place(start, false),
      end: this.#place(end, true)
    }))
    const spans = merge([...this.spans, ...originally])
    let shift = 0
    this.#masks = spans.map((span) => {
      const at = span.start + shift
      shift += mask.length - (span.end - span.start)
      return at
    })
    this.#starts = spans.map((span) => span.start)
    this.spans = spans
    this.text = render(this.original, spans)
  }

  #place(now: number, asEnd: boolean): number {
    const index = lastAtMost(this.#masks, asEnd ? now - 1 : now)
    const span = this.spans[index]
    if (span === undefined) return now
    const beyond = now - (this.#masks[index] ?? 0) - mask.length
    if (asEnd) return span.end + Math.max(0, beyond)
    return beyond >= 0 ? span.end + beyond : span.start
  }
}
