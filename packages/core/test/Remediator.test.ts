import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

import * as Remediator from "../src/Remediator.ts"
import { refusal } from "./support.ts"

const radii = ["file", "process", "component", "host"] as const
const privileges = ["none", "own-user", "root"] as const

interface Step {
  readonly id: string
  readonly holds?: () => boolean
  readonly works?: boolean
}

/** Writes down what is done to it. */
const recorder = () => {
  const log: Array<string> = []
  const step = ({ holds = () => true, id, works = true }: Step) =>
    Remediator.make({
      id,
      description: `does ${id}`,
      blastRadius: "process",
      reversible: true,
      // Not inside an effect: whatever it looks at, it looks at when called.
      precondition: () => {
        log.push(`${id}?`)
        return holds() ? Effect.void : Effect.fail(Remediator.refused(id, "it does not hold"))
      },
      apply: () =>
        Effect.suspend(() => {
          log.push(id)
          return works ? Effect.void : Effect.fail(Remediator.failed(id, "it did not work"))
        })
    })
  return { log, step }
}

describe("Remediator.make", () => {
  it.effect("needs nothing and always may unless told", () =>
    Effect.gen(function* () {
      const made = Remediator.make({
        id: "x",
        description: "y",
        blastRadius: "file",
        reversible: false,
        apply: () => Effect.void
      })
      const { needsApproval, needsSnapshot, privilege } = made
      assert.deepStrictEqual(
        { privilege, needsApproval, needsSnapshot },
        { privilege: "none", needsApproval: false, needsSnapshot: false }
      )
      assert.deepStrictEqual(yield* Effect.exit(made.precondition({})), Exit.void)
    })
  )

  it("refuses bad options by name", () => {
    const good = { id: "x", description: "y", blastRadius: "file", reversible: true, apply: () => Effect.void } as const
    const bad = { id: "", description: "", blastRadius: "planet", privilege: "admin" }
    for (const [option, value] of Object.entries(bad)) {
      const error = refusal(() => Remediator.make({ ...good, [option]: value }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["Remediator", option, value])
    }
  })
})

describe("Remediator.sequence", () => {
  it.effect("does the steps in order, each after its precondition", () =>
    Effect.gen(function* () {
      const { log, step } = recorder()
      const rung = Remediator.sequence(Remediator.sequence(step({ id: "a" }), step({ id: "b" })), step({ id: "c" }))
      yield* rung.precondition({})
      assert.deepStrictEqual(log.splice(0), ["a?"])
      yield* rung.apply({})
      assert.deepStrictEqual(log, ["a", "b?", "b", "c?", "c"])
      assert.deepStrictEqual([rung.id, rung.description], ["a, b, c", "does a; then does b; then does c"])
    })
  )

  it.effect("groups either way", () =>
    Effect.gen(function* () {
      const { log, step } = recorder()
      yield* Remediator.sequence(step({ id: "a" }), Remediator.sequence(step({ id: "b" }), step({ id: "c" }))).apply({})
      assert.deepStrictEqual(log, ["a", "b?", "b", "c?", "c"])
    })
  )

  it.effect("looks at the second precondition only after the first step has made it true", () =>
    Effect.gen(function* () {
      const { log, step } = recorder()
      const second = step({ id: "b", holds: () => log.includes("a") })
      yield* Remediator.sequence(step({ id: "a" }), second).apply({})
      assert.deepStrictEqual(log, ["a", "b?", "b"])
    })
  )

  it.effect("stops at the first failure", () =>
    Effect.gen(function* () {
      const { log, step } = recorder()
      const rung = Remediator.sequence(step({ id: "a", works: false }), step({ id: "b" }))
      const error = yield* Effect.flip(rung.apply({}))
      assert.deepStrictEqual(error, Remediator.failed("a", "it did not work"))
      assert.strictEqual(error.message, "a failed: it did not work")
      assert.deepStrictEqual(log, ["a"])
    })
  )

  it.effect("stops at the first refusal, and says which step refused", () =>
    Effect.gen(function* () {
      const { log, step } = recorder()
      const rung = Remediator.sequence(step({ id: "a" }), step({ id: "b", holds: () => false }))
      const error = yield* Effect.flip(rung.apply({}))
      assert.strictEqual(error.message, "b refused: it does not hold")
      assert.deepStrictEqual(log, ["a", "b?"])
      const first = Remediator.sequence(step({ id: "c", holds: () => false }), step({ id: "d" }))
      assert.isTrue(Result.isFailure(yield* Effect.result(first.precondition({}))))
    })
  )

  const Part = Schema.Struct({
    blastRadius: Schema.Literals(radii),
    privilege: Schema.Literals(privileges),
    reversible: Schema.Boolean,
    needsApproval: Schema.Boolean,
    needsSnapshot: Schema.Boolean
  })

  it.effect.prop("is as far-reaching as its worst step", [Part, Part, Part], (parts) =>
    Effect.sync(() => {
      const [a, b, c] = parts.map((part) =>
        Remediator.make({ ...part, id: "x", description: "y", apply: () => Effect.void })
      ) as [Remediator.Remediator<unknown>, Remediator.Remediator<unknown>, Remediator.Remediator<unknown>]
      const worst = <A>(ascending: ReadonlyArray<A>, of: (part: typeof Part.Type) => A) =>
        ascending[Math.max(...parts.map((part) => ascending.indexOf(of(part))))]
      for (const whole of [
        Remediator.sequence(Remediator.sequence(a, b), c),
        Remediator.sequence(a, Remediator.sequence(b, c))
      ]) {
        assert.strictEqual(
          whole.blastRadius,
          worst(radii, (part) => part.blastRadius)
        )
        assert.strictEqual(
          whole.privilege,
          worst(privileges, (part) => part.privilege)
        )
        assert.strictEqual(
          whole.reversible,
          parts.every((part) => part.reversible)
        )
        assert.strictEqual(
          whole.needsApproval,
          parts.some((part) => part.needsApproval)
        )
        assert.strictEqual(
          whole.needsSnapshot,
          parts.some((part) => part.needsSnapshot)
        )
      }
    })
  )
})

describe("RemediationError", () => {
  it("goes through JSON", () => {
    const codec = Schema.toCodecJson(Remediator.RemediationError)
    const error = Remediator.refused("kill-owner", "the port is free")
    const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error)))
    assert.strictEqual(Schema.decodeUnknownSync(codec)(wire).message, "kill-owner refused: the port is free")
  })
})
