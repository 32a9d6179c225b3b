import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

import * as Monotonic from "../src/Monotonic.ts"

describe("Monotonic.millis", () => {
  it.effect("moves with the time that passes, in milliseconds and their fractions", () =>
    Effect.gen(function* () {
      const before = yield* Monotonic.millis
      yield* TestClock.adjust("1500 millis")
      assert.strictEqual((yield* Monotonic.millis) - before, 1500)
      yield* TestClock.adjust("250 micros")
      assert.approximately((yield* Monotonic.millis) - before, 1500.25, 1e-6)
    })
  )
})
