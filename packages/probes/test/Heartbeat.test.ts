import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { answering } from "@nexobot/testing/TestProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import * as Heartbeat from "../src/Heartbeat.ts"

const place = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.beat"))

const ageOf = (path: string) =>
  Effect.map(Heartbeat.last(path), (beat) => (beat === undefined ? undefined : Duration.toMillis(beat.age)))

/** As if its last change were so long ago, whatever the beat says. */
const backdate = (path: string, millis: number) => {
  const then = new Date(Date.now() - millis)
  Fs.utimesSync(path, then, then)
}

describe("Heartbeat", () => {
  it.live("a beat is young; the next one is another", () =>
    Effect.gen(function* () {
      const path = yield* place
      assert.isUndefined(yield* Heartbeat.last(path))
      yield* Heartbeat.write(path)
      const first = yield* Heartbeat.last(path)
      assert.isBelow(Duration.toMillis(first?.age ?? Duration.infinity), 10_000)
      yield* Effect.promise(() => Heartbeat.beat(path))
      const second = yield* Heartbeat.last(path)
      assert.notStrictEqual(second?.id, first?.id)
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["app.beat"])
    })
  )

  it.effect("is as old as time passed, to the millisecond", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* Heartbeat.write(path)
      yield* TestClock.adjust("2500 millis")
      assert.strictEqual(yield* ageOf(path), 2500)
    })
  )

  it.live("a step of the clock makes it neither older nor younger", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* Heartbeat.write(path)
      for (const step of [3_600_000, -3_600_000]) {
        backdate(path, step)
        const age = yield* ageOf(path)
        assert.isAtLeast(age ?? -1, 0)
        assert.isBelow(age ?? Infinity, 60_000)
      }
    })
  )

  it.live("one of another boot, of the future, and what is no beat, are as old as the file", () =>
    Effect.gen(function* () {
      const path = yield* place
      const boot = yield* Effect.flatMap(ProcessTable, (table) => table.bootId)
      const far = "9".repeat(19)
      const contents = [
        "nexobot-heartbeat 00000000-0000-0000-0000-000000000000 1\n",
        `nexobot-heartbeat ${boot} ${far}\n`,
        `nexobot-heartbeat ${boot} 1`,
        "nexobot-heartbeat - 1\n",
        "",
        "x".repeat(1_000_000)
      ]
      for (const content of contents) {
        Fs.writeFileSync(path, content)
        backdate(path, 3_600_000)
        const age = yield* ageOf(path)
        assert.isAtLeast(age ?? 0, 3_600_000, content.slice(0, 80))
        assert.isBelow(age ?? Infinity, 3_660_000, content.slice(0, 80))
        backdate(path, -3_600_000)
        assert.strictEqual(yield* ageOf(path), 0)
      }
    })
  )

  it.live("without a boot id, the time of the file counts", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* answering({ bootId: Effect.succeed("") })(Heartbeat.write(path))
      assert.match(Fs.readFileSync(path, "utf8"), /^nexobot-heartbeat - \d+\n$/)
      backdate(path, 3_600_000)
      assert.isAtLeast((yield* ageOf(path)) ?? 0, 3_600_000)
    })
  )

  it.live("says what keeps it from being written or read", () =>
    Effect.gen(function* () {
      const path = yield* place
      const below = Path.join(path, "x")
      assert.deepInclude(yield* Effect.flip(Heartbeat.write(below)), { path: below, code: "ENOENT" })
      const error = yield* Effect.flip(Effect.scoped(Heartbeat.start({ path: below })))
      assert.strictEqual(error.message, `${below}: ENOENT`)
      Fs.writeFileSync(path, "")
      assert.isUndefined(yield* Heartbeat.last(below), "a file where a folder should be has no file in it")
      const long = Path.join(path, "../", "x".repeat(300))
      assert.deepInclude(yield* Effect.flip(Heartbeat.last(long)), { code: "ENAMETOOLONG" })
    })
  )
})

/** Whoever writes it hangs until it is read. */
const pipe = Effect.tap(place, (path) =>
  Effect.sync(() => assert.strictEqual(ChildProcess.spawnSync("mkfifo", [path]).status, 0))
)

/** What is written to it, by all who have it open or come in time. */
const drained = (path: string) =>
  Effect.callback<string>((resume) => {
    ChildProcess.execFile("timeout", ["10", "cat", path], (_, stdout) => resume(Effect.succeed(stdout)))
  })

const beats = (text: string) => text.trimEnd().split("\n").length

describe("Heartbeat.beat", () => {
  it.live("leaves none while the one before hangs, and goes on after it", () =>
    Effect.gen(function* () {
      const path = yield* pipe
      const hanging = Heartbeat.beat(path)
      for (let turn = 0; turn < 20; turn += 1) yield* Effect.promise(() => Heartbeat.beat(path))
      assert.strictEqual(beats(yield* drained(path)), 1)
      yield* Effect.promise(() => hanging)
      Fs.rmSync(path)
      yield* Effect.promise(() => Heartbeat.beat(path))
      assert.isDefined(yield* Heartbeat.last(path))
    })
  )

  it.effect("Heartbeat.write waits for the one before, and leaves one of its own time", () =>
    Effect.gen(function* () {
      const path = yield* pipe
      const writes = [Heartbeat.write(path), Heartbeat.write(path)]
      const both = yield* Effect.forkChild(Effect.all(writes, { concurrency: 2 }), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      let read = ""
      while (beats(read) < 2) read += yield* drained(path)
      yield* Fiber.join(both)
      const [first, second] = read.split("\n").map((line) => Number(line.split(" ")[2]))
      assert.strictEqual(Number(second) - Number(first), 5e9)
    })
  )
})

describe("Heartbeat.start", () => {
  it.live("the scope ends after a beat that is being written, unless that hangs", () =>
    Effect.gen(function* () {
      const path = yield* pipe
      for (const isRead of [true, false]) {
        const scope = yield* Scope.make()
        const starting = yield* Effect.forkChild(Scope.provide(Heartbeat.start({ path }), scope), {
          startImmediately: true
        })
        yield* Fiber.interrupt(starting)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* Effect.sleep("20 millis")
        assert.isUndefined(closing.pollUnsafe(), "it waits")
        if (isRead) assert.strictEqual(beats(yield* drained(path)), 1)
        yield* Fiber.join(closing)
        if (!isRead) assert.strictEqual(beats(yield* drained(path)), 1)
      }
    })
  )

  it.live("beats at once, and again and again, until the scope closes; a beat that failed is made up for", () =>
    Effect.gen(function* () {
      const path = yield* place
      const another = Effect.gen(function* () {
        const before = yield* Heartbeat.last(path)
        yield* eventually(
          "another beat",
          Effect.map(Heartbeat.last(path), (now) => (now?.id === before?.id ? undefined : now))
        )
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Heartbeat.start({ path, every: "5 millis" })
          assert.isTrue(Fs.existsSync(path))
          yield* another
          const folder = Path.dirname(path)
          Fs.renameSync(folder, `${folder}.away`)
          yield* Effect.sleep("20 millis")
          Fs.renameSync(`${folder}.away`, folder)
          yield* another
        })
      )
      const { id } = (yield* Heartbeat.last(path)) ?? { id: "" }
      yield* Effect.sleep("30 millis")
      assert.strictEqual((yield* Heartbeat.last(path))?.id, id)
    })
  )

  it.effect("once a second, unless told", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* Heartbeat.start({ path })
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* ageOf(path), 999)
      yield* TestClock.adjust("1 millis")
      // Written by the file system in its own time.
      while ((yield* ageOf(path)) !== 0) yield* Effect.promise(() => new Promise(setImmediate))
    })
  )

  it.live("is read by other processes, with the same age", () =>
    Effect.gen(function* () {
      const path = yield* place
      const module = import.meta.resolve("../src/Heartbeat.ts")
      const code = `import(${JSON.stringify(module)}).then(({ beat }) => beat(process.argv[1]))`
      const { status, stderr } = ChildProcess.spawnSync(process.execPath, ["--no-warnings", "-e", code, path])
      assert.strictEqual(status, 0, String(stderr))
      backdate(path, 3_600_000)
      assert.isBelow((yield* ageOf(path)) ?? Infinity, 60_000)
    })
  )

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ path: "" }, "path"],
      [{ every: 0 }, "every"],
      [{ interval: 1 }, "interval"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => Heartbeat.start({ path: "/x", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["Heartbeat", option])
    }
  })
})
