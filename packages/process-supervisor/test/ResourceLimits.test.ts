import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"

import { refusal } from "../../testing/src/Expect.ts"
import * as ResourceLimits from "../src/ResourceLimits.ts"

describe("ResourceLimits", () => {
  it("memory in bytes or as text, for five seconds unless told", () => {
    assert.deepStrictEqual(ResourceLimits.memory({ limit: "1.5 GB" }), {
      limit: 1_610_612_736,
      sustain: Duration.seconds(5)
    })
    assert.deepStrictEqual(ResourceLimits.memory({ limit: 50_000_000, sustain: "1 minute" }), {
      limit: 50_000_000,
      sustain: Duration.minutes(1)
    })
  })

  it("processor time in percent of a core, for thirty seconds unless told", () => {
    assert.deepStrictEqual(ResourceLimits.cpu({ limit: 150 }), { limit: 150, sustain: Duration.seconds(30) })
    assert.deepStrictEqual(ResourceLimits.cpu({ limit: 80.5, sustain: 0 }), { limit: 80.5, sustain: Duration.zero })
  })

  const { cpu, memory } = ResourceLimits

  const refused: ReadonlyArray<readonly [option: string, make: () => unknown]> = [
    ["memory.limit", () => memory({ limit: "1 XB" })],
    ["memory.limit", () => memory({ limit: "1000 kB" })],
    ["memory.limit", () => memory({ limit: -1 })],
    ["memory.limit", () => memory({ limit: Number.NaN })],
    ["memory.limit", () => memory({ limit: undefined as never })],
    ["memory.sustain", () => memory({ limit: "1 GB", sustain: "-1 seconds" })],
    ["memory.sustain", () => memory({ limit: "1 GB", sustain: Infinity })],
    ["memory.max", () => memory({ max: "1 GB" } as never)],
    ["memory", () => memory("1 GB" as never)],
    ["cpu.limit", () => cpu({ limit: 0 })],
    ["cpu.limit", () => cpu({ limit: "50%" as never })],
    ["cpu.limit", () => cpu({ limit: Infinity })],
    ["cpu.sustain", () => cpu({ limit: 50, sustain: "soon" as never })],
    ["cpu.cores", () => cpu({ limit: 50, cores: 2 } as never)]
  ]

  for (const [index, [option, make]] of refused.entries()) {
    it(`refuses ${option} (${index + 1})`, () => {
      const error = refusal(make)
      assert.strictEqual(error.module, "ResourceLimits")
      assert.strictEqual(error.option, option)
    })
  }
})
