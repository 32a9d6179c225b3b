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

/** Threads that Node has for files and names, as it reads it from its environment itself. */
const threadsOfNode = Math.max(1, Math.trunc(Number(process.env["UV_THREADPOOL_SIZE"] ?? 4)) || 1)

/** Nothing ends a call that a hung mount holds, and it keeps its thread. Half of them at most are ours. */
const threads = Semaphore.makeUnsafe(Math.max(1, Math.floor(threadsOfNode / 2)))

interface Queue {
  readonly turn: Semaphore.Semaphore
  /** Who has his turn or waits for it. */
  users: number
}

const queues = new Map<string, Queue>()

/**
 * Runs calls for a path, one after another: of a path that hangs there is one call, and who comes later waits for it
 * without a thread. They must not ask for another turn themselves.
 *
 * An interrupted caller does not wait for the call, which ends when it can; what it opened it closes itself.
 */
export const inPool = <A, E>(path: string, calls: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const queue = queues.get(path) ?? { turn: Semaphore.makeUnsafe(1), users: 0 }
      queues.set(path, queue)
      queue.users += 1
      const leave = Effect.sync(() => {
        queue.users -= 1
        if (queue.users === 0) queues.delete(path)
      })
      const passOn = Effect.andThen(queue.turn.release(1), leave)
      // Who gives up before it is his turn leaves nothing behind.
      yield* Effect.onInterrupt(restore(queue.turn.take(1)), () => leave)
      yield* Effect.onInterrupt(restore(threads.take(1)), () => passOn)
      const fiber = yield* Effect.forkDetach(Effect.ensuring(calls, Effect.andThen(threads.release(1), passOn)))
      return yield* restore(Fiber.join(fiber))
    })
  )

/** For calls that are in the pool already. */
export const attempt = <A>(call: () => Promise<A>): Effect.Effect<A, string> =>
  Effect.tryPromise({ try: call, catch: codeOf })

/** Of what a symbolic link leads to. Fails with the system's code. */
export const statusOf = (path: string): Effect.Effect<Fs.Stats, string> =>
  inPool(
    path,
    attempt(() => FsPromises.stat(path))
  )
