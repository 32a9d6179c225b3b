/**
 * The last good size of a file, to compare the next one with.
 *
 * @since 0.1.0
 */
import * as DurableFile from "@nexobot/core/DurableFile"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { inPool } from "./filePool.ts"
import { readSmallFile } from "./smallFile.ts"

/** Fails with what went wrong with it, other than that there is none yet. */
export interface Store {
  readonly read: Effect.Effect<number | undefined, string>
  readonly write: (size: number) => Effect.Effect<void, string>
}

export const inMemory = (): Store => {
  let last: number | undefined
  return {
    read: Effect.sync(() => last),
    write: (size) =>
      Effect.sync(() => {
        last = size
      })
  }
}

const Content = Schema.fromJsonString(Schema.Struct({ path: Schema.String, size: Schema.Int }))

/** More than a path and a size have. */
const longest = 16_384

/** In a file of its own, which says whose size it is. */
export const inFile = (own: string, path: string): Store => {
  const failure = (what: string) => `the baseline ${own} ${what}`
  const stranger = failure(`is not that of ${path}: remove it, or name another file`)
  return {
    read: readSmallFile(own, longest).pipe(
      Effect.flatMap((text) => Effect.mapError(Schema.decodeEffect(Content)(text), () => stranger)),
      Effect.filterOrFail(
        (content) => content.path === path,
        () => stranger
      ),
      Effect.map((content): number | undefined => content.size),
      Effect.catch((why) => {
        if (why === "ENOENT") return Effect.undefined
        return Effect.fail(why === stranger ? stranger : failure(`cannot be read: ${why}`))
      })
    ),
    write: (size) =>
      Effect.mapError(inPool(own, DurableFile.replace(own, `${JSON.stringify({ path, size })}\n`)), (error) =>
        failure(`cannot be written: ${error.code}`)
      )
  }
}
