/**
 * Finds many words in one pass over a text, whatever ASCII case they are in.
 *
 * Two or three characters at a time are looked up in small sets, which say for nearly all places that no word begins
 * there; only at the others a tree of the words is walked, no further than the longest word.
 */

type Scan = (text: string, found: (word: number, at: number) => void) => void

interface Node {
  readonly next: Map<number, Node>
  word: number
}

/** Six bits each. Of more kinds of characters than this the rest share one: then too much is looked at, never too little. */
const bits = 6
const mostKinds = 2 ** bits - 1
const window = 2 ** (3 * bits) - 1

const lower = (code: number): number => (code >= 65 && code <= 90 ? code + 32 : code)

/** `found` is told the index of each word and where it begins, in the order of these places. */
export const make = (words: ReadonlyArray<string>): Scan => {
  const kinds = new Uint8Array(65_536)
  let known = 0
  const root: Node = { next: new Map(), word: -1 }
  for (const [index, word] of words.entries()) {
    let node = root
    for (let at = 0; at < word.length; at += 1) {
      const code = lower(word.charCodeAt(at))
      if (kinds[code] === 0) {
        known = Math.min(known + 1, mostKinds)
        kinds[code] = known
        if (code >= 97 && code <= 122) kinds[code - 32] = known
      }
      const next: Node = node.next.get(code) ?? { next: new Map(), word: -1 }
      node.next.set(code, next)
      node = next
    }
    node.word = index
  }

  const beginnings = new Int32Array((window + 1) / 32)
  for (const word of words) {
    const kindAt = (at: number): number => kinds[lower(word.charCodeAt(at))] ?? 0
    const any = [...Array(mostKinds + 1).keys()]
    for (const second of word.length > 1 ? [kindAt(1)] : any) {
      for (const third of word.length > 2 ? [kindAt(2)] : any) {
        const key = (((kindAt(0) << bits) | second) << bits) | third
        beginnings[key >>> 5] = (beginnings[key >>> 5] ?? 0) | (1 << (key & 31))
      }
    }
  }

  const walk = (text: string, start: number, found: (word: number, at: number) => void): void => {
    let node = root
    for (let at = start; at < text.length; at += 1) {
      const next = node.next.get(lower(text.charCodeAt(at)))
      if (next === undefined) return
      node = next
      if (node.word >= 0) found(node.word, start)
    }
  }

  /** The first place from `start` on at which a word may begin; a loop without calls is twice as fast. */
  const candidate = (text: string, start: number): number => {
    const { length } = text
    const kindAt = (place: number): number => (place < length ? (kinds[text.charCodeAt(place)] ?? 0) : 0)
    let key = (kindAt(start) << bits) | kindAt(start + 1)
    let at = start + 2
    for (; at < length; at += 1) {
      key = ((key << bits) | (kinds[text.charCodeAt(at)] ?? 0)) & window
      if (((beginnings[key >>> 5] ?? 0) & (1 << key)) !== 0) return at - 2
    }
    // Past the end there is nothing, which is a kind of its own.
    for (; at < length + 2; at += 1) {
      key = (key << bits) & window
      if (((beginnings[key >>> 5] ?? 0) & (1 << key)) !== 0) return at - 2
    }
    return -1
  }

  // Words of three characters have one of their two pairs at every second place: half of the places are enough then.
  const areLong = words.every((word) => word.length > 2)
  const pairs = new Uint8Array(2 ** (2 * bits))
  for (const word of words) {
    for (const at of [0, 1]) {
      const kindAt = (place: number): number => kinds[lower(word.charCodeAt(place))] ?? 0
      if (areLong) pairs[(kindAt(at) << bits) | kindAt(at + 1)] = 1
    }
  }

  const isBeginning = (text: string, at: number): boolean => {
    const kindAt = (place: number): number => (place < text.length ? (kinds[text.charCodeAt(place)] ?? 0) : 0)
    const key = (((kindAt(at) << bits) | kindAt(at + 1)) << bits) | kindAt(at + 2)
    return ((beginnings[key >>> 5] ?? 0) & (1 << key)) !== 0
  }

  /** The first of every second place from `start` on at which a pair stands. */
  const paired = (text: string, start: number): number => {
    const last = text.length - 1
    for (let at = start; at < last; at += 2) {
      const key = ((kinds[text.charCodeAt(at)] ?? 0) << bits) | (kinds[text.charCodeAt(at + 1)] ?? 0)
      if (pairs[key] !== 0) return at
    }
    return -1
  }

  if (areLong) {
    return (text, found) => {
      for (let at = paired(text, 0); at >= 0; at = paired(text, at + 2)) {
        if (at > 0 && isBeginning(text, at - 1)) walk(text, at - 1, found)
        if (isBeginning(text, at)) walk(text, at, found)
      }
    }
  }

  return (text, found) => {
    for (let at = candidate(text, 0); at >= 0; at = candidate(text, at + 1)) walk(text, at, found)
  }
}
