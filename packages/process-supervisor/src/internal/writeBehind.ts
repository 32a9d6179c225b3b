/**
 * Writes what changes in memory to the disk, behind whoever changes it: a change returns at once, whatever the disk does.
 * One write is under way at most, and takes along all that has changed by then.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

export interface WriteBehind {
  /** What is to be written has changed. */
  readonly changed: () => void
  /** Ends when an attempt is over that began after this, whether it succeeded or not; at once when all is written. */
  readonly flush: Effect.Effect<void>
  /** Why the latest attempt failed; `undefined` when it did not. It is tried again until one succeeds. */
  readonly problem: () => string | undefined
}

/** A process that is replaced changes two entries within less: they get one write. */
const together = Duration.millis(20)
const betweenAttempts = Duration.seconds(1)

const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** `write` writes what is in memory when it begins; `what` names it in the log. */
export const make = Effect.fnUntraced(function* <E>(
  what: string,
  write: Effect.Effect<void, E>
): Effect.fn.Return<WriteBehind, never, Scope.Scope> {
  const pending = Latch.makeUnsafe()
  const urgent = Latch.makeUnsafe()
  let next = Deferred.makeUnsafe<void>()
  let problem: string | undefined
  let isWriting = false

  const attempt = Effect.gen(function* () {
    const done = next
    next = Deferred.makeUnsafe()
    pending.closeUnsafe()
    urgent.closeUnsafe()
    isWriting = true
    const before = problem
    const exit = yield* Effect.exit(write)
    isWriting = false
    problem = Exit.match(exit, { onSuccess: () => undefined, onFailure: (cause) => messageOf(cause) })
    if (problem !== undefined) pending.openUnsafe()
    Deferred.doneUnsafe(done, Exit.void)
    // Once for each bad time, not for each attempt.
    if (problem !== undefined && before === undefined) {
      yield* Effect.logWarning(`${what} cannot be written, and is tried again until it can: ${problem}`)
    }
    if (problem === undefined && before !== undefined) yield* Effect.logInfo(`${what} is written again`)
  })

  const turn = Effect.gen(function* () {
    yield* pending.await
    yield* Effect.timeoutOption(urgent.await, problem === undefined ? together : betweenAttempts)
    yield* attempt
  })
  yield* Effect.forkScoped(Effect.forever(turn))

  return {
    changed: () => {
      pending.openUnsafe()
    },
    flush: Effect.suspend(() => {
      if (!isWriting && !pending.isOpen()) return Effect.void
      const done = next
      pending.openUnsafe()
      // The writer may begin at once, before this returns.
      urgent.openUnsafe()
      return Deferred.await(done)
    }),
    problem: () => problem
  }
})
