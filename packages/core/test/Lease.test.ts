import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

import * as Lease from "../src/Lease.ts"
import { leaseContract, Takers } from "./leaseContract.ts"

leaseContract(
  "memory",
  Layer.effect(
    Takers,
    Effect.map(Lease.Leases, (leases) => Takers.of({ one: leases, other: leases }))
  ).pipe(Layer.provide(Lease.layerMemory))
)

describe("LeaseError", () => {
  it("says what to do", () => {
    const error = new Lease.LeaseError({ resource: "gateway", reason: new Lease.Unavailable({ why: "no route" }) })
    assert.strictEqual(
      error.message,
      "the lease of gateway was not granted: no route; do not act on it, try again later"
    )
  })

  it.effect("is caught by its reason", () =>
    Effect.gen(function* () {
      const failing = Effect.fail(
        new Lease.LeaseError({ resource: "gateway", reason: new Lease.Unavailable({ why: "no route" }) })
      )
      const why = yield* Effect.catchReason(failing, "LeaseError", "Unavailable", (reason) =>
        Effect.succeed(reason.why)
      )
      assert.strictEqual(why, "no route")
    })
  )
})
