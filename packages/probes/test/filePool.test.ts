import { assert, describe, it } from "@effect/vitest"
import { eventually } from "@nexobot/testing/Expect"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import { inPool } from "../src/internal/filePool.ts"

/** Calls for a path that hang until they are let go; as many as have begun. */
const hanging = (path: string) => {
  const end = Deferred.makeUnsafe<string>()
  let begun = 0
  const call = inPool(
    path,
    Effect.suspend(() => {
      begun += 1
      return Deferred.await(end)
    })
  )
  const letGo = Effect.sync(() => void Deferred.doneUnsafe(end, Effect.succeed(path)))
  return { call, begun: () => begun, letGo }
}

const begins = ({ begun }: ReturnType<typeof hanging>) =>
  eventually(
    "it has begun",
    Effect.sync(() => (begun() > 0 ? true : undefined))
  )

describe("inPool", () => {
  it.live("of a path that hangs there is one call, however often it is asked; other paths are answered", () =>
    Effect.gen(function* () {
      const hung = hanging("/hung")
      for (let asked = 0; asked < 20; asked += 1) {
        const fiber = yield* Effect.forkChild(hung.call, { startImmediately: true })
        yield* begins(hung)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* inPool(`/other${asked}`, Effect.succeed(asked)), asked)
      }
      assert.strictEqual(hung.begun(), 1)
      const later = yield* Effect.forkChild(hung.call, { startImmediately: true })
      yield* hung.letGo
      assert.strictEqual(yield* Fiber.join(later), "/hung")
      assert.strictEqual(hung.begun(), 2, "its own, after the one that hung")
    })
  )

  it.live("two paths that hang leave the other threads alone, and who waited goes on after them", () =>
    Effect.gen(function* () {
      const [first, second, third] = [hanging("/1"), hanging("/2"), hanging("/3")]
      const fibers = []
      for (const one of [first, second]) {
        fibers.push(yield* Effect.forkChild(one.call, { startImmediately: true }))
        yield* begins(one)
      }
      // Two give up, while one waits for a thread and the other for its turn: neither is lost for the next one.
      const given = []
      for (let count = 0; count < 2; count += 1) {
        given.push(yield* Effect.forkChild(third.call, { startImmediately: true }))
      }
      fibers.push(yield* Effect.forkChild(third.call, { startImmediately: true }))
      yield* Effect.sleep("5 millis")
      for (const fiber of given) yield* Fiber.interrupt(fiber)
      assert.strictEqual(third.begun(), 0)
      yield* first.letGo
      yield* begins(third)
      yield* Effect.all([second.letGo, third.letGo])
      assert.deepStrictEqual(yield* Fiber.joinAll(fibers), ["/1", "/2", "/3"])
    })
  )

  it.live("calls for one path come one after another, and their failures are their callers'", () =>
    Effect.gen(function* () {
      let running = 0
      const once = inPool(
        "/one",
        Effect.gen(function* () {
          running += 1
          assert.strictEqual(running, 1)
          yield* Effect.yieldNow
          running -= 1
          return yield* Effect.fail("EIO")
        })
      )
      const all = Array.from({ length: 20 }, () => Effect.flip(once))
      assert.deepStrictEqual([...new Set(yield* Effect.all(all, { concurrency: "unbounded" }))], ["EIO"])
    })
  )
})
