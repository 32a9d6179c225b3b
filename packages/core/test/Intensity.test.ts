import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as Intensity from "../src/Intensity.ts"
import { intensity } from "../src/internal/promise/intensity.ts"
import * as Outcome from "../src/Outcome.ts"
import { refusal } from "./support.ts"

describe("Intensity", () => {
  it("allows `limit` attempts within the window, and another once the oldest has left it", () => {
    const policy = { limit: 2, window: Duration.seconds(1) }
    const first = Intensity.attempt(policy, [], 0)
    const second = Intensity.attempt(policy, first ?? [], 400)
    assert.deepStrictEqual(second, [0, 400])
    assert.isUndefined(Intensity.attempt(policy, second ?? [], 999))
    assert.deepStrictEqual(Intensity.attempt(policy, second ?? [], 1000), [400, 1000])
  })

  it("allows none with a limit of 0", () => {
    assert.isUndefined(Intensity.attempt({ limit: 0, window: Duration.seconds(1) }, [], 0))
  })

  const Limit = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  const Gaps = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))).check(
    Schema.isMaxLength(80)
  )

  it.effect.prop(
    "never allows more than `limit` in any window, refuses only when it is full, and forgets what has left it",
    [Limit, Gaps],
    ([limit, gaps]) =>
      Effect.sync(() => {
        const window = 500
        const policy = { limit, window: Duration.millis(window) }
        const granted: Array<number> = []
        let attempts: Intensity.Attempts = []
        let now = 0
        for (const gap of gaps) {
          now += gap
          const within = granted.filter((at) => at > now - window)
          const after = Intensity.attempt(policy, attempts, now)
          assert.strictEqual(after === undefined, within.length >= limit)
          if (after === undefined) continue
          granted.push(now)
          attempts = after
          assert.isAtMost(attempts.length, limit)
        }
        for (const start of granted) {
          assert.isAtMost(granted.filter((at) => at >= start && at < start + window).length, limit)
        }
      }),
    { arbitrary: { runs: 300, size: 80 } }
  )
})

const call = Effect.succeed("called")

describe("the policy", () => {
  it.effect("lets `limit` calls pass within any window, and says when the next may", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Intensity.make({ limit: 2, window: "1 minute", name: "restarts" })
      assert.strictEqual(yield* policy(call), "called")
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(inspect(), { attempts: 1, retryAfter: Duration.zero })
      assert.strictEqual(yield* policy(call), "called")
      yield* TestClock.adjust("10 seconds")
      const error = yield* Effect.flip(policy(call))
      assert.strictEqual(error._tag, "IntensityError")
      assert.strictEqual(Duration.toSeconds(error.retryAfter), 30)
      assert.strictEqual(Duration.toSeconds(Outcome.retryAfter(error) ?? 0), 30)
      assert.strictEqual(
        error.message,
        "restarts: the call was not made, as there were 2 within 1m; find out what makes them necessary, or try again in 30s"
      )
      assert.strictEqual(inspect().attempts, 2)
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(Duration.toMillis((yield* Effect.flip(policy(call))).retryAfter), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* policy(call), "called")
      // Of the second, not of the first.
      assert.strictEqual(Duration.toSeconds((yield* Effect.flip(policy(call))).retryAfter), 20)
    })
  )

  it.effect("refuses before the call is made, with an error that says nothing about what would have been called", () =>
    Effect.gen(function* () {
      const { policy } = yield* Intensity.make({ limit: 1, window: "1 minute" })
      let made = 0
      const counted = policy(Effect.sync(() => (made += 1)))
      yield* counted
      const error = yield* Effect.flip(counted)
      assert.strictEqual(made, 1)
      assert.isTrue(Outcome.isRefusal(error))
    })
  )

  it.effect("counts calls that fail, die or are interrupted, and passes on how they ended", () =>
    Effect.gen(function* () {
      const { inspect, policy } = yield* Intensity.make({ limit: 3, window: "1 minute" })
      assert.strictEqual(yield* Effect.flip(policy(Effect.fail("no"))), "no")
      assert.strictEqual(yield* policy(Effect.die("a bug")).pipe(Effect.catchDefect(Effect.succeed)), "a bug")
      const fiber = yield* Effect.forkChild(policy(Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(inspect().attempts, 3)
      assert.strictEqual((yield* Effect.flip(policy(call)))._tag, "IntensityError")
    })
  )

  it.effect("counts refusals by its name", () =>
    Effect.gen(function* () {
      for (const [options, name] of [
        [{}, "intensity"],
        [{ name: "deploys" }, "deploys"]
      ] as const) {
        const { policy } = yield* Intensity.make({ limit: 1, window: "1 hour", ...options })
        yield* policy(call)
        yield* Effect.repeat(Effect.ignore(policy(call)), { times: 4 })
        const metric = (yield* Metric.snapshot).find(
          ({ attributes, id }) => id === "nexobot_intensity_refusals" && attributes?.["name"] === name
        )
        assert.isAtLeast(metric?.type === "Counter" ? Number(metric.state.count) : 0, 5)
      }
    })
  )

  it.effect("is not moved by steps of the wall clock", () =>
    Effect.gen(function* () {
      const { policy } = yield* Intensity.make({ limit: 1, window: "1 minute" })
      yield* policy(call)
      yield* TestClock.setTime(-3_600_000)
      const left = (yield* Effect.flip(policy(call))).retryAfter
      assert.isAtMost(Duration.toSeconds(left), 60)
    })
  )

  const bad: ReadonlyArray<readonly [options: object, option: string]> = [
    [{ window: "1 second" }, "limit"],
    [{ limit: 0, window: "1 second" }, "limit"],
    [{ limit: 1.5, window: "1 second" }, "limit"],
    [{ limit: Number.POSITIVE_INFINITY, window: "1 second" }, "limit"],
    [{ limit: 1 }, "window"],
    [{ limit: 1, window: 0 }, "window"],
    [{ limit: 1, window: Number.NaN }, "window"],
    [{ limit: 1, window: "Infinity" }, "window"],
    [{ limit: 1, window: "1 second", name: "" }, "name"],
    [{ limit: 1, window: "1 second", widow: 1 }, "widow"]
  ]
  for (const [options, option] of bad) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      const given = options as Intensity.IntensityOptions
      assert.deepInclude(
        refusal(() => Intensity.make(given)),
        { module: "Intensity", option }
      )
      assert.deepInclude(
        refusal(() => intensity(given)),
        { module: "Intensity", option }
      )
    })
  }

  it.effect.prop(
    "decides as the pure window does",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))).check(Schema.isMaxLength(60))
    ],
    ([limit, gaps]) =>
      Effect.gen(function* () {
        const window = Duration.millis(500)
        const { inspect, policy } = yield* Intensity.make({ limit, window })
        let attempts: Intensity.Attempts = []
        let now = 0
        for (const gap of gaps) {
          yield* TestClock.adjust(gap)
          now += gap
          const after = Intensity.attempt({ limit, window }, attempts, now)
          const passed = yield* policy(Effect.succeed(true)).pipe(Effect.orElseSucceed(() => false))
          assert.strictEqual(passed, after !== undefined)
          attempts = after ?? attempts
          assert.strictEqual(inspect().attempts, attempts.filter((at) => at > now - 500).length)
        }
      }),
    { arbitrary: { runs: 100, size: 60 } }
  )
})

describe("with promises", () => {
  it("lets `limit` calls pass, and rejects the others", async () => {
    const { execute, inspect } = intensity({ limit: 1, window: "1 hour", name: "restarts" })
    assert.strictEqual(await execute(() => "called"), "called")
    const error = await execute(() => "called").then(
      () => undefined,
      (cause: unknown) => cause
    )
    assert.instanceOf(error, Intensity.IntensityError)
    assert.strictEqual(inspect().attempts, 1)
  })
})
