import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

import * as Lease from "../src/Lease.ts"

const isTaken = (leases: Lease.Leases["Service"], resource: string) =>
  Effect.scoped(Effect.map(leases.take(resource), Option.isNone))

it.layer(Lease.layerMemory)("Lease.layerMemory", (test) => {
  describe("a lease", () => {
    test.effect("goes to the first; the second gets none, and does not wait", () =>
      Effect.gen(function* () {
        const leases = yield* Lease.Leases
        const first = yield* leases.take("a")
        assert.strictEqual(Option.getOrUndefined(first)?.resource, "a")
        assert.isTrue(Option.isNone(yield* leases.take("a")))
        assert.isTrue(Option.isSome(yield* leases.take("b")))
      })
    )

    test.effect("is free again when its scope closes, and not when a loser's does", () =>
      Effect.gen(function* () {
        const leases = yield* Lease.Leases
        const scope = yield* Scope.make()
        assert.isTrue(Option.isSome(yield* Scope.provide(leases.take("c"), scope)))
        assert.isTrue(yield* isTaken(leases, "c"))
        assert.isTrue(yield* isTaken(leases, "c"))
        yield* Scope.close(scope, Exit.void)
        assert.isFalse(yield* isTaken(leases, "c"))
      })
    )

    test.effect("bears a fence that grows with every grant, of any resource", () =>
      Effect.gen(function* () {
        const leases = yield* Lease.Leases
        const fences: Array<number> = []
        for (const resource of ["d", "e", "d", "d", "e"]) {
          const lease = yield* Effect.scoped(leases.take(resource))
          fences.push(...Option.toArray(Option.map(lease, ({ fence }) => fence)))
        }
        assert.strictEqual(fences.length, 5)
        for (const [index, fence] of fences.slice(1).entries()) assert.isAbove(fence, fences[index] ?? Number.NaN)
      })
    )

    test.effect("is free again when its holder is interrupted or fails", () =>
      Effect.gen(function* () {
        const leases = yield* Lease.Leases
        const holding = yield* Latch.make()
        const holder = leases.take("f").pipe(Effect.andThen(holding.open), Effect.andThen(Effect.never), Effect.scoped)
        const fiber = yield* Effect.forkChild(holder)
        yield* holding.await
        assert.isTrue(yield* isTaken(leases, "f"))
        yield* Fiber.interrupt(fiber)
        assert.isFalse(yield* isTaken(leases, "f"))
        yield* Effect.exit(Effect.scoped(Effect.andThen(leases.take("f"), Effect.die("a bug"))))
        assert.isFalse(yield* isTaken(leases, "f"))
      })
    )

    test.effect("goes to exactly one of many at once", () =>
      Effect.gen(function* () {
        const leases = yield* Lease.Leases
        const taken = yield* Effect.all(
          Array.from({ length: 50 }, () => leases.take("g")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(taken.filter(Option.isSome).length, 1)
      })
    )
  })
})
