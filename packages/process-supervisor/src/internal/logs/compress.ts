/**
 * Compresses old log files, one of all logs at a time. The plain file goes when the compressed one is whole and on the
 * disk, and not before.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Zlib from "node:zlib"

import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

import * as Disk from "./disk.ts"
import * as Rotation from "./rotation.ts"

/** Compressing takes a thread and a core. */
const turn = Semaphore.makeUnsafe(1)

const background = { background: true }

const { O_CREAT, O_DSYNC, O_EXCL, O_RDONLY, O_WRONLY } = Fs.constants

/**
 * Each write goes through to the disk by itself: flushing all at the end would take so long that output would pile up
 * behind it.
 */
const writing = O_WRONLY | O_CREAT | O_EXCL | O_DSYNC

const chunkSize = 262_144

const opened = (disk: Disk.Disk, path: string, flags: number) =>
  Effect.acquireRelease(
    Disk.run<number>(disk, "open", (calls, done) => calls.open(path, flags, done), {
      ...background,
      discard: (fd) => Disk.closeLater(disk, fd)
    }),
    (fd) => Effect.sync(() => Disk.closeLater(disk, fd)),
    { interruptible: true }
  )

const writeAll = Effect.fnUntraced(function* (disk: Disk.Disk, fd: number, data: Buffer) {
  let rest = data
  while (rest.length > 0) {
    const part = rest.subarray(0, chunkSize)
    const count = yield* Disk.run<number>(disk, "write", (calls, done) => calls.write(fd, [part], done), background)
    rest = rest.subarray(count)
  }
})

/** Gives what a compressor has made of what it got. */
const deflated = (gzip: Zlib.Gzip, made: Array<Buffer>, feed: (done: (error?: Error | null) => void) => void) =>
  Effect.callback<Buffer, Disk.DiskFault>((resume) => {
    const fail = (error: Error) => resume(Effect.fail(new Disk.DiskFault({ call: "compress", code: error.message })))
    gzip.once("error", fail)
    feed((error) => {
      gzip.off("error", fail)
      if (error) fail(error)
      else resume(Effect.sync(() => Buffer.concat(made.splice(0))))
    })
    return Effect.sync(() => gzip.off("error", fail))
  })

/** Bytes that were read. */
const compressInto = Effect.fnUntraced(function* (disk: Disk.Disk, source: number, target: number) {
  const made: Array<Buffer> = []
  const gzip = yield* Effect.acquireRelease(
    Effect.sync(() => Zlib.createGzip().on("data", (data: Buffer) => made.push(data))),
    (stream) => Effect.sync(() => stream.on("error", () => {}).destroy())
  )
  const chunk = Buffer.allocUnsafe(chunkSize)
  let total = 0
  for (;;) {
    const count = yield* Disk.run<number>(disk, "read", (calls, done) => calls.read(source, chunk, done), background)
    if (count === 0) break
    total += count
    const part = chunk.subarray(0, count)
    yield* writeAll(disk, target, yield* deflated(gzip, made, (done) => gzip.write(part, done)))
  }
  const rest = yield* deflated(gzip, made, (done) => {
    gzip.once("end", () => done())
    gzip.end()
  })
  yield* writeAll(disk, target, rest)
  return total
})

const syncFolder = (disk: Disk.Disk, folder: string) =>
  Effect.scoped(
    Effect.flatMap(opened(disk, folder, O_RDONLY), (fd) =>
      Disk.run<void>(disk, "sync", (calls, done) => calls.sync(fd, done), background)
    )
  )

/** Whether it is still as long as what was compressed: somebody may have it open and write to it. */
const compressOne = Effect.fnUntraced(function* (disk: Disk.Disk, path: string) {
  const temporary = Rotation.temporary(path)
  const made = Effect.scoped(
    Effect.gen(function* () {
      const source = yield* opened(disk, path, O_RDONLY)
      const target = yield* opened(disk, temporary, writing)
      const total = yield* compressInto(disk, source, target)
      yield* Disk.run<void>(disk, "sync", (calls, done) => calls.sync(target, done), background)
      const { size } = yield* Disk.run<Fs.Stats>(disk, "fstat", (calls, done) => calls.fstat(source, done), background)
      return size === total
    })
  )
  const isWhole = yield* Effect.onError(made, () =>
    // Whoever closes the log does not wait for a disk that hangs; the next one to open it removes what is left.
    Effect.sync(() => Disk.later(disk, (calls, done) => calls.remove(temporary, done)))
  )
  if (!isWhole) {
    yield* Rotation.remove(disk, temporary, background)
    return
  }
  const target = Rotation.compressed(path)
  yield* Disk.run<void>(disk, "rename", (calls, done) => calls.rename(temporary, target, done), background)
  yield* syncFolder(disk, Path.dirname(path))
  yield* Rotation.remove(disk, path, background)
})

/**
 * Compresses the old files of a log, and tidies up after one that was interrupted. `spareNewest`: a process that writes
 * to the file by itself may still have the newest one open.
 */
export const compressOlds = (
  disk: Disk.Disk,
  path: string,
  spareNewest: boolean
): Effect.Effect<void, Disk.DiskFault> =>
  turn.withPermits(1)(
    Effect.gen(function* () {
      const { olds, unfinished } = yield* Rotation.read(disk, path, background)
      yield* Effect.forEach(unfinished, (one) => Rotation.remove(disk, one, background), { discard: true })
      const whole = new Set(olds.filter((old) => old.isCompressed).map((old) => old.number))
      const newest = olds.at(-1)?.number
      for (const old of olds) {
        if (old.isCompressed || (spareNewest && old.number === newest)) continue
        if (whole.has(old.number)) yield* Rotation.remove(disk, old.path, background)
        else
          yield* Effect.catchIf(
            compressOne(disk, old.path),
            // It was one too many by then.
            (fault) => fault.code === "ENOENT",
            () => Effect.void
          )
      }
    })
  )
