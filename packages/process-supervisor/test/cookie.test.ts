import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Cookie from "../src/internal/cookie.ts"

const Text = (pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern))

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
