import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Remediator from "@nexobot/core/Remediator"
import { refusal } from "@nexobot/testing/Expect"
import { idle } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as Effect from "effect/Effect"

import * as StartProcess from "../src/StartProcess.ts"
import { remediatorContract } from "./RemediatorContract.ts"

const remedy = StartProcess.make("web")
const both = Effect.andThen(remedy.precondition(undefined), remedy.apply(undefined))

describe("StartProcess", () => {
  it.live("starts what waits, ended or was given up", () =>
    Effect.gen(function* () {
      for (const state of ["Waiting", "Ended", "Failed"] as const) {
        const { context, processes, requests } = yield* TestProcessControl.make({ web: { state } })
        yield* Effect.provideContext(both, context)
        const anew = processes["web"]?.identity
        assert.isTrue(anew !== undefined && (yield* ProcessIdentity.isAlive(anew)), state)
        assert.deepStrictEqual(requests, ["restart web"])
      }
    })
  )

  it.live("leaves alone what starts or runs: that is what was wanted", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      for (const state of ["Starting", "Running"] as const) {
        const { context, requests } = yield* TestProcessControl.make({ web: { state, identity } })
        yield* Effect.provideContext(both, context)
        assert.deepStrictEqual(requests, [])
        assert.isTrue(yield* ProcessIdentity.isAlive(identity))
      }
    })
  )

  it.live("a stop on request counts, also between the precondition and the start", () =>
    Effect.gen(function* () {
      for (const state of ["Stopped", "Stopping"] as const) {
        const { context, requests } = yield* TestProcessControl.make({ web: { state } })
        assert.deepStrictEqual(
          yield* Effect.flip(Effect.provideContext(remedy.precondition(undefined), context)),
          Remediator.refused("start web", "web was stopped on request")
        )
        yield* Effect.provideContext(remedy.apply(undefined), context)
        assert.deepStrictEqual(requests, [])
      }
    })
  )

  it.live("an unknown process is refused, and a start that fails is a failure", () =>
    Effect.gen(function* () {
      const { context } = yield* TestProcessControl.make({ web: { state: "Failed", broken: "no such program" } })
      const nobody = StartProcess.make("nobody")
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(nobody.precondition(undefined), context)),
        Remediator.refused("start nobody", 'no process named "nobody"; known are web')
      )
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(both, context)),
        Remediator.failed("start web", '"web": no such program')
      )
    })
  )

  it("names itself after the process, and refuses a name that is none", () => {
    assert.deepInclude(remedy, { id: "start web", blastRadius: "process", reversible: true })
    assert.deepInclude(
      refusal(() => StartProcess.make("")),
      { module: "StartProcess", option: "process", value: "" }
    )
  })
})

const situation = (web: TestProcessControl.Entry) =>
  Effect.map(TestProcessControl.make({ web }), ({ context, processes, requests }) => ({
    signature: undefined,
    context,
    world: () => JSON.stringify([processes, requests])
  }))

remediatorContract("StartProcess", {
  remediator: remedy,
  accepted: situation({ state: "Waiting" }),
  refused: { "it was stopped on request": situation({ state: "Stopped" }) },
  failing: situation({ state: "Waiting", broken: "no such program" })
})
