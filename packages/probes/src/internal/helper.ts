/**
 * Programs that ask a disk in place of this process. A disk that hangs holds whoever asks it, for ever if need be, and
 * neither SIGKILL nor anything else ends that: a thread of this process would be lost.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import { type Command, type Ended, run } from "./command.ts"

/**
 * Runs programs one after another, of which none starts before the one before it is gone: so at most one of a probe hangs.
 * Each has to be a single process, for of its children nobody knows when they are gone. Who is interrupted leaves his
 * program behind, killed.
 */
export const makeHelper = () => {
  let running: Deferred.Deferred<void> | undefined

  return (command: Pick<Command, "file" | "args" | "maxOutput">): Effect.Effect<Ended, string> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        // oxlint-disable-next-line eslint/no-unmodified-loop-condition -- it is: by others, meanwhile
        while (running !== undefined) yield* restore(Deferred.await(running))
        const own = Deferred.makeUnsafe<void>()
        running = own
        const onExit = () => {
          running = undefined
          Deferred.doneUnsafe(own, Effect.void)
        }
        // Their messages are read, so they are to be in English.
        const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" }
        const started = run({ ...command, env, onExit })
        // It fails only if it was not started.
        const fiber = yield* Effect.forkDetach(
          Effect.tapError(started, () => Effect.sync(onExit)),
          {
            startImmediately: true
          }
        )
        return yield* Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
      })
    )
}

/** What programs say, in the words of glibc and of musl, by the system's codes. */
const codes: ReadonlyArray<readonly [code: string, text: RegExp]> = [
  ["ENOENT", /No such file or directory|Directory nonexistent|nonexistent directory/],
  ["ENOTDIR", /Not a directory/],
  ["ELOOP", /Too many levels of symbolic links|Symbolic link loop/],
  ["EACCES", /Permission denied/],
  ["EPERM", /Operation not permitted/],
  ["EROFS", /Read-only file system/],
  ["ENOSPC", /No space left on device/],
  ["EDQUOT", /(Disk quota|Quota) exceeded/],
  ["EIO", /Input\/output error|I\/O error/],
  ["ESTALE", /Stale (NFS )?file handle/],
  ["ENOTCONN", /Transport endpoint is not connected|Socket not connected/],
  ["EHOSTDOWN", /Host is down/],
  ["ETIMEDOUT", /(Connection|Operation) timed out/],
  ["EEXIST", /File exists|cannot overwrite existing file/],
  ["EISDIR", /Is a directory/],
  ["ENAMETOOLONG", /File ?name too long/]
]

/** The system's code in a program's complaint. The path that it names could contain such words: the last ones count. */
export const codeIn = (complaint: string): string | undefined => {
  const reason = complaint.trimEnd().replace(/.*: /s, "")
  return codes.find(([, text]) => text.test(reason))?.[0]
}
