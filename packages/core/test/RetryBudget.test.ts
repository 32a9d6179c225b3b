import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as Backoff from "../src/Backoff.ts"
import { retryBudget } from "../src/internal/promise/retry.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import { refusal } from "./support.ts"

const deposit = (budget: RetryBudget.RetryBudget, times: number) => {
  for (let i = 0; i < times; i++) budget.deposit()
}

/** How many retries there are, by taking them. */
const drain = (budget: RetryBudget.RetryBudget) => {
  let taken = 0
  while (taken < 100_000 && budget.withdraw()) taken++
  return taken
}

describe("RetryBudget", () => {
  it.effect("has the floor of the whole window and a fifth of the calls, unless told", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make()
      assert.deepStrictEqual(budget.inspect(), { calls: 0, retries: 0, available: 100 })
      deposit(budget, 50)
      assert.deepStrictEqual(budget.inspect(), { calls: 50, retries: 0, available: 110 })
      assert.strictEqual(drain(budget), 110)
      assert.isFalse(budget.withdraw())
      assert.deepStrictEqual(budget.inspect(), { calls: 50, retries: 110, available: 0 })
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(budget.inspect(), { calls: 0, retries: 0, available: 100 })
    })
  )

  it.effect("ratio: is the share of the calls", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make({ ratio: 0.5, floor: 0 })
      assert.isFalse(budget.withdraw())
      deposit(budget, 9)
      assert.strictEqual(drain(budget), 4)
    })
  )

  it.effect("ratio: loses nothing to fractions that are not exact in binary", () =>
    Effect.gen(function* () {
      for (let percent = 1; percent <= 100; percent++) {
        const budget = yield* RetryBudget.make({ ratio: percent / 100, floor: 0, window: "1 day" })
        deposit(budget, 100)
        assert.strictEqual(budget.inspect().available, percent)
      }
      assert.strictEqual((yield* RetryBudget.make({ floor: 0.7, window: "10 seconds" })).inspect().available, 7)
    })
  )

  it.effect("floor: is allowed without calls", () =>
    Effect.gen(function* () {
      assert.strictEqual(drain(yield* RetryBudget.make({ floor: 3 })), 30)
      assert.strictEqual(drain(yield* RetryBudget.make({ floor: 0 })), 0)
    })
  )

  it.effect("window: is how long calls and retries count", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make({ floor: 1, window: "20 seconds" })
      deposit(budget, 5)
      assert.strictEqual(drain(budget), 21)
      yield* TestClock.adjust("17 seconds")
      assert.deepStrictEqual(budget.inspect(), { calls: 5, retries: 21, available: 0 })
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(budget.inspect(), { calls: 0, retries: 0, available: 20 })
    })
  )

  it.effect("forgets piece by piece, after idle times of any length", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make({ floor: 0 })
      deposit(budget, 10)
      yield* TestClock.adjust("5 seconds")
      deposit(budget, 7)
      yield* TestClock.adjust("5500 millis")
      assert.strictEqual(budget.inspect().calls, 7)
      yield* TestClock.adjust("30 days")
      assert.strictEqual(budget.inspect().calls, 0)
      deposit(budget, 3)
      assert.strictEqual(budget.inspect().calls, 3)
    })
  )

  const refused: ReadonlyArray<readonly [option: string, options: RetryBudget.RetryBudgetOptions]> = [
    ["ratio", { ratio: -0.1 }],
    ["ratio", { ratio: 11 }],
    ["ratio", { ratio: Number.NaN }],
    ["floor", { floor: -1 }],
    ["floor", { floor: Number.POSITIVE_INFINITY }],
    ["window", { window: "999 millis" }],
    ["window", { window: Duration.infinity }],
    ["minimum", { minimum: 1 } as never]
  ]
  for (const [index, [option, options]] of refused.entries()) {
    it(`refuses ${option} (${index + 1}) before it is run`, () => {
      const error = refusal(() => RetryBudget.make(options))
      assert.deepStrictEqual([error.module, error.option], ["RetryBudget", option])
      assert.strictEqual(refusal(() => retryBudget(options)).option, option)
    })
  }

  const Step = Schema.Struct({
    gap: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6000 })),
    calls: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })),
    tries: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
  })

  it.effect.prop(
    "agrees with a model that knows the whole history",
    [Schema.Array(Step).check(Schema.isMaxLength(40)), Schema.Literals([0, 0.2, 1]), Schema.Literals([0, 0.5, 2])],
    ([steps, ratio, floor]) =>
      Effect.gen(function* () {
        const budget = yield* RetryBudget.make({ ratio, floor })
        // In tenths of the window, of 1 second each.
        const history: Array<{ readonly second: number; readonly retry: boolean }> = []
        const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        for (const { calls, gap, tries } of steps) {
          yield* TestClock.adjust(gap)
          const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          const second = Math.floor((now - start) / 1000)
          const count = (retry: boolean) =>
            history.filter((one) => one.retry === retry && one.second > second - 10).length
          for (let i = 0; i < calls; i++) {
            budget.deposit()
            history.push({ second, retry: false })
          }
          for (let i = 0; i < tries; i++) {
            const allowed = count(true) + 1 <= Math.floor(ratio * count(false) + floor * 10)
            assert.strictEqual(budget.withdraw(), allowed)
            if (allowed) history.push({ second, retry: true })
          }
          assert.deepStrictEqual([budget.inspect().calls, budget.inspect().retries], [count(false), count(true)])
        }
      }),
    { arbitrary: { runs: 150, size: 40 } }
  )

  const Storm = Schema.Struct({
    ratio: Schema.Literals([0, 0.1, 0.2, 0.5]),
    floor: Schema.Literals([0, 1, 10]),
    attempts: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 8 })),
    spread: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30_000 }))
  })

  it.effect.prop(
    "1,000 callers of a dead backend make at most (1 + ratio) × calls + floor × time attempts",
    [Storm],
    ([{ attempts, floor, ratio, spread }]) =>
      Effect.gen(function* () {
        const budget = yield* RetryBudget.make({ ratio, floor })
        const { policy } = Retry.make({ attempts, budget, backoff: Backoff.exponential({ max: "5 seconds" }) })
        let made = 0
        const dead = Effect.suspend(() => {
          made++
          return Effect.fail("dead" as const)
        })
        const callers = 1000
        const call = (index: number) => Effect.exit(Effect.delay(policy(dead), Math.floor((index / callers) * spread)))
        yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: callers }, (_, i) => i),
            call,
            { concurrency: "unbounded", discard: true }
          )
        )
        yield* TestClock.adjust("2 minutes")
        // At most 8 pauses of at most 5 seconds each; the floor of a window may be spent at its beginning.
        const windows = Math.ceil((spread + 8 * 5000) / 10_000) + 1
        assert.isAtLeast(made, callers)
        assert.isAtMost(made, (1 + ratio) * callers + floor * 10 * windows)
        if (ratio === 0 && floor === 0) assert.strictEqual(made, callers)
        // Without the budget it would be all of them.
        if (spread === 0) assert.isBelow(made, callers * 2)
      }),
    { arbitrary: { runs: 12 } }
  )
})
