import { getEventListeners } from "node:events"

import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { expectTypeOf } from "vitest"

import * as Backoff from "../src/Backoff.ts"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Fallback from "../src/Fallback.ts"
import { adaptiveLimit as promiseAdaptiveLimit } from "../src/internal/promise/adaptiveLimit.ts"
import { bulkhead as promiseBulkhead, keyedBulkhead } from "../src/internal/promise/bulkhead.ts"
import * as PromiseCompose from "../src/internal/promise/compose.ts"
import { fallback as promiseFallback } from "../src/internal/promise/fallback.ts"
import { associate, fromPolicy, type PromisePolicy } from "../src/internal/promise/policy.ts"
import { retry as promiseRetry } from "../src/internal/promise/retry.ts"
import { throttle as promiseThrottle } from "../src/internal/promise/throttle.ts"
import { timeout as promiseTimeout } from "../src/internal/promise/timeout.ts"
import * as Policy from "../src/Policy.ts"
import * as Retry from "../src/Retry.ts"
import * as Timeout from "../src/Timeout.ts"
import { refusal } from "./support.ts"

class A extends Schema.TaggedError<A>("test/A")("A", {}) {}
class B extends Schema.TaggedError<B>("test/B")("B", {}) {}
class C extends Schema.TaggedError<C>("test/C")("C", {}) {}
class Needed extends Context.Service<Needed, string>()("test/Needed") {}

/** Notes when a call goes in and how it comes out. */
const recording =
  (log: Array<string>) =>
  (name: string): Policy.Policy =>
  (self) =>
    Effect.suspend(() => {
      log.push(`> ${name}`)
      return Effect.onExit(self, (exit) => Effect.sync(() => log.push(`${Exit.isSuccess(exit) ? "<" : "!"} ${name}`)))
    })

const names = ["totalTimeout", "retry", "throttle", "bulkhead", "breaker", "timeout"] as const

const inAndOut = (layers: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...layers.map((name) => `> ${name}`),
  ...layers.toReversed().map((name) => `< ${name}`)
]

const refused = (compose: (layers: never) => unknown, layers: object) =>
  refusal(() => Reflect.apply(compose, undefined, [layers]))

describe("Policy.all", () => {
  it.effect("stands in the order given, the first outermost", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const record = recording(log)
      const policy = Policy.all(record("a"), record("b"), record("c"))
      assert.strictEqual(yield* policy(Effect.succeed(1)), 1)
      assert.deepStrictEqual(log, inAndOut(["a", "b", "c"]))
    })
  )

  it.effect("of nothing does nothing", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Policy.all()(Effect.succeed(1)), 1)
    })
  )

  it("refuses one that is no policy, by its position", () => {
    for (const value of [1, null, undefined, {}, [Policy.all()]]) {
      const error = refusal(() => Reflect.apply(Policy.all, undefined, [Policy.all(), value]))
      assert.deepStrictEqual([error.module, error.option], ["Policy", "policies[1]"])
    }
  })

  it.effect("of all of all is the same as all", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const record = recording(log)
      yield* Policy.all(Policy.all(record("a"), record("b")), record("c"))(Effect.void)
      assert.deepStrictEqual(log, inAndOut(["a", "b", "c"]))
    })
  )
})

describe("Policy.compose", () => {
  it.effect("stands in its own order, whatever the order of the options", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const record = recording(log)
      const policy = Policy.compose({
        timeout: record("timeout"),
        breaker: record("breaker"),
        retry: record("retry"),
        bulkhead: record("bulkhead"),
        totalTimeout: record("totalTimeout"),
        throttle: record("throttle")
      })
      yield* policy(Effect.void)
      assert.deepStrictEqual(log, inAndOut(names))
    })
  )

  for (const missing of names) {
    it.effect(`goes without ${missing}`, () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const layers: { readonly [K in (typeof names)[number]]?: Policy.Policy } = Object.fromEntries(
          names.filter((name) => name !== missing).map((name) => [name, recording(log)(name)])
        )
        yield* Policy.compose(layers)(Effect.void)
        assert.deepStrictEqual(log, inAndOut(names.filter((name) => name !== missing)))
      })
    )
  }

  it.effect("the fallback is outermost: it answers what any layer adds", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const record = recording(log)
      const refuses: Policy.Policy<A> = () => Effect.fail(new A())
      const fallback = yield* Fallback.make({ to: () => Effect.succeed("lesser") })
      const policy = Policy.compose({
        bulkhead: refuses,
        totalTimeout: record("totalTimeout"),
        breaker: record("breaker"),
        fallback: fallback.policy
      })
      const answered: Effect.Effect<string> = policy(Effect.succeed("usual"))
      assert.strictEqual(yield* answered, "lesser")
      assert.deepStrictEqual(log, ["> totalTimeout", "! totalTimeout"])
    })
  )

  it("refuses what is no layer, and what is no policy", () => {
    assert.strictEqual(refused(Policy.compose, { brekaer: Policy.all() }).option, "brekaer")
    for (const value of [1, "retry", null, {}, { policy: Policy.all() }]) {
      assert.deepStrictEqual(
        [refused(Policy.compose, { retry: value }).module, refused(Policy.compose, { retry: value }).option],
        ["Policy", "retry"]
      )
    }
  })
})

const addsA: Policy.Policy<A> = (self) => self
const addsB: Policy.Policy<B> = (self) => self
const needs: Policy.Policy<never, Needed> = (self) => self
const call: Effect.Effect<number, C> = Effect.succeed(1)

describe("the types", () => {
  it("the error channel is the union, and so are the requirements", () => {
    const all = Policy.all(addsA, addsB, needs)
    expectTypeOf(all).toEqualTypeOf<Policy.Policy<A | B, Needed>>()
    const composed = Policy.compose({ retry: addsA, timeout: addsB, bulkhead: needs })
    expectTypeOf(composed).toEqualTypeOf<Policy.Policy<A | B, Needed>>()
    const called = composed(call)
    expectTypeOf(called).toEqualTypeOf<Effect.Effect<number, A | B | C, Needed>>()
  })

  it.effect("with a fallback for everything none is left, with one for some all are, and its answer is told", () =>
    Effect.gen(function* () {
      const total = yield* Fallback.make({ to: () => Effect.succeed("lesser") })
      const none = Policy.compose({ fallback: total.policy, retry: addsA, breaker: needs })(call)
      expectTypeOf(none).toEqualTypeOf<Effect.Effect<number | string, never, Needed>>()
      const partial = yield* Fallback.make({ to: () => Effect.fail("none"), when: (error) => error instanceof A })
      const some = Policy.compose({ fallback: partial.policy, retry: addsA, breaker: addsB })(call)
      expectTypeOf(some).toEqualTypeOf<Effect.Effect<number, A | B | C | Fallback.FallbackError>>()
      const narrow = yield* Fallback.make({ to: (error: A | C) => Effect.succeed(`no ${error._tag}`) })
      const takesAll = Policy.compose({ fallback: narrow.policy, retry: addsA })(call)
      expectTypeOf(takesAll).toEqualTypeOf<Effect.Effect<number | string>>()
      // It does not take what the breaker adds.
      const impossible = Policy.compose({ fallback: narrow.policy, breaker: addsB })
      expectTypeOf(impossible).toEqualTypeOf<never>()
    })
  )

  it("a misspelt layer does not compile", () => {
    // @ts-expect-error no such layer
    assert.strictEqual(refusal(() => Policy.compose({ brekaer: addsA })).option, "brekaer")
  })
})

const through: Policy.Policy = (self) => self

describe("compose, for plain Node", () => {
  it("stands in the same order", async () => {
    const log: Array<string> = []
    const record = recording(log)
    const layer = (name: string) => fromPolicy(record(name))
    const policy = PromiseCompose.compose({
      timeout: layer("timeout"),
      breaker: layer("breaker"),
      bulkhead: layer("bulkhead"),
      throttle: layer("throttle"),
      retry: layer("retry"),
      totalTimeout: layer("totalTimeout")
    })
    assert.strictEqual(await policy.execute(async () => 1), 1)
    assert.deepStrictEqual(log, inAndOut(names))
    log.length = 0
    await PromiseCompose.composeAll(layer("a"), layer("b"), layer("c")).execute(() => undefined)
    assert.deepStrictEqual(log, inAndOut(["a", "b", "c"]))
  })

  it("the fallback is outermost, and its answer is told by the type", async () => {
    const refuses: PromisePolicy = { execute: () => Promise.reject(new A()) }
    const policy = PromiseCompose.compose({ breaker: refuses, fallback: promiseFallback({ to: () => "lesser" }) })
    const answer: number | string = await policy.execute(() => 1)
    assert.strictEqual(answer, "lesser")
  })

  it("what rejects is what comes out, and a signal reaches the call through all layers", async () => {
    const layer = fromPolicy(through)
    const policy = PromiseCompose.compose({ retry: layer, bulkhead: layer, timeout: layer })
    const failure = new Error("no")
    assert.strictEqual(await policy.execute(() => Promise.reject(failure)).catch((error: unknown) => error), failure)
    const controller = new AbortController()
    const { promise: begun, resolve } = Promise.withResolvers<AbortSignal>()
    const answer = policy.execute((signal) => {
      resolve(signal)
      return new Promise(() => undefined)
    }, controller)
    const signal = await begun
    controller.abort(new Error("enough"))
    assert.strictEqual(await answer.catch((error: unknown) => error), controller.signal.reason)
    assert.isTrue(signal.aborted)
  })

  it("layers written with Effect share one fiber, whatever stands around them", async () => {
    const fibers: Array<unknown> = []
    const noting: Policy.Policy = (self) =>
      Effect.withFiber((fiber) => {
        fibers.push(fiber)
        return self
      })
    const native = () => fromPolicy(noting)
    const foreign: PromisePolicy = { execute: (one, options) => native().execute(one, options) }
    const all = PromiseCompose.composeAll(native(), native(), native())
    assert.strictEqual(await all.execute(async () => 1), 1)
    assert.deepStrictEqual([fibers.length, new Set(fibers).size], [3, 1])
    fibers.length = 0
    await PromiseCompose.composeAll(native(), native(), foreign, native(), native()).execute(() => 1)
    assert.deepStrictEqual([fibers.length, new Set(fibers).size], [5, 3])
  })

  it("the innermost gives the call what it gives it alone", async () => {
    const counted = associate(
      { execute: () => Promise.reject(new Error("not asked")) },
      { policy: through, prepare: (one) => (signal) => Reflect.apply(one, undefined, [signal, "own"]) }
    )
    const given: Array<unknown> = []
    await PromiseCompose.composeAll(fromPolicy(through), fromPolicy(through), counted).execute((...all) => {
      given.push(...all.slice(1))
    })
    assert.deepStrictEqual(given, ["own"])
  })

  it("of nothing calls", async () => {
    assert.strictEqual(await PromiseCompose.compose({}).execute(() => 1), 1)
    assert.instanceOf(await PromiseCompose.composeAll().execute((signal) => signal), AbortSignal)
    const controller = new AbortController()
    controller.abort(new Error("before"))
    const rejected = await PromiseCompose.composeAll()
      .execute(() => 1, controller)
      .catch((error: unknown) => error)
    assert.strictEqual(rejected, controller.signal.reason)
  })

  it("of nothing ends at once when its signal aborts", async () => {
    for (const policy of [PromiseCompose.compose({}), PromiseCompose.composeAll()]) {
      const controller = new AbortController()
      const given = Promise.withResolvers<AbortSignal>()
      const result = policy
        .execute(
          (signal) => {
            given.resolve(signal)
            return new Promise(() => undefined)
          },
          { signal: controller.signal }
        )
        .catch((error: unknown) => error)
      const signal = await given.promise
      controller.abort(new Error("left"))
      assert.strictEqual(await result, controller.signal.reason)
      assert.isTrue(signal.aborted)
    }
  })

  const foreign: PromisePolicy = {
    execute: async (one, options) => one(options?.signal ?? new AbortController().signal)
  }
  const single: ReadonlyArray<readonly [what: string, policy: () => Pick<PromisePolicy, "execute">]> = [
    ["retry", () => promiseRetry()],
    ["bulkhead", () => promiseBulkhead({ concurrency: 1 })],
    ["keyed bulkhead", () => keyedBulkhead({ concurrency: 1 }).partition("a")],
    ["adaptive limit", () => promiseAdaptiveLimit()],
    ["throttle", () => promiseThrottle()],
    ["timeout", () => promiseTimeout({ after: "1 minute" })],
    ["nothing", () => PromiseCompose.composeAll()],
    ["two", () => PromiseCompose.composeAll(promiseRetry(), promiseTimeout({ after: "1 minute" }))],
    ["foreign", () => PromiseCompose.composeAll(foreign, promiseThrottle())],
    ["a foreign one within", () => PromiseCompose.composeAll(promiseThrottle(), foreign)]
  ]
  for (const [what, make] of single) {
    describe(what, () => {
      it("takes null for no options, and for no signal", async () => {
        for (const options of [null, undefined, {}, { signal: null }, { signal: undefined }]) {
          assert.strictEqual(await Reflect.apply(make().execute, undefined, [() => 1, options]), 1)
        }
      })

      it("rejects with the reason of its signal, whatever the call then does, and leaves no listener", async () => {
        const unhandled: Array<unknown> = []
        const note = (error: unknown) => unhandled.push(error)
        process.on("unhandledRejection", note)
        const calls: ReadonlyArray<(abort: () => void, aborted: Promise<void>) => unknown> = [
          () => new Promise(() => undefined),
          async (abort, aborted) => {
            abort()
            await aborted
            throw new Error("its own")
          },
          (abort) => {
            abort()
            throw new Error("its own, at once")
          },
          (abort) => {
            abort()
            return "too late"
          }
        ]
        for (const misbehave of calls) {
          const controller = new AbortController()
          const reason = new Error("left")
          const { promise: aborted, resolve } = Promise.withResolvers<void>()
          controller.signal.addEventListener("abort", () => resolve(), { once: true })
          const result = make()
            .execute(() => misbehave(() => controller.abort(reason), aborted), { signal: controller.signal })
            .catch((error: unknown) => error)
          await Promise.resolve()
          controller.abort(reason)
          assert.strictEqual(await result, reason)
          // An unhandled rejection would be told by now.
          await new Promise((resume) => setImmediate(resume))
          assert.lengthOf(getEventListeners(controller.signal, "abort"), 0)
        }
        const controller = new AbortController()
        assert.strictEqual(await make().execute(() => 1, { signal: controller.signal }), 1)
        assert.lengthOf(getEventListeners(controller.signal, "abort"), 0)
        process.off("unhandledRejection", note)
        assert.deepStrictEqual(unhandled, [])
      })
    })
  }

  it("refuses one that is no policy, by its position", () => {
    const nothing = PromiseCompose.composeAll()
    for (const value of [1, null, undefined, {}, [nothing], { execute: 1 }, () => 1]) {
      const error = refusal(() => Reflect.apply(PromiseCompose.composeAll, undefined, [nothing, value]))
      assert.deepStrictEqual([error.module, error.option], ["Policy", "policies[1]"])
      assert.strictEqual(refused(PromiseCompose.composeAll, value as object).option, "policies[0]")
    }
  })

  it("refuses what is no layer, and what is no policy", () => {
    assert.strictEqual(refused(PromiseCompose.compose, { brekaer: PromiseCompose.composeAll() }).option, "brekaer")
    for (const value of [1, null, {}, { execute: 1 }, () => 1]) {
      assert.deepStrictEqual(
        [
          refused(PromiseCompose.compose, { retry: value }).module,
          refused(PromiseCompose.compose, { retry: value }).option
        ],
        ["Policy", "retry"]
      )
    }
  })
})

describe("Policy.compose, of the real ones", () => {
  const stack = Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make({
      consecutive: { failures: 3 },
      open: Backoff.constant("10 seconds")
    })
    const bulkhead = Bulkhead.make({ concurrency: 1 })
    const retry = Retry.make({ attempts: 3, backoff: Backoff.constant("100 millis") })
    const timeout = Timeout.make({ after: "1 second", grace: 0, name: "attempt" })
    const totalTimeout = Timeout.make({ after: "5 seconds", grace: 0, name: "total" })
    const fallback = yield* Fallback.make({ to: () => Effect.succeed("lesser") })
    const layers = {
      totalTimeout: totalTimeout.policy,
      retry: retry.policy,
      bulkhead: bulkhead.policy,
      breaker: breaker.policy,
      timeout: timeout.policy
    }
    return { breaker, bulkhead, fallback, layers, policy: Policy.compose(layers) }
  })

  it.effect("the types: what each adds, and what the call fails with", () =>
    Effect.gen(function* () {
      const { fallback, layers, policy } = yield* stack
      const called = policy(call)
      expectTypeOf(called).toEqualTypeOf<
        Effect.Effect<
          number,
          C | Retry.RetryError | Timeout.TimeoutError | Bulkhead.BulkheadError | CircuitBreaker.CircuitBreakerError
        >
      >()
      const answered = Policy.compose({ ...layers, fallback: fallback.policy })(call)
      expectTypeOf(answered).toEqualTypeOf<Effect.Effect<number | string>>()
      assert.strictEqual(yield* answered, 1)
    })
  )

  it.effect("a refusal of the bulkhead opens no circuit", () =>
    Effect.gen(function* () {
      const { breaker, policy } = yield* stack
      yield* Effect.forkChild(policy(Effect.never), { startImmediately: true })
      for (let i = 0; i < 20; i++) {
        assert.instanceOf(yield* Effect.flip(policy(Effect.void)), Bulkhead.BulkheadError)
      }
      assert.strictEqual(yield* breaker.state(), "Closed")
    })
  )

  it.effect(
    "each attempt passes the circuit, the one that is refused is not made, and no permit is held meanwhile",
    () =>
      Effect.gen(function* () {
        const { breaker, bulkhead, policy } = yield* stack
        let made = 0
        const broken = Effect.suspend(() => {
          made += 1
          return Effect.fail(new B())
        })
        const first = yield* Effect.forkChild(Effect.flip(policy(broken)), { startImmediately: true })
        assert.deepInclude(bulkhead.inspect(), { running: 0, waiting: 0 })
        yield* TestClock.adjust("200 millis")
        assert.instanceOf(yield* Fiber.join(first), B)
        assert.strictEqual(made, 3)
        assert.strictEqual(yield* breaker.state(), "Open")
        const second = yield* Effect.forkChild(Effect.flip(policy(broken)), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(second)
        assert.strictEqual(made, 3)
      })
  )

  it.effect("a timeout is a failure to the circuit, and all attempts together have their time", () =>
    Effect.gen(function* () {
      const { breaker, policy } = yield* stack
      const hanging = yield* Effect.forkChild(Effect.flip(policy(Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("3200 millis")
      const error = yield* Fiber.join(hanging)
      assert.deepInclude(error, { _tag: "TimeoutError", name: "attempt" })
      assert.strictEqual(yield* breaker.state(), "Open")
      yield* breaker.reset()
      const slow = Policy.compose({
        totalTimeout: Timeout.make({ after: "1500 millis", grace: 0, name: "total" }).policy,
        retry: Retry.make({ backoff: Backoff.constant("1 second") }).policy,
        breaker: breaker.policy,
        timeout: Timeout.make({ after: "1 second", grace: 0 }).policy
      })
      const late = yield* Effect.forkChild(Effect.flip(slow(Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("1500 millis")
      assert.deepInclude(yield* Fiber.join(late), { _tag: "TimeoutError", name: "total" })
    })
  )

  it.effect("opens the circuit of a backend that hangs with the timeout layer, not with `attemptTimeout`", () =>
    Effect.gen(function* () {
      const opens = Effect.fnUntraced(function* (layers: {
        readonly [K in "retry" | "timeout"]?: Policy.Policy<unknown>
      }) {
        const breaker = yield* CircuitBreaker.make({ consecutive: { failures: 2 } })
        const policy = Policy.compose({ ...layers, breaker: breaker.policy })
        for (let calls = 0; calls < 5; calls++) {
          const calling = yield* Effect.forkChild(Effect.exit(policy(Effect.never)), { startImmediately: true })
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(calling)
        }
        return yield* breaker.state()
      })
      const once = { attempts: 1 }
      const within = Timeout.make({ after: "1 second", grace: 0 }).policy
      assert.strictEqual(yield* opens({ retry: Retry.make(once).policy, timeout: within }), "Open")
      // As documented: an interruption says nothing about the other side.
      assert.strictEqual(yield* opens({ retry: Retry.make({ ...once, attemptTimeout: "1 second" }).policy }), "Closed")
    })
  )

  it.effect("the fallback answers what the open circuit refuses", () =>
    Effect.gen(function* () {
      const { breaker, fallback, layers } = yield* stack
      const policy = Policy.compose({ breaker: layers.breaker, fallback: fallback.policy })
      yield* breaker.isolate()
      assert.strictEqual(yield* policy(Effect.succeed("usual")), "lesser")
      assert.strictEqual((yield* fallback.mode)._tag, "Degraded")
      yield* breaker.reset()
      assert.strictEqual(yield* policy(Effect.succeed("usual")), "usual")
      assert.strictEqual((yield* fallback.mode)._tag, "Normal")
    })
  )

  it.effect("an interruption ends the call through all layers, and says nothing about it", () =>
    Effect.gen(function* () {
      const { breaker, bulkhead, policy } = yield* stack
      for (let i = 0; i < 5; i++) {
        let ended = false
        const hangs = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (ended = true)))
        const running = yield* Effect.forkChild(policy(hangs), { startImmediately: true })
        assert.strictEqual(bulkhead.inspect().running, 1)
        yield* Fiber.interrupt(running)
        assert.isTrue(ended)
        assert.strictEqual(bulkhead.inspect().running, 0)
      }
      assert.strictEqual(yield* breaker.state(), "Closed")
    })
  )
})
