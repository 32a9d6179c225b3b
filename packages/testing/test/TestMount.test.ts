import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { kill } from "../src/ProcessFault.ts"
import * as TestMount from "../src/TestMount.ts"
import { reaches, start } from "../src/TestProcess.ts"

const codeOf = (f: () => void): unknown => {
  try {
    f()
    return "none"
  } catch (error) {
    return Reflect.get(Object(error), "code")
  }
}

describe.skipIf(TestMount.isMissing())("a disk in memory", () => {
  it.live("has the size and the number of files that it was told, and is seen through /proc only", () =>
    Effect.gen(function* () {
      const { inside, path } = yield* TestMount.tmpfs({ size: 65_536, inodes: 3 })
      const { bfree, bsize, ffree } = Fs.statfsSync(path)
      assert.deepStrictEqual([bfree * bsize, ffree], [65_536, 2])
      Fs.writeFileSync(Path.join(path, "file"), "x")
      assert.deepStrictEqual(Fs.readdirSync(inside), [])
      const tooMuch = () => Fs.writeFileSync(Path.join(path, "file"), "x".repeat(70_000))
      assert.strictEqual(codeOf(tooMuch), "ENOSPC")
    })
  )

  it.live("can be read only", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.tmpfs({ readOnly: true })
      assert.strictEqual(
        codeOf(() => Fs.writeFileSync(Path.join(path, "file"), "x")),
        "EROFS"
      )
    })
  )

  it.live("is gone with its scope", () =>
    Effect.gen(function* () {
      const { path } = yield* Effect.scoped(TestMount.tmpfs())
      assert.isFalse(Fs.existsSync(path))
    })
  )
})

describe("a disk that fails", () => {
  it.live.skipIf(TestMount.isHungMissing())("hangs whoever asks it, past SIGKILL, and lets go with its holder", () =>
    Effect.gen(function* () {
      const { asked, holder, path } = yield* TestMount.hung
      const asking = yield* start("stat", "-f", path)
      // Until then, SIGKILL would end it.
      yield* asked
      yield* kill(asking)
      yield* reaches(asking.pid, "D")
      yield* kill(holder)
    })
  )

  it.live.skipIf(TestMount.isFrozenMissing())("freezes who writes, and not who asks for its size", () =>
    Effect.gen(function* () {
      const { path, thaw } = yield* TestMount.frozen
      assert.strictEqual(ChildProcess.spawnSync("stat", ["-f", path]).status, 0)
      const writing = yield* start("dd", "if=/dev/zero", `of=${path}/file`, "bs=1", "count=1")
      yield* reaches(writing.pid, "D")
      yield* thaw
    })
  )
})
