import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Intensity from "../src/Intensity.ts"

describe("Intensity", () => {
  it("allows `limit` attempts within the window, and another once the oldest has left it", () => {
    const policy = { limit: 2, window: Duration.seconds(1) }
    const first = Intensity.attempt(policy, [], 0)
    const second = Intensity.attempt(policy, first ?? [], 400)
    assert.deepStrictEqual(second, [0, 400])
    assert.isUndefined(Intensity.attempt(policy, second ?? [], 999))
    assert.deepStrictEqual(Intensity.attempt(policy, second ?? [], 1000), [400, 1000])
  })

  it("allows none with a limit of 0", () => {
    assert.isUndefined(Intensity.attempt({ limit: 0, window: Duration.seconds(1) }, [], 0))
  })

  const Limit = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  const Gaps = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))).check(
    Schema.isMaxLength(80)
  )

  it.effect.prop(
    "never allows more than `limit` in any window, refuses only when it is full, and forgets what has left it",
    [Limit, Gaps],
    ([limit, gaps]) =>
      Effect.sync(() => {
        const window = 500
        const policy = { limit, window: Duration.millis(window) }
        const granted: Array<number> = []
        let attempts: Intensity.Attempts = []
        let now = 0
        for (const gap of gaps) {
          now += gap
          const within = granted.filter((at) => at > now - window)
          const after = Intensity.attempt(policy, attempts, now)
          assert.strictEqual(after === undefined, within.length >= limit)
          if (after === undefined) continue
          granted.push(now)
          attempts = after
          assert.isAtMost(attempts.length, limit)
        }
        for (const start of granted) {
          assert.isAtMost(granted.filter((at) => at >= start && at < start + window).length, limit)
        }
      }),
    { arbitrary: { runs: 300, size: 80 } }
  )
})
