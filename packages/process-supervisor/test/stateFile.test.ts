import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

import { eventually } from "../../testing/src/Expect.ts"
import * as ProcessFault from "../../testing/src/ProcessFault.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestMount from "../../testing/src/TestMount.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as StateFile from "../src/internal/stateFile.ts"
import { stateful } from "./stateSupport.ts"

const id = "stack"

const entry = (pid: number, more: Partial<StateFile.Remembered> = {}): StateFile.Remembered => ({
  name: "web",
  identity: { pid, startTime: 100 + pid, bootId: "boot" },
  mode: "survive",
  spec: "abc",
  restarts: 0,
  life: 1,
  since: 1_700_000_000_000,
  ...more
})

const fileIn = (folder: string): string => Path.join(folder, `${id}.state.json`)
const lockIn = (folder: string): string => Path.join(folder, `${id}.lock`)

const asideIn = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(folder).filter((name) => name.startsWith(`${id}.state.json.damaged-`))

/** One life: opened, used and closed in good order. */
const life = <A>(folder: string, use: (file: StateFile.StateFile) => A) =>
  Effect.scoped(Effect.map(StateFile.open(folder, id), use))

const earlierIn = (folder: string) => life(folder, ({ earlier }) => earlier)

/** A state file as written by a process that is gone, with these children. */
const leave = Effect.fnUntraced(function* (folder: string, children: ReadonlyArray<StateFile.Remembered>) {
  yield* life(folder, ({ remember }) => children.forEach(remember))
  return Fs.readFileSync(fileIn(folder), "utf8")
})

/** What this other process remembers, until it is killed: one child, which it has really started. */
const web = {
  label: "web",
  name: "web",
  life: 1,
  mode: "survive",
  spec: "abc",
  cookie: true,
  script: "exec sleep 600"
} as const

const another = (folder: string) => stateful(folder, id, [web])

describe("StateFile", () => {
  it.live("remembers for the next life, and forgets", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* TestFolder.make, "state")
      yield* life(folder, ({ earlier, forget, remember, setAside }) => {
        assert.deepStrictEqual([earlier, setAside], [[], undefined])
        remember(entry(11))
        remember(entry(12, { name: "worker" }))
        remember(entry(13, { life: 2, mode: "die" }))
        remember(entry(13, { life: 2, mode: "die", restarts: 7 }))
        forget("worker", entry(12).identity)
        forget("nobody", entry(11).identity)
      })
      const expected = [entry(11), entry(13, { life: 2, mode: "die", restarts: 7 })]
      assert.deepStrictEqual(yield* earlierIn(folder), expected)
      assert.strictEqual(Fs.statSync(fileIn(folder)).mode & 0o777, 0o600)
      assert.strictEqual(Fs.statSync(folder).mode & 0o777, 0o700)
      // A life that neither adopts nor forgets leaves them to the next one.
      assert.deepStrictEqual(yield* earlierIn(folder), expected)
      yield* life(folder, ({ earlier, forget }) => earlier.forEach(({ identity, name }) => forget(name, identity)))
      assert.deepStrictEqual(yield* earlierIn(folder), [])
      assert.deepStrictEqual(Fs.readdirSync(folder), [`${id}.state.json`])
    })
  )

  it.live("is written behind: what is remembered counts at once, and is on the disk after a flush", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const { flush, forget, remember } = yield* StateFile.open(folder, id)
      for (let pid = 2; pid < 502; pid++) remember(entry(pid))
      for (let pid = 3; pid < 502; pid++) forget("web", entry(pid).identity)
      yield* flush
      const text = Fs.readFileSync(fileIn(folder), "utf8")
      assert.match(text, /^\{"version":1,"checksum":"[0-9a-f]{8}","state":\{"id":"stack","supervisor":\{"pid":\d+,/)
      assert.strictEqual(text.match(/"name"/g)?.length, 1)
      yield* flush
    })
  )

  it.live("one at a time: the second is refused and told the pid of the first, in this process and in another", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { supervisor } = yield* another(folder)
          const error = yield* Effect.flip(StateFile.open(folder, id))
          assert.strictEqual(error._tag === "StateFileError" && error.reason._tag, "Held")
          assert.include(error.message, `as process ${supervisor.pid}`)
          assert.include(error.message, "give this one another id")
          // Another id is another supervisor.
          yield* StateFile.open(folder, "other")
        })
      )
      yield* StateFile.open(folder, id)
      const error = yield* Effect.flip(StateFile.open(folder, id))
      assert.include(error.message, `as process ${process.pid}`)
    })
  )

  it.live("acceptance(process-supervisor 10): a lock of a killed supervisor or of another boot is taken over", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const { crash, started } = yield* another(folder)
      yield* crash
      assert.isTrue(Fs.existsSync(lockIn(folder)))
      // What it remembered is there as well.
      const remembers = Effect.map(earlierIn(folder), (earlier) => earlier.map(({ identity }) => identity))
      assert.deepStrictEqual(yield* remembers, [started["web"]])

      // The pid in a lock of another boot may belong to anybody by now: here to somebody who lives.
      const stranger = yield* TestProcess.idle
      Fs.writeFileSync(lockIn(folder), JSON.stringify({ ...stranger, bootId: "an-earlier-boot" }))
      assert.deepStrictEqual(yield* remembers, [started["web"]])
      yield* ProcessFault.staleLock(lockIn(folder), stranger)
      assert.deepStrictEqual(yield* remembers, [started["web"]])
      assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
    })
  )

  it.live("is not fooled by a lock that was removed by hand: the state names a supervisor that lives", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const { supervisor } = yield* another(folder)
      const before = Fs.readFileSync(fileIn(folder), "utf8")
      Fs.rmSync(lockIn(folder))
      const error = yield* Effect.flip(StateFile.open(folder, id))
      assert.include(error.message, `as process ${supervisor.pid}`)
      assert.strictEqual(Fs.readFileSync(fileIn(folder), "utf8"), before)
    })
  )

  it.live("a file that cannot be believed is set aside, kept, and told of; the start goes on", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const good = yield* leave(folder, [entry(11), entry(12, { name: "worker" })])
      const withVersion = (version: number) => good.replace('"version":1', `"version":${version}`)
      const cases: ReadonlyArray<readonly [text: string, why: RegExp]> = [
        ["", /cut or damaged/],
        [good.slice(0, -20), /cut or damaged/],
        [good.replace('"pid":11', '"pid":13'), /^it is damaged/],
        [good.replace('"state":{', '"state":{"more":1,'), /^it is damaged/],
        [withVersion(2), /version 2, and this program knows version 1/],
        ["{}", /cut or damaged/],
        ["null", /cut or damaged/],
        ["\0".repeat(5000), /cut or damaged/],
        [`${" ".repeat(5_000_000)}${good}`, /more than 4194304 bytes/]
      ]
      for (const [index, [text, why]] of cases.entries()) {
        Fs.writeFileSync(fileIn(folder), text)
        const found = yield* life(folder, ({ earlier, setAside }) => ({ earlier, setAside }))
        assert.deepStrictEqual(found.earlier, [], text.slice(0, 100))
        assert.match(found.setAside?.why ?? "", why)
        assert.strictEqual(Fs.readFileSync(found.setAside?.path ?? "", "utf8"), text)
        assert.lengthOf(asideIn(folder), index + 1)
        assert.deepStrictEqual(yield* earlierIn(folder), [])
      }
    })
  )

  it.effect.prop(
    "is read as it was written; one character that differs, or what is cut off, is enough to refuse it",
    {
      names: Schema.Array(Schema.NonEmptyString).check(Schema.isMaxLength(4)),
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
      isCut: Schema.Boolean
    },
    ({ at, isCut, names }) =>
      Effect.sync(() => {
        const state = { id, children: names.map((name, index) => entry(11 + index, { name })) }
        const good = StateFile.encode(state)
        assert.deepStrictEqual(StateFile.decode(good, id), state)
        const place = at % (good.length - 1)
        const other = good[place] === "7" ? "8" : "7"
        const bad = isCut ? good.slice(0, place) : `${good.slice(0, place)}${other}${good.slice(place + 1)}`
        assert.isString(StateFile.decode(bad, id))
      })
  )

  it.live("nor is one that somebody else could have written, or that is no file", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const path = fileIn(folder)
      const good = yield* leave(folder, [entry(11)])
      const elsewhere = Path.join(folder, "elsewhere")
      Fs.writeFileSync(elsewhere, good)
      const cases: ReadonlyArray<readonly [make: () => void, why: RegExp]> = [
        [() => Fs.writeFileSync(path, good, { mode: 0o666 }), /others can write it/],
        [() => Fs.symlinkSync(elsewhere, path), /not a file/],
        [() => Fs.mkdirSync(path), /not a file/],
        [() => void ChildProcess.spawnSync("mkfifo", [path]), /not a file/],
        ...(process.getuid?.() === 0
          ? [
              [
                () => (Fs.writeFileSync(path, good, { mode: 0o600 }), Fs.chownSync(path, 12345, 0)),
                /user 12345/
              ] as const
            ]
          : [])
      ]
      const before = process.umask(0)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
      for (const [make, why] of cases) {
        Fs.rmSync(path, { recursive: true, force: true })
        make()
        const found = yield* life(folder, ({ earlier, setAside }) => ({ earlier, setAside }))
        assert.deepStrictEqual(found.earlier, [])
        assert.match(found.setAside?.why ?? "", why)
      }
      assert.lengthOf(asideIn(folder), cases.length)
      // A copy under another name is of another supervisor.
      Fs.writeFileSync(Path.join(folder, "copy.state.json"), good, { mode: 0o600 })
      assert.match((yield* StateFile.open(folder, "copy")).setAside?.why ?? "", /another supervisor/)
    })
  )

  it.live("refuses what names the first process, a group, or nobody", () =>
    Effect.gen(function* () {
      for (const pid of [1, 0, -5]) {
        const folder = yield* TestFolder.make
        yield* leave(folder, [entry(pid)])
        assert.match(yield* life(folder, ({ setAside }) => setAside?.why ?? ""), /^it is damaged/)
      }
    })
  )

  it.live("a folder that cannot be used is a typed refusal that says why", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      Fs.writeFileSync(Path.join(folder, "file"), "")
      for (const bad of [Path.join(folder, "no", "where"), Path.join(folder, "file"), "/proc/nowhere"]) {
        const error = yield* Effect.flip(Effect.scoped(StateFile.open(bad, id)))
        assert.strictEqual(error._tag === "StateFileError" && error.reason._tag, "Unusable")
        assert.include(error.message, bad)
      }
    })
  )

  it.live("keeps the earlier entries when it dies before it has judged them", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      yield* leave(folder, [entry(11)])
      const { crash, started } = yield* another(folder)
      yield* crash
      const pids = (yield* earlierIn(folder)).map(({ identity }) => identity.pid)
      assert.deepStrictEqual(pids, [11, started["web"]?.pid])
    })
  )

  it.live("killed while it writes, it leaves a file that is whole", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      for (const millis of [0, 7, 19]) {
        const { crash } = yield* stateful(folder, id, [], "busy")
        yield* Effect.sleep(millis)
        yield* crash
        const found = StateFile.decode(Fs.readFileSync(fileIn(folder), "utf8"), id)
        assert.isObject(found)
        yield* life(folder, ({ setAside }) => assert.isUndefined(setAside))
      }
    })
  )

  it.live("without a way to know itself it names nobody as its writer", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const table = yield* ProcessTable
      const hidden = Object.assign({}, table, { stat: () => Effect.undefined })
      const file = yield* Effect.provideService(StateFile.open(folder, id), ProcessTable, hidden)
      file.remember(entry(11))
      yield* file.flush
      assert.notInclude(Fs.readFileSync(fileIn(folder), "utf8"), '"supervisor"')
    })
  )
})

describe("StateFile on a bad disk", () => {
  it.live.skipIf(TestMount.isMissing())("a full one: it goes on, says so, and is written when there is space", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.tmpfs({ size: 65_536 })
      const folder = Path.join(path, "state")
      const file = yield* StateFile.open(folder, id)
      yield* file.flush
      const ballast = Path.join(path, "ballast")
      const fill = Effect.sync(() => {
        const fd = Fs.openSync(ballast, "w")
        try {
          for (;;) Fs.writeSync(fd, Buffer.alloc(4096))
        } catch {
          Fs.closeSync(fd)
        }
      })
      yield* fill
      const before = Fs.readFileSync(fileIn(folder), "utf8")
      file.remember(entry(11))
      yield* file.flush
      assert.include(file.problem() ?? "", "ENOSPC")
      assert.strictEqual(Fs.readFileSync(fileIn(folder), "utf8"), before)
      Fs.rmSync(ballast)
      yield* eventually(
        "it is written",
        Effect.sync(() => (file.problem() === undefined ? true : undefined))
      )
      assert.include(Fs.readFileSync(fileIn(folder), "utf8"), '"pid":11')
      assert.deepStrictEqual(
        Fs.readdirSync(folder).filter((name) => name.endsWith(".tmp")),
        []
      )
    })
  )

  it.live.skipIf(TestMount.isFrozenMissing())(
    "one that hangs holds up neither who remembers nor the end, and gets all when it answers",
    () =>
      Effect.gen(function* () {
        const mount = yield* TestMount.frozen
        yield* mount.thaw
        const folder = Path.join(mount.path, "state")
        const own = yield* Scope.make()
        const file = yield* Scope.provide(StateFile.open(folder, id), own)
        yield* file.flush
        const namespace = `--mount=/proc/${mount.holder.pid}/ns/mnt`
        ChildProcess.spawnSync("nsenter", [namespace, "fsfreeze", "-f", mount.inside])
        for (let round = 0; round < 10_000; round++) {
          file.remember(entry(11 + (round % 5), { restarts: round }))
          if (round % 1000 === 0) yield* Effect.sleep(0)
        }
        yield* Scope.close(own, Exit.void)
        assert.isTrue(Fs.existsSync(lockIn(folder)))
        yield* mount.thaw
        yield* eventually(
          "the lock is given back",
          Effect.sync(() => (Fs.existsSync(lockIn(folder)) ? undefined : true))
        )
        const left = yield* earlierIn(folder)
        assert.deepStrictEqual(
          left.map(({ restarts }) => restarts),
          [9995, 9996, 9997, 9998, 9999]
        )
      })
  )
})
