/**
 * Finds what is to be hidden in a text: one pass finds the words of known secrets and of shapes, and only around these
 * anything is matched. Known secrets come first, and shapes look at the text in which they are masked already.
 */
import * as Anchors from "./anchors.ts"
import * as Cards from "./cards.ts"
import * as Secrets from "./secrets.ts"
import * as Shapes from "./shapes.ts"
import * as Spans from "./spans.ts"

export interface Engine {
  /** What is to be hidden, in order; not even neighbours overlap. */
  readonly find: (text: string) => ReadonlyArray<Spans.Span>
  readonly text: (text: string) => string
  /** Of a key: what its name tells about the value. */
  readonly below: (key: string) => Shapes.Below
  /** No known secret is longer in any form. */
  readonly longest: number
  /** Whether a place right after a line feed may be inside of a known secret. */
  readonly inside: RegExp | undefined
}

/** What a word belongs to. */
type Owner = { readonly form: Secrets.Form } | { readonly shape: number } | "mask"

const wordsOf = (owners: ReadonlyArray<readonly [words: ReadonlyArray<string>, owner: Owner]>) => {
  const byWord = new Map<string, Array<Owner>>()
  for (const [words, owner] of owners) {
    // The scan ignores case.
    for (const word of new Set(words.map((one) => one.toLowerCase()))) {
      const known = byWord.get(word)
      if (known === undefined) byWord.set(word, [owner])
      else known.push(owner)
    }
  }
  return byWord
}

const shapeOwners = Shapes.shapes.map(({ words }, shape) => [words, { shape }] as const)

const isPlaced = (text: string): boolean => Shapes.shapes.some(({ places }) => (places?.(text).length ?? 0) > 0)

const nothing: ReadonlyArray<Spans.Span> = []

export const make = (given: ReadonlyArray<string>): Engine => {
  const secrets = [...new Set(given.flatMap(Secrets.withKeyLines))].filter((secret) => secret !== "")
  const forms = secrets.flatMap(Secrets.formsOf)
  const owners = wordsOf([
    ...(forms.length === 0 ? [] : [[[Spans.mask], "mask"] as const]),
    ...forms.map((form) => [form.words, { form }] as const),
    ...shapeOwners
  ])
  const ownersOf = [...owners.values()]
  const isTelling = [...owners.keys()].map(Shapes.isTellingWord)
  const scan = Anchors.make([...owners.keys()])

  const find = (text: string): ReadonlyArray<Spans.Span> => {
    let known: Array<Spans.Span> | undefined
    let masks: Array<number> | undefined
    let seen: Array<Array<number>> | undefined
    scan(text, (word, at) => {
      for (const owner of ownersOf[word] ?? []) {
        if (owner === "mask") (masks ??= []).push(at)
        else if ("form" in owner) {
          const span = owner.form.find(text, at)
          if (span !== undefined) (known ??= []).push(span)
        } else {
          if (Shapes.shapes[owner.shape]?.gate?.(text, at) === false) continue
          seen ??= Shapes.shapes.map(() => [])
          seen[owner.shape]?.push(at)
        }
      }
    })
    // No word, no match: most texts end here.
    const cards = known === undefined ? Cards.find(text) : nothing
    if (known === undefined && seen === undefined && cards.length === 0 && !isPlaced(text)) return nothing

    const hidden = new Spans.Hidden(text)
    if (known === undefined) hidden.hide(cards)
    else {
      hidden.hide(masks === undefined ? known : outside(known, masks))
      hidden.hide(Cards.find(hidden.text))
    }
    for (const [index, shape] of Shapes.shapes.entries()) {
      const words = seen?.[index] ?? []
      for (const pattern of shape.patterns) {
        const places = shape.places?.(hidden.text) ?? (words.length === 0 ? [] : words.map((word) => hidden.now(word)))
        if (places.length > 0) hidden.hide(matches(hidden.text, pattern, places, shape))
      }
    }
    return hidden.spans
  }

  return {
    find,
    text: (text) => {
      const spans = find(text)
      return spans.length === 0 ? text : Spans.render(text, spans)
    },
    below: (key) => {
      let telling = false
      scan(key, (word) => {
        telling ||= isTelling[word] === true
      })
      return telling ? Shapes.below(key) : "nothing"
    },
    longest: forms.reduce((most, form) => Math.max(most, form.longest), 0),
    inside: Secrets.insideOf(secrets)
  }
}

/** What is masked stays as it is, also when a secret is a part of the mask. */
const outside = (spans: ReadonlyArray<Spans.Span>, masks: ReadonlyArray<number>): ReadonlyArray<Spans.Span> => {
  const inMasks = new Set(masks.flatMap((at) => Array.from(Spans.mask, (_, index) => at + index)))
  return spans.filter((span) => !inMasks.has(span.start))
}

/** What a pattern hides, tried at some places of the text as it reads now. */
const matches = (
  text: string,
  pattern: RegExp,
  places: ReadonlyArray<number>,
  { gateNow }: Shapes.Shape
): ReadonlyArray<Spans.Span> => {
  let found: Array<Spans.Span> | undefined
  let done = 0
  for (const place of places) {
    if (place < done || gateNow?.(text, place) === false) continue
    pattern.lastIndex = place
    const match = pattern.exec(text)
    if (match === null) continue
    done = pattern.lastIndex
    const start = place + (match[1] ?? "").length
    // It is masked already.
    if (done - start === Spans.mask.length && text.startsWith(Spans.mask, start)) continue
    found ??= []
    found.push({ start, end: done })
  }
  return found ?? nothing
}
