import { assert, describe, it } from "@effect/vitest"
import * as Cron from "effect/Cron"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

import * as Maintenance from "../src/Maintenance.ts"
import { refusal } from "./support.ts"

const at = (text: string) => Date.parse(text)

const isActive = (window: Maintenance.Window, instants: Readonly<Record<string, boolean>>) => {
  const found = Object.keys(instants).map((text) => [text, Maintenance.isActive(window, at(text))])
  assert.deepStrictEqual(Object.fromEntries(found), instants)
}

describe("once", () => {
  it("is active from its first instant until before its last", () => {
    isActive(Maintenance.once({ from: "2026-03-01T10:00:00Z", to: "2026-03-01T11:00:00Z" }), {
      "2026-03-01T09:59:59.999Z": false,
      "2026-03-01T10:00:00Z": true,
      "2026-03-01T10:59:59.999Z": true,
      "2026-03-01T11:00:00Z": false,
      "2027-03-01T10:30:00Z": false
    })
  })

  it("takes offsets, dates and milliseconds", () => {
    const window = Maintenance.once({ from: "2026-03-01T10:00:00+02:00", to: new Date("2026-03-01T08:30:00Z") })
    assert.deepStrictEqual(window, {
      _tag: "Once",
      from: at("2026-03-01T08:00:00Z"),
      to: at("2026-03-01T08:30:00Z")
    })
    assert.isTrue(Maintenance.isActive(Maintenance.once({ from: 5, to: 6 }), 5))
  })
})

describe("recurring", () => {
  it("is active for its duration whenever it begins", () => {
    isActive(Maintenance.recurring({ cron: "0 3 * * SUN", duration: "2 hours" }), {
      "2026-03-01T02:59:59Z": false,
      "2026-03-01T03:00:00Z": true,
      "2026-03-01T04:59:59.999Z": true,
      "2026-03-01T05:00:00Z": false,
      "2026-03-02T03:30:00Z": false,
      "2026-03-08T03:30:00Z": true
    })
  })

  it("lasts over midnight, and over the next beginning", () => {
    isActive(Maintenance.recurring({ cron: "30 23 * * *", duration: "1 hour" }), {
      "2026-03-01T00:15:00Z": true,
      "2026-03-01T00:30:00Z": false
    })
    isActive(Maintenance.recurring({ cron: "0 * * * *", duration: "90 minutes" }), {
      "2026-03-01T00:59:00Z": true,
      "2026-03-01T01:15:00Z": true
    })
  })

  it("is of its time zone, and UTC unless told", () => {
    isActive(Maintenance.recurring({ cron: "0 3 * * *", duration: "1 hour", timeZone: "Europe/Berlin" }), {
      // Winter and summer.
      "2026-03-01T02:30:00Z": true,
      "2026-03-01T03:30:00Z": false,
      "2026-07-01T01:30:00Z": true,
      "2026-07-01T02:30:00Z": false
    })
    isActive(Maintenance.recurring({ cron: "0 3 * * *", duration: "1 hour", timeZone: "-05:00" }), {
      "2026-03-01T08:30:00Z": true
    })
    isActive(Maintenance.recurring({ cron: "0 3 * * *", duration: "1 hour" }), { "2026-07-01T03:30:00Z": true })
  })

  it("takes place once on the days on which clocks change", () => {
    const night = Maintenance.recurring({ cron: "30 2 * * *", duration: "20 minutes", timeZone: "Europe/Berlin" })
    // 02:30 does not exist on 29 March 2026: the clocks go from 02:00 to 03:00, at 01:00Z.
    const spring = Array.from({ length: 24 * 60 }, (_, minute) => at("2026-03-28T23:00:00Z") + minute * 60_000)
    assert.strictEqual(spring.filter((now) => Maintenance.isActive(night, now)).length, 20)
    for (const text of ["2026-03-29T00:50:00Z", "2026-03-29T01:05:00Z", "2026-03-29T01:29:59Z"]) {
      assert.deepStrictEqual(Maintenance.look([night], at(text)), { active: false, until: at("2026-03-29T01:30:00Z") })
    }
    // 02:30 comes twice on 25 October 2026: at 00:30Z and at 01:30Z.
    isActive(night, {
      "2026-10-25T00:35:00Z": true,
      "2026-10-25T01:35:00Z": false,
      "2026-10-26T01:35:00Z": true
    })
  })
})

const looks = (text: string, ...windows: ReadonlyArray<Maintenance.Window>) => {
  const { active, until } = Maintenance.look(windows, at(text))
  return [active, Number.isFinite(until) ? new Date(until).toISOString() : until]
}

describe("looking", () => {
  const monthly = Maintenance.recurring({ cron: "0 0 1 * *", duration: "1 hour" })
  const announced = Maintenance.once({ from: "2026-03-01T00:30:00Z", to: "2026-03-01T02:00:00Z" })

  it("says until when the answer holds", () => {
    assert.deepStrictEqual(looks("2026-02-10T00:00:00Z", monthly), [false, "2026-03-01T00:00:00.000Z"])
    assert.deepStrictEqual(looks("2026-03-01T00:10:00Z", monthly), [true, "2026-03-01T01:00:00.000Z"])
    assert.deepStrictEqual(looks("2026-03-01T00:10:00Z", monthly, announced), [true, "2026-03-01T00:30:00.000Z"])
    assert.deepStrictEqual(looks("2026-03-01T01:30:00Z", monthly, announced), [true, "2026-03-01T02:00:00.000Z"])
    assert.deepStrictEqual(looks("2026-05-01T03:00:00Z", announced), [false, Infinity])
    assert.deepStrictEqual(looks("2026-05-01T03:00:00Z"), [false, Infinity])
  })

  it.effect.prop(
    "the answer holds until then",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 90 * 24 * 60 })), Schema.Finite],
    ([minute, seed]) =>
      Effect.sync(() => {
        const windows = [monthly, announced, Maintenance.recurring({ cron: "15 */7 * * *", duration: "50 minutes" })]
        const now = at("2026-01-15T00:00:00Z") + minute * 60_000
        const { active, until } = Maintenance.look(windows, now)
        assert.isAbove(until, now)
        const between = now + Math.floor((until - 1 - now) * (Math.abs(seed) % 1))
        for (const instant of [between, until - 1])
          assert.strictEqual(Maintenance.look(windows, instant).active, active)
      }),
    { arbitrary: { runs: 150 } }
  )
})

it("isWindow: what was made here, and nothing that only looks like it", () => {
  const once = Maintenance.once({ from: 1, to: 2 })
  const weekly = Maintenance.recurring({ cron: "0 3 * * SUN", duration: "1 hour" })
  for (const window of [once, weekly, { ...once }]) assert.isTrue(Maintenance.isWindow(window))
  const never = Result.getOrThrow(Cron.parse("0 3 30 2 *"))
  const strange: ReadonlyArray<unknown> = [
    { _tag: "Recurring" },
    { ...weekly, cron: "0 3 * * SUN" },
    { ...weekly, cron: never },
    { ...weekly, zone: "UTC" },
    { ...weekly, duration: "1 hour" },
    { ...weekly, duration: Number.POSITIVE_INFINITY },
    { _tag: "Once" },
    { ...once, from: "now" },
    { ...once, to: 1 },
    { ...once, to: Number.NaN },
    { ...once, _tag: "Never" },
    null,
    "Sunday"
  ]
  for (const value of strange) assert.isFalse(Maintenance.isWindow(value))
})

describe("options", () => {
  const bad: ReadonlyArray<readonly [option: string, make: () => unknown]> = [
    ["from", () => Maintenance.once({ from: "tomorrow", to: 1 })],
    ["to", () => Maintenance.once({ from: 1, to: Number.NaN })],
    ["to", () => Maintenance.once({ from: 2, to: 2 })],
    ["until", () => Maintenance.once({ from: 1, to: 2, until: 3 } as never)],
    ["cron", () => Maintenance.recurring({ cron: "at three", duration: 1 })],
    ["cron", () => Maintenance.recurring({ cron: "", duration: 1 })],
    ["cron", () => Maintenance.recurring({ cron: "0 3 30 2 *", duration: 1 })],
    ["duration", () => Maintenance.recurring({ cron: "0 3 * * *", duration: 0 })],
    ["timeZone", () => Maintenance.recurring({ cron: "0 3 * * *", duration: 1, timeZone: "Mars/Olympus" })],
    ["timeZone", () => Maintenance.recurring({ cron: "0 3 * * *", duration: 1, timeZone: 2 as never })],
    ["tz", () => Maintenance.recurring({ cron: "0 3 * * *", duration: 1, tz: "UTC" } as never)]
  ]
  for (const [index, [option, make]] of bad.entries()) {
    it(`a bad ${option} is refused (${index + 1})`, () => {
      const error = refusal(make)
      assert.deepStrictEqual([error.module, error.option], ["Maintenance", option])
    })
  }
})
