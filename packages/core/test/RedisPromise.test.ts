import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { RateLimiterError } from "effect/persistence/RateLimiter"
import { Redis } from "ioredis"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import * as Backoff from "../src/Backoff.ts"
import {
  type PromiseRateLimitOptions,
  type PromiseSharedCircuitBreakerOptions,
  rateLimit,
  sharedCircuitBreaker
} from "../src/internal/promise/redis.ts"
import { eventually, refusal } from "./support.ts"

const connect = (server: TestRedis.TestRedis) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Redis({ port: server.port, host: "127.0.0.1", enableOfflineQueue: false, commandTimeout: 300 })
      await new Promise((resolve) => client.once("ready", resolve))
      return client
    }),
    (client) => Effect.sync(() => client.disconnect())
  )

/** What the calls came to: their values, or the reasons for which they were refused. */
const outcomes = (calls: ReadonlyArray<Promise<unknown>>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() =>
    Promise.all(
      calls.map((one) =>
        one.then(String, (error: { readonly reason?: { readonly _tag: string }; readonly message: string }) =>
          error.reason === undefined ? error.message : error.reason._tag
        )
      )
    )
  )

const limited = (redis: Redis, options: Partial<PromiseRateLimitOptions> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => rateLimit({ redis, limit: 1, window: "1 hour", ...options })),
    (limit) => Effect.promise(() => limit.close())
  )

const boom = () => Promise.reject(new Error("boom"))

describe.skipIf(TestRedis.isMissing())("Redis for plain Node", () => {
  it.live("rateLimit: two share a limit by key and prefix, in either algorithm", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const [redis, second] = yield* Effect.all([connect(server), connect(server)])
      const table: ReadonlyArray<Partial<PromiseRateLimitOptions>> = [
        {},
        { key: "other" },
        { prefix: "p:" },
        { key: "bucket", algorithm: "token-bucket" }
      ]
      for (const options of table) {
        const [one, other] = yield* Effect.all([limited(redis, options), limited(second, options)])
        assert.deepStrictEqual(yield* outcomes([one.execute(() => "passed")]), ["passed"])
        assert.deepStrictEqual(yield* outcomes([other.execute(() => "passed")]), ["RateLimitExceeded"])
      }
      assert.isTrue((yield* Effect.promise(() => redis.keys("*"))).includes("ratelimiter:bucket:refill"))
    })
  )

  it.live("rateLimit: onExceeded delay waits, limit and window say how long; an abort ends the wait", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* connect(server)
      const short = yield* limited(redis, { limit: 2, window: "50 millis", onExceeded: "delay", key: "short" })
      const calls = Array.from({ length: 6 }, () => short.execute(() => "passed"))
      assert.deepStrictEqual(
        yield* outcomes(calls),
        Array.from(calls, () => "passed")
      )
      const long = yield* limited(redis, { onExceeded: "delay", key: "long" })
      yield* outcomes([long.execute(() => "passed")])
      const signal = AbortSignal.timeout(30)
      assert.match((yield* outcomes([long.execute(() => "passed", { signal })])).join(), /aborted due to timeout/)
    })
  )

  it.live("rateLimit: rejects while Redis is frozen, and leaves the client open when it closes", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* connect(server)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const limit = yield* limited(redis)
          yield* server.freeze
          assert.deepStrictEqual(yield* outcomes([limit.execute(() => "passed")]), ["RateLimitStoreError"])
          yield* server.thaw
        })
      )
      assert.strictEqual(yield* Effect.promise(() => redis.ping()), "PONG")
    })
  )

  it.live("after close: rejects with an error that says so, also calls in flight, which are aborted", () =>
    Effect.gen(function* () {
      const redis = yield* connect(yield* TestRedis.make)
      const makers: ReadonlyArray<
        readonly [name: string, make: () => ReturnType<typeof rateLimit> & { readonly state?: () => Promise<unknown> }]
      > = [
        ["rateLimit", () => rateLimit({ redis, limit: 100, window: "1 hour" })],
        ["sharedCircuitBreaker", () => sharedCircuitBreaker({ redis, shared: { quorum: 1 } })]
      ]
      for (const [name, make] of makers) {
        const policy = make()
        const flying = yield* Effect.promise(
          () =>
            new Promise<{ readonly signal: AbortSignal; readonly call: Promise<unknown> }>((resolve) => {
              const call: Promise<unknown> = policy.execute((signal) => {
                setImmediate(() => resolve({ signal, call }))
                return new Promise(() => undefined)
              })
            })
        )
        const ended = flying.call.catch((cause: unknown) => cause)
        // One that never got as far as its first look at Redis.
        const unused = make()
        yield* Effect.promise(() => Promise.all([policy.close(), policy.close(), unused.close()]))
        assert.isTrue(flying.signal.aborted)
        for (const rejected of [
          ended,
          policy.execute(() => assert.fail("called")).catch((cause: unknown) => cause),
          unused.execute(() => assert.fail("called")).catch((cause: unknown) => cause),
          policy.state?.().catch((cause: unknown) => cause) ?? ended
        ]) {
          const error = yield* Effect.promise(() => rejected)
          assert.instanceOf(error, Error)
          assert.match(String(error), new RegExp(`^Error: ${name}: it is closed`))
        }
      }
      assert.strictEqual(yield* Effect.promise(() => redis.ping()), "PONG")
    })
  )

  it.live("sharedCircuitBreaker: the first calls do not wait for a frozen Redis", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const client = new Redis({ port: server.port, host: "127.0.0.1", commandTimeout: 20_000 })
          client.on("error", () => undefined)
          await new Promise((resolve) => client.once("ready", resolve))
          return client
        }),
        (client) => Effect.sync(() => client.disconnect())
      )
      yield* Effect.acquireRelease(server.freeze, () => server.thaw)
      const breaker = yield* Effect.acquireRelease(
        Effect.sync(() => sharedCircuitBreaker({ redis, shared: { quorum: 2 } })),
        (one) => Effect.promise(() => one.close())
      )
      const [took, all] = yield* Effect.timed(outcomes([1, 2, 3].map((n) => breaker.execute(() => n))))
      assert.deepStrictEqual(all, ["1", "2", "3"])
      assert.isBelow(Duration.toMillis(took), 10_000)
    })
  )

  it.live("sharedCircuitBreaker: closes again with a client that answers numbers as text", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis({ port: server.port, host: "127.0.0.1", stringNumbers: true })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const breaker = yield* Effect.acquireRelease(
        Effect.sync(() =>
          sharedCircuitBreaker({
            redis,
            consecutive: { failures: 1 },
            open: Backoff.constant("50 millis"),
            shared: { quorum: 1, refresh: "50 millis" }
          })
        ),
        (one) => Effect.promise(() => one.close())
      )
      yield* outcomes([breaker.execute(boom)])
      yield* eventually(
        "its trial is granted",
        Effect.suspend(() => outcomes([breaker.execute(() => "passed")])).pipe(
          Effect.map(([one]) => (one === "passed" ? true : undefined))
        )
      )
    })
  )

  it.live("rateLimit: waits as long with a client that answers numbers as text", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis({ port: server.port, host: "127.0.0.1", stringNumbers: true })),
        (client) => Effect.sync(() => client.disconnect())
      )
      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        const limit = yield* limited(redis, { algorithm, key: algorithm })
        yield* outcomes([limit.execute(() => "passed")])
        const error: unknown = yield* Effect.promise(() =>
          limit.execute(() => "passed").catch((cause: unknown) => cause)
        )
        assert.instanceOf(error, RateLimiterError)
        const { reason } = error
        assert.isAbove(reason._tag === "RateLimitExceeded" ? Duration.toMinutes(reason.retryAfter) : 0, 50)
      }
    })
  )

  it("is not made without a client", () => {
    for (const redis of [undefined, null, "redis://:topsecret@a", {}]) {
      const without = { redis: redis as Redis }
      for (const f of [
        () => rateLimit({ ...without, limit: 1, window: 1 }),
        () => sharedCircuitBreaker({ ...without, shared: { quorum: 1 } })
      ]) {
        const error = refusal(f)
        assert.strictEqual(error.option, "redis")
        assert.notInclude(error.message, "topsecret")
      }
    }
    for (const f of [rateLimit, sharedCircuitBreaker]) {
      assert.strictEqual(refusal(() => f(undefined as never)).option, "options")
    }
  })

  it.live("rateLimit refuses options that cannot work", () =>
    Effect.gen(function* () {
      const redis = yield* connect(yield* TestRedis.make)
      const bad: ReadonlyArray<readonly [option: string, options: object]> = [
        ["limit", { limit: 0 }],
        ["window", { window: 0 }],
        ["key", { key: "" }],
        ["algorithm", { algorithm: "leaky" }],
        ["onExceeded", { onExceeded: "drop" }],
        ["prefix", { prefix: "" }],
        ["max", { max: 1 }]
      ]
      for (const [option, options] of bad) {
        assert.strictEqual(refusal(() => rateLimit({ redis, limit: 1, window: 1, ...options })).option, option)
      }
      const shared = { redis, prefix: "", shared: { quorum: 1 } }
      assert.strictEqual(refusal(() => sharedCircuitBreaker(shared)).option, "prefix")
      assert.strictEqual(refusal(() => sharedCircuitBreaker({ redis, shared: { quorum: 0 } })).module, "CircuitBreaker")
    })
  )

  it.live("sharedCircuitBreaker: one opens the other's circuit of that key, and of that prefix, alone", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* connect(server)
      const make = (node: string, options: Partial<PromiseSharedCircuitBreakerOptions> = {}) =>
        Effect.acquireRelease(
          Effect.sync(() =>
            sharedCircuitBreaker({
              redis,
              consecutive: { failures: 1 },
              open: Backoff.constant("1 minute"),
              shared: { quorum: 1, node, refresh: "300 millis" },
              ...options
            })
          ),
          (breaker) => Effect.promise(() => breaker.close())
        )
      const [one, other, apart] = yield* Effect.all([make("one"), make("other"), make("apart", { prefix: "apart" })])
      assert.deepStrictEqual(yield* outcomes([other.circuit("eu").execute(() => "passed")]), ["passed"])
      assert.deepStrictEqual(yield* outcomes([one.circuit("eu").execute(boom)]), ["boom"])
      yield* eventually(
        "the other opens too",
        Effect.map(
          Effect.promise(() => other.state("eu")),
          (state) => (state === "Open" ? true : undefined)
        )
      )
      assert.deepStrictEqual(
        yield* outcomes([
          one.circuit("eu").execute(() => "passed"),
          other.circuit("eu").execute(() => "passed"),
          other.execute(() => "passed"),
          apart.circuit("eu").execute(() => "passed")
        ]),
        ["Open", "SharedOpen", "passed", "passed"]
      )
      yield* Effect.promise(() => apart.isolate())
      assert.deepStrictEqual(yield* outcomes([apart.execute(() => "passed")]), ["Isolated"])
      yield* Effect.promise(() => apart.reset())
      assert.strictEqual((yield* Effect.promise(() => apart.stats())).state, "Closed")
    })
  )
})
