import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import * as RedisClient from "../src/RedisClient.ts"
import { RedisClientError } from "../src/RedisClientError.ts"
import * as RedisPersistence from "../src/RedisPersistence.ts"
import { child, eventually, fewTurns, fixture, refusal } from "./support.ts"

const layer = (server: TestRedis.TestRedis, options?: RedisPersistence.RedisPersistenceOptions) =>
  RedisPersistence.layer(options).pipe(
    Layer.provide(RedisClient.layer({ host: "127.0.0.1", port: server.port, commandTimeout: "300 millis" }))
  )

const open = (server: TestRedis.TestRedis, options?: RedisPersistence.RedisPersistenceOptions) =>
  Effect.map(Layer.build(layer(server, options)), (context) => Context.get(context, Redis.Redis))

/** The reason of the `RedisClientError` below whatever it fails with. */
const reason = <A>(effect: Effect.Effect<A, unknown>) =>
  Effect.map(Effect.result(effect), (result) => {
    let cause: unknown = Result.isFailure(result) ? result.failure : "Success"
    while (!(cause instanceof RedisClientError) && typeof cause === "object" && cause !== null) {
      cause = "reason" in cause ? cause.reason : "cause" in cause ? cause.cause : "no reason"
    }
    return cause instanceof RedisClientError ? cause.reason._tag : String(cause)
  })

const recovers = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  eventually(
    "it works again",
    Effect.map(Effect.result(effect), (result) => (Result.isSuccess(result) ? { value: result.success } : undefined))
  )

const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

describe("RedisPersistence options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["maxConnections", { maxConnections: 0 }],
    ["minConnections", { minConnections: 11 }],
    ["idleTimeout", { idleTimeout: 0 }],
    ["acquireTimeout", { acquireTimeout: Duration.infinity }],
    ["max", { max: 1 }]
  ]
  for (const [option, options] of bad) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      assert.strictEqual(refusal(() => RedisPersistence.layer(options)).option, option)
    })
  }
})

const connected = (redis: Redis.Redis["Service"]) =>
  Effect.map(redis.send("INFO", "clients"), (info) => /connected_clients:(\d+)/.exec(String(info))?.[1])

const waitFor = (redis: Redis.Redis["Service"], count: string) =>
  eventually(
    `${count} connections`,
    Effect.map(connected(redis), (now) => (now === count ? true : undefined))
  )

describe.skipIf(TestRedis.isMissing())("RedisPersistence", () => {
  it.live("sends commands, and fails with the reason", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server)
      assert.strictEqual(yield* redis.send("SET", "a", "1"), "OK")
      assert.deepStrictEqual(yield* redis.send("mget", "a", "b"), ["1", null])
      assert.strictEqual(yield* reason(redis.send("LPUSH", "a", "1")), "Other")
      yield* server.freeze
      assert.strictEqual(yield* reason(redis.send("GET", "a")), "TimedOut")
      yield* server.restart
      yield* recovers(redis.send("GET", "a"))
    })
  )

  const add = Redis.script((key: string, by: number) => [key, by], {
    numberOfKeys: 1,
    lua: `return redis.call("INCRBY", KEYS[1], ARGV[1])`
  }).withReturnType<number>()

  it.live("runs a script also after Redis forgot it", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server)
      assert.strictEqual(yield* redis.eval(add)("n", 2), 2)
      yield* redis.send("SCRIPT", "FLUSH")
      assert.strictEqual(yield* redis.eval(add)("n", 3), 5)
      yield* server.restart
      assert.strictEqual((yield* recovers(redis.eval(add)("n", 7))).value, 7)
    })
  )

  it.live("runs a script on a cluster", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.makeWith("--cluster-enabled yes --cluster-announce-ip 127.0.0.1".split(" "))
      const direct = yield* open(server)
      yield* direct.send("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
      const cluster = RedisClient.layer({ cluster: [{ host: "127.0.0.1", port: server.port }] })
      yield* eventually(
        "the cluster is up",
        Effect.map(direct.send("CLUSTER", "INFO"), (info) => (String(info).includes("state:ok") ? true : undefined))
      )
      const context = yield* Layer.build(Layer.provide(RedisPersistence.layer(), cluster))
      const redis = Context.get(context, Redis.Redis)
      assert.strictEqual(yield* redis.eval(add)("n", 2), 2)
      const messages = yield* redis.subscribe("news")
      yield* redis.send("PUBLISH", "news", "hello")
      assert.deepStrictEqual(yield* Queue.take(messages), { channel: "news", message: "hello" })
      const reserved = yield* redis.reserve
      yield* redis.send("RPUSH", "list", "x")
      assert.deepStrictEqual(yield* reserved.send("BLPOP", "list", "1"), ["list", "x"])
    })
  )

  it.live("a subscription is there when it returns, survives a restart and begins without Redis too", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server)
      const messages = yield* redis.subscribe("news")
      yield* redis.send("PUBLISH", "news", "1")
      assert.deepStrictEqual(yield* Queue.take(messages), { channel: "news", message: "1" })
      yield* server.kill
      const late = yield* redis.subscribe("news")
      yield* server.restart
      yield* eventually(
        "both listen again",
        Effect.map(Effect.result(redis.send("PUBLISH", "news", "2")), (result) =>
          Result.isSuccess(result) && result.success === 2 ? true : undefined
        )
      )
      for (const queue of [messages, late]) {
        assert.deepStrictEqual(yield* Queue.take(queue), { channel: "news", message: "2" })
      }
    })
  )

  it.effect("a subscription whose peer says nothing any more is made anew", () =>
    Effect.gen(function* () {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const server = yield* clock.withLive(TestRedis.make)
      const redis = yield* open(server)
      yield* redis.subscribe("news")
      const subscriber = clock.withLive(
        Effect.map(
          eventually(
            "Redis answers",
            Effect.map(Effect.option(redis.send("CLIENT", "LIST", "TYPE", "pubsub")), Option.getOrUndefined)
          ),
          (list) => /id=(\d+)/.exec(String(list))?.[1]
        )
      )
      const first = yield* subscriber
      assert.isString(first)
      const another = eventually(
        "another listens",
        Effect.gen(function* () {
          yield* server.freeze
          yield* clock.adjust("10 seconds")
          // Its ping is not answered in time.
          yield* clock.withLive(Effect.sleep("500 millis"))
          yield* server.thaw
          yield* clock.withLive(Effect.sleep("300 millis"))
          const now = yield* subscriber
          return now === undefined || now === first ? undefined : true
        })
      )
      yield* clock.withLive(another)
    })
  )

  it.live("leaves no socket behind: shared, subscribed and blocked", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const before = sockets()
      for (const trouble of [Effect.void, server.freeze]) {
        const scope = yield* Scope.make()
        const redis = yield* open(server).pipe(Scope.provide(scope))
        yield* redis.subscribe("news").pipe(Scope.provide(scope))
        const blocked = yield* Effect.scoped(
          Effect.flatMap(redis.reserve, (connection) => connection.send("BLPOP", "list", "0"))
        ).pipe(Effect.exit, Effect.forkChild)
        yield* eventually(
          "it blocks",
          Effect.map(redis.send("INFO", "clients"), (info) =>
            String(info).includes("blocked_clients:1") ? true : undefined
          )
        )
        yield* trouble
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(blocked)))
        yield* fewTurns
        assert.strictEqual(sockets(), before)
        yield* server.thaw
      }
    })
  )

  it.live("a blocking command may take as long as it blocks, and a command timeout more", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server)
      const table: ReadonlyArray<readonly [command: string, ...args: ReadonlyArray<string>]> = [
        ["BLPOP", "none", "0.5"],
        ["blmpop", "0.5", "1", "none", "LEFT"],
        ["XREAD", "BLOCK", "500", "STREAMS", "none", "0"]
      ]
      yield* Effect.forEach(
        table,
        ([command, ...args]) =>
          Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* redis.reserve
              assert.isNull(yield* connection.send(command, ...args))
            })
          ),
        { concurrency: 3 }
      )
      assert.strictEqual(yield* reason(redis.send("BLPOP", "none", "soon")), "Other")
      const connection = yield* redis.reserve
      yield* server.freeze
      assert.strictEqual(yield* reason(connection.send("BLPOP", "none", "0.1")), "TimedOut")
      assert.strictEqual(yield* reason(connection.send("WAIT", "1", "100")), "TimedOut")
      assert.strictEqual(yield* reason(connection.send("XREAD", "STREAMS", "none", "0")), "TimedOut")
    })
  )

  it.live("a reserved connection that broke fails, and the next is new", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server, { maxConnections: 1 })
      const blocked = yield* Effect.forkChild(
        reason(Effect.scoped(Effect.flatMap(redis.reserve, (one) => one.send("BLPOP", "list", "0"))))
      )
      yield* eventually(
        "it blocks",
        Effect.map(redis.send("INFO", "clients"), (info) =>
          String(info).includes("blocked_clients:1") ? true : undefined
        )
      )
      yield* server.kill
      assert.strictEqual(yield* Fiber.join(blocked), "Unreachable")
      assert.strictEqual(yield* reason(Effect.scoped(redis.reserve)), "Unreachable")
      yield* server.restart
      yield* recovers(Effect.scoped(Effect.flatMap(redis.reserve, (one) => one.send("PING"))))
    })
  )

  it.live("maxConnections and acquireTimeout: who waits too long for a connection fails", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* open(server, { maxConnections: 1, acquireTimeout: "50 millis" })
      yield* redis.reserve
      const result = yield* Effect.result(Effect.scoped(redis.reserve))
      assert.match(Result.isFailure(result) ? String(result.failure.cause) : "", /Timed out waiting/)
    })
  )

  it.live("minConnections and idleTimeout: how many stay", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* Effect.scoped(Effect.flatMap(open(server, { minConnections: 2 }), (redis) => waitFor(redis, "3")))
      const redis = yield* open(server, { idleTimeout: "50 millis" })
      yield* Effect.scoped(Effect.andThen(redis.reserve, waitFor(redis, "2")))
      yield* waitFor(redis, "1")
    })
  )
})

const limiterOf = (server: TestRedis.TestRedis) =>
  Layer.build(RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis()), Layer.provide(layer(server)))).pipe(
    Effect.map((context) => Context.get(context, RateLimiter.RateLimiter))
  )

describe.skipIf(TestRedis.isMissing())("RateLimiter over Redis", () => {
  it.live(
    "three processes together are admitted exactly as often as the limit says",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.make
        const program = [fixture("limiter.ts"), `${server.port}`, "50", "40"]
        const children = yield* Effect.all([child(program), child(program), child(program)], { concurrency: 3 })
        const passed = children.map(({ line }) => Number(line))
        assert.strictEqual(
          passed.reduce((sum, one) => sum + one, 0),
          50
        )
      }),
    60_000
  )

  it.live("fails with a typed error while Redis is frozen or away, and works again", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const limiter = yield* limiterOf(server)
      for (const algorithm of ["fixed-window", "token-bucket"] as const) {
        const consume = limiter.consume({ key: algorithm, limit: 2, window: "1 hour", algorithm })
        yield* consume
        yield* server.freeze
        assert.strictEqual(yield* reason(consume), "TimedOut")
        yield* server.kill
        assert.strictEqual(yield* reason(consume), "Unreachable")
        yield* server.restart
        // It is empty: the two tokens are there again.
        yield* recovers(consume)
        yield* consume
        const result = yield* Effect.result(consume)
        assert.strictEqual(Result.isFailure(result) ? result.failure.reason._tag : "", "RateLimitExceeded")
      }
    })
  )
})

class Twice extends Persistable.Class<{ payload: { n: number } }>()("Twice", {
  primaryKey: ({ n }) => `${n}`,
  success: Schema.Number
}) {}

describe.skipIf(TestRedis.isMissing())("PersistedCache over Redis", () => {
  it.live("looks up once for two caches, and fails with a typed error without Redis", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      let lookups = 0
      const cache = Effect.flatMap(Layer.build(Layer.provide(Persistence.layerRedis, layer(server))), (context) =>
        PersistedCache.make((key: Twice) => Effect.sync(() => ((lookups += 1), key.n * 2)), {
          storeId: "twice",
          timeToLive: () => "1 hour",
          inMemoryTTL: () => 0
        }).pipe(Effect.provide(context))
      )
      const [one, other] = yield* Effect.all([cache, cache])
      assert.strictEqual(yield* one.get(new Twice({ n: 21 })), 42)
      assert.strictEqual(yield* other.get(new Twice({ n: 21 })), 42)
      assert.strictEqual(lookups, 1)
      yield* server.freeze
      assert.strictEqual(yield* reason(other.get(new Twice({ n: 21 }))), "TimedOut")
      yield* server.restart
      assert.strictEqual((yield* recovers(other.get(new Twice({ n: 21 })))).value, 42)
      assert.strictEqual(lookups, 2)
    })
  )
})

const queueOf = (server: TestRedis.TestRedis) =>
  Layer.build(
    PersistedQueue.layer.pipe(
      Layer.provide(PersistedQueue.layerStoreRedis({ pollInterval: "20 millis" })),
      Layer.provide(layer(server))
    )
  ).pipe(
    Effect.flatMap((context) =>
      PersistedQueue.make({ name: "jobs", schema: Schema.String }).pipe(Effect.provide(context))
    )
  )

describe.skipIf(TestRedis.isMissing())("PersistedQueue over Redis", () => {
  it.live("hands each element to one taker, and waits through an outage", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const [one, other] = yield* Effect.all([queueOf(server), queueOf(server)])
      yield* Effect.forEach(["a", "b", "c", "d"], (value) => one.offer(value))
      const taken = yield* Effect.all(
        [one, other, one, other].map((queue) => queue.take((value) => Effect.succeed(value))),
        { concurrency: 4 }
      )
      assert.deepStrictEqual(taken.toSorted(), ["a", "b", "c", "d"])
      const waiting = yield* Effect.forkChild(other.take((value) => Effect.succeed(value)))
      yield* server.freeze
      assert.strictEqual(yield* reason(one.offer("lost")), "TimedOut")
      yield* server.kill
      assert.strictEqual(yield* reason(one.offer("lost")), "Unreachable")
      yield* server.restart
      yield* recovers(one.offer("e", { id: "e" }))
      assert.strictEqual(yield* Fiber.join(waiting), "e")
    })
  )
})
