import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestFolder from "../src/TestFolder.ts"

describe("TestFolder", () => {
  it.live("is there and empty, is everybody's own, and is gone with all that is in it", () =>
    Effect.gen(function* () {
      const folders = yield* Effect.scoped(
        Effect.gen(function* () {
          const two = [yield* TestFolder.make, yield* TestFolder.make]
          for (const folder of two) {
            assert.deepStrictEqual(Fs.readdirSync(folder), [])
            Fs.mkdirSync(Path.join(folder, "below"))
            Fs.writeFileSync(Path.join(folder, "below", "file"), "")
          }
          return two
        })
      )
      assert.lengthOf([...new Set(folders)], 2)
      for (const folder of folders) assert.isFalse(Fs.existsSync(folder))
    })
  )
})
