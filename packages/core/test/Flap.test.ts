import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Flap from "../src/Flap.ts"
import * as Verdict from "../src/Verdict.ts"
import { OutOfMemory } from "./fixture.ts"
import { refusal } from "./support.ts"

const fails = Verdict.unhealthy(new OutOfMemory({ rss: 1 }))

const verdicts = {
  H: Verdict.healthy,
  D: Verdict.degraded(new OutOfMemory({ rss: 1 })),
  U: fails,
  I: Verdict.inconclusive("nobody knows")
} as const

type Letter = keyof typeof verdicts

/** The state after checks, one a second. */
const after = (policy: Flap.Policy, letters: string, from = Flap.initial, start = 0): Flap.Flap =>
  letters
    .split("")
    .reduce((flap, letter, index) => Flap.next(policy, flap, verdicts[letter as Letter], start + index * 1000), from)

/** A policy whose score hardly decays within a test. */
const slow = { halfLife: "1000 hours" } as const

const near = (actual: number, wanted: number) => assert.approximately(actual, wanted, 0.01)

describe("the score", () => {
  const table: ReadonlyArray<readonly [verdicts: string, score: number]> = [
    ["H", 0],
    ["U", 0],
    ["HHHH", 0],
    ["UUUU", 0],
    ["HU", 1],
    ["HHHUUU", 1],
    ["HUH", 2],
    ["HUHUHU", 5],
    // Degraded works.
    ["HDHD", 0],
    ["DUD", 2],
    // Inconclusive is neither.
    ["HIHIH", 0],
    ["HIUIH", 2],
    ["IIII", 0]
  ]
  for (const [letters, score] of table) {
    it(`${letters} scores ${score}`, () => {
      const policy = Flap.make(slow)
      near(Flap.score(policy, after(policy, letters), letters.length * 1000), score)
    })
  }

  it("is halved by each half-life", () => {
    const policy = Flap.make({ halfLife: "10 seconds" })
    const flap = Flap.next(policy, after(policy, "H"), fails, 0)
    assert.strictEqual(Flap.score(policy, flap, 0), 1)
    near(Flap.score(policy, flap, 10_000), 0.5)
    near(Flap.score(policy, flap, 30_000), 0.125)
    near(Flap.next(policy, flap, Verdict.healthy, 10_000).score, 1.5)
  })

  it("is halved in 5 minutes unless told", () => {
    const policy = Flap.make()
    near(Flap.score(policy, after(policy, "HU"), 301_000), 0.5)
  })

  it("grows no further than max", () => {
    const policy = Flap.make({ ...slow, max: 6 })
    assert.strictEqual(after(policy, "HU".repeat(20)).score, 6)
    assert.strictEqual(after(Flap.make(slow), "HU".repeat(20)).score, 12)
  })

  it("does not grow by a clock that stands still or goes back", () => {
    const policy = Flap.make()
    const flap = after(policy, "HUH")
    assert.isAtMost(Flap.score(policy, flap, -1_000_000), flap.score)
  })
})

describe("flapping", () => {
  it("begins at suppress", () => {
    const policy = Flap.make({ ...slow, suppress: 3, reuse: 1 })
    assert.isFalse(Flap.isFlapping(policy, after(policy, "HUH"), 3000))
    assert.isTrue(Flap.isFlapping(policy, after(policy, "HUHUH"), 5000))
    const patient = Flap.make({ ...slow, suppress: 5 })
    assert.isFalse(Flap.isFlapping(patient, after(patient, "HUHUH"), 5000))
  })

  it("begins with the second outage unless told", () => {
    const policy = Flap.make({ halfLife: "1000000 hours", suppress: 3.999 })
    assert.isFalse(after(policy, "HUHU").flapping)
    assert.isTrue(after(policy, "HUHUH").flapping)
    assert.strictEqual(Flap.make().suppress, 4)
  })

  it("ends below reuse, not below suppress", () => {
    const policy = Flap.make({ halfLife: "100 seconds", suppress: 4, reuse: 2 })
    const flap: Flap.Flap = { good: true, since: 0, seen: 0, score: 4, flapping: true }
    assert.isTrue(Flap.isFlapping(policy, flap, 99_000))
    assert.isFalse(Flap.isFlapping(policy, flap, 101_000))
    assert.isTrue(Flap.isFlapping(Flap.make({ halfLife: "100 seconds", reuse: 1 }), flap, 101_000))
  })

  it("goes on when another change comes before that, and not when it comes after", () => {
    const policy = Flap.make({ halfLife: "100 seconds", suppress: 4, reuse: 2 })
    const flap: Flap.Flap = { good: true, since: 0, seen: 0, score: 4, flapping: true }
    assert.isTrue(Flap.next(policy, flap, fails, 90_000).flapping)
    assert.isFalse(Flap.next(policy, flap, fails, 150_000).flapping)
  })
})

describe("the hold-down", () => {
  it("doubles with each outage, up to a limit", () => {
    const policy = Flap.make({ ...slow, holdDown: "10 seconds", maxHoldDown: "70 seconds" })
    const seconds = ["H", "HUH", "HUHUH", "HUHUHUH"].map(
      (letters) => Flap.holdDown(policy, after(policy, letters)) / 1000
    )
    for (const [index, wanted] of [10, 20, 40, 70].entries()) near(seconds[index] ?? 0, wanted)
  })

  it("is 5 seconds to 5 minutes unless told, and a longer one needs no second option", () => {
    const policy = Flap.make()
    assert.deepStrictEqual([policy.holdDown, policy.maxHoldDown], [5000, 300_000])
    assert.strictEqual(Flap.make({ holdDown: "10 minutes" }).maxHoldDown, 600_000)
  })

  it("is over when good checks have lasted for it", () => {
    const policy = Flap.make({ ...slow, holdDown: "2400 millis" })
    // After one outage it is 4.8 seconds, and they are good since second 2.
    const back = after(policy, "HUH")
    assert.isFalse(Flap.hasRecovered(policy, after(policy, "HHHH", back, 3000)))
    assert.isTrue(Flap.hasRecovered(policy, after(policy, "HHHHH", back, 3000)))
    assert.isFalse(Flap.hasRecovered(policy, after(policy, "UUUUUUUU", back, 3000)))
  })

  it("is not over by time in which nobody could tell", () => {
    const policy = Flap.make({ ...slow, holdDown: "2400 millis" })
    const back = after(policy, "HUH")
    assert.isFalse(Flap.hasRecovered(policy, after(policy, "IIIIIIIIIIII", back, 3000)))
  })
})

describe("repair", () => {
  it("is for what is bad", () => {
    const policy = Flap.make()
    assert.isFalse(Flap.mayRepair(policy, Flap.initial, 0))
    assert.isFalse(Flap.mayRepair(policy, after(policy, "HH"), 2000))
    assert.isTrue(Flap.mayRepair(policy, after(policy, "HU"), 2000))
  })

  it("of what is flapping waits until it stays bad", () => {
    const policy = Flap.make({ ...slow, holdDown: "1 second", suppress: 3 })
    const flapping = after(policy, "HUHUHU")
    assert.isFalse(Flap.mayRepair(policy, flapping, 6000))
    assert.isFalse(Flap.mayRepair(policy, after(policy, "UUUU", flapping, 6000), 10_000))
    assert.isTrue(Flap.mayRepair(policy, after(policy, "UUUUUU", flapping, 6000), 12_000))
  })
})

describe("options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["halfLife", { halfLife: 0 }],
    ["halfLife", { halfLife: Duration.infinity }],
    ["suppress", { suppress: 0.5 }],
    ["suppress", { suppress: Number.NaN }],
    ["reuse", { reuse: 0 }],
    ["reuse", { reuse: 4 }],
    ["reuse", { reuse: 2, suppress: 2 }],
    ["max", { max: 3 }],
    ["max", { max: Infinity }],
    ["holdDown", { holdDown: -1 }],
    ["maxHoldDown", { maxHoldDown: "1 second" }],
    ["penalty", { penalty: 2 }]
  ]
  for (const [option, options] of bad) {
    it(`${JSON.stringify(options)} is refused`, () => {
      const error = refusal(() => Flap.make(options))
      assert.deepStrictEqual([error.module, error.option], ["Flap", option])
    })
  }
})

const Steps = Schema.Array(
  Schema.Tuple([
    Schema.Literals(["H", "D", "U", "I"]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 }))
  ])
).check(Schema.isMaxLength(50))

describe("any history", () => {
  it.effect.prop(
    "has the score of the sum of all decayed changes, and is moved by nothing inconclusive",
    [Steps],
    ([steps]) =>
      Effect.sync(() => {
        const policy = Flap.make({ halfLife: "30 seconds", max: 1000, suppress: 3, reuse: 1 })
        let flap = Flap.initial
        let now = 0
        let last: boolean | undefined
        const changes: Array<number> = []
        let flapping = false
        const sum = () => changes.reduce((total, at) => total + 2 ** (-(now - at) / 30_000), 0)
        for (const [letter, pause] of steps) {
          now += pause
          const before = flap
          flap = Flap.next(policy, flap, verdicts[letter], now)
          if (letter === "I") {
            assert.strictEqual(flap, before)
            continue
          }
          if (flapping && sum() < 1) flapping = false
          if (last !== undefined && last !== (letter !== "U")) changes.push(now)
          last = letter !== "U"
          if (sum() >= 3) flapping = true
          assert.approximately(Flap.score(policy, flap, now), sum(), 1e-6)
          assert.strictEqual(flap.good, last)
          // Where rounding decides, either is right.
          if (Math.abs(sum() - 3) > 1e-6 && Math.abs(sum() - 1) > 1e-6) {
            assert.strictEqual(Flap.isFlapping(policy, flap, now), flapping)
          }
        }
      }),
    { arbitrary: { runs: 300, size: 50 } }
  )

  it.effect.prop(
    "keeps the score and the hold-down within their limits, and never shortens a wait that has begun by waiting",
    [Steps],
    ([steps]) =>
      Effect.sync(() => {
        const policy = Flap.make({ halfLife: "1 minute", max: 7, maxHoldDown: "30 seconds" })
        let flap = Flap.initial
        let now = 0
        for (const [letter, pause] of steps) {
          now += pause
          const before = flap
          flap = Flap.next(policy, flap, verdicts[letter], now)
          assert.isAtMost(flap.score, 7)
          assert.isAtLeast(Flap.holdDown(policy, flap), policy.holdDown)
          assert.isAtMost(Flap.holdDown(policy, flap), 30_000)
          if (flap.good === before.good) assert.strictEqual(Flap.holdDown(policy, flap), Flap.holdDown(policy, before))
        }
      }),
    { arbitrary: { runs: 200, size: 50 } }
  )
})
