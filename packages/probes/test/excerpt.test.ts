import { assert, describe, it } from "@effect/vitest"
import * as Redaction from "@nexobot/core/Redaction"

import { excerpt } from "../src/internal/excerpt.ts"

const secret = "known-secret-of-some-length"
const known = Redaction.make([secret])

const blanks = (count: number) => " ".repeat(count)

describe("excerpt", () => {
  it("is the beginning in one line", () => {
    assert.strictEqual(excerpt("  a\r\n\tb\u001b[31m c\0 ", known), "a b [31m c")
    assert.strictEqual(excerpt("a".repeat(300), known), "a".repeat(200))
    assert.strictEqual(excerpt("word ".repeat(100_000), known), "word ".repeat(40))
    assert.strictEqual(excerpt("y\n".repeat(100_000), known), "y ".repeat(100))
    assert.strictEqual(excerpt("a".repeat(1_000_000), known), "a".repeat(200))
  })

  it("has no part of a secret, wherever the text is cut", () => {
    for (const before of [8165, 8176, 8190, 16_370, 262_130]) {
      for (const text of [`${blanks(before)}${secret} and more`, `${blanks(before)}${secret}${blanks(9000)}end`]) {
        assert.notInclude(excerpt(text, known), "known", `after ${before}`)
        assert.notInclude(excerpt(text, known), "length", `after ${before}`)
      }
    }
    assert.strictEqual(excerpt(`${blanks(8176)}${secret} and more`, known), `${Redaction.mask} and more`)
    const long = `${"secret ".repeat(2000)}end`
    assert.strictEqual(excerpt(`${long} and more`, Redaction.make([long])), `${Redaction.mask} and more`)
    const endless = "0123456789".repeat(50_000)
    assert.notInclude(excerpt(endless, Redaction.make([endless])), "0123")
    const lines = `first line of it\nsecond line of it`
    assert.strictEqual(excerpt(`x ${lines} y`, Redaction.make([lines])), `x ${Redaction.mask} y`)
  })

  it("of a text that was cut, what may be a part of a secret is left out", () => {
    const half = secret.slice(0, 14)
    assert.strictEqual(excerpt(`fine ${half}`, known), `fine ${half}`)
    for (const text of [`fine ${half}`, `${blanks(8176)}${half}`, `${secret} `.repeat(300) + half]) {
      assert.notInclude(excerpt(text, known, true), "known")
    }
    assert.strictEqual(excerpt("word ".repeat(1600), known, true), "word ".repeat(40))
    // A redactor made by hand.
    assert.strictEqual(excerpt("a long word ".repeat(1000), { text: () => "-", value: () => "-" }), "-")
    assert.strictEqual(excerpt("a long word", { text: () => "-", value: () => "-" }, true), "")
  })
})
