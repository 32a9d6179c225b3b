/**
 * Replaces a file so that after a crash there is the old one or the new one, whole.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A step failed. The file is the old one, whole; or, if only flushing the folder failed, the new one.
 *
 * @category errors
 * @since 0.1.0
 */
export class DurableFileError extends Schema.TaggedError<DurableFileError>("@nexobot/core/DurableFileError")(
  "DurableFileError",
  {
    path: Schema.String,
    /** The system's code, for example `ENOSPC`. */
    code: Schema.String,
    cause: Schema.Defect()
  }
) {
  override get message(): string {
    return `could not replace ${this.path}: ${this.code}`
  }
}

/** The system's code of an error thrown by `node:fs`, else its text. */
const codeOf = (cause: unknown): string => {
  if (!(cause instanceof Error && "code" in cause && typeof cause.code === "string")) return String(cause)
  const { code } = cause
  // Some codes Node knows by number only, among them EDQUOT, a quota that is used up.
  const named = Object.entries(Os.constants.errno).find(([, number]) => code === `Unknown system error -${number}`)
  return named?.[0] ?? code
}

/** File systems that have nothing to flush for a folder (some FUSE and network ones, Windows) answer with these. */
const unflushable: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "ENOSYS", "EISDIR", "EPERM"])

/**
 * Writes `data` beside the file, flushes it, renames it over the file, and flushes the folder.
 *
 * @category operations
 * @since 0.1.0
 */
export const replace = Effect.fnUntraced(function* (
  path: string,
  data: string | Uint8Array,
  options: {
    /** Mode of the new file, 0600 unless told. */
    readonly mode?: number
  } = {}
): Effect.fn.Return<void, DurableFileError> {
  const folder = Path.dirname(path)
  // Not named by pid: in a container every run has the same one, and would trip over what a crash left.
  const temporary = Path.join(folder, `.${Path.basename(path)}.${Crypto.randomUUID()}.tmp`)
  const attempt = <A>(f: () => Promise<A>) =>
    Effect.tryPromise({ try: f, catch: (cause) => new DurableFileError({ path, code: codeOf(cause), cause }) })

  const write = Effect.acquireUseRelease(
    attempt(() => Fs.open(temporary, "wx", options.mode ?? 0o600)),
    (file) => attempt(() => file.writeFile(data).then(() => file.sync())),
    (file) => attempt(() => file.close())
  )
  yield* write.pipe(
    Effect.andThen(attempt(() => Fs.rename(temporary, path))),
    Effect.onError(() => Effect.promise(() => Fs.rm(temporary, { force: true }).catch(() => undefined)))
  )
  yield* Effect.acquireUseRelease(
    attempt(() => Fs.open(folder, "r")),
    (handle) => attempt(() => handle.sync()),
    (handle) => attempt(() => handle.close())
  ).pipe(
    Effect.catchIf(
      (error) => unflushable.has(error.code),
      () => Effect.void
    )
  )
})
