import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { deceased, idle } from "@nexobot/testing/TestProcess"
import * as Effect from "effect/Effect"

import * as LockProbe from "../src/LockProbe.ts"
import { probeContract } from "./ProbeContract.ts"

const probing = (path: string) => LockProbe.make({ name: "lock", path })

const free = Effect.map(TestFolder.make, (folder) => Path.join(folder, "gateway.lock"))

/** A lock file with this content. */
const lock = (content: unknown) =>
  Effect.tap(free, (path) =>
    Effect.sync(() => Fs.writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content)))
  )

describe("LockProbe", () => {
  it.live("no lock is healthy", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* probing(yield* free).check, Verdict.healthy)
    })
  )

  it.live("a live owner's lock is healthy, with a start time and without", () =>
    Effect.gen(function* () {
      const owner = yield* idle
      assert.deepStrictEqual(yield* probing(yield* lock(owner)).check, Verdict.healthy)
      assert.deepStrictEqual(yield* probing(yield* lock({ pid: owner.pid, createdAt: "x" })).check, Verdict.healthy)
    })
  )

  it.live("a lock of a process that is gone is stale", () =>
    Effect.gen(function* () {
      const { pid } = yield* deceased
      const path = yield* lock({ pid, createdAt: "2026-01-01T00:00:00Z" })
      const proof = `no process ${pid} exists`
      assert.deepStrictEqual(
        yield* probing(path).check,
        Verdict.unhealthy(new LockProbe.Stale({ path, pid, proof }), [`${path} names process ${pid}: ${proof}`])
      )
    })
  )

  it.live("a lock whose pid belongs to somebody else by now is stale", () =>
    Effect.gen(function* () {
      const stranger = yield* ProcessFault.bystander
      const path = yield* free
      yield* ProcessFault.staleLock(path, stranger)
      const verdict = yield* probing(path).check
      assert.strictEqual(verdict._tag, "Unhealthy")
      assert.deepInclude(verdict, {
        signature: new LockProbe.Stale({ path, pid: stranger.pid, proof: proofOf(verdict) })
      })
      assert.include(proofOf(verdict), "later process")
    })
  )

  it.live("a lock that names nobody is unreadable: nothing is proven", () =>
    Effect.gen(function* () {
      for (const content of ["", "{", '{"pid":"12"}', "4711"]) {
        const path = yield* lock(content)
        const why = `${content.length} characters that name no owner`
        assert.deepStrictEqual(
          yield* probing(path).check,
          Verdict.unhealthy(new LockProbe.Unreadable({ path, why }), [`${path}: ${why}`])
        )
      }
    })
  )

  it.live("what cannot be read says nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const verdict = yield* probing(folder).check
      assert.strictEqual(verdict._tag, "Inconclusive")
      assert.include(JSON.stringify(verdict), "EISDIR")
    })
  )

  it.live("the probe leaves the lock alone", () =>
    Effect.gen(function* () {
      const path = yield* lock(yield* deceased)
      const before = Fs.statSync(path, { bigint: true })
      yield* probing(path).check
      const { ino, mtimeNs } = Fs.statSync(path, { bigint: true })
      assert.deepStrictEqual([ino, mtimeNs], [before.ino, before.mtimeNs])
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), [Path.basename(path)])
    })
  )

  it("is judged while the component starts: a dead owner's lock may be why it cannot", () => {
    assert.deepInclude(probing("/run/lock"), { name: "lock", duringStartup: "judged", effects: "none" })
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ path: "" }, "path", ""],
      [{ path: 7 }, "path", 7],
      [{ file: 1 }, "file", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => LockProbe.make({ name: "lock", path: "/run/lock", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["LockProbe", option, value])
    }
  })
})

const proofOf = (verdict: Verdict.Verdict<LockProbe.Stale | LockProbe.Unreadable>): string =>
  "signature" in verdict && verdict.signature._tag === "Lock/Stale" ? verdict.signature.proof : ""

probeContract<LockProbe.Stale | LockProbe.Unreadable>("LockProbe", {
  situations: {
    Healthy: Effect.map(free, probing),
    "Lock/Stale": Effect.map(Effect.flatMap(deceased, lock), probing),
    "Lock/Unreadable": Effect.map(lock("?"), probing),
    Inconclusive: Effect.map(TestFolder.make, probing)
  }
})
