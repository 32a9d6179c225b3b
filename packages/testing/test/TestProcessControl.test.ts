import { assert, describe, it } from "@effect/vitest"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import { Exited } from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

import * as TestProcess from "../src/TestProcess.ts"
import * as TestProcessControl from "../src/TestProcessControl.ts"

const controlOf = ({ context }: TestProcessControl.TestProcessControl) => Effect.provideContext(ProcessControl, context)

const readOnly = (processes: TestProcessControl.Processes) =>
  Effect.provide(ProcessControl, TestProcessControl.readOnly(processes))

describe("what both say", () => {
  it.live("a status is what the table says, or follows from whether there is a process", () =>
    Effect.gen(function* () {
      const identity = yield* TestProcess.idle
      const lastExit = new Exited({ code: 1 })
      const control = yield* readOnly({ a: { identity }, b: {}, c: { state: "Failed", lastExit, restarts: 3 } })
      const nothing = {
        identity: undefined,
        uptime: undefined,
        restarts: 0,
        lastExit: undefined,
        startedBy: undefined,
        memory: undefined,
        cpu: undefined
      }
      assert.deepStrictEqual(yield* control.list, [
        { ...nothing, name: "a", state: "Running", identity },
        { ...nothing, name: "b", state: "Stopped" },
        { ...nothing, name: "c", state: "Failed", lastExit, restarts: 3 }
      ])
      assert.deepInclude(yield* control.status("c"), { name: "c", state: "Failed" })
    })
  )

  it.live("the table is read anew at every question", () =>
    Effect.gen(function* () {
      let asked = 0
      const control = yield* readOnly({
        get a() {
          asked += 1
          return { restarts: asked }
        }
      })
      assert.strictEqual((yield* control.status("a")).restarts, 1)
      assert.strictEqual((yield* control.status("a")).restarts, 2)
    })
  )

  it.live("tree and ownership are true of the real processes", () =>
    Effect.gen(function* () {
      const { child, identity } = yield* TestProcess.listener({ shared: true })
      assert.isDefined(child)
      const orphan = yield* TestProcess.idle
      const stranger = yield* TestProcess.idle
      const gone = yield* TestProcess.deceased
      const control = yield* readOnly({ a: { identity }, b: { identity: gone, orphans: [orphan] } })
      assert.deepStrictEqual(yield* control.tree("a"), [identity, child])
      assert.deepStrictEqual(yield* control.tree("b"), [])
      for (const one of [identity, child]) {
        assert.deepStrictEqual(yield* control.ownership(one), { _tag: "Current", process: "a" })
      }
      assert.deepStrictEqual(yield* control.ownership(orphan), { _tag: "Orphan", process: "b" })
      for (const one of [stranger, gone, { ...identity, startTime: identity.startTime + 1 }]) {
        assert.deepStrictEqual(yield* control.ownership(one), { _tag: "Foreign" })
      }
    })
  )

  it.live("an unknown process is an error that lists the known ones", () =>
    Effect.gen(function* () {
      const made = yield* TestProcessControl.make({ a: {} })
      const { restart, signal, status, stop, tree } = yield* controlOf(made)
      for (const ask of [status("b"), tree("b"), restart("b"), stop("b"), signal("b", "SIGHUP")]) {
        const error = yield* Effect.flip(Effect.asVoid(ask))
        assert.deepInclude(error.reason, { _tag: "UnknownProcess", known: ["a"] })
      }
      assert.deepStrictEqual(made.requests, [])
    })
  )
})

describe("readOnly", () => {
  it.live("dies of a change", () =>
    Effect.gen(function* () {
      const identity = yield* TestProcess.idle
      const { restart, signal, stop } = yield* readOnly({ a: { identity } })
      for (const change of [restart("a"), stop("a"), signal("a", "SIGKILL")]) {
        assert.include(String(yield* Effect.exit(Effect.asVoid(change))), "wanted to change something")
      }
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )
})

describe("make", () => {
  it.live("stops the real tree and starts another process, which ends with the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { child, identity } = yield* TestProcess.listener({ shared: true })
      assert.isDefined(child)
      const orphan = yield* TestProcess.idle
      const made = yield* Scope.provide(TestProcessControl.make({ a: { identity, orphans: [orphan] } }), scope)
      const control = yield* controlOf(made)
      assert.lengthOf((yield* control.stop("a")).signalled, 2)
      for (const one of [identity, child]) assert.isFalse(yield* ProcessIdentity.isAlive(one))
      assert.isTrue(yield* ProcessIdentity.isAlive(orphan))
      assert.deepStrictEqual(made.processes["a"], { state: "Stopped", identity: undefined, orphans: [orphan] })

      yield* control.restart("a")
      const status = yield* control.status("a")
      assert.strictEqual(status.state, "Starting")
      assert.isDefined(status.identity)
      yield* control.signal("a", "SIGSTOP")
      yield* TestProcess.reaches(status.identity.pid, "T")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* ProcessIdentity.isAlive(status.identity))
      assert.strictEqual((yield* Effect.flip(control.signal("a", "SIGHUP"))).reason._tag, "NotRunning")
      assert.deepStrictEqual(made.requests, ["stop a", "restart a", "signal a SIGSTOP", "signal a SIGHUP"])
    })
  )

  it.live("what is broken is not started, and what runs goes on", () =>
    Effect.gen(function* () {
      const identity = yield* TestProcess.idle
      const made = yield* TestProcessControl.make({ a: { identity, broken: "no such program" } })
      const control = yield* controlOf(made)
      assert.strictEqual((yield* Effect.flip(control.restart("a"))).message, '"a": no such program')
      assert.deepStrictEqual(made.requests, ["restart a"])
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )
})
