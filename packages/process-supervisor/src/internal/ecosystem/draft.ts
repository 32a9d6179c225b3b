import type { Field, Values } from "./fields.ts"
/**
 * An app while it is translated: what the file says of it, what becomes of that, and what each field came to.
 */
import type { AppOptions, Outcome } from "./model.ts"

export interface Draft {
  readonly values: Values
  /** Absolute. */
  readonly cwd: string
  /** Where programs are looked for. */
  readonly path: string
  readonly options: { -readonly [K in keyof AppOptions]?: AppOptions[K] }
  /** What became of a field; nothing happens when the file has no such. */
  readonly tell: (field: Field, outcome: Outcome, to?: string, why?: string) => void
  /** What becomes of a field that the file leaves out, where PM2 would do something else; nothing when it has it. */
  readonly differ: (field: Field, pm2: string, to: string | undefined, why: string) => void
  /** A field has a value that cannot be meant. */
  readonly fail: (field: Field, expected: string) => void
}

/** One text, or an array of texts, as PM2 has it. */
export const list = <A>(value: A | ReadonlyArray<A>): ReadonlyArray<A> =>
  // `isArray` alone takes no readonly array out of a union.
  Array.isArray(value) ? (value as ReadonlyArray<A>) : [value as A] // oxlint-disable-line typescript/no-unsafe-type-assertion

/** What the evaluator puts in place of a value that no JSON can hold. */
export const notData = (value: unknown): { readonly what: string; readonly source: string | undefined } | undefined => {
  if (typeof value !== "object" || value === null || !("not data" in value)) return undefined
  const source = "source" in value && typeof value.source === "string" ? value.source : undefined
  return { what: String(value["not data"]), source }
}
