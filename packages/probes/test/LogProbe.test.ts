import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { expectTypeOf, vi } from "vitest"

import * as Lines from "../src/internal/lines.ts"
import * as Tail from "../src/internal/tail.ts"
import * as LogProbe from "../src/LogProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const logFile = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.log"))

const write = (path: string, text: string | Buffer) => Effect.sync(() => Fs.appendFileSync(path, text))
const rename = (from: string, to: string) => Effect.sync(() => Fs.renameSync(from, to))
const copyTruncate = (path: string) =>
  Effect.sync(() => {
    Fs.copyFileSync(path, `${path}.1`)
    Fs.truncateSync(path)
  })

const patterns = { heap: /heap out of memory/, full: "ENOSPC" } as const

const following = (path: string, options: Partial<LogProbe.LogProbeOptions> = {}) =>
  LogProbe.make({ name: "log", path, patterns, holdFor: 0, ...options })

/** What a check finds: the name of the pattern and how many lines, or the tag. */
const found = <S extends Verdict.Signature>(probe: Probe.Probe<S>) =>
  Effect.map(probe.check, (verdict: Verdict.Verdict<Verdict.Signature>) => {
    if (!("signature" in verdict)) return verdict._tag
    const { signature } = verdict
    return signature instanceof LogProbe.Matched ? `${signature.pattern} ${signature.count}` : signature._tag
  })

const linesOf = (text: Buffer, size: number, longest: number) => {
  const complete: Array<string> = []
  let pending = Lines.fresh
  for (let start = 0; start < text.length; start += size) {
    pending = Lines.push(pending, text.subarray(start, start + size), longest, (line) => complete.push(line))
  }
  return { complete, begun: Lines.textOf(pending.begun) }
}

describe("lines", () => {
  const Pieces = Schema.Array(Schema.Union([Schema.String, Schema.Literals(["\n", "\r\n", "ü", "€", "a line\n"])]))

  it.prop(
    "come out as they are, wherever they are cut",
    [Pieces, Schema.Literals([1, 2, 3, 5, 64])],
    ([pieces, size]) => {
      const text = pieces.join("").toWellFormed()
      const all = text.split("\n").map((line) => line.replace(/\r$/, ""))
      const { begun, complete } = linesOf(Buffer.from(text), size, 1_000_000)
      assert.deepStrictEqual([...complete, begun], all)
    }
  )

  it.prop("long ones are cut, wherever they are cut", [Pieces, Schema.Literals([1, 2, 3, 5, 64])], ([pieces, size]) => {
    const text = Buffer.from(pieces.join("").toWellFormed())
    const longest = 4
    const lines = text.toString("latin1").split("\n")
    const cut = lines.map((line) => Lines.textOf(Buffer.from(line.slice(0, longest), "latin1")))
    const last = lines.at(-1) ?? ""
    const { begun, complete } = linesOf(text, size, longest)
    // The last one is given out as soon as it is too long.
    assert.deepStrictEqual(last.length > longest ? complete : [...complete, begun], cut)
  })
})

const restoring = (spy: { readonly mockRestore: () => void }) => () => spy.mockRestore()

describe("tail", () => {
  const Step = Schema.Union([
    Schema.Struct({ step: Schema.tag("Append"), text: Schema.String, ended: Schema.Boolean }),
    Schema.Struct({ step: Schema.tag("Rotate") }),
    Schema.Struct({ step: Schema.tag("Truncate") }),
    Schema.Struct({ step: Schema.tag("Check") })
  ])

  it.live.prop(
    "whatever happens to the file between checks, each line is seen once, in order",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.gen(function* () {
        const path = yield* logFile
        yield* write(path, "")
        const seen: Array<string> = []
        const expected: Array<string> = []
        let place: Tail.Place
        let begun = ""
        let rotated = false
        const check = Effect.gen(function* () {
          const options = { path, longestLine: 8192, maxRead: 1024 * 1024, onLine: (line: string) => seen.push(line) }
          place = (yield* Tail.follow(place, options)).place
          rotated = false
        })
        yield* check
        for (const [index, step] of steps.entries()) {
          switch (step.step) {
            case "Append": {
              const text = `${step.text}${step.ended ? "\n" : ""}`.toWellFormed()
              yield* write(path, text)
              const lines = (begun + text).split("\n")
              begun = lines.pop() ?? ""
              expected.push(...lines)
              break
            }
            case "Rotate": {
              // Of two between two checks, the file in between is not seen.
              if (rotated) break
              rotated = true
              yield* rename(path, `${path}.${index}`)
              yield* write(path, "")
              if (begun !== "") expected.push(begun)
              begun = ""
              break
            }
            case "Truncate": {
              // What it gets between a check and that is lost.
              yield* check
              yield* copyTruncate(path)
              yield* check
              begun = ""
              break
            }
            case "Check":
              yield* check
          }
        }
        yield* check
        assert.deepStrictEqual(
          seen,
          expected.map((line) => line.replace(/\r$/, ""))
        )
      }).pipe(Effect.scoped)
  )
})

const tags = (probe: Probe.Any) => probe.reports.map((one) => Verdict.tagOf(one))

describe("LogProbe", () => {
  it.live("begins at the end of the file; says what matched, how often, and the last line", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "JavaScript heap out of memory\n")
      const probe = following(path)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* write(path, "fine\nheap out of memory, first\nENOSPC: no space left\nheap out of memory, last\n")
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new LogProbe.Matched({ path, pattern: "heap", count: 2, line: "heap out of memory, last" }), [
          `${path}: heap, 2 times: heap out of memory, last`,
          `${path}: full, 1 times: ENOSPC: no space left`
        ])
      )
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it.live("a line counts when it is complete, also one that was being written at the first check", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "old ENOSPC\nheap out")
      const probe = following(path)
      assert.strictEqual(yield* found(probe), "Healthy")
      yield* write(path, " of mem")
      assert.strictEqual(yield* found(probe), "Healthy")
      yield* write(path, "ory\n")
      assert.strictEqual(yield* found(probe), "heap 1")
    })
  )

  it.live("a character cut in the middle, invalid UTF-8, NUL and CRLF do no harm", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path, { patterns: { euro: /^€ gone$/, broken: /^x\u{fffd}y$/u, nul: /^a\0b$/ } })
      yield* probe.check
      const euro = Buffer.from("€ gone\r\n")
      yield* write(path, euro.subarray(0, 2))
      assert.strictEqual(yield* found(probe), "Healthy")
      yield* write(path, euro.subarray(2))
      assert.strictEqual(yield* found(probe), "euro 1")
      yield* write(path, Buffer.from([0x78, 0xff, 0x79, 0x0a]))
      assert.strictEqual(yield* found(probe), "broken 1")
      yield* write(path, "a\0b\n")
      assert.strictEqual(yield* found(probe), "nul 1")
    })
  )

  it.live("rotation by renaming: what the old file got last is read, and the new file from its beginning", () =>
    Effect.gen(function* () {
      for (const rotated of ["app.log.1", "app-2026-01-01.log"]) {
        const path = yield* logFile
        yield* write(path, "before\n")
        const probe = following(path)
        yield* probe.check
        yield* write(path, "ENOSPC, last\nENOSPC, unfinished")
        yield* rename(path, Path.join(Path.dirname(path), rotated))
        assert.strictEqual(yield* found(probe), "Healthy", "the new file is not there yet")
        yield* write(path, "ENOSPC, first\n")
        assert.strictEqual(yield* found(probe), "full 3")
        yield* write(path, "ENOSPC, second\n")
        assert.strictEqual(yield* found(probe), "full 1")
      }
    })
  )

  it.live("rotation where the folder cannot be listed, or the old file not be read: the new one is followed", () =>
    Effect.gen(function* () {
      const denied = Object.assign(new Error("no"), { code: "EACCES" })
      const { open } = Fs.promises
      const denials = [
        () => restoring(vi.spyOn(Fs.promises, "opendir").mockRejectedValue(denied)),
        () => {
          const opening: typeof open = (name, ...rest) =>
            String(name).endsWith(".1") ? Promise.reject(denied) : open(name, ...rest)
          return restoring(vi.spyOn(Fs.promises, "open").mockImplementation(opening))
        }
      ]
      for (const denying of denials) {
        const path = yield* logFile
        yield* write(path, "before\n")
        const probe = following(path)
        yield* probe.check
        yield* write(path, "ENOSPC, lost\n")
        yield* rename(path, `${path}.1`)
        yield* write(path, "new\n")
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.acquireRelease(Effect.sync(denying), (restore) => Effect.sync(restore))
            const lost = `${path} is a new file, and what the old file got last was not found`
            assert.deepStrictEqual(yield* probe.check, Verdict.healthyWith([lost]))
            yield* write(path, "ENOSPC\n")
            assert.strictEqual(yield* found(probe), "full 1")
          })
        )
      }
    })
  )

  it.effect("rotation where the old file was truncated: nothing is known of it, and no bytes are taken off", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "before\n".repeat(100))
      const probe = LogProbe.make({ name: "log", path, flood: { bytes: 10, per: "1 minute" } })
      yield* probe.check
      yield* rename(path, `${path}.1`)
      yield* Effect.sync(() => Fs.truncateSync(`${path}.1`, 3))
      yield* write(path, "a".repeat(11))
      assert.deepInclude(signatureOf(yield* probe.check), { amount: 11 })
    })
  )

  it.effect("truncated under a writer that writes on where he was: the hole is no flood, and hides no line", () =>
    Effect.gen(function* () {
      for (const checksBetween of [false, true]) {
        for (const size of [256, 257, 511, 5000, 3_000_000]) {
          const path = yield* logFile
          yield* write(path, `${"x".repeat(size - 1)}\n`)
          const flood = LogProbe.make({ name: "log", path, flood: { bytes: 12, per: "1 minute" } })
          const match = following(path, { patterns: { full: /^ENOSPC$/ } })
          yield* Effect.all([flood.check, match.check])
          yield* Effect.sync(() => Fs.truncateSync(path))
          if (checksBetween) yield* Effect.all([flood.check, match.check])
          yield* Effect.sync(() => {
            const file = Fs.openSync(path, "r+")
            Fs.writeSync(file, "ENOSPC\n", size)
            Fs.closeSync(file)
          })
          assert.strictEqual(yield* found(flood), "Healthy", String(size))
          assert.strictEqual(yield* found(match), "full 1", String(size))
          yield* write(path, "ENOSPC\n")
          assert.deepInclude(signatureOf(yield* flood.check), { amount: 14 })
          assert.strictEqual(yield* found(match), "full 1", String(size))
        }
      }
      const path = yield* logFile
      yield* write(path, "")
      const nul = following(path, { patterns: { nul: /^\0\0a$/ } })
      yield* nul.check
      yield* write(path, "\0\0a\n")
      assert.strictEqual(yield* found(nul), "nul 1", "a few NULs are what was written")
    })
  )

  it.live("rotation with compression: what cannot be read any more is said", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "before\n")
      const probe = following(path)
      yield* probe.check
      yield* write(path, "ENOSPC, lost\n")
      const inode = Fs.statSync(path).ino
      yield* rename(path, `${path}.1`)
      yield* Effect.sync(() => ChildProcess.execFileSync("gzip", [`${path}.1`]))
      yield* write(path, "a new file, longer than the old one was\n")
      assert.deepStrictEqual(
        yield* probe.check,
        // The file system may have given the number of the old file to the new one.
        Verdict.healthyWith(
          Fs.statSync(path).ino === inode
            ? [`${path} was truncated; what it got just before was not seen`]
            : [`${path} is a new file, and what the old file got last was not found`]
        )
      )
    })
  )

  it.live("rotation by copying and truncating, also when it has grown beyond where it was", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "first line\nsecond line\n")
      const probe = following(path)
      yield* probe.check
      yield* copyTruncate(path)
      yield* write(path, "ENOSPC\n")
      assert.strictEqual(yield* found(probe), "full 1")
      // It begins each time as a program does that says who it is.
      const banner = `${"=".repeat(300)}\n`
      yield* write(path, `${banner}started\n`)
      assert.strictEqual(yield* found(probe), "Healthy")
      yield* copyTruncate(path)
      yield* write(path, `${banner}ENOSPC\nENOSPC\n${"more\n".repeat(20)}`)
      assert.strictEqual(yield* found(probe), "full 2")
      yield* Effect.sync(() => Fs.truncateSync(path))
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.healthyWith([`${path} was truncated; what it got just before was not seen`])
      )
      yield* write(path, "ENOSPC\n")
      assert.strictEqual(yield* found(probe), "full 1")
    })
  )

  it.live("required: a missing file; one that appears is read from its beginning", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      const optional = following(path)
      const required = following(path, { required: true })
      assert.deepStrictEqual(yield* optional.check, Verdict.healthyWith([`${path} does not exist`]))
      assert.deepStrictEqual(
        yield* required.check,
        Verdict.unhealthy(new LogProbe.Missing({ path }), [`${path} does not exist`])
      )
      yield* write(path, "ENOSPC\n")
      assert.deepStrictEqual([yield* found(optional), yield* found(required)], ["full 1", "full 1"])
    })
  )

  it.live("what is no file, or may not be read, makes the check inconclusive, and keeps nobody", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      assert.deepStrictEqual(
        yield* following(folder).check,
        Verdict.inconclusive(`${folder} cannot be read: it is no regular file`)
      )
      const pipe = Path.join(folder, "pipe")
      yield* Effect.sync(() => ChildProcess.execFileSync("mkfifo", [pipe]))
      assert.strictEqual(yield* found(following(pipe)), "Inconclusive")
      const loop = Path.join(folder, "loop")
      yield* Effect.sync(() => Fs.symlinkSync(loop, loop))
      assert.deepStrictEqual(yield* following(loop).check, Verdict.inconclusive(`${loop} cannot be read: ELOOP`))
    })
  )

  it.live("maxRead: of more than that only the newest is looked at, and no backlog is left", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path, { maxRead: 10_000 })
      yield* probe.check
      yield* write(path, `ENOSPC\n${"x".repeat(99)}\n`.repeat(1000))
      const verdict = yield* probe.check
      const signature = signatureOf(verdict)
      // Each has 107 bytes; the first one is cut.
      assert.deepInclude(signature, { pattern: "full", count: 93 })
      assert.include(
        "evidence" in verdict ? (verdict.evidence?.join() ?? "") : "",
        `${path}: 97000 of 107000 new bytes were too many to read`
      )
      assert.strictEqual(yield* found(probe), "Healthy")
    })
  )

  it.live("a line without an end is looked at once, cut, and costs no memory", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path, { patterns: { start: /^a/, late: /z/ } })
      yield* probe.check
      yield* write(path, "a".repeat(500_000))
      assert.strictEqual(yield* found(probe), "start 1")
      yield* write(path, `${"a".repeat(10_000)}z`)
      assert.strictEqual(yield* found(probe), "Healthy")
      yield* write(path, "z\nza\n")
      assert.strictEqual(yield* found(probe), "late 1")
    })
  )

  it.live("lines are shown redacted and cut", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path)
      yield* probe.check
      yield* write(path, `ENOSPC token known-secret ${"y".repeat(300)}\n`)
      const verdict = yield* Effect.provideService(probe.check, Redaction.Redactor, Redaction.make(["known-secret"]))
      assert.notInclude(JSON.stringify(verdict), "known-secret")
      const signature = signatureOf(verdict)
      assert.isTrue(signature instanceof LogProbe.Matched && signature.line.length === 200)
    })
  )

  it.live("of a secret at which a line was cut no part is shown", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path)
      yield* probe.check
      yield* write(path, `ENOSPC${" ".repeat(8192 - 6 - 9)}known-secret\n`)
      const verdict = yield* Effect.provideService(probe.check, Redaction.Redactor, Redaction.make(["known-secret"]))
      assert.deepInclude(signatureOf(verdict), { line: "ENOSPC" })
    })
  )

  it.live("global and sticky patterns match each line anew, and are not changed", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const [global, sticky] = [/ENOSPC/g, /ENOSPC/y]
      const probe = following(path, { patterns: { global } })
      const atStart = following(path, { patterns: { sticky } })
      yield* Effect.all([probe.check, atStart.check])
      yield* write(path, "ENOSPC\nENOSPC\nan ENOSPC\n")
      assert.deepStrictEqual([yield* found(probe), yield* found(atStart)], ["global 3", "sticky 2"])
      assert.deepStrictEqual([global.lastIndex, sticky.lastIndex], [0, 0])
    })
  )

  it.effect("holdFor: a match counts for so long after it was seen, and adds up; 10 seconds unless told", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = LogProbe.make({ name: "log", path, patterns })
      const longer = following(path, { holdFor: "1 minute" })
      yield* Effect.all([probe.check, longer.check])
      yield* write(path, "ENOSPC\n")
      assert.deepStrictEqual([yield* found(probe), yield* found(longer)], ["full 1", "full 1"])
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* found(probe), "full 1")
      yield* write(path, "ENOSPC\n")
      assert.strictEqual(yield* found(probe), "full 2")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* found(probe), "full 2")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* found(probe), yield* found(longer)], ["Healthy", "full 2"])
    })
  )

  it.effect("flood: more lines than that within the window", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "old\n".repeat(500))
      const probe = LogProbe.make({ name: "log", path, flood: { lines: 100, per: "1 minute" } })
      const calm = () => Effect.map(probe.check, (verdict) => assert.deepStrictEqual(verdict, Verdict.healthy))
      yield* calm()
      for (const _ of [1, 2]) {
        yield* TestClock.adjust("20 seconds")
        yield* write(path, "line\n".repeat(50))
        yield* calm()
      }
      yield* TestClock.adjust("10 seconds")
      yield* write(path, "line\n")
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.degraded(
          new LogProbe.Flood({ path, unit: "lines", amount: 101, limit: 100, per: Duration.minutes(1) }),
          [`${path}: 101 lines within 1m`]
        )
      )
      yield* TestClock.adjust("31 seconds")
      yield* calm()
      // Nobody looked for an hour: a hundred lines a minute are no flood.
      yield* TestClock.adjust("1 hour")
      yield* write(path, "line\n".repeat(6000))
      yield* calm()
    })
  )

  it.effect("flood: of what came since before the window begins only the share of the window counts", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = LogProbe.make({ name: "log", path, flood: { lines: 100, per: "1 second" } })
      yield* probe.check
      for (const _ of [1, 2, 3]) {
        yield* TestClock.adjust("900 millis")
        yield* write(path, "line\n".repeat(60))
        assert.strictEqual(yield* found(probe), "Healthy")
      }
      yield* TestClock.adjust("900 millis")
      yield* write(path, "line\n".repeat(96))
      // A ninth of the 60 before.
      assert.deepInclude(signatureOf(yield* probe.check), { amount: 103 })
      // Looks that follow close upon one another are put together.
      for (let look = 0; look < 300; look += 1) {
        yield* TestClock.adjust("10 millis")
        yield* write(path, "line\n")
        yield* probe.check
      }
      yield* write(path, "line\n".repeat(10))
      const amount = signatureOf(yield* probe.check)
      assert.isTrue(amount.amount >= 105 && amount.amount <= 112, String(amount.amount))
    })
  )

  it.effect("flood: bytes count whether they are read or not; lines of what is not read are reckoned", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const options = { name: "log", path, maxRead: 10_000 } as const
      const bytes = LogProbe.make({ ...options, flood: { bytes: 99_999, per: "1 second" } })
      const lines = LogProbe.make({ ...options, flood: { lines: 900, per: "1 second" } })
      yield* Effect.all([bytes.check, lines.check])
      yield* write(path, `${"x".repeat(99)}\n`.repeat(1000))
      assert.deepInclude(signatureOf(yield* bytes.check), { unit: "bytes", amount: 100_000 })
      const reckoned = signatureOf(yield* lines.check)
      assert.isTrue(reckoned.unit === "lines" && reckoned.amount > 900 && reckoned.amount <= 1000)
    })
  )

  it.live("an interrupted check has not seen what it read", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path, { maxRead: 64 * 1024 * 1024 })
      yield* probe.check
      yield* write(path, `ENOSPC\n${"x".repeat(20_000_000)}\n`)
      const fiber = yield* Effect.forkChild(probe.check, { startImmediately: true })
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* found(probe), "full 1")
    })
  )

  it.live("an interrupted check stops to read, and closes the file", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const lines: Array<string> = []
      const begun = Deferred.makeUnsafe<void>()
      const onLine = (line: string) => {
        lines.push(line)
        Deferred.doneUnsafe(begun, Effect.void)
      }
      const options = { path, longestLine: 8192, maxRead: 1024 ** 3, onLine }
      const { place } = yield* Tail.follow(undefined, options)
      yield* write(path, "a line\n".repeat(2_000_000))
      const fiber = yield* Effect.forkChild(Tail.follow(place, options))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      const isOpen = () =>
        Fs.readdirSync("/proc/self/fd").some((fd) => {
          try {
            return Fs.readlinkSync(`/proc/self/fd/${fd}`) === path
          } catch {
            return false
          }
        })
      yield* eventually(
        "the file is closed",
        Effect.sync(() => (isOpen() ? undefined : true))
      )
      assert.isBelow(lines.length, 2_000_000)
    })
  )

  it.live("of checks at the same time one reads, and the others see nothing new", () =>
    Effect.gen(function* () {
      const path = yield* logFile
      yield* write(path, "")
      const probe = following(path)
      yield* probe.check
      yield* write(path, "ENOSPC\n")
      const all = yield* Effect.all(
        Array.from({ length: 10 }, () => found(probe)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(all.toSorted(), [...Array.from({ length: 9 }, () => "Healthy"), "full 1"])
    })
  )

  it("says what it looks at, and shares its checks with nobody", () => {
    const probe = following("/var/log/app.log")
    assert.deepInclude(probe, { target: "file:///var/log/app.log", reach: "host", effects: "none" })
    assert.isUndefined(Probe.question(probe))
  })

  it("has the signatures of its options, in its type and at run time", () => {
    const flood = { lines: 1, per: "1 second" } as const
    const one = LogProbe.make({ name: "a", path: "a", patterns, required: false })
    expectTypeOf<Probe.Signatures<typeof one>>().toEqualTypeOf<LogProbe.Matched>()
    assert.deepStrictEqual(tags(one), ["Log/Matched"])
    const other = LogProbe.make({ name: "a", path: "a", flood, required: true })
    expectTypeOf<Probe.Signatures<typeof other>>().toEqualTypeOf<LogProbe.Flood | LogProbe.Missing>()
    assert.deepStrictEqual(tags(other), ["Log/Flood", "Log/Missing"])
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => LogProbe.make({ name: "a", path: "a", patterns, pattern: 1 })).option, "pattern")
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ path: "" }, "path"],
      [{ path: "a\0b" }, "path"],
      [{ patterns: {} }, "patterns"],
      [{ patterns: [/a/] }, "patterns"],
      [{ patterns: /a/ }, "patterns"],
      [{ patterns: { a: "(" } }, "patterns.a"],
      [{ patterns: { a: "" } }, "patterns.a"],
      [{ patterns: new Map([["a", /a/]]) }, "patterns"],
      [{ patterns: { "": "a" } }, "patterns"],
      [{ patterns: undefined }, "holdFor"],
      [{ patterns: undefined, holdFor: undefined }, "patterns"],
      [{ flood: 5 }, "flood"],
      [{ flood: { per: "1 second" } }, "flood"],
      [{ flood: { lines: 1, bytes: 1, per: "1 second" } }, "flood"],
      [{ flood: { lines: 0, per: "1 second" } }, "flood.lines"],
      [{ flood: { bytes: 1.5, per: "1 second" } }, "flood.bytes"],
      [{ flood: { lines: 1, per: 1 } }, "flood.per"],
      [{ flood: { lines: 1, per: "1 second", burst: 1 } }, "flood.burst"],
      [{ required: "yes" }, "required"],
      [{ holdFor: -1 }, "holdFor"],
      [{ maxRead: 1 }, "maxRead"],
      [{ encoding: "latin1" }, "encoding"]
    ]
    for (const [options, option] of refused) {
      const all = { name: "log", path: "a", patterns, holdFor: 1, ...options }
      const error = refusal(() => LogProbe.make(all))
      assert.deepStrictEqual([error.module, error.option], ["LogProbe", option], JSON.stringify(options))
    }
    assert.strictEqual(refusal(() => LogProbe.make({ name: "", path: "a", patterns })).option, "name")
  })
})

probeContract<LogProbe.Matched | LogProbe.Flood | LogProbe.Missing>("LogProbe", {
  situations: {
    Healthy: Effect.map(
      Effect.tap(logFile, (path) => write(path, "fine\n")),
      (path) => following(path)
    ),
    Inconclusive: Effect.map(TestFolder.make, (folder) => following(folder)),
    "Log/Matched": Effect.gen(function* () {
      const path = yield* logFile
      const probe = LogProbe.make({ name: "log", path, patterns, holdFor: "1 hour" })
      yield* probe.check
      yield* write(path, "ENOSPC\n")
      return probe
    }),
    "Log/Flood": Effect.gen(function* () {
      const path = yield* logFile
      const probe = LogProbe.make({ name: "log", path, flood: { bytes: 10, per: "1 hour" } })
      yield* probe.check
      yield* write(path, "x".repeat(11))
      return probe
    }),
    "Log/Missing": Effect.map(logFile, (path) => LogProbe.make({ name: "log", path, required: true }))
  }
})
