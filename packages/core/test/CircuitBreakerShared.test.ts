import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as Backoff from "../src/Backoff.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import { CircuitVotes, CircuitVotesError, layerMemory } from "../src/CircuitVotes.ts"
import * as Outcome from "../src/Outcome.ts"
import { interruptAll } from "./interruption.ts"
import { refusal } from "./support.ts"

const bad = Effect.fail("bad")
const good = Effect.succeed("good")

const options = {
  consecutive: { failures: 3, within: "5 seconds" },
  open: Backoff.constant("30 seconds"),
  trials: { lease: "10 seconds" }
} as const

const nodeOf = (node: string, shared: Partial<CircuitBreaker.Sharing> = {}) =>
  CircuitBreaker.makeShared({ ...options, shared: { quorum: 2, node, ...shared } })

const tell = <A, E>(guarded: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.match(guarded, {
    onSuccess: () => "good",
    onFailure: (error) => (error instanceof CircuitBreaker.CircuitBreakerError ? error.reason._tag : "bad")
  })

const trip = (breaker: CircuitBreaker.CircuitBreaker) =>
  Effect.forEach([1, 2, 3], () => Effect.exit(breaker.policy(bad)), { discard: true })

/** Lets the fibers in the background do what is due. */
const settle = TestClock.adjust(0)

const statesOf = (...breakers: ReadonlyArray<CircuitBreaker.CircuitBreaker>) =>
  Effect.forEach(breakers, (one) => one.state())

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const classify: Outcome.Classify = (result) =>
  result._tag === "Failure" && result.failure === "skip" ? "ignored" : Outcome.byResult(result)

const three = Effect.gen(function* () {
  const nodes = [yield* nodeOf("a"), yield* nodeOf("b"), yield* nodeOf("c")] as const
  yield* settle
  return nodes
})

/** Memory that can be made to fail or to hang. */
const store = Effect.gen(function* () {
  const real = yield* CircuitVotes
  const condition = { is: "up" as "up" | "down" | "slow" }
  const under = <A>(effect: Effect.Effect<A, CircuitVotesError>) =>
    Effect.suspend(() => {
      if (condition.is === "up") return effect
      return condition.is === "slow" ? Effect.never : Effect.fail(new CircuitVotesError({ why: "down" }))
    })
  const votes: CircuitVotes["Service"] = {
    vote: (key, node, open) => under(real.vote(key, node, open)),
    withdraw: (key, node) => under(real.withdraw(key, node)),
    tally: under(real.tally),
    claimTrial: (key, node, lease) => under(real.claimTrial(key, node, lease)),
    releaseTrial: (key, node) => under(real.releaseTrial(key, node)),
    changes: real.changes
  }
  return { condition, votes, layer: Layer.succeed(CircuitVotes, votes) }
})

describe("CircuitBreaker.makeShared", () => {
  it.effect("acceptance(core-and-probes 8): with a quorum of 2 of 3, A alone opens and B and C stay closed", () =>
    Effect.gen(function* () {
      const [a, b, c] = yield* three
      yield* trip(a)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* statesOf(a, b, c), ["Open", "Closed", "Closed"])
      assert.deepStrictEqual([yield* tell(b.policy(good)), yield* tell(c.policy(good))], ["good", "good"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("A and B open: C opens, and says who found it so; keys are apart", () =>
    Effect.gen(function* () {
      const [a, b, c] = yield* three
      const told = yield* Effect.forkChild(Stream.runHead(c.transitions))
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(c.policy(good))
      assert.isTrue(error instanceof CircuitBreaker.CircuitBreakerError)
      assert.deepStrictEqual(
        error.reason,
        new CircuitBreaker.SharedOpen({ nodes: ["a", "b"], retryAfter: Duration.seconds(29) })
      )
      assert.strictEqual(yield* tell(c.circuit("other").policy(good)), "good")
      assert.strictEqual(Option.getOrUndefined(yield* Fiber.join(told))?.why, "votes")
      const late = yield* nodeOf("d")
      yield* settle
      assert.strictEqual(yield* tell(late.policy(good)), "SharedOpen")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("all nodes together make one trial; each that succeeds lets the next make its own at once", () =>
    Effect.gen(function* () {
      const [a, b, c] = yield* three
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("30 seconds")
      const end = yield* Deferred.make<void>()
      let reached = 0
      const call = Effect.andThen(
        Effect.sync(() => reached++),
        Deferred.await(end)
      )
      const calls = yield* Effect.forkChild(
        Effect.forEach([a, b, c, a, b, c], (one) => tell(one.policy(call)), { concurrency: "unbounded" })
      )
      yield* settle
      assert.strictEqual(reached, 1)
      yield* Deferred.succeed(end, undefined)
      assert.deepStrictEqual((yield* Fiber.join(calls)).toSorted(), [
        "HalfOpen",
        "HalfOpen",
        "HalfOpen",
        "HalfOpen",
        "HalfOpen",
        "good"
      ])
      assert.deepStrictEqual(yield* statesOf(a, b, c), ["Closed", "Open", "Open"])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(b.policy(good)), "good")
      yield* settle
      assert.strictEqual(yield* tell(c.policy(good)), "good")
      assert.deepStrictEqual(yield* statesOf(a, b, c), ["Closed", "Closed", "Closed"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a node that is open by votes makes a trial when the quorum is gone, not before", () =>
    Effect.gen(function* () {
      const [a, b, c] = yield* three
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(c.policy(good)), "SharedOpen")
      yield* a.reset()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(c.policy(bad)), "bad")
      // Its own judgement now, with its own vote.
      assert.strictEqual(yield* tell(c.policy(good)), "Open")
      yield* TestClock.adjust("1 second")
      const late = yield* nodeOf("d")
      yield* settle
      assert.strictEqual(yield* tell(late.policy(good)), "SharedOpen")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a hung trial loses its slot for all nodes", () =>
    Effect.gen(function* () {
      const [a, b] = yield* three
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("30 seconds")
      const hung = yield* Effect.forkChild(tell(a.policy(Effect.never)))
      yield* settle
      assert.strictEqual(yield* tell(b.policy(good)), "HalfOpen")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* tell(b.policy(good)), "HalfOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(b.policy(good)), "good")
      yield* Fiber.interrupt(hung)
    }).pipe(Effect.provide(layerMemory))
  )

  for (const condition of ["down", "slow"] as const) {
    it.effect(`store ${condition}, whenAway closed: goes on by its own judgement, and no call waits while closed`, () =>
      Effect.gen(function* () {
        const { condition: now, layer, votes } = yield* store
        const breaker = yield* Effect.provide(nodeOf("a"), layer)
        yield* settle
        now.is = condition
        yield* TestClock.adjust("3 seconds")
        // No time passes: a call that waited would hang.
        assert.strictEqual(yield* tell(breaker.policy(good)), "good")
        yield* trip(breaker)
        assert.strictEqual(yield* tell(breaker.policy(good)), "Open")
        yield* TestClock.adjust("30 seconds")
        const trial = yield* Effect.forkChild(tell(breaker.policy(good)))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(trial), "good")
        yield* trip(breaker)
        yield* TestClock.adjust("3 seconds")
        now.is = "up"
        yield* TestClock.adjust("2 seconds")
        // What could not be told meanwhile is told when the store is back.
        assert.deepStrictEqual([...((yield* votes.tally).get("default")?.keys() ?? [])], ["a"])
      }).pipe(Effect.provide(layerMemory))
    )

    it.effect(`store ${condition}, whenAway open: refuses calls until it is back`, () =>
      Effect.gen(function* () {
        const { condition: now, layer } = yield* store
        const breaker = yield* Effect.provide(nodeOf("a", { whenAway: "open" }), layer)
        yield* settle
        const guarded = breaker.policy(good)
        assert.strictEqual(yield* tell(guarded), "good")
        now.is = condition
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* tell(guarded), "VotesAway")
        assert.strictEqual(yield* tell(breaker.policy(good)), "VotesAway")
        now.is = "up"
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* tell(guarded), "good")
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("a slow store does not hold other callers of an open circuit", () =>
    Effect.gen(function* () {
      const { condition, layer } = yield* store
      const breaker = yield* Effect.provide(nodeOf("a"), layer)
      yield* trip(breaker)
      yield* TestClock.adjust("30 seconds")
      condition.is = "slow"
      const asking = yield* Effect.forkChild(tell(breaker.policy(good)))
      yield* settle
      assert.strictEqual(yield* tell(breaker.policy(good)), "HalfOpen")
      yield* Fiber.interrupt(asking)
      condition.is = "up"
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a vote under its own name, such as of its last run, does not count for a node", () =>
    Effect.gen(function* () {
      const votes = yield* CircuitVotes
      const breaker = yield* nodeOf("a")
      for (const node of ["a", "b"]) yield* votes.vote("default", node, Duration.minutes(1))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* votes.vote("default", "c", Duration.minutes(1))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* breaker.state(), "Open")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("refresh is how soon a missed vote is seen", () =>
    Effect.gen(function* () {
      const { layer, votes } = yield* store
      const deaf = Layer.succeed(CircuitVotes, { ...votes, changes: Stream.empty })
      const breaker = yield* Effect.provide(nodeOf("a", { refresh: "4 seconds", quorum: 1 }), Layer.merge(layer, deaf))
      yield* settle
      yield* votes.vote("default", "b", Duration.minutes(1))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* breaker.state(), "Closed")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* breaker.state(), "Open")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an interruption of a trial at any point lets the next one be made", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.makeShared({
        consecutive: { failures: 1 },
        open: options.open,
        shared: { quorum: 1, node: "a" }
      })
      const calls = range(3, 9).flatMap((yieldsEvery) =>
        range(0, 9).flatMap((before) => range(0, 12).map((wait) => ({ yieldsEvery, before, after: wait, ends: false })))
      )
      const circuits = calls.map((call) => breaker.circuit(JSON.stringify(call)))
      yield* Effect.forEach(circuits, (one) => Effect.exit(one.policy(bad)), { discard: true })
      yield* TestClock.adjust("30 seconds")
      yield* interruptAll(calls, (_, index) => circuits[index]?.policy(Effect.never) ?? Effect.never)
      yield* TestClock.adjust("1 second")
      const after = yield* Effect.forEach(circuits, (one) => tell(one.policy(good)))
      assert.deepStrictEqual(
        calls.filter((_, index) => after[index] !== "good"),
        []
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a store that throws in place of an effect keeps nobody from the next trial", () =>
    Effect.gen(function* () {
      const { votes } = yield* store
      let broken = true
      const claimTrial: (typeof votes)["claimTrial"] = (key, node, lease) => {
        if (broken) throw new Error("a bug")
        return votes.claimTrial(key, node, lease)
      }
      const breaker = yield* Effect.provideService(nodeOf("a"), CircuitVotes, { ...votes, claimTrial })
      yield* trip(breaker)
      yield* TestClock.adjust("30 seconds")
      // By its own judgement.
      assert.strictEqual(yield* tell(breaker.policy(bad)), "bad")
      broken = false
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    }).pipe(Effect.provide(layerMemory))
  )

  const tripped = Effect.gen(function* () {
    const [a, b, c] = yield* three
    yield* trip(a)
    yield* trip(b)
    yield* TestClock.adjust("30 seconds")
    return [a, b, c] as const
  })

  it.effect("a trial that said nothing, being interrupted, is another node's at once", () =>
    Effect.gen(function* () {
      const [a, b] = yield* tripped
      const trial = yield* Effect.forkChild(a.policy(Effect.never), { startImmediately: true })
      yield* settle
      assert.strictEqual(yield* tell(b.policy(good)), "HalfOpen")
      yield* Fiber.interrupt(trial)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(b.policy(good)), "good")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a trial whose outcome is ignored is another node's at once", () =>
    Effect.gen(function* () {
      const [a, b] = [
        yield* CircuitBreaker.makeShared({ ...options, classify, shared: { quorum: 2, node: "a" } }),
        yield* CircuitBreaker.makeShared({ ...options, classify, shared: { quorum: 2, node: "b" } })
      ]
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* tell(a.policy(Effect.fail("skip"))), "bad")
      yield* settle
      assert.strictEqual(yield* tell(b.policy(good)), "good")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a released trial does not end a later one of the same node", () =>
    Effect.gen(function* () {
      const [a, b] = yield* tripped
      const first = yield* Effect.forkChild(a.policy(Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(first)
      const second = yield* Effect.forkChild(a.policy(Effect.never), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* tell(b.policy(good)), "HalfOpen")
      yield* Fiber.interrupt(second)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a defect in the store makes it count as away, is logged once, and ends no exchange", () =>
    Effect.gen(function* () {
      const { votes } = yield* store
      const broken = { is: true }
      const bug = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend(() => {
          if (broken.is) throw new Error("a bug")
          return effect
        })
      const logged: Array<unknown> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        logged.push([logLevel, message])
      })
      const breaker = yield* nodeOf("a", { whenAway: "open", quorum: 1 }).pipe(
        Effect.provideService(CircuitVotes, {
          ...votes,
          tally: bug(votes.tally),
          changes: Stream.die("a bug"),
          claimTrial: (key, node, lease) => bug(votes.claimTrial(key, node, lease))
        }),
        Effect.provide(Logger.layer([logger]))
      )
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* tell(breaker.policy(good)), "VotesAway")
      assert.lengthOf(logged, 1)
      assert.include(JSON.stringify(logged), "Warn")
      broken.is = false
      yield* votes.vote("k", "b", Duration.minutes(1))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
      assert.strictEqual(yield* tell(breaker.circuit("k").policy(good)), "SharedOpen")
      yield* trip(breaker)
      yield* TestClock.adjust("30 seconds")
      broken.is = true
      assert.strictEqual(yield* tell(breaker.policy(good)), "VotesAway")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a reset outlasts the votes that are there, until they are renewed", () =>
    Effect.gen(function* () {
      const votes = yield* CircuitVotes
      const [a, b, c] = yield* three
      yield* trip(a)
      yield* trip(b)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* c.state(), "Open")
      yield* c.reset()
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* tell(c.policy(good)), "good")
      // One that is new and one that is old are no quorum.
      yield* votes.vote("default", "d", Duration.seconds(30))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* c.state(), "Closed")
      yield* votes.vote("default", "a", Duration.seconds(30))
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(c.policy(good))
      assert.isTrue(error instanceof CircuitBreaker.CircuitBreakerError && error.reason._tag === "SharedOpen")
      assert.include(error.message, "as a, d found")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("stops with its scope", () =>
    Effect.gen(function* () {
      const { condition, layer } = yield* store
      const breaker = yield* Effect.scoped(Effect.provide(nodeOf("a", { whenAway: "open" }), layer))
      condition.is = "down"
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* tell(breaker.policy(good)), "good")
    }).pipe(Effect.provide(layerMemory))
  )

  const wrong: ReadonlyArray<readonly [option: string, shared: unknown]> = [
    ["shared", undefined],
    ["shared", null],
    ["shared", 2],
    ["shared.quorum", {}],
    ["shared.refresh", { quorum: 2, refresh: null }],
    ["shared.quorum", { quorum: 0 }],
    ["shared.refresh", { quorum: 2, refresh: 0 }],
    ["shared.whenAway", { quorum: 2, whenAway: "maybe" }],
    ["shared.node", { quorum: 2, node: "" }],
    ["shared.nodes", { quorum: 2, nodes: 3 }]
  ]
  for (const [option, shared] of wrong) {
    it(`refuses ${option} of ${JSON.stringify(shared)}`, () => {
      const error = refusal(() => CircuitBreaker.makeShared({ shared: shared as CircuitBreaker.Sharing }))
      assert.deepStrictEqual([error.module, error.option], ["CircuitBreaker", option])
    })
  }
})

describe("CircuitVotes.layerMemory", () => {
  it.effect("forgets votes that expire, and says until when each counts", () =>
    Effect.gen(function* () {
      const votes = yield* CircuitVotes
      yield* votes.vote("k", "a", Duration.seconds(10))
      yield* votes.vote("k", "b", Duration.seconds(20))
      const remaining = Effect.map(votes.tally, (tally) =>
        [...(tally.get("k") ?? [])].map(([node, left]) => [node, Duration.toMillis(left)])
      )
      assert.deepStrictEqual(yield* remaining, [
        ["a", 10_000],
        ["b", 20_000]
      ])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* remaining, [["b", 10_000]])
      yield* votes.withdraw("k", "b")
      yield* votes.withdraw("unknown", "b")
      assert.strictEqual((yield* votes.tally).size, 0)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("gives the trial to one node, until its lease ends or it says how the trial went", () =>
    Effect.gen(function* () {
      const votes = yield* CircuitVotes
      const claim = (node: string) => votes.claimTrial("k", node, Duration.seconds(10))
      assert.deepStrictEqual([yield* claim("a"), yield* claim("b"), yield* claim("a")], [true, false, true])
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(yield* claim("b"))
      yield* votes.withdraw("k", "a")
      assert.isFalse(yield* claim("a"))
      yield* votes.withdraw("k", "b")
      assert.isTrue(yield* claim("a"))
      yield* votes.vote("k", "a", Duration.seconds(1))
      assert.isTrue(yield* claim("b"))
    }).pipe(Effect.provide(layerMemory))
  )
})
