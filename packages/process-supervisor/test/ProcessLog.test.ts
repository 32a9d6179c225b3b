import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"

import { refusal } from "../../testing/src/Expect.ts"
import * as ProcessLog from "../src/ProcessLog.ts"

describe("ProcessLog.make", () => {
  it("fills in what is not told", () => {
    assert.deepStrictEqual(ProcessLog.make({ file: "/var/log/app.log" }), {
      file: "/var/log/app.log",
      errorFile: undefined,
      rotate: { size: 52_428_800, age: undefined, keep: 10, gzip: true },
      format: "raw",
      multiline: undefined,
      drop: [],
      only: [],
      rateLimit: undefined,
      buffer: 8_388_608,
      whenFull: "drop"
    })
  })

  it("takes sizes as texts, and one file by two names as one", () => {
    const settings = ProcessLog.make({
      file: "/var/log/app.log",
      errorFile: "/var/log/../log/app.log",
      rotate: { size: "1.5 MB", age: "1 day", keep: 0, gzip: false },
      buffer: "1 MB"
    })
    assert.isUndefined(settings.errorFile)
    assert.deepStrictEqual(settings.rotate, { size: 1_572_864, age: Duration.days(1), keep: 0, gzip: false })
    assert.strictEqual(settings.buffer, 1_048_576)
    assert.isUndefined(ProcessLog.make({ file: "x", rotate: false }).rotate)
  })

  it("expressions do not remember where they were", () => {
    const [drop] = ProcessLog.make({ file: "x", drop: [/a/gi] }).drop
    assert.deepStrictEqual([drop?.test("A"), drop?.test("A")], [true, true])
  })

  it("refuses options that cannot work, and names them", () => {
    const refusals: ReadonlyArray<readonly [object, string]> = [
      [{ file: "" }, "file"],
      [{ file: "logs/" }, "file"],
      [{ errorFile: 3 }, "errorFile"],
      [{ rotate: true }, "rotate"],
      [{ rotate: { size: "big" } }, "rotate.size"],
      [{ rotate: { size: 1023 } }, "rotate.size"],
      [{ rotate: { age: 0 } }, "rotate.age"],
      [{ rotate: { keep: -1 } }, "rotate.keep"],
      [{ rotate: { gzip: "yes" } }, "rotate.gzip"],
      [{ rotate: { count: 3 } }, "rotate.count"],
      [{ format: "text" }, "format"],
      [{ multiline: "" }, "multiline"],
      [{ drop: /a/ }, "drop"],
      [{ only: ["("] }, "only.0"],
      [{ rateLimit: { lines: 0, per: "1 second" } }, "rateLimit.lines"],
      [{ rateLimit: { lines: 1, per: 0 } }, "rateLimit.per"],
      [{ rateLimit: { lines: 1, per: "1 second", burst: 2 } }, "rateLimit.burst"],
      [{ buffer: 1000 }, "buffer"],
      [{ whenFull: "ignore" }, "whenFull"],
      [{ path: "x" }, "path"]
    ]
    for (const [options, option] of refusals) {
      const error = refusal(() => ProcessLog.make({ file: "x", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["ProcessLog", option])
    }
  })
})

const error = (reason: ProcessLog.LogError["reason"]) =>
  new ProcessLog.LogError({ process: "api", path: "/logs/api.log", reason }).message

describe("LogError", () => {
  it("says what to do next", () => {
    assert.strictEqual(
      error(new ProcessLog.FolderMissing({ folder: "/" })),
      'log of "api": /logs/api.log cannot be made, as there is no folder /: make it, or set another file'
    )
    assert.include(error(new ProcessLog.IsFolder()), "is a folder: set the path of a file in it")
    assert.include(error(new ProcessLog.NotWritable({ code: "EACCES" })), "(EACCES): let the supervisor's user")
    assert.include(error(new ProcessLog.NotWritable({ code: "EWHAT" })), "(EWHAT): set another file")
    assert.include(error(new ProcessLog.Unresponsive({ after: Duration.seconds(10) })), "has not answered for 10s")
  })
})
