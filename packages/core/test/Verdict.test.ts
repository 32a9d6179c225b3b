import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"

import * as Probe from "../src/Probe.ts"
import * as Verdict from "../src/Verdict.ts"
import * as F from "./fixture.ts"

const journal = Schema.toCodecJson(Schema.Union([F.PortHeld, F.OutOfMemory, Probe.Timeout]))

describe("signatures", () => {
  it("have a form of their own in JSON", () => {
    const timeout = new Probe.Timeout({ probe: "p", after: Duration.seconds(3) })
    const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(journal)(timeout)))
    assert.deepStrictEqual(wire, { _tag: "Probe/Timeout", probe: "p", after: 3000 })
    const back = Schema.decodeUnknownSync(journal)(wire)
    assert.instanceOf(back, Probe.Timeout)
    assert.deepStrictEqual(back, timeout)
  })

  it.prop("come back from JSON as they were", [Schema.Union([F.PortHeld, F.OutOfMemory])], ([signature]) => {
    const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(journal)(signature)))
    // Not `deepStrictEqual`: JSON has no -0.
    assert.isTrue(Equal.equals(Schema.decodeUnknownSync(journal)(wire), signature))
  })

  it("are not taken from what has the wrong fields", () => {
    const decode = Schema.decodeUnknownOption(journal)
    for (const wire of [{ _tag: "PortHeld" }, { _tag: "PortHeld", pid: 1.5, port: 1 }, { _tag: "Ghost" }, null]) {
      assert.isTrue(decode(wire)._tag === "None", JSON.stringify(wire))
    }
  })

  it("carry no stack", () => {
    assert.isFalse("stack" in new F.OutOfMemory({ rss: 1 }))
  })
})

describe("Verdict", () => {
  it("has no evidence unless given", () => {
    const signature = new F.OutOfMemory({ rss: 1 })
    assert.deepStrictEqual(Verdict.unhealthy(signature), { _tag: "Unhealthy", signature, evidence: [] })
    assert.deepStrictEqual(Verdict.degraded(signature, ["a"]), { _tag: "Degraded", signature, evidence: ["a"] })
    assert.deepStrictEqual(Verdict.inconclusive("no"), { _tag: "Inconclusive", reason: "no" })
  })

  it("knows the tag of a class", () => {
    assert.strictEqual(Verdict.tagOf(F.PortHeld), "PortHeld")
    assert.strictEqual(Verdict.tagOf(Probe.Timeout), "Probe/Timeout")
  })
})
