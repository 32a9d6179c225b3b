import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import * as WriteBehind from "../src/internal/writeBehind.ts"

describe("writeBehind", () => {
  it.effect("writes changes that come together once, and those that come later again", () =>
    Effect.gen(function* () {
      let writes = 0
      const { changed, flush } = yield* WriteBehind.make(
        "it",
        Effect.sync(() => writes++)
      )
      yield* TestClock.adjust("1 minute")
      yield* flush
      assert.strictEqual(writes, 0)
      for (let times = 0; times < 1000; times++) changed()
      assert.strictEqual(writes, 0)
      yield* TestClock.adjust("20 millis")
      assert.strictEqual(writes, 1)
      changed()
      // Who flushes waits for no clock.
      yield* flush
      assert.strictEqual(writes, 2)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(writes, 2)
    })
  )

  it.effect("one write at a time; what changes meanwhile gets the next one, and a flush waits for that", () =>
    Effect.gen(function* () {
      const state = { value: 0, written: [] as Array<number>, atOnce: 0, most: 0 }
      const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const write = Effect.gen(function* () {
        const now = state.value
        state.atOnce += 1
        state.most = Math.max(state.most, state.atOnce)
        yield* Deferred.await(gates[state.written.length] ?? (yield* Deferred.make<void>()))
        state.atOnce -= 1
        state.written.push(now)
      })
      const { changed, flush } = yield* WriteBehind.make("it", write)
      state.value = 1
      changed()
      yield* TestClock.adjust("20 millis")
      state.value = 2
      changed()
      const flushing = yield* Effect.forkChild(Effect.all([flush, flush], { concurrency: 2 }), {
        startImmediately: true
      })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(state.written, [])
      yield* Deferred.succeed(gates[0] ?? (yield* Deferred.make<void>()), undefined)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([state.written, flushing.pollUnsafe()], [[1], undefined])
      yield* Deferred.succeed(gates[1] ?? (yield* Deferred.make<void>()), undefined)
      yield* Fiber.join(flushing)
      assert.deepStrictEqual([state.written, state.most], [[1, 2], 1])
    })
  )

  it.effect("tries again every second until it succeeds, however often it changes, and says why it is behind", () =>
    Effect.gen(function* () {
      let attempts = 0
      let isBroken = true
      const write = Effect.suspend(() => {
        attempts += 1
        return isBroken ? Effect.fail(new Error("ENOSPC")) : Effect.void
      })
      const { changed, flush, problem } = yield* WriteBehind.make("it", write)
      changed()
      yield* flush
      assert.deepStrictEqual([attempts, problem()], [1, "ENOSPC"])
      for (let millis = 0; millis < 10_000; millis += 100) {
        changed()
        yield* TestClock.adjust("100 millis")
      }
      assert.strictEqual(attempts, 11)
      isBroken = false
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([attempts, problem()], [12, undefined])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(attempts, 12)
    })
  )

  it.effect("a defect is a failure like any other: the writer goes on", () =>
    Effect.gen(function* () {
      let attempts = 0
      const write = Effect.suspend(() => (++attempts === 1 ? Effect.die("a bug") : Effect.void))
      const { changed, flush, problem } = yield* WriteBehind.make("it", write)
      changed()
      yield* flush
      assert.strictEqual(problem(), "a bug")
      yield* flush
      assert.deepStrictEqual([attempts, problem()], [2, undefined])
    })
  )
})
