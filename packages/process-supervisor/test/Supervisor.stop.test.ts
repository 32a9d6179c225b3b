import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Supervisor from "../src/Supervisor.ts"
import {
  carriers,
  eventually,
  eventsUntil,
  identityOf,
  node,
  pidOf,
  reaches,
  supervise,
  temporaryFolder,
  textOf
} from "./support.ts"

const Pids = Schema.fromJsonString(Schema.Struct({ main: Schema.Int, stubborn: Schema.Int, escaped: Schema.Int }))

/** A child, a child of it that ignores SIGTERM, and a grandchild outside of its group and without a parent. */
const startTree = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const file = Path.join(folder, "pids")
  const supervisor = yield* supervise([node("a", ["tree.mjs", file])])
  const pids = yield* Schema.decodeUnknownEffect(Pids)(yield* textOf(file))
  return { supervisor, pids, cookie: `${supervisor.id}/a` }
})

const inTime = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(effect, { duration: "10 seconds", orElse: () => Effect.die(new Error(`not in time: ${what}`)) })

const never = Probe.make({ name: "never", reports: [], check: Effect.succeed(Verdict.inconclusive("never")) })

describe("stop", () => {
  it.live("acceptance(process-supervisor 7): of a setsid double-forked grandchild nothing is left after stop", () =>
    Effect.gen(function* () {
      const { cookie, pids, supervisor } = yield* startTree
      const table = yield* ProcessTable
      const escaped = yield* table.stat(pids.escaped)
      assert.notStrictEqual(escaped?.session, pids.main)
      assert.notStrictEqual(escaped?.group, pids.main)
      assert.notInclude([pids.main, pids.stubborn], escaped?.parent)
      assert.sameMembers([...(yield* carriers(cookie))], Object.values(pids))

      const receipt = yield* supervisor.stop("a")
      assert.deepStrictEqual(yield* carriers(cookie), [])
      for (const pid of Object.values(pids)) assert.isUndefined(yield* ProcessIdentity.of(pid))
      assert.sameMembers(
        receipt.signalled.map((one) => one.pid),
        Object.values(pids)
      )
      assert.deepStrictEqual(
        receipt.escalated.map((one) => one.pid),
        [pids.stubborn]
      )
      assert.deepStrictEqual(receipt.survivors, [])
      const status = yield* supervisor.status("a")
      assert.strictEqual(status.state, "Stopped")
      assert.deepInclude(status.lastExit, { _tag: "StopRequested", by: "request", signal: "SIGTERM" })
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Stopped")
      assert.deepStrictEqual(
        events.slice(-3).map((event) => event._tag),
        ["StopRequested", "Exited", "Stopped"]
      )
    })
  )

  it.live("the tree is the child first, then its descendants", () =>
    Effect.gen(function* () {
      const { pids, supervisor } = yield* startTree
      const tree = (yield* supervisor.tree("a")).map((one) => one.pid)
      assert.deepStrictEqual(tree, [pids.main, pids.stubborn])
      yield* supervisor.stop("a")
      assert.deepStrictEqual(yield* supervisor.tree("a"), [])
    })
  )

  it.live("a crash ends what is left in the group", () =>
    Effect.gen(function* () {
      const { pids, supervisor } = yield* startTree
      process.kill(pids.main, "SIGKILL")
      yield* reaches(supervisor, "a", "Running", (status) => status.restarts === 1)
      yield* eventually(
        "the rest of the group is gone",
        Effect.gen(function* () {
          const table = yield* ProcessTable
          const stat = yield* table.stat(pids.stubborn)
          return stat === undefined || stat.state === "Z" ? true : undefined
        })
      )
    })
  )

  it.live("a process stopped by SIGSTOP ends, without SIGKILL", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"], { stopGrace: "20 seconds" })])
      yield* supervisor.signal("a", "SIGSTOP")
      const receipt = yield* supervisor.stop("a")
      assert.lengthOf(receipt.signalled, 1)
      assert.deepStrictEqual(receipt.escalated, [])
    })
  )

  it.live("the grace and the stop signal are those of the specification", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "up")
      const supervisor = yield* supervise([
        node("term", ["stubborn.mjs", file], { stopGrace: "50 millis" }),
        node("int", ["stubborn.mjs", `${file}2`], { stopGrace: "20 seconds", stopSignal: "SIGINT" })
      ])
      yield* textOf(file)
      yield* textOf(`${file}2`)
      assert.lengthOf((yield* supervisor.stop("term")).escalated, 1)
      const { lastExit } = yield* supervisor.status("term")
      assert.deepInclude(lastExit, { _tag: "StopRequested", by: "request", signal: "SIGKILL" })
      assert.lengthOf((yield* supervisor.stop("int")).escalated, 0)
    })
  )

  it.live("a stopped process stays stopped, a stop under way is shared, and a later one finds nothing", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"])])
      const receipts = yield* Effect.all([supervisor.stop("a"), supervisor.stop("a")], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        receipts.map((receipt) => receipt.signalled.length),
        [1, 1]
      )
      assert.lengthOf((yield* supervisor.stop("a")).signalled, 0)
      assert.deepInclude(yield* supervisor.status("a"), { state: "Stopped", restarts: 0 })
    })
  )

  it.live("an interrupted stop loses no child", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "up")
      const supervisor = yield* supervise([node("a", ["stubborn.mjs", file], { stopGrace: "200 millis" })])
      yield* textOf(file)
      const stop = yield* Effect.forkChild(supervisor.stop("a"), { startImmediately: true })
      yield* Fiber.interrupt(stop)
      yield* reaches(supervisor, "a", "Stopped")
      assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [])
    })
  )

  it.live("what outlives SIGKILL is an error, and nothing is started beside it", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const immortal = Object.assign({}, table, { kill: () => Effect.succeed(true) })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Supervisor.layer([node("a", ["idle.mjs"], { stopGrace: 0 })]),
        scope
      ).pipe(Effect.provideService(ProcessTable, immortal))
      const supervisor = yield* Effect.provideContext(Supervisor.Supervisor, context)
      const pid = pidOf(yield* supervisor.status("a"))
      const error = yield* Effect.flip(supervisor.restart("a"))
      assert.deepInclude(error.reason, { _tag: "Survivors", pids: [pid] })
      assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [pid])
      process.kill(pid, "SIGKILL")
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.live("an unknown name is an error that lists the known ones", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"])], { autoStart: false })
      const { restart, signal, start, status, stop, tree } = supervisor
      const asks = [status("b"), stop("b"), restart("b"), start("b"), tree("b"), signal("b", "SIGTERM")]
      for (const ask of asks) {
        const error = yield* Effect.flip(Effect.asVoid(ask))
        assert.strictEqual(error.process, "b")
        assert.deepInclude(error.reason, { _tag: "UnknownProcess", known: ["a"] })
      }
    })
  )
})

describe("scope", () => {
  it.live("its close stops each after those that depend on it, and leaves nothing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const supervisor = yield* Scope.provide(
        supervise([node("a", ["idle.mjs"]), node("b", ["idle.mjs"], { dependsOn: ["a"] })]),
        scope
      )
      const journal = yield* Effect.forkChild(
        eventsUntil(supervisor, (event) => event._tag === "Stopped" && event.name === "a")
      )
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      const events = yield* Fiber.join(journal)
      assert.deepStrictEqual(
        events.filter((event) => event._tag === "Stopped").map((event) => event.name),
        ["b", "a"]
      )
      const error = yield* Effect.flip(supervisor.start("a"))
      assert.strictEqual(error.reason._tag, "Unavailable")
    })
  )

  it.live("after its close the events have come to their end, the last of them included; all is stopped", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const supervisor = yield* Scope.provide(supervise([node("a", ["idle.mjs"])]), scope)
      const all = Effect.map(Stream.runCollect(supervisor.events), (events) => events.map(({ _tag }) => _tag))
      const reader = yield* Effect.forkChild(all, { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      const journal = ["Spawned", "Ready", "StopRequested", "Exited", "Stopped"]
      // Who reads from the beginning to the end, and who comes when all is over.
      assert.deepStrictEqual(yield* inTime("the events end", Fiber.join(reader)), journal)
      assert.deepStrictEqual(yield* inTime("they end for a late one", all), journal)
      assert.deepStrictEqual((yield* inTime("all is stopped", supervisor.stopAll)).failures, [])
    })
  )

  it.live("an interrupted start leaves nothing", () =>
    Effect.gen(function* () {
      const id = "interrupted-start"
      const starting = yield* Effect.forkChild(
        Effect.scoped(
          supervise([node("a", ["idle.mjs"]), node("b", ["idle.mjs"], { ready: never, startGrace: "1 hour" })], { id })
        )
      )
      yield* eventually(
        "both run",
        Effect.map(carriers(id), (pids) => (pids.length === 2 ? true : undefined))
      )
      yield* Fiber.interrupt(starting)
      assert.deepStrictEqual(yield* carriers(id), [])
    })
  )
})

describe("ownership", () => {
  it.live("what runs now is Current, what was left behind is Orphan, all else is Foreign", () =>
    Effect.gen(function* () {
      const { pids, supervisor } = yield* startTree
      const of = (pid: number) => Effect.flatMap(identityOf(pid), supervisor.ownership)
      assert.deepStrictEqual(yield* of(pids.main), { _tag: "Current", process: "a" })
      assert.deepStrictEqual(yield* of(pids.stubborn), { _tag: "Current", process: "a" })
      // Its parent is gone and it left the group, and it bears the mark of the life that runs: a daemon that serves for it.
      assert.deepStrictEqual(yield* of(pids.escaped), { _tag: "Current", process: "a" })
      assert.deepStrictEqual(yield* of(process.pid), { _tag: "Foreign" })

      const main = yield* identityOf(pids.main)
      const laterProcess = { ...main, startTime: main.startTime + 1 }
      assert.deepStrictEqual(yield* supervisor.ownership(laterProcess), { _tag: "Foreign" })

      const stranger = yield* supervise([node("a", ["idle.mjs"])])
      assert.deepStrictEqual(yield* of(pidOf(yield* stranger.status("a"))), { _tag: "Foreign" })

      // That life is over: nothing says any more that the next one needs it.
      process.kill(pids.main, "SIGKILL")
      yield* reaches(supervisor, "a", "Running", (status) => status.restarts === 1)
      assert.deepStrictEqual(yield* of(pids.escaped), { _tag: "Orphan", process: "a" })
    })
  )
})
