/**
 * The journal as a file of lines: `<crc32 of the JSON, 8 hex digits> <JSON>`. Every append is flushed to the disk before
 * it counts.
 *
 * A torn or damaged tail is set aside beside the journal and the good part is kept. A lock file keeps two loops from
 * writing one journal.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { crc32 } from "node:zlib"

import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"

import { Journal, JournalError, JournalRecord, makeRecords } from "./Journal.ts"

const decodeRecord = Schema.decodeUnknownOption(Schema.fromJsonString(JournalRecord))

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, "0")

const lineOf = (record: JournalRecord): string => {
  const json = JSON.stringify(record)
  return `${checksum(json)} ${json}\n`
}

const parseLine = (line: string): Option.Option<JournalRecord> =>
  line.slice(0, 8) === checksum(line.slice(9)) ? decodeRecord(line.slice(9)) : Option.none()

/** The good records from the start, and how many bytes they take. */
const parse = (content: Buffer): { readonly records: ReadonlyArray<JournalRecord>; readonly good: number } => {
  const records: Array<JournalRecord> = []
  let good = 0
  for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, good)) {
    const record = parseLine(content.toString("utf8", good, end))
    if (Option.isNone(record)) break
    records.push(record.value)
    good = end + 1
  }
  return { records, good }
}

/**
 * Opens the journal at `path`, making its folder when it is not there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (path: string): Layer.Layer<Journal, JournalError> => {
  const failed = (cause: unknown) =>
    new JournalError({ path, why: cause instanceof Error ? cause.message : String(cause) })
  const attempt = <A>(f: () => Promise<A>) => Effect.tryPromise({ try: f, catch: failed })

  const make = Effect.gen(function* () {
    yield* attempt(() => Fs.mkdir(Path.dirname(path), { recursive: true, mode: 0o700 }))
    yield* OwnerLock.take(`${path}.lock`).pipe(Effect.mapError(failed))
    const open = attempt(() => Fs.open(path, "a+", 0o600))
    let file = yield* open
    yield* Effect.addFinalizer(() => Effect.promise(() => file.close()))
    const content = yield* attempt(() => file.readFile())
    const { good, records } = parse(content)
    if (good < content.length) {
      const aside = `${path}.damaged-${records.length}`
      yield* attempt(() => Fs.writeFile(aside, content.subarray(good), { mode: 0o600 }))
      yield* attempt(() => file.truncate(good).then(() => file.sync()))
      yield* Effect.logWarning(`${path}: ${content.length - good} damaged bytes were set aside in ${aside}`)
    }
    const lock = yield* Semaphore.make(1)
    let last = records.at(-1)?.seq ?? 0
    let size = good
    // A failed append may have left half a line, which must not stand before the next one.
    let torn = false
    const cut = Effect.tap(
      attempt(() => file.truncate(size)),
      () =>
        Effect.sync(() => {
          torn = false
        })
    )
    /** Somebody may have removed or replaced the file: what is written into a file without a name is lost. */
    const follow = Effect.gen(function* () {
      const ours = yield* attempt(() => file.stat())
      const there = yield* attempt(() => Fs.stat(path).catch(() => undefined))
      if (there?.ino === ours.ino && there.dev === ours.dev) return
      yield* Effect.logWarning(`${path} was removed or replaced while in use; it is begun anew`)
      const old = file
      file = yield* open
      size = (yield* attempt(() => file.stat())).size
      torn = false
      yield* Effect.promise(() => old.close())
    })
    return Journal.of({
      history: records,
      append: (component, entries) =>
        Effect.gen(function* () {
          const added = yield* makeRecords(last, component, entries)
          const text = Buffer.from(added.map(lineOf).join(""))
          yield* follow
          if (torn) yield* cut
          torn = true
          yield* attempt(() => file.appendFile(text).then(() => file.datasync())).pipe(
            Effect.onError(() => Effect.ignore(cut))
          )
          torn = false
          last += added.length
          size += text.length
          return added
        }).pipe(Effect.uninterruptible, lock.withPermits(1))
    })
  })
  return Layer.effect(Journal, make)
}
