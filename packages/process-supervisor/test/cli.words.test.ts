import { PassThrough } from "node:stream"

import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

import type { FieldReport } from "../src/Ecosystem.ts"
import * as Output from "../src/internal/cli/output.ts"
import * as Report from "../src/internal/cli/report.ts"
import * as Words from "../src/internal/cli/words.ts"
import * as Table from "../src/internal/terminal/table.ts"
import { cut, fit, json, plain, width, wrap } from "../src/internal/terminal/text.ts"

const read = (...args: ReadonlyArray<string>) => Words.read(args)

describe("words", () => {
  it("are understood", () => {
    assert.deepStrictEqual(
      read(
        "run",
        "file",
        "--env",
        "production",
        "--inherit",
        "X",
        "--only",
        "a, b",
        "--state=/s",
        "--id",
        "x",
        "--monit"
      ),
      {
        command: "run",
        operands: ["file"],
        env: "production",
        inherit: ["X"],
        only: ["a", "b"],
        state: "/s",
        id: "x",
        all: false,
        logs: false,
        monit: true,
        json: false
      }
    )
    for (const args of [["--help"], ["-h"], ["run", "--help"], ["help"]])
      assert.deepStrictEqual(read(...args), { help: true })
  })

  it("that are wrong are refused with what is right", () => {
    const cases = [
      [[], "which command"],
      [["bogus"], "there are run, check"],
      [["run"], "needs one file"],
      [["run", "a", "b"], "needs one file"],
      [["stop"], "a name, or --all"],
      [["stop", "--all", "x"], "exclude each other"],
      [["status", "--all"], "no option --all"],
      [["run", "a", "--monit", "--json"], "exclude each other"],
      [["status", "--inherit", "X"], "no option --inherit"],
      [["logs", "a", "b"], "one name at most"],
      [["monit", "x"], "no name"],
      [["stop", "x", "--env", "y"], "no option --env"],
      [["status", "--bogus"], "--bogus"],
      [["status", "--id"], "--id"],
      [["status", "--id", ""], "needs a value"]
    ] as const
    for (const [args, expected] of cases) {
      const words = read(...args)
      assert.isTrue("wrong" in words, args.join(" "))
      if ("wrong" in words) assert.include(words.wrong, expected)
    }
  })

  it.prop("of any kind never throw", [Schema.Array(Schema.String)], ([args]) => {
    assert.isObject(Words.read(args))
  })

  it("help is short and narrow", () => {
    const lines = Words.help.split("\n")
    assert.isBelow(lines.length, 32)
    for (const line of lines) assert.isAtMost(line.length, 80)
    for (const command of Words.commands) assert.include(Words.help, `  ${command}`)
  })
})

describe("text for terminals", () => {
  it.prop(
    "tells it nothing, and fits",
    [Schema.String, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))],
    ([text, columns]) => {
      const shown = plain(text)
      assert.notMatch(shown, /[\p{Cc}\p{Cf}]/u)
      assert.isAtMost(width(cut(shown, columns)), columns)
      assert.strictEqual(width(fit(shown, columns)), columns)
    }
  )

  it.prop(
    "wrapped is the same text",
    [Schema.String, Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 50 }))],
    ([text, columns]) => {
      const shown = plain(text)
      const lines = wrap(shown, columns)
      for (const line of lines) assert.isAtMost(width(line), columns)
      assert.strictEqual(lines.join("").replaceAll(" ", ""), shown.replaceAll(" ", ""))
    }
  )

  it("is JSON without anything that a terminal obeys", () => {
    const value = { text: "\u001b[2J\u009b31m\u007f\u202e\u2028 caf\u00e9" }
    const said = json(value)
    assert.deepStrictEqual(JSON.parse(said), value)
    assert.notMatch(said, /[\p{Cc}\p{Cf}\u2028]/u)
    assert.include(said, "caf\u00e9")
  })

  it("is a table of the columns that there are", () => {
    const lines = Table.lines(
      [{ title: "A" }, { title: "B", align: "right" }, { title: "C" }],
      [
        ["a", "1", "word ".repeat(40).trim()],
        ["bbbb", "22", ""]
      ],
      40,
      (text) => text
    )
    assert.strictEqual(lines[0], "A      B  C")
    assert.match(lines[1] ?? "", /^a {6}1 {2}word/)
    assert.match(lines[2] ?? "", /^ {10}word/)
    for (const line of lines) assert.isAtMost(width(line), 40)
  })
})

describe("the report", () => {
  it("is a table", () => {
    const stdout = new PassThrough()
    let text = ""
    stdout.on("data", (chunk) => (text += String(chunk)))
    const report: ReadonlyArray<FieldReport> = [
      { app: "backend", field: "script", value: "server.js", outcome: "mapped", to: "command", why: undefined },
      {
        app: "backend",
        field: "max_memory_restart",
        value: "1G",
        outcome: "changed",
        to: "memory.limit",
        why: "the whole tree counts, and only what lasts for 5 seconds leads to a restart"
      },
      {
        app: undefined,
        field: "deploy",
        value: "\u001b[31m",
        outcome: "refused",
        to: undefined,
        why: "deployment is not its work"
      }
    ]
    const file = { file: "/f", apps: [], report, defaults: [], selfWatching: [] }
    Report.print(file, Output.make(stdout, stdout))
    assert.notMatch(text.replaceAll("\n", ""), /\p{Cc}/u)
    for (const line of text.split("\n")) assert.isAtMost(line.length, 80)
    assert.include(text, "backend  max_memory_restart  changed  1G → memory.limit; the whole tree")
    assert.include(text, "3 fields: 1 mapped, 1 changed, 1 refused")
    assert.include(text, "server.js")
    text = ""
    Report.print(file, Output.make(stdout, stdout), true)
    assert.notInclude(text, "server.js")
  })
})
