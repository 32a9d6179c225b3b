import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import * as CacheAside from "../src/CacheAside.ts"
import * as CachePort from "../src/CachePort.ts"
import { cacheAside } from "../src/internal/promise/cacheAside.ts"
import { redisCache } from "../src/internal/promise/redisCache.ts"
import * as RedisCache from "../src/RedisCache.ts"
import * as RedisClient from "../src/RedisClient.ts"
import { contract } from "./cacheContract.ts"
import { eventually, refusal } from "./support.ts"

const Account = Schema.Struct({ name: Schema.String, opened: Schema.Date, tags: Schema.Array(Schema.String) })

const connected = Effect.gen(function* () {
  const server = yield* TestRedis.make
  const context = yield* Layer.build(RedisClient.layer({ url: Redacted.make(server.url) }))
  return { server, context }
})

const minute = { ttl: Duration.minutes(1), staleFor: Duration.zero }

const missing = TestRedis.isMissing()
const live = (title: string, test: () => Effect.Effect<void, unknown, Scope.Scope>) =>
  missing ? it.skip(title) : it.live(title, test)

contract("RedisCache", {
  make: Effect.flatMap(connected, ({ context }) =>
    Effect.provide(RedisCache.make<string, typeof Account.Type>({ prefix: "test:", schema: Account }), context)
  ),
  wait: Effect.sleep,
  effect: live
})

describe("RedisCache", () => {
  live("shares copies among processes with the same prefix, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { context } = yield* connected
      const make = (prefix: string) =>
        Effect.provide(RedisCache.make<number, string>({ prefix, schema: Schema.String }), context)
      const one = yield* make("users:")
      yield* one.set(7, "Ada", { ttl: Duration.millis(100), staleFor: Duration.millis(50) })
      assert.deepStrictEqual(yield* (yield* make("users:")).get(7), { value: "Ada", fresh: true })
      assert.isUndefined(yield* (yield* make("other:")).get(7))
      const keys = Effect.provide(
        RedisClient.use((redis) => redis.keys("*")),
        context
      )
      assert.deepStrictEqual(yield* keys, ["users:7"])
      yield* eventually(
        "the key is gone",
        Effect.map(keys, (left) => (left.length === 0 ? true : undefined))
      )
    })
  )

  live("key: how a key is written", () =>
    Effect.gen(function* () {
      const { context } = yield* connected
      const cache = yield* Effect.provide(
        RedisCache.make<{ readonly id: number }, string>({
          prefix: "users:",
          schema: Schema.String,
          key: ({ id }) => `#${id}`
        }),
        context
      )
      yield* cache.set({ id: 7 }, "Ada", minute)
      assert.deepStrictEqual(
        yield* Effect.provide(
          RedisClient.use((redis) => redis.keys("*")),
          context
        ),
        ["users:#7"]
      )
    })
  )

  live("key: unless told, only text and numbers, for other keys would be taken for each other", () =>
    Effect.gen(function* () {
      const { context } = yield* connected
      const make = (options: object) =>
        Effect.provide(RedisCache.make<unknown, string>({ prefix: "k:", schema: Schema.String, ...options }), context)
      const cache = yield* make({})
      for (const key of ["a", 7, 7n, true]) {
        yield* cache.set(key, `${key}`, minute)
        assert.strictEqual((yield* cache.get(key))?.value, `${key}`)
      }
      const object = yield* make({ key: () => ({}) })
      for (const [one, key] of [
        [cache, { id: 1 }],
        [cache, ["a"]],
        [cache, undefined],
        [cache, null],
        [cache, Symbol("a")],
        [object, "a"]
      ] as const) {
        for (const operation of [one.get(key), one.set(key, "Ada", minute), one.remove(key)]) {
          const error = yield* Effect.flip(operation)
          assert.instanceOf(error, CachePort.CachePortError)
          assert.strictEqual(error.reason._tag, "UnusableKey")
          assert.include(error.message, "`key`")
        }
      }
      const aside = yield* CacheAside.make({ cache, source: () => Effect.succeed("Ada") })
      assert.strictEqual(yield* aside.get({ id: 1 }), "Ada")
      assert.strictEqual((yield* aside.mode)._tag, "Normal")
    })
  )

  live("a client that has numbers as text is understood", () =>
    Effect.gen(function* () {
      const { server } = yield* connected
      const redis = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(server.url, { stringNumbers: true })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const cache = yield* Effect.provideService(
        RedisCache.make<string, string>({ prefix: "s:", schema: Schema.String }),
        RedisClient.RedisClient,
        redis
      )
      yield* cache.set("a", "Ada", { ttl: Duration.minutes(1), staleFor: Duration.zero })
      assert.deepStrictEqual(yield* cache.get("a"), { value: "Ada", fresh: true })
      yield* cache.set("a", "Ada", { ttl: Duration.millis(1), staleFor: Duration.minutes(1) })
      yield* Effect.sleep("5 millis")
      assert.deepStrictEqual(yield* cache.get("a"), { value: "Ada", fresh: false })
      assert.isUndefined(yield* cache.get("b"))
    })
  )

  live("a copy that cannot be read is none, and is overwritten", () =>
    Effect.gen(function* () {
      const { context } = yield* connected
      const cache = yield* Effect.provide(
        RedisCache.make<string, typeof Account.Type>({ prefix: "a:", schema: Account }),
        context
      )
      const loaded = { name: "Ada", opened: new Date(1_000), tags: [] }
      const aside = yield* CacheAside.make({ cache, source: () => Effect.succeed(loaded) })
      const spoil: ReadonlyArray<(key: string) => Effect.Effect<unknown, unknown, RedisClient.RedisClient>> = [
        (key: string) => RedisClient.use((redis) => redis.set(key, "no JSON", "PX", 60_000)),
        (key: string) => RedisClient.use((redis) => redis.set(key, '{"staleFor":0,"value":{"name":1}}', "PX", 60_000)),
        (key: string) => RedisClient.use((redis) => redis.set(key, '{"staleFor":0', "PX", 60_000)),
        // As another program might: another type, and one without an end.
        (key: string) => RedisClient.use((redis) => redis.lpush(key, "x")),
        (key: string) =>
          RedisClient.use((redis) =>
            redis.set(key, '{"staleFor":0,"value":{"name":"x","opened":"1970-01-01T00:00:01.000Z","tags":[]}}')
          )
      ]
      for (const [index, one] of spoil.entries()) {
        yield* Effect.provide(one(`a:${index}`), context)
        assert.isUndefined(yield* cache.get(`${index}`))
        assert.deepStrictEqual(yield* aside.answer(`${index}`), { value: loaded, from: "source" })
        assert.deepStrictEqual(yield* aside.answer(`${index}`), { value: loaded, from: "cache" })
      }
      assert.strictEqual((yield* aside.mode)._tag, "Normal")
    })
  )

  live("a value that the schema cannot write is no fault of Redis", () =>
    Effect.gen(function* () {
      const { context } = yield* connected
      const cache = yield* Effect.provide(
        RedisCache.make<string, number>({ prefix: "n:", schema: Schema.Finite }),
        context
      )
      const error = yield* Effect.flip(cache.set("a", Number.NaN, minute))
      assert.instanceOf(error, CachePort.CachePortError)
      const aside = yield* CacheAside.make({ cache, source: () => Effect.succeed(Number.NaN) })
      assert.isNaN(yield* aside.get("a"))
      assert.strictEqual((yield* aside.mode)._tag, "Normal")
      assert.deepInclude(yield* aside.stats, { unstorable: 1, cacheFailures: 0 })
    })
  )

  live("serves plain Node as well", () =>
    Effect.gen(function* () {
      const { context, server } = yield* connected
      const redis = Context.get(context, RedisClient.RedisClient)
      const users = cacheAside({
        cache: redisCache<number, typeof Account.Type>({ redis, prefix: "users:", schema: Account }),
        source: async (id) => ({ name: `user ${id}`, opened: new Date(1_000), tags: [] }),
        cacheTimeout: "1 second"
      })
      const answer = () => Effect.promise(() => users.answer(7))
      assert.strictEqual((yield* answer()).from, "source")
      assert.deepStrictEqual(yield* answer(), {
        value: { name: "user 7", opened: new Date(1_000), tags: [] },
        from: "cache"
      })
      yield* Effect.promise(() => users.invalidate(7))
      assert.strictEqual((yield* answer()).from, "source")
      yield* server.kill
      assert.strictEqual((yield* answer()).from, "source")
      assert.strictEqual(users.mode()._tag, "Degraded")
      assert.strictEqual(refusal(() => redisCache({ redis, prefix: "", schema: Account })).option, "prefix")
    })
  )

  it("for plain Node refuses what is no client", () => {
    for (const options of [{}, { redis: null }, { redis: "redis://127.0.0.1" }, { redis: {} }]) {
      const error = refusal(() =>
        Reflect.apply(redisCache, undefined, [{ prefix: "a:", schema: Schema.String, ...options }])
      )
      assert.deepStrictEqual([error.module, error.option], ["RedisCache", "redis"])
    }
    assert.strictEqual(refusal(() => Reflect.apply(redisCache, undefined, [null])).module, "RedisCache")
  })

  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["prefix", { schema: Schema.String }],
    ["prefix", { schema: Schema.String, prefix: "" }],
    ["schema", { prefix: "a:" }],
    ["key", { prefix: "a:", schema: Schema.String, key: "id" }],
    ["ttl", { prefix: "a:", schema: Schema.String, ttl: 1 }]
  ]
  for (const [option, options] of bad) {
    it(`refuses ${option} of ${Object.keys(options).join(", ")}`, () => {
      const error = refusal(() => Reflect.apply(RedisCache.make, undefined, [options]))
      assert.deepStrictEqual([error.module, error.option], ["RedisCache", option])
    })
  }
})

/** Traffic of several callers, each with keys of its own, for as long as the scope lives. */
const traffic = Effect.fnUntraced(function* (aside: CacheAside.CacheAside<string, string>) {
  const slow: Array<number> = []
  let calls = 0
  const caller = (name: number) =>
    Effect.gen(function* () {
      for (let turn = 0; ; turn++) {
        const key = `${name}.${turn % 5}`
        const [took, value] = yield* Effect.timed(aside.get(key))
        assert.strictEqual(value, `value of ${key}`)
        calls += 1
        if (Duration.toMillis(took) >= 90) slow.push(Duration.toMillis(took))
        yield* Effect.sleep("5 millis")
      }
    })
  const fiber = yield* Effect.forkScoped(
    Effect.forEach([1, 2, 3, 4], caller, { concurrency: "unbounded", discard: true })
  )
  return { slow, calls: () => calls, failed: Effect.sync(() => fiber.pollUnsafe()) }
})

describe("CacheAside over Redis", () => {
  for (const [fault, break_, mend] of [
    ["killed", "kill", "restart"],
    ["frozen", "freeze", "thaw"]
  ] as const) {
    live(`${fault} in the middle of traffic: nobody fails, and it is used again by itself when it is back`, () =>
      Effect.gen(function* () {
        const { context, server } = yield* connected
        const cache = yield* Effect.provide(
          RedisCache.make<string, string>({ prefix: "t:", schema: Schema.String }),
          context
        )
        const aside = yield* CacheAside.make({
          cache,
          source: (key: string) => Effect.succeed(`value of ${key}`),
          cacheTimeout: "100 millis"
        })
        const { calls, failed, slow } = yield* traffic(aside)
        const modeIs = (tag: string) =>
          eventually(
            tag,
            Effect.map(aside.mode, (mode) => (mode._tag === tag ? mode : undefined))
          )
        yield* eventually(
          "copies are used",
          Effect.map(aside.stats, ({ hits }) => (hits > 20 ? true : undefined))
        )
        yield* server[break_]
        yield* modeIs("Degraded")
        const before = calls()
        yield* Effect.sleep("700 millis")
        const { cacheFailures } = yield* aside.stats
        // Those who were at it when it broke, and one for each trial since: everybody else did not wait.
        assert.isAtMost(slow.length, 4 + cacheFailures, slow.join())
        assert.isAtLeast(calls() - before, 50)
        assert.strictEqual((yield* aside.mode)._tag, "Degraded")
        yield* server[mend]
        yield* modeIs("Normal")
        const { hits } = yield* aside.stats
        yield* eventually(
          "copies are used again",
          Effect.map(aside.stats, (now) => (now.hits > hits + 20 ? true : undefined))
        )
        assert.isUndefined(yield* failed)
      })
    )
  }
})
