/**
 * Reads a file that is small if it is what it should be.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as FsPromises from "node:fs/promises"

import * as Effect from "effect/Effect"

import { inPool } from "./filePool.ts"
import { codeOf } from "./systemError.ts"

/** Read at once; most files are smaller. */
const piece = 64 * 1024

const attempt = <A>(f: () => Promise<A>) => Effect.tryPromise({ try: f, catch: codeOf })

/**
 * Its text. Fails with the system's code: `EFBIG` if it has more bytes, `ENOTFILE` if it is a pipe or a device, which
 * might never end.
 */
export const readSmallFile = (path: string, most: number): Effect.Effect<string, string> =>
  inPool(
    Effect.acquireUseRelease(
      // Opening a pipe would wait for somebody who writes.
      attempt(() => FsPromises.open(path, Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)),
      (file) =>
        Effect.gen(function* () {
          const status = yield* attempt(() => file.stat())
          if (status.isDirectory()) return yield* Effect.fail("EISDIR")
          if (!status.isFile()) return yield* Effect.fail("ENOTFILE")
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
  )
