import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import { CircuitVotes, CircuitVotesError, layerMemory } from "../src/CircuitVotes.ts"
import * as RedisCircuitVotes from "../src/RedisCircuitVotes.ts"
import * as RedisClient from "../src/RedisClient.ts"
import { circuitVotesContract } from "./circuitVotesContract.ts"
import { eventually, refusal } from "./support.ts"

const client = (server: TestRedis.TestRedis) =>
  RedisClient.layer({ host: "127.0.0.1", port: server.port, commandTimeout: "200 millis" })

const open = (server: TestRedis.TestRedis, prefix = "test") =>
  Layer.build(Layer.provideMerge(RedisCircuitVotes.layer({ prefix }), client(server))).pipe(
    Effect.map((context) => Context.get(context, CircuitVotes))
  )

const succeeds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  eventually(
    "it works again",
    Effect.map(Effect.result(effect), (result) => (Result.isSuccess(result) ? { value: result.success } : undefined))
  )

circuitVotesContract(
  "memory",
  Effect.map(Layer.build(layerMemory), (context) => {
    const votes = Context.get(context, CircuitVotes)
    return [votes, votes] as const
  })
)

describe("RedisCircuitVotes options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["prefix", { prefix: "" }],
    ["prefix", { prefix: "a{b}" }],
    ["ttl", { ttl: 1 }]
  ]
  for (const [option, options] of bad) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      assert.strictEqual(refusal(() => RedisCircuitVotes.layer(options)).option, option)
    })
  }
})

describe.skipIf(TestRedis.isMissing())("RedisCircuitVotes", () => {
  circuitVotesContract(
    "Redis",
    Effect.flatMap(TestRedis.make, (server) => Effect.all([open(server), open(server)]))
  )

  it.live("prefix: groups do not see each other", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const [one, other] = yield* Effect.all([open(server, "one"), open(server, "other")])
      yield* one.vote("a", "n1", Duration.minutes(1))
      yield* one.claimTrial("a", "n1", Duration.minutes(1))
      assert.strictEqual((yield* other.tally).size, 0)
      assert.isTrue(yield* other.claimTrial("a", "n2", Duration.minutes(1)))
    })
  )

  it.live("every key expires by itself, no later than what is in it", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const votes = yield* open(server)
      yield* votes.vote("a", "n1", Duration.seconds(20))
      yield* votes.vote("a", "n2", Duration.seconds(10))
      yield* votes.claimTrial("a", "n1", Duration.seconds(5))
      const redis = Context.get(yield* Layer.build(client(server)), RedisClient.RedisClient)
      const ttl = (key: string) => RedisClient.call(redis, (one) => one.pttl(key))
      assert.deepStrictEqual((yield* RedisClient.call(redis, (one) => one.keys("*"))).toSorted(), [
        "{test}:trial:a",
        "{test}:votes"
      ])
      const [all, trial] = [yield* ttl("{test}:votes"), yield* ttl("{test}:trial:a")]
      assert.isTrue(all > 10_000 && all <= 20_000 && trial > 0 && trial <= 5000, `${all} ${trial}`)
      // When the longest goes, what is left decides.
      yield* votes.withdraw("a", "n1")
      assert.isAtMost(yield* ttl("{test}:votes"), 10_000)
      yield* votes.vote("a", "n2", Duration.millis(20))
      yield* eventually(
        "all votes are gone",
        Effect.map(
          RedisClient.call(redis, (one) => one.keys("*votes")),
          (keys) => (keys.length === 0 ? true : undefined)
        )
      )
    })
  )

  it.effect("time is Redis's own: a client whose clock is an hour ahead sees what the others see", () =>
    Effect.gen(function* () {
      const server = yield* TestClock.withLive(TestRedis.make)
      const [right, wrong] = [yield* TestClock.withLive(open(server)), yield* open(server)]
      yield* TestClock.adjust("1 hour")
      yield* wrong.vote("a", "n1", Duration.minutes(1))
      const remaining = (yield* TestClock.withLive(right.tally)).get("a")?.get("n1") ?? Duration.zero
      assert.isTrue(Duration.between(remaining, { minimum: Duration.seconds(30), maximum: Duration.minutes(1) }))
      yield* TestClock.withLive(right.vote("b", "n2", Duration.minutes(1)))
      assert.deepStrictEqual([...(yield* wrong.tally).keys()].toSorted(), ["a", "b"])
    })
  )

  it.live("killed, frozen and restarted: CircuitVotesError within the command timeout, then all works again", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const [one, other] = yield* Effect.all([open(server), open(server)])
      const seen: Array<string> = []
      yield* Effect.forkScoped(Stream.runForEach(other.changes, (key) => Effect.sync(() => void seen.push(key))))
      const minute = Duration.minutes(1)
      const operations = [
        one.vote("a", "n1", minute),
        one.withdraw("a", "n1"),
        one.tally,
        one.claimTrial("a", "n1", minute)
      ] as ReadonlyArray<Effect.Effect<unknown, CircuitVotesError>>
      yield* Effect.all(operations)
      for (const trouble of [server.freeze, server.kill]) {
        yield* trouble
        const results = yield* Effect.all(operations.map(Effect.result), { concurrency: 4 }).pipe(
          Effect.timeout("10 seconds")
        )
        for (const result of results) {
          assert.isTrue(Result.isFailure(result) && result.failure instanceof CircuitVotesError)
          assert.match(
            Result.isFailure(result) ? result.failure.message : "",
            /Redis (gave no answer|cannot be reached)/
          )
        }
      }
      yield* server.restart
      assert.strictEqual((yield* succeeds(one.tally)).value.size, 0)
      seen.length = 0
      yield* eventually(
        "changes are heard again",
        Effect.map(succeeds(one.vote("later", "n1", minute)), () => (seen.includes("later") ? true : undefined))
      )
      assert.deepStrictEqual([...(yield* succeeds(other.tally)).value.keys()], ["later"])
    })
  )

  it.live("frozen and thawed: votes that did not expire meanwhile are still there", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const votes = yield* open(server)
      yield* votes.vote("a", "n1", Duration.minutes(1))
      yield* server.freeze
      assert.isTrue(Result.isFailure(yield* Effect.result(votes.tally)))
      yield* server.thaw
      assert.deepStrictEqual([...(yield* succeeds(votes.tally)).value.keys()], ["a"])
    })
  )

  it.live("an answer that is no list of votes is an error of the port, not a defect", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const votes = yield* open(server)
      const redis = Context.get(yield* Layer.build(client(server)), RedisClient.RedisClient)
      yield* RedisClient.call(redis, (one) => one.zadd("{test}:votes", 9e15, "not ours"))
      const foreign = yield* Effect.flip(votes.tally)
      assert.strictEqual(foreign._tag, "CircuitVotesError")
      yield* RedisClient.call(redis, (one) => one.set("{test}:votes", "x"))
      assert.match((yield* Effect.flip(votes.tally)).message, /WRONGTYPE/)
    })
  )
})
