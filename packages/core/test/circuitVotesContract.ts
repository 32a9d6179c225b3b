import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import type { CircuitVotes } from "../src/CircuitVotes.ts"
import { eventually } from "./support.ts"

type Votes = CircuitVotes["Service"]

/** Who votes for what, in an order that means nothing. */
const nodesIn = (votes: Votes) =>
  Effect.map(votes.tally, (tally) =>
    Object.fromEntries([...tally].map(([key, cast]) => [key, [...cast.keys()].toSorted()] as const))
  )

const becomes = (votes: Votes, wanted: object) =>
  eventually(
    `the votes are ${JSON.stringify(wanted)}`,
    Effect.map(nodesIn(votes), (nodes) => (JSON.stringify(nodes) === JSON.stringify(wanted) ? true : undefined))
  )

/** What every place for votes does. `pair` makes one as two processes see it; time is real. */
export const circuitVotesContract = (
  name: string,
  pair: Effect.Effect<readonly [Votes, Votes], never, Scope.Scope>
): void => {
  describe(`CircuitVotes: ${name}`, () => {
    it.live("votes are seen by everybody, by key and node, until they are withdrawn", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        assert.deepStrictEqual(yield* nodesIn(one), {})
        yield* one.vote("a", "n1", Duration.minutes(1))
        yield* other.vote("a", "n2", Duration.minutes(1))
        yield* other.vote("b:[1,2]", 'n"2', Duration.minutes(1))
        assert.deepStrictEqual(yield* nodesIn(one), { a: ["n1", "n2"], "b:[1,2]": ['n"2'] })
        yield* other.withdraw("a", "n1")
        yield* other.withdraw("nothing", "n1")
        yield* other.withdraw("b:[1,2]", "n1")
        assert.deepStrictEqual(yield* nodesIn(one), { a: ["n2"], "b:[1,2]": ['n"2'] })
        yield* other.withdraw("a", "n2")
        yield* one.withdraw("b:[1,2]", 'n"2')
        assert.deepStrictEqual(yield* nodesIn(other), {})
      })
    )

    it.live("each vote expires by itself, and says what remains of it", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        yield* one.vote("a", "long", Duration.minutes(10))
        yield* one.vote("a", "short", Duration.millis(30))
        yield* one.vote("b", "short", Duration.millis(30))
        const remaining = Duration.toMillis((yield* other.tally).get("a")?.get("long") ?? Duration.zero)
        assert.isAtMost(remaining, 600_000)
        assert.isAbove(remaining, 500_000)
        yield* becomes(other, { a: ["long"] })
      })
    )

    it.live("a later vote of the same node replaces the earlier, longer or shorter", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        yield* one.vote("a", "n1", Duration.millis(20))
        yield* one.vote("a", "n1", Duration.minutes(1))
        yield* one.vote("b", "n1", Duration.minutes(1))
        yield* one.vote("b", "n1", Duration.millis(20))
        yield* becomes(other, { a: ["n1"] })
      })
    )

    it.live("one node gets the trial; it may renew it, and its lease ends", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        const claims = yield* Effect.all(
          ["n1", "n2", "n3", "n4"].map((node, index) =>
            (index % 2 === 0 ? one : other).claimTrial("a", node, Duration.minutes(1))
          ),
          { concurrency: 4 }
        )
        assert.lengthOf(
          claims.filter((granted) => granted),
          1
        )
        const winner = `n${claims.indexOf(true) + 1}`
        assert.isTrue(yield* other.claimTrial("b", "n9", Duration.minutes(1)))
        assert.isTrue(yield* other.claimTrial("a", winner, Duration.millis(30)))
        yield* eventually(
          "the lease ends",
          Effect.map(one.claimTrial("a", "n8", Duration.minutes(1)), (granted) => (granted ? true : undefined))
        )
        assert.isFalse(yield* one.claimTrial("a", winner, Duration.minutes(1)))
      })
    )

    it.live("a vote and a withdrawal end the trial of the node that has it, and of no other", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        const minute = Duration.minutes(1)
        yield* one.claimTrial("a", "n1", minute)
        yield* other.vote("a", "n2", minute)
        yield* other.withdraw("a", "n2")
        assert.isFalse(yield* other.claimTrial("a", "n2", minute))
        yield* one.vote("a", "n1", minute)
        assert.isTrue(yield* other.claimTrial("a", "n2", minute))
        yield* other.withdraw("a", "n2")
        assert.isTrue(yield* one.claimTrial("a", "n1", minute))
      })
    )

    it.live("a released trial is anybody's at once; votes stay, and the trial of another is not released", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        const minute = Duration.minutes(1)
        yield* one.vote("a", "n1", minute)
        yield* one.claimTrial("a", "n1", minute)
        yield* other.releaseTrial("a", "n2")
        yield* other.releaseTrial("nothing", "n2")
        assert.isFalse(yield* other.claimTrial("a", "n2", minute))
        yield* one.releaseTrial("a", "n1")
        assert.isTrue(yield* other.claimTrial("a", "n2", minute))
        assert.deepStrictEqual(yield* nodesIn(other), { a: ["n1"] })
      })
    )

    it.live("changes tell the others which key to look at, withdrawals of nothing apart", () =>
      Effect.gen(function* () {
        const [one, other] = yield* pair
        const seen: Array<string> = []
        const listening = yield* Effect.forkScoped(
          Stream.runForEach(other.changes, (key) => Effect.sync(() => void seen.push(key)))
        )
        // Changes are a hint: the first may come before anybody listens.
        yield* eventually(
          "the first is heard",
          Effect.map(one.vote("first", "n1", Duration.minutes(1)), () => (seen.includes("first") ? true : undefined))
        )
        yield* one.withdraw("nothing", "n1")
        yield* one.withdraw("first", "n1")
        yield* one.vote("last", "n1", Duration.minutes(1))
        yield* eventually(
          "the last is heard",
          Effect.sync(() => (seen.includes("last") ? true : undefined))
        )
        assert.deepStrictEqual([...new Set(seen)], ["first", "last"])
        yield* Fiber.interrupt(listening)
      })
    )
  })
}
