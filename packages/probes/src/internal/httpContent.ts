/**
 * What a body or a message must say.
 *
 * @since 0.1.0
 */
import * as Buffer from "node:buffer"

import type { Checks } from "@nexobot/core/Options"
import type { Redactor } from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { excerpt } from "./excerpt.ts"

/** A text that is in it, an expression that matches it, or a schema that decodes its JSON. */
export type Content = string | RegExp | Schema.ConstraintDecoder<unknown>

const isSchema = (value: unknown): value is Schema.ConstraintDecoder<unknown> => Schema.isSchema(value)

export const checkedContent = (checks: Checks, option: string, value: unknown): Content =>
  value instanceof RegExp || isSchema(value) || (typeof value === "string" && value !== "")
    ? value
    : checks.fail(option, value, "a non-empty string, a regular expression or a schema")

const parsed = (text: string): { readonly json: unknown } | undefined => {
  try {
    return { json: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Why the bytes do not say it, without secrets; `undefined` when they do. */
export const mismatch = Effect.fnUntraced(function* (
  expected: Content,
  bytes: Uint8Array,
  redactor: Redactor
): Effect.fn.Return<string | undefined> {
  const text = new TextDecoder().decode(bytes)
  if (typeof expected === "string") {
    return text.includes(expected) ? undefined : `does not contain ${JSON.stringify(expected.slice(0, 100))}`
  }
  if (expected instanceof RegExp) {
    // A copy: a sticky or global expression remembers where it stopped.
    return new RegExp(expected).test(text) ? undefined : `does not match ${String(expected).slice(0, 100)}`
  }
  if (!Buffer.isUtf8(bytes)) return "is no UTF-8"
  const value = parsed(text)
  if (value === undefined) return "is no JSON"
  return yield* Effect.match(Schema.decodeUnknownEffect(expected)(value.json), {
    onSuccess: () => undefined,
    onFailure: (error) => excerpt(error.message, redactor)
  }).pipe(
    // A schema that contains itself goes as deep as the server likes, and the stack does not.
    Effect.catchDefect((defect) =>
      defect instanceof RangeError ? Effect.succeed("is nested too deep") : Effect.die(defect)
    )
  )
})
