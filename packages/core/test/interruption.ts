import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/**
 * A call that yields to others every few operations, and is interrupted from another fiber while it does. With fewer than
 * 3 operations a fiber never gets any further.
 */
export const Interrupted = Schema.Struct({
  yieldsEvery: between(3, 9),
  /** Operations of its own before it begins. */
  before: between(0, 9),
  /** Yields of the other fiber before it interrupts. */
  after: between(0, 12),
  ends: Schema.Boolean
})

/** Something of so many operations, and then the effect. */
export const busyFor = <A, E, R>(operations: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => (operations <= 0 ? effect : busyFor(operations - 1, effect)))

/** Starts the calls, interrupts each when it says, and returns when all have ended. */
export const interruptAll = Effect.fnUntraced(function* <E>(
  calls: ReadonlyArray<typeof Interrupted.Type>,
  make: (ends: boolean, index: number) => Effect.Effect<unknown, E>
) {
  const fibers: Array<Fiber.Fiber<unknown, E>> = []
  for (const [index, call] of calls.entries()) {
    const one = Effect.provideService(
      busyFor(call.before, make(call.ends, index)),
      Scheduler.MaxOpsBeforeYield,
      call.yieldsEvery
    )
    const fiber = yield* Effect.forkChild(one, { startImmediately: true })
    fibers.push(fiber)
    yield* Effect.forkChild(
      Effect.andThen(
        Effect.forEach(Array.from({ length: call.after }), () => Effect.yieldNow, { discard: true }),
        Effect.sync(() => fiber.interruptUnsafe())
      ),
      { startImmediately: true }
    )
  }
  yield* Fiber.awaitAll(fibers)
})
