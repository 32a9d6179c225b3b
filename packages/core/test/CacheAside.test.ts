import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { vi } from "vitest"

import * as Backoff from "../src/Backoff.ts"
import * as CacheAside from "../src/CacheAside.ts"
import { type CachePort, CachePortError, Unstorable } from "../src/CachePort.ts"
import { cacheAside, memoryCache } from "../src/internal/promise/cacheAside.ts"
import * as MemoryCache from "../src/MemoryCache.ts"
import * as Monotonic from "../src/Monotonic.ts"
import * as Outcome from "../src/Outcome.ts"
import { refusal } from "./support.ts"

class Down extends Schema.TaggedError<Down>("test/Down")("Down", {}) {}

type Fault = "none" | "fails" | "hangs" | "dies"
type Operation = "get" | "set" | "remove"

/** A cache that can be broken, and counts what it was asked. */
const breakable = Effect.gen(function* () {
  const memory = yield* MemoryCache.make<string, string>()
  const state = { fault: "none" as Fault, error: new Error("cache down") as unknown, asked: [] as Array<Operation> }
  const through = <A>(operation: Operation, effect: Effect.Effect<A>): Effect.Effect<A, unknown> =>
    Effect.suspend(() => {
      state.asked.push(operation)
      switch (state.fault) {
        case "none":
          return effect
        case "fails":
          return Effect.fail(state.error)
        case "hangs":
          return Effect.never
        case "dies":
          return Effect.die(state.error)
      }
    })
  const cache: CachePort<string, string, unknown> = {
    get: (key) => through("get", memory.get(key)),
    set: (key, value, lifetime) => through("set", memory.set(key, value, lifetime)),
    remove: (key) => through("remove", memory.remove(key))
  }
  return { memory, state, cache }
})

/** A source that answers with how often it was asked, and can be made to fail. */
const counting = () => {
  const state = { loads: 0, failure: undefined as Down | undefined }
  const source = (key: string): Effect.Effect<string, Down> =>
    Effect.suspend(() => {
      state.loads += 1
      return state.failure === undefined ? Effect.succeed(`${key}${state.loads}`) : Effect.fail(state.failure)
    })
  return { state, source }
}

type Given = Partial<CacheAside.CacheAsideOptions<string, string, Down, never>>

const setUp = Effect.fnUntraced(function* (options: Given = {}) {
  const { cache, memory, state: cacheState } = yield* breakable
  const { source, state } = counting()
  // Without jitter, so that the tests know when.
  const backoff = Backoff.constant("1 second")
  const aside = yield* CacheAside.make({ cache, source, backoff, ...options })
  return { aside, cache, memory, cacheState, state }
})

const modeOf = (aside: CacheAside.CacheAside<string, string, Down>) => Effect.map(aside.mode, ({ _tag }) => _tag)

const from = (aside: CacheAside.CacheAside<string, string, Down>, key: string) =>
  Effect.map(aside.answer(key), (answer) => answer.from)

const inert = { get: () => Effect.void, set: () => Effect.void, remove: () => Effect.void }
const good = { cache: inert, source: () => Effect.void }
const bad: ReadonlyArray<readonly [option: string, options: object]> = [
  ["cache", { source: good.source }],
  ["cache", { ...good, cache: { ...inert, remove: undefined } }],
  ["source", { cache: inert }],
  ["ttl", { ...good, ttl: 0 }],
  ["ttl", { ...good, ttl: "Infinity" }],
  ["staleIfError", { ...good, staleIfError: -1 }],
  ["cacheTimeout", { ...good, cacheTimeout: 0 }],
  ["cacheTimeout", { ...good, cacheTimeout: Duration.infinity }],
  ["backoff", { ...good, backoff: "1 second" }],
  ["shouldStore", { ...good, shouldStore: true }],
  ["name", { ...good, name: "" }],
  ["stale", { ...good, stale: "1 hour" }]
]

describe("CacheAside", () => {
  it.effect("reads through: the first from the source, the next from the copy", () =>
    Effect.gen(function* () {
      const { aside } = yield* setUp()
      assert.deepStrictEqual(yield* aside.answer("a"), { value: "a1", from: "source" })
      assert.deepStrictEqual(yield* aside.answer("a"), { value: "a1", from: "cache" })
      assert.strictEqual(yield* aside.get("b"), "b2")
      assert.deepInclude(yield* aside.stats, { hits: 1, loads: 2, cacheFailures: 0, skipped: 0 })
    })
  )

  it.effect("ttl: how long a copy is used, 300 seconds unless told", () =>
    Effect.gen(function* () {
      for (const [options, seconds] of [
        [{}, 300],
        [{ ttl: "10 seconds" }, 10]
      ] as const) {
        const { aside } = yield* setUp(options)
        yield* aside.get("a")
        yield* TestClock.adjust(Duration.seconds(seconds - 1))
        assert.strictEqual(yield* aside.get("a"), "a1")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* aside.get("a"), "a2")
      }
    })
  )

  it.effect("shouldStore: what is not worth it is loaded each time", () =>
    Effect.gen(function* () {
      const { aside } = yield* setUp({ shouldStore: (value, key) => key !== "b" && value !== "a1" })
      const values = yield* Effect.forEach(["a", "a", "a", "b", "b"], aside.get)
      assert.deepStrictEqual(values, ["a1", "a2", "a2", "b3", "b4"])
    })
  )

  it.effect("a load that failed is the caller's failure, and never stored", () =>
    Effect.gen(function* () {
      const { aside, cacheState, state } = yield* setUp({ staleIfError: "1 hour" })
      state.failure = new Down()
      assert.strictEqual(yield* Effect.flip(aside.get("a")), state.failure)
      assert.deepStrictEqual(cacheState.asked, ["get"])
      state.failure = undefined
      assert.strictEqual(yield* aside.get("a"), "a2")
    })
  )

  describe("staleIfError", () => {
    it.effect("serves the copy for so long after its ttl when the source fails, and says so", () =>
      Effect.gen(function* () {
        const { aside, state } = yield* setUp({ staleIfError: "1 minute" })
        yield* aside.get("a")
        state.failure = new Down()
        yield* TestClock.adjust("359 seconds")
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a1", from: "stale" })
        assert.strictEqual((yield* aside.stats).stale, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Effect.flip(aside.get("a")), state.failure)
      })
    )

    it.effect("is off unless told, also for copies that another process stored to be stale", () =>
      Effect.gen(function* () {
        const { aside, memory, state } = yield* setUp()
        yield* memory.set("a", "old", { ttl: Duration.seconds(1), staleFor: Duration.hours(1) })
        yield* TestClock.adjust("1 minute")
        state.failure = new Down()
        assert.strictEqual(yield* Effect.flip(aside.get("a")), state.failure)
      })
    )

    it.effect("replaces the stale copy when the source works", () =>
      Effect.gen(function* () {
        const { aside } = yield* setUp({ staleIfError: "1 hour" })
        yield* aside.get("a")
        yield* TestClock.adjust("301 seconds")
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a2", from: "source" })
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a2", from: "cache" })
      })
    )

    it.effect("does not hide a bug of the source", () =>
      Effect.gen(function* () {
        let bug = false
        const { aside } = yield* setUp({
          staleIfError: "1 hour",
          source: (key) => Effect.suspend(() => (bug ? Effect.die("a bug") : Effect.succeed(key)))
        })
        yield* aside.get("a")
        bug = true
        yield* TestClock.adjust("301 seconds")
        assert.deepStrictEqual(yield* Effect.exit(aside.get("a")), Exit.die("a bug"))
      })
    )
  })

  describe("callers of the same key", () => {
    const held = Effect.gen(function* () {
      const latch = yield* Deferred.make<string>()
      const state = { loads: 0, interrupted: 0 }
      const aside = yield* setUp({
        source: () =>
          Effect.suspend(() => {
            state.loads += 1
            return Effect.onInterrupt(Deferred.await(latch), () => Effect.sync(() => (state.interrupted += 1)))
          })
      })
      return { ...aside, latch, state }
    })

    it.effect("100 share one load, and one look into the cache", () =>
      Effect.gen(function* () {
        const { aside, cacheState, latch, state } = yield* held
        const callers = yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.forkChild(aside.get("a"), { startImmediately: true })
        )
        yield* Deferred.succeed(latch, "value")
        assert.deepStrictEqual(new Set(yield* Fiber.joinAll(callers)), new Set(["value"]))
        assert.strictEqual(state.loads, 1)
        assert.deepStrictEqual(cacheState.asked, ["get", "set"])
      })
    )

    it.effect("one who leaves does not take it from the others; the last one does", () =>
      Effect.gen(function* () {
        const { aside, state } = yield* held
        const fork = Effect.forkChild(aside.get("a"), { startImmediately: true })
        const first = yield* fork
        const second = yield* fork
        const third = yield* fork
        yield* Fiber.interrupt(first)
        yield* Fiber.interrupt(second)
        assert.deepStrictEqual(state, { loads: 1, interrupted: 0 })
        yield* Fiber.interrupt(third)
        assert.deepStrictEqual(state, { loads: 1, interrupted: 1 })
      })
    )

    it.effect("one who comes after all have left makes a load of his own", () =>
      Effect.gen(function* () {
        const { aside, latch, state } = yield* held
        yield* Fiber.interrupt(yield* Effect.forkChild(aside.get("a"), { startImmediately: true }))
        const late = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
        yield* Deferred.succeed(latch, "value")
        assert.strictEqual(yield* Fiber.join(late), "value")
        assert.strictEqual(state.loads, 2)
      })
    )

    it.effect("a failed load fails all who shared it, and the next one loads anew", () =>
      Effect.gen(function* () {
        const { aside, state } = yield* setUp()
        state.failure = new Down()
        const exits = yield* Effect.all([aside.get("a"), aside.get("a")].map(Effect.exit), { concurrency: 2 })
        assert.isTrue(exits.every((exit) => Exit.isFailure(exit) && Cause.squash(exit.cause) === state.failure))
        state.failure = undefined
        yield* aside.get("a")
      })
    )
  })

  describe("a cache that is down", () => {
    for (const fault of ["fails", "dies"] as const) {
      it.effect(`${fault}: the source answers, and the cache is left alone until the backoff has passed`, () =>
        Effect.gen(function* () {
          const { aside, cacheState } = yield* setUp()
          cacheState.fault = fault
          assert.strictEqual(yield* aside.get("a"), "a1")
          assert.deepInclude(yield* aside.mode, { _tag: "Degraded", why: "cache down" })
          for (let i = 0; i < 50; i++) yield* aside.get("a")
          assert.deepStrictEqual(cacheState.asked, ["get"])
          yield* TestClock.adjust("1 second")
          yield* aside.get("a")
          yield* aside.get("a")
          assert.deepStrictEqual(cacheState.asked, ["get", "get"])
        })
      )
    }

    it.effect("hangs: callers wait for it no longer than cacheTimeout, 250 milliseconds unless told, and once", () =>
      Effect.gen(function* () {
        for (const [options, millis] of [
          [{}, 250],
          [{ cacheTimeout: "40 millis" }, 40]
        ] as const) {
          const { aside, cacheState } = yield* setUp(options)
          cacheState.fault = "hangs"
          const first = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
          yield* TestClock.adjust(Duration.millis(millis - 1))
          assert.isUndefined(first.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          assert.strictEqual(yield* Fiber.join(first), "a1")
          // No time passes for those who come now.
          assert.strictEqual(yield* aside.get("b"), "b2")
          assert.deepInclude(yield* aside.mode, { why: `no answer within ${millis}ms` })
        }
      })
    )

    it.effect("hangs: of 100 callers after the backoff one waits for it", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        cacheState.fault = "fails"
        yield* aside.get("a")
        cacheState.fault = "hangs"
        yield* TestClock.adjust("1 second")
        const callers = yield* Effect.forEach(Array.from({ length: 100 }), (_, index) =>
          Effect.forkChild(aside.get(`k${index}`), { startImmediately: true })
        )
        assert.strictEqual(callers.filter((one) => one.pollUnsafe() === undefined).length, 1)
        yield* TestClock.adjust("250 millis")
        yield* Fiber.joinAll(callers)
        assert.deepStrictEqual(cacheState.asked, ["get", "get"])
      })
    )

    it.effect("is used again by itself, and says since when", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        const changes = yield* Effect.forkChild(Stream.runCollect(Stream.take(aside.changes, 3)), {
          startImmediately: true
        })
        yield* aside.get("a")
        cacheState.fault = "fails"
        yield* TestClock.adjust("10 seconds")
        yield* aside.get("a")
        cacheState.fault = "none"
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a3", from: "source" })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a1", from: "cache" })
        assert.deepStrictEqual(
          (yield* Fiber.join(changes)).map(({ _tag, monotonic }) => [_tag, monotonic]),
          [
            ["Normal", 0],
            ["Degraded", 10_000],
            ["Normal", 11_000]
          ]
        )
      })
    )

    it.effect("backoff: grows while the trials fail, and begins anew after a success", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp({
          backoff: Backoff.exponential({ initial: "1 second", max: "4 seconds", jitter: "none" })
        })
        const asks = () => cacheState.asked.filter((one) => one === "get").length
        cacheState.fault = "fails"
        yield* aside.get("a")
        for (const [index, seconds] of [1, 2, 4, 4].entries()) {
          yield* TestClock.adjust(Duration.millis(seconds * 1000 - 1))
          yield* aside.get("a")
          assert.strictEqual(asks(), index + 1)
          yield* TestClock.adjust("1 millis")
          yield* aside.get("a")
          assert.strictEqual(asks(), index + 2)
        }
        cacheState.fault = "none"
        yield* TestClock.adjust("4 seconds")
        yield* aside.get("a")
        assert.strictEqual(yield* modeOf(aside), "Normal")
        cacheState.fault = "fails"
        yield* aside.get("b")
        cacheState.fault = "none"
        yield* TestClock.adjust("1 second")
        yield* aside.get("b")
        assert.strictEqual(yield* modeOf(aside), "Normal")
      })
    )

    it.effect("its own circuit is open: it is left alone for as long as that asks", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        cacheState.fault = "fails"
        cacheState.error = Object.assign(new Error("circuit open"), {
          [Outcome.refusal]: true,
          retryAfter: Duration.seconds(7)
        })
        yield* aside.get("a")
        yield* TestClock.adjust("6999 millis")
        yield* aside.get("a")
        assert.strictEqual(cacheState.asked.length, 1)
        yield* TestClock.adjust("1 millis")
        yield* aside.get("a")
        assert.strictEqual(cacheState.asked.length, 2)
      })
    )

    it.effect("one that asks to be left alone for ever is tried again after 5 minutes", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        cacheState.fault = "fails"
        cacheState.error = Object.assign(new Error("never again"), { retryAfter: Duration.infinity })
        yield* aside.get("a")
        cacheState.fault = "none"
        yield* TestClock.adjust("5 minutes")
        yield* aside.get("a")
        assert.strictEqual(yield* modeOf(aside), "Normal")
      })
    )

    it.effect("failures of 100 calls at a time count once, and a late success does not end it", () =>
      Effect.gen(function* () {
        const { cache, state } = yield* breakable
        const latch = yield* Deferred.make<void>()
        const slow: CachePort<string, string, unknown> = {
          ...cache,
          get: (key) => (key === "slow" ? Effect.andThen(Deferred.await(latch), cache.get(key)) : cache.get(key))
        }
        const aside = yield* CacheAside.make({
          cache: slow,
          source: (key: string): Effect.Effect<string, Down> => Effect.succeed(key),
          backoff: Backoff.exponential({ initial: "1 second", max: "1 hour", jitter: "none" })
        })
        const late = yield* Effect.forkChild(aside.get("slow"), { startImmediately: true })
        state.fault = "hangs"
        const callers = yield* Effect.forEach(Array.from({ length: 100 }), (_, index) =>
          Effect.forkChild(aside.get(`k${index}`), { startImmediately: true })
        )
        // One that fails at once, and the others by their timeouts.
        state.fault = "fails"
        yield* aside.get("first")
        state.fault = "none"
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(late)
        assert.strictEqual(yield* modeOf(aside), "Degraded")
        yield* TestClock.adjust("250 millis")
        yield* Fiber.joinAll(callers)
        assert.strictEqual((yield* aside.stats).cacheFailures, 101)
        // Had they counted, the first trial were ages away.
        yield* TestClock.adjust("750 millis")
        yield* aside.get("k1")
        assert.strictEqual(yield* modeOf(aside), "Normal")
      })
    )

    it.effect("a caller who leaves during the trial does not keep the others from making it", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        cacheState.fault = "fails"
        yield* aside.get("a")
        cacheState.fault = "hangs"
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(yield* Effect.forkChild(aside.get("a"), { startImmediately: true }))
        cacheState.fault = "none"
        yield* aside.get("a")
        assert.strictEqual(yield* modeOf(aside), "Normal")
      })
    )

    for (const budget of [2, 3, 4, 5]) {
      it.effect(`a caller who leaves anywhere in the trial leaves it to the next, at ${budget} steps a turn`, () =>
        Effect.gen(function* () {
          for (let turns = 1; turns < 80; turns++) {
            const { aside, cacheState } = yield* setUp()
            cacheState.fault = "fails"
            yield* aside.get("a")
            cacheState.fault = "none"
            yield* TestClock.adjust("1 second")
            for (const call of [aside.get("a"), aside.invalidate("a")]) {
              const caller = yield* Effect.forkChild(
                Effect.provideService(Effect.exit(call), References.MaxOpsBeforeYield, budget)
              )
              for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
              yield* Fiber.interrupt(caller)
            }
            yield* aside.get("b")
            assert.strictEqual(yield* modeOf(aside), "Normal", `after ${turns} turns`)
          }
        })
      )
    }

    it.effect("a write that fails, or hangs, fails no call", () =>
      Effect.gen(function* () {
        for (const fault of ["fails", "hangs", "dies"] as const) {
          const { cache, state } = yield* breakable
          const aside = yield* CacheAside.make({
            cache,
            source: (key: string): Effect.Effect<string, Down> => {
              state.fault = fault
              return Effect.succeed(key)
            }
          })
          const call = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
          yield* TestClock.adjust("250 millis")
          assert.strictEqual(yield* Fiber.join(call), "a")
          assert.strictEqual(yield* modeOf(aside), "Degraded")
        }
      })
    )

    it.effect("a value that the cache cannot write says nothing about the cache", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        const { cache } = yield* breakable
        const picky = yield* setUp({
          cache: { ...cache, set: () => new CachePortError({ reason: new Unstorable({ why: "too large" }) }) }
        })
        assert.strictEqual(yield* picky.aside.get("a"), "a1")
        assert.strictEqual(yield* modeOf(picky.aside), "Normal")
        assert.deepInclude(yield* picky.aside.stats, { unstorable: 1, cacheFailures: 0 })
        cacheState.fault = "fails"
        yield* aside.get("a")
        assert.strictEqual(yield* modeOf(aside), "Degraded")
      })
    )

    it.effect("name: what it shows under in metrics", () =>
      Effect.gen(function* () {
        const { aside, cacheState, state } = yield* setUp({ name: "shown", staleIfError: "1 hour" })
        yield* aside.get("a")
        yield* TestClock.adjust("301 seconds")
        state.failure = new Down()
        yield* aside.get("a")
        cacheState.fault = "fails"
        yield* Effect.flip(aside.get("b"))
        const shown = (yield* Metric.snapshot).filter((one) => one.attributes?.name === "shown")
        assert.deepStrictEqual(
          Object.fromEntries(
            shown.map((one) => [one.id, Reflect.get(one.state, one.type === "Counter" ? "count" : "value")])
          ),
          {
            nexobot_cache_aside_degraded: 1,
            nexobot_cache_aside_cache_failures: 1,
            nexobot_cache_aside_stale_answers: 1
          }
        )
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    )
  })

  describe("invalidate", () => {
    it.effect("the next call asks the source", () =>
      Effect.gen(function* () {
        const { aside } = yield* setUp()
        yield* aside.get("a")
        yield* aside.invalidate("a")
        assert.strictEqual(yield* aside.get("a"), "a2")
        assert.strictEqual(yield* aside.get("a"), "a2")
      })
    )

    it.effect("a load that began before is not stored, and not shared with those who come after", () =>
      Effect.gen(function* () {
        const latches = [yield* Deferred.make<string>(), yield* Deferred.make<string>()]
        let loads = 0
        const { aside, memory } = yield* setUp({
          source: () => Effect.suspend(() => Deferred.await(latches[loads++] ?? Deferred.makeUnsafe<string>()))
        })
        const before = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
        yield* aside.invalidate("a")
        const after = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
        yield* Effect.forEach(latches.toReversed(), (latch, index) =>
          Deferred.succeed(latch, index === 0 ? "new" : "old")
        )
        assert.deepStrictEqual([yield* Fiber.join(before), yield* Fiber.join(after)], ["old", "new"])
        assert.strictEqual((yield* memory.get("a"))?.value, "new")
      })
    )

    it.effect("while the cache is down: the copy is not used when it is back", () =>
      Effect.gen(function* () {
        const { aside, cacheState, memory } = yield* setUp()
        yield* aside.get("a")
        cacheState.fault = "fails"
        yield* aside.invalidate("a")
        assert.strictEqual(yield* modeOf(aside), "Degraded")
        cacheState.fault = "none"
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* memory.get("a"))?.value, "a1")
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a2", from: "source" })
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a2", from: "cache" })
      })
    )

    it.effect("a write that was given up, and may arrive after all, is not trusted", () =>
      Effect.gen(function* () {
        const { cache, memory, state } = yield* breakable
        let loads = 0
        const aside = yield* CacheAside.make({
          cache: {
            ...cache,
            // It arrives, and its answer does not.
            set: (key, value, lifetime) =>
              loads === 1
                ? Effect.andThen(memory.set(key, value, lifetime), Effect.never)
                : cache.set(key, value, lifetime)
          },
          source: (): Effect.Effect<string, Down> => Effect.sync(() => `${++loads}`),
          backoff: Backoff.constant(0)
        })
        const first = yield* Effect.forkChild(aside.get("a"), { startImmediately: true })
        yield* TestClock.adjust("250 millis")
        assert.strictEqual(yield* Fiber.join(first), "1")
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "2", from: "source" })
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "2", from: "cache" })
        assert.deepStrictEqual(state.asked, ["get", "set", "get"])
      })
    )
  })

  describe("more invalidations than can be remembered while the cache is down", () => {
    const many = 10_001

    const overflown = Effect.gen(function* () {
      const { cacheState, memory, ...rest } = yield* setUp({ ttl: "1 minute", staleIfError: "1 minute" })
      const { aside } = rest
      for (const key of ["forgotten", "bystander"]) yield* aside.get(key)
      cacheState.fault = "fails"
      yield* aside.invalidate("forgotten")
      for (let index = 1; index < many; index++) yield* aside.invalidate(`k${index}`)
      cacheState.fault = "none"
      // It is away for longer than copies live, and what it was told late arrives when it returns.
      yield* TestClock.adjust("1 hour")
      for (const key of ["forgotten", "bystander"]) {
        yield* memory.set(key, "old", { ttl: Duration.minutes(1), staleFor: Duration.minutes(1) })
      }
      yield* aside.get("trial")
      assert.strictEqual(yield* modeOf(aside), "Normal")
      return { memory, ...rest }
    })

    it.effect("no copy is used that was not written anew", () =>
      Effect.gen(function* () {
        const { aside, state } = yield* overflown
        assert.strictEqual(yield* from(aside, "forgotten"), "source")
        assert.strictEqual(yield* from(aside, "forgotten"), "cache")
        state.failure = new Down()
        assert.strictEqual(yield* Effect.flip(aside.get("bystander")), state.failure)
        state.failure = undefined
        assert.strictEqual(yield* from(aside, "bystander"), "source")
        assert.strictEqual(yield* from(aside, "bystander"), "cache")
        yield* aside.invalidate("bystander")
        assert.strictEqual(yield* from(aside, "bystander"), "source")
      })
    )

    it.effect("until all copies that were there at its return have expired", () =>
      Effect.gen(function* () {
        const { aside, memory } = yield* overflown
        const write = memory.set("x", "written by another", { ttl: Duration.minutes(5), staleFor: Duration.zero })
        yield* write
        yield* TestClock.adjust("119 seconds")
        assert.strictEqual(yield* from(aside, "x"), "source")
        yield* write
        yield* memory.set("y", "written by another", { ttl: Duration.minutes(5), staleFor: Duration.zero })
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(yield* aside.answer("y"), { value: "written by another", from: "cache" })
      })
    )

    it.effect("as many as can be remembered put no other key in doubt", () =>
      Effect.gen(function* () {
        const { aside, cacheState } = yield* setUp()
        yield* aside.get("bystander")
        cacheState.fault = "fails"
        for (let index = 1; index < many; index++) yield* aside.invalidate(`k${index}`)
        cacheState.fault = "none"
        yield* TestClock.adjust("1 second")
        yield* aside.get("trial")
        assert.strictEqual(yield* from(aside, "bystander"), "cache")
      })
    )

    it.effect("a doubt is over when the copy must have expired, and makes room", () =>
      Effect.gen(function* () {
        const { aside, cacheState, memory } = yield* setUp({ ttl: "1 minute" })
        const fill = Effect.gen(function* () {
          cacheState.fault = "fails"
          for (let index = 1; index < many; index++) yield* aside.invalidate(`${yield* Monotonic.millis}.${index}`)
          cacheState.fault = "none"
          yield* TestClock.adjust("1 second")
          yield* aside.get("trial")
        })
        yield* fill
        yield* TestClock.adjust("2 minutes")
        yield* fill
        yield* memory.set("bystander", "copy", { ttl: Duration.minutes(1), staleFor: Duration.zero })
        assert.strictEqual(yield* from(aside, "bystander"), "cache")
      })
    )
  })

  it.effect("what a cache answers that is no copy is a miss", () =>
    Effect.gen(function* () {
      for (const miss of [undefined, null, "raw", {}, { value: "x" }, { fresh: true }]) {
        const { cache } = yield* breakable
        const { aside, state } = yield* setUp({
          staleIfError: "1 hour",
          cache: { ...cache, get: () => Effect.sync(() => JSON.parse(JSON.stringify({ miss })).miss) }
        })
        state.failure = new Down()
        assert.strictEqual(yield* Effect.flip(aside.get("a")), state.failure)
        state.failure = undefined
        assert.deepStrictEqual(yield* aside.answer("a"), { value: "a2", from: "source" })
      }
    })
  )

  const Step = Schema.Literals([
    "a",
    "b",
    "invalidate a",
    "cache fails",
    "cache works",
    "source fails",
    "source works",
    "wait"
  ])

  it.effect.prop(
    "whatever fails and returns: never older than its ttl, never what was invalidated, and no failure but the source's",
    [Schema.Array(Step).check(Schema.isMaxLength(60))],
    ([steps]) =>
      Effect.gen(function* () {
        // The value tells when it was loaded.
        let now = 0
        let sourceFails = false
        let invalidated = -1
        const { cache, state } = yield* breakable
        const aside = yield* CacheAside.make({
          cache,
          source: () => Effect.suspend(() => (sourceFails ? Effect.fail(new Down()) : Effect.succeed(`${now}`))),
          ttl: "100 seconds",
          backoff: Backoff.constant("5 seconds")
        })
        for (const step of steps) {
          switch (step) {
            case "wait":
              now += 30
              yield* TestClock.adjust("30 seconds")
              break
            case "cache fails":
              state.fault = "fails"
              break
            case "cache works":
              state.fault = "none"
              break
            case "source fails":
            case "source works":
              sourceFails = step === "source fails"
              break
            case "invalidate a":
              yield* aside.invalidate("a")
              // What is loaded in the same moment is as good.
              invalidated = now
              break
            default: {
              const answer = yield* Effect.result(aside.get(step))
              if (answer._tag === "Failure") assert.isTrue(sourceFails)
              else {
                assert.isBelow(now - Number(answer.success), 100)
                if (step === "a") assert.isAtLeast(Number(answer.success), invalidated)
              }
            }
          }
        }
      }),
    { arbitrary: { runs: 200, size: 60 } }
  )

  for (const [index, [option, options]] of bad.entries()) {
    it(`refuses ${option} out of range (${index + 1})`, () => {
      const error = refusal(() => Reflect.apply(CacheAside.make, undefined, [options]))
      assert.deepStrictEqual([error.module, error.option], ["CacheAside", option])
    })
  }
})

describe("cacheAside, for plain Node", () => {
  it("reads through, and does without a cache that is down or hangs", async () => {
    let loads = 0
    let fault: "none" | "fails" | "hangs" = "none"
    const memory = memoryCache<string, number>({ capacity: 10 })
    const through = <X>(working: PromiseLike<X>): PromiseLike<X> =>
      fault === "none"
        ? working
        : fault === "fails"
          ? Promise.reject<X>(new Error("cache down"))
          : new Promise<X>(() => undefined)
    const aside = cacheAside({
      cache: {
        get: (key: string, signal) => through(memory.get(key, signal)),
        set: (key, value: number, lifetime, signal) => through(memory.set(key, value, lifetime, signal)),
        remove: (key, signal) => through(memory.remove(key, signal))
      },
      source: async () => ++loads,
      cacheTimeout: "20 millis",
      backoff: Backoff.constant(0)
    })
    assert.strictEqual(await aside.get("a"), 1)
    assert.deepStrictEqual(await aside.answer("a"), { value: 1, from: "cache" })
    fault = "fails"
    assert.deepStrictEqual(await aside.answer("a"), { value: 2, from: "source" })
    assert.deepInclude(aside.mode(), { _tag: "Degraded", why: "cache down" })
    fault = "hangs"
    assert.deepStrictEqual(await aside.answer("a"), { value: 3, from: "source" })
    fault = "none"
    await aside.get("a")
    assert.strictEqual(aside.mode()._tag, "Normal")
    await aside.invalidate("a")
    assert.strictEqual((await aside.answer("a")).from, "source")
    assert.strictEqual(aside.stats().cacheFailures, 3)
  })

  it("a rejection of the source is the caller's, and a signal ends the wait with its reason", async () => {
    const failure = new Error("no such user")
    const failing = cacheAside({ cache: memoryCache(), source: () => Promise.reject(failure) })
    assert.strictEqual(await failing.get("a").catch((error: unknown) => error), failure)
    let aborted = false
    const hanging = cacheAside<string, string>({
      cache: memoryCache(),
      source: (_, signal) => {
        signal.addEventListener("abort", () => (aborted = true))
        return new Promise(() => undefined)
      }
    })
    const controller = new AbortController()
    const answer = hanging.get("a", { signal: controller.signal })
    await vi.waitFor(() => assert.strictEqual(hanging.stats().loads, 1))
    controller.abort(new Error("enough"))
    assert.strictEqual(await answer.catch((error: unknown) => error), controller.signal.reason)
    assert.isTrue(aborted)
  })

  it("a cache may say null for a miss, and the source's rejection is not lost", async () => {
    const failure = new Error("the database is down")
    let sourceFails = true
    const aside = cacheAside<string, number>({
      cache: { get: async () => null, set: async () => undefined, remove: async () => undefined },
      source: () => (sourceFails ? Promise.reject(failure) : 1),
      staleIfError: "1 hour"
    })
    assert.strictEqual(await aside.get("a").catch((error: unknown) => error), failure)
    sourceFails = false
    assert.deepStrictEqual(await aside.answer("a"), { value: 1, from: "source" })
  })

  it("refuses what `make` refuses", () => {
    for (const [option, options] of bad) {
      const error = refusal(() => Reflect.apply(cacheAside, undefined, [options]))
      assert.deepStrictEqual([error.module, error.option], ["CacheAside", option])
    }
    assert.strictEqual(refusal(() => memoryCache({ capacity: 0 })).option, "capacity")
    assert.strictEqual(refusal(() => Reflect.apply(cacheAside, undefined, [null])).module, "CacheAside")
  })
})
