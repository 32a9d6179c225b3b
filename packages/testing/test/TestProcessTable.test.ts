import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import * as TestProcessTable from "../src/TestProcessTable.ts"

describe("TestProcessTable", () => {
  it.live("answers what it was told, and the rest as this machine does", () =>
    Effect.gen(function* () {
      const real = yield* ProcessIdentity.of(process.pid)
      assert.isDefined(real)
      const elsewhere = TestProcessTable.answering({ bootId: Effect.succeed("another boot") })
      assert.deepStrictEqual(yield* elsewhere(ProcessIdentity.of(process.pid)), { ...real, bootId: "another boot" })
      // Those within have the last word; what they do not answer, those without do.
      const nobody = TestProcessTable.answering({ stat: () => Effect.undefined })
      assert.isUndefined(yield* elsewhere(nobody(ProcessIdentity.of(process.pid))))
    })
  )
})
