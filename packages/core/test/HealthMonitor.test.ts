import * as Http from "node:http"

import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import type * as Alerts from "../src/Alerts.ts"
import * as HealthMonitor from "../src/HealthMonitor.ts"
import { healthMonitor } from "../src/internal/promise/healthMonitor.ts"
import * as Maintenance from "../src/Maintenance.ts"
import { OptionError } from "../src/Options.ts"
import * as Verdict from "../src/Verdict.ts"
import { OutOfMemory } from "./fixture.ts"
import { child, eventually, exitOf, fixture, refusal } from "./support.ts"

const broken = Verdict.unhealthy(new OutOfMemory({ rss: 1 }), ["it is full"])
const verdicts = { U: Verdict.healthy, D: broken, I: Verdict.inconclusive("nobody knows") } as const
type Letter = keyof typeof verdicts

/** A monitor with everything that it tells, in short, and checks of one second. */
const watch = Effect.fnUntraced(function* (options: HealthMonitor.HealthMonitorOptions) {
  const monitor = yield* HealthMonitor.make(options)
  const told: Array<string> = []
  const decide = monitor.decide((decision) =>
    Effect.sync(() => {
      for (const { target, why } of decision.resolve) told.push(`-${target} ${why}`)
      for (const { target } of decision.raise) told.push(`+${target}`)
    })
  )
  let repairs = 0
  /** One check a second: U is up, D is down, I is inconclusive. */
  const check = Effect.fnUntraced(function* (letters: string, target = "api") {
    for (const letter of letters) {
      yield* monitor.record(target, verdicts[letter as Letter])
      yield* decide
      if ((yield* monitor.inspect(target)).mayRepair) repairs += 1
      yield* TestClock.adjust("1 second")
    }
  })
  return { monitor, told, decide, check, repairs: () => repairs }
})

/** No grace, so that the first failure counts. */
const now = { readiness: { grace: 0 } } as const
const api = { targets: { api: {} }, ...now }

describe("one target", () => {
  it.effect(
    "acceptance(core-and-probes 9): UDUDUD with fall 3, rise 2: no alert, the flap score rises",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch({ ...api, fall: 3, rise: 2 })
      let last = -1
      for (const [index, letter] of Array.from("UDUDUDUD").entries()) {
        yield* check(letter)
        const { flapping, score, status } = yield* monitor.inspect("api")
        if (index > 0) assert.isAbove(score, last)
        last = score
        assert.strictEqual(status, "Healthy")
        assert.strictEqual(flapping, index >= 5)
      }
      assert.isAbove(last, 5)
      assert.deepStrictEqual(told, [])
      assert.strictEqual(repairs(), 0)
      // The same failures in a row are told.
      yield* check("DDD")
      assert.deepStrictEqual(told, ["+api"])
    })
  )

  it.effect(
    "is told after fall, and taken back after rise and the hold-down",
    Effect.fnUntraced(function* () {
      const { check, monitor, told } = yield* watch({ ...api, fall: 2, rise: 3, flap: { holdDown: 0 } })
      yield* check("UD")
      assert.deepStrictEqual(told, [])
      yield* check("D")
      assert.deepStrictEqual(told, ["+api"])
      assert.deepStrictEqual(yield* monitor.alerts, [{ id: 1, target: "api", since: 2000 }])
      yield* check("UU")
      assert.strictEqual((yield* monitor.inspect("api")).status, "Unhealthy")
      yield* check("U")
      assert.deepStrictEqual(told, ["+api", "-api Recovered"])
      const { alert, status } = yield* monitor.inspect("api")
      assert.deepStrictEqual([status, alert, yield* monitor.alerts], ["Healthy", undefined, []])
    })
  )

  it.effect(
    "falls after 3 and rises after 2 unless told",
    Effect.fnUntraced(function* () {
      const { check, told } = yield* watch({ ...api, flap: { holdDown: 0 } })
      yield* check("DD")
      assert.deepStrictEqual(told, [])
      yield* check("DU")
      assert.deepStrictEqual(told, ["+api"])
      yield* check("U")
      assert.deepStrictEqual(told, ["+api", "-api Recovered"])
    })
  )

  it.effect(
    "that has flapped has to be good for longer, and is repaired only when it stays bad",
    Effect.fnUntraced(function* () {
      const calm = yield* watch({ ...api, fall: 2, rise: 2, flap: { holdDown: "3 seconds" } })
      yield* calm.check("DDUUUUU")
      assert.deepStrictEqual(calm.told, ["+api"])
      yield* calm.check("U")
      assert.strictEqual(calm.repairs(), 1)
      assert.deepStrictEqual(calm.told, ["+api", "-api Recovered"])

      const { check, monitor, repairs, told } = yield* watch({
        ...api,
        fall: 2,
        rise: 2,
        flap: { holdDown: "3 seconds" }
      })
      yield* check("DUDUDUDD")
      assert.deepStrictEqual(told, ["+api"])
      const { flapping, spared, status } = yield* monitor.inspect("api")
      assert.deepStrictEqual([status, flapping, spared, repairs()], ["Unhealthy", true, "Flapping", 0])
      // The score is almost 6, so it takes almost 24 seconds.
      yield* check("D".repeat(20))
      assert.strictEqual(repairs(), 0)
      yield* check("D".repeat(6))
      assert.isAbove(repairs(), 0)
      yield* check("U".repeat(20))
      assert.deepStrictEqual(told, ["+api"])
      assert.strictEqual((yield* monitor.inspect("api")).status, "Unhealthy")
      yield* check("U".repeat(20))
      assert.deepStrictEqual(told, ["+api", "-api Recovered"])
    })
  )

  it.effect(
    "that nobody can tell of shows as unknown and moves nothing",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch({ ...api, fall: 2, rise: 1, flap: { holdDown: 0 } })
      yield* check("UDIIIII")
      const before = yield* monitor.inspect("api")
      assert.deepStrictEqual([before.status, before.verdict, told], ["Unknown", verdicts.I, []])
      yield* check("D")
      assert.deepStrictEqual([told, repairs()], [["+api"], 1])
      yield* check("IIIIII")
      assert.deepStrictEqual([told, repairs()], [["+api"], 1])
      yield* check("U")
      assert.deepStrictEqual(told, ["+api", "-api Recovered"])
    })
  )

  it.effect(
    "that does not exist is a defect that names it",
    Effect.fnUntraced(function* () {
      const monitor = yield* HealthMonitor.make(api)
      const exit = yield* Effect.exit(monitor.record("stranger", broken))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "stranger")
    })
  )

  it.effect(
    "is unharmed by what is no verdict, which is a defect that says so",
    Effect.fnUntraced(function* () {
      const { check, monitor } = yield* watch(api)
      yield* check("UD")
      const before = yield* monitor.inspect("api")
      const strange: ReadonlyArray<unknown> = [
        { _tag: "Nope" },
        {},
        undefined,
        null,
        "Healthy",
        { _tag: "Unhealthy" },
        { _tag: "Degraded", signature: "slow" },
        { _tag: "Unhealthy", signature: { why: "?" } }
      ]
      for (const verdict of strange) {
        const exit = yield* Effect.exit(monitor.record("api", verdict as never))
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(error, OptionError)
        assert.strictEqual(error.option, "verdict")
      }
      assert.deepStrictEqual(yield* monitor.inspect("api"), { ...before, score: (yield* monitor.inspect("api")).score })
      yield* check("U")
      assert.strictEqual((yield* monitor.inspect("api")).status, "Healthy")
    })
  )
})

describe("starting, draining, stopping", () => {
  const deploy = {
    targets: { api: {} },
    fall: 1,
    rise: 1,
    readiness: { grace: "10 seconds", drain: "5 seconds" }
  } as const

  it.effect(
    "acceptance(core-and-probes 15): failures within the grace and the drain raise nothing and repair nothing",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch(deploy)
      yield* check("DDDDDDDDDD".slice(1))
      const { health, status, verdict } = yield* monitor.inspect("api")
      assert.deepStrictEqual([status, verdict, health.failures], ["Unknown", broken, 0])
      assert.strictEqual(health.inconclusive, "OutOfMemory while starting")
      yield* check("U")
      yield* monitor.draining("api")
      yield* check("DDDDD")
      yield* monitor.starting("api")
      yield* check("DDDDDDDDDUUU")
      assert.deepStrictEqual([told, repairs()], [[], 0])
      const { flapping, readiness, score } = yield* monitor.inspect("api")
      assert.deepStrictEqual([readiness, score, flapping], ["Ready", 0, false])
      // With neither to excuse it, the first failure counts.
      yield* check("D")
      assert.deepStrictEqual([told, repairs()], [["+api"], 1])
    })
  )

  it.effect(
    "a start or a drain that takes too long is told",
    Effect.fnUntraced(function* () {
      const start = yield* watch(deploy)
      yield* start.check("DDDDDDDDDD")
      assert.deepStrictEqual(start.told, [])
      yield* start.check("D")
      assert.deepStrictEqual(start.told, ["+api"])
      const drain = yield* watch(deploy)
      yield* drain.check("U")
      yield* drain.monitor.draining("api")
      yield* drain.check("DDDDD")
      assert.deepStrictEqual(drain.told, [])
      yield* drain.check("D")
      assert.deepStrictEqual(drain.told, ["+api"])
    })
  )

  it.effect(
    "what was told stays told over a restart, until it works",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch({ ...deploy, fall: 2, flap: { holdDown: "1 second" } })
      yield* check("UDD")
      assert.deepStrictEqual([told, repairs()], [["+api"], 1])
      yield* monitor.starting("api")
      yield* check("DDD")
      assert.strictEqual((yield* monitor.inspect("api")).alert?.id, 1)
      yield* check("UUUU")
      assert.deepStrictEqual([told, repairs()], [["+api", "-api Recovered"], 1])
    })
  )

  it.effect(
    "a repair that did not help has to be seen failing anew before the next",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch({ ...deploy, fall: 2 })
      yield* check("UDD")
      assert.strictEqual(repairs(), 1)
      yield* monitor.starting("api")
      // The grace, and one failure.
      yield* check("DDDDDDDDDDD")
      assert.strictEqual(repairs(), 1)
      yield* check("D")
      assert.deepStrictEqual([told, repairs()], [["+api"], 2])
    })
  )

  it.effect(
    "what was stopped on request is left alone, and starts afresh",
    Effect.fnUntraced(function* () {
      const { check, monitor, repairs, told } = yield* watch(deploy)
      yield* check("UD")
      yield* monitor.stopped("api")
      yield* check("DDDDDDDDDDDDDDDDDDDD")
      assert.deepStrictEqual([told, repairs()], [["+api", "-api Stopped"], 1])
      yield* monitor.starting("api")
      yield* check("DDD")
      assert.strictEqual((yield* monitor.inspect("api")).status, "Unknown")
      yield* check("U")
      assert.strictEqual((yield* monitor.inspect("api")).status, "Healthy")
      assert.strictEqual(told.length, 2)
    })
  )
})

interface Answer {
  readonly status: number | undefined
  readonly body: string
}

const get = (port: number, path: string) =>
  Effect.callback<Answer, Error>((resume, signal) => {
    Http.get({ host: "127.0.0.1", port, path, agent: false, signal }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk))
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode, body })))
    }).on("error", (error) => resume(Effect.fail(error)))
  })

describe("a real server", () => {
  it.live(
    "acceptance(core-and-probes 15): rolling deploy: at SIGTERM it is not ready and alive, and nobody is told",
    Effect.fnUntraced(function* () {
      const monitor = yield* HealthMonitor.make({ targets: { old: {}, other: {} }, fall: 1, rise: 1 })
      const told: Array<Alerts.Decision> = []
      /** What a prober would do. */
      const probe = Effect.fnUntraced(function* (port: number, target: string) {
        const answer = yield* Effect.option(get(port, "/healthz"))
        yield* monitor.record(target, answer._tag === "Some" && answer.value.status === 200 ? Verdict.healthy : broken)
        yield* monitor.decide((decision) => Effect.sync(() => told.push(decision)))
        return (yield* monitor.inspect(target)).mayRepair
      })

      const server = yield* child([fixture("drain-server.mjs")])
      const port = Number(server.line)
      assert.deepStrictEqual(yield* get(port, "/healthz"), { status: 200, body: "ready" })
      assert.deepStrictEqual(yield* get(port, "/readyz"), { status: 200, body: "ready" })
      assert.isFalse(yield* probe(port, "old"))
      const work = yield* Effect.forkChild(get(port, "/work"), { startImmediately: true })

      yield* monitor.draining("old")
      server.process.kill("SIGTERM")
      const ready = yield* eventually(
        "it is not ready any more",
        Effect.map(get(port, "/readyz"), (answer) => (answer.status === 503 ? answer : undefined))
      )
      assert.deepStrictEqual(ready, { status: 503, body: "draining" })
      assert.deepStrictEqual(yield* get(port, "/healthz"), { status: 200, body: "draining" })
      assert.isFalse(yield* probe(port, "old"))
      // It finishes what it has begun.
      yield* get(port, "/finish")
      assert.deepStrictEqual(yield* Fiber.join(work), { status: 200, body: "done" })
      assert.strictEqual(yield* exitOf(server), 0)
      // It is gone before its drain is over: that is no outage.
      for (let times = 0; times < 5; times += 1) assert.isFalse(yield* probe(port, "old"))
      assert.deepStrictEqual([told, (yield* monitor.inspect("old")).verdict?._tag], [[], "Unhealthy"])

      const next = yield* child([fixture("drain-server.mjs")])
      yield* monitor.starting("old")
      assert.isFalse(yield* probe(Number(next.line), "old"))
      assert.strictEqual((yield* monitor.inspect("old")).status, "Healthy")
      assert.deepStrictEqual(told, [])

      // One that nobody announced is an outage.
      assert.isFalse(yield* probe(Number(next.line), "other"))
      next.process.kill("SIGKILL")
      yield* exitOf(next)
      assert.isTrue(yield* probe(Number(next.line), "other"))
      assert.deepStrictEqual(
        told.flatMap(({ raise }) => raise.map(({ target }) => target)),
        ["other"]
      )
    }),
    60_000
  )
})

describe("many targets", () => {
  const family = { targets: { db: {}, api: { dependsOn: ["db"] } }, fall: 1, rise: 1, flap: { holdDown: 0 }, ...now }

  it.effect(
    "what fails because of its parent is recorded, and neither told nor repaired",
    Effect.fnUntraced(function* () {
      const { check, decide, monitor, told } = yield* watch(family)
      yield* monitor.record("api", broken)
      yield* monitor.record("db", broken)
      yield* decide
      assert.deepStrictEqual(told, ["+db"])
      const { mayRepair, spared, status } = yield* monitor.inspect("api")
      assert.deepStrictEqual([status, mayRepair, spared], ["Unhealthy", false, "Parent"])
      assert.isTrue((yield* monitor.inspect("db")).mayRepair)
      yield* check("U", "db")
      assert.strictEqual((yield* monitor.inspect("api")).spared, "HoldDown")
      yield* check("D".repeat(9))
      assert.strictEqual((yield* monitor.inspect("api")).spared, "HoldDown")
      yield* check("D")
      assert.isTrue((yield* monitor.inspect("api")).mayRepair)
    })
  )

  it.effect(
    "is repaired when nothing is known any more of its parent, which was not certain to fail; is not when it was",
    Effect.fnUntraced(function* () {
      const { monitor } = yield* watch({ ...family, fall: 2, holdDown: 0 })
      const spared = Effect.map(monitor.inspect("api"), (one) => one.spared)
      yield* monitor.record("api", broken)
      yield* monitor.record("api", broken)
      yield* monitor.record("db", broken)
      assert.strictEqual(yield* spared, "Parent")
      yield* monitor.record("db", Verdict.inconclusive("no permission"))
      assert.notStrictEqual(yield* spared, "Parent")
      yield* monitor.record("db", broken)
      yield* monitor.record("db", Verdict.inconclusive("no permission"))
      assert.strictEqual(yield* spared, "Parent")
    })
  )

  it.effect(
    "is not repaired for its parent's failure, whichever is confirmed first",
    Effect.fnUntraced(function* () {
      const { check, decide, monitor, told } = yield* watch({ ...family, fall: 3, holdDown: "3 seconds" })
      const repairs = () => Effect.map(monitor.inspect("api"), ({ mayRepair, spared }) => [mayRepair, spared])
      yield* check("U", "db")
      // Its parent is checked seldom, and not seen to fail yet.
      yield* check("UDDD")
      assert.deepStrictEqual(yield* repairs(), [false, "HoldDown"])
      yield* monitor.record("db", broken)
      yield* check("DDDDD")
      assert.deepStrictEqual([yield* repairs(), (yield* monitor.inspect("db")).health.failures], [[false, "Parent"], 1])
      yield* monitor.record("db", broken)
      yield* monitor.record("db", broken)
      yield* decide
      assert.deepStrictEqual(yield* repairs(), [false, "Parent"])
      yield* monitor.record("db", Verdict.healthy)
      yield* decide
      assert.deepStrictEqual(yield* repairs(), [false, "HoldDown"])
      yield* check("DDDDD")
      assert.deepStrictEqual(yield* repairs(), [true, undefined])
      // A repair that did not help is not held down again.
      yield* monitor.starting("api")
      yield* check("DDD")
      assert.deepStrictEqual(yield* repairs(), [true, undefined])
      assert.include(told, "+api")
    })
  )

  it.effect(
    "a good check that is not enough to recover is no failure after its parent is back",
    Effect.fnUntraced(function* () {
      const { check, monitor, told } = yield* watch({ ...family, rise: 2 })
      yield* monitor.record("db", broken)
      yield* check("D")
      yield* check("UU", "db")
      yield* check("U")
      yield* check("I".repeat(20))
      assert.deepStrictEqual(told, ["+db", "-db Recovered"])
      yield* check("D")
      assert.deepStrictEqual(told, ["+db", "-db Recovered", "+api"])
    })
  )

  it.effect(
    "the hold-down is that of the options, or of the target",
    Effect.fnUntraced(function* () {
      const usual = yield* watch(family)
      yield* usual.check("D".repeat(10))
      assert.deepStrictEqual(usual.told, [])
      yield* usual.check("D")
      assert.deepStrictEqual(usual.told, ["+api"])
      const short = yield* watch({ ...family, holdDown: "1 second" })
      yield* short.check("DD")
      assert.deepStrictEqual(short.told, ["+api"])
      const own = yield* watch({ ...family, targets: { db: {}, api: { dependsOn: ["db"], holdDown: 0 } } })
      yield* own.check("D")
      assert.deepStrictEqual(own.told, ["+api"])
    })
  )

  it.effect(
    "what alternates after its parent is back is told while a check shows it, not while it is good",
    Effect.fnUntraced(function* () {
      const { check, monitor, told } = yield* watch({
        ...family,
        flap: { holdDown: "1 minute" },
        holdDown: "20 seconds"
      })
      yield* monitor.record("db", broken)
      yield* check("D")
      // A minute, and more for the outage.
      yield* check("U".repeat(90), "db")
      yield* check("UDUDUD")
      yield* check("U".repeat(20))
      assert.deepStrictEqual([told, (yield* monitor.inspect("api")).status], [["+db", "-db Recovered"], "Unhealthy"])
      yield* check("D")
      assert.deepStrictEqual(told, ["+db", "-db Recovered", "+api"])
    })
  )
})

describe("maintenance", () => {
  // The test clock begins in 1970.
  const window = Maintenance.once({ from: 5000, to: 10_000 })
  const many = { targets: { api: {}, db: {} }, fall: 1, rise: 1, flap: { holdDown: 0 }, ...now }

  for (const [whose, options] of [
    ["of all", { ...many, maintenance: [window] }],
    ["of one target", { ...many, targets: { api: { maintenance: [window] }, db: {} } }]
  ] as const) {
    it.effect(
      `${whose}: what fails is recorded, and told when it ends if it still does`,
      Effect.fnUntraced(function* () {
        const { check, decide, monitor, repairs, told } = yield* watch(options)
        yield* check("UUUUU")
        yield* check("DUDDD")
        const { spared, status } = yield* monitor.inspect("api")
        assert.deepStrictEqual([told, repairs(), status, spared], [[], 0, "Unhealthy", undefined])
        yield* decide
        assert.deepStrictEqual(told, ["+api"])
      })
    )

    it.effect(
      `${whose}: what works again when it ends was never told`,
      Effect.fnUntraced(function* () {
        const { check, monitor, told } = yield* watch(options)
        yield* check("UUUUUDDD")
        assert.strictEqual((yield* monitor.inspect("api")).spared, "Maintenance")
        yield* check("UUUU")
        assert.deepStrictEqual(told, [])
      })
    )
  }

  it.effect(
    "of one target is not of another",
    Effect.fnUntraced(function* () {
      const { check, told } = yield* watch({ ...many, targets: { api: { maintenance: [window] }, db: {} } })
      yield* check("UUUUUU")
      yield* check("D", "db")
      assert.deepStrictEqual(told, ["+db"])
    })
  )

  it.effect(
    "is looked at anew when the wall clock is set back",
    Effect.fnUntraced(function* () {
      const { check, repairs, told } = yield* watch({ ...many, maintenance: [window] })
      yield* TestClock.setTime(20_000)
      yield* check("D", "db")
      assert.deepStrictEqual([told, repairs()], [["+db"], 1])
      yield* TestClock.setTime(6000)
      yield* check("DD")
      assert.deepStrictEqual([told, repairs()], [["+db"], 1])
    })
  )
})

const ids = ({ raise, resolve }: Alerts.Decision) => [raise.map(({ id }) => id), resolve.map(({ id }) => id)]

/** The figures of one monitor. */
const values = (name: string) =>
  Effect.map(Metric.snapshot, (all) =>
    Object.fromEntries(
      all
        .filter(({ attributes, id }) => id.startsWith("nexobot_health_") && attributes?.["name"] === name)
        .map(({ id, state }) => [
          id.slice("nexobot_health_".length),
          "count" in state ? state.count : "value" in state ? state.value : undefined
        ])
    )
  )

describe("telling", () => {
  const quick = { ...api, fall: 1, rise: 1, flap: { holdDown: 0 } }

  it.effect(
    "that fails is done again, the same, before anything new",
    Effect.fnUntraced(function* () {
      const monitor = yield* HealthMonitor.make(quick)
      yield* monitor.record("api", broken)
      const failed = yield* Effect.flip(monitor.decide(() => Effect.fail("no network")))
      assert.strictEqual(failed, "no network")
      yield* monitor.record("api", Verdict.healthy)
      const told: Array<Alerts.Decision> = []
      const tell = (decision: Alerts.Decision) => Effect.sync(() => told.push(decision))
      yield* monitor.decide(tell)
      assert.deepStrictEqual(told.map(ids), [
        [[1], []],
        [[], [1]]
      ])
      yield* monitor.decide(tell)
      assert.strictEqual(told.length, 2)
    })
  )

  it.effect(
    "that is interrupted is done again",
    Effect.fnUntraced(function* () {
      const monitor = yield* HealthMonitor.make(quick)
      yield* monitor.record("api", broken)
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        monitor.decide(() => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      const told: Array<Alerts.Decision> = []
      yield* monitor.decide((decision) => Effect.sync(() => told.push(decision)))
      assert.deepStrictEqual(told.map(ids), [[[1], []]])
    })
  )

  it.effect(
    "is done one decision at a time, and what is recorded meanwhile is not lost",
    Effect.fnUntraced(function* () {
      const monitor = yield* HealthMonitor.make(quick)
      yield* monitor.record("api", broken)
      const gate = yield* Deferred.make<void>()
      const told: Array<Alerts.Decision> = []
      const slow = yield* Effect.forkChild(
        monitor.decide((decision) =>
          Effect.andThen(
            Deferred.await(gate),
            Effect.sync(() => told.push(decision))
          )
        ),
        { startImmediately: true }
      )
      yield* monitor.record("api", Verdict.healthy)
      const quickly = yield* Effect.forkChild(
        monitor.decide((decision) => Effect.sync(() => told.push(decision))),
        { startImmediately: true }
      )
      assert.deepStrictEqual(told, [])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(slow)
      yield* Fiber.join(quickly)
      assert.deepStrictEqual(told.map(ids), [
        [[1], []],
        [[], [1]]
      ])
    })
  )

  it.effect(
    "is counted, in the name of the monitor",
    Effect.fnUntraced(function* () {
      const { check, monitor } = yield* watch({
        ...quick,
        targets: { db: {}, api: { dependsOn: ["db"] } },
        name: "counted"
      })
      yield* monitor.record("db", broken)
      yield* check("D")
      assert.deepStrictEqual(yield* values("counted"), { raised: 1, resolved: 0, failing: 2, suppressed: 1 })
      yield* monitor.record("db", Verdict.healthy)
      yield* check("U")
      assert.deepStrictEqual(yield* values("counted"), { raised: 1, resolved: 1, failing: 0, suppressed: 0 })
      const before = (yield* values("health"))["raised"]
      yield* (yield* watch(quick)).check("D")
      assert.strictEqual((yield* values("health"))["raised"], Number(before ?? 0) + 1)
    })
  )
})

const raisedBy = (decisions: ReadonlyArray<Alerts.Decision>) => decisions.flatMap(({ raise }) => raise)

const History = Schema.Array(
  Schema.Tuple([
    Schema.Literals(["db", "api", "web"]),
    Schema.Literals(["U", "D", "D", "I", "starting", "draining", "stopped", "fail"]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8000 }))
  ])
).check(Schema.isMaxLength(60))

it.effect.prop(
  "any history: every alert that arrives is taken back once, whatever fails on the way, and inconclusive checks change nothing told",
  [History],
  ([history]) =>
    Effect.gen(function* () {
      const options: HealthMonitor.HealthMonitorOptions = {
        targets: { db: {}, api: { dependsOn: ["db"] }, web: { dependsOn: ["api"] } },
        fall: 2,
        rise: 2,
        readiness: { grace: "5 seconds", drain: "5 seconds" },
        holdDown: "3 seconds"
      }
      const monitor = yield* HealthMonitor.make(options)
      const conclusive = yield* HealthMonitor.make(options)
      const open = new Map<number, string>()
      const told: Array<Alerts.Decision> = []
      const others: Array<Alerts.Decision> = []
      const tell = (decision: Alerts.Decision) =>
        Effect.sync(() => {
          told.push(decision)
          for (const { id, target } of decision.resolve) {
            assert.strictEqual(open.get(id), target)
            open.delete(id)
          }
          for (const { id, target } of decision.raise) open.set(id, target)
        })
      const tellOther = (decision: Alerts.Decision) => Effect.sync(() => others.push(decision))
      for (const [target, what, pause] of history) {
        yield* TestClock.adjust(pause)
        if (what === "starting" || what === "draining" || what === "stopped") {
          yield* monitor[what](target)
          yield* conclusive[what](target)
        } else if (what !== "fail") {
          yield* monitor.record(target, verdicts[what])
          if (what !== "I") yield* conclusive.record(target, verdicts[what])
        }
        if (what === "fail") yield* Effect.ignore(monitor.decide(() => Effect.fail("no network")))
        else yield* monitor.decide(tell)
        yield* conclusive.decide(tellOther)
        if (what !== "fail") {
          assert.deepStrictEqual(
            (yield* monitor.alerts).map(({ id }) => id),
            [...open.keys()].toSorted((a, b) => a - b)
          )
        }
      }
      for (const target of ["db", "api", "web"]) yield* monitor.stopped(target)
      yield* monitor.decide(tell)
      assert.strictEqual(open.size, 0)
      yield* conclusive.decide(tellOther)
      assert.deepStrictEqual(raisedBy(told), raisedBy(others))
    }),
  { arbitrary: { runs: 150, size: 60 } }
)

describe("options", () => {
  const bad: ReadonlyArray<readonly [module: string, option: string, options: object]> = [
    ["HealthMonitor", "name", { name: "" }],
    ["HealthMonitor", "fall", { fall: 0 }],
    ["HealthMonitor", "fall", { fall: 1.5 }],
    ["HealthMonitor", "rise", { rise: 0 }],
    ["HealthMonitor", "maintenance", { maintenance: ["Sunday"] }],
    ["HealthMonitor", "maintenance", { maintenance: [{ _tag: "Recurring" }] }],
    ["HealthMonitor", "maintenance", { maintenance: null }],
    ["HealthMonitor", "targets", { targets: undefined }],
    ["HealthMonitor", "targets", { targets: ["api"] }],
    ["HealthMonitor", "targets", { targets: "api" }],
    ["HealthMonitor", "targets.api", { targets: { api: null } }],
    ["HealthMonitor", "targets.api", { targets: { api: [] } }],
    ["HealthMonitor", "flap", { flap: 3 }],
    ["HealthMonitor", "flap", { flap: null }],
    ["HealthMonitor", "readiness", { readiness: "x" }],
    ["HealthMonitor", "readiness", { readiness: null }],
    ["HealthMonitor", "targets.api.maintenance", { targets: { api: { maintenance: "Sunday" } } }],
    ["HealthMonitor", "falls", { falls: 1 }],
    ["Alerts", "holdDown", { holdDown: -1 }],
    ["Alerts", "targets.api.parents", { targets: { api: { parents: [] } } }],
    ["Flap", "suppress", { flap: { suppress: 0 } }],
    ["Readiness", "grace", { readiness: { grace: "soon" } }]
  ]
  for (const [module, option, options] of bad) {
    it(`${JSON.stringify(options)} is refused at once, on both faces`, () => {
      for (const make of [HealthMonitor.make, healthMonitor]) {
        const error = refusal(() => make({ targets: {}, ...options }))
        assert.deepStrictEqual([error.module, error.option], [module, option])
      }
    })
  }
})

describe("for plain Node", () => {
  it("records, decides and shows", async () => {
    const monitor = healthMonitor({ targets: { db: {}, api: { dependsOn: ["db"] } }, fall: 1, ...now })
    const told: Array<string> = []
    const tell = async ({ raise, resolve }: Alerts.Decision) => {
      told.push(...raise.map(({ target }) => `+${target}`), ...resolve.map(({ target, why }) => `-${target} ${why}`))
    }
    monitor.record("db", broken)
    monitor.record("api", broken)
    const error = new Error("no network")
    const rejected = await monitor.decide(() => Promise.reject(error)).catch((thrown: unknown) => thrown)
    assert.strictEqual(rejected, error)
    await monitor.decide(tell)
    assert.deepStrictEqual(told, ["+db"])
    assert.deepStrictEqual([monitor.inspect("db").mayRepair, monitor.inspect("api").spared], [true, "Parent"])
    assert.deepStrictEqual(
      monitor.alerts().map(({ target }) => target),
      ["db"]
    )
    monitor.stopped("db")
    assert.strictEqual(monitor.inspect("db").readiness, "Stopped")
    await monitor.decide(tell)
    assert.deepStrictEqual(told, ["+db", "-db Stopped"])
    monitor.starting("db")
    monitor.draining("db")
    assert.strictEqual(monitor.inspect("db").readiness, "Draining")
    assert.throws(() => monitor.record("stranger", broken), /stranger/)
  })
})
