import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Alerts from "../src/Alerts.ts"
import * as Dependencies from "../src/Dependencies.ts"
import type { Status } from "../src/Health.ts"
import { refusal } from "./support.ts"

type Statuses = Readonly<Record<string, Status>>

/** Drives a machine, and says what it tells in short: `+db`, `-api Parent db`. */
const machine = (policy: Alerts.Policy) => {
  let state = Alerts.initial
  return (now: number, statuses: Statuses = {}, withheld: Readonly<Record<string, Alerts.Withheld>> = {}) => {
    const readings = Object.entries(statuses).map(([target, status]) => ({ target, status }))
    const decision = Alerts.step(policy, state, { readings, withheld: (target) => withheld[target] }, now)
    state = decision.state
    return {
      state,
      suppressed: decision.suppressed.map(({ by, target, why }) => [target, why, by].join(" ").trim()),
      told: [
        ...decision.resolve.map(({ by, target, why }) => `-${[target, why, by].join(" ").trim()}`),
        ...decision.raise.map(({ target }) => `+${target}`)
      ]
    }
  }
}

/** Times in seconds for legibility: a hold-down of 10 is 10 milliseconds. */
const family = Alerts.make({
  targets: { db: {}, api: { dependsOn: ["db"] }, web: { dependsOn: ["api"] }, mail: {} },
  holdDown: 10
})

const D = "Unhealthy" as const
const U = "Healthy" as const

describe("one target", () => {
  it("is told once, and taken back once", () => {
    const step = machine(family)
    assert.deepStrictEqual(step(0, { mail: U }).told, [])
    assert.deepStrictEqual(step(1, { mail: D }).told, ["+mail"])
    assert.deepStrictEqual(step(2, { mail: D }).told, [])
    assert.deepStrictEqual(step(3, { mail: U }).told, ["-mail Recovered"])
    assert.deepStrictEqual(step(4, { mail: U }).told, [])
  })

  it("is told with its number and since when", () => {
    const { raise, state } = Alerts.step(family, Alerts.initial, { readings: [{ target: "mail", status: D }] }, 5)
    assert.deepStrictEqual(raise, [{ id: 1, target: "mail", since: 5 }])
    assert.deepStrictEqual(Alerts.open(state), raise)
    const second = Alerts.step(family, state, { readings: [{ target: "db", status: D }] }, 6)
    assert.deepStrictEqual(second.raise, [{ id: 2, target: "db", since: 6 }])
    assert.deepStrictEqual(
      Alerts.step(family, second.state, { readings: [{ target: "mail", status: U }] }, 7).resolve,
      [{ id: 1, target: "mail", since: 5, why: "Recovered" }]
    )
  })

  it("that is degraded works", () => {
    const step = machine(family)
    step(0, { mail: D })
    const { state, told } = step(1, { mail: "Degraded" })
    assert.deepStrictEqual(told, ["-mail Recovered"])
    assert.deepStrictEqual(state.recorded.get("mail"), { status: "Degraded", since: 1 })
  })

  it("that nobody can tell of stays as it was", () => {
    const step = machine(family)
    assert.deepStrictEqual(step(0, { mail: "Unknown" }).told, [])
    const { state } = step(1, { mail: D })
    assert.deepStrictEqual(step(2, { mail: "Unknown" }), { told: [], suppressed: [], state })
  })

  it("counts by its last reading of a step", () => {
    const readings = [D, U, D].map((status): Alerts.Reading => ({ target: "mail", status }))
    const first = Alerts.step(family, Alerts.initial, { readings }, 0)
    assert.strictEqual(first.raise.length, 1)
    const again = Alerts.step(family, first.state, { readings: [{ target: "mail", status: U }, ...readings] }, 1)
    assert.deepStrictEqual([again.raise, again.resolve], [[], []])
    const back = Alerts.step(family, first.state, { readings: readings.slice(0, 2) }, 1)
    assert.deepStrictEqual(
      back.resolve.map(({ why }) => why),
      ["Recovered"]
    )
  })

  it("that does not exist is refused", () => {
    const error = refusal(() => machine(family)(0, { stranger: U }))
    assert.deepStrictEqual([error.module, error.option, error.value], ["Alerts", "target", "stranger"])
  })
})

describe("dependencies", () => {
  it("acceptance(core-and-probes 10): parent down, 30 children fail: 1 alert, 30 states recorded, earlier alerts resolve", () => {
    const children = Array.from({ length: 30 }, (_, index) => `child${index}`)
    const policy = Alerts.make({
      targets: { parent: {}, ...Object.fromEntries(children.map((child) => [child, { dependsOn: ["parent"] }])) },
      holdDown: 10
    })
    const step = machine(policy)
    const all = (status: Status) => Object.fromEntries(children.map((child) => [child, status]))
    step(0, { parent: U, ...all(U) })
    // Three have failed for long enough by themselves.
    step(1, { child0: D, child1: D, child2: D })
    assert.deepStrictEqual(step(11, { child0: D, child1: D, child2: D }).told, ["+child0", "+child1", "+child2"])
    // The rest is seen to fail before its parent is.
    assert.deepStrictEqual(step(12, all(D)).told, [])
    const outage = step(13, { parent: D })
    assert.deepStrictEqual(outage.told, [
      "-child0 Parent parent",
      "-child1 Parent parent",
      "-child2 Parent parent",
      "+parent"
    ])
    assert.deepStrictEqual(
      outage.suppressed,
      children.map((child) => `${child} Parent parent`)
    )
    const recorded = children.map((child) => outage.state.recorded.get(child)?.status)
    assert.deepStrictEqual(
      recorded,
      Array.from({ length: 30 }, () => "Unhealthy")
    )
    assert.deepStrictEqual(
      Alerts.open(outage.state).map(({ target }) => target),
      ["parent"]
    )
    for (let now = 14; now < 100; now += 1) assert.deepStrictEqual(step(now, all(D)).told, [])
    // It comes back; all but one come back with it.
    assert.deepStrictEqual(step(100, { parent: U, ...all(U), child7: D }).told, ["-parent Recovered"])
    assert.deepStrictEqual(step(109, { child7: D }).told, [])
    assert.deepStrictEqual(step(110, { child7: D }).told, ["+child7"])
    assert.deepStrictEqual(step(111, { child7: U }).told, ["-child7 Recovered"])
  })

  it("a cause is told before what needs it", () => {
    const step = machine(Alerts.make({ targets: { web: { dependsOn: ["db"], holdDown: 0 }, db: {} } }))
    assert.deepStrictEqual(step(0, { web: D, db: D }).told, ["+db"])
    assert.deepStrictEqual(step(1, { db: U }).suppressed, ["web HoldDown"])
  })

  it("the root cause is named, also where what lies between was not checked", () => {
    const step = machine(family)
    assert.deepStrictEqual(step(0, { db: D, web: D }).suppressed, ["web Parent db"])
    assert.deepStrictEqual(step(1, { api: D }).suppressed, ["api Parent db", "web Parent db"])
    assert.deepStrictEqual(step(2, { db: U }).suppressed, ["api HoldDown", "web Parent api"])
  })

  it("a child is told when it has failed for the hold-down by itself", () => {
    const step = machine(family)
    assert.deepStrictEqual(step(0, { db: U, api: D }).suppressed, ["api HoldDown"])
    assert.deepStrictEqual(step(9, { api: D }).told, [])
    assert.deepStrictEqual(step(10, { api: D }).told, ["+api"])
  })

  it("time in which nobody could tell counts for nothing", () => {
    const step = machine(family)
    step(0, { db: U, api: D })
    assert.deepStrictEqual(step(50, { api: "Unknown" }).suppressed, ["api HoldDown"])
    assert.deepStrictEqual(step(51, { api: D }).told, ["+api"])
  })

  it("after its parent is back a child must be seen to fail again", () => {
    const step = machine(family)
    step(0, { db: D, api: D })
    step(1, { db: U })
    assert.deepStrictEqual(step(50, { api: "Unknown" }).suppressed, ["api HoldDown"])
    assert.deepStrictEqual(step(51, { api: D }).told, ["+api"])
  })

  it("a child that comes back while its parent is down is recorded, and not told", () => {
    const step = machine(family)
    step(0, { db: D, api: D })
    const { state, told } = step(1, { api: U })
    assert.deepStrictEqual([told, state.recorded.get("api")?.status], [[], "Healthy"])
  })

  it("a parent that nobody can tell of neither hides its children nor shows them", () => {
    const step = machine(family)
    step(0, { db: "Unknown", api: D })
    assert.deepStrictEqual(step(10, { db: "Unknown", api: D }).told, ["+api"])
    const other = machine(family)
    other(0, { db: D, api: D })
    assert.deepStrictEqual(other(50, { db: "Unknown", api: D }).suppressed, ["api Parent db"])
  })
})

describe("what is withheld", () => {
  for (const why of ["Starting", "Draining", "Maintenance"] as const) {
    it(`${why}: it is recorded, and told when that is over`, () => {
      const step = machine(family)
      const during = step(0, { mail: D }, { mail: why })
      assert.deepStrictEqual([during.told, during.suppressed], [[], [`mail ${why}`]])
      assert.strictEqual(during.state.recorded.get("mail")?.status, "Unhealthy")
      assert.deepStrictEqual(step(50).told, ["+mail"])
    })

    it(`${why}: what was told before stays told until it recovers`, () => {
      const step = machine(family)
      step(0, { mail: D })
      assert.deepStrictEqual(step(1, { mail: D }, { mail: why }).told, [])
      assert.deepStrictEqual(step(2, { mail: U }, { mail: why }).told, ["-mail Recovered"])
    })

    it(`${why}: it explains its children's failures, and takes back nothing`, () => {
      const step = machine(family)
      step(0, { api: D })
      assert.deepStrictEqual(step(20, { api: D }).told, ["+api"])
      const during = step(21, { web: D, api: U }, { db: why })
      assert.deepStrictEqual([during.told, during.suppressed], [["-api Recovered"], ["web Parent db"]])
      assert.deepStrictEqual(step(40, { web: D }, { db: why }).told, [])
      // It gets its hold-down to come back as well.
      assert.deepStrictEqual(step(41, { web: D }).suppressed, ["web HoldDown"])
      assert.deepStrictEqual(step(51, { web: D }).told, ["+web"])
      assert.deepStrictEqual(step(52, {}, { db: why }).told, [])
    })
  }

  it("what is still wrong when the maintenance of all ends is told then, by its cause", () => {
    const step = machine(family)
    const all = { db: "Maintenance", api: "Maintenance", web: "Maintenance", mail: "Maintenance" } as const
    step(0, { db: D, api: D, mail: D }, all)
    assert.deepStrictEqual(step(50, { mail: U }, all).told, [])
    assert.deepStrictEqual(step(60).told, ["+db"])
  })

  it("what is stopped on request is no problem any more", () => {
    const step = machine(family)
    step(0, { mail: D })
    const stopped = step(1, {}, { mail: "Stopped" })
    assert.deepStrictEqual([stopped.told, stopped.suppressed], [["-mail Stopped"], []])
    assert.deepStrictEqual(step(2, { mail: D }, { mail: "Stopped" }).told, [])
    // Started again, it has to fail anew.
    assert.deepStrictEqual(step(3).told, [])
    assert.deepStrictEqual(step(4, { mail: D }).told, ["+mail"])
  })
})

it("an alert of what is no target any more is resolved", () => {
  const { state } = Alerts.step(family, Alerts.initial, { readings: [{ target: "mail", status: D }] }, 0)
  const smaller = Alerts.make({ targets: { db: {} } })
  const first = Alerts.step(smaller, state, {}, 1)
  assert.deepStrictEqual(
    first.resolve.map(({ id, why }) => [id, why]),
    [[1, "Removed"]]
  )
  assert.deepStrictEqual(Alerts.step(smaller, first.state, {}, 2).resolve, [])
})

it("nothing is copied while nothing changes", () => {
  const { state } = Alerts.step(family, Alerts.initial, { readings: [{ target: "mail", status: U }] }, 0)
  const same = Alerts.step(family, state, { readings: [{ target: "mail", status: U }] }, 1)
  assert.strictEqual(same.state.recorded, state.recorded)
})

const holdDowns = (options: Alerts.AlertsOptions) => [...Alerts.make(options).holdDowns.values()]

describe("options", () => {
  it("the hold-down is 10 seconds for what depends on others, unless told for all or for one", () => {
    const targets = {
      db: {},
      api: { dependsOn: ["db"] },
      web: { dependsOn: ["db"], holdDown: 7 },
      dns: { holdDown: 3 }
    }
    assert.deepStrictEqual(holdDowns({ targets }), [0, 10_000, 7, 3])
    assert.deepStrictEqual(holdDowns({ targets, holdDown: 5 }), [0, 5, 7, 3])
  })

  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["targets", { targets: [] }],
    ["targets", {}],
    ["targets.a", { targets: { a: null } }],
    ["targets.a", { targets: { a: "b" } }],
    ["holdDown", { targets: {}, holdDown: -1 }],
    ["targets.a.holdDown", { targets: { a: { holdDown: "long" } } }],
    ["targets.a.dependOn", { targets: { a: { dependOn: ["b"] } } }],
    ["targets.a.dependsOn", { targets: { a: { dependsOn: ["b"] } } }],
    ["targets", { targets: { a: { dependsOn: ["b"] }, b: { dependsOn: ["a"] } } }],
    ["holdOff", { targets: {}, holdOff: 1 }]
  ]
  for (const [option, options] of bad) {
    it(`${JSON.stringify(options)} is refused`, () => {
      const error = refusal(() => Alerts.make(options as Alerts.AlertsOptions))
      assert.deepStrictEqual([error.module, error.option], ["Alerts", option])
    })
  }
})

/** Each target depends on earlier ones only, so that there is no cycle. */
const names = ["a", "b", "c", "d", "e"] as const
const Graph = Schema.Tuple([
  Schema.Boolean,
  Schema.Boolean,
  Schema.Boolean,
  Schema.Boolean,
  Schema.Boolean,
  Schema.Boolean
])
const Name = Schema.Literals(names)
const Event = Schema.Struct({
  pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 15 })),
  readings: Schema.Array(
    Schema.Struct({
      target: Name,
      status: Schema.Literals(["Healthy", "Degraded", "Unhealthy", "Unhealthy", "Unknown"])
    })
  ).check(Schema.isMaxLength(4)),
  withheld: Schema.Struct({
    target: Name,
    why: Schema.Literals(["none", "none", "Starting", "Draining", "Stopped", "Maintenance"])
  })
})
const Events = Schema.Array(Event).check(Schema.isMaxLength(40))

const needs = (...edges: ReadonlyArray<readonly [string, boolean]>) => ({
  dependsOn: edges.flatMap(([name, is]) => (is ? [name] : []))
})

const policyOf = ([ab, ac, bc, bd, cd, de]: typeof Graph.Type) => {
  return Alerts.make({
    targets: {
      e: needs(["d", de]),
      d: needs(["b", bd], ["c", cd]),
      c: needs(["a", ac], ["b", bc]),
      b: needs(["a", ab]),
      a: {}
    },
    holdDown: 20
  })
}

describe("any history", () => {
  it.effect.prop(
    "resolves every alert exactly once, and raises none that its rules forbid or forgets one that they ask for",
    [Graph, Events],
    ([graph, events]) =>
      Effect.sync(() => {
        const policy = policyOf(graph)
        const open = new Map<number, string>()
        const ids = new Set<number>()
        let state = Alerts.initial
        let now = 0
        /** Told from readings alone. */
        const sick = new Set<string>()
        const withheld = new Map<string, Alerts.Withheld>()
        /** Since when each target was sick, seen, and free of what explains it. */
        const free = new Map<string, number>()
        const seen = new Map<string, number>()
        const step = (readings: ReadonlyArray<Alerts.Reading>) => {
          for (const { status, target } of readings) {
            if (status === "Unhealthy") sick.add(target)
            else if (status !== "Unknown") sick.delete(target)
            if (status === "Unhealthy") seen.set(target, now)
          }
          for (const target of names) {
            if (withheld.get(target) === "Stopped") sick.delete(target)
          }
          const decision = Alerts.step(policy, state, { readings, withheld: (target) => withheld.get(target) }, now)
          state = decision.state
          for (const { id, target } of decision.resolve) {
            assert.strictEqual(open.get(id), target, "resolved without having been raised, or twice")
            open.delete(id)
          }
          for (const { id, target } of decision.raise) {
            assert.isFalse(ids.has(id), "a number used twice")
            assert.isFalse([...open.values()].includes(target), "two alerts of one target")
            ids.add(id)
            open.set(id, target)
          }
          for (const target of names) {
            const isSick = (other: string) => sick.has(other)
            const explained = Dependencies.root(policy.dependencies, target, isSick) !== undefined
            const excused = Dependencies.root(policy.dependencies, target, (other) => withheld.has(other)) !== undefined
            const own = withheld.has(target)
            if (!sick.has(target) || explained || (excused && !own)) free.delete(target)
            else if (!free.has(target)) free.set(target, now)
            const alerted = [...open.values()].includes(target)
            const raised = decision.raise.some((one) => one.target === target)
            if (!sick.has(target)) assert.isFalse(alerted, "an alert of what works")
            if (explained) assert.isFalse(alerted, "an alert of a consequence")
            if (excused || own) assert.isFalse(raised, "told although withheld")
            const since = free.get(target)
            const due =
              since !== undefined && !own && (seen.get(target) ?? -1) - since >= (policy.holdDowns.get(target) ?? 0)
            if (due) assert.isTrue(alerted, "not told although due")
            if (raised) assert.isTrue(due, "told too early")
            const told = Number(alerted) + decision.suppressed.filter((one) => one.target === target).length
            assert.strictEqual(told, Number(sick.has(target)), "neither told nor suppressed, or both")
          }
          assert.deepStrictEqual(
            Alerts.open(state).map(({ id }) => id),
            [...open.keys()].toSorted((a, b) => a - b)
          )
        }
        for (const event of events) {
          now += event.pause
          const { target, why } = event.withheld
          if (why === "none") withheld.delete(target)
          else withheld.set(target, why)
          // The model takes one reading of a target in a step; that the last counts is tested above.
          step([...new Map(event.readings.map((one) => [one.target, one])).values()])
        }
        step(names.map((target) => ({ target, status: "Healthy" })))
        assert.strictEqual(open.size, 0, "an alert that nothing resolves")
      }),
    { arbitrary: { runs: 500, size: 40 } }
  )

  it.effect.prop(
    "is the same without its inconclusive readings",
    [Graph, Events],
    ([graph, events]) =>
      Effect.sync(() => {
        const policy = policyOf(graph)
        let all = Alerts.initial
        let conclusive = Alerts.initial
        let now = 0
        for (const { pause, readings } of events) {
          now += pause
          const one = Alerts.step(policy, all, { readings }, now)
          const other = Alerts.step(
            policy,
            conclusive,
            { readings: readings.filter(({ status }) => status !== "Unknown") },
            now
          )
          assert.deepStrictEqual(one, other)
          all = one.state
          conclusive = other.state
        }
      }),
    { arbitrary: { runs: 200, size: 40 } }
  )
})
