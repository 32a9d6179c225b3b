import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { eventually } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import { codeIn, makeHelper } from "../src/internal/helper.ts"

const maxOutput = 1000

describe("makeHelper", () => {
  it.live("runs one program after the other, however many ask at once", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const helper = makeHelper()
      // Fails if another one is there.
      const script = `mkdir "$1/one" && echo . && exec rmdir "$1/one"`
      const once = helper({ file: "sh", args: ["-c", script, "sh", folder], maxOutput })
      const all = yield* Effect.all(
        Array.from({ length: 20 }, () => once),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([...new Set(all.map(({ exitCode, stdout }) => `${exitCode} ${stdout}`))], ["0 .\n"])
    })
  )

  it.live("goes on after one that was interrupted, after waiting ones that were, and after one that is not there", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const started = Path.join(folder, "started")
      const helper = makeHelper()
      const endless = helper({ file: "sh", args: ["-c", ': >"$0"; exec sleep 600', started], maxOutput })
      const running = yield* Effect.forkChild(endless, { startImmediately: true })
      const waiting = yield* Effect.forkChild(endless, { startImmediately: true })
      yield* eventually(
        "it runs",
        Effect.sync(() => Fs.existsSync(started) || undefined)
      )
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(running)
      assert.strictEqual(yield* Effect.flip(helper({ file: "no-such-program", maxOutput })), "ENOENT")
      for (let turn = 0; turn < 20; turn += 1) {
        yield* Fiber.interrupt(yield* Effect.forkChild(endless, { startImmediately: turn % 2 === 0 }))
      }
      assert.strictEqual((yield* helper({ file: "echo", args: ["x"], maxOutput })).stdout, "x\n")
    })
  )

  it.live("has its programs speak English, and tells them nothing else", () =>
    Effect.gen(function* () {
      const { stdout } = yield* makeHelper()({ file: "env", maxOutput: 100_000 })
      assert.deepStrictEqual(stdout.trim().split("\n").toSorted(), ["LC_ALL=C", `PATH=${process.env["PATH"]}`])
      process.env["LANGUAGE"] = "de"
      const { stderr } = yield* makeHelper()({ file: "stat", args: ["/nowhere"], maxOutput })
      delete process.env["LANGUAGE"]
      assert.strictEqual(codeIn(stderr), "ENOENT")
    })
  )
})

describe("codeIn", () => {
  it("reads what programs say, and not what they quote", () => {
    const said: ReadonlyArray<readonly [string, string | undefined]> = [
      ["stat: cannot statx '/x': No such file or directory\n", "ENOENT"],
      ["sh: 1: cannot create /x/y: Directory nonexistent\n", "ENOENT"],
      ["sh: can't create /x/y: nonexistent directory\n", "ENOENT"],
      ["dd: error writing 'standard output': No space left on device\n1+0 records in\n0+0 records out\n", "ENOSPC"],
      ["dd: failed to open '/a: Permission denied: b': Read-only file system", "EROFS"],
      ["dd: fsync failed for 'standard output': Input/output error", "EIO"],
      ["stat: can't read file system information for '/x': I/O error\n", "EIO"],
      ["sh: 3: cannot create /x: File exists", "EEXIST"],
      ["sh: line 3: /x: cannot overwrite existing file", "EEXIST"],
      ["df: /x: Stale file handle", "ESTALE"],
      ["df: /x: Transport endpoint is not connected", "ENOTCONN"],
      ["sh: out of cheese", undefined],
      ["", undefined]
    ]
    for (const [complaint, code] of said) assert.strictEqual(codeIn(complaint), code, complaint)
  })
})
