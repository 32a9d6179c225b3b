/** What every remediator promises. A suite for one remediator is one call. */
import { assert, describe, it } from "@effect/vitest"
import { RemediationError, type Remediator } from "@nexobot/core/Remediator"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import { counting } from "./support.ts"

export interface Situation<S, R> {
  readonly signature: S
  readonly context: Context.Context<R>
  /** Everything that the remedy could change, as it is now. */
  readonly world: () => unknown
  /** Breaks what `apply` needs. */
  readonly sabotage?: <A, E, R1>(effect: Effect.Effect<A, E, R1>) => Effect.Effect<A, E, R1>
}

type Make<S, R> = Effect.Effect<Situation<S, R>, unknown, Scope.Scope>

export interface Subject<S, R> {
  readonly remediator: Remediator<S, R>
  /** Its precondition holds. */
  readonly accepted: Make<S, R>
  readonly refused: Readonly<Record<string, Make<S, R>>>
  /** Its precondition holds, and it cannot do its work. */
  readonly failing: Make<S, R>
}

export const remediatorContract = <S, R>(name: string, { accepted, failing, refused, remediator }: Subject<S, R>) => {
  const { id } = remediator
  const looked = Effect.fnUntraced(function* ({ context, signature, world }: Situation<S, R>) {
    const { sent, table } = yield* counting
    const before = world()
    const precondition = table(remediator.precondition(signature)).pipe(Effect.provideContext(context))
    const exit = yield* Effect.exit(Effect.asVoid(precondition))
    assert.deepStrictEqual(world(), before)
    assert.deepStrictEqual(sent, [])
    return exit
  })

  describe(`${name} keeps the contract of remediators`, () => {
    it("says what it touches", () => {
      assert.isNotEmpty(id)
      assert.isNotEmpty(remediator.description)
      assert.include(["file", "process", "component", "host"], remediator.blastRadius)
      assert.isBoolean(remediator.reversible)
    })

    it.live("a precondition that holds changes nothing, however often it is asked", () =>
      Effect.gen(function* () {
        const situation = yield* accepted
        for (const _ of [1, 2, 3]) assert.strictEqual((yield* looked(situation))._tag, "Success")
      })
    )

    for (const [what, make] of Object.entries(refused)) {
      it.live(`refuses when ${what}, and changes nothing`, () =>
        Effect.gen(function* () {
          const situation = yield* make
          const error = yield* Effect.flip(yield* looked(situation))
          assert.instanceOf(error, RemediationError)
          assert.deepInclude(error, { remediator: id })
          assert.strictEqual(error.reason._tag, "Refused")
          assert.isNotEmpty(error.reason.why)
        })
      )
    }

    it.live("a failure names it and is no defect", () =>
      Effect.gen(function* () {
        const { context, sabotage = (effect) => effect, signature } = yield* failing
        yield* Effect.provideContext(remediator.precondition(signature), context)
        const error = yield* Effect.flip(sabotage(Effect.provideContext(remediator.apply(signature), context)))
        assert.instanceOf(error, RemediationError)
        assert.deepInclude(error, { remediator: id })
        assert.strictEqual(error.reason._tag, "Failed")
        assert.isNotEmpty(error.reason.why)
      })
    )
  })
}
