/** Watches the files of a process. Who does not watch does not load what watches. */
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import type { Any } from "../ProcessSpec.ts"

/** What supervised programs and their supervisor `id` write must not restart them. */
export const ownFiles = (specs: Iterable<Any>, id: string, stateFolder: string | undefined): ReadonlyArray<string> => {
  const logs = [...specs].flatMap(({ log }) => [log?.file, log?.errorFile])
  // Not the folder: it may be that of the sources.
  const state = ["state.json", "lock", "sock"].map((end) =>
    stateFolder === undefined ? undefined : Path.join(stateFolder, `${id}.${end}`)
  )
  return [...logs, ...state].filter((path) => path !== undefined)
}

/** Tells each change. */
export const watchFiles =
  ({ cwd = process.cwd(), name, watch }: Any, never: ReadonlyArray<string>) =>
  (onChange: Effect.Effect<void>): Effect.Effect<void> =>
    watch === undefined
      ? Effect.void
      : Effect.promise(() => import("./watch/changes.ts")).pipe(
          Effect.flatMap((module) => Stream.runForEach(module.changes(watch, cwd, never), () => onChange)),
          Effect.catch((error) => Effect.logWarning(`the files of ${name} are not watched: ${error.message}`))
        )
