/**
 * The folder in which a supervisor with a name keeps its state: a lock, so that it is alone, and the file in which it
 * remembers its children, so that its next life knows them for its own, also those that lost their cookie.
 *
 * The file is written behind: between a spawn and the write, and on a disk that hangs, the cookie alone tells.
 */
import * as Crypto from "node:crypto"
import * as NodeFs from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { crc32 } from "node:zlib"

import * as DurableFile from "@nexobot/core/DurableFile"
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import type { Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

import * as WriteBehind from "./writeBehind.ts"

/** Neither the first process nor a group: what is read here may be signalled one day. */
const Identity = Schema.Struct({
  ...ProcessIdentity.ProcessIdentity.fields,
  pid: Schema.Int.check(Schema.isGreaterThan(1))
})

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Remembered = Schema.Struct({
  name: Schema.NonEmptyString,
  identity: Identity,
  mode: Schema.Literals(["die", "survive"]),
  /** See `Adoption.hashOf`. */
  spec: Schema.String,
  restarts: Count,
  life: Count,
  /** Milliseconds of the wall clock when it was started; a label. */
  since: Schema.Finite
})

/** A child, as its supervisor remembers it. */
export type Remembered = typeof Remembered.Type

/** Another supervisor of this name lives. */
export class Held extends Schema.TaggedClass<Held>("@nexobot/process-supervisor/StateFile/Held")("Held", {
  pid: Schema.Int,
  /** Where it runs, when it cannot be seen from here. */
  elsewhere: Schema.optionalKey(Schema.String)
}) {}

/** The file system refused, or has something else there. */
export class Unusable extends Schema.TaggedClass<Unusable>("@nexobot/process-supervisor/StateFile/Unusable")(
  "Unusable",
  { why: Schema.String }
) {}

export class StateFileError extends Schema.TaggedError<StateFileError>("@nexobot/process-supervisor/StateFileError")(
  "StateFileError",
  { id: Schema.String, path: Schema.String, reason: Schema.Union([Held, Unusable]) }
) {
  override get message(): string {
    const { reason } = this
    if (reason._tag === "Unusable") {
      return `the state of supervisor "${this.id}" cannot be kept in ${this.path}: ${reason.why}. Give it a folder of its own that it can write to`
    }
    return reason.elsewhere === undefined
      ? `a supervisor "${this.id}" runs already, as process ${reason.pid} (${this.path}): stop that one, or give this one another id`
      : `a supervisor "${this.id}" has its state in ${this.path}, as process ${reason.pid} ${reason.elsewhere}: end it there, or remove the file when you know that it is gone`
  }
}

/** A state file that could not be believed. It is kept, under another name. */
export interface SetAside {
  readonly path: string
  readonly why: string
}

export interface StateFile {
  /** What an earlier life remembered, in the order in which it was; nothing of it is verified. */
  readonly earlier: ReadonlyArray<Remembered>
  /** To be logged: the earlier life is known by its cookies only. */
  readonly setAside: SetAside | undefined
  /** Returns at once. The latest entry of a process counts; those of `earlier` are kept until they are forgotten. */
  readonly remember: (entry: Remembered) => void
  /** Returns at once. */
  readonly forget: (name: string, identity: ProcessIdentity.ProcessIdentity) => void
  /** Waits for the disk; on one that hangs for ever. A failure does not fail it: see `problem`. */
  readonly flush: Effect.Effect<void>
  /** Why the file is behind, while writing it fails. */
  readonly problem: () => string | undefined
}

const version = 1

const State = Schema.Struct({
  id: Schema.String,
  /** Who wrote it; absent when that one ended in good order, and left children behind on purpose. */
  supervisor: Schema.optionalKey(ProcessIdentity.ProcessIdentity),
  children: Schema.Array(Remembered)
})

const decodeEnvelope = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ version: Schema.Int, checksum: Schema.String, state: Schema.Unknown }))
)
const decodeState = Schema.decodeUnknownOption(State)

/** Of the JSON of `state`, as it is parsed and written again. */
const checksum = (state: unknown): string => crc32(JSON.stringify(state)).toString(16).padStart(8, "0")

export const encode = (state: typeof State.Type): string =>
  `${JSON.stringify({ version, checksum: checksum(state), state })}\n`

/** The state, or why the text is none of ours. */
export const decode = (text: string, id: string): typeof State.Type | string => {
  const envelope = decodeEnvelope(text)
  if (Option.isNone(envelope)) return "it is cut or damaged"
  if (envelope.value.version !== version) {
    return `it has version ${envelope.value.version}, and this program knows version ${version} only`
  }
  const state = decodeState(envelope.value.state)
  if (Option.isNone(state) || checksum(envelope.value.state) !== envelope.value.checksum) return "it is damaged"
  return state.value.id === id ? state.value : "it is of another supervisor"
}

/** Much more than 10,000 children take. */
const mostBytes = 4_194_304

/** Why a file must not be believed: whoever can write it names processes that may be signalled. */
const distrust = (stats: NodeFs.Stats): string | undefined => {
  const us = process.geteuid?.()
  if (!stats.isFile()) return "it is not a file"
  if (us !== undefined && stats.uid !== us && stats.uid !== 0) return `it belongs to user ${stats.uid}`
  if ((stats.mode & 0o022) !== 0) return "others can write it"
  return stats.size > mostBytes ? `it has more than ${mostBytes} bytes` : undefined
}

const isCode = (cause: unknown, code: string): boolean =>
  cause instanceof Error && "code" in cause && cause.code === code

/** `undefined` without a file; a string says why it is not to be believed. */
const read = async (path: string, id: string): Promise<typeof State.Type | string | undefined> => {
  try {
    // What is no file is not even opened: a FIFO would block.
    const before = distrust(await Fs.lstat(path))
    if (before !== undefined) return before
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = NodeFs.constants
    const file = await Fs.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      // Another one may be there by now.
      return distrust(await file.stat()) ?? decode(await file.readFile("utf8"), id)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return undefined
    throw cause
  }
}

/** On a disk that hangs nobody waits longer for the last write and the lock: they are left to the disk. */
const patience = "2 seconds"

const keyOf = (name: string, { pid, startTime }: ProcessIdentity.ProcessIdentity): string =>
  `${name}/${pid}.${startTime}`

/**
 * Takes the lock, reads what an earlier life remembered, and remembers for this one until the scope closes. `folder` is
 * made when it is missing and its parent is not, for its owner alone.
 */
export const open = Effect.fnUntraced(function* (
  folder: string,
  id: string
): Effect.fn.Return<StateFile, StateFileError | Unsupported, Scope.Scope> {
  const path = Path.join(folder, `${id}.state.json`)
  const refuse = (reason: Held | Unusable, where = path) => new StateFileError({ id, path: where, reason })
  const attempt = <A>(f: () => Promise<A>) =>
    Effect.tryPromise({
      try: f,
      catch: (cause) => refuse(new Unusable({ why: cause instanceof Error ? cause.message : String(cause) }))
    })

  const own = yield* Scope.make()
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(Effect.forkDetach(Scope.close(own, Exit.void), { startImmediately: true }), (closing) =>
      Effect.ignore(Effect.timeoutOption(Effect.interruptible(Fiber.await(closing)), patience))
    )
  )

  const start = Effect.gen(function* () {
    // Not `recursive`: where a parent takes no folders, as `/proc` does, Node would try for ever.
    yield* attempt(() =>
      Fs.mkdir(folder, { mode: 0o700 }).catch((cause) => (isCode(cause, "EEXIST") ? undefined : Promise.reject(cause)))
    )
    const lock = Path.join(folder, `${id}.lock`)
    yield* OwnerLock.take(lock).pipe(
      Effect.catchTag("OwnerLockError", ({ message, reason }) => {
        if (reason._tag !== "Held") return Effect.fail(refuse(new Unusable({ why: message }), lock))
        const where = reason.elsewhere === undefined ? {} : { elsewhere: reason.elsewhere }
        return Effect.fail(refuse(new Held({ pid: reason.pid, ...where }), lock))
      })
    )
    const found = yield* attempt(() => read(path, id))
    if (typeof found !== "string") {
      // The lock may have been removed by hand, or the folder be a copy: its children are not ours then.
      const writer = found?.supervisor
      if (writer !== undefined && writer.pid !== process.pid && (yield* ProcessIdentity.isAlive(writer))) {
        return yield* refuse(new Held({ pid: writer.pid }))
      }
      return { earlier: found?.children ?? [], setAside: undefined }
    }
    const aside = `${path}.damaged-${Crypto.randomBytes(6).toString("hex")}`
    yield* attempt(() => Fs.rename(path, aside))
    return { earlier: [], setAside: { path: aside, why: found } }
  })

  const { earlier, setAside } = yield* Scope.provide(start, own)
  const children = new Map(earlier.map((entry) => [keyOf(entry.name, entry.identity), entry]))
  let supervisor = yield* ProcessIdentity.of(process.pid)
  const write = Effect.suspend(() =>
    DurableFile.replace(
      path,
      encode({ id, ...(supervisor === undefined ? {} : { supervisor }), children: [...children.values()] })
    )
  )
  const { changed, flush, problem } = yield* Scope.provide(WriteBehind.make(path, write), own)
  // From now on the file says that we are the ones who answer for what it names.
  changed()
  yield* Scope.addFinalizer(
    own,
    Effect.suspend(() => {
      supervisor = undefined
      changed()
      return flush
    })
  )

  return {
    earlier,
    setAside,
    remember: (entry) => {
      children.set(keyOf(entry.name, entry.identity), entry)
      changed()
    },
    forget: (name, identity) => {
      if (children.delete(keyOf(name, identity))) changed()
    },
    flush,
    problem
  }
})
