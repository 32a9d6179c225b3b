/**
 * Calls of the file system for logs, in turn: a call that a hung disk holds keeps a thread of libuv's pool, of which the
 * whole process has four. So of each device one call runs at a time, and of all devices as many as half of the pool.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

type Done<A> = (error: NodeJS.ErrnoException | null, value: A) => void

/** Tests replace some of these to have a disk that fails. */
export interface Calls {
  readonly open: (path: string, flags: number, done: Done<number>) => void
  readonly close: (fd: number, done: Done<void>) => void
  readonly write: (fd: number, data: ReadonlyArray<Uint8Array>, done: Done<number>) => void
  readonly read: (fd: number, into: Uint8Array, done: Done<number>) => void
  readonly sync: (fd: number, done: Done<void>) => void
  readonly fstat: (fd: number, done: Done<Fs.Stats>) => void
  /** Follows links. */
  readonly stat: (path: string, done: Done<Fs.Stats>) => void
  readonly lstat: (path: string, done: Done<Fs.Stats>) => void
  readonly list: (folder: string, done: Done<ReadonlyArray<string>>) => void
  readonly rename: (from: string, to: string, done: Done<void>) => void
  readonly remove: (path: string, done: Done<void>) => void
  readonly makeFolder: (path: string, done: Done<void>) => void
}

export const realCalls: Calls = {
  open: (path, flags, done) => Fs.open(path, flags, 0o600, done),
  close: Fs.close,
  write: (fd, data, done) => Fs.writev(fd, data, done),
  read: (fd, into, done) => Fs.read(fd, into, 0, into.length, null, done),
  sync: Fs.fsync,
  fstat: Fs.fstat,
  stat: Fs.stat,
  lstat: Fs.lstat,
  list: Fs.readdir,
  rename: Fs.rename,
  remove: Fs.unlink,
  makeFolder: (path, done) => Fs.mkdir(path, 0o700, done)
}

export const DiskCalls: Context.Reference<Calls> = Context.Reference<Calls>(
  "@nexobot/process-supervisor/internal/logs/DiskCalls",
  { defaultValue: () => realCalls }
)

/** The system refused. */
export class DiskFault extends Data.TaggedError("DiskFault")<{
  readonly call: string
  /** For example `ENOSPC`. */
  readonly code: string
}> {
  override get message(): string {
    return `${this.call}: ${this.code}`
  }
}

/** Threads that Node has for files and names, as it reads it from its environment itself. */
const threads = Math.max(1, Math.trunc(Number(process.env["UV_THREADPOOL_SIZE"] ?? 4)) || 1)
const mostAtOnce = Math.max(1, Math.floor(threads / 2))

interface Turn {
  readonly device: string
  readonly start: () => void
}

const busy = new Set<string>()
const waiting: Array<Turn> = []
/** What nobody waits for, such as compressing: after everything else. */
const background: Array<Turn> = []

const startNext = (): void => {
  for (const queue of [waiting, background]) {
    for (let index = 0; index < queue.length && busy.size < mostAtOnce;) {
      const turn = queue[index]
      if (turn === undefined || busy.has(turn.device)) {
        index += 1
        continue
      }
      queue.splice(index, 1)
      busy.add(turn.device)
      turn.start()
    }
  }
}

/** The disk of one file; which device that is turns out for sure when the file is open. */
export interface Disk {
  readonly calls: Calls
  device: string
}

/** As the mount table names it, from `st_dev` as Linux has it. */
export const deviceOf = ({ dev }: Fs.Stats): string =>
  `${Math.floor(dev / 256) % 4096}:${(dev % 256) + Math.floor(dev / 2 ** 20) * 256}`

/** By the mount table, which can be asked while a disk hangs; where there is none, each folder is a device. */
const guess = (path: string): string => {
  let device = Path.dirname(path)
  let longest = 0
  for (const line of mountTable().split("\n")) {
    const [, , id, , point] = line.split(" ")
    if (id === undefined || point === undefined || point.length < longest) continue
    const folder = point.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)))
    if (path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)) {
      device = id
      longest = point.length
    }
  }
  return device
}

const mountTable = (): string => {
  try {
    return Fs.readFileSync("/proc/self/mountinfo", "utf8")
  } catch {
    return ""
  }
}

export const make = (path: string): Effect.Effect<Disk> =>
  Effect.map(DiskCalls, (calls) => ({ calls, device: guess(path) }))

/**
 * Runs a call when it is its turn. Whoever is interrupted does not wait for the call, which keeps its turn until it
 * ends.
 */
export const run = <A>(
  disk: Disk,
  name: keyof Calls,
  start: (calls: Calls, done: Done<A>) => void,
  options: {
    /** Takes what was opened, before anything can interrupt. */
    readonly keep?: (value: A) => void
    /** Gets what was opened for somebody who has gone. */
    readonly discard?: (value: A) => void
    readonly background?: boolean
  } = {}
): Effect.Effect<A, DiskFault> =>
  Effect.callback<A, DiskFault>((resume) => {
    const queue = options.background === true ? background : waiting
    const { device } = disk
    let isGone = false
    const turn: Turn = {
      device,
      start: () =>
        start(disk.calls, (error, value) => {
          busy.delete(device)
          if (error === null || error === undefined) (isGone ? options.discard : options.keep)?.(value)
          startNext()
          resume(
            error
              ? Effect.fail(new DiskFault({ call: name, code: error.code ?? error.message }))
              : Effect.succeed(value)
          )
        })
    }
    queue.push(turn)
    startNext()
    return Effect.sync(() => {
      isGone = true
      const place = queue.indexOf(turn)
      if (place >= 0) queue.splice(place, 1)
    })
  })

/** Runs a call when it is its turn; nobody waits for it, nor asks what became of it. */
export const later = (disk: Disk, start: (calls: Calls, done: () => void) => void): void => {
  const { device } = disk
  waiting.push({
    device,
    start: () =>
      start(disk.calls, () => {
        busy.delete(device)
        startNext()
      })
  })
  startNext()
}

export const closeLater = (disk: Disk, fd: number): void => later(disk, (calls, done) => calls.close(fd, done))

const { O_APPEND, O_CREAT, O_WRONLY } = Fs.constants

/** Makes the file if it is not there, and its folder if the folder above is. `keep` has to close it. */
export const openToAppend = (
  disk: Disk,
  path: string,
  keep: (fd: number) => void
): Effect.Effect<number, DiskFault> => {
  // Appending, a truncation by somebody else leaves no hole, and two writers never overwrite each other.
  const open = run<number>(disk, "open", (calls, done) => calls.open(path, O_WRONLY | O_APPEND | O_CREAT, done), {
    keep,
    discard: (fd) => closeLater(disk, fd)
  })
  const makeFolder = run<void>(disk, "makeFolder", (calls, done) => calls.makeFolder(Path.dirname(path), done)).pipe(
    Effect.catchIf(
      (fault) => fault.code === "EEXIST",
      () => Effect.void
    )
  )
  return Effect.catchIf(
    open,
    (fault) => fault.code === "ENOENT",
    () => Effect.andThen(makeFolder, open)
  )
}
