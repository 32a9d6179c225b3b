/** What waits for what: the target, the budget and the others; and what is told of the wait. */
import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Function from "effect/Function"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"

import * as Agenda from "../src/internal/agenda.ts"
import * as Dispatcher from "../src/internal/dispatcher.ts"
import * as Runner from "../src/Runner.ts"
import { healthy, metricState, reasonOf, recorded, sick, watchable } from "./watchable.ts"

const lasting = (time: Duration.Input) => Effect.as(Effect.sleep(time), Verdict.healthy)

describe("one target", () => {
  it.effect("who waits for a check that hangs, and is given up in time, gets its own", () =>
    Effect.gen(function* () {
      const [hung, quick] = [watchable("hung", { target: "t" }), watchable("quick", { target: "t" })]
      hung.act = Effect.never
      const runner = yield* Runner.make({
        watch: [
          { probe: hung.probe, interval: "15 seconds" },
          { probe: quick.probe, interval: "15 seconds", timeout: "2 seconds" }
        ]
      })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("1 hour")
      assert.closeTo(hung.begun.length, 240, 2)
      assert.closeTo(quick.begun.length, 240, 2)
      const found = seen.filter(({ name }) => name === "quick").map(reasonOf)
      assert.deepStrictEqual([...new Set(found)], ["Healthy"])
    })
  )

  it.effect("with equal timeouts, and many that hang before it, too", () =>
    Effect.gen(function* () {
      const hung = Array.from({ length: 5 }, (_, index) => watchable(`hung ${index}`, { target: "t" }))
      for (const one of hung) one.act = Effect.never
      const quick = watchable("quick", { target: "t" })
      const runner = yield* Runner.make({ watch: [...hung, quick].map(({ probe }) => ({ probe })) })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("10 minutes")
      // One round takes five timeouts.
      assert.isAtLeast(quick.begun.length, 11)
      const found = seen.filter(({ name }) => name === "quick").map(reasonOf)
      assert.deepStrictEqual([...new Set(found)], ["Healthy"])
    })
  )

  it.effect("behind one that does not end, the wait is counted from when it was given up", () =>
    Effect.gen(function* () {
      const [hung, waits] = [watchable("hung", { target: "t" }), watchable("waits", { target: "t" })]
      hung.act = Effect.uninterruptible(Effect.never)
      const runner = yield* Runner.make({
        watch: [{ probe: hung.probe }, { probe: waits.probe, timeout: "3 seconds" }]
      })
      yield* TestClock.adjust("13 seconds")
      assert.isUndefined((yield* runner.state("waits")).last)
      yield* TestClock.adjust("200 millis")
      const { last, overdue } = yield* runner.state("waits")
      assert.strictEqual(
        reasonOf(last),
        "the check could not begin within 3000 ms: another check of its target has not ended"
      )
      assert.isFalse(overdue)
      // Who asks now waits as long, and not for ever.
      const asker = yield* Effect.forkChild(runner.check("hung"), { startImmediately: true })
      assert.isTrue((yield* runner.state("hung")).overdue)
      yield* TestClock.adjust("10 seconds")
      assert.include(reasonOf(yield* Fiber.join(asker)), "could not begin within 10000 ms")
      assert.isTrue((yield* runner.state("hung")).overdue)
      assert.deepStrictEqual([hung.begun.length, waits.begun.length], [1, 0])
    })
  )

  it.effect("who asks for what is overdue has its next check", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      subject.act = Effect.uninterruptible(lasting("15 seconds"))
      const runner = yield* Runner.make({ watch: [{ probe: subject.probe, interval: "1 minute" }] })
      yield* TestClock.adjust("11 seconds")
      subject.act = healthy
      const asker = yield* Effect.forkChild(runner.check("p"), { startImmediately: true })
      assert.isTrue((yield* runner.state("p")).overdue)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(asker)).status, "Healthy")
      assert.strictEqual(subject.begun.length, 2)
      assert.isFalse((yield* runner.state("p")).overdue)
    })
  )

  it.effect("the lag is the wait, the duration is the check, in the result and, in seconds, in metrics", () =>
    Effect.gen(function* () {
      const [first, second] = [watchable("first", { target: "t" }), watchable("second", { target: "t" })]
      first.act = lasting("3 seconds")
      second.act = lasting("2 seconds")
      const runner = yield* Runner.make({
        name: "lag",
        watch: [first, second].map(({ probe }) => ({ probe, interval: "1 minute" }))
      })
      yield* TestClock.adjust("6 seconds")
      const { last } = yield* runner.state("second")
      assert.closeTo(Duration.toMillis(last?.lag ?? 0), 3000, 2)
      assert.closeTo(Duration.toMillis(last?.duration ?? 0), 2000, 2)
      const sums = { lag: 3, duration: 5 }
      for (const [what, seconds] of Object.entries(sums)) {
        const state = (yield* metricState(`nexobot_probe_${what}_seconds`, { name: "lag" })) ?? {}
        assert.closeTo("sum" in state ? Number(state.sum) : NaN, seconds, 0.01)
      }
    })
  )
})

describe("budget", () => {
  it.effect("who waits for it is not told to be unknown, however long the checks before it take", () =>
    Effect.gen(function* () {
      const subjects = ["a", "b", "c"].map((name) => watchable(name, { target: "t" }))
      for (const one of subjects) one.act = lasting("900 millis")
      const runner = yield* Runner.make({
        watch: subjects.map(({ probe }) => ({ probe, interval: "1 second" })),
        budget: { cost: 4, per: "20 seconds" }
      })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual([...new Set(seen.map(reasonOf))], ["Healthy"])
      for (const { begun } of subjects) assert.closeTo(begun.length, (4 + 120) / 3, 3)
    })
  )

  it.effect("what rounding has lost puts nothing off once more", () =>
    Effect.gen(function* () {
      const [budget, cost, per, wait] = [4, 3.7, 20_000, 17_000]
      // Otherwise it tests nothing: so much is there after the exact time.
      assert.isBelow(budget - cost + (wait * budget) / per, cost)
      const subject = watchable("p", { cost })
      const runner = yield* Runner.make({
        watch: [{ probe: subject.probe, interval: "1 hour" }],
        budget: { cost: budget, per }
      })
      yield* TestClock.adjust("1 millis")
      const [first = 0] = subject.begun
      yield* Effect.forkScoped(runner.check("p"), { startImmediately: true })
      yield* TestClock.adjust("30 seconds")
      // The refill of that millisecond is capped, so that the whole wait begins with the question.
      assert.deepStrictEqual(subject.begun, [first, first + wait])
    })
  )
})

describe("the dispatcher", () => {
  it.effect("a defect in what follows a check does not stop the checks that wait", () =>
    Effect.gen(function* () {
      const context = yield* Effect.context()
      const agenda = Agenda.make(context, yield* Clock.Clock)
      const dispatcher = Dispatcher.make({
        agenda,
        fork: Effect.runForkWith(context),
        concurrency: 1,
        budget: undefined,
        inFlight: Function.constVoid,
        putOff: Function.constVoid
      })
      const done: Array<string> = []
      const jobOf = (name: string, lane: Dispatcher.Lane) =>
        dispatcher.job({
          lane,
          cost: 1,
          timeout: 1000,
          check: name === "hangs" ? Effect.never : lasting("10 millis"),
          done: () => {
            done.push(name)
            if (name !== "works") throw new Error("a defect")
          }
        })
      const lane = dispatcher.lane()
      const jobs = [
        jobOf("breaks", lane),
        jobOf("hangs", lane),
        jobOf("works", lane),
        jobOf("works", dispatcher.lane())
      ]
      for (const job of jobs) dispatcher.request(job, agenda.now())
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(done.toSorted(), ["breaks", "hangs", "works", "works"])
    }).pipe(Effect.provide(Logger.layer([])))
  )
})

describe("begin", () => {
  it.effect("one probe with a short interval does not make all others begin at once", () =>
    Effect.gen(function* () {
      const subjects = Array.from({ length: 2000 }, (_, index) => watchable(`p${index}`))
      const fast = watchable("fast")
      yield* Runner.make({
        watch: [
          ...subjects.map(({ probe }) => ({ probe, interval: "60 seconds" as const })),
          { probe: fast.probe, interval: "10 millis" }
        ]
      })
      for (let step = 0; step < 20; step++) yield* TestClock.adjust("10 millis")
      assert.closeTo(subjects.filter(({ begun }) => begun.length > 0).length, 200, 20)
      assert.isAtMost(fast.begun[0] ?? Infinity, 21)
    })
  )

  it.effect("a hundred and fifty thousand equal probes are one check", () =>
    Effect.gen(function* () {
      const { begun, probe } = watchable("p", { target: "t", question: 1 })
      yield* Runner.make({
        watch: Array.from({ length: 150_000 }, (_, index) => ({ probe: { ...probe, name: `p${index}` } }))
      })
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(begun.length, 1)
    })
  )

  it.effect("what a check acquires is released with it", () =>
    Effect.gen(function* () {
      let open = 0
      let acquired = 0
      const resource = Effect.acquireRelease(
        Effect.sync(() => {
          open += 1
          acquired += 1
        }),
        () => Effect.sync(() => (open -= 1))
      )
      const { probe } = watchable("p")
      const check = Effect.as(resource, Verdict.healthy)
      yield* Runner.make({ watch: [{ probe: { ...probe, check }, interval: "1 second" }] })
      yield* TestClock.adjust("10 seconds")
      assert.isAtLeast(acquired, 10)
      assert.strictEqual(open, 0)
    })
  )
})

describe("while suspect", () => {
  it.effect("jitter moves each check, as at any other time", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      subject.act = sick
      yield* Runner.make({
        watch: [{ probe: subject.probe, interval: "1 hour", suspectInterval: "10 seconds", fall: 1000 }],
        jitter: 0.3
      })
      yield* TestClock.adjust("20 minutes")
      const gaps = subject.begun.slice(1).map((at, index) => at - (subject.begun[index] ?? 0))
      assert.isAtLeast(gaps.length, 100)
      assert.isBelow(Math.min(...gaps), 8000)
      assert.isAbove(Math.max(...gaps), 12_000)
    })
  )
})
