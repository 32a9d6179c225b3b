import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"

import type { Leases } from "../src/Lease.ts"
import { OptionError } from "../src/Options.ts"

/** Takers of the same leases that share as little as the adapter allows, as two processes do. */
export class Takers extends Context.Service<
  Takers,
  { readonly one: Leases["Service"]; readonly other: Leases["Service"] }
>()("test/Takers") {}

export const isFree = (leases: Leases["Service"], resource: string) =>
  Effect.scoped(Effect.map(leases.take(resource), Option.isSome))

/** What every adapter promises. */
export const leaseContract = (adapter: string, takers: Layer.Layer<Takers>): void => {
  it.layer(takers, { excludeTestServices: true, timeout: "60 seconds" })(`a lease of ${adapter}`, (test) => {
    test.effect("leaves nothing in the scope of who did not get it", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        assert.isTrue(Option.isSome(yield* one.take("loser")))
        const scope = yield* Scope.make()
        for (let n = 0; n < 3; n += 1) yield* Scope.provide(other.take("loser"), scope)
        assert.strictEqual(scope.state._tag === "Open" ? (scope.state.finalizers?.size ?? 1) : 0, 0)
        yield* Scope.close(scope, Exit.void)
      })
    )

    test.effect("has a name that is text", () =>
      Effect.gen(function* () {
        const { one } = yield* Takers
        for (const name of [undefined, null, 7, {}]) {
          const exit = yield* Effect.exit(one.take(name as string))
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(error, OptionError)
          assert.deepInclude(error, { module: "Leases", option: "resource" })
        }
      })
    )

    test.effect("goes to the first; others get none, and do not wait", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        const first = yield* one.take("first")
        assert.strictEqual(Option.getOrUndefined(first)?.resource, "first")
        assert.isTrue(Option.isNone(yield* other.take("first")))
      })
    )

    test.effect("is not re-entrant", () =>
      Effect.gen(function* () {
        const { one } = yield* Takers
        assert.isTrue(Option.isSome(yield* one.take("again")))
        assert.isTrue(Option.isNone(yield* one.take("again")))
      })
    )

    test.effect("is of one resource, whatever its name", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        const long = "x".repeat(300)
        const names = ["a", "A/b", "..", ".", "a.lock", "{a}", "}", "a b", "ä%2F", "'; --", '"', "", long, `${long}y`]
        for (const name of names) assert.isTrue(Option.isSome(yield* one.take(name)), name)
        for (const name of names) assert.isTrue(Option.isNone(yield* other.take(name)), name)
      })
    )

    test.effect("is free again when its scope closes, and not when a loser's does", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        const scope = yield* Scope.make()
        assert.isTrue(Option.isSome(yield* Scope.provide(one.take("scope"), scope)))
        assert.isFalse(yield* isFree(other, "scope"))
        assert.isFalse(yield* isFree(other, "scope"))
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(yield* isFree(other, "scope"))
      })
    )

    test.effect("is free again when its holder is interrupted, fails or dies", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        const holding = yield* Latch.make()
        const holder = one.take("ends").pipe(Effect.andThen(holding.open), Effect.andThen(Effect.never), Effect.scoped)
        const fiber = yield* Effect.forkChild(holder)
        yield* holding.await
        assert.isFalse(yield* isFree(other, "ends"))
        yield* Fiber.interrupt(fiber)
        assert.isTrue(yield* isFree(other, "ends"))
        yield* Effect.exit(Effect.scoped(Effect.andThen(one.take("ends"), Effect.fail("no"))))
        assert.isTrue(yield* isFree(other, "ends"))
        yield* Effect.exit(Effect.scoped(Effect.andThen(one.take("ends"), Effect.die("a bug"))))
        assert.isTrue(yield* isFree(other, "ends"))
      })
    )

    test.effect("is not left behind by who is interrupted while taking it", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        for (let turns = 0; turns < 12; turns += 1) {
          const fiber = yield* Effect.forkChild(Effect.scoped(Effect.andThen(one.take("taking"), Effect.never)))
          for (let turn = 0; turn < turns; turn += 1) {
            yield* Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
          }
          yield* Fiber.interrupt(fiber)
          assert.isTrue(yield* isFree(other, "taking"), `after ${turns} turns`)
        }
      })
    )

    test.effect("bears a fence that grows with every grant, whoever gets it", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        let last = 0
        for (const leases of [one, other, other, one, one]) {
          const lease = yield* Effect.scoped(leases.take("fence"))
          const fence = Option.getOrThrow(lease).fence
          assert.isTrue(Number.isSafeInteger(fence))
          assert.isAbove(fence, last)
          last = fence
        }
      })
    )

    test.effect("goes to exactly one of many at once", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        for (const resource of ["many 1", "many 2", "many 3"]) {
          const taken = yield* Effect.all(
            Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : other).take(resource)),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(taken.filter(Option.isSome).length, 1)
        }
      })
    )

    test.effect("is not lost while it is held, nor by letting go of it", () =>
      Effect.gen(function* () {
        const { one, other } = yield* Takers
        const scope = yield* Scope.make()
        const lease = Option.getOrThrow(yield* Scope.provide(one.take("kept"), scope))
        const lost = yield* Effect.forkChild(lease.lost)
        // Longer than the right lasts unrenewed, where it expires.
        yield* Effect.sleep("800 millis")
        assert.isFalse(yield* isFree(other, "kept"))
        yield* Scope.close(scope, Exit.void)
        yield* Effect.sleep("20 millis")
        assert.isUndefined(lost.pollUnsafe())
        yield* Fiber.interrupt(lost)
      })
    )
  })
}
