import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import { Backlog } from "../src/internal/logs/backlog.ts"
import { makeEditor } from "../src/internal/logs/editor.ts"
import { Lines } from "../src/internal/logs/lines.ts"
import * as ProcessLog from "../src/ProcessLog.ts"
import { balance, open, piped, readAll } from "./logsSupport.ts"

/** Text with much of what goes wrong: ends of lines, long characters, and bytes that are no UTF-8. */
const Pieces = Schema.Array(
  Schema.Union([
    Schema.String,
    Schema.Literals(["\n", "\n\n", "\r\n", "ü", "€", "😀", "a line\n", "    at a.js:1\n", "\u0000", "x".repeat(50)]),
    Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
  ])
)

const bytesOf = (pieces: typeof Pieces.Type): Buffer =>
  Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : Buffer.from([...piece]))))

const Size = Schema.Literals([1, 2, 3, 5, 7, 64, 1000])

/** A copy, as the buffer of a pipe is used again. */
const chunksOf = (bytes: Buffer, size: number): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    Buffer.from(bytes.subarray(index * size, (index + 1) * size))
  )

const linesOf = (bytes: Buffer, size: number, longest?: number): ReadonlyArray<string> => {
  const lines = new Lines(longest)
  const found: Array<string> = []
  const onLine = (data: Buffer, start: number, end: number) => found.push(data.toString("latin1", start, end))
  for (const chunk of chunksOf(bytes, size)) lines.push(chunk, onLine)
  lines.end(onLine)
  assert.strictEqual(lines.held, 0)
  return found
}

describe("logs: lines", () => {
  it.prop("come out as they are, wherever the output is cut", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    const whole = bytes.toString("latin1").match(/[^\n]*\n|[^\n]+$/g) ?? []
    assert.deepStrictEqual(linesOf(bytes, size), [...whole])
  })

  it.prop("long ones come in pieces, the same wherever the output is cut", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    const found = linesOf(bytes, size, 10)
    assert.deepStrictEqual(found, linesOf(bytes, 1_000_000, 10))
    assert.strictEqual(found.join(""), bytes.toString("latin1"))
    for (const one of found) assert.isAtMost(one.length, 10)
  })

  it.prop("no character is torn", [Schema.Array(Schema.Literals(["a", "ü", "€", "😀"])), Size], ([pieces, size]) => {
    const text = pieces.join("")
    const found = linesOf(Buffer.from(text), size, 10).map((one) => Buffer.from(one, "latin1").toString())
    assert.strictEqual(found.join(""), text)
  })
})

const editing = (options: Partial<ProcessLog.LogOptions>, bytes: Buffer, size: number) => {
  const settings = ProcessLog.make({ file: "x", ...options })
  const backlog = new Backlog({
    limit: Infinity,
    note: () => undefined,
    onData: () => {},
    onFull: () => {},
    onOpen: () => {},
    onLoss: () => {}
  })
  const editor = makeEditor("app", "stdout", settings, 0, backlog, { now: () => 0, monotonic: () => 0 })
  for (const chunk of chunksOf(bytes, size)) editor.push(chunk)
  assert.strictEqual(bytes.length, backlog.filtered.bytes + backlog.waiting + editor.held())
  editor.end()
  assert.strictEqual(editor.held(), 0)
  return { backlog, out: Buffer.concat(backlog.batch(Infinity, true)) }
}

const prefix = "1970-01-01T00:00:00.000Z app stdout | "

describe("logs: formats", () => {
  it.prop("raw with filters: what passes is the same bytes", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    const all = editing({ drop: [/^this is nowhere$/] }, bytes, size)
    assert.isTrue(all.out.equals(bytes))
    const none = editing({ drop: [/^/] }, bytes, size)
    assert.deepStrictEqual([none.out.length, none.backlog.filtered.bytes], [0, bytes.length])
  })

  it.prop("prefixed: each line after its prefix, the same bytes", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    const { out } = editing({ format: "prefixed" }, bytes, size)
    const lines = bytes.toString("latin1").match(/[^\n]*\n|[^\n]+$/g) ?? []
    const expected = lines.map((line) => `${prefix}${line}${line.endsWith("\n") ? "" : "\n"}`).join("")
    assert.strictEqual(out.toString("latin1"), expected)
  })

  it.prop("json: one record for each line", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    const { out } = editing({ format: "json" }, bytes, size)
    const lines = bytes.toString("latin1").match(/[^\n]*\n|[^\n]+$/g) ?? []
    const texts = out
      .toString()
      .split("\n")
      .slice(0, -1)
      .map((line): string => JSON.parse(line).text)
    assert.deepStrictEqual(
      texts,
      lines.map((line) => Buffer.from(line.replace(/\n$/, "").replace(/\r$/, ""), "latin1").toString())
    )
  })

  it.prop("multiline: the same records wherever the output is cut", [Pieces, Size], ([pieces, size]) => {
    const bytes = bytesOf(pieces)
    for (const format of ["raw", "prefixed", "json"] as const) {
      const options = { format, multiline: /^\s+at / }
      assert.strictEqual(editing(options, bytes, size).out.toString(), editing(options, bytes, 1e6).out.toString())
    }
  })
})

describe("logs: what waits", () => {
  it("is full, drops, and takes again when half of it is written, after a note of what is missing", () => {
    const told: Array<string> = []
    const backlog = new Backlog({
      limit: 4000,
      note: ({ bytes }) => Buffer.from(`lost ${bytes}\n`),
      onData: () => {},
      onFull: () => told.push("full"),
      onOpen: () => told.push("open"),
      onLoss: ({ bytes }) => told.push(`lost ${bytes}`)
    })
    const line = Buffer.from(`${"x".repeat(743)}\n`)
    for (let count = 0; count < 4; count += 1) backlog.offer(line, line.length, 1, false)
    assert.deepStrictEqual(told, ["full"])
    backlog.startDropping()
    assert.deepStrictEqual(told, ["full", "open"])
    backlog.offer(line, line.length, 1, false)
    backlog.advance(line.length)
    backlog.offer(line, line.length, 1, false)
    assert.deepStrictEqual([backlog.state, backlog.dropped.lines], ["Dropping", 2])
    backlog.advance(line.length)
    assert.deepStrictEqual([backlog.state, told.at(-1)], ["Open", `lost ${2 * line.length}`])
    backlog.offer(line, line.length, 1, false)
    const waiting = Buffer.concat(backlog.batch(Infinity, true)).toString()
    assert.strictEqual(waiting, `${line.toString().repeat(2)}lost ${2 * line.length}\n${line.toString()}`)
  })
})

describe("logs: the whole way", () => {
  const Format = Schema.Literals(["raw", "prefixed", "json"])

  it.live.prop(
    "whatever comes, in whatever pieces, rotated at whatever size: the same bytes, each accounted for",
    [Pieces, Size, Format],
    ([pieces, size, format]) =>
      Effect.scoped(
        Effect.gen(function* () {
          const file = Path.join(yield* TestFolder.make, "app.log")
          const bytes = Buffer.concat(Array.from({ length: 40 }, () => bytesOf(pieces)))
          const log = yield* open({ file, format, rotate: { size: 1024, gzip: false, keep: 1000 } })
          const output = piped(log)
          for (const chunk of chunksOf(bytes, size * 13)) output.stdout.write(chunk)
          yield* output.end
          const { dropped, filtered, waiting, written } = balance(log)
          assert.deepStrictEqual([written.bytes, dropped.bytes, filtered.bytes, waiting], [bytes.length, 0, 0, 0])
          const found = Fs.existsSync(file) ? readAll(file) : Buffer.alloc(0)
          if (format === "raw") assert.isTrue(found.equals(bytes))
          if (format === "prefixed") {
            const text = found.toString("latin1").replaceAll(/^\S+Z app stdout \| /gm, "")
            assert.strictEqual(text.replace(/\n$/, ""), bytes.toString("latin1").replace(/\n$/, ""))
          }
          for (const name of Fs.readdirSync(Path.dirname(file))) {
            const { size: length } = Fs.statSync(Path.join(Path.dirname(file), name))
            if (format === "raw") assert.isAtMost(length, 1024)
          }
        })
      ),
    { arbitrary: { runs: 40 } }
  )
})
