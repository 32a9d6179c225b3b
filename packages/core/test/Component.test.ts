import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Component from "../src/Component.ts"
import * as Probe from "../src/Probe.ts"
import * as Verdict from "../src/Verdict.ts"
import * as F from "./fixture.ts"
import { refusal } from "./support.ts"

const make = (probes: ReadonlyArray<unknown>, runbook: unknown, name = "gateway"): unknown =>
  Component.make({ name, probes: probes as ReadonlyArray<typeof F.memory> }, runbook as never)

const refused = (probes: ReadonlyArray<unknown>, runbook: unknown, option: string, expected: string) => {
  const error = refusal(() => make(probes, runbook))
  assert.deepStrictEqual([error.module, error.option], ["Component", option])
  assert.include(error.expected, expected)
  assert.include(error.message, option)
}

describe("Component.make", () => {
  it("refuses what the compiler cannot refuse in JavaScript, and names it", () => {
    const rung = 'gateway.runbook["OutOfMemory"]'
    refused([], {}, "gateway.probes", "at least one probe")
    refused([F.memory], {}, rung, "Component.escalate")
    refused([F.memory], { OutOfMemory: [] }, rung, "at least one remedy")
    for (const answer of [undefined, null, "restart", 1, F.restore, { _tag: "Escalated" }]) {
      refused([F.memory], { OutOfMemory: answer }, rung, "at least one remedy")
    }
    refused(
      [F.memory],
      { OutOfMemory: [F.restore], Ghost: [F.restore] },
      'gateway.runbook["Ghost"]',
      "only tags that a probe reports: OutOfMemory"
    )
    refused([F.memory, F.memory], { OutOfMemory: [F.restore] }, "gateway.probes", "a name for each probe")
  })

  it("refuses a rung that is only inherited", () => {
    const error = refusal(() => make([F.memory], Object.create({ OutOfMemory: [F.restore] })))
    assert.strictEqual(error.option, 'gateway.runbook["OutOfMemory"]')
  })

  it("refuses two classes of one tag, and takes one class twice", () => {
    class Other extends Schema.TaggedClass<Other>("test/other/OutOfMemory")("OutOfMemory", {}) {}
    const check = Effect.succeed(Verdict.healthy)
    const other = Probe.make({ name: "other", reports: [Other], check })
    const error = refusal(() => make([F.memory, other], { OutOfMemory: [F.restore] }))
    assert.deepStrictEqual([error.option, error.value], ["gateway.probes", "OutOfMemory"])
    const again = Probe.make({ name: "again", reports: [F.OutOfMemory], check })
    const component = Component.make({ name: "x", probes: [F.memory, again] }, { OutOfMemory: [F.restore] })
    assert.deepStrictEqual([...component.signatures], [["OutOfMemory", F.OutOfMemory]])
  })

  it("refuses an empty name", () => {
    assert.strictEqual(refusal(() => make([F.memory], { OutOfMemory: [F.restore] }, "")).option, "name")
  })

  it("keeps probes in order and rungs by tag", () => {
    const { probes, runbook } = Component.make({ name: "a", probes: F.preset.probes }, F.preset.runbook)
    assert.deepStrictEqual(
      probes.map((probe) => probe.name),
      ["port", "memory", "pairing"]
    )
    assert.strictEqual(runbook.get("PortHeld"), F.preset.runbook.PortHeld)
    assert.deepStrictEqual(runbook.get("PairingRequired"), Component.escalate("a human approves the device"))
  })

  it("takes tags that objects have by nature", () => {
    class Odd extends Schema.TaggedClass<Odd>("test/toString")("toString", {}) {}
    const odd = Probe.make({ name: "odd", reports: [Odd], check: Effect.succeed(Verdict.healthy) })
    assert.strictEqual(refusal(() => make([odd], {})).option, 'gateway.runbook["toString"]')
    const component = Component.make({ name: "x", probes: [odd] }, { toString: Component.observe("odd") })
    assert.isTrue(component.runbook.has("toString"))
  })
})

describe("the lifecycle", () => {
  it.effect("is Running unless told", () =>
    Effect.gen(function* () {
      const component = Component.make({ name: "x", probes: [F.memory] }, { OutOfMemory: Component.observe("known") })
      assert.strictEqual(yield* component.lifecycle, "Running")
    })
  )

  it.effect("is asked of whom was named", () =>
    Effect.gen(function* () {
      const component = Component.make(
        { name: "x", probes: [F.memory], lifecycle: F.Life.use((life) => life.now) },
        { OutOfMemory: Component.observe("known") }
      )
      const life = Context.make(F.Life, { now: Effect.succeed<Component.Lifecycle>("Stopped") })
      assert.strictEqual(yield* Effect.provide(component.lifecycle, life), "Stopped")
    })
  )
})
