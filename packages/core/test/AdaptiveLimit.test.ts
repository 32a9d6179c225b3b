import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as AdaptiveLimit from "../src/AdaptiveLimit.ts"
import { adaptiveLimit } from "../src/internal/promise/adaptiveLimit.ts"
import * as Outcome from "../src/Outcome.ts"
import { busyFor, interruptAll, Interrupted } from "./interruption.ts"
import { refusal } from "./support.ts"

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** Makes `count` calls at a time that take `millis` each, and waits for them. */
const burst = Effect.fnUntraced(function* (
  { policy }: AdaptiveLimit.AdaptiveLimit,
  count: number,
  millis: number,
  end: Effect.Effect<unknown, unknown> = Effect.void
) {
  const calls = yield* Effect.forEach(Array.from({ length: count }), () =>
    start(Effect.result(policy(Effect.andThen(Effect.sleep(millis), end))))
  )
  yield* TestClock.adjust(millis)
  const results = yield* Effect.forEach(calls, Fiber.join)
  return results.filter((result) => Result.isFailure(result) && Outcome.isRefusal(result.failure)).length
})

/** Ends one window of as many calls as the limit lets through, all of this latency, of each ten so many failing. */
const window = Effect.fnUntraced(function* (
  limiter: AdaptiveLimit.AdaptiveLimit,
  millis: number,
  options: { readonly failing?: number; readonly bursts?: number } = {}
) {
  const { limit } = limiter.inspect()
  const failing = Math.round(10 * (options.failing ?? 0))
  for (let made = 0; made < Math.max(options.bursts ?? 1, Math.ceil(10 / limit)); made++) {
    let call = 0
    yield* burst(
      limiter,
      limit,
      millis,
      Effect.suspend(() => (call++ % 10 < failing ? Effect.fail("no") : Effect.void))
    )
  }
})

/** With windows that last for one burst of at least 10 calls. */
const make = (options: AdaptiveLimit.AdaptiveLimitOptions = {}) =>
  AdaptiveLimit.make({ initial: 100, window: "10 millis", ...options })

/** A backend that is as fast with `capacity` calls at a time as with one, and slower in proportion with more. */
const backend = (initial: number, latency = 100) => {
  let capacity = initial
  let running = 0
  return {
    resize: (to: number) => {
      capacity = to
    },
    call: Effect.acquireUseRelease(
      Effect.sync(() => ++running),
      (now) => Effect.suspend(() => Effect.sleep(latency * Math.max(1, now / capacity))),
      () => Effect.sync(() => running--)
    )
  }
}

/** Workers that call without end; refused, they come again after a while. */
const load = (limiter: AdaptiveLimit.AdaptiveLimit, call: Effect.Effect<unknown>, workers = 80) =>
  Effect.forEach(Array.from({ length: workers }), () =>
    start(Effect.forever(limiter.policy(call).pipe(Effect.catch(() => Effect.sleep("130 millis")))))
  )

/** The limit, seen every second. */
const watch = Effect.fnUntraced(function* (limiter: AdaptiveLimit.AdaptiveLimit, seconds: number) {
  const seen: Array<number> = []
  for (let second = 0; second < seconds; second++) {
    yield* TestClock.adjust("1 second")
    seen.push(limiter.inspect().limit)
  }
  return seen
})

const mean = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length

describe("AdaptiveLimit", () => {
  it.effect("begins with 20 calls at a time unless told, and refuses the next", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* AdaptiveLimit.make({ name: "api" })
      const calls = yield* Effect.forEach(Array.from({ length: 20 }), () => start(policy(Effect.never)))
      let made = false
      const error = yield* Effect.flip(policy(Effect.sync(() => (made = true))))
      assert.isFalse(made)
      assert.deepStrictEqual(error.reason, new AdaptiveLimit.LimitReached({ limit: 20 }))
      assert.include(error.message, 'the limit "api" is reached: 20 calls run')
      assert.isTrue(Outcome.isRefusal(error))
      assert.strictEqual(Outcome.byResult(Result.fail(error)), "ignored")
      assert.deepStrictEqual(inspect(), { limit: 20, running: 20, baseline: undefined })
      yield* Fiber.interruptAll(calls)
      assert.strictEqual(inspect().running, 0)
    })
  )

  it.effect("passes success, failure and defects", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* AdaptiveLimit.make({ initial: 1 })
      assert.strictEqual(yield* policy(Effect.succeed(1)), 1)
      assert.deepStrictEqual(yield* Effect.exit(policy(Effect.fail("no"))), Exit.fail("no"))
      assert.deepStrictEqual(yield* Effect.exit(policy(Effect.die("bug"))), Exit.die("bug"))
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(policy(Effect.interrupt))))
      assert.strictEqual(inspect().running, 0)
    })
  )

  it.effect("grows by its square root while calls are as fast as ever", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* window(limiter, 100)
      assert.deepStrictEqual(limiter.inspect(), { limit: 110, running: 0, baseline: Duration.millis(100) })
      yield* window(limiter, 100)
      assert.strictEqual(limiter.inspect().limit, 120)
    })
  )

  it.effect("does not grow while less than half of it is used", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* burst(limiter, 49, 100)
      assert.strictEqual(limiter.inspect().limit, 100)
      yield* burst(limiter, 50, 100)
      assert.strictEqual(limiter.inspect().limit, 110)
    })
  )

  it.effect("shrinks by what calls are slower than the baseline × 1.5, to half at most", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* burst(limiter, 10, 100)
      yield* window(limiter, 150)
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* window(limiter, 200)
      assert.strictEqual(limiter.inspect().limit, Math.floor(110 * 0.75))
      yield* window(limiter, 10_000)
      assert.strictEqual(limiter.inspect().limit, 41)
    })
  )

  it.effect("has another tolerance when told", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ tolerance: 2 })
      yield* burst(limiter, 10, 100)
      yield* window(limiter, 200)
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* window(limiter, 250)
      assert.strictEqual(limiter.inspect().limit, 88)
    })
  )

  it.effect("judges by the median: one slow call in ten is none", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* burst(limiter, 10, 100)
      const slow = yield* start(limiter.policy(Effect.sleep("190 millis")))
      yield* burst(limiter, 60, 95)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      assert.strictEqual(limiter.inspect().limit, 110)
    })
  )

  it.effect("decreases to 0.9 after a window in which more than a tenth failed", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* window(limiter, 100, { failing: 0.1 })
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* window(limiter, 100, { failing: 0.2 })
      assert.strictEqual(limiter.inspect().limit, 99)
      yield* window(limiter, 100, { failing: 1 })
      assert.strictEqual(limiter.inspect().limit, 89)
    })
  )

  it.effect("has another backoff and another share of failures when told", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ backoff: 0.5, failureRatio: 0.5 })
      yield* window(limiter, 100, { failing: 0.5 })
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* window(limiter, 100, { failing: 0.6 })
      assert.strictEqual(limiter.inspect().limit, 55)
    })
  )

  it.effect("asks `classify`, and counts neither what is ignored nor interruptions", () =>
    Effect.gen(function* () {
      const limiter = yield* make({
        classify: (result) => (Result.isSuccess(result) ? (result.success === 503 ? "failure" : "success") : "ignored")
      })
      yield* burst(limiter, 100, 100, Effect.fail("mine"))
      const calls = yield* Effect.forEach(Array.from({ length: 50 }), () => start(limiter.policy(Effect.never)))
      yield* Fiber.interruptAll(calls)
      assert.deepStrictEqual(limiter.inspect(), { limit: 100, running: 0, baseline: undefined })
      yield* burst(limiter, 100, 100, Effect.succeed(503))
      assert.strictEqual(limiter.inspect().limit, 90)
    })
  )

  it.effect("changes once per window, and after 10 calls that began in it", () =>
    Effect.gen(function* () {
      const limiter = yield* AdaptiveLimit.make({ initial: 100 })
      yield* window(limiter, 100, { bursts: 9 })
      assert.strictEqual(limiter.inspect().limit, 100)
      yield* burst(limiter, 1, 100)
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* TestClock.adjust("10 seconds")
      for (let call = 0; call < 9; call++) yield* burst(limiter, 1, 1)
      // What began before the limit changed does not count, however late it ends.
      assert.strictEqual(limiter.inspect().baseline?.pipe(Duration.toMillis), 100)
      yield* burst(limiter, 1, 1)
      assert.strictEqual(limiter.inspect().baseline?.pipe(Duration.toMillis), 1)
    })
  )

  it.effect("does not judge the present limit by calls that began under another", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      const old = yield* Effect.forEach(Array.from({ length: 40 }), () =>
        start(limiter.policy(Effect.sleep("10 seconds")))
      )
      yield* burst(limiter, 60, 100)
      assert.strictEqual(limiter.inspect().limit, 110)
      yield* TestClock.adjust("10 seconds")
      yield* Effect.forEach(old, Fiber.join)
      assert.deepStrictEqual(limiter.inspect(), { limit: 110, running: 0, baseline: Duration.millis(100) })
    })
  )

  it.effect("steps of the wall clock move nothing", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* burst(limiter, 10, 100)
      const clock = yield* Clock.Clock
      const stepped: Clock.Clock = {
        currentTimeMillis: Effect.succeed(0),
        currentTimeMillisUnsafe: () => 0,
        currentTimeNanos: Effect.succeed(0n),
        currentTimeNanosUnsafe: () => 0n,
        monotonicTimeNanos: clock.monotonicTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        sleep: (duration) => clock.sleep(duration)
      }
      const other = yield* Effect.provideService(make(), Clock.Clock, stepped)
      yield* burst(other, 10, 100)
      assert.deepStrictEqual(other.inspect(), limiter.inspect())
    })
  )

  it.effect("converges near the capacity of the backend, from above and from below", () =>
    Effect.gen(function* () {
      for (const initial of [2, 70]) {
        const limiter = yield* AdaptiveLimit.make({ initial, tolerance: 1.1 })
        const workers = yield* load(limiter, backend(20).call)
        yield* watch(limiter, 40)
        const settled = yield* watch(limiter, 30)
        // Half of the limit is tried now and then.
        assert.isAtLeast(Math.min(...settled), 9, `from ${initial}: ${settled.join()}`)
        assert.isAtMost(Math.max(...settled), 31, `from ${initial}: ${settled.join()}`)
        assert.approximately(mean(settled), 20, 5, `from ${initial}: ${settled.join()}`)
        yield* Fiber.interruptAll(workers)
        assert.strictEqual(limiter.inspect().running, 0)
      }
    })
  )

  it.effect("lets as many queue at the backend as the tolerance says", () =>
    Effect.gen(function* () {
      const limiter = yield* AdaptiveLimit.make({ initial: 10 })
      const workers = yield* load(limiter, backend(20).call)
      yield* watch(limiter, 30)
      const settled = yield* watch(limiter, 30)
      assert.approximately(mean(settled), 1.5 * 20, 5, settled.join())
      yield* Fiber.interruptAll(workers)
    })
  )

  it.effect("follows a capacity that falls, and recovers upward when it grows", () =>
    Effect.gen(function* () {
      const { call, resize } = backend(40)
      const limiter = yield* AdaptiveLimit.make({ initial: 10, tolerance: 1.1 })
      const workers = yield* load(limiter, call, 100)
      yield* watch(limiter, 40)
      assert.approximately(mean(yield* watch(limiter, 20)), 40, 10)
      resize(10)
      yield* watch(limiter, 40)
      assert.approximately(mean(yield* watch(limiter, 20)), 10, 4)
      resize(40)
      yield* watch(limiter, 40)
      assert.approximately(mean(yield* watch(limiter, 20)), 40, 10)
      yield* Fiber.interruptAll(workers)
    })
  )

  it.effect("measures the baseline anew at the least limit, when the backend has become slower for good", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ initial: 16, min: 2 })
      yield* window(limiter, 100)
      for (let count = 0; count < 8 && limiter.inspect().limit > 2; count++) yield* window(limiter, 400)
      assert.deepStrictEqual(limiter.inspect(), { limit: 2, running: 0, baseline: Duration.millis(100) })
      yield* window(limiter, 400)
      assert.deepStrictEqual(limiter.inspect().baseline, Duration.millis(400))
      assert.isAbove(limiter.inspect().limit, 2)
      yield* window(limiter, 400)
      yield* window(limiter, 400)
      assert.isAbove(limiter.inspect().limit, 4)
    })
  )

  it.effect("tries half of the limit every 20 windows, and goes back when calls are no faster", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ max: 100 })
      for (let made = 0; made < 19; made++) yield* window(limiter, 100)
      assert.strictEqual(limiter.inspect().limit, 100)
      yield* window(limiter, 100)
      assert.strictEqual(limiter.inspect().limit, 55)
      yield* window(limiter, 90)
      assert.deepStrictEqual(limiter.inspect(), { limit: 100, running: 0, baseline: Duration.millis(90) })
    })
  )

  it.effect("keeps half of the limit when calls are that much faster, and tries half of that", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ max: 100 })
      for (let made = 0; made < 20; made++) yield* window(limiter, 400)
      yield* window(limiter, 200)
      assert.deepStrictEqual(limiter.inspect(), { limit: 55, running: 0, baseline: Duration.millis(200) })
      yield* window(limiter, 200)
      assert.strictEqual(limiter.inspect().limit, 31)
      yield* window(limiter, 200)
      assert.strictEqual(limiter.inspect().limit, 62)
    })
  )

  const Step = Schema.Struct({
    calls: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })),
    millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 500 })),
    end: Schema.Literals(["succeed", "fail", "die", "interrupt"])
  })
  const Bound = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))

  it.effect.prop(
    "stays from `min` to `max`, never runs more than that, and forgets no call, whatever happens",
    [Schema.Array(Step).check(Schema.isMaxLength(20)), Bound, Bound],
    ([steps, one, other]) =>
      Effect.gen(function* () {
        const [min, max] = [Math.min(one, other), Math.max(one, other)]
        const limiter = yield* AdaptiveLimit.make({ min, max, window: "10 millis" })
        let running = 0
        for (const { calls, end, millis } of steps) {
          const ends = {
            succeed: Effect.void,
            fail: Effect.fail("no"),
            die: Effect.die("bug"),
            interrupt: Effect.interrupt
          }
          const { limit } = limiter.inspect()
          const fibers = yield* Effect.forEach(Array.from({ length: calls }), () =>
            start(
              limiter.policy(
                Effect.acquireUseRelease(
                  Effect.sync(() => running++),
                  () => Effect.andThen(Effect.sleep(millis), ends[end]),
                  () => Effect.sync(() => running--)
                )
              )
            )
          )
          if (millis > 0) {
            assert.strictEqual(running, Math.min(calls, limit))
            assert.strictEqual(limiter.inspect().running, running)
          }
          yield* TestClock.adjust(millis)
          yield* Fiber.awaitAll(fibers)
          assert.deepStrictEqual([running, limiter.inspect().running], [0, 0])
          assert.isAtLeast(limiter.inspect().limit, min)
          assert.isAtMost(limiter.inspect().limit, max)
        }
      }),
    { arbitrary: { runs: 200, size: 40 } }
  )

  it.effect("shows the limit, and counts refusals, by name", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ name: "shown" })
      const attributes = { name: "shown" }
      const gauge = Metric.gauge("nexobot_adaptive_limit_limit", {
        description: "Calls that may run at a time",
        attributes
      })
      const counter = Metric.counter("nexobot_adaptive_limit_refusals", {
        description: "Calls that an adaptive limit refused",
        incremental: true,
        attributes
      })
      assert.strictEqual((yield* Metric.value(gauge)).value, 100)
      assert.strictEqual(yield* burst(limiter, 103, 100), 3)
      assert.strictEqual((yield* Metric.value(gauge)).value, 110)
      assert.strictEqual((yield* Metric.value(counter)).count, 3)
    })
  )

  it.effect("begins with the nearest to 20 that is allowed, unless told", () =>
    Effect.gen(function* () {
      const limits = yield* Effect.forEach([{}, { max: 5 }, { min: 50 }, { min: 2000 }], (options) =>
        Effect.map(AdaptiveLimit.make(options), ({ inspect }) => inspect().limit)
      )
      assert.deepStrictEqual(limits, [20, 5, 50, 2000])
    })
  )

  const bad: ReadonlyArray<readonly [options: object, option: string]> = [
    [{ initial: 0 }, "initial"],
    [{ initial: 1.5 }, "initial"],
    [{ initial: 3, min: 4 }, "initial"],
    [{ initial: 5, max: 4 }, "initial"],
    [{ min: 0 }, "min"],
    [{ max: 0 }, "max"],
    [{ min: 5, max: 4 }, "max"],
    [{ tolerance: 0.9 }, "tolerance"],
    [{ tolerance: 11 }, "tolerance"],
    [{ backoff: 0 }, "backoff"],
    [{ backoff: 1 }, "backoff"],
    [{ failureRatio: -0.1 }, "failureRatio"],
    [{ failureRatio: 1 }, "failureRatio"],
    [{ window: "9 millis" }, "window"],
    [{ window: Number.POSITIVE_INFINITY }, "window"],
    [{ classify: "all" }, "classify"],
    [{ name: "" }, "name"],
    [{ limit: 1 }, "limit"]
  ]
  for (const [options, option] of bad) {
    it(`refuses ${JSON.stringify(options)} for "${option}"`, () => {
      for (const construct of [AdaptiveLimit.make, adaptiveLimit]) {
        assert.strictEqual(refusal(() => construct(options as AdaptiveLimit.AdaptiveLimitOptions)).option, option)
      }
    })
  }

  it.effect.prop(
    "counts down to nothing, at whatever operation calls are interrupted",
    [Schema.Array(Interrupted).check(Schema.isMaxLength(12))],
    ([calls]) =>
      Effect.gen(function* () {
        const { inspect, policy } = yield* AdaptiveLimit.make({ initial: 3 })
        let running = 0
        let most = 0
        yield* interruptAll(calls, (ends) =>
          policy(
            Effect.acquireUseRelease(
              Effect.sync(() => (most = Math.max(most, ++running))),
              () => (ends ? busyFor(5, Effect.void) : Effect.never),
              () => Effect.sync(() => running--)
            )
          )
        )
        assert.isAtMost(most, 3)
        assert.deepStrictEqual([running, inspect().running], [0, 0])
      }),
    { arbitrary: { runs: 300, size: 12 } }
  )

  it("refuses calls of plain Node, and shows its state", async () => {
    const { execute, inspect } = adaptiveLimit({ initial: 1 })
    const gate = Promise.withResolvers<string>()
    const first = execute(() => gate.promise)
    const error = await execute(() => "second").catch((reason: unknown) => reason)
    assert.instanceOf(error, AdaptiveLimit.AdaptiveLimitError)
    assert.deepStrictEqual(inspect(), { limit: 1, running: 1, baseline: undefined })
    gate.resolve("first")
    assert.strictEqual(await first, "first")
    assert.strictEqual(inspect().running, 0)
  })
})
