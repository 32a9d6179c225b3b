import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

import * as Bytes from "../src/Bytes.ts"

const units = ["", "B", "b", "k", "K", "kB", "KB", "KiB", "m", "MB", "MiB", "G", "gb", "GiB", "T", "TB"] as const
const factors: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

describe("Bytes", () => {
  it("reads sizes as people write them", () => {
    const sizes: Record<string, number> = {
      "0": 0,
      "100": 100,
      "1B": 1,
      "1 kB": 1024,
      "50 MB": 52_428_800,
      "1G": 1_073_741_824,
      "1.5 GiB": 1_610_612_736,
      "0.5k": 512,
      "8191T": 8191 * 2 ** 40
    }
    for (const [text, bytes] of Object.entries(sizes)) {
      assert.strictEqual(Bytes.fromInput(text), bytes, text)
    }
  })

  it("knows no size in anything else", () => {
    const others = [
      "",
      " ",
      "MB",
      "-1",
      "1 XB",
      "1,5 GB",
      "1  MB",
      " 1MB",
      "1MB ",
      "1e3",
      "0x10",
      "1 M B",
      "1.",
      ".5",
      "1 i",
      "8192T",
      "Infinity"
    ]
    for (const other of [
      ...others,
      "9".repeat(400),
      -1,
      1.5,
      Number.NaN,
      Infinity,
      2 ** 53,
      null,
      undefined,
      {},
      5n,
      ["1"]
    ]) {
      assert.isUndefined(Bytes.fromInput(other))
    }
  })

  it.prop(
    "of every unit there are 1024 of the one before",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8000 })), Schema.Literals(units), Schema.Boolean],
    ([amount, unit, isApart]) => {
      const factor = factors[unit.slice(0, 1).toLowerCase()] ?? 1
      assert.strictEqual(Bytes.fromInput(`${amount}${isApart ? " " : ""}${unit}`), amount * factor)
    }
  )
})
