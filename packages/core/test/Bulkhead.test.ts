import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as Bulkhead from "../src/Bulkhead.ts"
import { bulkhead, keyedBulkhead } from "../src/internal/promise/bulkhead.ts"
import * as Outcome from "../src/Outcome.ts"
import { busyFor, interruptAll, Interrupted } from "./interruption.ts"
import { refusal } from "./support.ts"

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** Lets everything that is scheduled happen, and what it schedules in turn; time stands still. */
const settle = Effect.forEach([1, 2, 3], () => TestClock.adjust(0), { discard: true })

const state = (concurrency: number, running: number, waiting: number) => ({ concurrency, running, waiting })

const failureOf = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)

describe("Bulkhead", () => {
  it.effect("lets `concurrency` calls run, and refuses the next at once unless told", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 2, name: "db" })
      const calls = yield* Effect.forEach([1, 2], () => start(policy(Effect.never)))
      assert.deepStrictEqual(inspect(), state(2, 2, 0))
      let made = false
      const error = yield* failureOf(policy(Effect.sync(() => (made = true))))
      assert.isFalse(made)
      assert.deepStrictEqual(error.reason, new Bulkhead.Full({ concurrency: 2, queue: 0 }))
      assert.include(error.message, 'the bulkhead "db" is full: 2 calls run and 0 may wait')
      yield* Fiber.interruptAll(calls)
      assert.deepStrictEqual(inspect(), state(2, 0, 0))
    })
  )

  it.effect("passes success, failure and defects, and frees the place after each", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1 })
      assert.strictEqual(yield* policy(Effect.succeed(1)), 1)
      assert.deepStrictEqual(yield* Effect.exit(policy(Effect.fail("no"))), Exit.fail("no"))
      assert.deepStrictEqual(yield* Effect.exit(policy(Effect.die("bug"))), Exit.die("bug"))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(policy(Effect.interrupt))))
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  it.effect("lets `queue` calls wait and start in their order; nobody passes them", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 2 })
      const order: Array<string> = []
      const gates = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Effect.gen(function* () {
          const gate = yield* Deferred.make<void>()
          yield* start(
            policy(
              Effect.andThen(
                Effect.sync(() => order.push(name)),
                Deferred.await(gate)
              )
            )
          )
          return gate
        })
      )
      assert.deepStrictEqual(inspect(), state(1, 1, 2))
      const error = yield* failureOf(policy(Effect.void))
      assert.deepStrictEqual(error.reason, new Bulkhead.Full({ concurrency: 1, queue: 2 }))
      const [first, second] = gates
      if (first === undefined || second === undefined) return assert.fail("no gates")
      yield* Deferred.succeed(first, undefined)
      // It comes between the end of the first and the start of the second.
      const late = yield* start(policy(Effect.sync(() => order.push("late"))))
      yield* settle
      assert.deepStrictEqual(order, ["a", "b"])
      yield* Deferred.succeed(second, undefined)
      yield* settle
      assert.deepStrictEqual(order, ["a", "b", "c"])
      assert.deepStrictEqual(inspect(), state(1, 1, 1))
      yield* Fiber.interrupt(late)
    })
  )

  it.effect("lets nobody wait longer than `queueTimeout`, and calls run as long as they like", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 1, queueTimeout: "1 second" })
      const running = yield* start(policy(Effect.as(Effect.sleep("1 minute"), "done")))
      const waiting = yield* start(failureOf(policy(Effect.void)))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(inspect(), state(1, 1, 1))
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(waiting)
      assert.deepStrictEqual(error.reason, new Bulkhead.QueueTimeout({ after: Duration.seconds(1) }))
      assert.include(error.message, "had no room within 1s")
      assert.deepStrictEqual(inspect(), state(1, 1, 0))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(running), "done")
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  it.effect("loses no place that becomes free in the moment in which the wait for it ends", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 1, queueTimeout: "1 second" })
      yield* start(policy(Effect.sleep("1 second")))
      const waiting = yield* start(Effect.result(policy(Effect.succeed("ran"))))
      yield* TestClock.adjust("1 second")
      const result = yield* Fiber.join(waiting)
      assert.isTrue(Result.isSuccess(result) ? result.success === "ran" : result.failure.reason._tag === "QueueTimeout")
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  it.effect("a caller that aborts while it waits is back at once, and the next takes its turn", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 2 })
      const running = yield* start(policy(Effect.never))
      const impatient = yield* start(policy(Effect.die("never runs")))
      const patient = yield* start(policy(Effect.succeed("ran")))
      yield* Fiber.interrupt(impatient)
      assert.deepStrictEqual(inspect(), state(1, 1, 1))
      yield* Fiber.interrupt(running)
      assert.strictEqual(yield* Fiber.join(patient), "ran")
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  it.effect("a waiter that is interrupted after it was handed a place, and before it ran, gives it back", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 2 })
      const gate = yield* Deferred.make<void>()
      const running = yield* start(policy(Deferred.await(gate)))
      const handed = yield* start(policy(Effect.die("never runs")))
      const next = yield* start(policy(Effect.succeed("ran")))
      running.addObserver(() => handed.interruptUnsafe())
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(next), "ran")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(handed)))
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  it.effect("resizes: a larger one starts those that wait, a smaller one stops nobody", () =>
    Effect.gen(function* () {
      const { inspect, policy, resize } = Bulkhead.make({ concurrency: 1, queue: 4 })
      const calls = yield* Effect.forEach([1, 2, 3, 4], () => start(policy(Effect.never)))
      assert.deepStrictEqual(inspect(), state(1, 1, 3))
      yield* resize(3)
      assert.deepStrictEqual(inspect(), state(3, 3, 1))
      yield* resize(1)
      assert.deepStrictEqual(inspect(), state(1, 3, 1))
      yield* Fiber.interruptAll(calls.slice(0, 2))
      assert.deepStrictEqual(inspect(), state(1, 1, 1))
      yield* Fiber.interruptAll(calls)
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
      assert.throws(() => resize(0), /option "concurrency" is 0/)
    })
  )

  it.effect("says in a refusal what it was resized to", () =>
    Effect.gen(function* () {
      const { policy, resize } = Bulkhead.make({ concurrency: 1 })
      yield* Effect.forEach([1, 2], () => start(Effect.exit(policy(Effect.never))))
      assert.strictEqual((yield* failureOf(policy(Effect.void))).message.includes(": 1 calls run"), true)
      yield* resize(2)
      yield* start(policy(Effect.never))
      assert.strictEqual((yield* failureOf(policy(Effect.void))).message.includes(": 2 calls run"), true)
    })
  )

  it.effect("a refusal for lack of room is no failure of what it guards", () =>
    Effect.gen(function* () {
      const { policy } = Bulkhead.make({ concurrency: 1, queue: 1, queueTimeout: "1 second" })
      yield* start(policy(Effect.never))
      const waiting = yield* start(failureOf(policy(Effect.void)))
      for (const error of [
        yield* failureOf(policy(Effect.void)),
        yield* Effect.andThen(TestClock.adjust("1 second"), Fiber.join(waiting))
      ]) {
        assert.isTrue(Outcome.isRefusal(error))
        assert.strictEqual(Outcome.byResult(Result.fail(error)), "ignored")
      }
    })
  )

  it.effect("counts refusals by name and reason", () =>
    Effect.gen(function* () {
      const { policy } = Bulkhead.make({ concurrency: 1, name: "counted" })
      yield* start(policy(Effect.never))
      yield* Effect.forEach([1, 2, 3], () => Effect.exit(policy(Effect.void)))
      const counter = Metric.counter("nexobot_bulkhead_refusals", {
        description: "Calls that a bulkhead refused",
        incremental: true,
        attributes: { name: "counted", reason: "Full" }
      })
      assert.strictEqual((yield* Metric.value(counter)).count, 3)
    })
  )

  it.effect("hands on through ten thousand waiters without exhausting the stack", () =>
    Effect.gen(function* () {
      const { inspect, policy } = Bulkhead.make({ concurrency: 1, queue: 10_000 })
      const gate = yield* Deferred.make<void>()
      yield* start(policy(Deferred.await(gate)))
      let ran = 0
      const calls = yield* Effect.forEach(Array.from({ length: 10_000 }), () => start(policy(Effect.sync(() => ran++))))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.awaitAll(calls)
      assert.strictEqual(ran, 10_000)
      assert.deepStrictEqual(inspect(), state(1, 0, 0))
    })
  )

  const Step = Schema.Struct({
    action: Schema.Literals(["call", "call", "call", "end", "interrupt", "resize", "tick"]),
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
    settles: Schema.Boolean
  })
  const Small = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))

  it.effect.prop(
    "never runs too many, never lets too many wait, and loses no place, whatever is interrupted when",
    [Schema.Array(Step).check(Schema.isMaxLength(60)), Small, Small],
    ([steps, concurrency, queue]) =>
      Effect.gen(function* () {
        const { inspect, policy, resize } = Bulkhead.make({ concurrency, queue, queueTimeout: "100 millis" })
        let running = 0
        let allowed = concurrency
        /** By how many there were too many, at the worst. */
        let most = 0
        const calls: Array<{ readonly fiber: Fiber.Fiber<void, unknown>; readonly gate: Deferred.Deferred<void> }> = []
        for (const { action, at, settles } of steps) {
          const call = calls[at % Math.max(1, calls.length)]
          if (action === "call") {
            const gate = yield* Deferred.make<void>()
            const body = Effect.acquireUseRelease(
              Effect.sync(() => {
                running++
                most = Math.max(most, running - allowed)
              }),
              () => Deferred.await(gate),
              () => Effect.sync(() => running--)
            )
            calls.push({ gate, fiber: yield* start(policy(body)) })
          } else if (action === "end" && call !== undefined) {
            yield* Deferred.succeed(call.gate, undefined)
          } else if (action === "interrupt" && call !== undefined) {
            call.fiber.interruptUnsafe()
          } else if (action === "resize") {
            // Those that have a place stay, also where they have not begun yet.
            allowed = Math.max(inspect().running, (at % 4) + 1)
            yield* resize((at % 4) + 1)
          } else if (action === "tick") {
            yield* TestClock.adjust("60 millis")
          }
          if (settles) yield* settle
          assert.isAtMost(inspect().waiting, queue)
          if (settles) assert.strictEqual(inspect().running, running)
        }
        for (const { gate } of calls) yield* Deferred.succeed(gate, undefined)
        yield* Fiber.awaitAll(calls.map(({ fiber }) => fiber))
        assert.strictEqual(most, 0, "too many ran")
        assert.deepStrictEqual([running, inspect().running, inspect().waiting], [0, 0, 0])
        // All places are there.
        const { concurrency: now } = inspect()
        yield* Effect.forEach(Array.from({ length: now }), () => start(policy(Effect.never)))
        assert.deepStrictEqual(inspect(), state(now, now, 0))
      }),
    { arbitrary: { runs: 400, size: 60 } }
  )

  describe("keyed", () => {
    it.effect("has places for each key, and forgets keys that nobody uses", () =>
      Effect.gen(function* () {
        const { keys, partition } = Bulkhead.makeKeyed({ concurrency: 1, name: "tenants" })
        const busy = yield* start(partition("a").policy(Effect.never))
        assert.strictEqual(yield* partition("b").policy(Effect.succeed("ran")), "ran")
        const error = yield* failureOf(partition("a").policy(Effect.void))
        assert.deepStrictEqual([error.key, error.reason._tag], ["a", "Full"])
        assert.include(error.message, 'the bulkhead "tenants" of "a" is full')
        assert.deepStrictEqual(keys(), ["a"])
        assert.deepStrictEqual(partition("a").inspect(), state(1, 1, 0))
        assert.deepStrictEqual(partition("b").inspect(), state(1, 0, 0))
        yield* Fiber.interrupt(busy)
        assert.deepStrictEqual(keys(), [])
      })
    )

    it.effect("200,000 keys leave nothing behind", () =>
      Effect.gen(function* () {
        const { keys, partition } = Bulkhead.makeKeyed({ concurrency: 1 })
        yield* Effect.forEach(Array.from({ length: 200_000 }), (_, key) => partition(`${key}`).policy(Effect.void), {
          discard: true
        })
        assert.deepStrictEqual(keys(), [])
      })
    )

    // A fiber yields to others every 2048 operations, wherever it stands then.
    it.effect("finds its places and enters them in one step", () =>
      Effect.gen(function* () {
        const { keys, partition } = Bulkhead.makeKeyed({ concurrency: 1, queue: 1 })
        let running = 0
        let most = 0
        const call = Effect.acquireUseRelease(
          Effect.sync(() => (most = Math.max(most, ++running))),
          () => Effect.sleep("10 millis"),
          () => Effect.sync(() => running--)
        )
        for (let operations = 2030; operations < 2055; operations++) {
          const { policy } = partition(`${operations}`)
          const gate = yield* Deferred.make<void>()
          const leaving = yield* start(policy(Deferred.await(gate)))
          const yielding = yield* Effect.forkChild(busyFor(operations, policy(call)), { startImmediately: true })
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.await(leaving)
          const later = yield* start(policy(call))
          yield* settle
          yield* TestClock.adjust("30 millis")
          yield* Fiber.awaitAll([yielding, later])
        }
        assert.strictEqual(most, 1)
        assert.deepStrictEqual(keys(), [])
      })
    )

    it.effect.prop(
      "keeps to its number, and forgets every key, at whatever operation calls are interrupted",
      [Schema.Array(Interrupted).check(Schema.isMaxLength(12))],
      ([calls]) =>
        Effect.gen(function* () {
          const { keys, partition } = Bulkhead.makeKeyed({ concurrency: 1, queue: 2 })
          const running = new Map<string, number>()
          let most = 0
          const count = (key: string, by: number) => {
            const now = (running.get(key) ?? 0) + by
            running.set(key, now)
            most = Math.max(most, now)
          }
          yield* interruptAll(calls, (ends, index) => {
            const key = `${index % 2}`
            return partition(key).policy(
              Effect.acquireUseRelease(
                Effect.sync(() => count(key, 1)),
                () => (ends ? busyFor(5, Effect.void) : Effect.never),
                () => Effect.sync(() => count(key, -1))
              )
            )
          })
          assert.isAtMost(most, 1)
          assert.deepStrictEqual(keys(), [])
        }),
      { arbitrary: { runs: 300, size: 12 } }
    )

    it.effect("resizes every key, those of later included", () =>
      Effect.gen(function* () {
        const { partition, resize } = Bulkhead.makeKeyed({ concurrency: 1, queue: 1 })
        const { inspect, policy } = partition("a")
        yield* Effect.forEach([1, 2], () => start(policy(Effect.never)))
        yield* resize(2)
        assert.deepStrictEqual([inspect(), partition("z").inspect()], [state(2, 2, 0), state(2, 0, 0)])
      })
    )
  })

  const bad: ReadonlyArray<readonly [options: object, option: string]> = [
    [{}, "concurrency"],
    [{ concurrency: 0 }, "concurrency"],
    [{ concurrency: 1.5 }, "concurrency"],
    [{ concurrency: 1, queue: -1 }, "queue"],
    [{ concurrency: 1, queue: Number.POSITIVE_INFINITY }, "queue"],
    [{ concurrency: 1, queue: 1, queueTimeout: 0 }, "queueTimeout"],
    [{ concurrency: 1, queue: 1, queueTimeout: Number.POSITIVE_INFINITY }, "queueTimeout"],
    [{ concurrency: 1, queueTimeout: "1 second" }, "queueTimeout"],
    [{ concurrency: 1, name: "" }, "name"],
    [{ concurrency: 1, maxQueue: 1 }, "maxQueue"]
  ]
  for (const [options, option] of bad) {
    it(`refuses ${JSON.stringify(options)} for "${option}"`, () => {
      for (const make of [Bulkhead.make, Bulkhead.makeKeyed, bulkhead, keyedBulkhead]) {
        assert.strictEqual(refusal(() => make(options as Bulkhead.BulkheadOptions)).option, option)
      }
    })
  }

  describe("for plain Node", () => {
    it("refuses, queues, resizes and shows its state", async () => {
      const { execute, inspect, resize } = bulkhead({ concurrency: 1, queue: 1 })
      const gate = Promise.withResolvers<string>()
      const first = execute(() => gate.promise)
      const second = execute(() => "second")
      assert.deepStrictEqual(inspect(), state(1, 1, 1))
      const error = await execute(() => "third").catch((reason: unknown) => reason)
      assert.instanceOf(error, Bulkhead.BulkheadError)
      resize(2)
      assert.strictEqual(await second, "second")
      gate.resolve("first")
      assert.strictEqual(await first, "first")
      assert.deepStrictEqual(inspect(), state(2, 0, 0))
    })

    it("a signal ends the wait at once", async () => {
      const { execute, inspect } = bulkhead({ concurrency: 1, queue: 1 })
      const gate = Promise.withResolvers<void>()
      const first = execute(() => gate.promise)
      const abort = new AbortController()
      const second = execute(() => assert.fail("it ran"), { signal: abort.signal }).catch((reason: unknown) => reason)
      abort.abort("enough")
      assert.strictEqual(await second, "enough")
      assert.deepStrictEqual(inspect(), state(1, 1, 0))
      gate.resolve()
      await first
    })

    it("has partitions", async () => {
      const { keys, partition, resize } = keyedBulkhead({ concurrency: 1 })
      const gate = Promise.withResolvers<void>()
      const first = partition("a").execute(() => gate.promise)
      assert.strictEqual(await partition("b").execute(() => "ran"), "ran")
      assert.deepStrictEqual([keys(), partition("a").inspect()], [["a"], state(1, 1, 0)])
      resize(2)
      assert.strictEqual(await partition("a").execute(() => "ran"), "ran")
      gate.resolve()
      await first
    })
  })
})
