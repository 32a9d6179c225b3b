import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import { kill } from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestMount from "@nexobot/testing/TestMount"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as IoStallProbe from "../src/IoStallProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

type Options = Partial<IoStallProbe.IoStallProbeOptions>

const probing = (path: string, options: Options = {}) => IoStallProbe.make({ name: "io", path, ...options })

const refused = (path: string, code: string) =>
  Verdict.unhealthy(new IoStallProbe.Refused({ path, code }), [`${path} takes nothing that is written (${code})`])

/** A program in place of the system's. */
const standIn = (name: string, script: string) =>
  Effect.gen(function* () {
    const folder = yield* TestFolder.make
    Fs.writeFileSync(Path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    yield* TestMount.onPath(folder)
  })

const isEmpty = (folder: string) =>
  eventually(
    `nothing is left in ${folder}`,
    Effect.sync(() => (Fs.readdirSync(folder).length === 0 ? true : undefined))
  )

const noDisks = TestMount.isMissing()
const noHungDisks = TestMount.isHungMissing()

describe("IoStallProbe", () => {
  it.live("a disk that takes it is healthy, and nothing is left there", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      Fs.writeFileSync(Path.join(folder, "other"), "x")
      assert.deepStrictEqual(yield* probing(folder).check, Verdict.healthy)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["other"])
    })
  )

  it.live("slower than it should be: Slow; as slow as it may be: healthy", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* standIn("dd", 'echo "4096 bytes (4.1 kB, 4.0 KiB) copied, 1.5 s, 2.7 kB/s" >&2')
      assert.deepStrictEqual(
        yield* probing(folder, { degradedAfter: "1499 millis" }).check,
        Verdict.degraded(
          new IoStallProbe.Slow({
            path: folder,
            took: Duration.millis(1500),
            degradedAfter: Duration.millis(1499)
          }),
          [`${folder} took 1s 500ms`]
        )
      )
      assert.deepStrictEqual(yield* probing(folder, { degradedAfter: "1500 millis" }).check, Verdict.healthy)
      assert.deepStrictEqual(yield* probing(folder).check, Verdict.healthy)
    })
  )

  it.live.skipIf(noDisks)("a full, a read-only and a broken disk refuse it", () =>
    Effect.gen(function* () {
      const full = yield* TestMount.tmpfs({ size: 65_536 })
      Fs.writeFileSync(Path.join(full.path, "all"), Buffer.alloc(65_536))
      assert.deepStrictEqual(yield* probing(full.path).check, refused(full.path, "ENOSPC"))
      assert.deepStrictEqual(Fs.readdirSync(full.path), ["all"])
      const none = yield* TestMount.tmpfs({ inodes: 1 })
      assert.deepStrictEqual(yield* probing(none.path).check, refused(none.path, "ENOSPC"))
      const readOnly = yield* TestMount.tmpfs({ readOnly: true })
      assert.deepStrictEqual(yield* probing(readOnly.path).check, refused(readOnly.path, "EROFS"))
    })
  )

  it.live("a folder that is not there, and a file in its place, refuse it", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const nowhere = Path.join(folder, "No space left on device")
      assert.deepStrictEqual(yield* probing(nowhere).check, refused(nowhere, "ENOENT"))
      Fs.writeFileSync(nowhere, "")
      // Some shells have one word for both.
      const signature = signatureOf(yield* probing(nowhere).check)
      assert.include(["ENOTDIR", "ENOENT"], signature._tag === "Io/Refused" ? signature.code : signature._tag)
    })
  )

  it.live("an error of the disk comes only when it flushes: refused", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* standIn("dd", "echo \"dd: fsync failed for 'standard output': Input/output error\" >&2; exit 1")
      assert.deepStrictEqual(yield* probing(folder).check, refused(folder, "EIO"))
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.live.skipIf(Binary.skipWithout("strace", "apt-get install strace"))(
    "it is flushed: the first time, and when a file is left and written again",
    () =>
      Effect.gen(function* () {
        const folder = yield* TestFolder.make
        const trace = Path.join(yield* TestFolder.make, "trace")
        yield* standIn("rm", "exit 1")
        yield* standIn("dd", `exec strace -A -o ${trace} -e trace=fsync ${Binary.find("dd")} "$@"`)
        const probe = probing(folder)
        for (const time of [1, 2]) {
          assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
          assert.strictEqual(Fs.readFileSync(trace, "utf8").match(/^fsync\(1\) += 0$/gm)?.length, time)
        }
      })
  )

  it.live("a folder that is not for this process says nothing of the disk", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* standIn("dd", "echo \"dd: failed to open 'x': Permission denied\" >&2; exit 1")
      assert.deepStrictEqual(
        yield* probing(folder).check,
        Verdict.inconclusive(`${folder}: this process may not (EACCES)`)
      )
    })
  )

  it.live("writes to the folder that the system finds by the name, also behind a link", () =>
    Effect.gen(function* () {
      const [folder, other] = [yield* TestFolder.make, yield* TestFolder.make]
      Fs.mkdirSync(Path.join(other, "below"))
      Fs.symlinkSync(Path.join(other, "below"), Path.join(folder, "link"))
      yield* standIn("rm", "exit 1")
      assert.deepStrictEqual(yield* probing(`${folder}/link/..`).check, Verdict.healthy)
      assert.deepStrictEqual([Fs.readdirSync(folder).length, Fs.readdirSync(other).length], [1, 2])
    })
  )

  it.live("without helpers, and with ones that say nonsense, it says nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* standIn("dd", 'echo "password=hunter2 done" >&2')
      assert.deepStrictEqual(
        yield* probing(folder, { degradedAfter: "1 second" }).check,
        Verdict.inconclusive(`${folder}: dd said password=<redacted> done`)
      )
      assert.deepStrictEqual(yield* probing(folder).check, Verdict.healthy, "how long it took was not asked")
      // Put back with the rest of PATH.
      process.env["PATH"] = folder
      assert.deepStrictEqual(yield* probing(folder).check, Verdict.inconclusive("no helper can be started: ENOENT"))
    })
  )

  it.live("its own file, which could not be removed, is written again, and removed when it can be", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const probe = probing(folder)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* standIn("rm", "exit 1")
          assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
          const [left = ""] = Fs.readdirSync(folder)
          const { ino, mtimeNs, size } = Fs.statSync(Path.join(folder, left), { bigint: true })
          assert.strictEqual(size, 4096n)
          assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
          assert.deepStrictEqual(Fs.readdirSync(folder), [left])
          const after = Fs.statSync(Path.join(folder, left), { bigint: true })
          assert.deepStrictEqual([after.ino, after.mtimeNs > mtimeNs], [ino, true])
        })
      )
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.live("what somebody else puts in the place of its file is not written", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const precious = Path.join(yield* TestFolder.make, "precious")
      Fs.writeFileSync(precious, "precious")
      const probe = probing(folder)
      yield* Effect.scoped(Effect.andThen(standIn("rm", "exit 1"), probe.check))
      const [left = ""] = Fs.readdirSync(folder)
      Fs.rmSync(Path.join(folder, left))
      Fs.symlinkSync(precious, Path.join(folder, left))
      assert.deepStrictEqual(yield* probe.check, refused(folder, "EEXIST"))
      assert.strictEqual(Fs.readFileSync(precious, "utf8"), "precious")
      // The link was in its place, and went.
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.live("probes of one folder are not in the way of each other", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const probes = Array.from({ length: 10 }, () => probing(folder))
      const found = yield* Effect.forEach(probes, (probe) => probe.check, { concurrency: "unbounded" })
      assert.deepStrictEqual([...new Set(found.map(({ _tag }) => _tag))], ["Healthy"])
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.live("an interrupted check leaves no file and no helper", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* standIn("dd", "exec sleep 600")
          const check = yield* Effect.forkChild(probing(folder).check, { startImmediately: true })
          yield* eventually(
            "its file is there",
            Effect.sync(() => Fs.readdirSync(folder)[0])
          )
          yield* Fiber.interrupt(check)
        })
      )
      yield* isEmpty(folder)
    })
  )
})

describe("IoStallProbe: a disk that takes nothing", () => {
  it.live.skipIf(TestMount.isFrozenMissing())("is Stalled, and healthy and clean when it goes on", () =>
    Effect.gen(function* () {
      const { path, thaw } = yield* TestMount.frozen
      const probe = probing(path, { timeout: "200 millis" })
      const stalled = Verdict.unhealthy(new IoStallProbe.Stalled({ path, after: Duration.millis(200) }), [
        `${path} does not take what is written in time`
      ])
      assert.deepStrictEqual(yield* probe.check, stalled)
      assert.deepStrictEqual(yield* probe.check, stalled)
      yield* thaw
      yield* eventually(
        "it takes it again",
        Effect.map(probe.check, (verdict) => (verdict._tag === "Healthy" ? verdict : undefined))
      )
      yield* eventually(
        "its file is gone",
        Effect.sync(() => (Fs.readdirSync(path).join() === "lost+found" ? true : undefined))
      )
    })
  )

  it.live.skipIf(noHungDisks)("is Stalled where nothing is answered at all, and refused once it is given up", () =>
    Effect.gen(function* () {
      const { asked, holder, path } = yield* TestMount.hung
      const probe = probing(path, { timeout: "200 millis" })
      const first = yield* Effect.forkChild(probe.check, { startImmediately: true })
      yield* asked
      assert.strictEqual(signatureOf(yield* Fiber.join(first))._tag, "Io/Stalled")
      assert.strictEqual(signatureOf(yield* probe.check)._tag, "Io/Stalled")
      yield* kill(holder)
      const after = yield* eventually(
        "nobody hangs any more",
        Effect.map(probe.check, (verdict) =>
          signatureOf(verdict)._tag === "Io/Stalled" ? undefined : signatureOf(verdict)
        )
      )
      assert.strictEqual(after._tag, "Io/Refused")
    })
  )
})

describe("IoStallProbe.make", () => {
  it("says what it does", () => {
    const probe = probing("/var")
    assert.deepInclude(probe, { target: "io:/var", reach: "host", effects: "own-file", duringStartup: "judged" })
    assert.isDefined(probe.asks)
  })

  it("refuses options that cannot work, and names them", () => {
    const refusals: ReadonlyArray<readonly [object, string]> = [
      [{ path: "" }, "path"],
      [{ degradedAfter: 0 }, "degradedAfter"],
      [{ degradedAfter: "10 seconds" }, "degradedAfter"],
      [{ degradedAfter: "1 second", timeout: "1 second" }, "degradedAfter"],
      [{ timeout: 0 }, "timeout"],
      [{ file: "/x" }, "file"]
    ]
    for (const [options, option] of refusals) {
      const error = refusal(() => probing("/", options))
      assert.deepStrictEqual([error.module, error.option], ["IoStallProbe", option])
    }
  })

  it("finds what its options ask for, and its type says so", () => {
    const bare = IoStallProbe.make({ name: "io", path: "/" })
    expectTypeOf<Probe.Signatures<typeof bare>>().toEqualTypeOf<IoStallProbe.Stalled | IoStallProbe.Refused>()
    const timed = IoStallProbe.make({ name: "io", path: "/", degradedAfter: "1 second" })
    expectTypeOf<Probe.Signatures<typeof timed>>().toEqualTypeOf<
      IoStallProbe.Stalled | IoStallProbe.Refused | IoStallProbe.Slow
    >()
    assert.deepStrictEqual([bare.reports.length, timed.reports.length], [2, 3])
  })
})

const inFolder = (options: Options) => Effect.map(TestFolder.make, (folder) => probing(folder, options))

probeContract<IoStallProbe.Found<IoStallProbe.IoStallProbeOptions>>("IoStallProbe", {
  situations: {
    Healthy: inFolder({ timeout: "20 seconds" }),
    "Io/Slow": inFolder({ degradedAfter: "1 micros", timeout: "20 seconds" }),
    "Io/Stalled": Effect.andThen(standIn("dd", "exec sleep 600"), inFolder({ timeout: "50 millis" })),
    "Io/Refused": Effect.sync(() => probing("/nowhere/at/all", { timeout: "20 seconds" })),
    Inconclusive: Effect.andThen(standIn("dd", ":"), inFolder({ degradedAfter: "1 second", timeout: "20 seconds" }))
  },
  waiting: Effect.andThen(standIn("dd", "exec sleep 600"), inFolder({ timeout: "1 minute" }))
})
