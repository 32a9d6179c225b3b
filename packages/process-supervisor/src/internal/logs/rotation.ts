/**
 * Names of old log files: `app.log.000001`, and `.gz` when compressed; the higher the number, the newer. Rotating is one
 * rename, so that whenever it is interrupted, nothing is lost and the order is clear.
 */
import * as Path from "node:path"

import * as Effect from "effect/Effect"

import * as Disk from "./disk.ts"

export interface Old {
  readonly number: number
  readonly path: string
  readonly isCompressed: boolean
}

export interface Folder {
  /** In order, oldest first. */
  readonly olds: ReadonlyArray<Old>
  /** Compressed files that were not finished. */
  readonly unfinished: ReadonlyArray<string>
}

export const compressed = (path: string): string => `${path}.gz`
export const temporary = (path: string): string => `${path}.gz.tmp`

export const numbered = (path: string, number: number): string => `${path}.${String(number).padStart(6, "0")}`

/** Only these are ours to remove: a number as we write it, and nothing else. */
export const parse = (path: string, names: ReadonlyArray<string>): Folder => {
  const prefix = `${Path.basename(path)}.`
  const olds: Array<Old> = []
  const unfinished: Array<string> = []
  for (const name of names) {
    if (!name.startsWith(prefix)) continue
    const [, digits = "", suffix] = /^(\d{6,15})(\.gz|\.gz\.tmp)?$/.exec(name.slice(prefix.length)) ?? []
    const number = Number(digits)
    if (number < 1 || numbered("", number) !== `.${digits}`) continue
    const whole = Path.join(Path.dirname(path), name)
    if (suffix === ".gz.tmp") unfinished.push(whole)
    else olds.push({ number, path: whole, isCompressed: suffix === ".gz" })
  }
  return { olds: olds.toSorted((a, b) => a.number - b.number || a.path.localeCompare(b.path)), unfinished }
}

export const read = (
  disk: Disk.Disk,
  path: string,
  options?: { readonly background: boolean }
): Effect.Effect<Folder, Disk.DiskFault> =>
  Effect.map(
    Disk.run<ReadonlyArray<string>>(disk, "list", (calls, done) => calls.list(Path.dirname(path), done), options),
    (names) => parse(path, names)
  )

/** Somebody else may have been faster. */
export const remove = (disk: Disk.Disk, path: string, options?: { readonly background: boolean }) =>
  Effect.catchIf(
    Disk.run<void>(disk, "remove", (calls, done) => calls.remove(path, done), options),
    (fault) => fault.code === "ENOENT",
    () => Effect.void
  )

/** Puts the file away under the next number; removes those that are too many. Says what could not be removed. */
export const rotate = Effect.fnUntraced(function* (
  disk: Disk.Disk,
  path: string,
  keep: number
): Effect.fn.Return<Disk.DiskFault | undefined, Disk.DiskFault> {
  const { olds } = yield* read(disk, path)
  const number = (olds.at(-1)?.number ?? 0) + 1
  const target = numbered(path, number)
  yield* Disk.run<void>(disk, "rename", (calls, done) => calls.rename(path, target, done))
  const numbers = [...new Set([...olds.map((old) => old.number), number])]
  const kept = new Set(keep === 0 ? [] : numbers.slice(-keep))
  const gone = [...olds.filter((old) => !kept.has(old.number)).map((old) => old.path), ...(keep === 0 ? [target] : [])]
  const removed = yield* Effect.result(Effect.forEach(gone, (old) => remove(disk, old), { discard: true }))
  return removed._tag === "Failure" ? removed.failure : undefined
})
