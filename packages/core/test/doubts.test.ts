import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Doubts from "../src/internal/doubts.ts"

const History = Schema.Array(
  Schema.Tuple([
    Schema.Literals(["add", "settle", "ask", "down", "up"]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 })),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
  ])
).check(Schema.isMaxLength(80))

it.effect.prop(
  "doubts: with room for three, no key is trusted whose wrong copy may still be there",
  [History],
  ([history]) =>
    Effect.sync(() => {
      const life = 100
      let now = 0
      let down: number | undefined
      let returned = Number.NEGATIVE_INFINITY
      const doubts = Doubts.make<number>({
        max: 3,
        life,
        now: () => now,
        returned: () => returned,
        works: () => down ?? now
      })
      /** Until when a wrong copy may be there: for ever while it is down. */
      const wrong = new Map<number, number>()
      for (const [what, key, pause] of history) {
        now += pause
        if (what === "down") down ??= now
        if (what === "up" && down !== undefined) {
          for (const [one, until] of wrong) if (until > down) wrong.set(one, now + life)
          down = undefined
          returned = now
        }
        if (what === "add") {
          wrong.set(key, now + life)
          doubts.add(key)
        }
        if (what === "settle") {
          wrong.delete(key)
          doubts.settle(key)
        }
        for (const [one, until] of wrong) {
          if ((down ?? now) < until || (down !== undefined && until > down)) assert.isTrue(doubts.has(one), `${one}`)
        }
      }
      if (down !== undefined) returned = now
      down = undefined
      now += life
      for (let key = 0; key < 8; key++) assert.isFalse(doubts.has(key))
    }),
  { arbitrary: { runs: 500, size: 80 } }
)
