/** The command that shows a supervisor live. */
import * as Effect from "effect/Effect"

import { monit } from "../../monit.ts"
import { find } from "./remote.ts"
import type { Words } from "./words.ts"

/** Until it is left; gives the exit code. */
export const view = Effect.fnUntraced(function* (words: Words) {
  // React's other build checks what only its own developers need, at several times the cost.
  process.env["NODE_ENV"] ??= "production"
  const control = yield* find(words)
  const end = yield* monit(control)
  return end === "Quit" ? 0 : 130
})
