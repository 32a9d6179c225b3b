import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { PassThrough } from "node:stream"

import { assert, describe, it } from "@effect/vitest"
import * as Redaction from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as AppLog from "../src/internal/logs/appLog.ts"
import type { LogLine, LogOptions } from "../src/ProcessLog.ts"
import { balance, child, node, oldsOf, open, piped, readAll, until } from "./logsSupport.ts"

const inFolder = (options: Partial<LogOptions> = {}) =>
  Effect.gen(function* () {
    const file = Path.join(yield* TestFolder.make, "app.log")
    return { file, log: yield* open({ file, ...options }) }
  })

/** Waits until it is read. */
const say = (log: AppLog.AppLog, output: PassThrough, text: string) => {
  const before = log.stats().received
  output.write(text)
  return Effect.promise(async () => {
    while (log.stats().received === before) await new Promise(setImmediate)
  })
}

const textOf = (file: string): string => Fs.readFileSync(file, "utf8")

describe("AppLog", () => {
  it.live(
    "acceptance(process-supervisor 12): 100 MB in a burst across ten rotations are byte-identical",
    () =>
      Effect.gen(function* () {
        const { file, log } = yield* inFolder({ rotate: { size: "9.5 MB", keep: 20, gzip: true } })
        // Not the same byte twice in a row, so that a piece that moves is noticed.
        const burst = yield* node(`
          const { createHash } = require("node:crypto")
          const sum = createHash("sha256")
          let left = 100_000_000
          const block = Buffer.alloc(1_000_003)
          for (let index = 0; index < block.length; index++) block[index] = (index * 2654435761) >>> 13
          const write = () => {
            while (left > 0) {
              const part = block.subarray(0, Math.min(left, block.length))
              block.writeUInt32LE(left)
              const copy = Buffer.from(part)
              sum.update(copy)
              left -= copy.length
              if (!process.stdout.write(copy)) return process.stdout.once("drain", write)
            }
            process.stderr.write(sum.digest("hex"))
          }
          write()`)
        let sum = ""
        burst.stderr.setEncoding("utf8").on("data", (text: string) => void (sum += text))
        yield* log.attach({ stdout: burst.stdout, stderr: null }).drained
        yield* log.settled
        const { dropped, rotations, waiting, written } = balance(log)
        assert.deepStrictEqual([written.bytes, dropped.bytes, waiting, rotations], [100_000_000, 0, 0, 10])
        yield* until("the child has said its sum", () => sum.length === 64)
        assert.strictEqual(Crypto.createHash("sha256").update(readAll(file)).digest("hex"), sum)
        yield* until("old files are compressed", () => oldsOf(file).every((path) => path.endsWith(".gz")))
        const hash = Crypto.createHash("sha256").update(readAll(file)).digest("hex")
        assert.strictEqual(hash, sum)
      }),
    60_000
  )

  it.live("acceptance(process-supervisor 13): a multibyte character in two pieces and no final newline: intact", () =>
    Effect.gen(function* () {
      const text = "erste Zeile: Ä€😀\nletzte: 😀€Ä"
      for (const format of ["raw", "prefixed", "json"] as const) {
        const { file, log } = yield* inFolder({ format })
        const seen: Array<string> = []
        const tail = yield* Effect.forkChild(Stream.runCollect(Stream.take(log.lines, 2)), { startImmediately: true })
        // Byte by byte, and slowly enough that each comes by itself.
        const talker = yield* node(`
          const bytes = Buffer.from(${JSON.stringify(text)})
          let at = 0
          const next = () => at < bytes.length && process.stdout.write(bytes.subarray(at, ++at), () => setImmediate(next))
          next()`)
        const output = log.attach({ stdout: talker.stdout, stderr: talker.stderr })
        output.onLine((line) => seen.push(line.text))
        yield* output.drained
        yield* log.settled
        assert.deepStrictEqual(seen, text.split("\n"))
        assert.deepStrictEqual(
          (yield* Fiber.join(tail)).map((line) => line.text),
          text.split("\n")
        )
        const written = textOf(file)
        if (format === "raw") assert.strictEqual(written, text)
        if (format === "prefixed") {
          assert.deepStrictEqual(written.replaceAll(/^\S+Z app stdout \| /gm, ""), `${text}\n`)
        }
        if (format === "json") {
          const records = written
            .trimEnd()
            .split("\n")
            .map((line): LogLine => JSON.parse(line))
          assert.deepStrictEqual(
            records.map((record) => record.text),
            text.split("\n")
          )
        }
        const { dropped, filtered, written: count } = balance(log)
        assert.deepStrictEqual([count.bytes, dropped.bytes, filtered.bytes], [Buffer.byteLength(text), 0, 0])
      }
    })
  )

  it.live("stdout and stderr in one file, or in two", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder()
      const first = piped(log)
      first.stdout.write("out\n")
      yield* until("it is read", () => log.stats().received === 4)
      first.stderr.write("err\n")
      yield* first.end
      assert.strictEqual(textOf(file), "out\nerr\n")
      assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
      balance(log)

      const errorFile = Path.join(yield* TestFolder.make, "below", "error.log")
      const { file: other, log: two } = yield* inFolder({ errorFile })
      const second = piped(two)
      second.stdout.write("out\n")
      second.stderr.write("err\n")
      yield* second.end
      assert.deepStrictEqual([textOf(other), textOf(errorFile)], ["out\n", "err\n"])
      assert.strictEqual(Fs.statSync(Path.dirname(errorFile)).mode & 0o777, 0o700)
      assert.strictEqual(balance(two).written.bytes, 8)
    })
  )

  it.live("lines of both streams in one file are whole, however they come", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder({ format: "prefixed" })
      const both = yield* child(
        "sh",
        "-c",
        'i=0; while [ $i -lt 300 ]; do printf out; printf "err\\n" >&2; printf "put\\n"; i=$((i+1)); done'
      )
      yield* log.attach({ stdout: both.stdout, stderr: both.stderr }).drained
      yield* log.settled
      const lines = textOf(file).trimEnd().split("\n")
      assert.strictEqual(lines.filter((line) => /^\S+Z app stdout \| output$/.test(line)).length, 300)
      assert.strictEqual(lines.filter((line) => /^\S+Z app stderr \| err$/.test(line)).length, 300)
      assert.strictEqual(lines.length, 600)
      balance(log)
    })
  )

  it.live("several lives go to the same file; without a file, lines are seen all the same", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder()
      for (const life of ["first\n", "second\n"]) {
        const output = piped(log)
        output.stdout.write(life)
        yield* output.end
      }
      assert.strictEqual(textOf(file), "first\nsecond\n")
      balance(log)

      const none = yield* AppLog.make("app", undefined)
      const seen: Array<string> = []
      const output = piped(none)
      const remove = output.onLine((line) => seen.push(`${line.process} ${line.stream} ${line.text}`))
      const other = piped(none)
      other.stdout.write("of another life\n")
      yield* other.end
      output.stderr.write("ready\r\nmore\n")
      yield* until("it is seen", () => seen.length === 2)
      remove()
      output.stderr.write("not seen\n")
      yield* output.end
      assert.deepStrictEqual(seen, ["app stderr ready", "app stderr more"])
      balance(none)
    })
  )

  it.live("whoever comes in the middle of a line begins with the next one", () =>
    Effect.gen(function* () {
      const { log } = yield* inFolder()
      const output = piped(log)
      output.stdout.write("one tw")
      yield* until("it is read", () => log.stats().received === 6)
      const seen: Array<string> = []
      output.onLine((line) => seen.push(line.text))
      output.stdout.write("o\nthree\nfour")
      yield* output.end
      assert.deepStrictEqual(seen, ["three", "four"])
    })
  )

  it.live("the tail is redacted, over several lines too; listeners and the file have what was said", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder()
      const tail = yield* Effect.forkChild(Stream.runCollect(log.lines), { startImmediately: true })
      const said =
        "the word is hunter2-hunter2\n-----BEGIN PRIVATE KEY-----\nMIIabcdefgh\n-----END PRIVATE KEY-----\nbye\n"
      const heard: Array<string> = []
      const output = piped(log)
      output.onLine((line) => heard.push(line.text))
      output.stdout.write(said)
      yield* output.end
      yield* Effect.yieldNow
      assert.strictEqual(heard.join("\n"), said.trimEnd())
      assert.strictEqual(textOf(file), said)
      return tail
    }).pipe(
      Effect.scoped,
      Effect.flatMap(Fiber.join),
      Effect.map((lines) => {
        const text = lines.map((line) => line.text).join("\n")
        assert.notInclude(text, "hunter2")
        assert.notInclude(text, "MIIabcdefgh")
        assert.match(text, /^the word is <redacted>\n[^]*\nbye$/)
      }),
      Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-hunter2"]))
    )
  )

  it.live("a secret where a long line is cut is redacted too", () =>
    Effect.gen(function* () {
      const { log } = yield* inFolder()
      const tail = yield* Effect.forkChild(
        Stream.runCollect(Stream.takeUntil(log.lines, (line) => line.text === "next")),
        {
          startImmediately: true
        }
      )
      const heard: Array<string> = []
      const output = piped(log)
      output.onLine((line) => heard.push(line.text))
      output.stdout.write(`${"x".repeat(65_530)} hunter2-hunter2 ${"y".repeat(70_000)}\nnext\n`)
      yield* output.end
      assert.deepStrictEqual(
        heard.map((text) => text.length),
        [65_536, 65_536, 4475, 4]
      )
      const lines = yield* Fiber.join(tail)
      for (const line of lines) assert.isAtMost(line.text.length, 65_536)
      const text = lines.map((line) => line.text).join("")
      assert.strictEqual(text, `${"x".repeat(65_530)} <redacted> ${"y".repeat(70_000)}next`)
    }).pipe(Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-hunter2"])))
  )

  it.live("a slow subscriber misses the oldest lines, and holds nobody up", () =>
    Effect.gen(function* () {
      const { log } = yield* inFolder()
      const gate = Latch.makeUnsafe()
      const texts: Array<string> = []
      const slow = yield* Effect.forkChild(
        Stream.runForEach(log.lines, (line) =>
          Effect.andThen(
            Effect.sync(() => texts.push(line.text)),
            gate.await
          )
        ),
        { startImmediately: true }
      )
      const output = piped(log)
      output.stdout.write("first\n")
      yield* until("it looks", () => texts.length === 1)
      output.stdout.write(Array.from({ length: 5000 }, (_, index) => `${index}\n`).join(""))
      yield* output.end
      gate.openUnsafe()
      yield* until("it has the last", () => texts.at(-1) === "4999")
      assert.isBelow(texts.length, 3000)
      yield* Fiber.interrupt(slow)
      balance(log)
    })
  )

  it.live("a grandchild that holds the pipe: release stops reading, and keeps the line that has not ended", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder({ format: "prefixed" })
      const parent = yield* child("sh", "-c", "printf unfinished; sleep 600 & echo $! >&2")
      let pid = ""
      parent.stderr.setEncoding("utf8").on("data", (text: string) => void (pid += text))
      const { drained, release } = log.attach({ stdout: parent.stdout, stderr: null })
      yield* until("both have spoken", () => pid.endsWith("\n") && log.stats().received > 0)
      assert.strictEqual(balance(log).waiting, 10)
      release()
      yield* drained
      yield* log.settled
      process.kill(Number(pid), "SIGKILL")
      assert.match(textOf(file), /^\S+ app stdout \| unfinished\n$/)
      balance(log)
    })
  )

  it.live("whoever looks at a log that is closed sees its end", () =>
    Effect.gen(function* () {
      const { lines } = yield* Effect.scoped(Effect.map(inFolder(), ({ log }) => log))
      assert.deepStrictEqual(yield* Stream.runCollect(lines), [])
    })
  )

  it.live("what waits is written when the log is closed", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, "app.log")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const output = piped(yield* open({ file, format: "json" }))
          output.stdout.write("complete\nincomplete")
          yield* Effect.promise(() => new Promise(setImmediate))
        })
      )
      assert.deepStrictEqual(
        textOf(file)
          .trimEnd()
          .split("\n")
          .map((line): LogLine => JSON.parse(line))
          .map((line) => line.text),
        ["complete", "incomplete"]
      )
    })
  )
})

describe("AppLog: lines", () => {
  it.live("filters: what does not pass is counted, in every format", () =>
    Effect.gen(function* () {
      for (const format of ["raw", "prefixed", "json"] as const) {
        const { file, log } = yield* inFolder({ format, drop: [/health/], only: [/GET/, /Ä/] })
        const output = piped(log)
        output.stdout.write("GET /a\r\nPOST /b\nGET /health\nÄ")
        yield* output.end
        const { filtered, written } = balance(log)
        assert.deepStrictEqual(
          [written, filtered],
          [
            { bytes: 10, lines: 2 },
            { bytes: 20, lines: 2 }
          ]
        )
        if (format === "raw") assert.strictEqual(textOf(file), "GET /a\r\nÄ")
      }
    })
  )

  it.live("multiline: a stack trace is one record, and is kept or left out as one", () =>
    Effect.gen(function* () {
      const trace = "Error: broken\n    at one\n    at two\n"
      const { file, log } = yield* inFolder({ format: "json", multiline: /^\s/, drop: [/quiet/] })
      const tail = yield* Effect.forkChild(Stream.runCollect(Stream.take(log.lines, 2)), { startImmediately: true })
      const output = piped(log)
      output.stdout.write(`quiet\n  please\n${trace}`)
      yield* until("it is settled, as nothing more comes", () => balance(log).written.lines === 3)
      assert.deepStrictEqual(balance(log).filtered, { bytes: 15, lines: 2 })
      yield* output.end
      const record: LogLine = JSON.parse(textOf(file))
      assert.strictEqual(`${record.text}\n`, trace)
      assert.deepStrictEqual(
        (yield* Fiber.join(tail)).map((line) => line.text),
        ["quiet\n  please", trace.trimEnd()]
      )
    })
  )

  it.effect("multiline: a record does not wait for the other output to be quiet", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder({ format: "prefixed", multiline: /^\s/ })
      const output = piped(log)
      yield* say(log, output.stdout, "listening\n")
      for (let tick = 0; tick < 5; tick += 1) {
        yield* say(log, output.stderr, "tick\n")
        yield* TestClock.adjust("90 millis")
      }
      yield* log.settled
      assert.match(textOf(file), /stdout \| listening\n/)
      yield* output.end
    })
  )

  it.effect("rate limit: lines above it are dropped, and the file says how many", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder({ format: "prefixed", rateLimit: { lines: 2, per: "1 second" } })
      const output = piped(log)
      const tell = (text: string) => say(log, output.stdout, text)
      yield* tell("a\nb\nc\nd\n")
      yield* TestClock.adjust("999 millis")
      yield* tell("e\n")
      yield* TestClock.adjust("1 millis")
      yield* tell("f\n")
      yield* tell("g\nh\n")
      yield* output.end
      assert.deepStrictEqual(
        textOf(file)
          .replaceAll(/^\S+Z /gm, "")
          .trimEnd()
          .split("\n"),
        [
          "app stdout | a",
          "app stdout | b",
          "app note: 6 bytes (3 lines) of output lost here: more than its rate limit allows",
          "app stdout | f",
          "app stdout | g",
          "app note: 2 bytes (1 line) of output lost here: more than its rate limit allows"
        ]
      )
      assert.deepStrictEqual(balance(log).dropped, { bytes: 8, lines: 4 })
    })
  )

  it.live("rate limit: a record that begins within it is whole, however long", () =>
    Effect.gen(function* () {
      const trace = "Error: broken\n  at one\n  at two\n"
      const rateLimit = { lines: 2, per: "1 hour" } as const
      const { file, log } = yield* inFolder({ rateLimit, multiline: /^\s/ })
      const output = piped(log)
      output.stdout.write(`${trace}next\n`)
      yield* output.end
      assert.strictEqual(textOf(file), trace)
      assert.deepStrictEqual(balance(log).dropped, { bytes: 5, lines: 1 })
    })
  )
})

describe("AppLog.openDirect", () => {
  it.live("a child writes to it by itself; it is rotated before the next one when it is time", () =>
    Effect.gen(function* () {
      const { file, log } = yield* inFolder({ rotate: { size: 1024, gzip: true } })
      const run = (size: number) =>
        Effect.gen(function* () {
          const { stderr, stdout } = yield* log.openDirect
          Fs.writeSync(stdout, "o".repeat(size))
          Fs.writeSync(stderr, "e".repeat(size))
          return [stdout, stderr]
        })
      const first = yield* run(600)
      const second = yield* run(600)
      const third = yield* run(600)
      assert.deepStrictEqual(
        oldsOf(file).map((path) => Path.basename(path).slice(0, 14)),
        ["app.log.000001", "app.log.000002"]
      )
      // The one before may still have the newest open.
      yield* until("the older one is compressed", () => oldsOf(file)[0]?.endsWith(".gz") === true)
      assert.isTrue(oldsOf(file)[1]?.endsWith("2"))
      assert.strictEqual(readAll(file).length, 3600)
      for (const fd of [...first, ...second, ...third]) Fs.closeSync(fd)
    })
  )

  it.live("two files, and a typed error when one cannot be opened", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const errorFile = Path.join(folder, "error.log")
      const { file, log } = yield* inFolder({ errorFile })
      const { stderr, stdout } = yield* log.openDirect
      Fs.writeSync(stdout, "out")
      Fs.writeSync(stderr, "err")
      assert.deepStrictEqual([textOf(file), textOf(errorFile)], ["out", "err"])
      Fs.closeSync(stdout)
      Fs.closeSync(stderr)
      Fs.rmSync(errorFile)
      Fs.mkdirSync(errorFile)
      const error = yield* Effect.flip(log.openDirect)
      assert.deepStrictEqual([error.path, error.reason._tag], [errorFile, "IsFolder"])
    })
  )
})
