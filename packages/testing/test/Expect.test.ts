import { assert, describe, it } from "@effect/vitest"
import * as Options from "@nexobot/core/Options"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import * as Expect from "../src/Expect.ts"

describe("eventually", () => {
  it.live("asks until there is an answer", () =>
    Effect.gen(function* () {
      let asked = 0
      const ask = Effect.sync(() => (++asked === 3 ? "yes" : undefined))
      assert.deepStrictEqual([yield* Expect.eventually("it says yes", ask), asked], ["yes", 3])
    })
  )

  it.effect("dies when its patience ends, and says what did not happen", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.exit(Expect.eventually("a wonder", Effect.undefined)))
      yield* TestClock.adjust(Expect.patience)
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.include(String(exit), "it did not happen: a wonder")
    })
  )

  it.effect("fails as what it asks fails", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(Expect.eventually("it", Effect.fail("no"))), "no")
    })
  )
})

describe("refusal", () => {
  it("is the error about an option, and nothing else", () => {
    const { fail } = Options.checks("Module")
    assert.deepInclude(
      Expect.refusal(() => fail("port", 0, "a port")),
      { module: "Module", option: "port", value: 0 }
    )
    assert.throws(() => Expect.refusal(() => 1), "nothing was refused")
    const bug = new Error("a bug")
    const caught = (): unknown => {
      try {
        return Expect.refusal(() => {
          throw bug
        })
      } catch (error) {
        return error
      }
    }
    assert.strictEqual(caught(), bug)
  })
})
