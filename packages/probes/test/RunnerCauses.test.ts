/** Whose fault it is: what a probe depends on, our own network, or its target; and what counts once. */
import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as Runner from "../src/Runner.ts"
import { healthy, metric, reasonOf, recorded, Sick, sick, watchable } from "./watchable.ts"

const silent = Effect.succeed(Verdict.inconclusive("no permission"))

describe("dependencies", () => {
  const family = Effect.gen(function* () {
    const [parent, child] = [watchable("parent"), watchable("child")]
    const runner = yield* Runner.make({
      watch: [{ probe: parent.probe }, { probe: child.probe, dependsOn: ["parent"] }]
    })
    yield* TestClock.adjust("30 seconds")
    return { parent, child, runner, cause: Effect.map(runner.state("child"), (one) => one.suppressedBy) }
  })

  it.effect("a parent that says nothing is no cause, whether its failure was certain or not", () =>
    Effect.gen(function* () {
      const { cause, child, parent, runner } = yield* family
      parent.act = sick
      yield* runner.check("parent")
      parent.act = silent
      yield* runner.check("parent")
      child.act = sick
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* runner.state("child"), { status: "Unhealthy", suppressedBy: undefined })
      parent.act = sick
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* cause, "parent")
      parent.act = silent
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(yield* cause)
    })
  )

  it.effect("the cause is told until the child has risen, also when the parent has before", () =>
    Effect.gen(function* () {
      const { cause, child, parent, runner } = yield* family
      parent.act = sick
      yield* runner.check("parent")
      child.act = sick
      yield* TestClock.adjust("1 minute")
      const seen = yield* recorded(runner)
      parent.act = healthy
      for (let count = 0; count < 2; count++) yield* runner.check("parent")
      assert.strictEqual((yield* runner.state("parent")).status, "Healthy")
      // Not looked at since.
      assert.strictEqual(yield* cause, "parent")
      // It takes a moment until it works, too.
      assert.strictEqual((yield* runner.check("child")).suppressedBy, "parent")
      child.act = healthy
      seen.length = 0
      yield* TestClock.adjust("1 minute")
      const told = seen.filter(({ name }) => name === "child").map((one) => `${one.status} ${one.suppressedBy}`)
      assert.deepStrictEqual([...new Set(told)], ["Unhealthy parent", "Healthy undefined"])
      assert.isUndefined(yield* cause)
      // What fails then is its own.
      child.act = sick
      assert.isUndefined((yield* runner.check("child")).suppressedBy)
    })
  )

  it.effect("who fails on when its parent works fails by itself, when that is certain", () =>
    Effect.gen(function* () {
      const { cause, child, parent, runner } = yield* family
      parent.act = sick
      yield* runner.check("parent")
      child.act = sick
      yield* TestClock.adjust("1 minute")
      parent.act = healthy
      for (let count = 0; count < 2; count++) yield* runner.check("parent")
      const told: Array<string | undefined> = []
      for (let count = 0; count < 4; count++) told.push((yield* runner.check("child")).suppressedBy)
      assert.deepStrictEqual(told, ["parent", "parent", undefined, undefined])
      assert.isUndefined(yield* cause)
    })
  )
})

describe("the connectivity gate", () => {
  it.effect("a combination with a part on this machine is not excused; one that leaves it is", () =>
    Effect.gen(function* () {
      const gate = watchable("gate")
      gate.act = sick
      const [near, far] = [watchable("near"), watchable("far", { reach: "network" })]
      near.act = sick
      const runner = yield* Runner.make({
        watch: [
          { probe: Probe.all("mixed", [near.probe, far.probe]), fall: 1 },
          { probe: Probe.any("either", [Probe.map(near.probe, near.probe.reports, (one) => one), far.probe]), fall: 1 }
        ],
        connectivity: gate.probe
      })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* runner.state("mixed")).status, "Unhealthy")
      assert.strictEqual((yield* runner.state("either")).status, "Healthy")
      far.act = sick
      assert.include(reasonOf(yield* runner.check("either")), "own network is lost")
    })
  )

  /** Two things beyond this machine, and how often the gate was asked. */
  const asked = Effect.gen(function* () {
    const gate = watchable("gate")
    const [one, two] = [watchable("one", { reach: "network" }), watchable("two", { reach: "network" })]
    const runner = yield* Runner.make({
      watch: [one, two].map(({ probe }) => ({ probe, fall: 1, interval: "1 minute" as const })),
      connectivity: gate.probe
    })
    yield* TestClock.adjust("5 seconds")
    one.act = sick
    two.act = sick
    return { gate, one, two, runner }
  })

  it.effect("that the network was there before a check says nothing of its failure", () =>
    Effect.gen(function* () {
      const { gate, runner } = yield* asked
      assert.strictEqual((yield* runner.check("one")).status, "Unhealthy")
      gate.act = sick
      yield* TestClock.adjust("500 millis")
      assert.include(reasonOf(yield* runner.check("two")), "own network is lost")
      assert.strictEqual(gate.begun.length, 2)
    })
  )

  it.effect("that it was there while a check was under way does", () =>
    Effect.gen(function* () {
      const { gate, runner, two } = yield* asked
      two.act = Effect.andThen(Effect.sleep("500 millis"), sick)
      yield* Effect.forkScoped(runner.check("two"), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      yield* runner.check("one")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* runner.state("two")).status, "Unhealthy")
      assert.strictEqual(gate.begun.length, 1)
    })
  )

  it.effect("what shows that it is lost is told in short, and without secrets", () =>
    Effect.gen(function* () {
      const { gate, runner } = yield* asked
      gate.act = Effect.succeed(Verdict.unhealthy(new Sick(), [`with hunter2-hunter2 ${"x".repeat(1000)}`]))
      const reason = reasonOf(yield* runner.check("one"))
      assert.include(reason, "own network is lost: with ")
      assert.notInclude(reason, "hunter2")
      assert.isBelow(reason.length, 250)
    }).pipe(Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-hunter2"])))
  )

  it.effect("that it is lost holds for a second, and no longer", () =>
    Effect.gen(function* () {
      const { gate, runner } = yield* asked
      gate.act = sick
      yield* runner.check("one")
      gate.act = healthy
      yield* TestClock.adjust("900 millis")
      assert.include(reasonOf(yield* runner.check("two")), "own network is lost")
      assert.strictEqual(gate.begun.length, 1)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual((yield* runner.check("two")).status, "Unhealthy")
      assert.strictEqual(gate.begun.length, 2)
    })
  )
})

describe("timeouts", () => {
  it.effect("a probe has the time in which it can say itself that its target does not answer", () =>
    Effect.gen(function* () {
      const hung = watchable("hung", { timeout: "20 seconds" })
      hung.act = Effect.timeoutOrElse(Effect.never, { duration: "20 seconds", orElse: () => sick })
      const runner = yield* Runner.make({ watch: [{ probe: hung.probe, interval: "30 seconds" }] })
      yield* TestClock.adjust("21 seconds")
      assert.strictEqual(reasonOf((yield* runner.state("hung")).last), "Unhealthy")
    })
  )
})

describe("results", () => {
  it.effect("what was known before a subscription is marked, and new results are not", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      const runner = yield* Runner.make({ watch: [{ probe: subject.probe }] })
      yield* TestClock.adjust("1 second")
      for (let count = 0; count < 2; count++) {
        const [first] = yield* Stream.runCollect(Stream.take(runner.results, 1))
        assert.deepInclude(first, { name: "p", replayed: true })
      }
      const seen = yield* recorded(runner)
      assert.isFalse((yield* runner.check("p")).replayed)
      yield* Effect.yieldNow
      assert.deepStrictEqual(
        seen.map(({ replayed }) => replayed),
        [true, false]
      )
      assert.strictEqual((yield* runner.state("p")).last?.replayed, false)
    })
  )
})

describe("metrics", () => {
  it.effect("of two runners with one name, the last that ends removes the status of a probe", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      const begin = Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Runner.make({ name: "twice", watch: [{ probe: subject.probe }] }).pipe(Scope.provide(scope))
        yield* TestClock.adjust("1 second")
        return Scope.close(scope, Exit.void)
      })
      const status = metric("nexobot_probe_status", { name: "twice", probe: "p" })
      const [endFirst, endSecond] = [yield* begin, yield* begin]
      yield* endFirst
      assert.strictEqual(yield* status, 1)
      yield* endSecond
      assert.isUndefined(yield* status)
    })
  )
})
