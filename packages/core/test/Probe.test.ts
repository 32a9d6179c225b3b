import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/testing/TestClock"

import * as Probe from "../src/Probe.ts"
import * as Redaction from "../src/Redaction.ts"
import * as Verdict from "../src/Verdict.ts"
import * as F from "./fixture.ts"
import { refusal } from "./support.ts"

const verdicts = {
  healthy: Verdict.healthy,
  inconclusive: Verdict.inconclusive("the network is down"),
  degraded: Verdict.degraded(new F.QueueStuck({ length: 3 }), ["3 wait"]),
  unhealthy: Verdict.unhealthy(new F.OutOfMemory({ rss: 1 }), ["1 byte"])
} satisfies Record<string, Verdict.Verdict<F.OutOfMemory | F.QueueStuck>>

type Name = keyof typeof verdicts

const names: ReadonlyArray<Name> = ["healthy", "inconclusive", "degraded", "unhealthy"]

const finding = (name: Name, options: Partial<Pick<Probe.Any, "effects" | "duringStartup" | "reach">> = {}) =>
  Probe.make({
    ...options,
    name,
    reports: [F.OutOfMemory, F.QueueStuck],
    check: Effect.succeed<Verdict.Verdict<F.OutOfMemory | F.QueueStuck>>(verdicts[name])
  })

const lasting = (timeout?: Duration.Input) =>
  Probe.make({ name: "p", reports: [], check: Effect.succeed(Verdict.healthy), timeout })

const millis = ({ timeout }: Probe.Any) => timeout && Duration.toMillis(timeout)

describe("Probe.make", () => {
  it("changes nothing and waits for the start unless told", () => {
    const { duringStartup, effects } = F.memory
    assert.deepStrictEqual({ effects, duringStartup }, { effects: "none", duringStartup: "held" })
    const told = finding("healthy", { effects: "synthetic", duringStartup: "judged" })
    assert.deepStrictEqual([told.effects, told.duringStartup], ["synthetic", "judged"])
  })

  it("refuses bad options by name", () => {
    const check = Effect.succeed(Verdict.healthy)
    const refused = (options: object) => refusal(() => Probe.make({ name: "x", reports: [], check, ...options }))
    assert.strictEqual(refused({ name: "" }).option, "name")
    assert.strictEqual(refused({ effects: "some" }).option, "effects")
    assert.strictEqual(refused({ duringStartUp: "judged" }).option, "duringStartUp")
    for (const value of [undefined, () => check]) assert.strictEqual(refused({ check: value }).option, "check")
    const error = refused({ duringStartup: "ignored" })
    assert.deepStrictEqual(
      [error.option, error.value, error.expected],
      ["duringStartup", "ignored", "one of held, judged"]
    )
  })
})

const sleeping = (name: string, seconds: number) =>
  Probe.make({
    name,
    reports: [],
    check: Effect.as(Effect.sleep(Duration.seconds(seconds)), Verdict.healthy)
  })

const effects = (...all: ReadonlyArray<Probe.Effects>) => {
  const [first = "none", ...others] = all
  return Probe.all("x", [
    finding("healthy", { effects: first }),
    ...others.map((one) => finding("healthy", { effects: one }))
  ]).effects
}

describe("combining", () => {
  // Ascending: what stands later wins.
  const ranks = {
    all: ["healthy", "inconclusive", "degraded", "unhealthy"],
    any: ["unhealthy", "inconclusive", "degraded", "healthy"]
  } satisfies Record<string, ReadonlyArray<Name>>

  for (const [kind, combine] of [
    ["all", Probe.all],
    ["any", Probe.any]
  ] as const) {
    for (const first of names) {
      for (const second of names) {
        it.effect(`${kind} of ${first} and ${second}`, () =>
          Effect.gen(function* () {
            const { check } = combine("both", [finding(first), finding(second)])
            const rank: ReadonlyArray<Name> = ranks[kind]
            const winner = rank.indexOf(second) > rank.indexOf(first) ? second : first
            assert.deepStrictEqual(yield* check, verdicts[winner])
          })
        )
      }
    }
  }

  it.effect("takes the first of equals, as causes come before symptoms", () =>
    Effect.gen(function* () {
      const other = Verdict.unhealthy(new F.QueueStuck({ length: 9 }))
      const second = Probe.make({ name: "second", reports: [F.QueueStuck], check: Effect.succeed(other) })
      assert.deepStrictEqual(yield* Probe.all("both", [finding("unhealthy"), second]).check, verdicts.unhealthy)
      assert.deepStrictEqual(yield* Probe.all("both", [second, finding("unhealthy")]).check, other)
    })
  )

  it.effect("asks all at once, so it takes as long as the slowest", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        Probe.all("slow", [sleeping("a", 3), sleeping("b", 4), sleeping("c", 2)]).check
      )
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed(Verdict.healthy))
    })
  )

  it.effect("a broken part does not hide what the others know, and is unknown itself", () =>
    Effect.gen(function* () {
      const broken = Probe.make({ name: "bad", reports: [F.OutOfMemory], check: Effect.die("a bug") })
      const unknown = Verdict.inconclusive("bad is broken: a bug")
      assert.deepStrictEqual(yield* Probe.any("x", [finding("healthy"), broken]).check, verdicts.healthy)
      assert.deepStrictEqual(yield* Probe.any("x", [finding("unhealthy"), broken]).check, unknown)
      assert.deepStrictEqual(yield* Probe.quorum("x", 1, [broken, finding("healthy")]).check, verdicts.healthy)
      assert.deepStrictEqual(yield* Probe.all("x", [broken, finding("unhealthy")]).check, verdicts.unhealthy)
      assert.deepStrictEqual(yield* Probe.all("x", [finding("healthy"), broken]).check, unknown)
    })
  )

  it("reports what its parts report, and is as far-reaching as the worst of them", () => {
    assert.deepStrictEqual(Probe.all("x", [F.port, F.memory]).reports, [F.PortHeld, F.NotListening, F.OutOfMemory])
    assert.strictEqual(effects("none", "none"), "none")
    assert.strictEqual(effects("none", "own-file"), "own-file")
    assert.strictEqual(effects("own-file", "synthetic"), "synthetic")
    assert.strictEqual(effects("synthetic", "own-file"), "synthetic")
  })

  it("a combination is excused with the network only if that says nothing of a part on this machine", () => {
    const [host, network] = [finding("healthy", { reach: "host" }), finding("healthy", { reach: "network" })]
    assert.strictEqual(Probe.all("x", [network, network]).reach, "network")
    assert.strictEqual(Probe.all("x", [network, host]).reach, "host")
    assert.strictEqual(Probe.quorum("x", 1, [network, host]).reach, "host")
    assert.strictEqual(Probe.any("x", [network, host]).reach, "network")
    assert.strictEqual(Probe.any("x", [host, host]).reach, "host")
  })

  it("takes as long as the longest part, if each has a timeout; a timeout around it is the shorter", () => {
    assert.strictEqual(millis(lasting("2 seconds")), 2000)
    assert.strictEqual(millis(lasting()), undefined)
    assert.strictEqual(millis(Probe.all("x", [lasting(1000), lasting("3 seconds"), lasting(2000)])), 3000)
    assert.strictEqual(millis(Probe.any("x", [lasting(1000), lasting()])), undefined)
    assert.strictEqual(millis(Probe.withTimeout(lasting(), 500)), 500)
    assert.strictEqual(millis(Probe.withTimeout(lasting(100), 500)), 100)
    assert.strictEqual(millis(Probe.withTimeout(lasting(1000), 500)), 500)
    assert.strictEqual(millis(Probe.map(Probe.degrade(lasting(1000)), [], (one) => one)), 1000)
    assert.strictEqual(refusal(() => lasting(0)).option, "timeout")
  })

  it("is judged during startup only if every part is", () => {
    const judged = finding("healthy", { duringStartup: "judged" })
    assert.strictEqual(Probe.all("x", [judged, judged]).duringStartup, "judged")
    assert.strictEqual(Probe.all("x", [judged, finding("healthy")]).duringStartup, "held")
  })

  it("refuses an empty set and an empty name", () => {
    for (const combine of [Probe.all, Probe.any]) {
      assert.strictEqual(refusal(() => combine("x", [] as never)).option, "probes")
      assert.strictEqual(refusal(() => combine("", [F.memory])).option, "name")
    }
  })
})

const renamed = (name: Name) => Probe.map(finding(name), [F.NotListening], () => new F.NotListening({ port: 7 }))

describe("Probe.map", () => {
  it.effect("renames signatures, keeps evidence, and leaves the rest alone", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(renamed("unhealthy").reports, [F.NotListening])
      const signature = new F.NotListening({ port: 7 })
      assert.deepStrictEqual(yield* renamed("unhealthy").check, Verdict.unhealthy(signature, ["1 byte"]))
      assert.deepStrictEqual(yield* renamed("degraded").check, Verdict.degraded(signature, ["3 wait"]))
      assert.strictEqual(yield* renamed("healthy").check, verdicts.healthy)
      assert.strictEqual(yield* renamed("inconclusive").check, verdicts.inconclusive)
    })
  )
})

describe("Probe.degrade", () => {
  it.effect("turns the named signatures into a defect worth knowing", () =>
    Effect.gen(function* () {
      const { signature } = verdicts.unhealthy
      const degraded = Probe.degrade(finding("unhealthy"), "OutOfMemory")
      assert.deepStrictEqual(yield* degraded.check, Verdict.degraded(signature, ["1 byte"]))
      assert.strictEqual(yield* Probe.degrade(finding("unhealthy"), "QueueStuck").check, verdicts.unhealthy)
      assert.strictEqual(yield* Probe.degrade(finding("unhealthy")).check, verdicts.unhealthy)
      for (const name of ["healthy", "degraded", "inconclusive"] as const) {
        assert.strictEqual(yield* Probe.degrade(finding(name), "OutOfMemory", "QueueStuck").check, verdicts[name])
      }
    })
  )
})

describe("Probe.withTimeout", () => {
  it.effect("reports a check that takes too long, and has interrupted it by then", () =>
    Effect.gen(function* () {
      const interrupted = yield* Ref.make(false)
      const started = yield* Deferred.make<void>()
      const hanging = Probe.make({
        name: "hanging",
        reports: [F.OutOfMemory],
        check: Deferred.succeed(started, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Ref.set(interrupted, true))
        )
      })
      const probe = Probe.withTimeout(hanging, "3 seconds")
      assert.deepStrictEqual(probe.reports, [F.OutOfMemory, Probe.Timeout])
      const fiber = yield* Effect.forkChild(probe.check)
      yield* Deferred.await(started)
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      assert.isFalse(yield* Ref.get(interrupted))
      yield* TestClock.adjust("1 millis")
      const timeout = new Probe.Timeout({ probe: "hanging", after: Duration.seconds(3) })
      assert.deepStrictEqual(yield* Fiber.join(fiber), Verdict.unhealthy(timeout))
      assert.isTrue(yield* Ref.get(interrupted))
    })
  )

  it.effect("does not touch a check that ends in time", () =>
    Effect.gen(function* () {
      const slow = Probe.make({
        name: "slow",
        reports: [F.OutOfMemory],
        check: Effect.as(Effect.sleep("2 seconds"), verdicts.unhealthy)
      })
      const fiber = yield* Effect.forkChild(Probe.withTimeout(slow, "3 seconds").check)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), verdicts.unhealthy)
    })
  )

  it.effect("leaves a bug a bug", () =>
    Effect.gen(function* () {
      const broken = Probe.make({ name: "broken", reports: [], check: Effect.die("a bug") })
      assert.deepStrictEqual(yield* Effect.exit(Probe.withTimeout(broken, "1 second").check), Exit.die("a bug"))
    })
  )

  it("refuses a timeout that never comes, or at once", () => {
    for (const after of ["0 millis", "Infinity", "soon", Number.NaN] as const) {
      assert.strictEqual(refusal(() => Probe.withTimeout(F.memory, after as never)).option, "after")
    }
  })
})

const quorum = (least: number, ...found: ReadonlyArray<Name>) => {
  const [first = "healthy", ...others] = found
  return Probe.quorum("some", least, [finding(first), ...others.map((one) => finding(one))]).check
}

describe("Probe.quorum", () => {
  it.effect("gives the verdict of the n-th best", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* quorum(2, "healthy", "unhealthy", "healthy"), verdicts.healthy)
      assert.deepStrictEqual(yield* quorum(2, "healthy", "unhealthy", "unhealthy"), verdicts.unhealthy)
      assert.deepStrictEqual(yield* quorum(2, "healthy", "degraded", "unhealthy"), verdicts.degraded)
      assert.deepStrictEqual(yield* quorum(2, "unhealthy", "healthy", "inconclusive"), verdicts.inconclusive)
      assert.deepStrictEqual(yield* quorum(1, "unhealthy", "inconclusive", "healthy"), verdicts.healthy)
      assert.deepStrictEqual(yield* quorum(3, "healthy", "healthy", "unhealthy"), verdicts.unhealthy)
    })
  )

  it("refuses more than there are, and none", () => {
    const error = refusal(() => Probe.quorum("some", 3, [finding("healthy"), finding("healthy")]))
    assert.deepStrictEqual([error.option, error.value, error.expected], ["least", 3, "an integer from 1 to 2"])
    assert.strictEqual(refusal(() => Probe.quorum("some", 0, [F.memory])).option, "least")
    assert.strictEqual(refusal(() => Probe.quorum("some", 1, [] as never)).option, "probes")
  })
})

const asking = (target: string, question: unknown, name = "asking") =>
  Probe.make({ name, target, question, reports: [F.OutOfMemory], check: Effect.succeed(Verdict.healthy) })
const same = (one: Probe.Any, other: Probe.Any) =>
  Probe.question(one) !== undefined && Equal.equals(Probe.question(one), Probe.question(other))
const secret = (value: string) => ({ key: Redacted.make(value), body: /ok/i, status: [200] })
const toPort = () => new F.NotListening({ port: 7 })

describe("Probe.question", () => {
  it("is equal for probes of one target with equal questions, whatever their names", () => {
    assert.isTrue(same(asking("db", secret("a")), asking("db", secret("a"), "other")))
    assert.isFalse(same(asking("db", secret("a")), asking("db", secret("b"))))
    assert.isFalse(same(asking("db", secret("a")), asking("cache", secret("a"))))
    assert.isFalse(same(asking("db", undefined), asking("db", undefined)))
  })

  it("does not survive another check, and is changed by what changes the verdict", () => {
    const probe = asking("db", "SELECT 1")
    assert.isUndefined(Probe.question({ ...probe, check: Effect.succeed(Verdict.inconclusive("other")) }))
    assert.isTrue(same(probe, { ...probe, name: "renamed" }))
    assert.isFalse(same(probe, Probe.degrade(probe, "OutOfMemory")))
    assert.isTrue(same(Probe.degrade(probe, "OutOfMemory"), Probe.degrade(probe, "OutOfMemory")))
    assert.isTrue(same(Probe.withTimeout(probe, "1 second"), Probe.withTimeout(probe, 1000)))
    assert.isFalse(same(Probe.withTimeout(probe, "1 second"), Probe.withTimeout(probe, "2 seconds")))
    assert.isTrue(same(Probe.map(probe, [F.NotListening], toPort), Probe.map(probe, [F.NotListening], toPort)))
    assert.isUndefined(Probe.question(Probe.all("both", [probe, probe])))
  })
})

const returning = (value: unknown) =>
  Probe.examine(
    Probe.make({ name: "it", reports: [F.OutOfMemory], check: Effect.succeed(value as typeof Verdict.healthy) })
  )

describe("Probe.examine", () => {
  it.effect("hands verdicts on", () =>
    Effect.gen(function* () {
      for (const name of ["healthy", "inconclusive", "unhealthy"] as const) {
        assert.deepStrictEqual(yield* returning(verdicts[name]), verdicts[name])
      }
      assert.deepStrictEqual(yield* returning(Verdict.healthyWith(["5 ms"])), Verdict.healthyWith(["5 ms"]))
    })
  )

  it.effect("takes a defect, no verdict and an undeclared signature for inconclusive", () =>
    Effect.gen(function* () {
      const broken = Probe.make({ name: "it", reports: [F.OutOfMemory], check: Effect.die(new Error("a bug")) })
      assert.deepStrictEqual(yield* Probe.examine(broken), Verdict.inconclusive("it is broken: Error: a bug"))
      for (const value of [undefined, null, 5, "Healthy", {}, { _tag: "Fine" }]) {
        assert.deepStrictEqual(yield* returning(value), Verdict.inconclusive("it returned no verdict"))
      }
      for (const value of [verdicts.degraded, { _tag: "Unhealthy" }, { _tag: "Unhealthy", signature: "x" }]) {
        assert.deepStrictEqual(
          yield* returning(value),
          Verdict.inconclusive("it reported a signature that it does not declare")
        )
      }
      assert.deepStrictEqual(yield* returning({ _tag: "Inconclusive" }), Verdict.inconclusive("no reason given"))
    })
  )

  it.effect("neither fails nor dies, whatever was thrown or returned", () =>
    Effect.gen(function* () {
      const mute: unknown = Object.create(null)
      const thrown = Probe.make({ name: "it", reports: [], check: Effect.die(mute) })
      assert.deepStrictEqual(
        yield* Probe.examine(thrown),
        Verdict.inconclusive("it is broken: something without a text")
      )
      const evidence = ["something without a text", "Symbol(x)"]
      assert.deepStrictEqual(
        yield* returning({ _tag: "Healthy", evidence: [mute, Symbol("x")] }),
        Verdict.healthyWith(evidence)
      )
      const reason = yield* returning({ _tag: "Inconclusive", reason: mute })
      assert.deepStrictEqual(reason, Verdict.inconclusive("something without a text"))
      const traps = {
        _tag: "Healthy",
        get evidence() {
          throw new Error("a trap")
        }
      }
      assert.deepStrictEqual(yield* returning(traps), Verdict.inconclusive("it is broken: Error: a trap"))
      for (const check of [undefined, 5, () => thrown.check] as ReadonlyArray<unknown>) {
        const without = { ...thrown, check: check as typeof thrown.check }
        const expected = Verdict.inconclusive("it is broken: its check is no Effect")
        assert.deepStrictEqual(yield* Probe.examine(without), expected)
        assert.deepStrictEqual(yield* Probe.all("x", [without]).check, expected)
      }
    })
  )

  it.effect("a reason is short, in one line, and without secrets", () =>
    Effect.gen(function* () {
      for (const value of [
        Effect.die(new Error(`no\n\u001b[31m hunter2-hunter2 ${"a".repeat(10_000)}`)),
        Effect.succeed(Verdict.inconclusive(`no\n hunter2-hunter2 ${"a".repeat(10_000)}`))
      ]) {
        const verdict = yield* Probe.examine(Probe.make({ name: "it", reports: [], check: value }))
        const reason = verdict._tag === "Inconclusive" ? verdict.reason : ""
        assert.strictEqual(reason.length, 200)
        assert.match(reason, /^(it is broken: Error: )?no( \[31m)? <redacted> a+$/)
      }
    }).pipe(Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-hunter2"])))
  )
})
