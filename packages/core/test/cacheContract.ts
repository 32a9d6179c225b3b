import { assert, describe } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import type { CachePort } from "../src/CachePort.ts"

/** A value of some depth, that a codec has to carry whole. */
export interface Account {
  readonly name: string
  readonly opened: Date
  readonly tags: ReadonlyArray<string>
}

const ada: Account = { name: "Ada", opened: new Date(1_000), tags: ["a", "b"] }
const grace: Account = { name: "Grace", opened: new Date(2_000), tags: [] }

const lifetime = (ttl: Duration.Input, staleFor: Duration.Input = 0) => ({
  ttl: Duration.fromInputUnsafe(ttl),
  staleFor: Duration.fromInputUnsafe(staleFor)
})

/** What every cache does; `wait` lets time pass for it. */
export const contract = (
  name: string,
  options: {
    readonly make: Effect.Effect<CachePort<string, Account, unknown>, never, Scope.Scope>
    readonly wait: (millis: number) => Effect.Effect<void>
    readonly effect: (title: string, test: () => Effect.Effect<void, unknown, Scope.Scope>) => void
  }
): void => {
  const { effect, make, wait } = options
  describe(`${name} is a cache`, () => {
    effect("that has nothing at first", () =>
      Effect.gen(function* () {
        const cache = yield* make
        assert.isUndefined(yield* cache.get("ada"))
      })
    )

    effect("that gives back what was stored, by key", () =>
      Effect.gen(function* () {
        const cache = yield* make
        yield* cache.set("ada", ada, lifetime("1 minute"))
        yield* cache.set("grace", grace, lifetime("1 minute", "1 minute"))
        assert.deepStrictEqual(yield* cache.get("ada"), { value: ada, fresh: true })
        assert.deepStrictEqual(yield* cache.get("grace"), { value: grace, fresh: true })
      })
    )

    effect("that replaces, with a new lifetime", () =>
      Effect.gen(function* () {
        const cache = yield* make
        yield* cache.set("ada", grace, lifetime("50 millis"))
        yield* cache.set("ada", ada, lifetime("1 minute"))
        yield* wait(100)
        assert.deepStrictEqual(yield* cache.get("ada"), { value: ada, fresh: true })
      })
    )

    effect("that forgets when told, and only that", () =>
      Effect.gen(function* () {
        const cache = yield* make
        yield* cache.set("ada", ada, lifetime("1 minute"))
        yield* cache.set("grace", grace, lifetime("1 minute"))
        yield* cache.remove("ada")
        yield* cache.remove("nobody")
        assert.isUndefined(yield* cache.get("ada"))
        assert.deepStrictEqual(yield* cache.get("grace"), { value: grace, fresh: true })
      })
    )

    effect("that forgets at the end of the ttl", () =>
      Effect.gen(function* () {
        const cache = yield* make
        yield* cache.set("ada", ada, lifetime("50 millis"))
        yield* wait(100)
        assert.isUndefined(yield* cache.get("ada"))
      })
    )

    effect("that keeps a stale copy for as long as it was told, and says that it is stale", () =>
      Effect.gen(function* () {
        const cache = yield* make
        yield* cache.set("ada", ada, lifetime("50 millis", "1 minute"))
        yield* cache.set("grace", grace, lifetime("50 millis", "50 millis"))
        yield* wait(150)
        assert.deepStrictEqual(yield* cache.get("ada"), { value: ada, fresh: false })
        assert.isUndefined(yield* cache.get("grace"))
      })
    )
  })
}
