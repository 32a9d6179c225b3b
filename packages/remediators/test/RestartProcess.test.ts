import { assert, describe, it } from "@effect/vitest"
import type { ProcessState } from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Remediator from "@nexobot/core/Remediator"
import { refusal } from "@nexobot/testing/Expect"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import { deceased, idle } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as Effect from "effect/Effect"

import * as RestartProcess from "../src/RestartProcess.ts"
import { remediatorContract } from "./RemediatorContract.ts"
import { freeze } from "./support.ts"

const remedy = RestartProcess.make("web")
const refused = (why: string) => Remediator.refused("restart web", why)

const judged = (web: TestProcessControl.Entry) =>
  Effect.flatMap(TestProcessControl.make({ web }), ({ context }) =>
    Effect.result(Effect.provideContext(remedy.precondition(undefined), context))
  )

const accepts = (web: TestProcessControl.Entry) =>
  Effect.map(judged(web), (result) => assert.strictEqual(result._tag, "Success"))

const refuses = (web: TestProcessControl.Entry, why: string) =>
  Effect.map(judged(web), (result) => {
    assert.strictEqual(result._tag, "Failure")
    if (result._tag === "Failure") assert.deepStrictEqual(result.failure, refused(why))
  })

describe("RestartProcess", () => {
  it.live("ends the tree, also a stopped one, and starts anew; others are left alone", () =>
    Effect.gen(function* () {
      const other = yield* ProcessFault.bystander
      const identity = yield* idle
      yield* freeze(identity)
      const { context, processes, requests } = yield* TestProcessControl.make({
        web: { identity },
        other: { identity: other }
      })
      yield* Effect.provideContext(Effect.andThen(remedy.precondition(undefined), remedy.apply(undefined)), context)
      assert.deepStrictEqual(requests, ["restart web"])
      assert.isFalse(yield* ProcessIdentity.isAlive(identity))
      assert.isTrue(yield* ProcessIdentity.isAlive(other))
      const anew = processes["web"]?.identity
      assert.isTrue(anew !== undefined && (yield* ProcessIdentity.isAlive(anew)))
    })
  )

  it.live("restarts what runs, waits, ended or was given up", () =>
    Effect.gen(function* () {
      yield* accepts({ identity: yield* idle })
      for (const state of ["Waiting", "Ended", "Failed"] satisfies ReadonlyArray<ProcessState>)
        yield* accepts({ state })
    })
  )

  it.live("refuses while it boots; one that is stopped by a signal does not boot", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      yield* refuses({ state: "Starting", identity }, "web is starting")
      yield* freeze(identity)
      yield* accepts({ state: "Starting", identity })
    })
  )

  it.live("one that is dead does not boot either", () =>
    Effect.gen(function* () {
      yield* accepts({ state: "Starting", identity: yield* deceased })
      yield* refuses({ state: "Starting" }, "web is starting")
    })
  )

  it.live("refuses after a stop on request", () =>
    Effect.gen(function* () {
      yield* refuses({ state: "Stopped" }, "web was stopped on request")
      yield* refuses({ state: "Stopping", identity: yield* idle }, "web was stopped on request")
    })
  )

  it.live("a stop on request between the precondition and the restart counts too", () =>
    Effect.gen(function* () {
      for (const state of ["Stopped", "Stopping"] satisfies ReadonlyArray<ProcessState>) {
        const { context, processes, requests } = yield* TestProcessControl.make({ web: { identity: yield* idle } })
        yield* Effect.provideContext(remedy.precondition(undefined), context)
        processes["web"] = { state }
        assert.deepStrictEqual(
          yield* Effect.flip(Effect.provideContext(remedy.apply(undefined), context)),
          refused("web was stopped on request")
        )
        assert.deepStrictEqual(requests, [])
      }
    })
  )

  it.live("an unknown process is refused, and a restart that fails is a failure", () =>
    Effect.gen(function* () {
      const { context } = yield* TestProcessControl.make({ web: { state: "Failed", broken: "no such program" } })
      const nobody = RestartProcess.make("nobody")
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(nobody.precondition(undefined), context)),
        Remediator.refused("restart nobody", 'no process named "nobody"; known are web')
      )
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(nobody.apply(undefined), context)),
        Remediator.failed("restart nobody", 'no process named "nobody"; known are web')
      )
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(remedy.apply(undefined), context)),
        Remediator.failed("restart web", '"web": no such program')
      )
    })
  )

  it("names itself after the process, and refuses a name that is none", () => {
    assert.deepInclude(remedy, { id: "restart web", blastRadius: "process", reversible: false })
    assert.deepInclude(
      refusal(() => RestartProcess.make("")),
      { module: "RestartProcess", option: "process", value: "" }
    )
  })
})

const situation = (make: (identity: ProcessIdentity.ProcessIdentity) => TestProcessControl.Entry) =>
  Effect.gen(function* () {
    const { context, processes, requests } = yield* TestProcessControl.make({ web: make(yield* idle) })
    return { signature: undefined, context, world: () => JSON.stringify([processes, requests]) }
  })

remediatorContract("RestartProcess", {
  remediator: remedy,
  accepted: situation((identity) => ({ identity })),
  refused: {
    "it boots": situation((identity) => ({ state: "Starting", identity })),
    "it was stopped on request": situation(() => ({ state: "Stopped" }))
  },
  failing: situation(() => ({ state: "Failed", broken: "no such program" }))
})
