import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Zlib from "node:zlib"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as Disk from "../src/internal/logs/disk.ts"
import * as Rotation from "../src/internal/logs/rotation.ts"
import type { LogOptions } from "../src/ProcessLog.ts"
import { balance, oldsOf, open, piped, readAll, until } from "./logsSupport.ts"

const file = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.log"))

/** Writes it through a log of its own, which is closed then. */
const logged = (options: LogOptions, ...texts: ReadonlyArray<string | Buffer>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const log = yield* open(options)
      for (const text of texts) {
        const output = piped(log)
        output.stdout.write(text)
        yield* output.end
      }
      return balance(log)
    })
  )

const plain = { gzip: false } as const

const numbered = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, index) => `line ${String(from + index).padStart(6, "0")}\n`).join("")

const sizes = (path: string) => [...oldsOf(path), path].map((one) => Fs.statSync(one).size)

describe("logs: rotation", () => {
  it.live("by size: in raw to the byte, otherwise at the end of a line", () =>
    Effect.gen(function* () {
      const raw = yield* file
      const text = numbered(1000)
      assert.strictEqual((yield* logged({ file: raw, rotate: { ...plain, size: 5000 } }, text)).rotations, 2)
      assert.deepStrictEqual(sizes(raw), [5000, 5000, 2000])
      assert.strictEqual(readAll(raw).toString(), text)

      const lines = yield* file
      yield* logged({ file: lines, rotate: { ...plain, size: 5000 }, format: "prefixed" }, text)
      for (const one of [...oldsOf(lines), lines]) {
        assert.isAtMost(Fs.statSync(one).size, 5000)
        assert.match(Fs.readFileSync(one, "utf8"), /^(\S+ app stdout \| line \d{6}\n)+$/)
      }
      assert.strictEqual(
        readAll(lines)
          .toString()
          .replaceAll(/^\S+ app stdout \| /gm, ""),
        text
      )
    })
  )

  it.live("a line that is longer than a file has one to itself", () =>
    Effect.gen(function* () {
      const path = yield* file
      const long = "x".repeat(3000)
      yield* logged({ file: path, rotate: { ...plain, size: 1024 }, format: "json" }, `a\n${long}\nb\n`)
      const found = [...oldsOf(path), path].map((one) => Fs.readFileSync(one, "utf8"))
      assert.deepStrictEqual(
        found.map((one): string => JSON.parse(one).text),
        ["a", long, "b"]
      )
    })
  )

  it.live(
    "a full file is put away only when there is more to write; a later run goes on where the last one stopped",
    () =>
      Effect.gen(function* () {
        const path = yield* file
        const options = { file: path, rotate: { ...plain, size: 1300 } }
        assert.strictEqual((yield* logged(options, numbered(108).slice(0, 1300))).rotations, 0)
        assert.deepStrictEqual(sizes(path), [1296])
        yield* logged(options, "abcdefgh")
        assert.deepStrictEqual(sizes(path), [1300, 4])
        assert.strictEqual(readAll(path).toString(), `${numbered(108)}abcdefgh`)
      })
  )

  it.live("keeps as many as told, and removes nothing that has not its own names", () =>
    Effect.gen(function* () {
      const path = yield* file
      const others = [
        "app.log.1",
        "app.log.000001.bak",
        "app.log.0000001",
        "app.log.000000",
        "xapp.log.000001",
        "app.log.gz"
      ]
      for (const name of others) Fs.writeFileSync(Path.join(Path.dirname(path), name), name)
      yield* logged({ file: path, rotate: { ...plain, size: 1200, keep: 2 } }, numbered(1000))
      assert.deepStrictEqual(
        oldsOf(path).map((one) => Path.basename(one)),
        ["app.log.000008", "app.log.000009"]
      )
      assert.isTrue(numbered(1000).endsWith(readAll(path).toString()))
      for (const name of others) assert.strictEqual(Fs.readFileSync(Path.join(Path.dirname(path), name), "utf8"), name)

      const none = yield* file
      yield* logged({ file: none, rotate: { ...plain, size: 1200, keep: 0 } }, numbered(1000))
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(none)), ["app.log"])
    })
  )

  it.effect("by age, when there is something to write; as old as the file is at start", () =>
    Effect.gen(function* () {
      const path = yield* file
      const options = { file: path, rotate: { ...plain, age: "1 hour" } } as const
      yield* Effect.scoped(
        Effect.gen(function* () {
          const log = yield* open(options)
          const say = (text: string) => {
            const output = piped(log)
            output.stdout.write(text)
            return output.end
          }
          yield* say("a\n")
          yield* TestClock.adjust("59 minutes")
          yield* say("b\n")
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(oldsOf(path), [])
          yield* say("c\n")
          assert.strictEqual(balance(log).rotations, 1)
        })
      )
      assert.deepStrictEqual(
        [Fs.readFileSync(oldsOf(path)[0] ?? "", "utf8"), Fs.readFileSync(path, "utf8")],
        ["a\nb\n", "c\n"]
      )
      yield* TestClock.setTime(Fs.statSync(path).mtimeMs + 3_600_000)
      yield* logged(options, "d\n")
      assert.deepStrictEqual(oldsOf(path).length, 2)
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "d\n")
    })
  )

  it.live("old files are compressed, and what an interrupted run has left is finished", () =>
    Effect.gen(function* () {
      const path = yield* file
      const text = numbered(1000)
      yield* logged({ file: path, rotate: { ...plain, size: 4000, keep: 100 } }, text)
      const [one = "", two = ""] = oldsOf(path)
      Fs.writeFileSync(`${one}.gz.tmp`, "half")
      // It was whole and in its place, and only the plain one was still there.
      Fs.writeFileSync(`${two}.gz`, Zlib.gzipSync(Fs.readFileSync(two)))
      const stranger = Path.join(Path.dirname(path), "app.log.bak.gz.tmp")
      Fs.writeFileSync(stranger, "mine")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const output = piped(yield* open({ file: path, rotate: { size: 4000, keep: 100 } }))
          output.stdout.write("more\n")
          yield* output.end
          yield* until("all are compressed", () => oldsOf(path).every((old) => old.endsWith(".gz")))
        })
      )
      assert.strictEqual(readAll(path).toString(), `${text}more\n`)
      assert.deepStrictEqual(
        Fs.readdirSync(Path.dirname(path)).filter((name) => name.endsWith(".tmp")),
        ["app.log.bak.gz.tmp"]
      )
      for (const old of oldsOf(path))
        assert.strictEqual(Fs.statSync(old).mode & 0o777, old === `${two}.gz` ? 0o644 : 0o600)
    })
  )

  it.live("compressing that fails leaves the plain file, and nothing half done", () =>
    Effect.gen(function* () {
      const path = yield* file
      const text = numbered(1000)
      let failed = 0
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        sync: (_fd, done) => {
          failed += 1
          setImmediate(() => done(Object.assign(new Error("no"), { code: "ENOSPC" })))
        }
      }
      const log = yield* Effect.provideService(open({ file: path, rotate: { size: 9000 } }), Disk.DiskCalls, calls)
      const output = piped(log)
      output.stdout.write(text)
      yield* output.end
      yield* until("it has failed, and is tidy", () => failed > 0 && Fs.readdirSync(Path.dirname(path)).length === 2)
      assert.deepStrictEqual([oldsOf(path), readAll(path).toString()], [[`${path}.000001`], text])
      assert.isUndefined(balance(log).lastError)
    })
  )

  it.live("what somebody writes to an old file while it is compressed is not lost", () =>
    Effect.gen(function* () {
      const path = yield* file
      let late = ""
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        sync: (fd, done) => {
          if (late === "") {
            late = "late\n"
            Fs.appendFileSync(`${path}.000001`, late)
          }
          Disk.realCalls.sync(fd, done)
        }
      }
      const log = yield* Effect.provideService(open({ file: path, rotate: { size: 9000 } }), Disk.DiskCalls, calls)
      const output = piped(log)
      output.stdout.write(numbered(1000))
      yield* output.end
      yield* until("it is tidy", () => late !== "" && Fs.readdirSync(Path.dirname(path)).length === 2)
      assert.strictEqual(readAll(path).toString(), numbered(750) + late + numbered(250, 750))
    })
  )

  it.effect("a file that somebody moves away or removes is noticed within a second of writing", () =>
    Effect.gen(function* () {
      const path = yield* file
      const log = yield* open({ file: path })
      const say = (text: string) => {
        const output = piped(log)
        output.stdout.write(text)
        return output.end
      }
      yield* say("one\n")
      Fs.renameSync(path, `${path}.moved`)
      yield* TestClock.adjust("1 second")
      yield* say("two\n")
      Fs.rmSync(path)
      yield* TestClock.adjust("1 second")
      yield* say("three\n")
      Fs.rmSync(Path.dirname(path), { recursive: true })
      yield* TestClock.adjust("1 second")
      yield* say("four\n")
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "four\n")
      assert.strictEqual(balance(log).lastError, undefined)
    })
  )

  it.effect("a file that somebody empties is rotated when it is full again, and not before", () =>
    Effect.gen(function* () {
      const path = yield* file
      const log = yield* open({ file: path, rotate: { ...plain, size: 10_000 } })
      const say = (size: number) => {
        const output = piped(log)
        output.stdout.write("x".repeat(size))
        return output.end
      }
      yield* say(9000)
      Fs.truncateSync(path)
      yield* TestClock.adjust("1 second")
      yield* say(9000)
      assert.deepStrictEqual([balance(log).rotations, Fs.statSync(path).size], [0, 9000])
      yield* say(2000)
      assert.deepStrictEqual(sizes(path), [10_000, 1000])
    })
  )

  it.live("two logs with one file rotate it by turns: nothing is lost, nor refused", () =>
    Effect.gen(function* () {
      const path = yield* file
      const options = { file: path, rotate: { ...plain, size: 5000, keep: 1000 } }
      const logs = [yield* open(options), yield* open(options)]
      const outputs = logs.map(piped)
      for (const { stdout } of outputs) for (let count = 0; count < 50; count += 1) stdout.write("x".repeat(3000))
      yield* Effect.forEach(outputs, (output) => output.end, { discard: true })
      assert.strictEqual(readAll(path).length, 300_000)
      for (const log of logs) {
        assert.isUndefined(balance(log).lastError)
        assert.isAbove(balance(log).rotations, 0)
      }
    })
  )

  it.live("a link stays where it is and is not rotated", () =>
    Effect.gen(function* () {
      const [path, target] = [yield* file, yield* file]
      Fs.symlinkSync(target, path)
      const text = numbered(500)
      assert.strictEqual((yield* logged({ file: path, rotate: { size: 1024 } }, text)).rotations, 0)
      assert.strictEqual(Fs.readFileSync(target, "utf8"), text)
    })
  )

  it.live("a rotation that fails loses nothing: the file grows", () =>
    Effect.gen(function* () {
      const path = yield* file
      const text = numbered(1000)
      const calls: Disk.Calls = {
        ...Disk.realCalls,
        rename: (_from, _to, done) => setImmediate(done, Object.assign(new Error("no"), { code: "EACCES" }))
      }
      const { lastError, rotations } = yield* Effect.provideService(
        logged({ file: path, rotate: { size: 1024 } }, text),
        Disk.DiskCalls,
        calls
      )
      assert.deepStrictEqual([rotations, lastError], [0, "rename: EACCES"])
      assert.strictEqual(Fs.readFileSync(path, "utf8"), text)
    })
  )
})

const isTidy = (path: string): boolean =>
  Rotation.parse(path, Fs.readdirSync(Path.dirname(path))).unfinished.length === 0 &&
  oldsOf(path).every((old) => old.endsWith(".gz"))

/** The `step`th call that changes something, and all after it, are held until it is clear what becomes of them. */
const stoppingAt = (step: number) => {
  interface Held {
    readonly fail: () => void
    readonly run: (landed?: () => void) => void
  }
  const held: Array<Held> = []
  const fault = Object.assign(new Error("crashed"), { code: "EIO" })
  let count = 0
  let state: "Running" | "Stopped" | "Dead" = "Running"
  const guarded =
    <A extends ReadonlyArray<unknown>, B>(
      call: (...args: [...A, (error: NodeJS.ErrnoException | null, value: B) => void]) => void
    ) =>
    (...args: [...A, (error: NodeJS.ErrnoException | null, value: B) => void]): void => {
      const done = args.at(-1) as (error: NodeJS.ErrnoException | null, value: B) => void
      const fail = () => done(fault, undefined as B)
      const run: Held["run"] = (landed = done as () => void) =>
        call(...([...args.slice(0, -1), landed] as unknown as Parameters<typeof call>))
      if (state === "Running") {
        count += 1
        if (count === step) state = "Stopped"
      }
      if (state === "Running") run()
      else if (state === "Stopped") held.push({ fail, run })
      else setImmediate(fail)
    }
  const real = Disk.realCalls
  const calls: Disk.Calls = {
    ...real,
    open: guarded<[string, number], number>(real.open),
    write: guarded<[number, ReadonlyArray<Uint8Array>], number>(real.write),
    rename: guarded<[string, string], void>(real.rename),
    remove: guarded<[string], void>(real.remove),
    sync: guarded<[number], void>(real.sync)
  }
  return {
    calls,
    hasStopped: () => state === "Stopped",
    /**
     * As if the process had been killed in that call, which the system carries out all the same if `isDone`. Then the
     * process ends with the call and not before: whoever comes next finds all of it. Gives the turns at the disk back.
     */
    kill: (isDone: boolean) =>
      Effect.promise(async () => {
        const [inFlight] = held
        state = "Dead"
        if (isDone && inFlight !== undefined) await new Promise<void>((landed) => inFlight.run(landed))
        for (const { fail } of held.splice(0)) fail()
      }),
    goOn: () => {
      state = "Running"
      for (const { run } of held.splice(0)) run()
    }
  }
}

/** A log that is closed when it has come to the `step`th call, or is through: then `isOver`. */
const closedAt = Effect.fnUntraced(function* (
  options: LogOptions & { readonly file: string },
  text: string,
  step: number
) {
  const stop = stoppingAt(step)
  const scope = yield* Scope.make()
  const log = yield* Effect.provideService(Scope.provide(open(options), scope), Disk.DiskCalls, stop.calls)
  const output = piped(log)
  output.stdout.end(text)
  output.stderr.end()
  const isOver = () => oldsOf(options.file).length === 2 && isTidy(options.file)
  yield* Effect.promise(async () => {
    while (!stop.hasStopped() && !isOver()) await new Promise(setImmediate)
  })
  const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  yield* TestClock.adjust("2 seconds")
  yield* Fiber.join(closing)
  return { ...stop, isOver: !stop.hasStopped(), written: log.stats().written.bytes }
})

/** Writes it through the next log of the file, which tidies up; `meanwhile` when it has got it. */
const next = (options: LogOptions & { readonly file: string }, text: string, meanwhile: () => void = () => {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const output = piped(yield* open(options))
      output.stdout.write(text)
      yield* Effect.promise(() => new Promise(setImmediate))
      meanwhile()
      yield* output.end
      yield* Effect.promise(async () => {
        while (!isTidy(options.file)) await new Promise(setImmediate)
      })
      return readAll(options.file).toString()
    })
  )

const optionsOf = (path: string) => ({ file: path, rotate: { size: 2000, keep: 100, gzip: true } })

describe("logs: a crash in the middle of a rotation", () => {
  const text = numbered(400)

  it.effect(
    "whatever the step, nothing that was written is lost or out of order, and the next run tidies up",
    () =>
      Effect.gen(function* () {
        let crashes = 0
        for (const isDone of [false, true]) {
          for (let step = 1; ; step += 1) {
            const path = yield* file
            const run = yield* closedAt(optionsOf(path), text, step)
            yield* run.kill(isDone)
            if (run.isOver) break
            crashes += 1
            const found = readAll(path).toString()
            assert.isTrue(text.startsWith(found), `step ${step}: ${found.length} bytes are not a beginning`)
            assert.isAtLeast(found.length, run.written, `step ${step}`)
            const all = yield* next(optionsOf(path), `${text.slice(found.length)}end\n`)
            assert.strictEqual(all, `${text}end\n`, `step ${step}`)
            assert.strictEqual(new Set(oldsOf(path)).size, 2)
          }
        }
        assert.isAtLeast(crashes, 30)
      }),
    60_000
  )

  it.effect(
    "whatever the step that a log was closed in, the next one of the same process waits for it",
    () =>
      Effect.gen(function* () {
        for (let step = 1; ; step += 1) {
          const path = yield* file
          const run = yield* closedAt(optionsOf(path), text, step)
          if (run.isOver) break
          const all = yield* next(optionsOf(path), "end\n", run.goOn)
          assert.isTrue(all.endsWith("end\n") && text.startsWith(all.slice(0, -4)), `step ${step}: ${all}`)
          assert.isAtLeast(all.length, run.written + 4, `step ${step}`)
        }
      }),
    60_000
  )

  it.live(
    "SIGKILL at any time: the files are what was written, in order",
    () =>
      Effect.gen(function* () {
        const writer = fileURLToPath(new URL("fixtures/logsWriter.ts", import.meta.url))
        for (const after of [20_000, 150_000, 400_000]) {
          const path = yield* file
          const child = yield* Effect.acquireRelease(
            Effect.sync(() =>
              ChildProcess.spawn(process.execPath, [writer, path], { stdio: ["ignore", "ignore", "inherit"] })
            ),
            (spawned) =>
              Effect.sync(
                () => void (spawned.exitCode === null && spawned.pid !== undefined && spawned.kill("SIGKILL"))
              )
          )
          const olds = () => new Set(oldsOf(path).map((old) => old.replace(/\.gz$/, ""))).size
          const size = () => olds() * 10_000 + (Fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0)
          yield* until("it has written enough", () => size() >= after)
          yield* Effect.callback<void>((resume) => {
            child.once("exit", () => resume(Effect.void))
            child.kill("SIGKILL")
          })
          const found = readAll(path).toString()
          const lines = Math.ceil(found.length / 12)
          assert.isTrue(numbered(lines).startsWith(found))
          assert.isAtLeast(found.length, after - 10_000)
        }
      }),
    60_000
  )
})
