import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as Backoff from "../src/Backoff.ts"
import { retry } from "../src/internal/promise/retry.ts"
import * as Monotonic from "../src/Monotonic.ts"
import * as Outcome from "../src/Outcome.ts"
import type { Policy } from "../src/Policy.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryAfter from "../src/RetryAfter.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import { refusal } from "./support.ts"

class Down extends Data.TaggedError("Down")<{ readonly retryAfter?: Duration.Duration }> {}

class Refused extends Data.TaggedError("Refused")<{ readonly retryAfter?: Duration.Duration }> {
  readonly [Outcome.refusal] = true
}

const down = new Down({})
const every100 = Backoff.constant("100 millis")

/** A call, and the times at which it was made, from the first. */
const recorded = <A, E, R>(answer: (attempt: number) => Effect.Effect<A, E, R>) => {
  const times: Array<number> = []
  return {
    times: () => times.map((at) => at - (times[0] ?? 0)),
    call: Effect.flatMap(Monotonic.millis, (now) => answer(times.push(now)))
  }
}

const failing = () => recorded(() => Effect.fail(down))

/** How it ends, with as much time as it needs. */
const ended = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.exit(effect))
    yield* TestClock.adjust("10 days")
    return yield* Fiber.join(fiber)
  })

/** Every draw is `seed`. */
const withSeed = (seed: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => seed })

const retryErrorOf = <E>(exit: Exit.Exit<unknown, E | Retry.RetryError<E>>): Retry.RetryError<E> => {
  const error = Exit.isFailure(exit) && exit.cause.reasons[0]
  if (error && error._tag === "Fail" && error.error instanceof Retry.RetryError) return error.error
  return assert.fail(`no RetryError: ${String(exit)}`)
}

describe("Retry", () => {
  it.effect("returns what a later attempt does", () =>
    Effect.gen(function* () {
      const { call, times } = recorded((n) => (n < 3 ? Effect.fail(down) : Effect.succeed(n)))
      assert.deepStrictEqual(yield* ended(Retry.make({ backoff: every100 }).policy(call)), Exit.succeed(3))
      assert.deepStrictEqual(times(), [0, 100, 200])
    })
  )

  it.effect("makes 3 attempts unless told, and fails as the last did", () =>
    Effect.gen(function* () {
      const errors = [new Down({}), new Down({}), new Down({})]
      const { call, times } = recorded((n) => Effect.fail(errors[n - 1]))
      const exit = yield* ended(Retry.make().policy(call))
      assert.strictEqual(times().length, 3)
      assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
      if (Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail") {
        assert.strictEqual(exit.cause.reasons[0].error, errors[2])
      }
    })
  )

  it.effect("pauses with full jitter unless told: anything from nothing to the whole delay", () =>
    Effect.gen(function* () {
      for (const [seed, wanted] of [
        [0, [0, 0, 0]],
        [0.5, [0, 50, 150]]
      ] as const) {
        const { call, times } = failing()
        yield* withSeed(seed)(ended(Retry.make().policy(call)))
        assert.deepStrictEqual(times(), [...wanted])
      }
    })
  )

  it.effect("attempts: is how many there are, with the first", () =>
    Effect.gen(function* () {
      for (const attempts of [1, 2, 7]) {
        const { call, times } = failing()
        const exit = yield* ended(Retry.make({ attempts, backoff: every100 }).policy(call))
        assert.deepStrictEqual(exit, Exit.fail(down))
        assert.strictEqual(times().length, attempts)
      }
    })
  )

  it.effect("backoff: is the pause", () =>
    Effect.gen(function* () {
      const { call, times } = failing()
      const backoff = Backoff.exponential({ initial: "1 second", factor: 3, jitter: "none" })
      yield* ended(Retry.make({ attempts: 4, backoff }).policy(call))
      assert.deepStrictEqual(times(), [0, 1000, 4000, 13_000])
    })
  )

  it.effect("a backoff that says never ends it", () =>
    Effect.gen(function* () {
      const { call, times } = failing()
      const exit = yield* ended(Retry.make({ backoff: { delay: () => Infinity } }).policy(call))
      assert.deepStrictEqual([exit, times()], [Exit.fail(down), [0]])
    })
  )

  it.effect("while: ends it with the failure as it is", () =>
    Effect.gen(function* () {
      const { call, times } = recorded((n) => Effect.fail(n))
      const policy = Retry.make({ attempts: 9, backoff: every100, while: (error) => error !== 2 }).policy
      assert.deepStrictEqual(yield* ended(policy(call)), Exit.fail(2))
      assert.deepStrictEqual(times(), [0, 100])
    })
  )

  it.effect("tells the effect the number of its attempt, also in a retry within a retry", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [outer: number, inner: number]> = []
      const twice = Retry.make({ attempts: 2, backoff: every100 })
      const inner = (outer: number) =>
        Effect.flatMap(Retry.Attempt, (n) => {
          seen.push([outer, n])
          return Effect.fail(down)
        })
      yield* ended(twice.policy(Effect.flatMap(Retry.Attempt, (outer) => twice.policy(inner(outer)))))
      assert.deepStrictEqual(seen, [
        [1, 1],
        [1, 2],
        [2, 1],
        [2, 2]
      ])
      assert.strictEqual(yield* Retry.Attempt, 1)
    })
  )

  it.effect("does not grow with the number of attempts", () =>
    Effect.gen(function* () {
      const { call } = recorded((n) => (n < 20_000 ? Effect.fail(down) : Effect.succeed(n)))
      const policy = Retry.make({ attempts: 1_000_000, backoff: Backoff.constant(0) }).policy
      assert.strictEqual(yield* TestClock.withLive(policy(call)), 20_000)
    })
  )

  it.effect("is a policy as any other, and keeps the type of the cause", () =>
    Effect.gen(function* () {
      const patient = Retry.make({ backoff: every100 })
      const policy: Policy<Retry.RetryError> = patient.policy
      assert.deepStrictEqual(yield* ended(policy(Effect.fail("x"))), Exit.fail("x"))
      const guarded: Effect.Effect<never, Down | Retry.RetryError<Down>> = patient.policy(Effect.fail(down))
      assert.deepStrictEqual(yield* ended(guarded), Exit.fail(down))
    })
  )
})

describe("what is never retried", () => {
  const policy = Retry.make({ attempts: 5, backoff: every100 }).policy

  it.effect("a defect, alone or beside a failure", () =>
    Effect.gen(function* () {
      const bug = new Error("a bug")
      const { call, times } = recorded(() => Effect.die(bug))
      assert.deepStrictEqual(yield* ended(policy(call)), Exit.die(bug))
      const both = recorded(() => Effect.failCause(Cause.combine(Cause.fail(down), Cause.die(bug))))
      const exit = yield* ended(policy(both.call))
      assert.deepStrictEqual(Exit.isFailure(exit) ? exit.cause.reasons.map((reason) => reason._tag) : [], [
        "Fail",
        "Die"
      ])
      assert.deepStrictEqual([times(), both.times()], [[0], [0]])
    })
  )

  it.effect("an interruption from within", () =>
    Effect.gen(function* () {
      const { call, times } = recorded(() => Effect.interrupt)
      const exit = yield* ended(policy(call))
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(times(), [0])
    })
  )

  it.effect("a refusal by a policy, unless it says for how long", () =>
    Effect.gen(function* () {
      const never = recorded(() => Effect.fail(new Refused({})))
      assert.deepStrictEqual(yield* ended(policy(never.call)), Exit.fail(new Refused({})))
      assert.deepStrictEqual(never.times(), [0])
      const later = recorded((n) =>
        n === 1 ? Effect.fail(new Refused({ retryAfter: Duration.seconds(7) })) : Effect.succeed(n)
      )
      assert.deepStrictEqual(yield* ended(policy(later.call)), Exit.succeed(2))
      assert.deepStrictEqual(later.times(), [0, 7100])
    })
  )

  it.effect("what an inner retry had no budget for", () =>
    Effect.gen(function* () {
      const inner = Retry.make({ budget: yield* RetryBudget.make({ floor: 0 }) })
      const { call, times } = failing()
      assert.strictEqual(retryErrorOf(yield* ended(policy(inner.policy(call)))).reason._tag, "BudgetExhausted")
      assert.deepStrictEqual(times(), [0])
    })
  )
})

const retryAfter = (error: unknown, now: number) =>
  typeof error === "object" && error !== null && "headers" in error
    ? RetryAfter.fromHeaders(error.headers as RetryAfter.HeadersLike, now)
    : undefined

describe("retryAfter", () => {
  it.effect("is waited for, and the backoff on top, so that callers do not return together", () =>
    Effect.gen(function* () {
      const { call, times } = recorded(() => Effect.fail(new Down({ retryAfter: Duration.seconds(5) })))
      yield* withSeed(0.5)(ended(Retry.make().policy(call)))
      assert.deepStrictEqual(times(), [0, 5050, 10_150])
    })
  )

  it.effect("can be read from anything, with the wall time for dates; the error's own stands in for silence", () =>
    Effect.gen(function* () {
      const answers: ReadonlyArray<unknown> = [
        { headers: { "retry-after": "3" } },
        { headers: { "retry-after": "Thu, 01 Jan 1970 00:01:00 GMT" } },
        new Down({ retryAfter: Duration.seconds(2) }),
        "nothing"
      ]
      const { call, times } = recorded((n) => Effect.fail(answers[n - 1]))
      const policy = Retry.make({ attempts: 5, backoff: Backoff.constant(0), retryAfter }).policy
      yield* TestClock.setTime(0)
      yield* ended(policy(call))
      assert.deepStrictEqual(times(), [0, 3000, 60_000, 62_000, 62_000])
    })
  )

  const answers: ReadonlyArray<readonly [asked: unknown, times: ReadonlyArray<number>]> = [
    [50, [0, 150]],
    ["1 second", [0, 1100]],
    [-50, [0, 100]],
    [Number.NaN, [0, 100]],
    ["soon", [0, 100]],
    [undefined, [0, 100]],
    // Never.
    [Duration.infinity, [0]]
  ]
  for (const [asked, wanted] of answers) {
    it.effect(`asks for ${String(asked)}`, () =>
      Effect.gen(function* () {
        const { call, times } = failing()
        const policy = Retry.make({ attempts: 2, backoff: every100, retryAfter: () => asked as never }).policy
        assert.deepStrictEqual(yield* ended(policy(call)), Exit.fail(down))
        assert.deepStrictEqual(times(), [...wanted])
      })
    )
  }
})

/** Hangs twice. */
const hanging = () => {
  let interrupted = 0
  const one = recorded((n) =>
    n < 3 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)) : Effect.succeed("late but well")
  )
  return { ...one, interrupted: () => interrupted }
}

describe("attemptTimeout", () => {
  it.effect("interrupts an attempt, which counts as one that failed", () =>
    Effect.gen(function* () {
      const { call, interrupted, times } = hanging()
      const exit = yield* ended(Retry.make({ backoff: every100, attemptTimeout: "2 seconds" }).policy(call))
      assert.deepStrictEqual(exit, Exit.succeed("late but well"))
      assert.deepStrictEqual(times(), [0, 2100, 4200])
      assert.strictEqual(interrupted(), 2)
    })
  )

  it.effect("is the error when it was the last attempt; the last failure of the call, if any, is its cause", () =>
    Effect.gen(function* () {
      const policy = Retry.make({ attempts: 2, backoff: every100, attemptTimeout: "2 seconds" }).policy
      const error = retryErrorOf(yield* ended(policy(hanging().call)))
      assert.deepStrictEqual([error.reason._tag, error.attempts, error.cause], ["AttemptTimedOut", 2, undefined])
      assert.include(error.message, "gave up after 2 attempts: the last did not end within 2s")
      const mixed = recorded((n) => (n === 1 ? Effect.fail(down) : Effect.never))
      assert.strictEqual(retryErrorOf(yield* ended(policy(mixed.call))).cause, down)
    })
  )

  it.effect("changes nothing for attempts that are quick, however they end", () =>
    Effect.gen(function* () {
      const policy = Retry.make({ attempts: 2, backoff: every100, attemptTimeout: "2 seconds" }).policy
      assert.deepStrictEqual(yield* ended(policy(Effect.succeed(1))), Exit.succeed(1))
      assert.deepStrictEqual(yield* ended(policy(Effect.fail(down))), Exit.fail(down))
      assert.deepStrictEqual(yield* ended(policy(Effect.die("a bug"))), Exit.die("a bug"))
    })
  )
})

describe("totalTimeout", () => {
  it.effect("interrupts the attempt that runs when the time is over", () =>
    Effect.gen(function* () {
      let interruptedAt = -1
      const { call, times } = recorded((n) =>
        n === 1
          ? Effect.fail(down)
          : Effect.onInterrupt(Effect.never, () =>
              Effect.map(Monotonic.millis, (now) => {
                interruptedAt = now
              })
            )
      )
      const start = yield* Monotonic.millis
      const policy = Retry.make({ attempts: 9, backoff: every100, totalTimeout: "3 seconds" }).policy
      const error = retryErrorOf(yield* ended(policy(call)))
      assert.deepStrictEqual([error.reason._tag, error.attempts, error.cause], ["DeadlineExceeded", 2, down])
      assert.include(error.message, "does not fit into the total timeout of 3s")
      assert.deepStrictEqual([interruptedAt - start, times()], [3000, [0, 100]])
    })
  )

  it.effect("ends it before a pause that would leave no time, at once", () =>
    Effect.gen(function* () {
      const asking = recorded(() => Effect.fail(new Down({ retryAfter: Duration.minutes(5) })))
      const before = yield* Monotonic.millis
      const policy = Retry.make({ totalTimeout: "1 minute" }).policy
      // Without moving the clock.
      const error = yield* Effect.flip(policy(asking.call))
      assert.isTrue(error instanceof Retry.RetryError && error.reason._tag === "DeadlineExceeded")
      assert.isTrue(error instanceof Retry.RetryError && error.cause instanceof Down)
      assert.strictEqual(yield* Monotonic.millis, before)
      assert.deepStrictEqual(asking.times(), [0])
    })
  )

  it.effect("leaves attempts and pauses alone that fit, and wins over a longer attempt timeout", () =>
    Effect.gen(function* () {
      const { call, times } = failing()
      const options = { backoff: every100, totalTimeout: "201 millis", attemptTimeout: "1 hour" } as const
      assert.deepStrictEqual(yield* ended(Retry.make(options).policy(call)), Exit.fail(down))
      assert.deepStrictEqual(times(), [0, 100, 200])
      const error = retryErrorOf(yield* ended(Retry.make(options).policy(Effect.never)))
      assert.deepStrictEqual([error.reason._tag, error.attempts], ["DeadlineExceeded", 1])
      // Also when no attempt is left.
      const only = Retry.make({ ...options, attempts: 1 }).policy
      assert.strictEqual(retryErrorOf(yield* ended(only(Effect.never))).reason._tag, "DeadlineExceeded")
    })
  )

  it.effect("is not moved by a step of the wall clock", () =>
    Effect.gen(function* () {
      const test = yield* Clock.Clock
      let step = 0
      const stepping: Clock.Clock = Object.assign(Object.create(test) as Clock.Clock, {
        currentTimeMillisUnsafe: () => test.currentTimeMillisUnsafe() + step,
        currentTimeMillis: Effect.map(test.currentTimeMillis, (now) => now + step)
      })
      const { call, times } = recorded(() => {
        step -= 3_600_000
        return Effect.fail(down)
      })
      const policy = Retry.make({ attempts: 9, backoff: every100, totalTimeout: "250 millis" }).policy
      const exit = yield* ended(Effect.provideService(policy(call), Clock.Clock, stepping))
      assert.strictEqual(retryErrorOf(exit).reason._tag, "DeadlineExceeded")
      assert.deepStrictEqual(times(), [0, 100, 200])
    })
  )
})

describe("budget", () => {
  it.effect(
    "acceptance(core-and-probes 7): an empty one gives the original error with BudgetExhausted and no pause",
    () =>
      Effect.gen(function* () {
        const budget = yield* RetryBudget.make({ floor: 0 })
        const { call, times } = failing()
        const before = yield* Monotonic.millis
        const error = yield* Effect.flip(Retry.make({ budget, backoff: every100 }).policy(call))
        assert.isTrue(error instanceof Retry.RetryError)
        if (!(error instanceof Retry.RetryError)) return
        assert.deepStrictEqual([error.reason._tag, error.attempts], ["BudgetExhausted", 1])
        assert.strictEqual(error.cause, down)
        assert.include(error.message, "gave up after 1 attempt: the retry budget is exhausted")
        assert.strictEqual(yield* Monotonic.millis, before)
        assert.deepStrictEqual(times(), [0])
      })
  )

  it.effect("counts calls and retries, of all that share it", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make({ ratio: 0.4, floor: 0, window: "1 day" })
      const first = Retry.make({ budget, backoff: every100 }).policy
      const second = Retry.make({ budget, backoff: every100 }).policy
      for (let i = 0; i < 4; i++) yield* first(Effect.succeed(i))
      const { call, times } = failing()
      const fiber = yield* Effect.forkChild(Effect.exit(second(call)))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail(down))
      assert.strictEqual(times().length, 3)
      assert.deepStrictEqual(budget.inspect(), { calls: 5, retries: 2, available: 0 })
      assert.strictEqual((yield* Effect.flip(Effect.asVoid(first(call)))) instanceof Retry.RetryError, true)
    })
  )

  it.effect("is not spent on retries that are not made", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make({ floor: 1 })
      yield* Effect.flip(Retry.make({ budget, attempts: 1 }).policy(Effect.fail(down)))
      yield* Effect.flip(Retry.make({ budget, while: () => false }).policy(Effect.fail(down)))
      yield* Effect.flip(Retry.make({ budget, backoff: every100, totalTimeout: 50 }).policy(Effect.fail(down)))
      assert.deepStrictEqual([budget.inspect().calls, budget.inspect().retries], [3, 0])
    })
  )
})

describe("interruption", () => {
  it.effect("acceptance(core-and-probes 5): in a pause returns at once, and no further attempt is made", () =>
    Effect.gen(function* () {
      const { call, times } = failing()
      const fiber = yield* Effect.forkChild(Retry.make({ backoff: Backoff.constant("1 hour") }).policy(call))
      yield* TestClock.adjust("1 second")
      const before = yield* Monotonic.millis
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual(yield* Monotonic.millis, before)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(times(), [0])
    })
  )

  it.effect("of an attempt ends it, and no further attempt is made", () =>
    Effect.gen(function* () {
      for (const limits of [{}, { attemptTimeout: "1 minute" }, { totalTimeout: "1 minute" }] as const) {
        let interrupted = 0
        const { call, times } = recorded(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)))
        const fiber = yield* Effect.forkChild(Retry.make({ backoff: every100, ...limits }).policy(call))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual([interrupted, times()], [1, [0]])
      }
    })
  )
})

describe("metrics", () => {
  it.effect("count retries and why there was no other, by name; nothing for a call that succeeds at once", () =>
    Effect.gen(function* () {
      const name = "the metrics of this test"
      const value = (id: string, reason?: string) =>
        Effect.map(Metric.snapshot, (all) => {
          const wanted = JSON.stringify(reason === undefined ? { name } : { name, reason })
          const one = all.find((metric) => metric.id === id && JSON.stringify(metric.attributes) === wanted)
          return one?.type === "Counter" ? Number(one.state.count) : 0
        })
      const policy = Retry.make({ name, backoff: every100, totalTimeout: "1 second" }).policy
      yield* policy(Effect.succeed(1))
      assert.strictEqual(yield* value("nexobot_retry_retries"), 0)
      yield* ended(policy(Effect.fail(down)))
      yield* ended(policy(Effect.never))
      assert.strictEqual(yield* value("nexobot_retry_retries"), 2)
      assert.strictEqual(yield* value("nexobot_retry_gave_up", "AttemptsExhausted"), 1)
      assert.strictEqual(yield* value("nexobot_retry_gave_up", "DeadlineExceeded"), 1)
      yield* ended(Retry.make({ name, retryAfter: () => Duration.infinity }).policy(Effect.fail(down)))
      assert.strictEqual(yield* value("nexobot_retry_gave_up", "NeverAgain"), 1)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

describe("options that cannot work", () => {
  const refused: ReadonlyArray<readonly [option: string, options: Retry.RetryOptions]> = [
    ["name", { name: "" }],
    ["attempts", { attempts: 0 }],
    ["attempts", { attempts: 1.5 }],
    ["attempts", { attempts: Number.POSITIVE_INFINITY }],
    ["backoff", { backoff: {} as never }],
    ["backoff", { backoff: 100 as never }],
    ["budget", { budget: {} as never }],
    ["budget", { budget: null as never }],
    ["budget", { budget: { withdraw: () => true } as never }],
    ["budget", { budget: RetryBudget.make() as never }],
    ["retryAfter", { retryAfter: 5 as never }],
    ["while", { while: true as never }],
    ["attemptTimeout", { attemptTimeout: 0 }],
    ["attemptTimeout", { attemptTimeout: Duration.infinity }],
    ["totalTimeout", { totalTimeout: -1 }],
    ["totalTimeout", { totalTimeout: "1 fortnight" as never }],
    ["retries", { retries: 3 } as never]
  ]
  for (const [index, [option, options]] of refused.entries()) {
    it(`${option} (${index + 1})`, () => {
      const error = refusal(() => Retry.make(options))
      assert.deepStrictEqual([error.module, error.option], ["Retry", option])
      assert.strictEqual(refusal(() => retry(options)).option, option)
    })
  }
})

const Answer = Schema.Literals(["ok", "fail", "refuse", "die", "hang"])

const answerTo = (answers: ReadonlyArray<typeof Answer.Type>, attempt: number) => answers[attempt - 1] ?? "ok"

describe("any history", () => {
  it.effect.prop(
    "ends with the first success, the first that is not worth another, or the last attempt",
    [Schema.Array(Answer).check(Schema.isMaxLength(8)), Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 }))],
    ([answers, attempts]) =>
      Effect.gen(function* () {
        const { call, times } = recorded((n): Effect.Effect<number, Down | Refused> => {
          switch (answerTo(answers, n)) {
            case "ok":
              return Effect.succeed(n)
            case "fail":
              return Effect.fail(down)
            case "refuse":
              return Effect.fail(new Refused({}))
            case "die":
              return Effect.die("a bug")
            case "hang":
              return Effect.never
          }
        })
        const exit = yield* ended(Retry.make({ attempts, backoff: every100, attemptTimeout: "1 second" }).policy(call))
        const firstEnd = Array.from({ length: attempts }, (_, i) => i + 1).find(
          (n) => !["fail", "hang"].includes(answerTo(answers, n))
        )
        const made = firstEnd ?? attempts
        assert.strictEqual(times().length, made)
        switch (answerTo(answers, made)) {
          case "ok":
            return assert.deepStrictEqual(exit, Exit.succeed(made))
          case "fail":
            return assert.deepStrictEqual(exit, Exit.fail(down))
          case "refuse":
            return assert.deepStrictEqual(exit, Exit.fail(new Refused({})))
          case "die":
            return assert.deepStrictEqual(exit, Exit.die("a bug"))
          case "hang": {
            const error = retryErrorOf(exit)
            assert.strictEqual(error.attempts, made)
            assert.strictEqual(error.cause, answers.slice(0, made).includes("fail") ? down : undefined)
          }
        }
      }),
    { arbitrary: { runs: 200, size: 8 } }
  )
})

describe("the promise face", () => {
  it("returns what a later attempt does, and tells each its number", async () => {
    const seen: Array<number> = []
    const answer = await retry({ backoff: Backoff.constant(0) }).execute((signal, attempt) => {
      assert.isFalse(signal.aborted)
      seen.push(attempt)
      return attempt < 3 ? Promise.reject(new Error("down")) : "up"
    })
    assert.deepStrictEqual([answer, seen], ["up", [1, 2, 3]])
  })

  it("tells the numbers of calls that run side by side apart", async () => {
    const policy = retry({ attempts: 4, backoff: Backoff.constant(0) })
    const run = async (fails: number) => {
      const seen: Array<number> = []
      await policy.execute(async (_, attempt) => {
        seen.push(attempt)
        await Promise.resolve()
        if (attempt <= fails) throw new Error("down")
      })
      return seen
    }
    assert.deepStrictEqual(await Promise.all([run(0), run(3), run(1)]), [[1], [1, 2, 3, 4], [1, 2]])
  })

  it("rejects with what the last attempt threw, the very same", async () => {
    const thrown: Array<Error> = []
    const rejection: unknown = await retry({ attempts: 2, backoff: Backoff.constant(0) })
      .execute(() => {
        const error = new Error("down")
        thrown.push(error)
        throw error
      })
      .catch((error: unknown) => error)
    assert.strictEqual(thrown.length, 2)
    assert.strictEqual(rejection, thrown[1])
  })

  it("acceptance(core-and-probes 5): an abort in a pause rejects at once with the signal's reason; no further attempt", async () => {
    const controller = new AbortController()
    const reason = new Error("the user left")
    let attempts = 0
    // The pause is longer than the test may take: it passes only if the abort ends it.
    const running = retry({ backoff: Backoff.constant("1 hour") }).execute(
      () => {
        attempts++
        setTimeout(() => controller.abort(reason), 50)
        throw new Error("down")
      },
      { signal: controller.signal }
    )
    assert.strictEqual(await running.catch((error: unknown) => error), reason)
    assert.strictEqual(attempts, 1)
  })

  it("an abort aborts the attempt that runs, even one that does not listen", async () => {
    const controller = new AbortController()
    const reason = new Error("the user left")
    let seen: AbortSignal | undefined
    const running = retry().execute(
      (signal) => {
        seen = signal
        queueMicrotask(() => controller.abort(reason))
        return new Promise<never>(() => {})
      },
      { signal: controller.signal }
    )
    assert.strictEqual(await running.catch((error: unknown) => error), reason)
    assert.isTrue(seen?.aborted)
  })

  it("an aborted signal makes no attempt", async () => {
    let attempts = 0
    const rejection: unknown = await retry()
      .execute(() => attempts++, { signal: AbortSignal.abort("left") })
      .catch((error: unknown) => error)
    assert.deepStrictEqual([rejection, attempts], ["left", 0])
  })

  it("rejects with RetryError where the reason is not the call's", async () => {
    const rejection: unknown = await retry({ attempts: 1, attemptTimeout: "5 millis" })
      .execute(() => new Promise<never>(() => {}))
      .catch((error: unknown) => error)
    assert.isTrue(rejection instanceof Retry.RetryError && rejection.reason._tag === "AttemptTimedOut")
  })
})
