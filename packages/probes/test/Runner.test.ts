// @effect-diagnostics missingEffectContext:off floatingEffect:off
import { assert, describe, it } from "@effect/vitest"
import * as HealthMonitor from "@nexobot/core/HealthMonitor"
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as Runner from "../src/Runner.ts"
import { healthy, Ill, ill, metric, reasonOf, recorded, Sick, sick, watchable } from "./watchable.ts"

const tagOf = ({ verdict }: Runner.Result): string => verdict._tag

describe("the schedule", () => {
  it.effect("every probe has its own place in the interval, and keeps it for a thousand rounds", () =>
    Effect.gen(function* () {
      const subjects = Array.from({ length: 10 }, (_, index) => watchable(`p${index}`))
      yield* Runner.make({ watch: subjects.map(({ probe }) => ({ probe, interval: "10 seconds" })), jitter: 0 })
      yield* TestClock.adjust("10030 seconds")
      const places = subjects.map(({ begun }) => {
        const later = begun.slice(1)
        assert.isAtLeast(later.length, 1000)
        const [first = 0] = later
        for (const [round, at] of later.entries()) assert.closeTo(at, first + round * 10_000, 2)
        return first % 10_000
      })
      const sorted = places.toSorted((a, b) => a - b)
      const gaps = sorted.map((at, index) => (sorted[index + 1] ?? (sorted[0] ?? 0) + 10_000) - at)
      assert.isAtMost(Math.max(...gaps), 2 * 1000)
      assert.isAtLeast(Math.min(...gaps), 300)
    })
  )

  it.effect("jitter moves each check around its place, and nothing adds up", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      yield* Runner.make({ watch: [{ probe: subject.probe, interval: "10 seconds" }], jitter: 0.2 })
      yield* TestClock.adjust("10030 seconds")
      const later = subject.begun.slice(1)
      assert.isAtLeast(later.length, 1000)
      const [first = 0] = later
      const off = later.map((at, round) => at - first - round * 10_000)
      assert.isAtMost(Math.max(...off) - Math.min(...off), 2 * 0.2 * 10_000 + 2)
      assert.isAtLeast(Math.max(...off) - Math.min(...off), 3000)
      const gaps = later.slice(1).map((at, index) => at - (later[index] ?? 0))
      assert.isAtLeast(Math.min(...gaps), 6000 - 2)
      assert.isAtMost(Math.max(...gaps), 14_000 + 2)
    })
  )

  it.effect("first verdicts come soon: a thousand within a second, and the next not before half an interval", () =>
    Effect.gen(function* () {
      const subjects = Array.from({ length: 1000 }, (_, index) => watchable(`p${index}`))
      yield* Runner.make({ watch: subjects.map(({ probe }) => ({ probe, interval: "60 seconds" })) })
      yield* TestClock.adjust("500 millis")
      const soon = subjects.filter(({ begun }) => begun.length > 0).length
      assert.isAbove(soon, 400)
      assert.isBelow(soon, 600)
      yield* TestClock.adjust("600 millis")
      assert.isTrue(subjects.every(({ begun }) => begun.length === 1))
      yield* TestClock.adjust("120 seconds")
      for (const {
        begun: [first = 0, second = 0]
      } of subjects) {
        assert.isAtLeast(second - first, 24_000 - 2)
        assert.isAtMost(second - first, 96_000 + 500 + 2)
      }
    })
  )

  it.effect("intervals are each probe's own", () =>
    Effect.gen(function* () {
      const [often, seldom, unless] = [watchable("often"), watchable("seldom"), watchable("unless told")]
      yield* Runner.make({
        watch: [
          { probe: often.probe, interval: "1 second" },
          { probe: seldom.probe, interval: "1 minute" },
          { probe: unless.probe }
        ]
      })
      yield* TestClock.adjust("10 minutes")
      assert.closeTo(often.begun.length, 600, 2)
      assert.closeTo(seldom.begun.length, 10, 2)
      assert.closeTo(unless.begun.length, 60, 2)
    })
  )
})

describe("one check at a time", () => {
  it.effect("acceptance(core-and-probes 14): a check outlives its interval: given up at once, alone, and skipped", () =>
    Effect.gen(function* () {
      const hung = watchable("hung")
      const others = Array.from({ length: 20 }, (_, index) => watchable(`other ${index}`))
      hung.act = Effect.uninterruptible(Effect.never)
      const runner = yield* Runner.make({
        name: "hung",
        watch: [hung, ...others].map(({ probe }) => ({ probe, interval: "1 second" })),
        jitter: 0
      })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("1200 millis")
      const result = seen.find(({ name }) => name === "hung")
      assert.strictEqual(reasonOf(result), "the check did not end within 1000 ms")
      yield* TestClock.adjust("100 seconds")
      assert.strictEqual(hung.begun.length, 1)
      assert.strictEqual(seen.filter(({ name }) => name === "hung").length, 1)
      const state = yield* runner.state("hung")
      assert.deepInclude(state, { status: "Unknown", overdue: true })
      for (const { begun } of others) assert.isAtLeast(begun.length, 101)
      for (const { lag, name } of seen) if (name !== "hung") assert.isAtMost(Duration.toMillis(lag), 2)
      assert.isAtLeast(Number(yield* metric("nexobot_probe_skipped", { name: "hung" })), 99)
      assert.strictEqual(yield* metric("nexobot_probe_in_flight", { name: "hung" }), 0)
    })
  )

  it.effect("what was given up is checked again when it has ended", () =>
    Effect.gen(function* () {
      const slow = watchable("slow")
      slow.act = Effect.uninterruptible(Effect.as(Effect.sleep("3500 millis"), Verdict.healthy))
      const runner = yield* Runner.make({ watch: [{ probe: slow.probe, interval: "1 second" }] })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("3400 millis")
      assert.deepStrictEqual(seen.map(tagOf), ["Inconclusive"])
      slow.act = Effect.succeed(Verdict.healthy)
      yield* TestClock.adjust("2 seconds")
      assert.isAtLeast(slow.begun.length, 2)
      assert.deepStrictEqual([...new Set(seen.map(tagOf))], ["Inconclusive", "Healthy"])
      assert.isFalse((yield* runner.state("slow")).overdue)
    })
  )

  it.effect("a timeout interrupts the check; with one of the same length, the probe is the first", () =>
    Effect.gen(function* () {
      const waits = watchable("waits")
      const judges = watchable("judges")
      waits.act = Effect.never
      // Its own timeout begins a little later, after a name was resolved, for example.
      judges.act = Effect.andThen(
        Effect.sleep("50 millis"),
        Effect.timeoutOrElse(Effect.never, { duration: "2 seconds", orElse: () => sick })
      )
      const runner = yield* Runner.make({
        watch: [waits, judges].map(({ probe }) => ({ probe, timeout: "2 seconds" }))
      })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(waits.inFlight(), 1)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(waits.inFlight(), 0)
      assert.strictEqual(reasonOf((yield* runner.state("waits")).last), "the check did not end within 2000 ms")
      assert.strictEqual(reasonOf((yield* runner.state("judges")).last), "Unhealthy")
    })
  )

  it.effect("a target is checked once at a time, whoever asks; who waits too long knows nothing", () =>
    Effect.gen(function* () {
      const target = "tcp://127.0.0.1:1"
      const busy = watchable("busy", { target })
      const waits = watchable("waits", { target })
      let most = 0
      const watching = (self: typeof busy, pause: Duration.Input) =>
        Effect.suspend(() => {
          most = Math.max(most, busy.inFlight() + waits.inFlight())
          return Effect.as(Effect.sleep(pause), Verdict.healthy)
        })
      busy.act = watching(busy, "3 seconds")
      waits.act = watching(waits, "1 second")
      const runner = yield* Runner.make({ watch: [{ probe: busy.probe }, { probe: waits.probe }], jitter: 0 })
      yield* TestClock.adjust("100 seconds")
      assert.strictEqual(most, 1)
      assert.isAtLeast(waits.begun.length, 9)
      busy.act = Effect.uninterruptible(Effect.never)
      yield* TestClock.adjust("40 seconds")
      const before = waits.begun.length
      assert.strictEqual(
        reasonOf((yield* runner.state("waits")).last),
        "the check could not begin within 10000 ms: another check of its target has not ended"
      )
      yield* TestClock.adjust("40 seconds")
      assert.strictEqual(waits.begun.length, before)
    })
  )

  it.effect("concurrency: no more than so many at once, in turn; the overdue do not count", () =>
    Effect.gen(function* () {
      const subjects = Array.from({ length: 10 }, (_, index) => watchable(`p${index}`))
      let most = 0
      for (const subject of subjects) {
        subject.act = Effect.suspend(() => {
          most = Math.max(most, subjects.filter(({ inFlight }) => inFlight() > 0).length)
          return Effect.as(Effect.sleep("1 second"), Verdict.healthy)
        })
      }
      const runner = yield* Runner.make({ watch: subjects.map(({ probe }) => ({ probe })), concurrency: 2 })
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(most, 2)
      // No place is left empty: two by two.
      for (const [index, { begun }] of subjects.entries())
        assert.isAtMost(begun[0] ?? Infinity, Math.floor(index / 2) * 1000 + 50)
      for (const { begun } of subjects) assert.isAtLeast(begun.length, 5)
      for (const subject of subjects.slice(0, 2)) subject.act = Effect.uninterruptible(Effect.never)
      yield* TestClock.adjust("60 seconds")
      const counts = subjects.slice(2).map(({ begun }) => begun.length)
      yield* TestClock.adjust("30 seconds")
      for (const [index, { begun }] of subjects.slice(2).entries()) assert.isAbove(begun.length, counts[index] ?? 0)
      assert.isTrue((yield* runner.state("p0")).overdue)
    })
  )

  it.effect("concurrency: what is given up has given back its place", () =>
    Effect.gen(function* () {
      const [hung, waits] = [watchable("hung"), watchable("waits")]
      hung.act = Effect.uninterruptible(Effect.never)
      yield* Runner.make({
        watch: [{ probe: hung.probe, timeout: "2 seconds" }, { probe: waits.probe }],
        concurrency: 1
      })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(waits.begun.length, 0)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(waits.begun.length, 1)
      yield* TestClock.adjust("10 seconds")
    })
  )

  it.effect("concurrency: who waits too long for its place knows nothing", () =>
    Effect.gen(function* () {
      const [first, second] = [watchable("first"), watchable("second")]
      first.act = Effect.as(Effect.sleep("9 seconds"), Verdict.healthy)
      const runner = yield* Runner.make({
        watch: [{ probe: first.probe }, { probe: second.probe, timeout: "1 second" }],
        concurrency: 1
      })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(
        reasonOf((yield* runner.state("second")).last),
        "the check could not begin within 1000 ms: too many checks are in flight"
      )
      assert.strictEqual(second.begun.length, 0)
    })
  )
})

describe("equal probes", () => {
  it.effect("share one check at the shortest interval and timeout; each has its verdict and its own health", () =>
    Effect.gen(function* () {
      const target = "redis://127.0.0.1:6379"
      const [one, two, other] = [
        watchable("one", { target, question: ["ping", { timeout: 5 }] }),
        watchable("two", { target, question: ["ping", { timeout: 5 }] }),
        watchable("other", { target, question: ["ping", { timeout: 6 }] })
      ]
      one.act = sick
      const runner = yield* Runner.make({
        watch: [
          { probe: one.probe, interval: "1 minute", fall: 1 },
          { probe: two.probe, interval: "5 seconds", fall: 2, suspectInterval: "5 seconds" },
          { probe: other.probe, interval: "1 minute" }
        ]
      })
      yield* TestClock.adjust("100 millis")
      const states = yield* runner.states
      assert.deepStrictEqual(
        [...states.values()].map(({ last, name, status }) => [name, status, last?.verdict._tag, last?.shared]),
        [
          ["one", "Unhealthy", "Unhealthy", true],
          ["two", "Unknown", "Unhealthy", true],
          ["other", "Healthy", "Healthy", false]
        ]
      )
      yield* TestClock.adjust("1 minute")
      assert.closeTo(one.begun.length, 12, 2)
      assert.strictEqual(two.begun.length, 0)
      assert.strictEqual((yield* runner.state("two")).status, "Unhealthy")
    })
  )

  it.effect("do not share if a lost network excuses one and not the other", () =>
    Effect.gen(function* () {
      const [near, far] = [
        watchable("near", { target: "t", question: 1 }),
        watchable("far", { target: "t", question: 1, reach: "network" })
      ]
      yield* Runner.make({ watch: [near, far].map(({ probe }) => ({ probe })) })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([near.begun.length, far.begun.length], [1, 1])
    })
  )

  it.effect("share nothing without a question, or with another check in their place", () =>
    Effect.gen(function* () {
      const target = "tcp://127.0.0.1:6379"
      const subjects = ["a", "b"].map((name) => watchable(name, { target }))
      const asked = ["c", "d"].map((name) => watchable(name, { target, question: 1 }))
      yield* Runner.make({
        watch: [
          ...subjects.map(({ probe }) => ({ probe })),
          ...asked.map(({ probe }) => ({ probe: { ...probe, check: Effect.suspend(() => probe.check) } }))
        ]
      })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        [...subjects, ...asked].map(({ begun }) => begun.length),
        [1, 1, 1, 1]
      )
    })
  )
})

describe("budget", () => {
  it.effect("checks of a target are put off until it has some left, and counted", () =>
    Effect.gen(function* () {
      const target = "https://model.example"
      const dear = watchable("dear", { target, cost: 3 })
      const cheap = watchable("cheap", { target })
      const elsewhere = watchable("elsewhere", { cost: 3 })
      const runner = yield* Runner.make({
        name: "budget",
        watch: [dear, cheap, elsewhere].map(({ probe }) => ({ probe, interval: "1 second" })),
        budget: { cost: 4, per: "20 seconds" }
      })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("200 seconds")
      const spent = dear.begun.length * 3 + cheap.begun.length
      assert.isAtMost(spent, 4 + 40 + 1)
      assert.isAtLeast(spent, 36)
      assert.isAbove(dear.begun.length, 5)
      assert.isAbove(cheap.begun.length, 5)
      assert.isAtMost(elsewhere.begun.length * 3, 4 + 40 + 1)
      // Nothing is wrong with what waits for its budget.
      assert.deepStrictEqual([...new Set(seen.map(tagOf))], ["Healthy"])
      assert.isAbove(Number(yield* metric("nexobot_probe_put_off", { name: "budget" })), 10)
    })
  )
})

describe("while suspect", () => {
  it.effect("it is checked more often until it is certain, both ways, and then at its interval again", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      const runner = yield* Runner.make({
        watch: [{ probe: subject.probe, interval: "1 minute", suspectInterval: "2 seconds", fall: 4, rise: 3 }],
        jitter: 0
      })
      const seen = yield* recorded(runner)
      const during = (time: Duration.Input) =>
        Effect.map(TestClock.adjust(time), () => subject.begun.splice(0, Infinity).length)
      assert.isAtMost(yield* during("5 minutes"), 6)
      subject.act = sick
      // Four in six seconds and then one a minute, wherever the minute begins.
      assert.closeTo(yield* during("5 minutes"), 4 + 4, 1)
      subject.act = healthy
      assert.closeTo(yield* during("5 minutes"), 3 + 4, 1)
      const changes = seen.filter(({ status }, index) => status !== seen[index - 1]?.status)
      assert.deepStrictEqual(
        changes.map(({ status }) => status),
        ["Healthy", "Unhealthy", "Healthy"]
      )
      const [, down, up] = changes
      assert.strictEqual(down?.health.failures, 4)
      assert.strictEqual(up?.health.successes, 3)
    })
  )

  it.effect("unless told, at a fifth of the interval and never more often than once a second", () =>
    Effect.gen(function* () {
      const [slow, quick] = [watchable("slow"), watchable("quick")]
      slow.act = sick
      quick.act = sick
      yield* Runner.make({
        watch: [
          { probe: slow.probe, interval: "20 seconds", fall: 1000 },
          { probe: quick.probe, interval: "2 seconds", fall: 1000 }
        ],
        jitter: 0
      })
      yield* TestClock.adjust("100 seconds")
      assert.closeTo(slow.begun.length, 25, 2)
      assert.closeTo(quick.begun.length, 100, 2)
    })
  )

  it.effect("what says nothing is not asked more often", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      subject.act = sick
      yield* Runner.make({ watch: [{ probe: subject.probe }] })
      yield* TestClock.adjust("100 millis")
      subject.act = Effect.succeed(Verdict.inconclusive("no permission"))
      yield* TestClock.adjust("100 seconds")
      assert.closeTo(subject.begun.length, 11, 2)
    })
  )
})

/** Five things beyond this machine and one on it, all sick. */
const gated = (gate: ReturnType<typeof watchable>) =>
  Effect.gen(function* () {
    const remote = Array.from({ length: 5 }, (_, index) => watchable(`remote ${index}`, { reach: "network" }))
    const local = watchable("local")
    for (const one of [...remote, local]) one.act = sick
    const runner = yield* Runner.make({
      name: "gate",
      watch: [...remote, local].map(({ probe }) => ({ probe, fall: 1 })),
      connectivity: gate.probe
    })
    return { runner, remote, local }
  })

describe("the connectivity gate", () => {
  it.effect(
    "own network lost: what leaves this machine is inconclusive, what stays on it is not; it is asked once",
    () =>
      Effect.gen(function* () {
        const gate = watchable("internet", { reach: "network" })
        gate.act = Effect.andThen(Effect.sleep("500 millis"), sick)
        const { runner } = yield* gated(gate)
        const seen = yield* recorded(runner)
        yield* TestClock.adjust("400 millis")
        assert.deepStrictEqual(
          seen.map(({ name }) => name),
          ["local"]
        )
        yield* TestClock.adjust("200 millis")
        assert.strictEqual(gate.begun.length, 1)
        const states = yield* runner.states
        assert.strictEqual(states.get("local")?.status, "Unhealthy")
        for (let index = 0; index < 5; index++) {
          assert.strictEqual(reasonOf(states.get(`remote ${index}`)?.last), "own network is lost: it coughs")
        }
        assert.strictEqual(yield* metric("nexobot_probe_excused", { name: "gate" }), 5)
        gate.act = healthy
        yield* TestClock.adjust("20 seconds")
        for (const { status } of (yield* runner.states).values()) assert.strictEqual(status, "Unhealthy")
      })
  )

  for (const [what, act] of Object.entries({
    works: healthy,
    "is degraded": ill,
    "cannot tell": Effect.succeed(Verdict.inconclusive("no permission")),
    "is broken": Effect.die("a bug"),
    "does not end": Effect.uninterruptible(Effect.never)
  })) {
    it.effect(`excuses nothing when it ${what}`, () =>
      Effect.gen(function* () {
        const gate = watchable("internet")
        gate.act = act
        const { runner } = yield* gated(gate)
        yield* TestClock.adjust("20 seconds")
        for (const { status } of (yield* runner.states).values()) assert.strictEqual(status, "Unhealthy")
      })
    )
  }

  it.effect("its answer holds for a second, and nobody is checked again before it has come", () =>
    Effect.gen(function* () {
      const gate = watchable("internet")
      gate.act = Effect.andThen(Effect.sleep("3 seconds"), sick)
      const remote = watchable("remote", { reach: "network" })
      remote.act = sick
      const runner = yield* Runner.make({
        watch: [{ probe: remote.probe, interval: "1 second" }],
        connectivity: gate.probe
      })
      yield* TestClock.adjust("2900 millis")
      assert.strictEqual(remote.begun.length, 1)
      yield* TestClock.adjust("110 millis")
      const before = remote.begun.length
      yield* runner.check("remote")
      assert.deepStrictEqual([remote.begun.length, gate.begun.length], [before + 1, 1])
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(gate.begun.length, 2)
    })
  )

  it.effect("one that does not end is not waited for twice", () =>
    Effect.gen(function* () {
      const gate = watchable("internet")
      gate.act = Effect.uninterruptible(Effect.never)
      const { runner } = yield* gated(gate)
      yield* TestClock.adjust("12 seconds")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* runner.check("remote 0")).status, "Unhealthy")
      assert.strictEqual(gate.begun.length, 1)
    })
  )

  it.effect("is not held up by what hangs because the network is lost", () =>
    Effect.gen(function* () {
      const gate = watchable("internet")
      gate.act = sick
      const remote = Array.from({ length: 5 }, (_, index) => watchable(`remote ${index}`, { reach: "network" }))
      for (const [index, one] of remote.entries())
        one.act = index === 0 ? Effect.andThen(Effect.sleep("100 millis"), sick) : Effect.never
      const runner = yield* Runner.make({
        watch: remote.map(({ probe }) => ({ probe })),
        connectivity: gate.probe,
        concurrency: 1
      })
      gate.act = Effect.andThen(Effect.sleep("1 second"), sick)
      yield* TestClock.adjust("1200 millis")
      assert.strictEqual(reasonOf((yield* runner.state("remote 0")).last), "own network is lost: it coughs")
    })
  )

  it.effect("is not asked about what works", () =>
    Effect.gen(function* () {
      const gate = watchable("internet")
      const { local, remote } = yield* gated(gate)
      for (const one of remote) one.act = ill
      local.act = sick
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(gate.begun.length, 0)
    })
  )
})

describe("dependencies", () => {
  it.effect("who fails because of another says so, from its first bad check on, and is recorded all the same", () =>
    Effect.gen(function* () {
      const [host, redis, api] = [watchable("host"), watchable("redis"), watchable("api")]
      const runner = yield* Runner.make({
        watch: [
          { probe: host.probe },
          { probe: redis.probe, dependsOn: ["host"] },
          { probe: api.probe, dependsOn: ["redis"] }
        ]
      })
      const seen = yield* recorded(runner)
      yield* TestClock.adjust("30 seconds")
      assert.isTrue(seen.every(({ suppressedBy }) => suppressedBy === undefined))
      redis.act = sick
      yield* runner.check("redis")
      api.act = sick
      const failing = yield* runner.check("api")
      assert.strictEqual(failing.suppressedBy, "redis")
      assert.strictEqual(failing.health.failures, 1)
      assert.strictEqual(failing.verdict._tag, "Unhealthy")
      host.act = sick
      yield* runner.check("host")
      assert.strictEqual((yield* runner.state("api")).suppressedBy, "host")
      assert.strictEqual((yield* runner.check("redis")).suppressedBy, "host")
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual((yield* runner.state("api")).status, "Unhealthy")
      host.act = healthy
      redis.act = healthy
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual((yield* runner.check("api")).suppressedBy, undefined)
      api.act = healthy
      assert.strictEqual((yield* runner.check("api")).suppressedBy, undefined)
    })
  )
})

describe("with a health monitor", () => {
  it.effect("acceptance(core-and-probes 10): the parent is down, 30 children fail: 1 alert, 30 states", () =>
    Effect.gen(function* () {
      const parent = watchable("parent")
      const children = Array.from({ length: 30 }, (_, index) => watchable(`child ${index}`))
      const dependsOn = ["parent"]
      const runner = yield* Runner.make({
        watch: [{ probe: parent.probe }, ...children.map(({ probe }) => ({ probe, dependsOn }))]
      })
      const monitor = yield* HealthMonitor.make({
        targets: { parent: {}, ...Object.fromEntries(children.map(({ probe }) => [probe.name, { dependsOn }])) }
      })
      const raised: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(runner.results, ({ name, verdict }) => monitor.record(name, verdict)),
        { startImmediately: true }
      )
      yield* Effect.forkScoped(
        Effect.repeat(
          monitor.decide(({ raise }) => Effect.sync(() => raised.push(...raise.map(({ target }) => target)))),
          Schedule.spaced("1 second")
        )
      )
      yield* TestClock.adjust("60 seconds")
      for (const { begun } of children) assert.isAtLeast(begun.length, 5)
      for (const one of [parent, ...children]) one.act = sick
      yield* TestClock.adjust("120 seconds")
      assert.deepStrictEqual(raised, ["parent"])
      const states = [...(yield* runner.states).values()].filter(({ name }) => name !== "parent")
      assert.deepStrictEqual(
        [...new Set(states.map(({ last, status, suppressedBy }) => `${status} ${suppressedBy} ${last?.suppressedBy}`))],
        ["Unhealthy parent parent"]
      )
      assert.strictEqual(states.length, 30)
    })
  )
})

describe("asking", () => {
  it.effect("check: now, or with the check in flight", () =>
    Effect.gen(function* () {
      const subject = watchable("p")
      const runner = yield* Runner.make({ watch: [{ probe: subject.probe }] })
      yield* TestClock.adjust("1 second")
      subject.act = Effect.andThen(Effect.sleep("1 second"), ill)
      const askers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(runner.check("p"), { startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      for (const asker of askers) assert.strictEqual((yield* Fiber.join(asker)).status, "Degraded")
      assert.strictEqual(subject.begun.length, 2)
      const asker = yield* Effect.forkChild(runner.check("p"), { startImmediately: true })
      yield* Fiber.interrupt(asker)
      assert.strictEqual(subject.inFlight(), 1)
      yield* TestClock.adjust("2 seconds")
    })
  )

  it.effect("a name that is not watched is a defect", () =>
    Effect.gen(function* () {
      const runner = yield* Runner.make({ watch: [{ probe: watchable("p").probe }] })
      for (const ask of [runner.check("q"), runner.state("q")]) {
        const exit = yield* Effect.exit(Effect.asVoid<unknown, never, never>(ask))
        assert.include(String(exit), 'option "name" is "q"')
      }
    })
  )

  it.effect("results begin with the latest of each; who is too slow loses the oldest, which is counted", () =>
    Effect.gen(function* () {
      const subjects = Array.from({ length: 3 }, (_, index) => watchable(`p${index}`))
      const runner = yield* Runner.make({
        name: "slow",
        watch: subjects.map(({ probe }) => ({ probe, interval: "1 second" })),
        buffer: 10
      })
      yield* TestClock.adjust("500 millis")
      const seen: Array<Runner.Result> = []
      yield* Effect.forkScoped(
        Stream.runForEach(runner.results, (result) => {
          seen.push(result)
          return seen.length === 3 ? Effect.sleep("1 minute") : Effect.void
        }),
        { startImmediately: true }
      )
      assert.deepStrictEqual(
        seen.map(({ name }) => name),
        ["p0", "p1", "p2"]
      )
      yield* TestClock.adjust("50 seconds")
      assert.isAtLeast(Number(yield* metric("nexobot_probe_results_lost", { name: "slow" })), 130)
      yield* TestClock.adjust("11 seconds")
      // The newest were kept.
      assert.isAtLeast((seen[3]?.at ?? 0) - (seen[0]?.at ?? 0), 45_000)
    })
  )

  it.effect("a broken probe is inconclusive, and its secrets stay with it", () =>
    Effect.gen(function* () {
      const [dies, lies] = [watchable("dies"), watchable("lies")]
      dies.act = Effect.die(new Error("cannot reach redis://user:hunter2-hunter2@host"))
      lies.act = Effect.succeed({ _tag: "Fine" } as never)
      const runner = yield* Runner.make({ watch: [dies, lies].map(({ probe }) => ({ probe })) })
      yield* TestClock.adjust("1 second")
      const reason = reasonOf((yield* runner.state("dies")).last)
      assert.include(reason, "dies is broken: Error: cannot reach redis://")
      assert.notInclude(reason, "hunter2")
      assert.strictEqual(reasonOf((yield* runner.state("lies")).last), "lies returned no verdict")
    }).pipe(Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-hunter2"])))
  )
})

describe("the end", () => {
  it.effect("closing the scope interrupts all checks, waits for them, and ends everything", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const subjects = Array.from({ length: 20 }, (_, index) => watchable(`p${index}`, { reach: "network" }))
      const gate = watchable("gate")
      gate.act = Effect.never
      let cleaned = 0
      for (const [index, subject] of subjects.entries()) {
        subject.act =
          index === 0
            ? sick
            : Effect.onInterrupt(Effect.never, () =>
                // Each takes longer than the one before.
                Effect.andThen(
                  Effect.replicateEffect(Effect.yieldNow, index),
                  Effect.sync(() => {
                    cleaned += 1
                  })
                )
              )
      }
      const runner = yield* Runner.make({
        watch: subjects.map(({ probe }) => ({ probe })),
        connectivity: gate.probe
      }).pipe(Scope.provide(scope))
      const following = yield* Effect.forkChild(Stream.runCollect(runner.results), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      const asker = yield* Effect.forkChild(runner.check("p3"), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(cleaned, 19)
      assert.isTrue([...subjects, gate].every(({ inFlight }) => inFlight() === 0))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(asker)))
      assert.deepStrictEqual(yield* Fiber.join(following), [])
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(runner.check("p0"))))
      const before = subjects.map(({ begun }) => begun.length)
      yield* TestClock.adjust("100 seconds")
      assert.deepStrictEqual(
        subjects.map(({ begun }) => begun.length),
        before
      )
      assert.deepStrictEqual(yield* Stream.runCollect(runner.results), [])
    })
  )

  it.effect("it does not wait for ever for a check that does not end", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const hung = watchable("hung")
      hung.act = Effect.uninterruptible(Effect.never)
      yield* Runner.make({ watch: [{ probe: hung.probe }] }).pipe(Scope.provide(scope))
      yield* TestClock.adjust("100 millis")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(closing)))
    })
  )
})

describe("metrics", () => {
  it.effect("tell of checks, durations, lags and the status of each probe", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const subject = watchable("p")
      yield* Runner.make({ name: "m", watch: [{ probe: subject.probe, fall: 1 }] }).pipe(Scope.provide(scope))
      const status = metric("nexobot_probe_status", { name: "m", probe: "p" })
      assert.strictEqual(yield* status, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* status, 1)
      subject.act = Effect.andThen(Effect.sleep("2 seconds"), sick)
      yield* TestClock.adjust("18 seconds")
      assert.strictEqual(yield* status, 3)
      subject.act = Effect.never
      yield* TestClock.adjust("23 seconds")
      assert.strictEqual(yield* status, 0)
      assert.strictEqual(yield* metric("nexobot_probe_checks", { name: "m", verdict: "Healthy" }), 1)
      const checked = Number(yield* metric("nexobot_probe_duration_seconds", { name: "m" }))
      assert.isAtLeast(checked, 3)
      assert.strictEqual(yield* metric("nexobot_probe_lag_seconds", { name: "m" }), checked)
      yield* Scope.close(scope, Exit.void)
      assert.isUndefined(yield* status)
    })
  )
})

const refused = (options: object, option: string, text: string) =>
  it(`refuses ${option}: ${text}`, () => {
    try {
      Runner.make(options as never)
    } catch (error) {
      assert.instanceOf(error, Options.OptionError)
      assert.strictEqual(error.option, option)
      assert.include(error.message, text)
      return
    }
    assert.fail("it was taken")
  })

describe("options", () => {
  const { probe } = watchable("p", { cost: 2 })
  const one = (more: object) => ({ watch: [{ probe, ...more }] })
  refused({ watch: [], speed: 1 }, "speed", "no such option")
  refused({}, "watch", "an array")
  refused(one({ every: 1 }), "watch[0].every", "no such option")
  refused({ watch: [{ probe: {} }] }, "watch[0].probe", "a probe")
  refused({ watch: [{ probe }, { probe }] }, "watch[1].probe", "another name for each probe")
  refused(one({ interval: 0 }), "watch[0].interval", "at least 10ms")
  refused(one({ interval: "1 second", timeout: "2 seconds" }), "watch[0].timeout", "at most the interval, 1000 ms")
  refused(one({ timeout: 0 }), "watch[0].timeout", "at least 1ms")
  refused(one({ suspectInterval: "11 seconds" }), "watch[0].suspectInterval", "at most the interval, 10000 ms")
  refused(one({ fall: 0 }), "watch[0].fall", "at least 1")
  refused(one({ rise: 0 }), "watch[0].rise", "at least 1")
  refused(one({ dependsOn: ["q"] }), "watch.p.dependsOn", "the name of another target")
  refused({ watch: [{ probe, dependsOn: ["p"] }] }, "watch", "without a cycle")
  refused({ watch: [], jitter: 0.6 }, "jitter", "from 0 to 0.5")
  refused({ watch: [], concurrency: 0 }, "concurrency", "at least 1")
  refused({ watch: [], buffer: 0 }, "buffer", "from 1 to 1000000")
  refused({ watch: [], buffer: 1e15 }, "buffer", "from 1 to 1000000")
  // oxlint-disable-next-line no-sparse-arrays
  refused({ watch: [, { probe }] }, "watch[0]", "an object")
  refused({ watch: [{ probe: { ...probe, name: 5 } }] }, "watch[0].probe", "a probe")
  refused({ watch: [{ probe: { ...probe, target: undefined } }] }, "watch[0].probe", "a probe")
  refused({ watch: [{ probe: { ...probe, cost: undefined } }] }, "watch[0].probe", "a probe")
  refused({ watch: [], connectivity: { ...probe, reports: undefined } }, "connectivity", "a probe")
  refused(one({ dependsOn: null }), "watch[0].dependsOn", "names")
  refused(one({ dependsOn: "q" }), "watch[0].dependsOn", "names")
  refused(one({ dependsOn: [5] }), "watch[0].dependsOn", "names")
  const slow = watchable("slow", { timeout: "12 seconds" }).probe
  refused({ watch: [{ probe: slow }] }, "watch[0].interval", "at least 12000 ms, the timeout of slow itself")
  refused(
    { watch: [{ probe: slow, interval: "15 seconds", timeout: "11 seconds" }] },
    "watch[0].timeout",
    "at least 12000 ms, the timeout of slow itself"
  )
  refused({ watch: [], connectivity: slow }, "connectivity", "a probe with a timeout of at most 10000 ms")
  refused({ watch: [], name: "" }, "name", "a non-empty string")
  refused({ watch: [], connectivity: "google.com" }, "connectivity", "a probe")
  refused({ watch: [], budget: { cost: 0, per: 1 } }, "budget.cost", "at least")
  refused({ watch: [], budget: { cost: 1, per: 0 } }, "budget.per", "at least 1ms")
  refused({ watch: [{ probe }], budget: { cost: 1, per: 1000 } }, "budget.cost", "at least 2, which a check of p costs")

  it("its type has the signatures of all probes, and asks for their services", () => {
    class Vault extends Context.Service<Vault, string>()("Vault") {}
    const types = () => {
      const sickOnly = Probe.make({ name: "s", reports: [Sick], check: sick })
      const illOnly = Probe.make({ name: "i", reports: [Ill], check: Effect.as(Vault, Verdict.healthy) })
      const narrow: Effect.Effect<Runner.Runner<Sick>, never, Scope.Scope> = Runner.make({
        watch: [{ probe: sickOnly }]
      })
      const both: Effect.Effect<Runner.Runner<Sick | Ill>, never, Scope.Scope | Vault> = Runner.make({
        watch: [{ probe: sickOnly }, { probe: illOnly, interval: "5 seconds" }]
      })
      const withGate: Effect.Effect<Runner.Runner<Sick>, never, Scope.Scope | Vault> = Runner.make({
        watch: [{ probe: sickOnly }],
        connectivity: illOnly
      })
      // @ts-expect-error it reports Ill, too
      const less: typeof narrow = both
      // @ts-expect-error the gate needs Vault
      const without: typeof narrow = withGate
      return [narrow, both, withGate, less, without]
    }
    assert.isFunction(types)
  })
})
