import { assert, it } from "@effect/vitest"
import { Journal } from "@nexobot/recovery"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

/** What every `Journal` layer must do. */
export const suite = (name: string, layer: () => Layer.Layer<Journal.Journal, Journal.JournalError>) => {
  it.effect(`${name}: gives each record its place and the time as a label`, () =>
    Effect.gen(function* () {
      const journal = yield* Journal.Journal
      yield* TestClock.adjust("90 seconds")
      const first = yield* journal.append("a", [{ _tag: "Stable" }, { _tag: "Requested" }])
      const second = yield* journal.append("b", [{ _tag: "Escalated", reason: "no rung" }])
      assert.deepStrictEqual(
        [...first, ...second].map(({ component, seq }) => [component, seq]),
        [
          ["a", 1],
          ["a", 2],
          ["b", 3]
        ]
      )
      assert.strictEqual(second[0]?.at, "1970-01-01T00:01:30.000Z")
      assert.deepStrictEqual(second[0]?.entry, { _tag: "Escalated", reason: "no rung" })
    }).pipe(Effect.provide(layer()))
  )

  it.effect(`${name}: keeps the order of concurrent appends without gaps`, () =>
    Effect.gen(function* () {
      const journal = yield* Journal.Journal
      const all = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        (index) => journal.append(`c${index}`, [{ _tag: "Stable" }, { _tag: "Stable" }]),
        { concurrency: "unbounded" }
      )
      const places = all.flat().map((record) => record.seq)
      assert.deepStrictEqual(
        places.toSorted((a, b) => a - b),
        Array.from({ length: 100 }, (_, index) => index + 1)
      )
      for (const [first, second] of all) assert.strictEqual(second?.seq, (first?.seq ?? 0) + 1)
    }).pipe(Effect.provide(layer()))
  )
}
