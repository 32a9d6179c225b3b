/**
 * A sign of life that an application leaves in a file, for `HeartbeatProbe` and `ProcessProbe`.
 *
 * It is written by a timer of the application's own event loop, so that a blocked loop writes none. Nothing is flushed:
 * a beat costs an application a fraction of a millisecond. Keep the file on a disk in memory, such as `/run`, or a
 * slow disk will look like a dead application.
 *
 * A beat says the boot and the monotonic time, which all processes of one boot share on Linux: no step of the clock, and
 * no sleep of the machine, makes it older or younger.
 *
 * @since 0.1.0
 */
import * as FsPromises from "node:fs/promises"

import * as Options from "@nexobot/core/Options"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import { statusOf } from "./internal/filePool.ts"
import { onlyFile, readSmallFile } from "./internal/smallFile.ts"
import { codeOf } from "./internal/systemError.ts"

/**
 * The file cannot be written or read.
 *
 * @category errors
 * @since 0.1.0
 */
export class HeartbeatError extends Schema.TaggedError<HeartbeatError>("@nexobot/probes/HeartbeatError")(
  "HeartbeatError",
  {
    path: Schema.String,
    /** The system's code, for example `EACCES`. */
    code: Schema.String
  }
) {
  override get message(): string {
    return `${this.path}: ${this.code}`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface HeartbeatOptions {
  /** A file that nobody else writes. */
  readonly path: string
  /** Once a second unless told. */
  readonly every?: Duration.Input
}

/**
 * What is known of the last beat.
 *
 * @category models
 * @since 0.1.0
 */
export interface LastBeat {
  readonly age: Duration.Duration
  /** Another one at every beat. */
  readonly id: string
}

const checks = Options.checks("Heartbeat")

/** Of this machine's run; nothing where the system does not say it. */
const boot = Effect.flatMap(ProcessTable, (table) => Effect.orElseSucceed(table.bootId, () => ""))

/** Writes that have begun, by path. Nothing ends one that a hung disk holds, and it keeps one of Node's threads. */
const writing = new Map<string, Promise<void>>()

const begin = (path: string, text: string): Promise<void> => {
  const written = FsPromises.writeFile(path, text).finally(() => writing.delete(path))
  writing.set(path, written)
  return written
}

/** Waits for the write that has begun, if one has. */
const settled = (path: string): Effect.Effect<void> =>
  Effect.ignore(Effect.tryPromise(() => writing.get(path) ?? Promise.resolve()))

/**
 * Leaves one beat, after one that is still being written.
 *
 * @category operations
 * @since 0.1.0
 */
export const write = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, HeartbeatError> {
  const bootId = yield* boot
  while (writing.has(path)) yield* settled(path)
  const beat = `nexobot-heartbeat ${bootId || "-"} ${yield* Clock.monotonicTimeNanos}\n`
  yield* Effect.tryPromise({
    try: () => begin(path, beat),
    catch: (cause) => new HeartbeatError({ path, code: codeOf(cause) })
  })
})

/**
 * Leaves one beat, for programs without Effect and with a timer of their own. Leaves none while the one before is still
 * being written: on a disk that hangs, each would hold another thread of the program.
 *
 * @category operations
 * @since 0.1.0
 */
export const beat = (path: string): Promise<void> =>
  writing.has(path) ? Promise.resolve() : Effect.runPromise(write(path))

/** How long the end of a scope waits for a beat that is being written. */
const patience = "1 second"

/**
 * Leaves a beat now, and one after another until the scope closes: then there is none any more, unless a disk takes
 * longer than a second for the last one. Fails if the first cannot be written; a later one that
 * cannot is left out, and the probe finds it late.
 *
 * @category operations
 * @since 0.1.0
 */
export const start = (options: HeartbeatOptions): Effect.Effect<void, HeartbeatError, Scope.Scope> => {
  checks.known(options, ["path", "every"])
  const path = checks.nonEmptyString("path", options.path)
  const every = checks.duration("every", options.every ?? "1 second", "1 millis")
  const on = write(path).pipe(Effect.ignore, Effect.delay(every), Effect.repeat(Schedule.forever))
  return Effect.gen(function* () {
    // An interrupted write goes on; this comes after the interruption.
    yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(settled(path)), patience))
    yield* write(path)
    yield* Effect.forkScoped(on)
  })
}

/** More than a beat has. */
const longest = 200

const isNowhere = (code: string): boolean => code === "ENOENT" || code === "ENOTDIR"

/** How long ago, by the monotonic clock, if the text is a beat of this boot and not of the future. */
const sinceBeat = Effect.fnUntraced(function* (text: string): Effect.fn.Return<Duration.Duration | undefined> {
  const [, bootId, nanos] = /^nexobot-heartbeat (\S+) (\d{1,20})\n$/.exec(text) ?? []
  if (nanos === undefined || bootId === "-" || bootId !== (yield* boot)) return undefined
  const age = (yield* Clock.monotonicTimeNanos) - BigInt(nanos)
  return age < 0n ? undefined : Duration.millis(Math.floor(Number(age) / 1e6))
})

/**
 * The last beat; `undefined` if there is no file. What is no regular file is an error: `EISDIR`, `ENOTFILE`. Of a file that somebody else writes, such as `touch`, the time of its
 * last change is compared with the clock: whoever sets the clock changes the age.
 *
 * @category operations
 * @since 0.1.0
 */
export const last = (path: string): Effect.Effect<LastBeat | undefined, HeartbeatError> =>
  Effect.gen(function* () {
    const { mtimeMs } = yield* Effect.flatMap(statusOf(path), onlyFile)
    // What is larger or cannot be read is not a beat, and has its time all the same.
    const text = yield* Effect.orElseSucceed(readSmallFile(path, longest), () => "")
    const wall = Duration.millis(Math.max(0, Math.floor((yield* Clock.currentTimeMillis) - mtimeMs)))
    return { age: (yield* sinceBeat(text)) ?? wall, id: `${mtimeMs} ${text}` }
  }).pipe(
    Effect.catch((code) => (isNowhere(code) ? Effect.undefined : Effect.fail(new HeartbeatError({ path, code }))))
  )
