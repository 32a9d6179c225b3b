import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as MemoryCache from "../src/MemoryCache.ts"
import { type Account, contract } from "./cacheContract.ts"
import { refusal } from "./support.ts"

contract("MemoryCache", {
  make: MemoryCache.make<string, Account>(),
  wait: (millis) => TestClock.adjust(millis),
  effect: (title, test) => it.effect(title, test)
})

const minute = { ttl: Duration.minutes(1), staleFor: Duration.zero }

describe("MemoryCache", () => {
  it.effect("capacity: what was used longest ago goes first", () =>
    Effect.gen(function* () {
      const cache = yield* MemoryCache.make<string, number>({ capacity: 2 })
      yield* cache.set("a", 1, minute)
      yield* cache.set("b", 2, minute)
      yield* cache.get("a")
      yield* cache.set("c", 3, minute)
      assert.isUndefined(yield* cache.get("b"))
      assert.deepStrictEqual([(yield* cache.get("a"))?.value, (yield* cache.get("c"))?.value], [1, 3])
      assert.strictEqual(yield* cache.size, 2)
    })
  )

  it.effect("holds 1000 unless told, however many keys there were", () =>
    Effect.gen(function* () {
      const cache = yield* MemoryCache.make<number, number>()
      for (let key = 0; key < 20_000; key++) yield* cache.set(key, key, minute)
      assert.strictEqual(yield* cache.size, 1000)
      assert.deepStrictEqual(yield* cache.get(19_999), { value: 19_999, fresh: true })
    })
  )

  it.effect("a copy that has expired gives up its room when it is asked for", () =>
    Effect.gen(function* () {
      const cache = yield* MemoryCache.make<string, number>()
      yield* cache.set("a", 1, minute)
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(yield* cache.get("a"))
      assert.strictEqual(yield* cache.size, 0)
    })
  )

  it.effect("compares keys by value", () =>
    Effect.gen(function* () {
      const cache = yield* MemoryCache.make<{ readonly id: number }, string>({ capacity: 2 })
      yield* cache.set({ id: 1 }, "one", minute)
      yield* cache.set({ id: 1 }, "uno", minute)
      assert.strictEqual((yield* cache.get({ id: 1 }))?.value, "uno")
      assert.strictEqual(yield* cache.size, 1)
      yield* cache.remove({ id: 1 })
      assert.isUndefined(yield* cache.get({ id: 1 }))
    })
  )

  const Step = Schema.Union([
    Schema.Struct({ do: Schema.Literals(["get", "set", "remove"]), key: Schema.Literals(["a", "b", "c", "d"]) }),
    Schema.Struct({ do: Schema.Literal("wait"), key: Schema.Literal("a") })
  ])

  it.effect.prop(
    "agrees with a list that is sorted by use",
    [Schema.Array(Step).check(Schema.isMaxLength(60))],
    ([steps]) =>
      Effect.gen(function* () {
        const cache = yield* MemoryCache.make<string, number>({ capacity: 3 })
        let model: ReadonlyArray<{ readonly key: string; readonly value: number; readonly at: number }> = []
        let now = 0
        for (const [index, { do: what, key }] of steps.entries()) {
          const others = model.filter((one) => one.key !== key)
          const held = model.find((one) => one.key === key)
          if (what === "wait") {
            now += 40
            yield* TestClock.adjust("40 seconds")
          } else if (what === "set") {
            yield* cache.set(key, index, minute)
            model = [...others, { key, value: index, at: now }].slice(-3)
          } else if (what === "remove") {
            yield* cache.remove(key)
            model = others
          } else {
            const live = held !== undefined && now < held.at + 60 ? held : undefined
            assert.deepStrictEqual(yield* cache.get(key), live && { value: live.value, fresh: true })
            model = live === undefined ? others : [...others, live]
          }
          assert.strictEqual(yield* cache.size, model.length)
        }
      }),
    { arbitrary: { runs: 200, size: 60 } }
  )

  for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "10"]) {
    it(`refuses a capacity of ${capacity}`, () => {
      const error = refusal(() => Reflect.apply(MemoryCache.make, undefined, [{ capacity }]))
      assert.deepStrictEqual([error.module, error.option, error.value], ["MemoryCache", "capacity", capacity])
    })
  }

  it("refuses an option that it does not know", () => {
    assert.strictEqual(refusal(() => Reflect.apply(MemoryCache.make, undefined, [{ size: 1 }])).option, "size")
  })
})
