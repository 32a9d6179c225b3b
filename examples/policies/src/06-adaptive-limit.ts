/** A backend that bears 10 calls at a time, and 40 callers: the limit finds that out by itself. */
import * as AdaptiveLimit from "@nexobot/core/AdaptiveLimit"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const capacity = 10
let running = 0

/** 10 milliseconds, or more in proportion when there are too many at a time. */
const backend = Effect.acquireUseRelease(
  Effect.sync(() => ++running),
  (now) => Effect.sleep(10 * Math.max(1, now / capacity)),
  () => Effect.sync(() => running--)
)

const program = Effect.gen(function* () {
  const limit = yield* AdaptiveLimit.make({ initial: 2, max: 100, window: "30 millis", name: "backend" })
  const caller = Effect.forever(limit.policy(backend).pipe(Effect.catch(() => Effect.sleep("15 millis"))))
  yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.forkChild(caller))
  for (let look = 0; look < 6; look++) {
    yield* Console.log(`${limit.inspect().limit} calls at a time`)
    yield* Effect.sleep("200 millis")
  }
})

await Effect.runPromise(program)
