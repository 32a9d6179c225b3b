import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

import * as FileLeases from "../src/FileLeases.ts"
import { Leases } from "../src/Lease.ts"
import { isFree, leaseContract, Takers } from "./leaseContract.ts"
import { assertExclusive, holders } from "./leaseLog.ts"
import { child, exitOf, idle, refusal, temporaryFolder } from "./support.ts"

leaseContract(
  "a folder",
  Layer.effect(
    Takers,
    Effect.map(temporaryFolder, (parent) => {
      const folder = Path.join(parent, "made", "when missing")
      return Takers.of({ one: FileLeases.make({ folder }), other: FileLeases.make({ folder }) })
    })
  )
)

/** What `take` says, once it failed. */
const whyNot = (leases: Leases["Service"], resource: string) =>
  Effect.map(Effect.flip(Effect.scoped(leases.take(resource))), (error) => error.reason.why)

describe("FileLeases", () => {
  for (const [options, option] of [
    [{ folder: "" }, "folder"],
    [{ folder: 7 }, "folder"],
    [{}, "folder"],
    [{ folder: "/tmp", ttl: 5 }, "ttl"]
  ] as const) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      const bad = options as FileLeases.FileLeasesOptions
      assert.deepInclude(
        refusal(() => FileLeases.make(bad)),
        { module: "FileLeases", option }
      )
      assert.deepInclude(
        refusal(() => FileLeases.layer(bad)),
        { module: "FileLeases", option }
      )
    })
  }

  it.live("keeps to its folder, with names for its owner's eyes only", () =>
    Effect.gen(function* () {
      const parent = yield* temporaryFolder
      const folder = Path.join(parent, "leases")
      const leases = yield* Leases.pipe(Effect.provide(FileLeases.layer({ folder })))
      yield* leases.take("../escape")
      yield* leases.take("gateway")
      assert.deepStrictEqual(Fs.readdirSync(parent), ["leases"])
      const names = Fs.readdirSync(folder).toSorted()
      // Two of their owner, who listens beside its locks.
      assert.lengthOf(
        names.filter((name) => name.startsWith(".owner-")),
        2
      )
      const others = names.filter((name) => !name.startsWith(".owner-"))
      assert.deepStrictEqual(others, ["%2E%2E%2Fescape.fence", "%2E%2E%2Fescape.lock", "gateway.fence", "gateway.lock"])
      assert.strictEqual(Fs.statSync(folder).mode & 0o777, 0o700)
    })
  )

  it.live("grants a larger fence after its holder was killed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { next, start } = yield* holders
      const holder = yield* start("file", folder, 0)
      const { fence } = yield* next("a grant", 0, ({ event }) => event === "begin")
      const leases = FileLeases.make({ folder })
      assert.isFalse(yield* isFree(leases, "gateway"))
      holder.process.kill("SIGKILL")
      yield* exitOf(holder)
      const lease = yield* leases.take("gateway")
      assert.isAbove(Option.getOrThrow(lease).fence, fence)
    })
  )

  it.live("goes from process to process while they are killed, one at a time", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { entries, next, start } = yield* holders
      const processes = yield* Effect.all(
        [0, 1, 2].map(() => start("file", folder, 0, 20)),
        { concurrency: "unbounded" }
      )
      for (const victim of processes.slice(0, 2)) {
        // Killed while it holds it, as far as can be seen from here.
        const seen = entries().length
        yield* next("it holds it", seen, ({ event, pid }) => event === "begin" && pid === victim.process.pid)
        const killed = entries().length
        victim.process.kill("SIGKILL")
        yield* next("another holds it", killed, ({ event, pid }) => event === "begin" && pid !== victim.process.pid)
      }
      const all = entries()
      // What a killed holder did not say is said for it, by who got it next.
      const said = all.flatMap((entry, index) => {
        const before = all[index - 1]
        const silent = before?.event === "begin" && entry.event === "begin"
        if (silent)
          assert.include(
            processes.slice(0, 2).map((one) => one.process.pid),
            before.pid
          )
        return silent ? [{ ...before, event: "killed" }, entry] : [entry]
      })
      assertExclusive(said)
    })
  )

  it.live("fails, and grants nothing, where it cannot say which fence is next", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const leases = FileLeases.make({ folder })
      const record = Path.join(folder, "gateway.fence")
      for (const content of ["", "seven", "-1", "1.5", "9007199254740993", "[1]"]) {
        Fs.writeFileSync(record, content)
        assert.include(yield* whyNot(leases, "gateway"), "gateway.fence holds no fence", content)
        assert.deepStrictEqual(Fs.readdirSync(folder), ["gateway.fence"])
      }
      Fs.writeFileSync(record, "41")
      const lease = yield* leases.take("gateway")
      assert.strictEqual(Option.getOrThrow(lease).fence, 42)
      assert.strictEqual(Fs.readFileSync(record, "utf8"), "42")
    })
  )

  it.live("keeps no lock for a caller that was granted nothing, though its scope is open", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const leases = FileLeases.make({ folder })
      const record = Path.join(folder, "gateway.fence")
      Fs.writeFileSync(record, "seven")
      yield* Effect.flip(leases.take("gateway"))
      assert.deepStrictEqual(Fs.readdirSync(folder), ["gateway.fence"])
      Fs.writeFileSync(record, "7")
      assert.strictEqual(Option.getOrThrow(yield* leases.take("gateway")).fence, 8)
    })
  )

  it.live("keeps a resource without a name in its folder", () =>
    Effect.gen(function* () {
      const parent = yield* temporaryFolder
      const folder = Path.join(parent, "leases")
      yield* FileLeases.make({ folder }).take("")
      assert.deepStrictEqual(Fs.readdirSync(parent), ["leases"])
      assert.includeMembers(Fs.readdirSync(folder), ["%~.fence", "%~.lock"])
    })
  )

  it.live("fails where there can be no folder, and where the lock names nobody", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "file")
      Fs.writeFileSync(file, "")
      assert.include(yield* whyNot(FileLeases.make({ folder: Path.join(file, "leases") }), "x"), "ENOTDIR")
      Fs.writeFileSync(Path.join(folder, "x.lock"), "who?")
      assert.include(yield* whyNot(FileLeases.make({ folder }), "x"), "name no owner")
      Fs.mkdirSync(Path.join(folder, "y.fence"))
      assert.include(yield* whyNot(FileLeases.make({ folder }), "y"), "EISDIR")
    })
  )

  it.live("is none while a process lives that holds the lock in a way of its own", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { identity } = yield* child(idle)
      Fs.writeFileSync(Path.join(folder, "gateway.lock"), JSON.stringify(identity))
      assert.isFalse(yield* isFree(FileLeases.make({ folder }), "gateway"))
    })
  )
})
