import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestMount from "@nexobot/testing/TestMount"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

import * as FileProbe from "../src/FileProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const make = (options: Omit<FileProbe.FileProbeOptions, "name">) => FileProbe.make({ name: "file", ...options })

/** The path of a file with so many bytes. */
const file = (size: number) =>
  Effect.map(TestFolder.make, (folder) => {
    const path = Path.join(folder, "clawdbot.json")
    Fs.writeFileSync(path, "a".repeat(size))
    return path
  })

/** Last modified so many seconds after 1970. */
const modifiedAt = (seconds: number) =>
  Effect.tap(file(10), (path) => Effect.sync(() => Fs.utimesSync(path, 0, seconds)))

const resize = (path: string, size: number) => Effect.sync(() => Fs.writeFileSync(path, "a".repeat(size)))

const tags = (probe: Probe.Any) => probe.reports.map(Verdict.tagOf)

describe("FileProbe", () => {
  it.live("a file that is there is healthy, through a symbolic link too, and whatever its name", () =>
    Effect.gen(function* () {
      const path = yield* file(0)
      assert.deepStrictEqual(yield* make({ path }).check, Verdict.healthy)
      const odd = `${path} (1)\n%00 ü`
      Fs.symlinkSync(path, odd)
      assert.deepStrictEqual(yield* make({ path: odd }).check, Verdict.healthy)
    })
  )

  it.live("nothing, a link to nothing, a link to itself and a path through a file are Missing", () =>
    Effect.gen(function* () {
      const path = yield* file(1)
      const folder = Path.dirname(path)
      Fs.symlinkSync("nowhere", Path.join(folder, "dangling"))
      Fs.symlinkSync("loop", Path.join(folder, "loop"))
      for (const [name, code] of [
        ["other", "ENOENT"],
        ["dangling", "ENOENT"],
        ["loop", "ELOOP"],
        ["clawdbot.json/x", "ENOTDIR"]
      ] as const) {
        const missing = Path.join(folder, name)
        assert.deepStrictEqual(
          yield* make({ path: missing }).check,
          Verdict.unhealthy(new FileProbe.Missing({ path: missing }), [`${missing} is not there (${code})`])
        )
      }
    })
  )

  it.live("type: a folder is no file, and a pipe is neither", () =>
    Effect.gen(function* () {
      const path = yield* file(1)
      const folder = Path.dirname(path)
      const wrong = { _tag: "File/WrongType", path: folder, expected: "file", found: "folder" } as const
      assert.deepInclude(signatureOf(yield* make({ path: folder }).check), wrong)
      assert.deepStrictEqual(yield* make({ path: folder, type: "folder" }).check, Verdict.healthy)
      assert.deepInclude(signatureOf(yield* make({ path, type: "folder" }).check), { found: "file" })
      const pipe = Path.join(folder, "pipe")
      ChildProcess.spawnSync("mkfifo", [pipe])
      assert.deepInclude(signatureOf(yield* make({ path: pipe }).check), { found: "something else" })
    })
  )

  it.effect("maxAge: to the millisecond, and the age is told", () =>
    Effect.gen(function* () {
      const path = yield* modifiedAt(1000)
      const probe = make({ path, maxAge: "1 hour" })
      yield* TestClock.setTime(1_000_000 + 3_600_000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* TestClock.adjust("1 millis")
      const age = Duration.millis(3_600_001)
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new FileProbe.TooOld({ path, age, maxAge: Duration.hours(1) }), [
          `${path}: modified 1h 1ms ago`
        ])
      )
      assert.deepStrictEqual(yield* make({ path }).check, Verdict.healthy)
    })
  )

  it.effect("maxAge: a file from the future says nothing, but for clocks that differ a little", () =>
    Effect.gen(function* () {
      const path = yield* modifiedAt(1000)
      const probe = make({ path, maxAge: "1 hour" })
      yield* TestClock.setTime(1_000_000 - 60_000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* TestClock.setTime(1_000_000 - 120_000)
      const verdict = yield* probe.check
      assert.deepStrictEqual(verdict, Verdict.inconclusive(`${path} was modified 2m from now: a clock was set`))
    })
  )

  it.live("minSize: an empty file, and one that is too small", () =>
    Effect.gen(function* () {
      const path = yield* file(0)
      assert.deepStrictEqual(
        yield* make({ path, minSize: 1 }).check,
        Verdict.unhealthy(new FileProbe.TooSmall({ path, size: 0, minSize: 1 }), [
          `${path}: 0 bytes, at least 1 expected`
        ])
      )
      yield* resize(path, 99)
      assert.strictEqual((yield* make({ path, minSize: 100 }).check)._tag, "Unhealthy")
      assert.deepStrictEqual(yield* make({ path, minSize: 99 }).check, Verdict.healthy)
    })
  )

  it.live("maxDrop: a configuration that went from 3641 to 423 bytes, until it is whole again", () =>
    Effect.gen(function* () {
      const path = yield* file(3641)
      const probe = make({ path, maxDrop: 0.5 })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* resize(path, 423)
      for (const _ of [1, 2]) {
        assert.deepStrictEqual(
          yield* probe.check,
          Verdict.unhealthy(new FileProbe.SizeDrop({ path, before: 3641, after: 423 }), [
            `${path}: from 3641 to 423 bytes`
          ])
        )
      }
      yield* resize(path, 3000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* resize(path, 1501)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepStrictEqual(yield* make({ path, maxDrop: 0 }).check, Verdict.healthy)
    })
  )

  it.live("maxDrop: just what it may lose is no drop, whatever a computer makes of 0.7", () =>
    Effect.gen(function* () {
      const path = yield* file(0)
      for (const [before, after, maxDrop] of [
        [10, 3, 0.7],
        [100, 10, 0.9],
        [1000, 200, 0.8]
      ] as const) {
        yield* resize(path, before)
        const probe = make({ path, maxDrop })
        assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
        yield* resize(path, after)
        assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
        yield* resize(path, after - 1)
        yield* resize(path, before)
        yield* probe.check
        yield* resize(path, after - 1)
        assert.deepInclude(signatureOf(yield* probe.check), { _tag: "File/SizeDrop", before, after: after - 1 })
      }
    })
  )

  it.live("maxDrop: what is too small is not what the next one is compared with", () =>
    Effect.gen(function* () {
      const path = yield* file(50)
      const probe = make({ path, minSize: 100, maxDrop: 0.5 })
      assert.deepInclude(signatureOf(yield* probe.check), { _tag: "File/TooSmall" })
      yield* resize(path, 1000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* resize(path, 60)
      const verdict = yield* probe.check
      assert.deepInclude(signatureOf(verdict), { _tag: "File/TooSmall", size: 60 })
      assert.deepStrictEqual("evidence" in verdict ? verdict.evidence : [], [
        `${path}: 60 bytes, at least 100 expected`,
        `${path}: from 1000 to 60 bytes`
      ])
    })
  )

  it.live("baseline: another process knows the last good size; without it the file is not to be compared", () =>
    Effect.gen(function* () {
      const path = yield* file(3641)
      const baseline = Path.join(Path.dirname(path), "baseline.json")
      const probe = () => make({ path, maxDrop: 0.5, baseline })
      assert.strictEqual(probe().effects, "own-file")
      assert.deepStrictEqual(yield* probe().check, Verdict.healthy)
      assert.deepStrictEqual(JSON.parse(Fs.readFileSync(baseline, "utf8")), { path, size: 3641 })
      const { ino } = Fs.statSync(baseline)
      assert.deepStrictEqual(yield* probe().check, Verdict.healthy)
      assert.strictEqual(Fs.statSync(baseline).ino, ino)
      yield* resize(path, 423)
      assert.deepInclude(signatureOf(yield* probe().check), { before: 3641, after: 423 })
      assert.deepStrictEqual(JSON.parse(Fs.readFileSync(baseline, "utf8")), { path, size: 3641 })
      Fs.rmSync(baseline)
      assert.deepStrictEqual(yield* probe().check, Verdict.healthy)
    })
  )

  it.live("baseline: one that is damaged, of another file or not writable says nothing, and hides nothing", () =>
    Effect.gen(function* () {
      const path = yield* file(10)
      const baseline = Path.join(Path.dirname(path), "baseline.json")
      for (const text of ["", "{", '{"path":"/other","size":10}', '{"path":"x","size":"10"}']) {
        Fs.writeFileSync(baseline, text)
        assert.deepStrictEqual(
          yield* make({ path, maxDrop: 0.5, baseline }).check,
          Verdict.inconclusive(`the baseline ${baseline} is not that of ${path}: remove it, or name another file`)
        )
        assert.strictEqual(Fs.readFileSync(baseline, "utf8"), text)
      }
      const none = Path.join(baseline, "x")
      const inconclusive = yield* make({ path, maxDrop: 0.5, baseline: none }).check
      assert.deepStrictEqual(inconclusive, Verdict.inconclusive(`the baseline ${none} cannot be read: ENOTDIR`))
      const pipe = `${baseline}.pipe`
      ChildProcess.spawnSync("mkfifo", [pipe])
      const large = `${baseline}.large`
      Fs.writeFileSync(large, "")
      Fs.truncateSync(large, 2 ** 31)
      for (const [own, code] of [
        [pipe, "ENOTFILE"],
        [large, "EFBIG"]
      ] as const) {
        assert.deepStrictEqual(
          yield* make({ path, maxDrop: 0.5, baseline: own }).check,
          Verdict.inconclusive(`the baseline ${own} cannot be read: ${code}`)
        )
      }
      const nowhere = Path.join(Path.dirname(path), "no", "such")
      assert.deepStrictEqual(
        yield* make({ path, maxDrop: 0.5, baseline: nowhere }).check,
        Verdict.inconclusive(`the baseline ${nowhere} cannot be written: ENOENT`)
      )
      const small = yield* make({ path, maxDrop: 0.5, minSize: 11, baseline: none }).check
      assert.deepInclude(signatureOf(small), { _tag: "File/TooSmall" })
    })
  )

  it.live("maxMode: who more may read it makes it Degraded; a narrower mode is healthy", () =>
    Effect.gen(function* () {
      const path = yield* file(1)
      Fs.chmodSync(path, 0o644)
      assert.deepStrictEqual(
        yield* make({ path, maxMode: 0o600 }).check,
        Verdict.degraded(new FileProbe.Permissions({ path, mode: "0644", maxMode: "0600" }), [
          `${path}: mode 0644, at most 0600 expected`
        ])
      )
      Fs.chmodSync(path, 0o400)
      assert.deepStrictEqual(yield* make({ path, maxMode: 0o600 }).check, Verdict.healthy)
    })
  )

  it.live("the worst comes first, and all of it is told", () =>
    Effect.gen(function* () {
      const path = yield* modifiedAt(1000)
      Fs.chmodSync(path, 0o666)
      const verdict = yield* make({ path, maxMode: 0o600, maxAge: "1 day", minSize: 11 }).check
      assert.deepInclude(signatureOf(verdict), { _tag: "File/TooSmall" })
      assert.lengthOf("evidence" in verdict && verdict.evidence !== undefined ? verdict.evidence : [], 3)
    })
  )

  it.live("what the system does not say is inconclusive", () =>
    Effect.gen(function* () {
      const path = `/tmp/${"a".repeat(300)}`
      assert.deepStrictEqual(yield* make({ path }).check, Verdict.inconclusive(`${path}: ENAMETOOLONG`))
    })
  )

  it("says what it examines, and asks the same only without a memory", () => {
    const path = "/etc/hosts"
    assert.deepInclude(make({ path }), { target: "file:///etc/hosts", reach: "host", effects: "none", cost: 1 })
    const [one, other] = [make({ path, maxAge: "1 hour" }), make({ path, maxAge: "60 minutes" })]
    assert.deepStrictEqual(Probe.question(one), Probe.question(other))
    assert.notDeepEqual(Probe.question(one), Probe.question(make({ path })))
    for (const told of [{ minSize: 1 }, { maxMode: 0o600 }, { type: "folder" }, { timeout: 1000 }] as const) {
      assert.notDeepEqual(Probe.question(make({ path, ...told })), Probe.question(make({ path })))
    }
    assert.isUndefined(Probe.question(make({ path, maxDrop: 0.5 })))
  })

  it("declares just what its options can find", () => {
    const path = "/etc/hosts"
    const plain = FileProbe.make({ name: "file", path })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<FileProbe.Missing | FileProbe.WrongType>>()
    assert.deepStrictEqual(tags(plain), ["File/Missing", "File/WrongType"])
    const fresh = FileProbe.make({ name: "file", path, maxAge: "1 hour", timeout: "1 second" })
    expectTypeOf(fresh).toEqualTypeOf<Probe.Probe<FileProbe.Missing | FileProbe.WrongType | FileProbe.TooOld>>()
    assert.deepStrictEqual(tags(fresh), ["File/Missing", "File/WrongType", "File/TooOld"])
    const full = make({ path, maxAge: 1, minSize: 1, maxDrop: 0.5, maxMode: 0 })
    expectTypeOf(full).toEqualTypeOf<Probe.Probe<Any>>()
    assert.lengthOf(tags(full), 6)
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => FileProbe.make({ name: "file", path, maxage: 1 })).option, "maxage")
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ path: "" }, "path", ""],
      [{ type: "pipe" }, "type", "pipe"],
      [{ maxAge: 0 }, "maxAge", 0],
      [{ minSize: 0 }, "minSize", 0],
      [{ minSize: 1.5 }, "minSize", 1.5],
      [{ type: "folder", minSize: 1 }, "minSize", 1],
      [{ type: "folder", maxDrop: 0.5 }, "maxDrop", 0.5],
      [{ maxDrop: 1 }, "maxDrop", 1],
      [{ maxDrop: -0.1 }, "maxDrop", -0.1],
      [{ baseline: "/tmp/b" }, "baseline", "/tmp/b"],
      [{ baseline: "", maxDrop: 0.5 }, "baseline", ""],
      [{ baseline: "/etc/hosts", maxDrop: 0.5 }, "baseline", "/etc/hosts"],
      [{ baseline: "/etc/./hosts", maxDrop: 0.5 }, "baseline", "/etc/./hosts"],
      [{ maxMode: 0o1777 }, "maxMode", 0o1777],
      [{ timeout: 0 }, "timeout", 0],
      [{ exists: true }, "exists", true]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => make({ path: "/etc/hosts", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["FileProbe", option, value])
    }
  })
})

describe.skipIf(TestMount.isHungMissing())("FileProbe and a hung mount", () => {
  it.live(
    "eight probes of it are inconclusive each time; others are not, and the process still reads other files",
    () =>
      Effect.gen(function* () {
        const { path } = yield* TestMount.hung
        const program = Path.join(import.meta.dirname, "fixtures/hungMount.ts")
        const args = [program, Path.join(path, "file"), yield* TestFolder.make]
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => ChildProcess.spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })),
          // It ends with the mount; nobody waits for it before.
          ({ exitCode, pid }) =>
            Effect.sync(() => {
              if (pid !== undefined && exitCode === null) process.kill(pid, "SIGKILL")
            })
        )
        let said = ""
        child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
        const all = Effect.sync(() => (said.endsWith("]") ? said : undefined))
        assert.strictEqual(yield* eventually("it has said all", all), '["Inconclusive","Healthy"]')
      })
  )
})

type Any =
  | FileProbe.Missing
  | FileProbe.WrongType
  | FileProbe.TooSmall
  | FileProbe.SizeDrop
  | FileProbe.TooOld
  | FileProbe.Permissions

probeContract<Any>("FileProbe", {
  situations: {
    Healthy: Effect.map(file(1), (path) => make({ path, minSize: 1, maxDrop: 0.5, maxAge: "1 hour", maxMode: 0o777 })),
    "File/Missing": Effect.map(file(1), (path) => make({ path: `${path}.bak` })),
    "File/WrongType": Effect.map(file(1), (path) => make({ path, type: "folder" })),
    "File/TooSmall": Effect.map(file(0), (path) => make({ path, minSize: 1 })),
    "File/SizeDrop": Effect.gen(function* () {
      const path = yield* file(3641)
      const baseline = `${path}.baseline`
      const probe = make({ path, maxDrop: 0.5, baseline })
      yield* probe.check
      yield* resize(path, 423)
      return probe
    }),
    "File/TooOld": Effect.map(modifiedAt(1000), (path) => make({ path, maxAge: "1 hour" })),
    "File/Permissions": Effect.map(file(1), (path) => {
      Fs.chmodSync(path, 0o666)
      return make({ path, maxMode: 0o600 })
    })
  }
})
