import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestMount from "../../testing/src/TestMount.ts"
import type { AppLog } from "../src/internal/logs/appLog.ts"
import * as Disk from "../src/internal/logs/disk.ts"
import { balance, child, oldsOf, open, piped, readAll, until } from "./logsSupport.ts"

const inFolder = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.log"))

const refusal = Object.assign(new Error("no"), { code: "EIO" })

const turn = Effect.promise(() => new Promise(setImmediate))

/** A file that hangs whoever opens it, until `answer`: then there is somebody who reads it. */
const hanging = Effect.gen(function* () {
  const path = yield* inFolder
  ChildProcess.spawnSync("mkfifo", [path])
  let reader: ChildProcess.ChildProcess | undefined
  const answer = Effect.sync(() => {
    reader ??= ChildProcess.spawn("cat", [path], { stdio: "ignore" })
  })
  // Whatever becomes of the test, no thread hangs on: what was held is closed, and that is the end for the reader.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      answer,
      Effect.callback<void>((resume) => {
        if (reader === undefined || reader.exitCode !== null) resume(Effect.void)
        else reader.once("exit", () => resume(Effect.void))
      })
    )
  )
  return { path, answer }
})

const reasonOf = (log: AppLog) => Effect.map(Effect.flip(log.openDirect), ({ reason }) => reason)

describe("logs: a file that cannot be opened", () => {
  it.live("makes the file and one folder; names what is missing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const path = Path.join(folder, "logs", "app.log")
      const log = yield* open({ file: path })
      const { stderr, stdout } = yield* log.openDirect
      for (const fd of [stdout, stderr]) Fs.closeSync(fd)
      assert.deepStrictEqual([Fs.statSync(path).size, Fs.statSync(path).mode & 0o777], [0, 0o600])

      const deep = yield* open({ file: Path.join(folder, "a", "b", "app.log") })
      assert.deepInclude(yield* reasonOf(deep), { _tag: "FolderMissing", folder: Path.join(folder, "a") })
      const isFolder = yield* open({ file: folder })
      assert.strictEqual((yield* reasonOf(isFolder))._tag, "IsFolder")
      const belowFile = yield* open({ file: Path.join(path, "app.log") })
      assert.deepInclude(yield* reasonOf(belowFile), { _tag: "NotWritable", code: "ENOTDIR" })
    })
  )

  it.live.skipIf(TestMount.isMissing())("a disk that is read-only", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.tmpfs({ readOnly: true })
      const log = yield* open({ file: Path.join(path, "app.log") })
      assert.deepInclude(yield* reasonOf(log), { _tag: "NotWritable", code: "EROFS" })
    })
  )

  it.effect("a disk that does not answer", () =>
    Effect.gen(function* () {
      const { path } = yield* hanging
      const log = yield* open({ file: path })
      // Spawning is not to be interrupted, and is given up all the same.
      const direct = yield* Effect.forkChild(Effect.uninterruptible(reasonOf(log)), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Fiber.join(direct), { _tag: "Unresponsive", after: Duration.seconds(10) })
    })
  )
})

describe("logs: a disk that refuses", () => {
  it.live.skipIf(TestMount.isMissing())(
    "full: what waits is kept, the rest is counted; it goes on when there is room",
    () =>
      Effect.gen(function* () {
        const { path } = yield* TestMount.tmpfs({ size: 16_777_216 })
        const ballast = Path.join(path, "ballast")
        Fs.writeFileSync(ballast, Buffer.alloc(16_700_000))
        const file = Path.join(path, "app.log")
        const log = yield* open({ file, format: "json", buffer: 131_072, rotate: false })
        const output = piped(log)
        const line = `${"x".repeat(99)}\n`
        output.stdout.write(line.repeat(10_000))
        yield* until("it says what is wrong", () => log.stats().lastError === "write: ENOSPC")
        yield* until("it drops", () => {
          output.stdout.write(line)
          return balance(log).dropped.lines > 0
        })
        Fs.rmSync(ballast)
        yield* until("it goes on", () => balance(log).waiting === 0)
        output.stdout.write("after\n")
        yield* output.end
        const { dropped, lastError, received, written } = balance(log)
        assert.strictEqual(received, written.bytes + dropped.bytes)
        assert.isUndefined(lastError)
        const records = Fs.readFileSync(file, "utf8")
          .trimEnd()
          .split("\n")
          .map((one): Record<string, string> => JSON.parse(one))
        const notes = records.flatMap(({ note }) => note ?? [])
        assert.match(notes[0] ?? "", /of output lost here: the disk refused it \(write: ENOSPC\)$/)
        const lost = notes.map((note) => Number(/\((\d+) lines?\)/.exec(note)?.[1]))
        assert.strictEqual(
          lost.reduce((all, one) => all + one, 0),
          dropped.lines
        )
        assert.strictEqual(records.length - notes.length, written.lines)
        assert.strictEqual(records.at(-1)?.["text"], "after")
      })
  )

  it.live("a folder in the place of the file, and no descriptors left: what waits comes when it can", () =>
    Effect.gen(function* () {
      const file = yield* inFolder
      const log = yield* open({ file })
      Fs.mkdirSync(file)
      const output = piped(log)
      output.stdout.write("one\n")
      yield* until("it says what is wrong", () => log.stats().lastError === "open: EISDIR")
      Fs.rmdirSync(file)
      yield* output.end
      assert.strictEqual(Fs.readFileSync(file, "utf8"), "one\n")
      assert.isUndefined(balance(log).lastError)

      const other = yield* inFolder
      const script = fileURLToPath(new URL("fixtures/logsDescriptors.ts", import.meta.url))
      const writer = yield* child("sh", "-c", 'ulimit -n 60; exec "$0" "$@"', process.execPath, script, other)
      let said = ""
      for (const stream of [writer.stdout, writer.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => void (said += text))
      }
      yield* until("it is over", () => writer.exitCode !== null)
      assert.include(said, "refused: open: EMFILE")
      assert.strictEqual(Fs.readFileSync(other, "utf8"), "one\ntwo\n")
    })
  )

  it.live("a short write goes on where it stopped, in the middle of a line and of a rotation", () =>
    Effect.gen(function* () {
      let count = 0
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        write: (fd, data, done) => {
          count += 1
          if (count % 50 === 7) return void setImmediate(() => done(refusal, 0))
          const [first = Buffer.alloc(0)] = data
          Disk.realCalls.write(fd, [first.subarray(0, 700)], done)
        }
      }
      const short = Array.from({ length: 400 }, (_, index) => `line ${index}\n`).join("")
      // Longer than a file: its rest goes where it began.
      const long = `${"x".repeat(6000)}\n`
      for (const text of [short, `a\n${long}${long}b\n`]) {
        const file = yield* inFolder
        const log = yield* Effect.provideService(
          open({ file, format: "prefixed", rotate: { size: 5000, gzip: false, keep: 100 } }),
          Disk.DiskCalls,
          calls
        )
        const output = piped(log)
        output.stdout.write(text)
        yield* output.end
        for (const one of [...oldsOf(file), file]) {
          assert.match(Fs.readFileSync(one, "utf8"), /^(\S+Z app stdout \| (line \d+|x{6000}|a|b)\n)+$/)
        }
        assert.strictEqual(
          readAll(file)
            .toString()
            .replaceAll(/^\S+ app stdout \| /gm, ""),
          text
        )
        assert.strictEqual(balance(log).written.bytes, text.length)
      }
    })
  )

  it.effect("a file that gets too old in the middle of a line is put away after it", () =>
    Effect.gen(function* () {
      // How old a file is, the disk says by the wall clock.
      yield* TestClock.setTime(Date.now())
      const file = yield* inFolder
      let count = 0
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        write: (fd, data, done) => {
          count += 1
          if (count === 2) return void setImmediate(() => done(refusal, 0))
          Disk.realCalls.write(fd, count === 1 ? [Buffer.concat(data).subarray(0, 40)] : data, done)
        }
      }
      const options = { file, format: "prefixed", rotate: { age: "1 second", gzip: false } } as const
      const log = yield* Effect.provideService(open(options), Disk.DiskCalls, calls)
      const output = piped(log)
      output.stdout.write("first line\n")
      while (log.stats().lastError === undefined) yield* turn
      yield* TestClock.adjust("1 minute")
      yield* log.settled
      output.stdout.write("second line\n")
      yield* output.end
      const [old = ""] = oldsOf(file)
      assert.match(Fs.readFileSync(old, "utf8"), /^\S+Z app stdout \| first line\n$/)
      assert.match(Fs.readFileSync(file, "utf8"), /^\S+Z app stdout \| second line\n$/)
    })
  )
})

describe("logs: a disk that hangs", () => {
  it.effect("drop: the process is held up for a quarter of a second, then output is dropped and counted", () =>
    Effect.gen(function* () {
      const { answer, path } = yield* hanging
      const log = yield* open({ file: path, buffer: 131_072, format: "prefixed" })
      const output = piped(log)
      const block = Buffer.from(`${"x".repeat(999)}\n`.repeat(60))
      const push = Effect.gen(function* () {
        output.stdout.write(block)
        yield* turn
        yield* turn
      })
      for (let count = 0; count < 10; count += 1) yield* push
      const before = balance(log)
      assert.isBelow(before.received, 250_000)
      assert.deepStrictEqual([before.dropped.bytes, output.stdout.isPaused()], [0, true])
      yield* TestClock.adjust("1999 millis")
      assert.isTrue(output.stdout.isPaused())
      yield* TestClock.adjust("1 millis")
      for (let count = 0; count < 10; count += 1) yield* push
      const after = balance(log)
      assert.strictEqual(after.received, block.length * 20)
      assert.isAbove(after.dropped.bytes, 900_000)
      assert.isBelow(after.waiting, 250_000)
      yield* answer
      yield* output.end
      assert.strictEqual(balance(log).waiting, 0)
    })
  )

  it.effect("block: the process is held up, and what it has said when it ends is read all the same", () =>
    Effect.gen(function* () {
      const { answer, path } = yield* hanging
      const log = yield* open({ file: path, buffer: 131_072, whenFull: "block" })
      const output = piped(log)
      const block = Buffer.alloc(60_000, "x")
      for (let count = 0; count < 10; count += 1) output.stdout.write(block)
      output.stdout.end()
      output.stderr.end()
      for (let count = 0; count < 10; count += 1) yield* turn
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([balance(log).received, output.stdout.isPaused()], [180_000, true])
      yield* output.drained
      assert.deepStrictEqual([balance(log).received, balance(log).dropped.bytes], [600_000, 0])
      // The next life, too.
      const next = piped(log)
      next.stdout.write("next")
      for (let count = 0; count < 10; count += 1) yield* turn
      assert.deepStrictEqual([balance(log).received, next.stdout.isPaused()], [600_000, true])
      yield* answer
      yield* next.end
      yield* log.settled
      assert.strictEqual(balance(log).written.bytes, 600_004)
    })
  )

  it.live.skipIf(TestMount.isFrozenMissing())(
    "a frozen disk: its own output waits or is dropped, everything else of the process goes on",
    () =>
      Effect.gen(function* () {
        const disk = yield* TestMount.frozen
        const healthy = yield* inFolder
        const logs = yield* Effect.forEach([1, 2, 3, 4, 5], (index) =>
          open({ file: Path.join(disk.path, `${index}.log`), buffer: 1_000_000 })
        )
        const block = yield* open({ file: Path.join(disk.path, "block.log"), buffer: 131_072, whenFull: "block" })
        const other = yield* open({ file: healthy })

        const memory = process.memoryUsage().rss
        const flood = yield* child("head", "-c", "500000000", "/dev/zero")
        const drops = logs.map((log, index) => log.attach({ stdout: index === 0 ? flood.stdout : null, stderr: null }))
        const patient = yield* child("sh", "-c", "seq 200000; echo done >&2")
        let said = ""
        patient.stderr.setEncoding("utf8").on("data", (text: string) => void (said += text))
        const blocked = block.attach({ stdout: patient.stdout, stderr: null })

        // The flood goes by while the disk hangs.
        yield* drops[0]?.drained ?? Effect.void
        const [log] = logs
        const stats = log === undefined ? undefined : balance(log)
        assert.strictEqual(stats?.received, 500_000_000)
        assert.isAbove(stats?.dropped.bytes ?? 0, 490_000_000)
        assert.isBelow(process.memoryUsage().rss - memory, 150_000_000)

        const output = piped(other)
        output.stdout.write("fine\n")
        yield* output.end
        assert.strictEqual(Fs.readFileSync(healthy, "utf8"), "fine\n")
        for (let count = 0; count < 8; count += 1) yield* Effect.promise(() => Fs.promises.stat("/"))
        assert.strictEqual(said, "", "the process is held up")

        yield* disk.thaw
        yield* blocked.drained
        yield* block.settled
        const seq = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join("")
        assert.strictEqual(readAll(Path.join(disk.path, "block.log")).toString(), seq)
        assert.strictEqual(balance(block).dropped.bytes, 0)
        if (log !== undefined) {
          yield* log.settled
          assert.strictEqual(balance(log).waiting, 0)
        }
      }),
    60_000
  )

  it.effect("closing does not wait for it for long, and says what is lost", () =>
    Effect.gen(function* () {
      const { path } = yield* hanging
      const said: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void said.push(String(message)))])
      const closed = yield* Effect.forkChild(
        Effect.scoped(
          Effect.gen(function* () {
            const log = yield* open({ file: path })
            const output = piped(log)
            output.stdout.write("never written\n")
            yield* turn
            yield* turn
            return log
          })
        ).pipe(Effect.provide(logger)),
        { startImmediately: true }
      )
      for (let count = 0; count < 5; count += 1) yield* turn
      yield* TestClock.adjust("2 seconds")
      const log = yield* Fiber.join(closed)
      assert.strictEqual(balance(log).dropped.bytes, 14)
      assert.deepStrictEqual(said, [`log of "app": 14 bytes of output lost here: the disk took too long: ${path}`])
    })
  )

  it.live("of one device one call runs at a time, and of all no more than half of the threads", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        write: (fd, data, done) => {
          running += 1
          most = Math.max(most, running)
          setImmediate(() =>
            Disk.realCalls.write(fd, data, (error, count) => {
              running -= 1
              done(error, count)
            })
          )
        }
      }
      const files = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => inFolder)
      const logs = yield* Effect.forEach(files, (file) => Effect.provideService(open({ file }), Disk.DiskCalls, calls))
      const outputs = logs.map(piped)
      for (const output of outputs) output.stdout.write("x".repeat(10_000))
      yield* Effect.forEach(outputs, (output) => output.end, { discard: true })
      assert.strictEqual(most, 1)

      const disks = [1, 2, 3, 4, 5, 6].map((one): Disk.Disk => ({ calls, device: `device ${one}` }))
      let atOnce = 0
      let mostAtOnce = 0
      const ends: Array<() => void> = []
      const all = yield* Effect.forkChild(
        Effect.forEach(
          disks,
          (disk) =>
            Disk.run<void>(disk, "stat", (_, done) => {
              atOnce += 1
              mostAtOnce = Math.max(mostAtOnce, atOnce)
              ends.push(() => {
                atOnce -= 1
                done(null)
              })
            }),
          { concurrency: "unbounded", discard: true }
        ),
        { startImmediately: true }
      )
      yield* until("two run", () => ends.length === 2)
      for (let ended = 0; ended < 6; ended += 1) {
        yield* until("one runs", () => ends.length > ended)
        ends[ended]?.()
      }
      yield* Fiber.join(all)
      assert.strictEqual(mostAtOnce, 2)

      // Whoever has gone before his turn has asked for nothing.
      const disk: Disk.Disk = { calls, device: "a device" }
      let end: (() => void) | undefined
      const first = yield* Effect.forkChild(
        Disk.run<void>(disk, "stat", (_, done) => void (end = () => done(null))),
        { startImmediately: true }
      )
      const second = yield* Effect.forkChild(
        Disk.run<void>(disk, "rename", () => assert.fail("it was renamed")),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(second)
      end?.()
      yield* Fiber.join(first)
    })
  )
})
