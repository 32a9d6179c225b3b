import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as Backoff from "../src/Backoff.ts"
import * as Monotonic from "../src/Monotonic.ts"
import { refusal } from "./support.ts"

const delays = (backoff: Backoff.Backoff, seed: number, attempts = 5) =>
  Array.from({ length: attempts }, (_, attempt) => backoff.delay(attempt, seed))

describe("Backoff.constant", () => {
  it("is the same every time, and without jitter unless told", () => {
    assert.deepStrictEqual(delays(Backoff.constant("2 seconds"), 0.25, 3), [2000, 2000, 2000])
  })

  it("jitter: spreads it", () => {
    assert.strictEqual(Backoff.constant(1000, { jitter: "full" }).delay(0, 0.25), 250)
    assert.strictEqual(Backoff.constant(1000, { jitter: "equal" }).delay(0, 0.25), 625)
    assert.strictEqual(Backoff.constant(1000, { jitter: "none" }).delay(0, 0.25), 1000)
  })
})

describe("Backoff.exponential", () => {
  it("starts at 100 ms, doubles, ends at 30 s, and has full jitter, unless told", () => {
    const backoff = Backoff.exponential()
    assert.deepStrictEqual(delays(backoff, 0.5, 4), [50, 100, 200, 400])
    assert.strictEqual(backoff.delay(8, 0.5), 12_800)
    assert.strictEqual(backoff.delay(9, 0.5), 15_000)
    assert.strictEqual(backoff.delay(1_000_000, 0.5), 15_000)
    assert.strictEqual(backoff.delay(0, 0), 0)
  })

  const plain = { jitter: "none" } as const

  it("initial: is the first delay", () => {
    assert.deepStrictEqual(delays(Backoff.exponential({ ...plain, initial: "3 millis" }), 0, 3), [3, 6, 12])
  })

  it("factor: multiplies", () => {
    assert.deepStrictEqual(delays(Backoff.exponential({ ...plain, factor: 3 }), 0, 3), [100, 300, 900])
    assert.deepStrictEqual(delays(Backoff.exponential({ ...plain, factor: 1 }), 0, 3), [100, 100, 100])
  })

  it("max: ends the growth", () => {
    assert.deepStrictEqual(delays(Backoff.exponential({ ...plain, max: 300 }), 0, 4), [100, 200, 300, 300])
  })

  it("jitter: equal keeps half of the delay", () => {
    const backoff = Backoff.exponential({ jitter: "equal" })
    assert.deepStrictEqual(delays(backoff, 0, 3), [50, 100, 200])
    assert.deepStrictEqual(delays(backoff, 0.5, 3), [75, 150, 300])
  })

  it("no delay stays no delay, however often it is doubled", () => {
    assert.strictEqual(Backoff.exponential({ initial: 0 }).delay(5000, 0.9), 0)
  })

  const Seed = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999_999 }))
  const Attempt = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 }))
  const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
  const Factor = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

  it.effect.prop(
    "is a delay within its bounds for every attempt and seed, and never shrinks without jitter",
    [Attempt, Seed, Millis, Millis, Factor],
    ([attempt, seed, initial, more, factor]) =>
      Effect.sync(() => {
        const max = initial + more
        for (const jitter of ["full", "equal", "none"] as const) {
          const backoff = Backoff.exponential({ initial, max, factor, jitter })
          const delay = backoff.delay(attempt, seed)
          const computed = Backoff.exponential({ initial, max, factor, jitter: "none" }).delay(attempt, seed)
          assert.isAtMost(delay, computed)
          assert.isAtLeast(delay, jitter === "full" ? 0 : jitter === "equal" ? computed / 2 : computed)
          assert.isAtMost(computed, max)
          if (jitter === "none") assert.isAtLeast(backoff.delay(attempt + 1, seed), delay)
        }
      }),
    { arbitrary: { runs: 300 } }
  )
})

describe("options that cannot work", () => {
  const refused: ReadonlyArray<readonly [option: string, f: () => unknown]> = [
    ["delay", () => Backoff.constant(-1)],
    ["delay", () => Backoff.constant("forever" as never)],
    ["delay", () => Backoff.constant(Duration.infinity)],
    ["jitter", () => Backoff.constant(1, { jitter: "some" as never })],
    ["jiter", () => Backoff.constant(1, { jiter: "full" } as never)],
    ["initial", () => Backoff.exponential({ initial: -1 })],
    ["initial", () => Backoff.exponential({ initial: Duration.infinity })],
    ["factor", () => Backoff.exponential({ factor: 0.5 })],
    ["factor", () => Backoff.exponential({ factor: 101 })],
    ["factor", () => Backoff.exponential({ factor: Number.NaN })],
    ["max", () => Backoff.exponential({ max: "99 millis" })],
    ["max", () => Backoff.exponential({ max: Duration.infinity })],
    ["jitter", () => Backoff.exponential({ jitter: "none " as never })],
    ["maximum", () => Backoff.exponential({ maximum: 1 } as never)]
  ]
  for (const [index, [option, f]] of refused.entries()) {
    it(`${option} (${index + 1})`, () => {
      const error = refusal(f)
      assert.deepStrictEqual([error.module, error.option], ["Backoff", option])
    })
  }
})

const times = (backoff: Backoff.Backoff) =>
  Effect.gen(function* () {
    const at: Array<number> = []
    const effect = Effect.map(Monotonic.millis, (now) => at.push(now))
    const fiber = yield* Effect.forkChild(
      Effect.repeat(effect, { schedule: Backoff.schedule(backoff).pipe(Schedule.upTo({ times: 4 })) })
    )
    yield* TestClock.adjust("1 hour")
    yield* Fiber.join(fiber)
    return at.slice(1).map((now, index) => now - (at[index] ?? 0))
  })

describe("Backoff.schedule", () => {
  it.effect("waits as the backoff says", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* times(Backoff.exponential({ jitter: "none" })), [100, 200, 400, 800])
    })
  )

  it.effect("takes the seed from Random", () =>
    Effect.gen(function* () {
      const half = Effect.provideService(times(Backoff.exponential()), Random.Random, {
        nextIntUnsafe: () => 0,
        nextDoubleUnsafe: () => 0.5
      })
      assert.deepStrictEqual(yield* half, [50, 100, 200, 400])
    })
  )
})
