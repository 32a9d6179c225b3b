import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

import { agrees, carriers, eventually, inline, pidOf, reaches, supervise } from "./support.ts"

const idle = "setInterval(() => {}, 1e6)"

/** Ends at once, is ready late or never, and takes its time to end: all of it by chance. */
const moody = `
  if (Math.random() < 0.3) process.exit(1)
  process.on("SIGTERM", () => setTimeout(() => process.exit(0), Math.random() * 60))
  setTimeout(() => { if (Math.random() < 0.8) require("node:fs").writeSync(3, "\\n") }, Math.random() * 60)
  ${idle}`

const actions = ["reload", "reload", "start", "stop", "restart", "kill", "abandon"] as const

/** Numbers below `limit`, the same for the same seed. */
const numbers = (seed: number) => {
  let state = seed
  return (limit: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * limit)
  }
}

/** Requests in any order, one before the other is answered, while the process dies as it likes. */
const muddle = Effect.fnUntraced(function* (seed: number) {
  const below = numbers(seed)
  const supervisor = yield* supervise([
    inline("a", moody, {
      ready: "notify",
      startGrace: "150 millis",
      stopGrace: "5 seconds",
      restartPolicy: { intensity: { limit: 1000, window: "1 minute" }, backoff: { initial: 1, max: 20 } }
    })
  ])
  const done: Array<string> = []
  const asked: Array<readonly [what: string, fiber: Fiber.Fiber<unknown>]> = []
  const ask = Effect.fnUntraced(function* (what: string, request: Effect.Effect<unknown, unknown>) {
    const fiber = yield* Effect.forkChild(Effect.exit(request), { startImmediately: true })
    asked.push([what, fiber])
    return fiber
  })
  for (let step = 0; step < 30; step += 1) {
    const action = actions[below(actions.length)] ?? "kill"
    const what = `${step} ${action}`
    done.push(what)
    if (action === "kill") {
      const { identity } = yield* supervisor.status("a")
      if (identity !== undefined) yield* supervisor.signal("a", "SIGKILL").pipe(Effect.ignore)
    } else if (action === "abandon") {
      const fiber = yield* ask(what, supervisor.reload("a"))
      yield* Effect.sleep(below(20))
      yield* Effect.forkChild(Fiber.interrupt(fiber))
    } else {
      yield* ask(what, supervisor[action]("a"))
    }
    yield* Effect.sleep(below(3) === 0 ? 0 : below(120))
  }
  const story = `seed ${seed}: ${done.join(", ")}`
  for (const [what, fiber] of asked) {
    yield* eventually(
      `an answer to ${what} in ${story}`,
      Effect.sync(() => fiber.pollUnsafe())
    )
  }
  yield* supervisor.stop("a")
  assert.strictEqual((yield* supervisor.status("a")).state, "Stopped", story)
  assert.deepStrictEqual(yield* carriers(supervisor.id), [], story)
  yield* agrees(supervisor)
})

describe("requests at the same time", () => {
  it.live("each is answered whatever the others are, and nothing is left", () =>
    Effect.forEach([1, 2, 5, 12], muddle, { concurrency: "unbounded", discard: true })
  )

  it.live("a stop is answered though somebody asks for a start at once", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", idle)])
      const before = yield* supervisor.status("a")
      const stop = yield* Effect.forkChild(supervisor.stop("a"), { startImmediately: true })
      yield* supervisor.restart("a")
      assert.deepStrictEqual(
        (yield* Fiber.join(stop)).signalled.map(({ pid }) => pid),
        [pidOf(before)]
      )
      const after = yield* reaches(supervisor, "a", "Running")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(after)])
      yield* agrees(supervisor)
    })
  )

  it.live("a start that a stop overtakes says so", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", idle)], { autoStart: false })
      const start = yield* Effect.forkChild(Effect.exit(supervisor.start("a")), { startImmediately: true })
      yield* supervisor.stop("a")
      const exit = yield* Fiber.join(start)
      // It may have been quick enough.
      if (Exit.isFailure(exit)) assert.strictEqual((yield* Effect.flip(exit)).reason._tag, "Unavailable")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      yield* agrees(supervisor)
    })
  )
})
