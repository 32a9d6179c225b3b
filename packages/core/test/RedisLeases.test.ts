import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Redis } from "ioredis"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import { Leases } from "../src/Lease.ts"
import * as RedisClient from "../src/RedisClient.ts"
import * as RedisLeases from "../src/RedisLeases.ts"
import { isFree, leaseContract, Takers } from "./leaseContract.ts"
import { assertExclusive, holders } from "./leaseLog.ts"
import { eventually, refusal } from "./support.ts"

const without = TestRedis.isMissing()

const connect = (server: TestRedis.TestRedis) =>
  Effect.acquireRelease(
    Effect.sync(() => new Redis(server.url, { retryStrategy: () => 20 }).on("error", () => undefined)),
    (client) => Effect.sync(() => client.disconnect())
  )

/** Far from what a busy machine may be late by, and far from a test's patience. */
const ttl = "500 millis"

if (!without) {
  leaseContract(
    "Redis",
    Layer.effect(
      Takers,
      Effect.gen(function* () {
        const server = yield* TestRedis.make
        const leases = Effect.map(connect(server), (client) => RedisLeases.make(client, { ttl }))
        return Takers.of({ one: yield* leases, other: yield* leases })
      })
    )
  )
}

describe("the options", () => {
  for (const [options, option] of [
    [{ ttl: 0 }, "ttl"],
    [{ ttl: 99 }, "ttl"],
    [{ ttl: Number.NaN }, "ttl"],
    [{ ttl: "Infinity" }, "ttl"],
    [{ ttl: "25 hours" }, "ttl"],
    [{ prefix: "" }, "prefix"],
    [{ prefix: 7 }, "prefix"],
    [{ tll: 5 }, "tll"]
  ] as const) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      const bad = options as RedisLeases.RedisLeasesOptions
      const client = { eval: () => Promise.resolve(0) }
      assert.deepInclude(
        refusal(() => RedisLeases.make(client, bad)),
        { module: "RedisLeases", option }
      )
      assert.deepInclude(
        refusal(() => RedisLeases.layer(bad)),
        { module: "RedisLeases", option }
      )
    })
  }
})

/** A client of our own, which keeps what it is asked. */
const fake = (answer: (script: string) => Promise<unknown>) => {
  const calls: Array<{ readonly script: string; readonly args: ReadonlyArray<string | number> }> = []
  return {
    calls,
    client: {
      eval: (script: string, _: number, ...args: Array<string | number>) => {
        calls.push({ script, args })
        return answer(script)
      }
    } satisfies RedisLeases.Scripts
  }
}

const countOf = (metric: Metric.Metric.Snapshot | undefined): number =>
  metric?.type === "Counter" ? Number(metric.state.count) : 0

const isRenewal = (script: string) => script.includes("PEXPIRE")
const isRelease = (script: string) => script.includes("DEL")
const isTake = (script: string) => script.includes("SET")

describe("renewal", () => {
  it.effect("is asked for at a third of the ttl, 15 s unless told", () =>
    Effect.gen(function* () {
      for (const [options, period] of [
        [{}, 5000],
        [{ ttl: "30 seconds" }, 10_000]
      ] as const) {
        const { calls, client } = fake((script) => Promise.resolve(isRenewal(script) ? 1 : 7))
        const lease = Option.getOrThrow(yield* RedisLeases.make(client, options).take("a"))
        assert.strictEqual(lease.fence, 7)
        assert.deepStrictEqual(calls[0]?.args.slice(0, 2), ["nexobot:lease:{a}", "nexobot:lease:{a}:fence"])
        assert.strictEqual(calls[0]?.args[3], period * 3)
        const lost = yield* Effect.forkChild(lease.lost)
        for (let round = 1; round <= 20; round += 1) {
          yield* TestClock.adjust(period - 1)
          assert.strictEqual(calls.filter(({ script }) => isRenewal(script)).length, round - 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(calls.filter(({ script }) => isRenewal(script)).length, round)
        }
        assert.isUndefined(lost.pollUnsafe())
        yield* Fiber.interrupt(lost)
      }
    })
  )

  for (const [name, answer] of [
    ["fails", () => Promise.reject(new Error("no route"))],
    ["is not answered", () => new Promise(() => undefined)]
  ] as const) {
    it.effect(`that ${name} loses the lease when the ttl has passed, not before, and not later`, () =>
      Effect.gen(function* () {
        const { client } = fake((script) => (isRenewal(script) ? answer() : Promise.resolve(7)))
        const lease = Option.getOrThrow(yield* RedisLeases.make(client).take("a"))
        const lost = yield* Effect.forkChild(lease.lost)
        yield* TestClock.adjust("14999 millis")
        assert.isUndefined(lost.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.isDefined(lost.pollUnsafe())
      })
    )
  }

  it.effect("that comes back in time keeps it", () =>
    Effect.gen(function* () {
      let down = true
      const { client } = fake((script) =>
        isRenewal(script) && down ? Promise.reject(new Error("no route")) : Promise.resolve(isRenewal(script) ? 1 : 7)
      )
      const lease = Option.getOrThrow(yield* RedisLeases.make(client).take("a"))
      const lost = yield* Effect.forkChild(lease.lost)
      yield* TestClock.adjust("12 seconds")
      down = false
      yield* TestClock.adjust("100 seconds")
      assert.isUndefined(lost.pollUnsafe())
      yield* Fiber.interrupt(lost)
    })
  )

  it.effect("that finds another's token loses it at once, and counts it", () =>
    Effect.gen(function* () {
      const count = Effect.map(Metric.snapshot, (all) => all.find(({ id }) => id === "nexobot_lease_lost"))
      const before = yield* count
      const { client } = fake((script) => Promise.resolve(isRenewal(script) ? 0 : 7))
      const lease = Option.getOrThrow(yield* RedisLeases.make(client).take("a"))
      const lost = yield* Effect.forkChild(lease.lost)
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(lost.pollUnsafe())
      const after = yield* count
      assert.deepStrictEqual(after?.attributes, { adapter: "redis" })
      assert.strictEqual(countOf(after), countOf(before) + 1)
    })
  )
})

describe("taking", () => {
  it.effect("takes text of digits for a fence, and no other text", () =>
    Effect.gen(function* () {
      for (const [answer, fence] of [
        ["7", 7],
        ["0", undefined],
        ["", "fails"],
        ["1e3", "fails"],
        [null, "fails"],
        [[7], "fails"]
      ] as const) {
        const { client } = fake(() => Promise.resolve(answer))
        const taken = yield* Effect.scoped(RedisLeases.make(client).take("a")).pipe(
          Effect.map((lease) => Option.getOrUndefined(lease)?.fence),
          Effect.orElseSucceed(() => "fails")
        )
        assert.strictEqual(taken, fence, JSON.stringify(answer))
      }
    })
  )

  it.effect("gives back what it may get when it is interrupted", () =>
    Effect.gen(function* () {
      const { calls, client } = fake((script) =>
        isRelease(script) ? Promise.resolve(1) : new Promise(() => undefined)
      )
      const scope = yield* Scope.make()
      const taking = yield* Effect.forkChild(Scope.provide(RedisLeases.make(client).take("a"), scope))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(taking)
      assert.deepStrictEqual(
        calls.map(({ script }) => isRelease(script)),
        [false, true]
      )
      yield* Scope.close(scope, Exit.void)
      assert.lengthOf(calls, 2)
    })
  )

  it.effect("does not wait for a Redis that does not answer, and gives back what it may get", () =>
    Effect.gen(function* () {
      const { calls, client } = fake(() => new Promise(() => undefined))
      const taking = yield* Effect.forkChild(
        Effect.flip(Effect.scoped(RedisLeases.make(client, { ttl: "2 seconds" }).take("a"))).pipe(
          Effect.uninterruptible
        )
      )
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(taking)
      assert.strictEqual(error._tag, "LeaseError")
      assert.include(error.message, "Redis did not answer within 2000 ms")
      assert.deepStrictEqual(
        calls.map(({ script }) => isRelease(script)),
        [false, true]
      )
      assert.strictEqual(calls[1]?.args[1], calls[0]?.args[2])
    })
  )

  it.effect("fails with what the client says, and at an answer that is no fence", () =>
    Effect.gen(function* () {
      for (const [answer, why] of [
        [() => Promise.reject(new Error("NOAUTH Authentication required.")), "NOAUTH"],
        [() => Promise.resolve("OK"), "Redis answered OK"]
      ] as const) {
        const { client } = fake(answer)
        const error = yield* Effect.flip(Effect.scoped(RedisLeases.make(client).take("a")))
        assert.include(error.reason.why, why)
      }
    })
  )

  it.effect("gives it back once, and not when it was refused", () =>
    Effect.gen(function* () {
      for (const [fence, releases] of [
        [0, 0],
        [7, 1]
      ] as const) {
        const { calls, client } = fake(() => Promise.resolve(fence))
        yield* Effect.scoped(RedisLeases.make(client).take("a"))
        assert.strictEqual(calls.filter(({ script }) => isRelease(script)).length, releases)
      }
    })
  )

  it.effect("lets its scope close within a second although Redis is silent", () =>
    Effect.gen(function* () {
      const { client } = fake((script) => (isRelease(script) ? new Promise(() => undefined) : Promise.resolve(7)))
      const closing = yield* Effect.forkChild(Effect.scoped(RedisLeases.make(client).take("a")))
      yield* TestClock.adjust("1 second")
      assert.isDefined(closing.pollUnsafe())
    })
  )
})

describe.skipIf(without)("with a real Redis", () => {
  it.live("is granted, renewed and released with a client that answers numbers as text", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(server.url, { stringNumbers: true })),
        (one) => Effect.sync(() => one.disconnect())
      )
      const leases = RedisLeases.make(client, { ttl })
      const scope = yield* Scope.make()
      const lease = Option.getOrThrow(yield* Scope.provide(leases.take("a"), scope))
      assert.isTrue(Number.isSafeInteger(lease.fence))
      const lost = yield* Effect.forkChild(lease.lost)
      yield* Effect.sleep("800 millis")
      assert.isUndefined(lost.pollUnsafe())
      assert.isFalse(yield* isFree(leases, "a"))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* isFree(leases, "a"))
      yield* Fiber.interrupt(lost)
    })
  )

  it.live("is granted to who asks again because the answer was lost, and to nobody else", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* connect(server)
      // What a client does whose connection broke after Redis had run the script.
      const twice = {
        eval: (script: string, keys: number, ...args: Array<string | number>) =>
          client
            .eval(script, keys, ...args)
            .then((first) => (isTake(script) ? client.eval(script, keys, ...args) : first))
      }
      const leases = RedisLeases.make(twice, { ttl: "5 seconds" })
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.isTrue(Option.isSome(yield* leases.take("a")))
          assert.isFalse(yield* isFree(leases, "a"))
        })
      )
      assert.isTrue(yield* isFree(leases, "a"))
    })
  )

  it.live("keeps its keys under the prefix, and the fence when the lease has expired", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* connect(server)
      const layer = RedisLeases.layer({ prefix: "mine:", ttl: "100 millis" }).pipe(
        Layer.provide(RedisClient.layer({ url: Redacted.make(server.url) }))
      )
      const leases = Context.get(yield* Layer.build(layer), Leases)
      const scope = yield* Scope.make()
      const lease = Option.getOrThrow(yield* Scope.provide(leases.take("a/b"), scope))
      const keys = () => Effect.promise(() => client.keys("*"))
      assert.deepStrictEqual((yield* keys()).toSorted(), ["mine:{a%2Fb}", "mine:{a%2Fb}:fence"])
      yield* Effect.promise(() => client.set("mine:{a%2Fb}", "another's", "PX", 50))
      yield* lease.lost
      // It lets go of nothing that is another's.
      yield* Effect.promise(() => client.set("mine:{a%2Fb}", "another's"))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.promise(() => client.getdel("mine:{a%2Fb}")), "another's")
      assert.deepStrictEqual(yield* keys(), ["mine:{a%2Fb}:fence"])
      const next = Option.getOrThrow(yield* leases.take("a/b"))
      assert.isAbove(next.fence, lease.fence)
    })
  )

  it.live("grows its fence although the clock of Redis is behind it", () =>
    Effect.gen(function* () {
      const client = yield* connect(yield* TestRedis.make)
      const ahead = 2 ** 52
      yield* Effect.promise(() => client.set("nexobot:lease:{a}:fence", `${ahead}`))
      const fences = yield* Effect.forEach([1, 2], () =>
        Effect.map(Effect.scoped(RedisLeases.make(client).take("a")), (lease) => Option.getOrThrow(lease).fence)
      )
      assert.deepStrictEqual(fences, [ahead + 1, ahead + 2])
    })
  )

  it.live(
    "a frozen holder's lease expires; when it wakes up it knows, and its fence is the smaller one",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.make
        const { entries, next, start } = yield* holders
        const frozen = yield* start("redis", server.url, 500)
        const before = yield* next("the first holds it", 0, ({ event }) => event === "begin")
        frozen.process.kill("SIGSTOP")
        const client = yield* connect(server)
        const lease = yield* eventually(
          "it expires",
          Effect.map(RedisLeases.make(client, { ttl }).take("gateway"), Option.getOrUndefined)
        )
        assert.strictEqual(entries().length, 1)
        frozen.process.kill("SIGCONT")
        const lost = yield* next("it knows", 1, () => true)
        assert.deepInclude(lost, { event: "lost", fence: before.fence })
        assert.isAbove(lease.fence, before.fence)
        assert.isFalse(yield* isFree(RedisLeases.make(client), "gateway"))
      }),
    60_000
  )

  it.live(
    "processes contend while it is frozen, killed and restarted: one holder at a time, with growing fences",
    () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.make
        const { entries, next, start } = yield* holders
        yield* Effect.all(
          [0, 1, 2].map(() => start("redis", server.url, 400, 700)),
          { concurrency: "unbounded" }
        )
        yield* eventually(
          "all had it",
          Effect.sync(() => (new Set(entries().map(({ pid }) => pid)).size === 3 ? true : undefined))
        )
        for (const [off, on] of [
          [server.freeze, server.thaw],
          [server.kill, server.restart],
          [server.freeze, server.thaw]
        ] as const) {
          yield* next("somebody holds it", entries().length, ({ event }) => event === "begin")
          yield* off
          // Longer than the ttl: whoever held it knows that it is lost before another can have it.
          yield* Effect.sleep("1200 millis")
          const down = entries()
          assert.notStrictEqual(down.at(-1)?.event, "begin")
          yield* on
          yield* next("somebody holds it again", down.length, ({ event }) => event === "begin")
        }
        assert.isAbove(entries().filter(({ event }) => event === "lost").length, 0)
        assertExclusive(entries())
      }),
    60_000
  )

  it.live("one that comes back empty: the holder loses it at its next renewal, and fences grow", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const leases = RedisLeases.make(yield* connect(server), { ttl: "3 seconds" })
      const lease = Option.getOrThrow(yield* leases.take("a"))
      yield* server.restart
      yield* lease.lost.pipe(Effect.timeout("20 seconds"))
      const next = Option.getOrThrow(yield* leases.take("a"))
      assert.isAbove(next.fence, lease.fence)
    })
  )

  it.live("says what the client of this package says when Redis is away", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const layer = RedisLeases.layer().pipe(Layer.provide(RedisClient.layer({ url: Redacted.make(server.url) })))
      const leases = Context.get(yield* Layer.build(layer), Leases)
      assert.isTrue(yield* isFree(leases, "a"))
      yield* server.kill
      const error = yield* Effect.flip(Effect.scoped(leases.take("a")))
      assert.match(error.message, /the lease of a was not granted: Redis cannot be reached/)
    })
  )

  it.live("fails with a reason while it cannot be reached", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* connect(server)
      const leases = RedisLeases.make(client, { ttl: Duration.millis(300) })
      assert.isTrue(yield* isFree(leases, "a"))
      yield* server.freeze
      const error = yield* Effect.flip(Effect.scoped(leases.take("a")))
      assert.include(error.message, "Redis did not answer within 300 ms")
      yield* server.thaw
      yield* eventually(
        "what the frozen one granted late is given back",
        Effect.map(isFree(leases, "a"), (free) => (free ? true : undefined))
      )
    })
  )
})
