import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Health from "../src/Health.ts"
import * as Verdict from "../src/Verdict.ts"
import { OutOfMemory } from "./fixture.ts"

type Letter = "H" | "D" | "U" | "I"

const verdictOf = (letter: Letter, index: number): Verdict.Verdict<OutOfMemory> => {
  const evidence = [`check ${index}`]
  switch (letter) {
    case "H":
      return Verdict.healthy
    case "D":
      return Verdict.degraded(new OutOfMemory({ rss: index }), evidence)
    case "U":
      return Verdict.unhealthy(new OutOfMemory({ rss: index }), evidence)
    case "I":
      return Verdict.inconclusive(`check ${index}`)
  }
}

/** The health after each check. */
const run = (policy: Health.Policy, letters: ReadonlyArray<Letter>): ReadonlyArray<Health.Health<OutOfMemory>> => {
  let health: Health.Health<OutOfMemory> = Health.initial
  return letters.map((letter, index) => (health = Health.next(policy, health, verdictOf(letter, index))))
}

const shown = { Unknown: "?", Healthy: "h", Degraded: "d", Unhealthy: "u" } as const

const statuses = (fall: number, rise: number, letters: string): string =>
  run({ fall, rise }, letters.split("") as Array<Letter>)
    .map((health) => shown[Health.status(health)])
    .join("")

const isBad = (letter: Letter | undefined) => letter === "U"

/** The same, told from the whole history, with no state. */
const naive = (fall: number, rise: number, letters: ReadonlyArray<Letter>): Health.Status => {
  if (letters.at(-1) === "I") return "Unknown"
  const told = letters.filter((letter) => letter !== "I")
  // The last index at which `count` in a row were bad, or good.
  const lastRun = (count: number, wanted: boolean) =>
    told.findLastIndex(
      (_, index) => index + 1 >= count && told.slice(index + 1 - count, index + 1).every((l) => isBad(l) === wanted)
    )
  const fell = lastRun(fall, true)
  const rose = lastRun(rise, false)
  if (fell >= 0 && fell > rose) return "Unhealthy"
  const good = told.findLast((letter, index) => !isBad(letter) && (fell < 0 || index > fell))
  return good === undefined ? "Unknown" : good === "D" ? "Degraded" : "Healthy"
}

describe("Health", () => {
  const table: ReadonlyArray<readonly [fall: number, rise: number, verdicts: string, shown: string]> = [
    // One bad check is no outage, and one good check is no recovery.
    [3, 2, "HUUUHH", "hhhuuh"],
    [1, 1, "UHUH", "uhuh"],
    [2, 3, "UUHHUHHH", "?uuuuuuh"],
    // Flapping: never three in a row.
    [3, 1, "UDUDUDUD", "?d".padEnd(8, "d")],
    [3, 2, "HUUHUUHUUH", "hhhhhhhhhh"],
    // Once unhealthy, a single failure does not have to be confirmed again.
    [3, 2, "UUUHUHUH", "??uuuuuu"],
    // Degraded is no failure: it counts as a success, and shows.
    [2, 2, "DHD", "dhd"],
    [2, 2, "UUDD", "?uud"],
    [2, 2, "UUDH", "?uuh"],
    // Inconclusive moves nothing and shows as unknown.
    [2, 2, "IIII", "????"],
    [2, 2, "HIH", "h?h"],
    [3, 2, "UIUIU", "????u"],
    [1, 2, "UHIH", "uu?h"],
    [1, 2, "UIHUH", "u?uuu"],
    [1, 1, "HUI", "hu?"]
  ]
  for (const [fall, rise, verdicts, wanted] of table) {
    it(`fall ${fall}, rise ${rise}: ${verdicts} shows ${wanted}`, () => {
      assert.strictEqual(statuses(fall, rise, verdicts), wanted)
    })
  }

  it("carries the signature and the evidence of the last failure until it is healthy", () => {
    const [, second, , fourth, fifth] = run({ fall: 2, rise: 2 }, ["U", "U", "I", "D", "H"])
    assert.deepStrictEqual(second?.signature, new OutOfMemory({ rss: 1 }))
    assert.deepStrictEqual([fourth?.confirmed, fourth?.evidence], ["Unhealthy", ["check 1"]])
    assert.deepStrictEqual([fifth?.confirmed, fifth?.signature, fifth?.evidence], ["Healthy", undefined, []])
  })

  it("shows failures that are not confirmed yet", () => {
    const [first] = run({ fall: 2, rise: 1 }, ["U"])
    assert.deepStrictEqual([first?.confirmed, first?.failures, first?.evidence], ["Unknown", 1, ["check 0"]])
  })

  it("says why a check said nothing, until the next says something", () => {
    const [, second, third] = run({ fall: 2, rise: 1 }, ["H", "I", "H"])
    assert.deepStrictEqual([second?.inconclusive, second?.confirmed], ["check 1", "Healthy"])
    assert.isUndefined(third?.inconclusive)
  })

  const Letters = Schema.Array(Schema.Literals(["H", "D", "U", "I"])).check(Schema.isMaxLength(60))
  const Threshold = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))

  it.effect.prop(
    "agrees with a model that knows the whole history",
    [Letters, Threshold, Threshold],
    ([letters, fall, rise]) =>
      Effect.sync(() => {
        for (const [index, health] of run({ fall, rise }, letters).entries()) {
          const past = letters.slice(0, index + 1)
          assert.strictEqual(Health.status(health), naive(fall, rise, past), `${past.join("")} ${fall} ${rise}`)
        }
      }),
    { arbitrary: { runs: 300, size: 60 } }
  )

  it.effect.prop(
    "is unhealthy exactly after `fall` in a row, healthy again exactly after `rise`, and never healthy on silence",
    [Letters, Threshold, Threshold],
    ([letters, fall, rise]) =>
      Effect.sync(() => {
        let failures = 0
        let successes = 0
        let unhealthy = false
        for (const [index, health] of run({ fall, rise }, letters).entries()) {
          const letter = letters[index]
          if (letter === "I") {
            assert.strictEqual(Health.status(health), "Unknown")
            continue
          }
          failures = letter === "U" ? failures + 1 : 0
          successes = letter === "U" ? 0 : successes + 1
          if (failures === fall) unhealthy = true
          if (successes >= rise) unhealthy = false
          assert.strictEqual(health.confirmed === "Unhealthy", unhealthy)
          assert.deepStrictEqual([health.failures, health.successes], [failures, successes])
        }
      }),
    { arbitrary: { runs: 300, size: 60 } }
  )
})
