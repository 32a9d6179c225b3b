import { assert, describe, it } from "@effect/vitest"
import * as Component from "@nexobot/core/Component"
import * as Lease from "@nexobot/core/Lease"
import { OptionError } from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Remediator from "@nexobot/core/Remediator"
import * as Verdict from "@nexobot/core/Verdict"
import { Journal, type Policy, Recovery, type Report } from "@nexobot/recovery"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

import { Down, Locked } from "./fixtures/signatures.ts"

const policy: Policy.PolicyOptions = {
  period: "1 second",
  fastPeriod: "100 millis",
  slowPeriod: "10 seconds",
  fall: 2,
  rise: 1,
  stable: "1 second",
  within: "5 seconds",
  attempts: 3,
  resetAfter: "1 minute"
}

/** A target that is down or up, remedies that count, and a probe that can break. */
const makeWorld = (name = "gateway") => {
  const world = {
    down: false,
    broken: false,
    lifecycle: "Running" as Component.Lifecycle,
    restarts: 0,
    /** What a restart does. */
    onRestart: Effect.void as Effect.Effect<void, Remediator.RemediationError>,
    mayRestart: Effect.void as Effect.Effect<void, Remediator.RemediationError>
  }
  const up = Effect.sync(() => {
    world.down = false
  })
  world.onRestart = up
  const probe = Probe.make({
    name: "answers",
    reports: [Down],
    check: Effect.sync(() => {
      if (world.broken) throw new Error("the probe itself is broken")
      return world.down ? Verdict.unhealthy(new Down({ port: 1 }), ["no answer, token=hunter2"]) : Verdict.healthy
    })
  })
  const restart = Remediator.make({
    id: "restart",
    description: "restart it",
    blastRadius: "process",
    reversible: false,
    precondition: () => Effect.suspend(() => world.mayRestart),
    apply: (signature: Down) =>
      Effect.suspend(() => {
        assert.instanceOf(signature, Down)
        world.restarts += 1
        return world.onRestart
      })
  })
  const component = Component.make(
    { name, probes: [probe], lifecycle: Effect.sync(() => world.lifecycle) },
    { "Test/Down": [restart] }
  )
  return { world, component, up, restart, probe }
}

const inMemory = Layer.merge(Journal.layerMemory, Lease.layerMemory)
const started = <const C extends ReadonlyArray<Component.Any>>(components: C, options: Recovery.RecoveryOptions = {}) =>
  Recovery.layer(components, { policy, ...options }).pipe(Layer.provide(inMemory))

/** A component that is down, and a runbook whose first rung is given and whose second heals. */
const ladder = (name: string, first: Effect.Effect<void, Remediator.RemediationError>, refuse = false) => {
  const { probe, up, world } = makeWorld()
  const done: Array<string> = []
  const rung = (id: string, apply: Effect.Effect<void, Remediator.RemediationError>, refused: boolean) =>
    Remediator.make({
      id,
      description: id,
      blastRadius: "process",
      reversible: true,
      precondition: () => (refused ? Effect.fail(Remediator.refused(id, "not needed")) : Effect.void),
      apply: () =>
        Effect.andThen(
          Effect.sync(() => void done.push(id)),
          apply
        )
    })
  world.down = true
  const component = Component.make(
    { name, probes: [probe] },
    { "Test/Down": [rung("first", first, refuse), rung("second", up, false)] }
  )
  return { component, done }
}

const answering = (name: string, value: unknown) =>
  Component.make(
    // What a probe written in JavaScript may return.
    {
      name,
      probes: [Probe.make({ name: "odd", reports: [Down], check: Effect.succeed(value as Verdict.Healthy) })]
    },
    { "Test/Down": Component.escalate("look") }
  )

const statusOf = Effect.fnUntraced(function* (name: string) {
  const states = yield* Recovery.Recovery.use((recovery) => recovery.states)
  return states.find((state) => state.name === name)?.status
})

const refusal = (f: () => unknown) => {
  try {
    f()
  } catch (error) {
    if (error instanceof OptionError) return error.message
  }
  return "nothing was refused"
}

describe("Recovery", () => {
  it.effect("detects, acts, verifies, and remembers", () => {
    const { component, world } = makeWorld()
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* statusOf("gateway"), "Healthy")
      world.down = true
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(world.restarts, 1)
      assert.strictEqual(yield* statusOf("gateway"), "Verifying")
      assert.deepStrictEqual(yield* recovery.log, [])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* statusOf("gateway"), "Healthy")
      assert.strictEqual(world.restarts, 1)
      const [entry] = yield* recovery.log
      assert.deepInclude(entry, {
        component: "gateway",
        error: "Test/Down",
        diagnosis: "rule: answers reports Test/Down; runbook: restart",
        action: "restart",
        success: true
      })
      assert.isFalse(Number.isNaN(Date.parse(entry?.timestamp ?? "")))
      const statistics = yield* recovery.statistics
      assert.deepInclude(statistics, {
        totalRecoveries: 1,
        successRate: 1,
        mostCommonError: "Test/Down",
        mostProblematicComponent: "gateway"
      })
      assert.approximately(statistics.avgRecoveryTime, 1.2, 0.3)
    }).pipe(Effect.provide(started([component])))
  })

  it.effect("acceptance(recovery 8): the probe throws → Unknown, no remediation", () => {
    const { component, world } = makeWorld()
    world.broken = true
    return Effect.gen(function* () {
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* statusOf("gateway"), "Unknown")
      assert.strictEqual(world.restarts, 0)
      const [state] = yield* Recovery.Recovery.use((recovery) => recovery.states)
      assert.include(state?.detail, "the probe itself is broken")
    }).pipe(Effect.provide(started([component])))
  })

  it.effect("acceptance(recovery 6): two concurrent detections → one execution", () => {
    const { component, up, world } = makeWorld()
    world.onRestart = Effect.andThen(Effect.sleep("2 seconds"), up)
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      yield* TestClock.adjust("1 second")
      world.down = true
      const asked = yield* Effect.forkChild(
        Effect.all([recovery.recover("gateway"), recovery.recover("gateway"), recovery.recoverAll], {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("20 seconds")
      const [first, second, all] = yield* Fiber.join(asked)
      assert.strictEqual(world.restarts, 1)
      assert.deepInclude(first, { component: "gateway", outcome: "recovered", action: "restart" })
      assert.strictEqual(second.outcome, "recovered")
      assert.strictEqual(all.length, 1)
    }).pipe(Effect.provide(started([component])))
  })

  it.effect("says what a request came to", () => {
    const well = makeWorld("well")
    const lost = makeWorld("lost")
    const stopped = makeWorld("stopped")
    const blind = makeWorld("blind")
    lost.world.down = true
    lost.world.onRestart = Effect.void
    stopped.world.down = true
    stopped.world.lifecycle = "Stopped"
    blind.world.broken = true
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      const asked = yield* Effect.forkChild(recovery.recoverAll)
      yield* TestClock.adjust("2 minutes")
      const outcomes = yield* Fiber.join(asked)
      assert.deepStrictEqual(
        outcomes.map(({ component, outcome }) => [component, outcome]),
        [
          ["well", "healthy"],
          ["lost", "escalated"],
          ["stopped", "stopped"],
          ["blind", "unknown"]
        ]
      )
      assert.strictEqual(well.world.restarts, 0)
      assert.strictEqual(stopped.world.restarts, 0)
      const error = yield* Effect.flip(recovery.recover("nobody"))
      assert.deepStrictEqual(error.known, ["well", "lost", "stopped", "blind"])
    }).pipe(Effect.provide(started([well.component, lost.component, stopped.component, blind.component])))
  })

  it.effect("a remedy that fails, dies or is refused is recorded, and the loop goes on", () => {
    const dying = makeWorld("dying")
    const refusing = makeWorld("refusing")
    const failing = makeWorld("failing")
    for (const { world } of [dying, refusing, failing]) world.down = true
    dying.world.onRestart = Effect.die(new Error("a bug in the remedy"))
    failing.world.onRestart = Effect.fail(Remediator.failed("restart", "it would not go"))
    refusing.world.mayRestart = Effect.fail(Remediator.refused("restart", "not on Sundays"))
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      yield* TestClock.adjust("1 minute")
      const log = yield* recovery.log
      const actions = (component: string) => log.filter((one) => one.component === component).map((one) => one.action)
      assert.include(actions("dying")[0], "a bug in the remedy")
      assert.include(actions("failing")[0], "restart: it would not go")
      assert.include(actions("refusing")[0], "restart: refused, not on Sundays")
      assert.strictEqual(refusing.world.restarts, 0)
      assert.strictEqual(dying.world.restarts, 1)
      for (const name of ["dying", "failing", "refusing"]) assert.strictEqual(yield* statusOf(name), "Escalated")
      dying.world.down = false
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* statusOf("dying"), "Healthy")
    }).pipe(Effect.provide(started([dying.component, refusing.component, failing.component])))
  })

  it.effect("a check that hangs is Unknown, and the other components are watched on", () => {
    const { component, world } = makeWorld("well")
    const hanging = Component.make(
      { name: "hanging", probes: [Probe.make({ name: "hang", reports: [Down], check: Effect.never })] },
      { "Test/Down": Component.escalate("never") }
    )
    return Effect.gen(function* () {
      world.down = true
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* statusOf("hanging"), "Unknown")
      assert.strictEqual(world.restarts, 1)
    }).pipe(Effect.provide(started([hanging, component])))
  })

  it.effect("a remedy that hangs is interrupted, and the probes say what came of it", () => {
    const { component, up, world } = makeWorld()
    world.onRestart = Effect.andThen(up, Effect.never)
    return Effect.gen(function* () {
      world.down = true
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(world.restarts, 1)
      assert.strictEqual(yield* statusOf("gateway"), "Healthy")
      const [entry] = yield* Recovery.Recovery.use((recovery) => recovery.log)
      assert.deepInclude(entry, { action: "restart", success: true })
    }).pipe(Effect.provide(started([component])))
  })

  it.effect("does not carry out what needs an approval, a snapshot, or root that it has not", () => {
    const { probe, world } = makeWorld()
    world.down = true
    let done = 0
    const remedy = (needs: { needsApproval?: boolean; needsSnapshot?: boolean }, id: string) =>
      Remediator.make({
        id,
        description: "something grave",
        blastRadius: "host",
        reversible: false,
        ...needs,
        apply: () => Effect.sync(() => void (done += 1))
      })
    const component = Component.make(
      { name: "grave", probes: [probe] },
      { "Test/Down": [remedy({ needsApproval: true }, "approve"), remedy({ needsSnapshot: true }, "snapshot")] }
    )
    return Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(done, 0)
      const log = yield* Recovery.Recovery.use((recovery) => recovery.log)
      assert.include(log[0]?.action, "approval")
      assert.include(log[1]?.action, "snapshot")
    }).pipe(Effect.provide(started([component])))
  })

  it.effect("climbs to the second rung when the first fails, is refused, or does not help", () => {
    const fails = ladder("fails", Effect.fail(Remediator.failed("first", "it broke")))
    const refuses = ladder("refuses", Effect.void, true)
    const useless = ladder("useless", Effect.void)
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      const asked = yield* Effect.forkChild(
        Effect.forEach(recovery.components, recovery.recover, { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 minute")
      for (const outcome of yield* Fiber.join(asked)) {
        assert.deepInclude(outcome, { outcome: "recovered", action: "second" })
      }
      assert.deepStrictEqual(
        [fails.done, refuses.done, useless.done],
        [["first", "second"], ["second"], ["first", "second"]]
      )
    }).pipe(Effect.provide(started([fails.component, refuses.component, useless.component])))
  })

  it.effect("what cannot be told is Unknown: a broken or hanging lifecycle, and verdicts that are none", () => {
    const { probe } = makeWorld()
    const living = (name: string, lifecycle: Effect.Effect<Component.Lifecycle>) =>
      Component.make({ name, probes: [probe], lifecycle }, { "Test/Down": Component.escalate("look") })
    const components = [
      living("dies", Effect.die(new Error("no supervisor"))),
      living("hangs", Effect.never),
      living("interrupts", Effect.interrupt),
      answering("undefined", undefined),
      answering("undeclared", Verdict.unhealthy({ _tag: "Test/Other" })),
      answering("bare", { _tag: "Unhealthy" })
    ]
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      const asked = yield* Effect.forkChild(recovery.recoverAll)
      yield* TestClock.adjust("5 minutes")
      for (const outcome of yield* Fiber.join(asked)) assert.strictEqual(outcome.outcome, "unknown", outcome.component)
      for (const { name, status } of yield* recovery.states) assert.strictEqual(status, "Unknown", name)
    }).pipe(Effect.provide(started(components)))
  })

  it.effect("a healthy check ends a pending recovery, also when health takes several", () => {
    const { component, world } = makeWorld()
    world.down = true
    world.mayRestart = Effect.fail(Remediator.refused("restart", "it is booting"))
    return Effect.gen(function* () {
      yield* TestClock.adjust("3 seconds")
      world.down = false
      world.mayRestart = Effect.void
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(world.restarts, 0)
      assert.strictEqual(yield* statusOf("gateway"), "Healthy")
    }).pipe(Effect.provide(started([component], { policy: { ...policy, rise: 3 } })))
  })

  it.effect("writes no secret into any journal, log, state or outcome", () => {
    const secret = "correct horse/battery+staple"
    const disguises = [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]
    const { probe, world } = makeWorld()
    const leaky = Probe.map(probe, [Locked], () => new Locked({ path: `/run/${secret}` }))
    const check = Effect.map(leaky.check, (verdict) =>
      verdict._tag === "Unhealthy" ? Verdict.unhealthy(verdict.signature, [`seen: ${disguises.join(" ")}`]) : verdict
    )
    const fails = Remediator.make({
      id: "fails",
      description: "fails",
      blastRadius: "file",
      reversible: true,
      apply: () => Effect.fail(Remediator.failed("fails", disguises.join(" ")))
    })
    const component = Component.make({ name: "leaky", probes: [{ ...leaky, check }] }, { "Test/Locked": [fails] })
    const written: Array<unknown> = []
    const journal = Layer.succeed(Journal.Journal, {
      history: [],
      append: (name, entries) =>
        Effect.sync(() =>
          entries.map((entry) => ({ v: 1, seq: written.push(entry), at: "", component: name, entry }) as const)
        )
    })
    const redactor = Layer.succeed(Redaction.Redactor, Redaction.make([secret]))
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      world.down = true
      const asked = yield* Effect.forkChild(recovery.recover("leaky"))
      yield* TestClock.adjust("30 seconds")
      const told = [yield* Fiber.join(asked), yield* recovery.log, yield* recovery.states, written]
      assert.isAtLeast(written.length, 3)
      for (const disguise of disguises) assert.notInclude(JSON.stringify(told), disguise)
    }).pipe(
      Effect.provide(
        Recovery.layer([component], { policy }).pipe(Layer.provide([journal, Lease.layerMemory, redactor]))
      )
    )
  })

  it.effect("waits while another holder has the lease", () => {
    const { component, world } = makeWorld()
    return Effect.gen(function* () {
      const leases = yield* Lease.Leases
      world.down = true
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* leases.take("gateway")
          yield* TestClock.adjust("30 seconds")
          assert.strictEqual(world.restarts, 0)
        })
      )
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(world.restarts, 1)
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* Effect.scoped(leases.take("gateway")))._tag === "Some", "the lease was given back")
    }).pipe(Effect.provide(Recovery.layer([component], { policy }).pipe(Layer.provideMerge(inMemory))))
  })

  it.effect("does nothing while it is not known whether the lease is free, and says why", () => {
    const { component, world } = makeWorld()
    let away = true
    const leases = Layer.effect(
      Lease.Leases,
      Effect.map(Lease.Leases, ({ take }) =>
        Lease.Leases.of({
          take: (resource) =>
            Effect.suspend(() =>
              away
                ? new Lease.LeaseError({ resource, reason: new Lease.Unavailable({ why: "Redis is away" }) })
                : take(resource)
            )
        })
      )
    ).pipe(Layer.provide(Lease.layerMemory))
    return Effect.gen(function* () {
      world.down = true
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(world.restarts, 0)
      const [state] = yield* Recovery.Recovery.use((recovery) => recovery.states)
      assert.include(state?.detail, "Redis is away")
      away = false
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(world.restarts, 1)
      const [healed] = yield* Recovery.Recovery.use((recovery) => recovery.states)
      assert.notInclude(healed?.detail, "Redis is away")
    }).pipe(Effect.provide(Recovery.layer([component], { policy }).pipe(Layer.provide([Journal.layerMemory, leases]))))
  })

  it.effect("stops what it does when it loses the lease, and takes it anew before it does more", () => {
    let interrupted = false
    const hanging = Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => (interrupted = true))))
    const { component, done } = ladder("gateway", hanging)
    const fences: Array<number> = []
    let lose = Effect.void as Effect.Effect<unknown>
    const leases = Layer.succeed(Lease.Leases, {
      take: (resource) =>
        Effect.gen(function* () {
          const lost = yield* Deferred.make<void>()
          lose = Deferred.succeed(lost, undefined)
          fences.push(fences.length + 1)
          return Option.some({ resource, fence: fences.length, lost: Deferred.await(lost) })
        })
    })
    return Effect.gen(function* () {
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([done, fences, interrupted], [["first"], [1], false])
      yield* lose
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([done, fences, interrupted], [["first", "second"], [1, 2], true])
      const log = yield* Recovery.Recovery.use((recovery) => recovery.log)
      assert.deepStrictEqual(
        log.map(({ action }) => action),
        ["first: its lease was lost meanwhile", "second"]
      )
    }).pipe(Effect.provide(Recovery.layer([component], { policy }).pipe(Layer.provide([Journal.layerMemory, leases]))))
  })

  it.effect("streams states, redacted", () => {
    const { component, world } = makeWorld()
    const redactor = Layer.succeed(Redaction.Redactor, Redaction.make(["hunter2"]))
    return Effect.gen(function* () {
      const recovery = yield* Recovery.Recovery
      const seen: Array<Report.ComponentState> = []
      const watching = yield* Effect.forkChild(
        Stream.runForEach(recovery.changes, ([state]) =>
          Effect.sync(() => {
            if (state !== undefined) seen.push(state)
          })
        )
      )
      yield* TestClock.adjust("2 seconds")
      world.down = true
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(watching)
      const statuses = seen.map((state) => state.status).filter((status, at, all) => status !== all[at - 1])
      assert.deepStrictEqual(statuses.slice(-5), ["Healthy", "Suspect", "Recovering", "Verifying", "Healthy"])
      assert.isTrue(seen.some((state) => state.detail !== ""))
      assert.notInclude(JSON.stringify(seen), "hunter2")
    }).pipe(Effect.provide(Layer.provide(started([component]), redactor)))
  })

  it("refuses bad options at once, naming them", () => {
    const { component } = makeWorld()
    assert.include(
      refusal(() => Recovery.layer([])),
      "components"
    )
    assert.include(
      refusal(() => Recovery.layer([component, component])),
      '"gateway"'
    )
    assert.include(
      refusal(() => Recovery.layer([component], { overrides: { other: {} } })),
      "overrides.other"
    )
    assert.include(
      refusal(() => Recovery.layer([component], { policy: { period: "-1 second" } })),
      '"-1 second"'
    )
    assert.include(
      refusal(() => Recovery.layer([component], { policy: { fall: 0 } })),
      '"fall" is 0'
    )
    assert.include(
      refusal(() => Recovery.layer([component], { policy: { within: "1 second" } })),
      "within"
    )
    const misspelt: object = { policy: { perid: "1 second" } }
    assert.include(
      refusal(() => Recovery.layer([component], misspelt)),
      '"perid"'
    )
  })
})

/** A journal that outlives the loop, as the file does, without its real time. */
const makeJournal = () => {
  const records: Array<Journal.JournalRecord> = []
  const write = (component: string, entries: ReadonlyArray<Journal.JournalEntry>) => {
    const added = entries.map((entry, index): Journal.JournalRecord => ({
      v: 1,
      seq: records.length + index + 1,
      at: "1970-01-01T00:00:00.000Z",
      component,
      entry
    }))
    records.push(...added)
    return added
  }
  const layer = Layer.sync(Journal.Journal, () => ({
    history: [...records],
    append: (component, entries) => Effect.sync(() => write(component, entries))
  }))
  return { records, write, layer }
}

describe("a loop that is restarted", () => {
  type TestJournal = ReturnType<typeof makeJournal>
  /** One life of the loop on a journal. */
  const life = <A, E>(
    journal: TestJournal,
    component: Component.Component<Down>,
    during: Effect.Effect<A, E, Recovery.Recovery>
  ) =>
    Effect.provide(
      during,
      Recovery.layer([component], { policy }).pipe(Layer.provide([journal.layer, Lease.layerMemory]))
    )
  const opened: Journal.JournalEntry = {
    _tag: "Opened",
    probe: "answers",
    signature: { _tag: "Test/Down", port: 1 },
    evidence: [],
    diagnosis: "rule",
    degraded: false
  }
  const intent: Journal.JournalEntry = {
    _tag: "Intent",
    rung: "restart",
    index: 0,
    tag: "Test/Down",
    attempt: 1,
    fence: 1
  }

  it.effect("acceptance(recovery 9): the loop restarts in the middle of a budget → the budget is preserved", () => {
    const journal = makeJournal()
    const { component, up, world } = makeWorld()
    const breakAndHeal = Effect.gen(function* () {
      const before = world.restarts
      world.down = true
      world.onRestart = up
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(world.restarts, before + 1)
    })
    return Effect.gen(function* () {
      yield* life(journal, component, Effect.andThen(breakAndHeal, breakAndHeal))
      yield* life(journal, component, breakAndHeal)
      assert.strictEqual(world.restarts, 3)
      const [state] = yield* life(
        journal,
        component,
        Effect.gen(function* () {
          world.down = true
          yield* TestClock.adjust("30 seconds")
          return yield* Recovery.Recovery.use((recovery) => recovery.states)
        })
      )
      assert.strictEqual(world.restarts, 3)
      assert.deepInclude(state, { status: "Escalated", attempts: 3 })
    })
  })

  it.effect("an intent without an outcome is probed first, and credited when it worked", () => {
    const journal = makeJournal()
    journal.write("gateway", [opened, intent])
    const { component, world } = makeWorld()
    return Effect.gen(function* () {
      const log = yield* life(
        journal,
        component,
        Effect.andThen(
          TestClock.adjust("5 seconds"),
          Recovery.Recovery.use((recovery) => recovery.log)
        )
      )
      assert.strictEqual(world.restarts, 0)
      assert.deepInclude(log.at(-1), { action: "restart", success: true })
    })
  })

  it.effect("an intent without an outcome that did not work is not repeated before the probes have said so", () => {
    const journal = makeJournal()
    journal.write("gateway", [opened, intent])
    const { component, world } = makeWorld()
    world.down = true
    return Effect.gen(function* () {
      yield* life(
        journal,
        component,
        Effect.gen(function* () {
          yield* TestClock.adjust("4 seconds")
          assert.strictEqual(world.restarts, 0)
        })
      )
    })
  })

  it.effect("statistics and log survive", () => {
    const journal = makeJournal()
    const { component, world } = makeWorld()
    const report = Recovery.Recovery.use((recovery) => Effect.all([recovery.log, recovery.statistics]))
    return Effect.gen(function* () {
      const before = yield* life(
        journal,
        component,
        Effect.gen(function* () {
          world.down = true
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(world.restarts, 1)
          return yield* report
        })
      )
      assert.strictEqual(before[0].length, 1)
      assert.deepStrictEqual(yield* life(journal, component, report), before)
    })
  })

  it.effect("nothing is done that cannot be journalled", () => {
    const { component, world } = makeWorld()
    world.down = true
    let full = true
    let seq = 0
    const failing = Layer.succeed(Journal.Journal, {
      history: [],
      append: (name, entries) =>
        full
          ? Effect.fail(new Journal.JournalError({ path: "/full", why: "ENOSPC" }))
          : Effect.sync(() => entries.map((entry) => ({ v: 1, seq: ++seq, at: "", component: name, entry }) as const))
    })
    return Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(world.restarts, 0)
      const [state] = yield* Recovery.Recovery.use((recovery) => recovery.states)
      assert.strictEqual(state?.status, "Unhealthy")
      assert.include(state?.detail, "ENOSPC")
      full = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(world.restarts, 1)
      const log = yield* Recovery.Recovery.use((recovery) => recovery.log)
      assert.deepInclude(log.at(-1), { error: "Test/Down", action: "restart", success: true })
    }).pipe(Effect.provide(Recovery.layer([component], { policy }).pipe(Layer.provide([failing, Lease.layerMemory]))))
  })
})
