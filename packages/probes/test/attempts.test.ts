import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import { eventually } from "@nexobot/testing/Expect"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import { firstOf } from "../src/internal/attempts.ts"

/** Attempts at addresses that are silent until they are told what to say. */
const attempts = (addresses: ReadonlyArray<string>, left: Duration.Input) => {
  const sockets = new Map<string, Net.Socket>()
  const failed: Array<string> = []
  const connect = (address: string) => {
    const socket = new Net.Socket()
    sockets.set(address, socket)
    return socket
  }
  const vain = (address: string, code: string) => failed.push(`${address} ${code}`)
  return {
    failed,
    /** Those that were begun, in this order. */
    tried: () => [...sockets.keys()],
    /** Those that are still open. */
    open: () => [...sockets].flatMap(([address, socket]) => (socket.destroyed ? [] : [address])),
    answers: (address: string) => sockets.get(address)?.emit("connect"),
    refuses: (address: string, code: string) => sockets.get(address)?.destroy(Object.assign(new Error(), { code })),
    run: Effect.scoped(
      Effect.map(firstOf(addresses, connect, Duration.fromInputUnsafe(left), vain), ({ address, silent, socket }) => ({
        address,
        silent,
        isOpen: !socket.destroyed
      }))
    )
  }
}

const begun = (tried: () => ReadonlyArray<string>, count: number) =>
  TestClock.withLive(
    eventually(
      `${count} were tried`,
      Effect.sync(() => (tried().length === count ? true : undefined))
    )
  )

describe("attempts", () => {
  it.effect("each silent address has a quarter of a second without a rival; the first that answers is taken", () =>
    Effect.gen(function* () {
      const { answers, failed, open, run, tried } = attempts(["a", "b", "c", "d"], "5 seconds")
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      assert.deepStrictEqual(tried(), ["a"])
      yield* TestClock.adjust("249 millis")
      assert.deepStrictEqual(tried(), ["a"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(tried(), ["a", "b"])
      yield* TestClock.adjust("250 millis")
      // What was begun goes on: the second is late, and the first to answer.
      answers("b")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { address: "b", silent: ["a", "c"], isOpen: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([tried(), open(), failed], [["a", "b", "c"], [], []])
    })
  )

  it.effect("all are tried within the time that is left", () =>
    Effect.gen(function* () {
      const addresses = Array.from({ length: 16 }, (_, index) => String(index))
      const { answers, run, tried } = attempts(addresses, "340 millis")
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      yield* TestClock.adjust("320 millis")
      assert.deepStrictEqual(tried(), addresses)
      answers("15")
      assert.strictEqual((yield* Fiber.join(fiber)).address, "15")
    })
  )

  it.effect("who refuses leaves its turn at once; a code of the other side is worth more than one of ours", () =>
    Effect.gen(function* () {
      const { failed, open, refuses, run, tried } = attempts(["a", "b", "c"], "5 seconds")
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      refuses("a", "EADDRNOTAVAIL")
      yield* begun(tried, 2)
      refuses("b", "ECONNREFUSED")
      yield* begun(tried, 3)
      refuses("c", "ENETUNREACH")
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("ECONNREFUSED"))
      assert.deepStrictEqual(failed, ["a EADDRNOTAVAIL", "b ECONNREFUSED", "c ENETUNREACH"])
      assert.isEmpty(open())
      const one = attempts(["a"], "5 seconds")
      const lonely = yield* Effect.forkChild(one.run, { startImmediately: true })
      one.refuses("a", "EMFILE")
      assert.deepStrictEqual(yield* Fiber.await(lonely), Exit.fail("EMFILE"))
    })
  )

  it.effect("an interruption leaves nothing open", () =>
    Effect.gen(function* () {
      const { open, run } = attempts(["a", "b", "c"], "5 seconds")
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      yield* TestClock.adjust("300 millis")
      assert.deepStrictEqual(open(), ["a", "b"])
      yield* Fiber.interrupt(fiber)
      assert.isEmpty(open())
    })
  )
})
