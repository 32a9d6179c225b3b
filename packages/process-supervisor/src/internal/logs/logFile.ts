/**
 * One log file and the one fiber that writes it: what waits is written in order, rotated between two writes, and tried
 * again for as long as the disk refuses it.
 */
import type * as Fs from "node:fs"

import * as Backoff from "@nexobot/core/Backoff"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

import type { Amount, LogSettings } from "../../ProcessLog.ts"
import { Backlog } from "./backlog.ts"
import { compressOlds } from "./compress.ts"
import * as Disk from "./disk.ts"
import { describeLoss, note, type Times } from "./editor.ts"
import * as Rotation from "./rotation.ts"

export interface LogFile {
  readonly backlog: Backlog
  readonly rotations: () => number
  readonly lastError: () => string | undefined
  /** Completes when nothing waits for the disk. */
  readonly settled: Effect.Effect<void>
  /** Rotates if it is time, and opens the file as often for others, who close it. */
  readonly openDirect: (count: number) => Effect.Effect<ReadonlyArray<number>, Disk.DiskFault>
  /** Closes what `openDirect` has opened, when it is its turn. */
  readonly closeDirect: (fd: number) => void
}

interface Open {
  readonly fd: number
  size: number
  dev: number
  ino: number
  /** When it was begun, on the monotonic clock. */
  since: number
  /** Links and devices stay where they are. */
  mayRotate: boolean
}

/**
 * How long a process is held up for a disk that does not keep up, before its output is dropped: longer than a busy disk
 * stalls, shorter than a hang takes to be noticed by a heartbeat.
 */
const patience = "2 seconds"
/** How long the end of a log waits for the disk. */
const lastWords = "2 seconds"
/** How often it is looked whether the file is still at its path, in milliseconds, when something is written. */
const lookEvery = 1000
/** After a rotation that failed, in milliseconds; the file grows meanwhile. */
const rotateAgainAfter = 30_000

const retries = Backoff.exponential({ initial: "100 millis", max: "5 seconds", jitter: "none" })

export const make = Effect.fnUntraced(function* (
  process: string,
  path: string,
  settings: LogSettings,
  times: Times,
  onFlow: { readonly hold: () => void; readonly release: () => void }
): Effect.fn.Return<LogFile, never, Scope.Scope> {
  const { format, rotate, whenFull } = settings
  const disk = yield* Disk.make(path)
  const clock = yield* Clock.Clock
  const maxSize = rotate?.size ?? Infinity
  const maxAge = rotate?.age === undefined ? Infinity : Duration.toMillis(rotate.age)

  const [work, full, settled, olds] = [
    Latch.makeUnsafe(),
    Latch.makeUnsafe(),
    Latch.makeUnsafe(true),
    Latch.makeUnsafe()
  ]
  const exclusive = Semaphore.makeUnsafe(1)
  let file: Open | undefined
  let isDirect = false
  let isFirst = true
  let fulls = 0
  let rotations = 0
  let lastError: string | undefined
  let lookedAt = -Infinity
  let rotateFrom = -Infinity
  const losses: Array<Amount> = []

  const why = () => (lastError === undefined ? "the disk took too long" : `the disk refused it (${lastError})`)
  const backlog = new Backlog({
    limit: settings.buffer,
    note: (lost) => note(process, format, times.now(), describeLoss(lost, why())),
    onData: () => {
      settled.closeUnsafe()
      work.openUnsafe()
    },
    onFull: () => {
      fulls += 1
      onFlow.hold()
      full.openUnsafe()
    },
    onOpen: onFlow.release,
    onLoss: (lost) => losses.push(lost)
  })

  const stat = (call: "stat" | "lstat") => Disk.run<Fs.Stats>(disk, call, (calls, done) => calls[call](path, done))

  const close = () => {
    if (file !== undefined) Disk.closeLater(disk, file.fd)
    file = undefined
  }

  /** How long ago it was begun, by the wall clock; not every file system knows. */
  const ageOf = ({ birthtimeMs, mtimeMs }: Fs.Stats): number => {
    const begun = birthtimeMs > 0 && birthtimeMs <= mtimeMs ? birthtimeMs : mtimeMs
    return Math.max(0, clock.currentTimeMillisUnsafe() - begun)
  }

  const open = Effect.gen(function* () {
    yield* Disk.openToAppend(disk, path, (fd) => {
      file = { fd, size: 0, dev: 0, ino: 0, since: times.monotonic(), mayRotate: false }
    })
    const opened = file
    if (opened === undefined) return
    const stats = yield* Disk.run<Fs.Stats>(disk, "fstat", (calls, done) => calls.fstat(opened.fd, done))
    const link = yield* stat("lstat")
    opened.size = stats.size
    opened.dev = stats.dev
    opened.ino = stats.ino
    opened.since = stats.size === 0 ? times.monotonic() : times.monotonic() - ageOf(stats)
    opened.mayRotate = rotate !== undefined && link.isFile()
    disk.device = Disk.deviceOf(stats)
    lookedAt = times.monotonic()
  }).pipe(Effect.onError(() => Effect.sync(close)))

  /** What an earlier run has left. */
  const compressOnce = () => {
    if (isFirst && file?.mayRotate === true) olds.openUnsafe()
    isFirst = false
  }

  /** Whether the path still leads to the file that is open: `logrotate` and people move files away. */
  const isInPlace = Effect.fnUntraced(function* (opened: Open) {
    lookedAt = times.monotonic()
    const there = yield* Effect.catchIf(
      stat("stat"),
      (fault) => fault.code === "ENOENT",
      () => Effect.undefined
    )
    if (there?.dev !== opened.dev || there.ino !== opened.ino) return false
    // Somebody may have emptied it, or write to it as well.
    opened.size = there.size
    return true
  })

  const putAway = Effect.gen(function* () {
    const left = yield* Rotation.rotate(disk, path, rotate?.keep ?? 0)
    rotations += 1
    if (left !== undefined) yield* Effect.logWarning(`log of "${process}": an old file stays: ${left.message}`)
    olds.openUnsafe()
  })

  const rotateNow = Effect.fnUntraced(function* (opened: Open) {
    if (yield* isInPlace(opened)) {
      // Somebody may move it away in this very moment.
      yield* putAway.pipe(
        Effect.catch((fault) => Effect.flatMap(isInPlace(opened), (is) => (is ? Effect.fail(fault) : Effect.void)))
      )
    }
    close()
  })

  const isTooOld = (opened: Open): boolean =>
    opened.mayRotate && opened.size > 0 && times.monotonic() - opened.since >= maxAge

  /** A folder that takes no new names is no reason to lose output: the file grows. */
  const tryToRotate = (opened: Open) =>
    rotateNow(opened).pipe(
      Effect.catch((fault) => {
        rotateFrom = times.monotonic() + rotateAgainAfter
        lastError = fault.message
        return Effect.logWarning(`log of "${process}": ${path} is not rotated, and grows: ${fault.message}`)
      })
    )

  /** Opens, rotates or writes once. */
  const step = Effect.gen(function* () {
    if (file === undefined) yield* open
    const opened = file
    if (opened === undefined) return
    compressOnce()
    if (times.monotonic() - lookedAt >= lookEvery && !(yield* isInPlace(opened))) {
      close()
      return
    }
    const mayRotate = opened.mayRotate && times.monotonic() >= rotateFrom
    if (mayRotate && isTooOld(opened) && !backlog.isMidLine) {
      yield* tryToRotate(opened)
      return
    }
    const data = backlog.batch(mayRotate ? maxSize - opened.size : Infinity, opened.size === 0)
    if (data.length === 0) {
      yield* tryToRotate(opened)
      return
    }
    // What the system took is counted at once, whatever interrupts.
    yield* Disk.run<number>(disk, "write", (calls, done) => calls.write(opened.fd, data, done), {
      keep: (count) => {
        opened.size += count
        backlog.advance(count)
      },
      discard: (count) => backlog.advance(count)
    })
  })

  const tellLosses = Effect.suspend(() =>
    Effect.forEach(
      losses.splice(0),
      (lost) => Effect.logWarning(`log of "${process}": ${describeLoss(lost, why())}: ${path}`),
      { discard: true }
    )
  )

  const write = Effect.gen(function* () {
    let attempt = 0
    for (;;) {
      yield* work.await
      while (!backlog.isEmpty) {
        const fault = yield* Effect.match(exclusive.withPermits(1)(step), {
          onFailure: (error) => error,
          onSuccess: () => undefined
        })
        if (fault === undefined) {
          if (attempt > 0) yield* Effect.logInfo(`log of "${process}": ${path} is written again`)
          attempt = 0
        } else {
          if (attempt === 0) yield* Effect.logWarning(`log of "${process}": ${path} takes nothing: ${fault.message}`)
          lastError = fault.message
          close()
          yield* Effect.sleep(retries.delay(attempt, 0))
          attempt += 1
        }
        if (losses.length > 0) yield* tellLosses
      }
      if (times.monotonic() >= rotateFrom) lastError = undefined
      work.closeUnsafe()
      settled.openUnsafe()
    }
  })

  const dropWhenFull = Effect.gen(function* () {
    for (;;) {
      yield* full.await
      full.closeUnsafe()
      const before = fulls
      yield* Effect.sleep(patience)
      if (fulls === before) backlog.startDropping()
    }
  })

  const compress = Effect.gen(function* () {
    for (;;) {
      yield* olds.await
      olds.closeUnsafe()
      yield* compressOlds(disk, path, isDirect).pipe(
        Effect.catch((fault) => Effect.logWarning(`log of "${process}": old files stay as they are: ${fault.message}`))
      )
    }
  })

  // After the fibers have ended, and once more what the last of them has opened.
  yield* Effect.addFinalizer(() => Effect.sync(close))
  yield* Effect.forkScoped(write)
  if (whenFull === "drop") yield* Effect.forkScoped(dropWhenFull)
  if (rotate?.gzip === true) yield* Effect.forkScoped(compress)
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.timeoutOption(settled.await, lastWords),
      Effect.suspend(() => {
        backlog.abandon()
        settled.openUnsafe()
        return tellLosses
      })
    )
  )

  const openDirect = Effect.fnUntraced(function* (count: number) {
    isDirect = true
    const opened: Array<number> = []
    return yield* Effect.gen(function* () {
      if (file === undefined) yield* open
      if (file?.mayRotate === true && (file.size >= maxSize || isTooOld(file))) yield* tryToRotate(file)
      compressOnce()
      // Another process writes it from now on, and this one does not know how much.
      close()
      while (opened.length < count) yield* Disk.openToAppend(disk, path, (fd) => opened.push(fd))
      return opened
    }).pipe(Effect.onError(() => Effect.sync(() => opened.forEach((fd) => Disk.closeLater(disk, fd)))))
  })

  return {
    backlog,
    rotations: () => rotations,
    lastError: () => lastError,
    settled: settled.await,
    openDirect: (count) => exclusive.withPermits(1)(openDirect(count)),
    closeDirect: (fd) => Disk.closeLater(disk, fd)
  }
})
