/**
 * Reads a file that is small if it is what it should be.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as FsPromises from "node:fs/promises"

import * as Effect from "effect/Effect"

import { attempt, inPool } from "./filePool.ts"

/** Read at once; most files are smaller. */
const piece = 64 * 1024

/** Fails with `EISDIR` for a folder, and with `ENOTFILE` for a pipe or a device, which might never end. */
export const onlyFile = (status: Fs.Stats): Effect.Effect<Fs.Stats, string> =>
  status.isFile() ? Effect.succeed(status) : Effect.fail(status.isDirectory() ? "EISDIR" : "ENOTFILE")

/** Its text. Fails with the system's code, as `onlyFile` does, and with `EFBIG` if it has more bytes. */
export const readSmallFile = (path: string, most: number): Effect.Effect<string, string> => {
  const read = Effect.acquireUseRelease(
    // Another one may be there by now, and opening a pipe would wait for somebody who writes.
    attempt(() => FsPromises.open(path, Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)),
    (file) =>
      Effect.gen(function* () {
        yield* Effect.flatMap(
          attempt(() => file.stat()),
          onlyFile
        )
        // Files of /proc say that they are empty, and others grow while they are read.
        const pieces: Array<Buffer> = []
        for (let length = 0; length <= most;) {
          const { buffer, bytesRead } = yield* attempt(() => file.read(Buffer.alloc(piece)))
          if (bytesRead === 0) return Buffer.concat(pieces).toString("utf8")
          pieces.push(buffer.subarray(0, bytesRead))
          length += bytesRead
        }
        return yield* Effect.fail("EFBIG")
      }),
    (file) => Effect.promise(() => file.close().catch(() => undefined))
  )
  // Even to open a pipe is to touch it: who waits for a reader goes on, and what he writes is lost.
  const status = attempt(() => FsPromises.stat(path))
  return inPool(path, Effect.andThen(Effect.flatMap(status, onlyFile), read))
}
