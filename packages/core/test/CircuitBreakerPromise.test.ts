import { getEventListeners } from "node:events"

import { assert, describe, it } from "@effect/vitest"

import * as Backoff from "../src/Backoff.ts"
import { CircuitBreakerError, type Transition } from "../src/CircuitBreaker.ts"
import { circuitBreaker } from "../src/internal/promise/circuitBreaker.ts"
import * as Outcome from "../src/Outcome.ts"
import { refusal } from "./support.ts"

const fails = () => Promise.reject(new Error("bad"))
const works = () => Promise.resolve("good")

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it did not fail"),
    (error: unknown) => error
  )

const reasonOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await errorOf(promise)
  return error instanceof CircuitBreakerError ? error.reason._tag : String(error)
}

const never = () => new Promise<never>(() => {})

const pause = () => new Promise((resolve) => setImmediate(resolve))

const busy = (millis: number) => {
  const end = performance.now() + millis
  while (performance.now() < end);
}
const slow = () => busy(2)

/** Opens at the second failure, for as long as the test runs. */
const quick = { consecutive: { failures: 2 }, open: Backoff.constant("1 hour") }
/** Opens at the second failure, and may be tried at once. */
const eager = { consecutive: { failures: 2 }, open: Backoff.constant(0) }

describe("circuitBreaker, for plain Node", () => {
  it("passes answers and errors, opens, and refuses with the same class; keys are apart", async () => {
    const breaker = circuitBreaker(quick)
    const api = breaker.circuit("api")
    assert.strictEqual(await api.execute(() => "plain"), "plain")
    assert.strictEqual(String(await errorOf(api.execute(fails))), "Error: bad")
    const thrown = api.execute(() => {
      throw new Error("at once")
    })
    assert.strictEqual(String(await errorOf(thrown)), "Error: at once")
    const error = await errorOf(api.execute(works))
    assert.isTrue(error instanceof CircuitBreakerError && Outcome.isRefusal(error))
    assert.isTrue(error instanceof CircuitBreakerError && error.key === "api" && error.reason._tag === "Open")
    assert.strictEqual(await breaker.execute(works), "good")
    assert.deepStrictEqual([breaker.state("api"), breaker.state()], ["Open", "Closed"])
    assert.deepStrictEqual([breaker.stats("api").refusals, breaker.stats().refusals], [1, 0])
    assert.deepStrictEqual(breaker.keys(), ["default", "api"])
  })

  it("tries with one call, and closes", async () => {
    const breaker = circuitBreaker(eager)
    await errorOf(breaker.execute(fails))
    await errorOf(breaker.execute(fails))
    const { promise, resolve } = Promise.withResolvers<string>()
    const trial = breaker.execute(() => promise)
    assert.strictEqual(await reasonOf(breaker.execute(works)), "HalfOpen")
    resolve("good")
    assert.strictEqual(await trial, "good")
    assert.strictEqual(breaker.state(), "Closed")
  })

  it("an abort rejects at once with its reason, says nothing, and gives a trial's slot back", async () => {
    const breaker = circuitBreaker(eager)
    await errorOf(breaker.execute(fails))
    await errorOf(breaker.execute(fails))
    const controller = new AbortController()
    let given: AbortSignal | undefined
    const trial = breaker.execute(
      (signal) => {
        given = signal
        return never()
      },
      { signal: controller.signal }
    )
    assert.strictEqual(await reasonOf(breaker.execute(works)), "HalfOpen")
    controller.abort(new Error("enough"))
    assert.strictEqual(String(await errorOf(trial)), "Error: enough")
    assert.strictEqual(given, controller.signal)
    assert.deepStrictEqual([breaker.state(), breaker.stats().trials], ["HalfOpen", 0])
    const { signal } = new AbortController()
    assert.strictEqual(await breaker.execute(works, { signal }), "good")
    assert.strictEqual(breaker.state(), "Closed")
    let called = 0
    const aborted = breaker.execute(() => called++, { signal: controller.signal })
    assert.strictEqual(String(await errorOf(aborted)), "Error: enough")
    assert.strictEqual(called, 0)
  })

  it("counts failures of calls that were given a signal", async () => {
    const breaker = circuitBreaker(quick)
    const { signal } = new AbortController()
    await errorOf(breaker.execute(fails, { signal }))
    await errorOf(breaker.execute(fails, { signal }))
    assert.strictEqual(await reasonOf(breaker.execute(works, { signal })), "Open")
  })

  it("judges answers, too", async () => {
    const breaker = circuitBreaker({ ...quick, classify: ({ _tag }) => (_tag === "Success" ? "failure" : "ignored") })
    for (let i = 0; i < 5; i++) await errorOf(breaker.execute(fails))
    assert.strictEqual(breaker.state(), "Closed")
    await breaker.execute(works)
    await breaker.execute(works)
    assert.strictEqual(breaker.state(), "Open")
  })

  it("opens for slow calls", async () => {
    const breaker = circuitBreaker({ slow: { after: "1 millis", minimumCalls: 2 }, open: quick.open })
    await breaker.execute(slow)
    await breaker.execute(slow, { signal: new AbortController().signal })
    assert.strictEqual(breaker.state(), "Open")
  })

  it("is isolated and reset by hand, and tells its transitions", async () => {
    const breaker = circuitBreaker(quick)
    const told: Array<Transition> = []
    const stop = breaker.onTransition((transition) => told.push(transition))
    breaker.isolate("k")
    assert.strictEqual(await reasonOf(breaker.circuit("k").execute(works)), "Isolated")
    breaker.reset("k")
    assert.strictEqual(await breaker.circuit("k").execute(works), "good")
    stop()
    breaker.isolate()
    assert.strictEqual(await reasonOf(breaker.execute(works)), "Isolated")
    assert.deepStrictEqual(
      told.map(({ key, to, why }) => [key, to, why]),
      [
        ["k", "Isolated", "isolated"],
        ["k", "Closed", "reset"]
      ]
    )
  })

  it("a handle goes on after its circuit was forgotten", async () => {
    const breaker = circuitBreaker({
      consecutive: { failures: 2, within: "1 millis" },
      idle: "1 millis",
      resetAfter: 0,
      trials: { lease: "1 millis" },
      open: quick.open
    })
    const old = breaker.circuit("k")
    busy(5)
    for (let i = 0; i < 200; i++) breaker.circuit(`other ${i}`)
    assert.notInclude(breaker.keys(), "k")
    assert.strictEqual(await old.execute(works), "good")
    assert.include(breaker.keys(), "k")
    breaker.isolate("k")
    assert.strictEqual(await reasonOf(old.execute(works)), "Isolated")
  })

  it("an abort while the call runs, which then throws, rejects once and leaves nothing unhandled", async () => {
    const unhandled: Array<unknown> = []
    const note = (error: unknown) => unhandled.push(error)
    process.on("unhandledRejection", note)
    const breaker = circuitBreaker(quick)
    const ways: ReadonlyArray<(signal: AbortSignal) => unknown> = [
      (signal) => signal.throwIfAborted(),
      () => 1,
      () => Promise.reject(new Error("late"))
    ]
    for (const way of ways) {
      const controller = new AbortController()
      const call = breaker.execute(
        (signal) => {
          controller.abort(new Error("left"))
          return way(signal)
        },
        { signal: controller.signal }
      )
      assert.strictEqual(String(await errorOf(call)), "Error: left")
    }
    await pause()
    process.off("unhandledRejection", note)
    assert.deepStrictEqual(unhandled, [])
    assert.deepStrictEqual([breaker.state(), breaker.stats().consecutive], ["Closed", 0])
  })

  it("a call that rejects after its abort leaves nothing unhandled, and no listener stays on the signal", async () => {
    const unhandled: Array<unknown> = []
    const note = (error: unknown) => unhandled.push(error)
    process.on("unhandledRejection", note)
    const breaker = circuitBreaker(quick)
    const controller = new AbortController()
    const given = { signal: controller.signal }
    for (let i = 0; i < 20; i++) await breaker.execute(pause, given)
    await errorOf(breaker.execute(() => pause().then(fails), given))
    assert.lengthOf(getEventListeners(controller.signal, "abort"), 0)
    const late = Promise.withResolvers<never>()
    const call = breaker.execute(() => late.promise, given)
    await pause()
    assert.lengthOf(getEventListeners(controller.signal, "abort"), 1)
    controller.abort(new Error("left"))
    assert.strictEqual(String(await errorOf(call)), "Error: left")
    late.reject(new Error("late"))
    await pause()
    process.off("unhandledRejection", note)
    assert.deepStrictEqual(unhandled, [])
    assert.strictEqual(breaker.stats().consecutive, 1)
  })

  it("few calls share a signal that never aborts, so that none gathers the listeners of all", async () => {
    const breaker = circuitBreaker()
    const seen = new Map<AbortSignal | undefined, number>()
    const count = (signal: AbortSignal | undefined) => seen.set(signal, (seen.get(signal) ?? 0) + 1)
    for (let i = 0; i < 500; i++) {
      await breaker.execute((signal) => count(signal))
      await breaker.execute((...given) => count(given[0]))
    }
    assert.isFalse(seen.has(undefined))
    assert.isFalse([...seen.keys()].some((signal) => signal?.aborted))
    // More than ten listeners of one signal would be a warning of Node's.
    assert.isAtMost(Math.max(...seen.values()), 8)
  })

  it("takes null for no signal, and refuses what is none", async () => {
    const breaker = circuitBreaker()
    assert.strictEqual(await breaker.execute(works, { signal: null as never }), "good")
    assert.strictEqual(await breaker.execute(works, null as never), "good")
    assert.match(String(await errorOf(breaker.execute(works, { signal: {} as never }))), /^TypeError: /)
  })

  it("surfaces what classify throws, with a signal as well", async () => {
    const breaker = circuitBreaker({
      classify: () => {
        throw new Error("classify")
      }
    })
    const { signal } = new AbortController()
    for (const call of [works, fails])
      assert.strictEqual(String(await errorOf(breaker.execute(call, { signal }))), "Error: classify")
  })

  it("a listener that throws is no uncaught exception, and harms neither the breaker nor other listeners", async () => {
    const uncaught: Array<unknown> = []
    const note = (error: unknown) => uncaught.push(error)
    const others = process.listeners("uncaughtException")
    process.removeAllListeners("uncaughtException").on("uncaughtException", note)
    const breaker = circuitBreaker(quick)
    const told: Array<string> = []
    breaker.onTransition(() => {
      throw new Error("listener")
    })
    breaker.onTransition(({ to }) => told.push(to))
    await errorOf(breaker.execute(fails))
    assert.strictEqual(String(await errorOf(breaker.execute(fails))), "Error: bad")
    await pause()
    process.removeAllListeners("uncaughtException")
    for (const other of others) process.on("uncaughtException", other)
    assert.deepStrictEqual([uncaught, told, breaker.state()], [[], ["Open"], "Open"])
  })

  const notOptions: ReadonlyArray<readonly [option: string, options: unknown]> = [
    ...["consecutive", "rate", "slow", "trials", "ramp"].flatMap((option) =>
      [null, false, true, 0, 0.1, 3, "2 seconds", [1]].map((value) => [option, { [option]: value }] as const)
    ),
    ...["name", "open", "idle", "resetAfter", "maxRetryAfter", "retryAfter", "classify"].map(
      (option) => [option, { [option]: null }] as const
    ),
    ["open", { open: 5 }],
    ["consecutive.failures", { consecutive: { failures: null } }],
    ["rate.minimumCalls", { rate: { minimumCalls: null } }],
    ["slow.after", { slow: {} }],
    ["slow.rates", { slow: { after: 1, rates: 1 } }],
    ["trials.calls", { trials: { calls: null } }],
    ["ramp.duration", { ramp: {} }],
    ...[null, 5, 0, "abc", [], () => 1].map((value) => ["options", value] as const)
  ]
  for (const [option, options] of notOptions) {
    it(`refuses ${option} of ${JSON.stringify(options)}`, () => {
      const error = refusal(() => circuitBreaker(options as never))
      assert.deepStrictEqual([error.module, error.option], ["CircuitBreaker", option])
    })
  }

  it("checks its options as the Effect face does", () => {
    assert.strictEqual(refusal(() => circuitBreaker({ trials: { calls: 0 } })).option, "trials.calls")
  })
})
