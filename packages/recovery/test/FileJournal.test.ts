import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { afterAll, assert, describe, it } from "@effect/vitest"
import { FileJournal, Journal } from "@nexobot/recovery"
import * as Effect from "effect/Effect"

import * as JournalContract from "./JournalContract.ts"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-journal-"))
afterAll(() => Fs.rmSync(root, { recursive: true }))
let count = 0
const fresh = () => Path.join(root, String(++count), "journal.log")

const entries: ReadonlyArray<Journal.JournalEntry> = [
  {
    _tag: "Opened",
    probe: "answers",
    signature: { _tag: "Test/Down", port: 1, ñ: "ünïcode \n" },
    evidence: ["line"],
    diagnosis: "rule",
    degraded: false
  },
  { _tag: "Intent", rung: "restart", index: 0, tag: "Test/Down", attempt: 1, fence: 1 },
  { _tag: "Applied", rung: "restart" },
  { _tag: "Resolved", by: "restart", took: 12.5 },
  { _tag: "Resolved", took: 3 }
]
const append = (path: string, more: ReadonlyArray<Journal.JournalEntry>) =>
  Journal.Journal.use((journal) => journal.append("gateway", more)).pipe(Effect.provide(FileJournal.layer(path)))
const history = (path: string) =>
  Journal.Journal.use((journal) => Effect.succeed(journal.history)).pipe(Effect.provide(FileJournal.layer(path)))

JournalContract.suite("memory", () => Journal.layerMemory)
JournalContract.suite("file", () => FileJournal.layer(fresh()))

describe("FileJournal", () => {
  it.effect("reads back what it wrote, and goes on counting", () =>
    Effect.gen(function* () {
      const path = fresh()
      const written = yield* append(path, entries)
      assert.deepStrictEqual(yield* history(path), written)
      const [next] = yield* append(path, [{ _tag: "Stable" }])
      assert.strictEqual(next?.seq, entries.length + 1)
      assert.strictEqual((yield* history(path)).length, entries.length + 1)
    })
  )

  it.effect("is readable for its owner only, and leaves no lock", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* append(path, entries)
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.strictEqual(Fs.statSync(Path.dirname(path)).mode & 0o777, 0o700)
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["journal.log"])
    })
  )

  it.effect("keeps the good part of a journal torn at any byte, sets the rest aside, and goes on", () =>
    Effect.gen(function* () {
      const whole = fresh()
      yield* append(whole, entries)
      const bytes = Fs.readFileSync(whole)
      const ends = [...bytes.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at + 1)
      for (let cut = 0; cut <= bytes.length; cut += 7) {
        const path = fresh()
        Fs.mkdirSync(Path.dirname(path))
        Fs.writeFileSync(path, bytes.subarray(0, cut))
        const good = ends.filter((end) => end <= cut).length
        assert.strictEqual((yield* history(path)).length, good)
        const [next] = yield* append(path, [{ _tag: "Stable" }])
        assert.strictEqual(next?.seq, good + 1)
        const aside = Fs.readdirSync(Path.dirname(path)).filter((name) => name.includes("damaged"))
        const kept = aside.map((name) => Fs.readFileSync(Path.join(Path.dirname(path), name)))
        assert.deepStrictEqual(Buffer.concat(kept), bytes.subarray(ends[good - 1] ?? 0, cut))
      }
    })
  )

  it.effect("does not trust a line whose bytes have changed", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* append(path, entries)
      Fs.writeFileSync(path, Fs.readFileSync(path, "utf8").replace('"fence":1', '"fence":2'))
      assert.strictEqual((yield* history(path)).length, 1)
    })
  )

  it.effect("goes on in a new file when its file is removed while in use", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* Effect.gen(function* () {
        const journal = yield* Journal.Journal
        yield* journal.append("gateway", entries)
        Fs.rmSync(path)
        yield* journal.append("gateway", [{ _tag: "Stable" }])
      }).pipe(Effect.provide(FileJournal.layer(path)))
      const [kept] = yield* history(path)
      assert.deepInclude(kept, { seq: entries.length + 1, entry: { _tag: "Stable" } })
    })
  )

  it.effect("a second loop on the same journal is an error that names the first", () =>
    Effect.gen(function* () {
      const path = fresh()
      const error = yield* Effect.flip(history(path)).pipe(Effect.provide(FileJournal.layer(path)))
      assert.strictEqual(error._tag, "JournalError")
      assert.include(error.message, String(process.pid))
    })
  )

  it("a full file is a typed error, and the journal stays whole", () => {
    const path = fresh()
    const fixture = fileURLToPath(new URL("fixtures/fill-journal.ts", import.meta.url))
    // A file-size limit of 1 KiB for the child: the write in the middle of which it is reached is cut short.
    const result = ChildProcess.spawnSync(
      "bash",
      ["-c", 'ulimit -f 1; exec "$0" "$@"', process.execPath, fixture, path],
      { encoding: "utf8", timeout: 20_000 }
    )
    assert.strictEqual(result.status, 0, result.stderr)
    const { error, written } = JSON.parse(result.stdout)
    assert.strictEqual(error, "JournalError")
    assert.isAbove(written, 0)
    return Effect.runPromise(
      Effect.map(history(path), (records) => {
        assert.strictEqual(records.length, written)
        assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["journal.log"])
      })
    )
  })
})
