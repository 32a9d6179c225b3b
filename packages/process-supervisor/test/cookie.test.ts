import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as Cookie from "../src/internal/cookie.ts"

const Text = (pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern))

const isAbandoned = (supervisor: Cookie.Cookie["supervisor"]) => Cookie.isAbandoned({ id: "a", name: "b", supervisor })

describe("cookie", () => {
  it.effect.prop(
    "is read as it was written",
    {
      id: Text(/^[\w.-]{1,20}$/),
      name: Text(/^[\w.@:-]{1,20}$/),
      pid: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4_194_304 })),
      startTime: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e15 - 1 }))
    },
    ({ id, name, pid, startTime }) =>
      Effect.sync(() => {
        const cookie = { id, name, supervisor: { pid, startTime } }
        assert.deepStrictEqual(Cookie.parse(Cookie.format(cookie)), cookie)
      })
  )

  it.live("is abandoned when its very supervisor is dead, be it that nobody has reaped it", () =>
    Effect.gen(function* () {
      const living = yield* TestProcess.idle
      assert.isFalse(yield* isAbandoned(living))
      assert.isTrue(yield* isAbandoned({ ...living, startTime: living.startTime - 1 }))
      assert.isTrue(yield* isAbandoned(yield* TestProcess.zombie))
      assert.isTrue(yield* isAbandoned(yield* TestProcess.deceased))
    })
  )

  it("looks as documented, and nothing else is one", () => {
    const cookie = { id: "my-bot.1", name: "web@1:a.b-c", supervisor: { pid: 12, startTime: 345 } }
    assert.strictEqual(Cookie.format(cookie), "my-bot.1/web@1:a.b-c/12.345")
    for (const text of [
      "",
      "my-bot/web",
      "my-bot/web/",
      "my-bot/web/12",
      "my-bot/web/12.",
      "my-bot/web/.345",
      "my-bot/web/-12.345",
      "my-bot/web/12.3e5",
      "my-bot/web/12.345 ",
      "my-bot/web/x/12.345",
      "/web/12.345",
      "my-bot//12.345",
      `my-bot/web/12.${"9".repeat(20)}`
    ]) {
      assert.isUndefined(Cookie.parse(text), text)
    }
  })
})
