/**
 * Reads what a log file has got since the last time, through rotation and truncation, with nothing open in between.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Effect from "effect/Effect"

import { inPool } from "./filePool.ts"
import * as Lines from "./lines.ts"
import { codeOf } from "./systemError.ts"

/** Where it was read up to. */
export interface Position {
  readonly device: bigint
  readonly inode: bigint
  readonly offset: number
  /** The last bytes before that: a file that was truncated and has grown beyond it has others there. */
  readonly mark: Buffer
  readonly pending: Lines.Pending
}

/** `undefined` before the first look; `absent` when there was no file at that. */
export type Place = Position | "absent" | undefined

export interface Growth {
  readonly place: Position | "absent"
  readonly missing: boolean
  /** Bytes that were added. */
  readonly bytes: number
  /** Bytes of these that were not read. */
  readonly skipped: number
  /** Lines that were read. */
  readonly lines: number
  /** What was found, and what may have been missed, for people. */
  readonly remarks: ReadonlyArray<string>
}

export interface Options {
  readonly path: string
  readonly longestLine: number
  readonly maxRead: number
  readonly onLine: Lines.OnLine
}

type Handle = Fs.promises.FileHandle

const markLength = 256
const chunkLength = 64 * 1024

/** More files than a log has beside it. */
const mostSiblings = 1000

/** A pipe in its place would keep the call until somebody writes. */
const opening = Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK

const bytesOf = async (handle: Handle, from: number, length: number): Promise<Buffer> => {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, from)
  return buffer.subarray(0, bytesRead)
}

const using = async <A>(path: string, use: (handle: Handle, stat: Fs.BigIntStats) => Promise<A>): Promise<A> => {
  const handle = await Fs.promises.open(path, opening)
  try {
    const stat = await handle.stat({ bigint: true })
    if (!stat.isFile()) throw new Error("it is no regular file")
    return await use(handle, stat)
  } finally {
    await handle.close()
  }
}

const markOf = (handle: Handle, offset: number): Promise<Buffer> => {
  const length = Math.min(markLength, offset)
  return bytesOf(handle, offset - length, length)
}

const isSame = (position: Position, stat: Fs.BigIntStats): boolean =>
  position.device === stat.dev && position.inode === stat.ino

/**
 * Where the data of a file begin: who writes on where he was, after the file was truncated, leaves a hole of NULs. The
 * hole may be as large as the log was, so it is halved and not read.
 */
const beginning = async (handle: Handle, size: number): Promise<number> => {
  const dataAt = async (offset: number): Promise<number> => {
    const bytes = await bytesOf(handle, offset, Math.min(markLength, size - offset))
    const first = bytes.findIndex((byte) => byte !== 0)
    return first === -1 ? size : offset + first
  }
  // A few NULs may have been written.
  if ((await dataAt(0)) < size) return 0
  let [low, high, found] = [0, size, size]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    // oxlint-disable-next-line no-await-in-loop -- each depends on the one before
    const at = await dataAt(middle)
    if (at === size) low = middle
    else [high, found] = [middle, at]
  }
  // Of nothing but NULs nothing is known.
  return found === size ? 0 : found
}

/** The file of a position under its new name, if that is beside the log and has the same stem. */
const renamed = async (path: string, position: Position): Promise<string | undefined> => {
  const [stem = ""] = Path.basename(path).split(".", 1)
  const folder = await Fs.promises.opendir(Path.dirname(path))
  let looked = 0
  for await (const { name } of folder) {
    const other = Path.join(Path.dirname(path), name)
    if (other === path || !name.startsWith(stem)) continue
    if (++looked > mostSiblings) return undefined
    const stat = await Fs.promises.stat(other, { bigint: true }).catch(() => undefined)
    if (stat?.isFile() === true && isSame(position, stat)) return other
  }
  return undefined
}

/** At the end of what is there, but at the beginning of a line that is being written. */
const end = async (handle: Handle, stat: Fs.BigIntStats, longestLine: number): Promise<Position> => {
  const size = Number(stat.size)
  const mark = await markOf(handle, size)
  const last = await bytesOf(handle, Math.max(0, size - longestLine), Math.min(longestLine, size))
  const lineEnd = last.lastIndexOf("\n")
  const isWithin = lineEnd === -1 && size > longestLine
  const pending = isWithin ? Lines.within : { begun: last.subarray(lineEnd + 1), skipping: false }
  return { device: stat.dev, inode: stat.ino, offset: size, mark, pending }
}

/** Reads on from a position up to `size`, or only the last `budget` bytes of that. */
const readOn = async (
  handle: Handle,
  from: Position,
  size: number,
  budget: number,
  signal: AbortSignal,
  { longestLine, onLine }: Options
): Promise<Position> => {
  const skips = size - from.offset > budget
  let offset = skips ? size - budget : from.offset
  let pending = skips ? Lines.within : from.pending
  while (offset < size) {
    signal.throwIfAborted()
    // oxlint-disable-next-line no-await-in-loop -- one after the other, so that one is in memory
    const chunk = await bytesOf(handle, offset, Math.min(chunkLength, size - offset))
    // It was truncated this very moment: that is for the next time.
    if (chunk.length === 0) break
    pending = Lines.push(pending, chunk, longestLine, onLine)
    offset += chunk.length
  }
  const mark = offset === from.offset ? from.mark : await markOf(handle, offset)
  return { ...from, offset, mark, pending }
}

const absent = (path: string, place: Place): Growth => ({
  // A rotation is seen when the new file is there.
  place: place ?? "absent",
  missing: true,
  bytes: 0,
  skipped: 0,
  lines: 0,
  remarks: [`${path} does not exist`]
})

const isAbsent = (cause: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(codeOf(cause))

/** How much an old file got before it was renamed, if that can be told; its last line ends with it. */
const readOld = async (position: Position, budget: number, signal: AbortSignal, options: Options) => {
  try {
    const path = await renamed(options.path, position)
    if (path === undefined) return undefined
    return await using(path, async (handle, stat) => {
      const size = Number(stat.size)
      // It was truncated after that.
      if (size < position.offset) return undefined
      const done = await readOn(handle, position, size, budget, signal, options)
      if (done.pending.begun.length > 0) options.onLine(Lines.textOf(done.pending.begun), false)
      return size - position.offset
    })
  } catch {
    signal.throwIfAborted()
    // Whoever may not list the folder, or not read old files, still follows the log.
    return undefined
  }
}

/** Whether what was read of it is still there. */
const goesOn = async (handle: Handle, { mark, offset }: Position, size: number): Promise<boolean> =>
  size >= offset && mark.equals(await markOf(handle, offset))

const look = async (place: Place, given: Options, signal: AbortSignal): Promise<Growth> => {
  let lines = 0
  const onLine: Lines.OnLine = (line, isCut) => {
    lines += 1
    given.onLine(line, isCut)
  }
  const options = { ...given, onLine }
  const { longestLine, maxRead, path } = given
  return using(path, async (handle, stat): Promise<Growth> => {
    const size = Number(stat.size)
    const growth = (position: Position, bytes: number, remarks: ReadonlyArray<string> = []): Growth => {
      const skipped = Math.max(0, bytes - maxRead)
      const cut = skipped === 0 ? [] : [`${path}: ${skipped} of ${bytes} new bytes were too many to read`]
      return { place: position, missing: false, bytes, skipped, lines, remarks: [...remarks, ...cut] }
    }
    if (place === undefined) return growth(await end(handle, stat, longestLine), 0)
    const isOnward = place !== "absent" && isSame(place, stat) && (await goesOn(handle, place, size))
    if (isOnward && place.offset > 0) {
      return growth(await readOn(handle, place, size, maxRead, signal, options), size - place.offset)
    }
    const offset = await beginning(handle, size)
    const start: Position = { device: stat.dev, inode: stat.ino, offset, mark: Buffer.alloc(0), pending: Lines.fresh }
    const isNew = place !== "absent" && !isSame(place, stat)
    // What the old file got comes first.
    const left = Math.max(0, maxRead - (size - offset))
    const before = isNew ? await readOld(place, left, signal, options) : undefined
    const now = await readOn(handle, start, size, maxRead, signal, options)
    const lost = before === undefined ? ", and what the old file got last was not found" : ""
    const remarks = isNew
      ? [`${path} is a new file${lost}`]
      : place === "absent" || isOnward
        ? []
        : [`${path} was truncated; what it got just before was not seen`]
    return growth(now, size - offset + (before ?? 0), remarks)
  }).catch((cause: unknown) => (isAbsent(cause) ? absent(path, place) : Promise.reject(cause)))
}

/**
 * Starts at the end of the file, and at the beginning of one that appears later. Fails with the system's code; whoever
 * interrupts it waits for nothing:
 * it stops and closes the file as soon as the system lets it, and no
 * other look at the path begins before.
 */
export const follow = (place: Place, options: Options): Effect.Effect<Growth, string> =>
  Effect.suspend(() => {
    const stop = new AbortController()
    const calls = Effect.tryPromise({ try: () => look(place, options, stop.signal), catch: codeOf })
    return Effect.onInterrupt(inPool(options.path, calls), () => Effect.sync(() => stop.abort()))
  })
