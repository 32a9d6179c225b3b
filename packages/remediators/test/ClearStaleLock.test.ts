import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { Unsupported } from "@nexobot/core/ProcessTable"
import * as Remediator from "@nexobot/core/Remediator"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { deceased, idle } from "@nexobot/testing/TestProcess"
import * as TestProcessTable from "@nexobot/testing/TestProcessTable"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as ClearStaleLock from "../src/ClearStaleLock.ts"
import { remediatorContract } from "./RemediatorContract.ts"
import { contentsOf } from "./support.ts"

const remedy = ClearStaleLock.make()
const refused = (why: string) => Remediator.refused("clear-stale-lock", why)

const write = (path: string, owner: unknown) =>
  Effect.sync(() => Fs.writeFileSync(path, typeof owner === "string" ? owner : JSON.stringify(owner)))

/** A folder with a lock of this owner, and a file that has nothing to do with it. */
const lockOf = Effect.fnUntraced(function* (owner: unknown) {
  const folder = yield* TestFolder.make
  const path = Path.join(folder, "gateway.lock")
  if (owner !== undefined) yield* write(path, owner)
  yield* write(Path.join(folder, "gateway.json"), "{}")
  return { path, left: () => contentsOf(folder) }
})

const both = (path: string) => Effect.andThen(remedy.precondition({ path }), remedy.apply({ path }))

describe("ClearStaleLock", () => {
  it.live("removes the lock of a process that is gone, and nothing else", () =>
    Effect.gen(function* () {
      const { pid } = yield* deceased
      const { left, path } = yield* lockOf({ pid, createdAt: "2026-01-01T00:00:00Z", configPath: "x" })
      yield* both(path)
      assert.deepStrictEqual(left(), { "gateway.json": "{}" })
    })
  )

  it.live("removes the lock whose pid belongs to somebody else by now, who is left alone", () =>
    Effect.gen(function* () {
      const stranger = yield* ProcessFault.bystander
      const { left, path } = yield* lockOf(undefined)
      yield* ProcessFault.staleLock(path, stranger)
      yield* both(path)
      assert.deepStrictEqual(left(), { "gateway.json": "{}" })
      assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
    })
  )

  it.live("never removes a live owner's lock, not even without its precondition, however old it is", () =>
    Effect.gen(function* () {
      const owner = yield* idle
      for (const content of [owner, { pid: owner.pid }]) {
        const { left, path } = yield* lockOf(content)
        const dayAndMore = (Fs.statSync(path).mtimeMs - 28 * 3_600_000) / 1000
        Fs.utimesSync(path, dayAndMore, dayAndMore)
        const before = left()
        assert.deepStrictEqual(yield* Effect.flip(remedy.precondition({ path })), refused(`${path} is held`))
        const error = yield* Effect.flip(remedy.apply({ path }))
        assert.deepStrictEqual(error, refused(`${path} is not stale: Held`))
        assert.deepStrictEqual(left(), before)
      }
      assert.isTrue(yield* ProcessIdentity.isAlive(owner))
    })
  )

  it.live("a lock that a live owner took after the precondition stays", () =>
    Effect.gen(function* () {
      const owner = yield* idle
      const { left, path } = yield* lockOf(yield* deceased)
      yield* remedy.precondition({ path })
      yield* write(path, owner)
      const before = left()
      assert.deepStrictEqual(yield* Effect.flip(remedy.apply({ path })), refused(`${path} is not stale: Held`))
      assert.deepStrictEqual(left(), before)
    })
  )

  it.live("a lock that names nobody stays: nothing is proven", () =>
    Effect.gen(function* () {
      for (const content of ["", "{", '{"pid":"1"}']) {
        const { left, path } = yield* lockOf(content)
        const before = left()
        assert.deepStrictEqual(yield* Effect.flip(both(path)), refused(`${path} is unreadable`))
        assert.strictEqual((yield* Effect.flip(remedy.apply({ path }))).reason._tag, "Refused")
        assert.deepStrictEqual(left(), before)
      }
    })
  )

  it.live("applied by many at once, it is removed once and nothing else happens", () =>
    Effect.gen(function* () {
      const { left, path } = yield* lockOf(yield* deceased)
      const exits = yield* Effect.all(
        Array.from({ length: 10 }, () => Effect.exit(remedy.apply({ path }))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(
        exits.filter((exit) => exit._tag === "Success"),
        1
      )
      assert.deepStrictEqual(left(), { "gateway.json": "{}" })
    })
  )

  it("touches a file, for good, with our own rights", () => {
    assert.deepInclude(remedy, {
      id: "clear-stale-lock",
      blastRadius: "file",
      reversible: false,
      privilege: "own-user"
    })
  })
})

const situation = (owner: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function* () {
    const { left, path } = yield* lockOf(yield* owner)
    return { signature: { path }, context: Context.empty(), world: left }
  })

const blind = new Unsupported({ feature: "reading a process", platform: "plan9" })

remediatorContract("ClearStaleLock", {
  remediator: remedy,
  accepted: situation(deceased),
  refused: {
    "the owner lives": situation(idle),
    "there is no lock": situation(Effect.undefined),
    "it names nobody": situation(Effect.succeed("?")),
    "it cannot be read": Effect.map(TestFolder.make, (path) => ({
      signature: { path },
      context: Context.empty(),
      world: () => contentsOf(path)
    }))
  },
  failing: Effect.map(situation(deceased), (one) => ({
    ...one,
    sabotage: TestProcessTable.answering({ stat: () => Effect.fail(blind) })
  }))
})
