import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as RetryAfter from "../src/RetryAfter.ts"

const millis = (header: string, now: number) => {
  const asked = RetryAfter.parse(header, now)
  return asked === undefined ? undefined : Duration.toMillis(asked)
}

const two = (value: number) => String(value).padStart(2, "0")

const now = Date.UTC(1994, 10, 6, 8, 49, 7)

describe("RetryAfter.parse", () => {
  const table: ReadonlyArray<readonly [header: string, millis: number | undefined]> = [
    ["0", 0],
    ["120", 120_000],
    [" 3 ", 3000],
    ["007", 7000],
    ["9".repeat(400), 2 ** 31 * 1000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 30_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 30_000],
    ["Sun Nov  6 08:49:37 1994", 30_000],
    ["Sun Nov 16 08:49:37 1994", 864_030_000],
    // A leap second.
    ["Sat, 31 Dec 1994 23:59:60 GMT", Date.UTC(1995, 0, 1) - now],
    // Passed.
    ["Sun, 06 Nov 1994 08:49:06 GMT", 0],
    ["Fri, 31 Dec 1999 23:59:59 GMT", Date.UTC(1999, 11, 31, 23, 59, 59) - now],
    // Nonsense, some of which Date.parse takes for a date.
    ["", undefined],
    ["-5", undefined],
    ["+5", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["5 seconds", undefined],
    ["soon", undefined],
    ["1994", 1_994_000],
    ["Nov 6 1994", undefined],
    ["1994-11-06T08:49:37Z", undefined],
    ["Sun, 06 Nov 1994 08:49:37", undefined],
    ["Sun, 06 Nov 1994 08:49:37 CET", undefined],
    ["Sun, 31 Feb 1995 08:49:37 GMT", undefined],
    ["Sun, 00 Nov 1994 08:49:37 GMT", undefined],
    ["Sun, 06 Nov 1994 24:00:00 GMT", undefined],
    ["Sun, 06 Nov 1994 08:60:00 GMT", undefined],
    ["Sun, 06 Nov 1994 08:49:61 GMT", undefined],
    ["Sun, 06 Nov 0094 08:49:37 GMT", undefined],
    ["Sun, 06 NOV 1994 08:49:37 GMT", undefined]
  ]
  for (const [header, wanted] of table) {
    it(`${JSON.stringify(header.slice(0, 40))} is ${wanted}`, () => {
      assert.strictEqual(millis(header, now), wanted)
    })
  }

  it("a year of two digits is never more than 50 years ahead", () => {
    const at = Date.UTC(2026, 0, 1)
    assert.strictEqual(millis("Thursday, 01-Jan-76 00:00:00 GMT", at), Date.UTC(2076, 0, 1) - at)
    assert.strictEqual(millis("Saturday, 01-Jan-77 00:00:00 GMT", at), 0)
  })

  const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /** From 1970 to 2199. */
  const Seconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7_258_118_399 }))
  /** Fifty years less a few days, in seconds. */
  const Ahead = Schema.Int.check(Schema.isBetween({ minimum: -1_500_000_000, maximum: 1_500_000_000 }))

  it.effect.prop(
    "reads every date in each of the three forms to the second, and is never negative",
    [Seconds, Ahead],
    ([seconds, ahead]) =>
      Effect.sync(() => {
        const date = new Date(seconds * 1000)
        const from = (seconds - ahead) * 1000
        const wanted = Math.max(0, ahead * 1000)
        const year = date.getUTCFullYear()
        const day = date.getUTCDate()
        const weekday = days[date.getUTCDay()] ?? ""
        const month = months[date.getUTCMonth()] ?? ""
        const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
        const short = weekday.slice(0, 3)
        assert.strictEqual(millis(date.toUTCString(), from), wanted)
        assert.strictEqual(millis(`${weekday}, ${two(day)}-${month}-${two(year % 100)} ${time} GMT`, from), wanted)
        assert.strictEqual(millis(`${short} ${month} ${String(day).padStart(2)} ${time} ${year}`, from), wanted)
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect.prop(
    "is never negative, infinite or not a number, whatever it is given",
    [Schema.String, Seconds],
    ([header, seconds]) =>
      Effect.sync(() => {
        const asked = millis(header, seconds * 1000)
        assert.isTrue(asked === undefined || (asked >= 0 && Number.isFinite(asked)), `${header}: ${asked}`)
      }),
    { arbitrary: { runs: 500 } }
  )
})

describe("RetryAfter.fromHeaders", () => {
  const found: ReadonlyArray<readonly [name: string, headers: RetryAfter.HeadersLike]> = [
    ["fetch", new Headers({ "Retry-After": "2" })],
    ["Node", { "retry-after": "2" }],
    ["another case", { "Retry-After": "2" }],
    ["several values", { "retry-after": ["2", "9"] }],
    ["beside others", { get: "x", "RETRY-AFTER": "2" }]
  ]
  for (const [name, headers] of found) {
    it(`finds it: ${name}`, () => {
      assert.deepStrictEqual(RetryAfter.fromHeaders(headers, now), Duration.seconds(2))
    })
  }

  it("finds none", () => {
    for (const headers of [new Headers(), {}, { "retry-after": undefined }, { "retry-after": [] }]) {
      assert.isUndefined(RetryAfter.fromHeaders(headers, now))
    }
  })
})
