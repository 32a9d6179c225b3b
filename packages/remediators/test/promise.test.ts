import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { failed, make, refused, RemediationError } from "@nexobot/core/Remediator"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { deceased, idle } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

import * as ClearStaleLock from "../src/ClearStaleLock.ts"
import { apply } from "../src/promise.ts"
import * as RestartProcess from "../src/RestartProcess.ts"

class Greeting extends Context.Service<Greeting, string>()("Greeting") {}

const restart = RestartProcess.make("web")

const rejection = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => "resolved",
      (cause: unknown) => cause
    )
  )

const plain = { description: "for a test", blastRadius: "file", reversible: true } as const

/** What does not compile. */
const types = () => {
  // @ts-expect-error the context is missing
  void apply(restart, undefined)
  // @ts-expect-error this context lacks ProcessControl
  void apply(restart, undefined, { context: Context.make(Greeting, "hello") })
  // @ts-expect-error it needs a path
  void apply(ClearStaleLock.make(), { port: 1 })
  void apply(ClearStaleLock.make(), { path: "/x" }, {})
}

describe("apply", () => {
  it("knows what a remedy needs when it is compiled", () => {
    assert.isFunction(types)
  })

  it.live("runs a remedy that needs nothing; refused, it rejects and has done nothing", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "lock")
      Fs.writeFileSync(path, JSON.stringify(yield* deceased))
      // A signature may say more than the remedy needs.
      const signature = { _tag: "Lock/Stale", path }
      yield* Effect.promise(() => apply(ClearStaleLock.make(), signature))
      assert.isFalse(Fs.existsSync(path))

      Fs.writeFileSync(path, JSON.stringify(yield* idle))
      const cause = yield* rejection(apply(ClearStaleLock.make(), { path }))
      assert.instanceOf(cause, RemediationError)
      assert.deepInclude(cause, { _tag: "RemediationError", remediator: "clear-stale-lock" })
      assert.deepStrictEqual(cause, refused("clear-stale-lock", `${path} is held`))
      assert.isTrue(Fs.existsSync(path))
    })
  )

  it.live("takes what a remedy needs from the context", () =>
    Effect.gen(function* () {
      const { context, requests } = yield* TestProcessControl.make({ web: { state: "Failed" } })
      yield* Effect.promise(() => apply(restart, undefined, { context }))
      assert.deepStrictEqual(requests, ["restart web"])
    })
  )

  it.live("a remedy that fails rejects with its error", () =>
    Effect.gen(function* () {
      const { context } = yield* TestProcessControl.make({ web: { state: "Failed", broken: "no such program" } })
      assert.deepStrictEqual(
        yield* rejection(apply(restart, undefined, { context })),
        failed("restart web", '"web": no such program')
      )
    })
  )

  it.live("an abortion interrupts it, waits for what it cleans up, and rejects with its reason", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const abort = new AbortController()
      const endless = make({
        ...plain,
        id: "endless",
        apply: () =>
          Effect.sync(() => abort.abort(reason)).pipe(
            Effect.andThen(Effect.never),
            Effect.ensuring(
              Effect.andThen(
                Effect.sleep("20 millis"),
                Effect.sync(() => done.push("cleaned up"))
              )
            )
          )
      })
      const reason = new Error("enough")
      assert.strictEqual(yield* rejection(apply(endless, undefined, { signal: abort.signal })), reason)
      assert.deepStrictEqual(done, ["cleaned up"])

      const never = make({ ...plain, id: "never", apply: () => Effect.sync(() => void done.push("applied")) })
      assert.strictEqual(yield* rejection(apply(never, undefined, { signal: abort.signal })), reason)
      assert.deepStrictEqual(done, ["cleaned up"])
    })
  )
})
