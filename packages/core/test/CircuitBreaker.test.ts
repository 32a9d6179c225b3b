import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as Backoff from "../src/Backoff.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Outcome from "../src/Outcome.ts"
import { refusal } from "./support.ts"

const open = Backoff.constant("30 seconds")
const bad = Effect.fail("bad")
const good = Effect.succeed("good")

/** `good`, `bad`, or the reason of the refusal. */
const tell = <A, E>(guarded: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.match(guarded, {
    onSuccess: () => "good",
    onFailure: (error) => (error instanceof CircuitBreaker.CircuitBreakerError ? error.reason._tag : "bad")
  })

const times = <A, E>(count: number, effect: Effect.Effect<A, E>) =>
  Effect.forEach(
    Array.from({ length: count }, () => effect),
    (one) => Effect.exit(one),
    { discard: true }
  )

/** Trips at the third failure in a row, stays open for 30 seconds. */
const quick = { consecutive: { failures: 3, within: "5 seconds" }, open } as const

const tripped = Effect.fnUntraced(function* (options: CircuitBreaker.Options = {}) {
  const breaker = yield* CircuitBreaker.make({ ...quick, ...options })
  yield* times(3, breaker.policy(bad))
  assert.strictEqual(yield* breaker.state(), "Open")
  return breaker
})

/** A trial that runs until it is told how to end. */
const trialOf = Effect.fnUntraced(function* (breaker: CircuitBreaker.CircuitBreaker) {
  const end = yield* Deferred.make<string, string>()
  const fiber = yield* Effect.forkChild(Effect.exit(breaker.policy(Deferred.await(end))))
  yield* Effect.yieldNow
  return { end, fiber }
})

const message = (reason: CircuitBreaker.CircuitBreakerError["reason"]) =>
  new CircuitBreaker.CircuitBreakerError({ key: "k", reason }).message

/** What the metric says of the breaker `payments`. */
const measured = (id: string, state?: string) =>
  Effect.map(Metric.snapshot, (all) =>
    all.flatMap((one) =>
      one.id === id &&
      one.attributes?.["name"] === "payments" &&
      (state === undefined || one.attributes["state"] === state || one.attributes["to"] === state)
        ? [one.state]
        : []
    )
  )

describe("CircuitBreaker", () => {
  it.effect("opens, refuses, tries and closes; keys are apart", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(quick)
      const a = breaker.circuit("a").policy
      const b = breaker.circuit("b").policy
      yield* times(3, a(bad))
      assert.strictEqual(yield* tell(a(good)), "Open")
      assert.strictEqual(yield* tell(b(good)), "good")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* tell(a(bad)), "bad")
      assert.strictEqual(yield* tell(a(good)), "Open")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* tell(a(good)), "good")
      assert.strictEqual(yield* breaker.state("a"), "Closed")
      assert.deepStrictEqual(yield* breaker.keys, ["default", "a", "b"])
    })
  )

  it.effect("acceptance(core-and-probes 1): of 1000 callers at the end of the open time one reaches the backend", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped()
      yield* TestClock.adjust("30 seconds")
      let reached = 0
      const call = breaker.policy(
        Effect.andThen(
          Effect.sync(() => reached++),
          Effect.sleep("1 second")
        )
      )
      const told = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 1000 }, () => call),
          tell,
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("1 second")
      const results = yield* Fiber.join(told)
      assert.strictEqual(reached, 1)
      assert.strictEqual(results.filter((one) => one === "HalfOpen").length, 999)
      assert.strictEqual(yield* breaker.state(), "Closed")
    })
  )

  for (const late of ["failure", "success"] as const) {
    it.effect(`acceptance(core-and-probes 2): a ${late} admitted before the trip changes nothing half-open`, () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make(quick)
        const before = yield* trialOf(breaker)
        yield* times(3, breaker.policy(bad))
        yield* TestClock.adjust("30 seconds")
        const trial = yield* trialOf(breaker)
        assert.strictEqual(yield* breaker.state(), "HalfOpen")
        yield* late === "failure" ? Deferred.fail(before.end, "late") : Deferred.succeed(before.end, "late")
        yield* Fiber.join(before.fiber)
        assert.strictEqual(yield* breaker.state(), "HalfOpen")
        assert.strictEqual(yield* tell(breaker.policy(good)), "HalfOpen")
        yield* Deferred.succeed(trial.end, "good")
        yield* Fiber.join(trial.fiber)
        assert.strictEqual(yield* breaker.state(), "Closed")
      })
    )
  }

  for (const late of ["failure", "success"] as const) {
    it.effect(`acceptance(core-and-probes 3): a hung trial loses its slot, and its late ${late} is ignored`, () =>
      Effect.gen(function* () {
        const breaker = yield* tripped({ trials: { lease: "10 seconds" } })
        yield* TestClock.adjust("30 seconds")
        const hung = yield* trialOf(breaker)
        yield* TestClock.adjust("9999 millis")
        assert.strictEqual(yield* tell(breaker.policy(good)), "HalfOpen")
        yield* TestClock.adjust("1 millis")
        const next = yield* trialOf(breaker)
        yield* late === "failure" ? Deferred.fail(hung.end, "late") : Deferred.succeed(hung.end, "late")
        yield* Fiber.join(hung.fiber)
        assert.strictEqual(yield* breaker.state(), "HalfOpen")
        yield* Deferred.succeed(next.end, "good")
        yield* Fiber.join(next.fiber)
        assert.strictEqual(yield* breaker.state(), "Closed")
      })
    )
  }

  it.effect("acceptance(core-and-probes 4): four failures, an idle hour and a fifth leave it closed", () =>
    Effect.gen(function* () {
      for (const options of [
        { consecutive: { failures: 5, within: "5 seconds" } },
        { rate: { threshold: 0.5, minimumCalls: 5, window: "5 seconds" } }
      ] as const) {
        const breaker = yield* CircuitBreaker.make(options)
        yield* times(4, breaker.policy(bad))
        yield* TestClock.adjust("1 hour")
        yield* times(1, breaker.policy(bad))
        assert.strictEqual(yield* breaker.state(), "Closed")
        yield* times(4, breaker.policy(bad))
        assert.strictEqual(yield* breaker.state(), "Open")
      }
    })
  )

  it.effect("without options opens at half of ten calls within 30 seconds", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make()
      yield* times(5, breaker.policy(good))
      yield* times(4, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "Open")
      // Equal jitter: between 2.5 and 5 seconds.
      const { retryAfterMillis } = yield* breaker.stats()
      assert.isTrue(retryAfterMillis >= 2500 && retryAfterMillis < 5000, String(retryAfterMillis))
    })
  )

  it.effect("the window forgets a tenth at a time", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ rate: { threshold: 1, minimumCalls: 4, window: "10 seconds" } })
      for (let i = 0; i < 3; i++) {
        yield* times(1, breaker.policy(bad))
        yield* TestClock.adjust("4 seconds")
      }
      // At 12 seconds, those of 4 and 8 are within.
      assert.strictEqual((yield* breaker.stats()).calls, 2)
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "Open")
    })
  )

  it.effect("a success in between begins failures in a row anew", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(quick)
      yield* times(2, breaker.policy(bad))
      yield* times(1, breaker.policy(good))
      yield* times(2, breaker.policy(bad))
      assert.strictEqual((yield* breaker.stats()).consecutive, 2)
      assert.strictEqual(yield* breaker.state(), "Closed")
    })
  )

  it.effect("slow calls open it, and a slow trial does not close it", () =>
    Effect.gen(function* () {
      const slow = { after: "2 seconds", rate: 0.5, minimumCalls: 4, window: "1 minute" } as const
      const breaker = yield* CircuitBreaker.make({ slow, open })
      const call = (duration: Duration.Input) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(breaker.policy(Effect.sleep(duration)))
          yield* TestClock.adjust(duration)
          yield* Fiber.join(fiber)
        })
      yield* call("1999 millis")
      yield* call("1999 millis")
      yield* call("2 seconds")
      assert.strictEqual((yield* breaker.stats()).slow, 1)
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* call("2 seconds")
      assert.strictEqual(yield* breaker.state(), "Open")
      yield* TestClock.adjust("30 seconds")
      yield* call("2 seconds")
      assert.strictEqual(yield* breaker.state(), "Open")
      yield* TestClock.adjust("30 seconds")
      yield* call("1 second")
      assert.strictEqual(yield* breaker.state(), "Closed")
    })
  )

  it.effect("several trials: closes at the required successes, opens when they cannot be reached", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({ trials: { calls: 3, successes: 2 } })
      yield* TestClock.adjust("30 seconds")
      const [one, two, three] = [yield* trialOf(breaker), yield* trialOf(breaker), yield* trialOf(breaker)]
      assert.strictEqual((yield* breaker.stats()).trials, 3)
      assert.strictEqual(yield* tell(breaker.policy(good)), "HalfOpen")
      yield* Deferred.fail(one.end, "bad")
      yield* Fiber.join(one.fiber)
      yield* Deferred.succeed(two.end, "good")
      yield* Fiber.join(two.fiber)
      assert.strictEqual(yield* breaker.state(), "HalfOpen")
      yield* Deferred.succeed(three.end, "good")
      yield* Fiber.join(three.fiber)
      assert.strictEqual(yield* breaker.state(), "Closed")

      yield* times(3, breaker.policy(bad))
      yield* TestClock.adjust("30 seconds")
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "HalfOpen")
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* breaker.state(), "Open")
    })
  )

  it.effect("an interrupted call says nothing, and an interrupted trial gives its slot back", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(quick)
      for (let i = 0; i < 10; i++) {
        const { fiber } = yield* trialOf(breaker)
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* times(3, breaker.policy(bad))
      yield* TestClock.adjust("30 seconds")
      const { fiber } = yield* trialOf(breaker)
      assert.strictEqual(yield* tell(breaker.policy(good)), "HalfOpen")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    })
  )

  it.effect("nobody is released together on closing: the share of calls grows over the ramp", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({ ramp: { duration: "10 seconds", from: 0.1 } })
      yield* TestClock.adjust("30 seconds")
      yield* breaker.policy(good)
      let reached = 0
      const call = breaker.policy(Effect.sync(() => reached++))
      const wave = Effect.suspend(() => {
        reached = 0
        return Effect.map(times(1000, call), () => reached)
      })
      assert.approximately(yield* wave, 100, 1)
      assert.include([yield* tell(call), yield* tell(call)], "Ramping")
      yield* TestClock.adjust("5 seconds")
      assert.approximately((yield* breaker.stats()).share, 0.55, 1e-9)
      assert.approximately(yield* wave, 550, 1)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* wave, 1000)
    })
  )

  it.effect("failures during the ramp open it again, for longer", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({
        open: Backoff.exponential({ initial: "10 seconds", jitter: "none" }),
        ramp: { duration: "1 minute", from: 1 }
      })
      yield* TestClock.adjust("10 seconds")
      yield* breaker.policy(good)
      yield* times(3, breaker.policy(bad))
      const stats = yield* breaker.stats()
      assert.deepStrictEqual([stats.state, stats.trips, stats.retryAfterMillis], ["Open", 2, 20_000])
    })
  )

  it.effect("each opening in a row lasts longer, until it was closed for long enough", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({
        open: Backoff.exponential({ initial: "1 second", jitter: "none" }),
        resetAfter: "1 minute"
      })
      const lasts = Effect.map(breaker.stats(), (stats) => stats.retryAfterMillis)
      assert.strictEqual(yield* lasts, 1000)
      yield* TestClock.adjust("1 second")
      yield* times(1, breaker.policy(bad))
      assert.strictEqual(yield* lasts, 2000)
      yield* TestClock.adjust("2 seconds")
      yield* times(1, breaker.policy(good))
      yield* TestClock.adjust("59 seconds")
      yield* times(3, breaker.policy(bad))
      assert.strictEqual(yield* lasts, 4000)
      yield* TestClock.adjust("4 seconds")
      yield* times(1, breaker.policy(good))
      yield* TestClock.adjust("1 minute")
      yield* times(3, breaker.policy(bad))
      assert.strictEqual(yield* lasts, 1000)
    })
  )

  it.effect("the seed of the open time is Effect's Random", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({ open: Backoff.constant("8 seconds", { jitter: "full" }) })
      assert.strictEqual((yield* breaker.stats()).retryAfterMillis, 2000)
    }).pipe(Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.25 }))
  )

  it.effect("stays open for as long as the failure asks, up to a limit", () =>
    Effect.gen(function* () {
      const asking = Effect.fail({ retryAfter: Duration.minutes(2) })
      const lasts = Effect.fnUntraced(function* (
        options: CircuitBreaker.Options,
        call: Effect.Effect<unknown, unknown>
      ) {
        const breaker = yield* CircuitBreaker.make({ ...quick, ...options })
        yield* times(3, breaker.policy(call))
        return (yield* breaker.stats()).retryAfterMillis
      })
      assert.strictEqual(yield* lasts({}, asking), 120_000)
      assert.strictEqual(yield* lasts({ maxRetryAfter: "1 minute" }, asking), 60_000)
      assert.strictEqual(yield* lasts({ maxRetryAfter: 0 }, asking), 30_000)
      assert.strictEqual(yield* lasts({ retryAfter: () => "45 seconds" }, bad), 45_000)
      assert.strictEqual(yield* lasts({ retryAfter: () => undefined }, asking), 30_000)
      assert.strictEqual(yield* lasts({ retryAfter: () => "1 second" }, asking), 30_000)
      // Of an answer that the user takes for a failure, too.
      const options: CircuitBreaker.Options = {
        classify: () => "failure",
        retryAfter: (answer) => (answer === "good" ? "50 seconds" : undefined)
      }
      assert.strictEqual(yield* lasts(options, good), 50_000)
    })
  )

  it.effect("classify judges answers, failures and defects; refusals of policies do not open it", () =>
    Effect.gen(function* () {
      const judged = yield* CircuitBreaker.make({
        ...quick,
        classify: (result) => (result._tag === "Success" ? (result.success === 503 ? "failure" : "success") : "ignored")
      })
      yield* times(5, judged.policy(bad))
      assert.strictEqual(yield* judged.state(), "Closed")
      yield* times(3, judged.policy(Effect.succeed(503)))
      assert.strictEqual(yield* judged.state(), "Open")

      const outer = yield* CircuitBreaker.make(quick)
      const inner = yield* tripped()
      yield* times(10, outer.policy(inner.policy(good)))
      yield* times(10, outer.policy(Effect.fail({ [Outcome.refusal]: true })))
      assert.strictEqual(yield* outer.state(), "Closed")
      yield* times(3, outer.policy(Effect.die("defect")))
      assert.strictEqual(yield* outer.state(), "Open")
    })
  )

  it.effect("a judgement that throws surfaces, and costs no trial its slot", () =>
    Effect.gen(function* () {
      let broken = false
      const breaker = yield* tripped({
        classify: (result) => {
          if (broken) throw new Error("a bug")
          return Outcome.byResult(result)
        }
      })
      broken = true
      yield* TestClock.adjust("30 seconds")
      const exit = yield* Effect.exit(breaker.policy(good))
      assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Die"))
      broken = false
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    })
  )

  it.effect("isolated it refuses until it is reset, whatever happens meanwhile", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(quick)
      const before = yield* trialOf(breaker)
      yield* breaker.isolate()
      assert.strictEqual(yield* tell(breaker.policy(good)), "Isolated")
      yield* TestClock.adjust("1 day")
      yield* Deferred.succeed(before.end, "late")
      yield* Fiber.join(before.fiber)
      assert.strictEqual(yield* tell(breaker.policy(good)), "Isolated")
      assert.strictEqual((yield* breaker.stats()).share, 0)
      yield* breaker.reset()
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
      yield* breaker.isolate("other")
      assert.deepStrictEqual([yield* breaker.state("other"), yield* breaker.state()], ["Isolated", "Closed"])
    })
  )

  it.effect("reset closes an open circuit and forgets how often it opened", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped({ ramp: { duration: "1 minute" } })
      yield* breaker.reset()
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
      const { share, state, trips } = yield* breaker.stats()
      assert.deepStrictEqual([state, trips, share], ["Closed", 0, 1])
    })
  )

  it.effect("the refusal says what to do, and how long to wait; it is not made for every call", () =>
    Effect.gen(function* () {
      const breaker = yield* tripped()
      const first = yield* Effect.flip(breaker.policy(good))
      const again = yield* Effect.flip(breaker.policy(good))
      assert.strictEqual(first, again)
      assert.isTrue(Outcome.isRefusal(first))
      assert.isTrue(first instanceof CircuitBreaker.CircuitBreakerError)
      assert.deepStrictEqual(Outcome.retryAfter(first), Duration.seconds(30))
      yield* TestClock.adjust("20 seconds")
      const later = yield* Effect.flip(breaker.policy(good))
      assert.deepStrictEqual(Outcome.retryAfter(later), Duration.seconds(10))
      assert.include(String(later), 'the circuit "default" is open: what it guards fails; call again in 10s')
      assert.strictEqual((yield* breaker.stats()).refusals, 3)
      const decode = Schema.decodeUnknownEffect(CircuitBreaker.CircuitBreakerError)
      const encoded = yield* Schema.encodeEffect(CircuitBreaker.CircuitBreakerError)(
        new CircuitBreaker.CircuitBreakerError({ key: "k", reason: new CircuitBreaker.Isolated() })
      )
      const decoded = yield* decode(encoded)
      assert.include(decoded.message, "reset it")
      assert.isUndefined(decoded.retryAfter)
    })
  )

  it.effect("every reason has a message that says what to do", () =>
    Effect.sync(() => {
      assert.include(message(new CircuitBreaker.HalfOpen()), "call again shortly")
      assert.include(message(new CircuitBreaker.Ramping()), "call again shortly")
      assert.include(message(new CircuitBreaker.VotesAway()), "look after their store")
      const retryAfter = Duration.seconds(3)
      assert.include(message(new CircuitBreaker.SharedOpen({ nodes: ["a", "b"], retryAfter })), "as a, b found")
    })
  )

  it.effect("tells its transitions, and counts them and the refusals", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ ...quick, name: "payments" })
      const told = yield* Effect.forkChild(Stream.runCollect(Stream.take(breaker.transitions, 3)))
      yield* Effect.yieldNow
      yield* TestClock.adjust("1 second")
      const api = breaker.circuit("api").policy
      yield* times(3, api(bad))
      yield* times(5, api(good))
      yield* TestClock.adjust("30 seconds")
      yield* api(good)
      const transitions = yield* Fiber.join(told)
      assert.deepStrictEqual(
        transitions.map(({ at, from, key, to, why }) => [key, from, to, why, at.epochMilliseconds]),
        [
          ["api", "Closed", "Open", "consecutive failures", 1000],
          ["api", "Open", "HalfOpen", "open time over", 31_000],
          ["api", "HalfOpen", "Closed", "trial", 31_000]
        ]
      )
      assert.deepStrictEqual(yield* measured("nexobot_circuit_breaker_refusals"), [{ count: 5, incremental: true }])
      yield* breaker.isolate("api")
      yield* times(1, api(good))
      yield* TestClock.adjust("2 seconds")
      yield* times(1, api(good))
      const [refusals] = yield* measured("nexobot_circuit_breaker_refusals")
      assert.deepStrictEqual(refusals, { count: 7, incremental: true })
      assert.deepStrictEqual(yield* measured("nexobot_circuit_breaker_transitions", "Open"), [
        { count: 1, incremental: true }
      ])
      assert.deepStrictEqual(yield* measured("nexobot_circuit_breaker_circuits", "Open"), [{ value: 0 }])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("steps of the wall clock move nothing", () =>
    Effect.gen(function* () {
      const real = yield* Clock.Clock
      let step = 0
      const jumping: Clock.Clock = Object.assign({}, real, {
        currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe() + step,
        currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe() + BigInt(step) * 1_000_000n
      })
      const breaker = yield* Effect.provideService(tripped(), Clock.Clock, jumping)
      step = -3_600_000
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(yield* tell(breaker.policy(good)), "Open")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    })
  )

  it.effect("a million keys that nobody uses any more are not kept", () =>
    Effect.gen(function* () {
      let nanos = 0n
      const real = yield* Clock.Clock
      const clock: Clock.Clock = Object.assign({}, real, { monotonicTimeNanosUnsafe: () => nanos })
      const breaker = yield* Effect.provideService(
        CircuitBreaker.make({ ...quick, idle: "10 seconds", resetAfter: 0, trials: { lease: "1 second" } }),
        Clock.Clock,
        clock
      )
      const failing = breaker.circuit("open").policy
      yield* times(3, failing(bad))
      yield* breaker.isolate("isolated")
      let most = 0
      for (let i = 0; i < 1_000_000; i++) {
        const { policy } = breaker.circuit(`key ${i}`)
        if (i % 10 === 0) yield* policy(good)
        nanos += 10_000_000n
        if (i === 2900) assert.strictEqual(yield* breaker.state("open"), "Open")
        if (i % 1000 === 999) most = Math.max(most, (yield* breaker.keys).length)
      }
      // A thousand keys are used within the 10 seconds for which they are kept.
      assert.isTrue(most >= 1000 && most < 2500, `${most} keys`)
      assert.strictEqual(yield* breaker.state("isolated"), "Isolated")
      assert.notInclude(yield* breaker.keys, "open")
    })
  )

  it.effect("a circuit in use is not forgotten", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ ...quick, idle: "1 minute", resetAfter: 0 })
      const guarded = breaker.circuit("k").policy(good)
      for (let i = 0; i < 10; i++) {
        yield* guarded
        yield* TestClock.adjust("50 seconds")
        for (let j = 0; j < 200; j++) breaker.circuit(`other ${j}`)
        assert.include(yield* breaker.keys, "k")
      }
    })
  )

  it.effect("a handle goes on after its circuit was forgotten, and is the circuit of later handles", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ ...quick, idle: "1 minute", resetAfter: 0 })
      const old = breaker.circuit("k").policy
      const oldGuarded = old(bad)
      yield* times(2, oldGuarded)
      // That it was used is noticed in passing, and the idle time begins then.
      for (let i = 0; i < 200; i++) breaker.circuit(`other ${i}`)
      yield* TestClock.adjust("59 seconds")
      for (let i = 200; i < 1000; i++) breaker.circuit(`other ${i}`)
      assert.include(yield* breaker.keys, "k")
      yield* TestClock.adjust("1 second")
      for (let i = 1000; i < 2000; i++) breaker.circuit(`other ${i}`)
      assert.notInclude(yield* breaker.keys, "k")
      const renewed = breaker.circuit("k").policy
      yield* times(1, oldGuarded)
      yield* times(1, renewed(bad))
      assert.strictEqual(yield* breaker.state("k"), "Closed")
      yield* times(1, old(bad))
      assert.strictEqual(yield* breaker.state("k"), "Open")
      for (const guarded of [oldGuarded, old(good), renewed(good)]) assert.strictEqual(yield* tell(guarded), "Open")
    })
  )

  const wrong: ReadonlyArray<readonly [option: string, options: unknown]> = [
    ["treshold", { treshold: 1 }],
    ["name", { name: "" }],
    ["consecutive.failures", { consecutive: { failures: 0 } }],
    ["consecutive.failures", { consecutive: { failures: 1001 } }],
    ["consecutive.within", { consecutive: { within: 0 } }],
    ["consecutive.window", { consecutive: { window: 1 } }],
    ["rate.threshold", { rate: { threshold: 0 } }],
    ["rate.threshold", { rate: { threshold: 1.1 } }],
    ["rate.threshold", { rate: { threshold: Number.NaN } }],
    ["rate.minimumCalls", { rate: { minimumCalls: 0 } }],
    ["rate.window", { rate: { window: "9 millis" } }],
    ["rate.window", { rate: { window: Number.POSITIVE_INFINITY } }],
    ["rate.calls", { rate: { calls: 1 } }],
    ["slow.after", { slow: {} }],
    ["slow.after", { slow: { after: 0 } }],
    ["slow.rate", { slow: { after: 1, rate: 0 } }],
    ["slow.minimumCalls", { slow: { after: 1, minimumCalls: 0.5 } }],
    ["slow.window", { slow: { after: 1, window: 0 } }],
    ["slow.threshold", { slow: { after: 1, threshold: 1 } }],
    ["open", { open: "30 seconds" }],
    ["resetAfter", { resetAfter: "-1 second" }],
    ["retryAfter", { retryAfter: "1 second" }],
    ["maxRetryAfter", { maxRetryAfter: Number.NaN }],
    ["trials.calls", { trials: { calls: 0 } }],
    ["trials.successes", { trials: { calls: 2, successes: 3 } }],
    ["trials.successes", { trials: { successes: 0 } }],
    ["trials.lease", { trials: { lease: 0 } }],
    ["trials.count", { trials: { count: 1 } }],
    ["ramp.duration", { ramp: { duration: 0 } }],
    ["ramp.from", { ramp: { duration: 1, from: 0 } }],
    ["ramp.to", { ramp: { duration: 1, to: 1 } }],
    ["classify", { classify: "failure" }],
    ["idle", { idle: 0 }]
  ]
  for (const [option, options] of wrong) {
    it(`refuses ${option} of ${JSON.stringify(options)}`, () => {
      const error = refusal(() => CircuitBreaker.make(options as CircuitBreaker.Options))
      assert.deepStrictEqual([error.module, error.option], ["CircuitBreaker", option])
    })
  }
})
