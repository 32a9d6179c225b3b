/**
 * Output that never makes its writer wait. Node writes to terminals and pipes synchronously: a terminal that is paused by
 * Ctrl-S, or a pager that nobody scrolls, would stop a supervisor. So they are opened anew without blocking, which leaves
 * the descriptors of others as they are; what does not fit waits within a bound, and what does not fit there is lost.
 */
import * as Fs from "node:fs"
import type { Writable } from "node:stream"

import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

const mostWaiting = 1_048_576

export interface Outlet {
  readonly write: (text: string) => void
}

const codeOf = (cause: unknown): unknown => (cause instanceof Error && "code" in cause ? cause.code : undefined)

/** A description of our own of the same terminal or pipe; files never block for long, and have a place to write at. */
const reopened = (fd: number): number | undefined => {
  try {
    const stats = Fs.fstatSync(fd)
    if (!stats.isFIFO() && !stats.isCharacterDevice()) return undefined
    const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = Fs.constants
    return Fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    return undefined
  }
}

/** Whoever read it is gone: that is no reason to end. */
const ignore = (): void => {}

/** Takes what is written to `fd`; through `stream` where it cannot be opened anew. */
export const open = Effect.fnUntraced(function* (
  fd: number,
  stream: Writable
): Effect.fn.Return<Outlet, never, Scope.Scope> {
  const own = yield* Effect.acquireRelease(
    Effect.sync(() => reopened(fd)),
    (opened) => Effect.sync(() => (opened === undefined ? undefined : Fs.closeSync(opened)))
  )
  yield* Effect.acquireRelease(
    Effect.sync(() => stream.on("error", ignore)),
    () => Effect.sync(() => stream.off("error", ignore))
  )
  if (own === undefined) return { write: (text) => void stream.write(text) }

  let waiting = Buffer.alloc(0)
  let lost = 0
  /** Whether all is written. */
  const flush = (): boolean => {
    try {
      while (waiting.length > 0) waiting = waiting.subarray(Fs.writeSync(own, waiting))
    } catch (cause) {
      if (codeOf(cause) === "EAGAIN") return false
      waiting = Buffer.alloc(0)
    }
    return true
  }
  const isWaiting = yield* Latch.make()
  const again = Effect.sync(flush).pipe(
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("100 millis") }),
    Effect.andThen(isWaiting.close)
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(isWaiting.await, again)))
  // At the end once more: what does not fit then is for nobody.
  yield* Effect.addFinalizer(() => Effect.sync(flush))
  return {
    write: (text) => {
      const added = Buffer.from(text)
      if (waiting.length + added.length > mostWaiting) {
        lost += 1
        return
      }
      const notice = lost === 0 ? [] : [Buffer.from(`(${lost} lines were lost: nobody read them)\n`)]
      lost = 0
      waiting = Buffer.concat([waiting, ...notice, added])
      if (!flush()) isWaiting.openUnsafe()
    }
  }
})
