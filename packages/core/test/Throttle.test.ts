import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import { throttle } from "../src/internal/promise/throttle.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Throttle from "../src/Throttle.ts"
import { refusal } from "./support.ts"

/** Every draw is `seed`. */
const withSeed = (seed: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => seed })

/** The largest draw there is: nothing is refused unless it must be. */
const lenient = withSeed(0.999_999_999)
const strict = withSeed(0)

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }), () => Effect.exit(effect))

const isRefused = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Fail" && Outcome.isRefusal(reason.error))

const refusedOf = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>) => exits.filter(isRefused).length

const healthy = Effect.succeed("ok")
const dead = Effect.fail("dead")

const classify: Outcome.Classify = (result) =>
  result._tag === "Success"
    ? result.success === 503
      ? "failure"
      : "success"
    : result.failure === "mine"
      ? "ignored"
      : "failure"

describe("Throttle", () => {
  it.effect("refuses by max(0, (requests − 2 · accepts) / (requests + 1)) unless told", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Throttle.make()
      yield* lenient(times(4, policy(healthy)))
      assert.deepStrictEqual(inspect(), { requests: 4, accepts: 4, refusal: 0 })
      yield* lenient(times(4, policy(dead)))
      assert.deepStrictEqual(inspect(), { requests: 8, accepts: 4, refusal: 0 })
      yield* lenient(times(3, policy(dead)))
      assert.deepStrictEqual(inspect(), { requests: 11, accepts: 4, refusal: 3 / 12 })
      // A draw below the chance refuses, one at it does not.
      assert.isFalse(isRefused(yield* Effect.exit(withSeed(3 / 12)(policy(healthy)))))
      const exit = yield* Effect.exit(withSeed(0.16)(policy(healthy)))
      assert.isFalse(isRefused(exit))
      assert.strictEqual(inspect().refusal, Math.max(0, (13 - 12) / 14))
      assert.isTrue(isRefused(yield* Effect.exit(withSeed(0.07)(policy(healthy)))))
    })
  )

  it.effect("a refused call is not made, counts as a request, and its error says so", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Throttle.make({ name: "search" })
      yield* lenient(times(3, policy(dead)))
      let made = 0
      const error = yield* Effect.flip(strict(policy(Effect.sync(() => made++))))
      assert.strictEqual(made, 0)
      assert.strictEqual(inspect().requests, 4)
      assert.deepStrictEqual([error._tag, error.name, error.reason._tag], ["ThrottleError", "search", "Overloaded"])
      assert.include(error.message, `the throttle "search" refused the call`)
      assert.isTrue(Outcome.isRefusal(error))
      assert.strictEqual(Outcome.byResult({ _tag: "Failure", failure: error } as never), "ignored")
    })
  )

  it.effect("multiplier: is how many calls may reach the backend for each that it accepts", () =>
    Effect.gen(function* () {
      for (const [multiplier, wanted] of [
        [1, 6 / 11],
        [2, 2 / 11],
        [2.5, 0]
      ] as const) {
        const { inspect, policy } = yield* Throttle.make({ multiplier })
        yield* lenient(times(4, policy(healthy)))
        yield* lenient(times(6, policy(dead)))
        assert.strictEqual(inspect().refusal, wanted)
      }
    })
  )

  it.effect("window: is how long calls count; 2 minutes unless told", () =>
    Effect.gen(function* () {
      for (const [options, kept, gone] of [
        [{}, "107 seconds", "14 seconds"],
        [{ window: "10 seconds" }, "8 seconds", "3 seconds"]
      ] as const) {
        const { inspect, policy } = yield* Throttle.make(options)
        yield* lenient(times(9, policy(dead)))
        yield* TestClock.adjust(kept)
        assert.deepStrictEqual(inspect(), { requests: 9, accepts: 0, refusal: 0.9 })
        yield* TestClock.adjust(gone)
        assert.deepStrictEqual(inspect(), { requests: 0, accepts: 0, refusal: 0 })
      }
    })
  )

  it.effect("maxRefusal: is the largest chance", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Throttle.make({ maxRefusal: 0.8 })
      yield* lenient(times(100, policy(dead)))
      assert.strictEqual(inspect().refusal, 0.8)
      const none = yield* Throttle.make({ maxRefusal: 0 })
      assert.strictEqual(refusedOf(yield* strict(times(100, none.policy(dead)))), 0)
    })
  )

  it.effect("classify: judges failures, defects and answers", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Throttle.make({ classify })
      const counts = () => [inspect().requests, inspect().accepts]
      yield* lenient(policy(Effect.succeed(200)))
      assert.deepStrictEqual(counts(), [1, 1])
      yield* lenient(policy(Effect.succeed(503)))
      assert.deepStrictEqual(counts(), [2, 1])
      yield* Effect.exit(lenient(policy(Effect.fail("mine"))))
      assert.deepStrictEqual(counts(), [2, 1])
      yield* Effect.exit(lenient(policy(Effect.die("theirs"))))
      assert.deepStrictEqual(counts(), [3, 1])
    })
  )

  it.effect("interruptions and refusals by policies inside count neither way", () =>
    Effect.gen(function* () {
      const inner = yield* Throttle.make()
      yield* lenient(times(50, inner.policy(dead)))
      const { inspect, policy } = yield* Throttle.make()
      const fiber = yield* Effect.forkChild(policy(Effect.never))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(isRefused(yield* Effect.exit(strict(policy(inner.policy(healthy))))))
      assert.deepStrictEqual(inspect(), { requests: 0, accepts: 0, refusal: 0 })
    })
  )

  it.effect("an interruption reaches the call", () =>
    Effect.gen(function* () {
      const { policy } = yield* Throttle.make()
      let interrupted = false
      const call = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* Effect.forkChild(policy(call))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(interrupted)
    })
  )

  it.effect("a burst in flight at a healthy backend is not taken for failures", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Throttle.make()
      const call = strict(policy(Effect.sleep("1 second")))
      const fiber = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 1000 }, () => Effect.exit(call)),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(refusedOf(yield* Fiber.join(fiber)), 0)
      assert.deepStrictEqual(inspect(), { requests: 1000, accepts: 1000, refusal: 0 })
    })
  )

  it.effect("metrics count refusals by name", () =>
    Effect.gen(function* () {
      const { policy } = yield* Throttle.make({ name: "search" })
      yield* lenient(times(9, policy(dead)))
      yield* strict(times(4, policy(dead)))
      const [metric] = yield* Metric.snapshot
      assert.deepStrictEqual([metric?.id, metric?.attributes], ["nexobot_throttle_refusals", { name: "search" }])
      assert.isTrue(metric?.type === "Counter" && metric.state.count === 4)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  const refused: ReadonlyArray<readonly [option: string, options: Throttle.ThrottleOptions]> = [
    ["name", { name: "" }],
    ["multiplier", { multiplier: 0.9 }],
    ["multiplier", { multiplier: 101 }],
    ["multiplier", { multiplier: Number.NaN }],
    ["window", { window: "999 millis" }],
    ["window", { window: Duration.infinity }],
    ["maxRefusal", { maxRefusal: -0.1 }],
    ["maxRefusal", { maxRefusal: 1.1 }],
    ["classify", { classify: "failure" as never }],
    ["k", { k: 2 } as never]
  ]
  for (const [index, [option, options]] of refused.entries()) {
    it(`refuses ${option} (${index + 1}) before it is run`, () => {
      const error = refusal(() => Throttle.make(options))
      assert.deepStrictEqual([error.module, error.option], ["Throttle", option])
      assert.strictEqual(refusal(() => throttle(options)).option, option)
    })
  }
})

describe("over time", () => {
  const Seed = Schema.Int
  const Rate = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))

  /** Calls, so many each second, for so many seconds; how many reached the backend. */
  const load = Effect.fnUntraced(function* (
    policy: Throttle.Throttle["policy"],
    rate: number,
    seconds: number,
    backend: Effect.Effect<unknown, unknown>
  ) {
    let reached = 0
    const call = policy(
      Effect.suspend(() => {
        reached++
        return backend
      })
    )
    for (let i = 0; i < seconds; i++) {
      yield* times(rate, call)
      yield* TestClock.adjust("1 second")
    }
    return reached
  })

  it.effect.prop(
    "a healthy backend has every call, also one that fails less than half of the time",
    [Seed, Rate],
    ([seed, rate]) =>
      Effect.gen(function* () {
        const { policy } = yield* Throttle.make()
        assert.strictEqual(yield* load(policy, rate, 200, healthy), rate * 200)
        let odd = false
        const halves = Effect.suspend(() => {
          odd = !odd
          return odd ? healthy : dead
        })
        assert.strictEqual(yield* load(policy, rate, 200, halves), rate * 200)
      }).pipe(Random.withSeed(seed)),
    { arbitrary: { runs: 20 } }
  )

  it.effect.prop(
    "of n calls to a dead backend about the sum of 1/(i+1) reach it",
    [Seed],
    ([seed]) =>
      Effect.gen(function* () {
        const { policy } = yield* Throttle.make()
        const calls = 2000
        const reached = yield* load(policy, calls, 1, dead)
        // 8.2 expected, with a standard deviation of 2.6.
        const expected = Array.from({ length: calls }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b)
        assert.approximately(reached, expected, 16)
        assert.isAtLeast(reached, 1)
      }).pipe(Random.withSeed(seed)),
    { arbitrary: { runs: 50 } }
  )

  it.effect.prop(
    "after an outage it passes every call again, sooner with a maxRefusal",
    [Seed],
    ([seed]) =>
      Effect.gen(function* () {
        // Some 30 and 17 seconds are usual.
        for (const [options, seconds] of [
          [{}, 600],
          [{ maxRefusal: 0.9 }, 60]
        ] as const) {
          const { inspect, policy } = yield* Throttle.make({ window: "10 seconds", ...options })
          yield* load(policy, 10, 30, dead)
          assert.isAbove(inspect().refusal, 0.8)
          yield* load(policy, 10, seconds, healthy)
          assert.strictEqual(inspect().refusal, 0)
          assert.strictEqual(yield* load(policy, 10, 10, healthy), 100)
        }
      }).pipe(Random.withSeed(seed)),
    { arbitrary: { runs: 20 } }
  )
})

describe("the promise face", () => {
  it("passes calls, counts them, and rejects what it refuses with the same error", async () => {
    const { execute, inspect } = throttle({ name: "search" })
    assert.strictEqual(await execute(() => "ok"), "ok")
    assert.deepStrictEqual(inspect(), { requests: 1, accepts: 1, refusal: 0 })
    const rejections: Array<unknown> = []
    for (let i = 0; i < 200; i++) {
      await execute(() => Promise.reject(new Error("dead"))).catch((error: unknown) => rejections.push(error))
    }
    assert.strictEqual(inspect().requests, 201)
    const refusals = rejections.filter((error) => error instanceof Throttle.ThrottleError)
    assert.isAtLeast(refusals.length, 100)
    assert.strictEqual(refusals[0]?.name, "search")
  })
})
