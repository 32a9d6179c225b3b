/** The command that only says what a file means. */
import * as Effect from "effect/Effect"

import { plain } from "../terminal/text.ts"
import { examine } from "./examine.ts"
import * as Load from "./load.ts"
import type { Output } from "./output.ts"
import * as Report from "./report.ts"
import * as Signals from "./signals.ts"
import type { Words } from "./words.ts"

/** Starts nothing; gives the exit code, which is 1 when some could not be started. */
export const check = Effect.fnUntraced(function* (words: Words, output: Output) {
  const loaded = yield* Signals.unless(Load.load(words), yield* Signals.told)
  const { names, problems } = yield* examine(loaded, loaded.members, { id: loaded.id, stateFolder: "/" })
  const { ecosystem, selfWatching } = loaded
  if (words.json) {
    const { defaults, report } = { defaults: [], report: [], ...ecosystem }
    const said = problems.map(({ field, message, process }) => ({ process, field, message }))
    output.json({ processes: names, report, defaults, selfWatching, problems: said })
  } else {
    if (ecosystem !== undefined) Report.print(ecosystem, output)
    for (const one of selfWatching) Report.note(Report.warning(one), "yellow", output)
    output.line(`${names.length} to run: ${plain(names.join(", "))}`)
    for (const { message } of problems) Report.note(message, "red", output)
  }
  return problems.length === 0 ? 0 : 1
}, Effect.scoped)
