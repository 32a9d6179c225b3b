import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"

import * as StateDirectory from "../src/StateDirectory.ts"
import { cannotBeNobody, lookAsNobody, temporaryFolder } from "./support.ts"

const openWith = (env: Record<string, string>) =>
  Effect.provide(StateDirectory.open, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

const modeOf = (path: string) => Fs.statSync(path).mode & 0o777

describe("StateDirectory.open", () => {
  it.live("makes the folder that was asked for, for its owner only, with those above it", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* temporaryFolder, "a", "b")
      assert.strictEqual(yield* openWith({ NEXO_STATE_DIR: path, XDG_STATE_HOME: "/nowhere" }), path)
      assert.strictEqual(modeOf(path), 0o700)
      assert.strictEqual(modeOf(Path.dirname(path)), 0o700)
      assert.strictEqual(yield* openWith({ NEXO_STATE_DIR: path }), path, "and again")
    })
  )

  it.live("makes a relative one absolute", () =>
    Effect.gen(function* () {
      const path = yield* temporaryFolder
      assert.strictEqual(yield* openWith({ NEXO_STATE_DIR: Path.relative(process.cwd(), path) }), path)
    })
  )

  it.live("takes the user's state folder otherwise", () =>
    Effect.gen(function* () {
      const state = yield* temporaryFolder
      assert.strictEqual(yield* openWith({ XDG_STATE_HOME: state }), Path.join(state, "nexobot"))
      assert.strictEqual(modeOf(Path.join(state, "nexobot")), 0o700)
    })
  )

  it.live("takes that of the home folder where no other is named", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      assert.strictEqual(yield* openWith({ HOME: home }), Path.join(home, ".local", "state", "nexobot"))
    })
  )

  it.live("says which folder cannot be had, and what to do about it", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* temporaryFolder, "file")
      Fs.writeFileSync(path, "")
      for (const wanted of [path, Path.join(path, "below")]) {
        const error = yield* Effect.flip(openWith({ NEXO_STATE_DIR: wanted }))
        assert.deepStrictEqual([error._tag, error.path], ["StateDirectoryError", wanted])
        assert.match(error.message, /cannot be used: E(EXIST|NOTDIR).*Set NEXO_STATE_DIR to a folder/)
      }
    })
  )

  it.live("fails at once where no folder can be made, though the system says that one is missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(openWith({ NEXO_STATE_DIR: "/proc/no/folder" }))
      assert.include(error.message, "ENOENT")
    })
  )

  it.live("takes an empty name for none", () =>
    Effect.gen(function* () {
      const state = yield* temporaryFolder
      const path = yield* openWith({ NEXO_STATE_DIR: "", XDG_STATE_HOME: state })
      assert.strictEqual(path, Path.join(state, "nexobot"))
    })
  )

  it.live("says what to do where there is no home folder either", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(openWith({}))
      assert.strictEqual(error.path, "~")
      assert.include(error.message, "Set NEXO_STATE_DIR")
    })
  )

  it.live.skipIf(cannotBeNobody())("refuses a folder that it may not write to", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      Fs.chmodSync(folder, 0o755)
      const env = JSON.stringify({ NEXO_STATE_DIR: folder })
      const provider = `ConfigProvider.layer(ConfigProvider.fromEnv({ env: ${env} }))`
      const { failure } = lookAsNobody("StateDirectory", `Effect.provide(module.open, ${provider})`)
      assert.deepInclude(failure, { _tag: "StateDirectoryError", path: folder })
    })
  )
})
