/**
 * Asks the file system, so that a hung mount cannot take the whole process with it.
 *
 * @since 0.1.0
 */
import type * as Fs from "node:fs"
import * as FsPromises from "node:fs/promises"

import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"

import { codeOf } from "./systemError.ts"

/**
 * Nothing ends a call that a hung mount holds, and it keeps one of the four threads that Node has for files and names.
 * Two at most are ours.
 */
const threads = Semaphore.makeUnsafe(2)

/** An interrupted caller does not wait for the call, which ends when it can; what it opened it closes itself. */
export const inPool = <A>(calls: Effect.Effect<A, string>): Effect.Effect<A, string> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // Who gives up before it is his turn leaves nothing behind.
      yield* restore(threads.take(1))
      const fiber = yield* Effect.forkDetach(Effect.ensuring(calls, threads.release(1)))
      return yield* restore(Fiber.join(fiber))
    })
  )

/** Of what a symbolic link leads to. Fails with the system's code. */
export const statusOf = (path: string): Effect.Effect<Fs.Stats, string> =>
  inPool(Effect.tryPromise({ try: () => FsPromises.stat(path), catch: codeOf }))
