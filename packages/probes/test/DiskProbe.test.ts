import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import { kill } from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestMount from "@nexobot/testing/TestMount"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as DiskProbe from "../src/DiskProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

type Options = Partial<DiskProbe.DiskProbeOptions>

const probing = (path: string, options: Options = {}) => DiskProbe.make({ name: "disk", path, ...options })

/** A disk of 100 kB and 20 files (one is its folder), of which so much is taken. */
const disk = (bytes: number, files = 1) =>
  Effect.tap(TestMount.tmpfs({ size: 102_400, inodes: 20 }), ({ path }) =>
    Effect.sync(() => {
      Fs.writeFileSync(Path.join(path, "0"), Buffer.alloc(bytes))
      for (let index = 1; index < files; index += 1) Fs.writeFileSync(Path.join(path, `${index}`), "")
    })
  )

const summary = (verdict: Verdict.Verdict<Verdict.Signature>) =>
  "signature" in verdict ? `${verdict._tag} ${verdict.signature._tag}` : verdict._tag

const noDisks = TestMount.isMissing()
const noHungDisks = TestMount.isHungMissing()

/** Programs that wait for an answer about this path, and their states. */
const asking = (path: string) =>
  Effect.gen(function* () {
    const table = yield* ProcessTable
    const found: Array<string> = []
    for (const { pid, state } of yield* table.all) {
      if (/^(stat|readlink) /.test(yield* table.commandLine(pid)) && (yield* table.commandLine(pid)).endsWith(path)) {
        found.push(state)
      }
    }
    return found
  })

describe.skipIf(noDisks)("DiskProbe: space and inodes", () => {
  const levels: ReadonlyArray<readonly [Options, expected: string]> = [
    [{}, "Healthy"],
    [{ minFree: 20_480, degradedFree: 20_481 }, "Degraded Disk/SpaceLow"],
    [{ minFree: 20_481 }, "Unhealthy Disk/SpaceLow"],
    [{ minFree: "20%" }, "Healthy"],
    [{ minFree: "20.1%" }, "Unhealthy Disk/SpaceLow"],
    [{ degradedFree: "20.1%" }, "Degraded Disk/SpaceLow"],
    [{ minFree: "1%", degradedFree: 30_000 }, "Degraded Disk/SpaceLow"],
    [{ minInodes: 10, degradedInodes: "50%" }, "Healthy"],
    [{ minInodes: 11 }, "Unhealthy Disk/InodesLow"],
    [{ degradedInodes: "51%" }, "Degraded Disk/InodesLow"],
    // The worst one is told.
    [{ degradedFree: "90%", minInodes: 11 }, "Unhealthy Disk/InodesLow"]
  ]
  for (const [options, expected] of levels) {
    it.live(`${JSON.stringify(options)}: ${expected}, with 20 % and 10 inodes free`, () =>
      Effect.gen(function* () {
        const { path } = yield* disk(81_920, 9)
        assert.strictEqual(summary(yield* probing(path, options).check), expected)
      })
    )
  }

  it.live("says how much is left, for a path within the disk too", () =>
    Effect.gen(function* () {
      const { path } = yield* disk(102_400)
      assert.deepStrictEqual(
        yield* probing(Path.join(path, "0"), { minFree: 1 }).check,
        Verdict.unhealthy(new DiskProbe.SpaceLow({ path: `${path}/0`, free: 0, total: 102_400 }), [
          `${path}/0: 0 of 102400 bytes are free (0.0 %)`
        ])
      )
      assert.deepStrictEqual(
        signatureOf(yield* probing(path, { minInodes: "95%" }).check),
        new DiskProbe.InodesLow({ path, free: 18, total: 20 })
      )
    })
  )

  it.live("a file system without space and inodes of its own has enough", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* probing("/proc", { minFree: "99%", minInodes: "99%" }).check, Verdict.healthy)
    })
  )
})

describe.skipIf(noDisks)("DiskProbe: a disk that may not be written", () => {
  it.live("ReadOnly, if it has to be writable; its mount is named, for a path behind a link too", () =>
    Effect.gen(function* () {
      const mount = yield* TestMount.tmpfs({ readOnly: true })
      yield* TestMount.programsInside(mount, ["sh", "stat"])
      const link = Path.join(yield* TestFolder.make, "link")
      Fs.symlinkSync(mount.inside, link)
      for (const path of [mount.inside, link]) {
        assert.deepStrictEqual(
          yield* probing(path, { writable: true }).check,
          Verdict.unhealthy(new DiskProbe.ReadOnly({ path, mount: mount.inside }), [
            `${path}: ${mount.inside} is mounted to be read only`
          ])
        )
        assert.deepStrictEqual(yield* probing(path).check, Verdict.healthy)
      }
      assert.deepStrictEqual(yield* probing(Path.dirname(mount.inside), { writable: true }).check, Verdict.healthy)
    })
  )

  it.live("a disk that may be written is healthy, whatever is mounted beside it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* probing(yield* TestFolder.make, { writable: true }).check, Verdict.healthy)
    })
  )
})

describe("DiskProbe: what cannot be asked", () => {
  it.live("nothing at the path: Missing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      Fs.writeFileSync(Path.join(folder, "file"), "")
      Fs.symlinkSync("loop", Path.join(folder, "loop"))
      for (const [name, code] of [
        ["nowhere: Permission denied", "ENOENT"],
        ["file/below", "ENOTDIR"],
        ["loop", "ELOOP"],
        ["-f", "ENOENT"]
      ] as const) {
        const path = Path.join(folder, name)
        assert.deepStrictEqual(
          yield* probing(path, { writable: true }).check,
          Verdict.unhealthy(new DiskProbe.Missing({ path, code }), [`${path} is not there (${code})`])
        )
      }
    })
  )

  it.live("without helpers, and with helpers that say nonsense, it says nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* TestMount.onPath(folder)
      const saying = (text: string) => {
        Fs.writeFileSync(Path.join(folder, "stat"), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
        return probing("/").check
      }
      assert.deepStrictEqual(yield* saying("echo nonsense"), Verdict.inconclusive("/: stat said nonsense"))
      assert.deepStrictEqual(
        yield* saying("echo \"stat: cannot stat '/': Permission denied\" >&2; exit 1"),
        Verdict.inconclusive("/: this process may not (EACCES)")
      )
      assert.deepStrictEqual(
        yield* saying("echo 'password=hunter2 what?' >&2; exit 1"),
        Verdict.inconclusive("/: password=<redacted> what?")
      )
      assert.strictEqual((yield* saying("yes"))._tag, "Inconclusive")
      // Put back with the rest of PATH.
      process.env["PATH"] = folder
      Fs.rmSync(Path.join(folder, "stat"))
      assert.deepStrictEqual(yield* probing("/").check, Verdict.inconclusive("stat cannot be started: ENOENT"))
    })
  )
})

describe.skipIf(noHungDisks)("DiskProbe: a disk that hangs", () => {
  it.live("Hung, in time, with one helper however often it is asked; ENOTCONN when it is given up", () =>
    Effect.gen(function* () {
      const { asked, holder, path } = yield* TestMount.hung
      const probe = probing(path, { timeout: "300 millis" })
      const first = yield* Effect.forkChild(probe.check, { startImmediately: true })
      yield* asked
      const hung = Verdict.unhealthy(new DiskProbe.Hung({ path, after: Duration.millis(300) }), [
        `${path}: the disk does not answer`
      ])
      assert.deepStrictEqual(yield* Fiber.join(first), hung)
      // It may be on its way back into its wait, which not even SIGKILL ends.
      yield* eventually(
        "one helper waits for the disk",
        Effect.map(asking(path), (states) => (states.join() === "D" ? true : undefined))
      )
      assert.deepStrictEqual(yield* Effect.all([probe.check, probe.check], { concurrency: 2 }), [hung, hung])
      assert.deepStrictEqual(yield* probe.check, hung)
      assert.lengthOf(yield* asking(path), 1, "no second one was started")
      yield* kill(holder)
      const gone = yield* eventually(
        "the disk is there no more",
        Effect.map(probe.check, (verdict) => (summary(verdict) === "Unhealthy Disk/Hung" ? undefined : verdict))
      )
      assert.strictEqual(summary(gone), "Unhealthy Disk/Missing")
      assert.deepStrictEqual(yield* asking(path), [])
    })
  )

  it.live("holds no thread of this process: files of other disks are read all the while", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.hung
      // As many as Node has threads for files, and more.
      const probes = Array.from({ length: 6 }, () => probing(path, { timeout: "200 millis", writable: true }))
      const checks = yield* Effect.forkChild(
        Effect.forEach(probes, (probe) => probe.check, { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      const here = import.meta.filename
      const reads = Array.from({ length: 20 }, () => Effect.promise(() => Fs.promises.readFile(here, "utf8")))
      assert.strictEqual((yield* Effect.all(reads, { concurrency: "unbounded" })).length, 20)
      const found = yield* Fiber.join(checks)
      assert.deepStrictEqual([...new Set(found.map(summary))], ["Unhealthy Disk/Hung"])
      assert.strictEqual((yield* Effect.all(reads, { concurrency: "unbounded" })).length, 20)
    })
  )
})

describe("DiskProbe.make", () => {
  it("says what it looks at, and asks the same as its like", () => {
    const probe = probing("/var", { minFree: "5%" })
    assert.deepInclude(probe, { target: "disk:/var", reach: "host", effects: "none", duringStartup: "judged" })
    assert.isDefined(probe.asks)
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ path: "" }, "path"],
      [{ minFree: 0 }, "minFree"],
      [{ minFree: 1.5 }, "minFree"],
      [{ minFree: "0%" }, "minFree"],
      [{ minFree: "100%" }, "minFree"],
      [{ minFree: "many%" }, "minFree"],
      [{ minFree: "5" }, "minFree"],
      [{ minFree: 10, degradedFree: 10 }, "degradedFree"],
      [{ minInodes: "10%", degradedInodes: "9%" }, "degradedInodes"],
      [{ writable: "yes" }, "writable"],
      [{ timeout: 0 }, "timeout"],
      [{ minfree: 1 }, "minfree"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => probing("/", options))
      assert.deepStrictEqual([error.module, error.option], ["DiskProbe", option])
    }
  })

  it("finds what its options ask for, and its type says so", () => {
    const bare = DiskProbe.make({ name: "disk", path: "/" })
    expectTypeOf<Probe.Signatures<typeof bare>>().toEqualTypeOf<DiskProbe.Hung | DiskProbe.Missing>()
    const reading = DiskProbe.make({ name: "disk", path: "/", degradedFree: "5%", writable: false })
    expectTypeOf<Probe.Signatures<typeof reading>>().toEqualTypeOf<
      DiskProbe.Hung | DiskProbe.Missing | DiskProbe.SpaceLow
    >()
    const full = DiskProbe.make({ name: "disk", path: "/", minFree: 1, minInodes: "1%", writable: true })
    expectTypeOf<Probe.Signatures<typeof full>>().toEqualTypeOf<
      DiskProbe.Hung | DiskProbe.Missing | DiskProbe.SpaceLow | DiskProbe.InodesLow | DiskProbe.ReadOnly
    >()
    assert.deepStrictEqual(
      [bare, reading, full].map((probe) => probe.reports.length),
      [2, 3, 5]
    )
    // @ts-expect-error no such option
    assert.throws(() => DiskProbe.make({ name: "disk", path: "/", minimum: 1 }))
  })
})

/** A program in place of the system's. */
const standIn = (name: string, script: string) =>
  Effect.gen(function* () {
    const folder = yield* TestFolder.make
    Fs.writeFileSync(Path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    yield* TestMount.onPath(folder)
  })

const timeout = "20 seconds"

/** Where nothing may be mounted, programs say what the kernel would. */
const readOnly = noDisks
  ? Effect.as(standIn("sh", "echo '1 0 0:1 / / ro - ext4 /dev/vda ro'; echo; echo /"), probing("/", { writable: true }))
  : Effect.gen(function* () {
      const mount = yield* TestMount.tmpfs({ readOnly: true })
      yield* TestMount.programsInside(mount, ["sh", "stat"])
      return probing(mount.inside, { writable: true, timeout })
    })

const hungFor = (within: Duration.Input) =>
  noHungDisks
    ? Effect.as(standIn("stat", "exec sleep 600"), probing("/", { timeout: within }))
    : Effect.map(TestMount.hung, ({ path }) => probing(path, { timeout: within }))

probeContract<DiskProbe.Found<DiskProbe.DiskProbeOptions>>("DiskProbe", {
  // In this order: what stands in for a program does so for those that follow in the same test.
  situations: {
    Healthy: Effect.sync(() => probing("/", { minFree: 1, minInodes: 1, timeout })),
    "Disk/Missing": Effect.sync(() => probing("/nowhere/at/all", { timeout })),
    "Disk/ReadOnly": readOnly,
    "Disk/Hung": hungFor("50 millis"),
    "Disk/SpaceLow": Effect.as(standIn("stat", "echo 1 1000 9 1000 500"), probing("/", { minFree: 10, timeout })),
    "Disk/InodesLow": Effect.as(standIn("stat", "echo 1 1000 900 1000 5"), probing("/", { minInodes: 10, timeout })),
    Inconclusive: Effect.as(standIn("stat", ":"), probing("/", { timeout }))
  },
  waiting: hungFor("1 minute")
})
