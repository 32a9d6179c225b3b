import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { vi } from "vitest"

import * as Fallback from "../src/Fallback.ts"
import { fallback as promiseFallback } from "../src/internal/promise/fallback.ts"
import { refusal } from "./support.ts"

class Down extends Schema.TaggedError<Down>("test/Down")("Down", { what: Schema.String }) {
  override get message(): string {
    return `${this.what} is down`
  }
}

class Gone extends Schema.TaggedError<Gone>("test/Gone")("Gone", {}) {}

const down = new Down({ what: "the catalogue" })

const saved = Fallback.make({ to: (error: Down) => Effect.succeed(`saved copy, as ${error.what} is down`) })

const metrics = Effect.map(Metric.snapshot, (all) =>
  Object.fromEntries(
    all.flatMap((one) =>
      one.attributes?.name === "shown"
        ? [[one.id, "count" in one.state ? one.state.count : Reflect.get(one.state, "value")]]
        : []
    )
  )
)

const bad: ReadonlyArray<readonly [option: string, options: object]> = [
  ["to", {}],
  ["to", { to: "saved" }],
  ["when", { to: () => Effect.void, when: true }],
  ["name", { to: () => Effect.void, name: "" }],
  ["wen", { to: () => Effect.void, wen: () => true }]
]

describe("Fallback", () => {
  it.effect("passes a success, and answers a failure with something lesser", () =>
    Effect.gen(function* () {
      const fallback = yield* saved
      assert.strictEqual(yield* fallback.policy(Effect.succeed("today's")), "today's")
      // Typed: nothing is left to fail.
      const answered: Effect.Effect<string> = fallback.policy(Effect.fail(down))
      assert.strictEqual(yield* answered, "saved copy, as the catalogue is down")
      assert.deepStrictEqual(yield* fallback.stats, { answers: 1, failures: 0 })
    })
  )

  it.effect("says which of the two it is, and what the lesser one stands for", () =>
    Effect.gen(function* () {
      const fallback = yield* Fallback.make({ to: () => Effect.succeed(0) })
      assert.deepStrictEqual(yield* fallback.answer(Effect.succeed("a")), { degraded: false, value: "a" })
      assert.deepStrictEqual(yield* fallback.answer(Effect.fail(down)), { degraded: true, value: 0, error: down })
    })
  )

  it.effect("when: other failures pass as they are", () =>
    Effect.gen(function* () {
      const fallback = yield* Fallback.make({
        to: () => Effect.succeed("saved"),
        when: (error: Down | Gone) => error._tag === "Down"
      })
      const call = (error: Down | Gone): Effect.Effect<string, Down | Gone> => fallback.policy(Effect.fail(error))
      assert.strictEqual(yield* call(down), "saved")
      const gone = new Gone()
      assert.strictEqual(yield* Effect.flip(call(gone)), gone)
      assert.deepStrictEqual(yield* fallback.stats, { answers: 1, failures: 0 })
    })
  )

  it.effect("when: one that throws is a bug, and hides no failure", () =>
    Effect.gen(function* () {
      const bug = new Error("a bug in when")
      const fallback = yield* Fallback.make({
        to: () => Effect.succeed("saved"),
        when: (_error: Down) => {
          throw bug
        }
      })
      const exit = yield* Effect.exit(fallback.policy(Effect.fail(down)))
      assert.isTrue(Exit.isFailure(exit))
      const reasons = Exit.isFailure(exit) ? exit.cause.reasons : []
      assert.deepStrictEqual(
        reasons.map((reason) => (reason._tag === "Fail" ? reason.error : reason._tag === "Die" && reason.defect)),
        [down, bug]
      )
      assert.strictEqual((yield* fallback.mode)._tag, "Normal")
      assert.deepStrictEqual(yield* fallback.stats, { answers: 0, failures: 0 })
    })
  )

  it.effect("a fallback that fails keeps the original failure as well", () =>
    Effect.gen(function* () {
      const gone = new Gone()
      const fallback = yield* Fallback.make({ name: "shelf", to: () => Effect.fail(gone) })
      const error = yield* Effect.flip(fallback.policy(Effect.fail(down)))
      assert.instanceOf(error, Fallback.FallbackError)
      assert.strictEqual(error.original, down)
      assert.strictEqual(error.reason.failure, gone)
      assert.strictEqual(error.fallback, "shelf")
      assert.include(error.message, "the catalogue is down")
      assert.include(error.message, '"shelf"')
      assert.deepStrictEqual(yield* fallback.stats, { answers: 0, failures: 1 })
    })
  )

  it.effect("defects and interruptions pass: a bug is no outage", () =>
    Effect.gen(function* () {
      const fallback = yield* saved
      const bug = new Error("a bug")
      assert.deepStrictEqual(yield* Effect.exit(fallback.policy(Effect.die(bug))), Exit.die(bug))
      const exit = yield* Effect.exit(fallback.policy(Effect.interrupt))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual((yield* fallback.mode)._tag, "Normal")
    })
  )

  it.effect("a caller who leaves ends the call, and the fallback", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      const hangs = (what: string) => Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended.push(what)))
      const fallback = yield* Fallback.make({ to: () => hangs("fallback") })
      const first = yield* Effect.forkChild(fallback.policy(hangs("call")), { startImmediately: true })
      const second = yield* Effect.forkChild(fallback.policy(Effect.fail(down)), { startImmediately: true })
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual(ended, ["call", "fallback"])
    })
  )

  it.effect("is degraded, and says since when and why, until a call succeeds", () =>
    Effect.gen(function* () {
      const fallback = yield* saved
      const changes = yield* Effect.forkChild(Stream.runCollect(Stream.take(fallback.changes, 3)), {
        startImmediately: true
      })
      yield* TestClock.adjust("1 minute")
      yield* fallback.policy(Effect.fail(down))
      yield* fallback.policy(Effect.fail(new Down({ what: "another" })))
      const mode = yield* fallback.mode
      assert.deepInclude(mode, { _tag: "Degraded", monotonic: 60_000, why: "the catalogue is down" })
      assert.strictEqual(mode.since.epochMilliseconds, 60_000)
      yield* TestClock.adjust("1 minute")
      yield* fallback.policy(Effect.succeed("today's"))
      const seen = yield* Fiber.join(changes)
      assert.deepStrictEqual(
        seen.map(({ _tag, monotonic }) => [_tag, monotonic]),
        [
          ["Normal", 0],
          ["Degraded", 60_000],
          ["Normal", 120_000]
        ]
      )
    })
  )

  for (const budget of [2, 3, 4]) {
    it.effect(`a caller who leaves at any point leaves a mode that is true, at ${budget} steps a turn`, () =>
      Effect.gen(function* () {
        for (let turns = 1; turns < 60; turns++) {
          const fallback = yield* saved
          const caller = yield* Effect.forkChild(
            Effect.provideService(fallback.policy(Effect.fail(down)), References.MaxOpsBeforeYield, budget)
          )
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
          yield* Fiber.interrupt(caller)
          yield* fallback.policy(Effect.fail(down))
          assert.strictEqual((yield* fallback.mode)._tag, "Degraded", `after ${turns} turns`)
        }
      })
    )
  }

  it.effect("a success that began before the last failure proves nothing", () =>
    Effect.gen(function* () {
      const fallback = yield* saved
      const latch = yield* Deferred.make<string>()
      const early = yield* Effect.forkChild(fallback.policy(Deferred.await(latch)), { startImmediately: true })
      yield* fallback.policy(Effect.fail(down))
      yield* Deferred.succeed(latch, "late")
      assert.strictEqual(yield* Fiber.join(early), "late")
      assert.strictEqual((yield* fallback.mode)._tag, "Degraded")
      yield* fallback.policy(Effect.succeed("today's"))
      assert.strictEqual((yield* fallback.mode)._tag, "Normal")
    })
  )

  it.effect("counts in metrics, by name", () =>
    Effect.gen(function* () {
      const fallback = yield* Fallback.make({
        name: "shown",
        to: (error: Down | Gone) => (error._tag === "Down" ? Effect.succeed("saved") : Effect.fail(error))
      })
      yield* fallback.policy(Effect.fail(down))
      yield* Effect.flip(fallback.policy(Effect.fail(new Gone())))
      assert.deepStrictEqual(yield* metrics, {
        nexobot_fallback_answers: 1,
        nexobot_fallback_failures: 1,
        nexobot_fallback_degraded: 1
      })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  for (const [option, options] of bad) {
    it(`refuses ${option} of ${JSON.stringify(options)}`, () => {
      const error = refusal(() => Reflect.apply(Fallback.make, undefined, [options]))
      assert.deepStrictEqual([error.module, error.option], ["Fallback", option])
    })
  }
})

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))

describe("fallback, for plain Node", () => {
  it("answers rejections with something lesser, and tells", async () => {
    const modes: Array<string> = []
    const fallback = promiseFallback({ to: async () => "saved" })
    const stop = fallback.onModeChange((mode) => modes.push(mode._tag))
    assert.strictEqual(await fallback.execute(async () => "today's"), "today's")
    assert.strictEqual(await fallback.execute(() => Promise.reject(down)), "saved")
    assert.strictEqual(fallback.mode()._tag, "Degraded")
    assert.deepStrictEqual(await fallback.answer(() => Promise.reject(down)), {
      degraded: true,
      value: "saved",
      error: down
    })
    assert.deepStrictEqual(await fallback.answer(() => 1), { degraded: false, value: 1 })
    assert.deepStrictEqual(fallback.stats(), { answers: 2, failures: 0 })
    await vi.waitFor(() => assert.deepStrictEqual(modes, ["Degraded", "Normal"]))
    stop()
    await fallback.execute(() => Promise.reject(down))
    assert.deepStrictEqual(modes, ["Degraded", "Normal"])
  })

  it("a listener that throws is heard of, and goes on being called", async () => {
    const heard: Array<unknown> = []
    const modes: Array<string> = []
    const bug = new Error("a bug in a listener")
    // Vitest's own would fail the test.
    const others = process.listeners("uncaughtException")
    process.removeAllListeners("uncaughtException")
    process.on("uncaughtException", (error) => heard.push(error))
    try {
      const fallback = promiseFallback({ to: () => "saved" })
      const stop = fallback.onModeChange((mode) => {
        modes.push(mode._tag)
        throw bug
      })
      await fallback.execute(() => Promise.reject(down))
      await vi.waitFor(() => assert.deepStrictEqual(modes, ["Degraded"]))
      await fallback.execute(() => 1)
      await vi.waitFor(() =>
        assert.deepStrictEqual(
          [modes, heard],
          [
            ["Degraded", "Normal"],
            [bug, bug]
          ]
        )
      )
      stop()
    } finally {
      process.removeAllListeners("uncaughtException")
      for (const other of others) process.on("uncaughtException", other)
    }
  })

  it("when: one that throws does not hide the rejection", async () => {
    const fallback = promiseFallback({
      to: () => "saved",
      when: () => {
        throw new Error("a bug in when")
      }
    })
    assert.strictEqual(await fallback.execute(() => Promise.reject(down)).catch((error: unknown) => error), down)
  })

  it("when: other rejections pass as they are", async () => {
    const fallback = promiseFallback({ to: () => "saved", when: (error) => error instanceof Down })
    const gone = new Gone()
    assert.strictEqual(await fallback.execute(() => Promise.reject(down)), "saved")
    assert.strictEqual(await fallback.execute(() => Promise.reject(gone)).catch((error: unknown) => error), gone)
  })

  it("rejects with both failures when the fallback fails as well", async () => {
    const gone = new Gone()
    const fallback = promiseFallback({ to: () => Promise.reject(gone) })
    const error = await fallback.execute(() => Promise.reject(down)).catch((rejected: unknown) => rejected)
    assert.instanceOf(error, Fallback.FallbackError)
    assert.deepStrictEqual([error.original, error.reason.failure], [down, gone])
  })

  it("a signal ends the call or the fallback at once, with its reason", async () => {
    const ended: Array<Promise<void>> = []
    const hang = (signal: AbortSignal) => {
      ended.push(aborted(signal))
      return new Promise<never>(() => undefined)
    }
    const fallback = promiseFallback({ to: (_, signal) => hang(signal) })
    for (const call of [hang, () => Promise.reject(down)]) {
      const controller = new AbortController()
      const answer = fallback.execute(call, { signal: controller.signal })
      await vi.waitFor(() => assert.isNotEmpty(ended))
      controller.abort(new Error("enough"))
      const error = await answer.catch((rejected: unknown) => rejected)
      assert.strictEqual(error, controller.signal.reason)
      await ended.pop()
    }
  })

  it("refuses what `make` refuses", () => {
    for (const [option, options] of bad) {
      const error = refusal(() => Reflect.apply(promiseFallback, undefined, [options]))
      assert.deepStrictEqual([error.module, error.option], ["Fallback", option])
    }
  })
})
