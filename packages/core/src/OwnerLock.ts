/**
 * Lock files that say who owns them. A lock is stale only when its owner is proven dead: no such process, a pid that
 * belongs to a later process, or another boot. A live owner's lock is never removed.
 *
 * The file is JSON with at least `pid`; the gateways of the field (clawdbot, openclaw) write
 * `{ pid, createdAt, configPath, startTime }` and are understood.
 *
 * A lock on a volume that containers or machines share may name a process that cannot be seen from here: it counts as
 * held. Locks taken here say in which pid namespace and on which machine their owner runs, so that it can be told.
 *
 * An owner in another container of this machine is proven dead all the same, if it has taken its lock here: it listens
 * on a socket beside it, `.owner-` and twelve digits, and connections are refused once it has ended. So a container that
 * was killed gets its own lock back when it is started again on the same volume. There can be no such socket in a folder
 * whose path has more than 83 bytes, and on a file system of a network or in user space; and no proof from it after the
 * file system was mounted anew, as a container's own layer is. Such a lock stays until its file is removed by hand.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as NodeFs from "node:fs"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"

import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import * as OwnerSocket from "./internal/ownerSocket.ts"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { isDead, ProcessTable, type Unsupported } from "./ProcessTable.ts"
import { Redactor } from "./Redaction.ts"

/**
 * Who a lock file names as its owner.
 *
 * @category models
 * @since 0.1.0
 */
export const LockOwner = Schema.Struct({
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  /** Clock ticks after boot; without it a reused pid cannot be told from the owner. */
  startTime: Schema.optionalKey(Schema.Int),
  bootId: Schema.optionalKey(Schema.String),
  /** The inode of its pid namespace, in which alone `pid` means something. */
  pidNamespace: Schema.optionalKey(Schema.String),
  /** The id of its machine, else the name of its host. */
  host: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type LockOwner = typeof LockOwner.Type

/**
 * - `Free`: there is no file.
 * - `Held`: its owner lives, or cannot be proven dead; `elsewhere` says where it runs when it cannot be seen from here.
 * - `Stale`: its owner is dead, for the reason in `proof`.
 * - `Unreadable`: the file is there and names nobody.
 *
 * @category models
 * @since 0.1.0
 */
export type LockStatus =
  | { readonly _tag: "Free" }
  | { readonly _tag: "Held"; readonly owner: LockOwner; readonly elsewhere?: string }
  | { readonly _tag: "Stale"; readonly owner: LockOwner; readonly proof: string; readonly content: string }
  | { readonly _tag: "Unreadable"; readonly why: string }

/**
 * Somebody has the lock who is alive, or runs where that cannot be seen from here.
 *
 * @category errors
 * @since 0.1.0
 */
export class Held extends Schema.TaggedClass<Held>("@nexobot/core/OwnerLock/Held")("Held", {
  pid: Schema.Int,
  /** Where it runs, when it cannot be seen from here. */
  elsewhere: Schema.optionalKey(Schema.String)
}) {}

/**
 * The lock is not stale any more, or never was.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotStale extends Schema.TaggedClass<NotStale>("@nexobot/core/OwnerLock/NotStale")("NotStale", {
  status: Schema.String
}) {}

/**
 * The file system refused, or the file names nobody.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unusable extends Schema.TaggedClass<Unusable>("@nexobot/core/OwnerLock/Unusable")("Unusable", {
  why: Schema.String
}) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class OwnerLockError extends Schema.TaggedError<OwnerLockError>("@nexobot/core/OwnerLockError")(
  "OwnerLockError",
  { path: Schema.String, reason: Schema.Union([Held, NotStale, Unusable]) }
) {
  override get message(): string {
    switch (this.reason._tag) {
      case "Held":
        return this.reason.elsewhere === undefined
          ? `${this.path} is held by the running process ${this.reason.pid}`
          : `${this.path} is held by process ${this.reason.pid} ${this.reason.elsewhere}, where nobody can see from here whether it runs: end it there, or remove the file when you know that it is gone`
      case "NotStale":
        return `${this.path} is not stale: ${this.reason.status}`
      case "Unusable":
        return `${this.path} cannot be used: ${this.reason.why}`
    }
  }
}

const decodeOwner = Schema.decodeUnknownOption(Schema.fromJsonString(LockOwner))

const unusable = (path: string) => (cause: unknown) =>
  new OwnerLockError({ path, reason: new Unusable({ why: cause instanceof Error ? cause.message : String(cause) }) })

const isCode = (cause: unknown, code: string): boolean =>
  cause instanceof Error && "code" in cause && cause.code === code

const notStale = (path: string, status: string) => new OwnerLockError({ path, reason: new NotStale({ status }) })

const isLostRace = (error: OwnerLockError | Unsupported): boolean =>
  error._tag === "OwnerLockError" && error.reason._tag === "NotStale"

const attempt = <A>(path: string, f: () => Promise<A>) => Effect.tryPromise({ try: f, catch: unusable(path) })

/** What a file system holds that is not a file, by name. */
const kindOf = (stats: NodeFs.Stats): string =>
  stats.isDirectory() ? "a directory (EISDIR)" : stats.isFIFO() ? "a FIFO" : stats.isSocket() ? "a socket" : "a device"

/** Much more than a lock has. */
const mostBytes = 65_536

const refuseOthers = (stats: NodeFs.Stats): void => {
  if (!stats.isFile()) throw new Error(`it is ${kindOf(stats)}, not a file`)
}

/** Until it is full or the file at its end; gives how many bytes it has then. */
const fill = (buffer: Buffer, file: Fs.FileHandle, length = 0): Promise<number> =>
  length === buffer.length
    ? Promise.resolve(length)
    : file
        .read(buffer, length, buffer.length - length)
        .then(({ bytesRead }) => (bytesRead === 0 ? length : fill(buffer, file, length + bytesRead)))

/**
 * `undefined` when there is no such file. What is not a file is not even opened: reading a FIFO would block, and a
 * process that waits to write to it would go on.
 */
const contentNow = async (path: string): Promise<string | undefined> => {
  try {
    refuseOthers(await Fs.stat(path))
    const file = await Fs.open(path, NodeFs.constants.O_RDONLY | NodeFs.constants.O_NONBLOCK)
    try {
      // Another one may be there by now.
      refuseOthers(await file.stat())
      // One byte more than a lock may have tells that there are more.
      const buffer = Buffer.alloc(mostBytes + 1)
      return buffer.toString("utf8", 0, await fill(buffer, file))
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return undefined
    throw cause
  }
}

const isThere = (path: string): Promise<boolean> =>
  Fs.lstat(path).then(
    () => true,
    (cause: unknown) => (isCode(cause, "ENOENT") ? false : Promise.reject(cause))
  )

const contentOf = (path: string) => attempt(path, () => contentNow(path))

/** Where this process runs; a field is missing where the system hides it. */
const here = Effect.promise(() =>
  Promise.all([
    Fs.readlink("/proc/self/ns/pid").catch(() => ""),
    Fs.readFile("/etc/machine-id", "utf8").catch(() => "")
  ]).then(([namespace, machine]) => ({
    ...(namespace === "" ? {} : { pidNamespace: /\d+/.exec(namespace)?.[0] ?? namespace }),
    // Many containers have no id of their machine, and keep the name of their host when they are started again.
    host: machine.trim() === "" ? Os.hostname() : machine.trim()
  }))
)

/** A text of the file, as it may be shown: whoever can write the file has chosen it. */
const shown = Effect.fnUntraced(function* (text: string) {
  const redactor = yield* Redactor
  return redactor
    .text(text)
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    .slice(0, 100)
})

/** Where an owner runs whose pid means nothing here, or who may have been on another machine. */
const elsewhere = Effect.fnUntraced(function* (owner: LockOwner, bootId: string): Effect.fn.Return<string | undefined> {
  const { host, pidNamespace } = yield* here
  // The same boot is the same machine, whatever its name is in the container.
  const isSameBoot = owner.bootId === bootId && bootId !== ""
  if (!isSameBoot && owner.host !== undefined && owner.host !== host) {
    return `on another machine (${yield* shown(owner.host)})`
  }
  const isOtherBoot = owner.bootId !== undefined && bootId !== "" && owner.bootId !== bootId
  if (isOtherBoot || owner.pidNamespace === undefined || pidNamespace === undefined) return undefined
  if (owner.pidNamespace === pidNamespace) return undefined
  return `in another container (pid namespace ${yield* shown(owner.pidNamespace)})`
})

/** The proof that the owner is dead. */
const judge = Effect.fnUntraced(function* (
  owner: LockOwner,
  bootId: string
): Effect.fn.Return<string | undefined, Unsupported> {
  const table = yield* ProcessTable
  // A machine that hides its boot id proves nothing by it.
  if (owner.bootId !== undefined && bootId !== "" && owner.bootId !== bootId) {
    return "it was written before the last boot"
  }
  const stat = yield* table.stat(owner.pid)
  if (stat === undefined) return `no process ${owner.pid} exists`
  if (isDead(stat)) return `process ${owner.pid} is a zombie`
  if (owner.startTime !== undefined && owner.startTime !== stat.startTime) {
    return `pid ${owner.pid} belongs to a later process, ${stat.command}`
  }
  return undefined
})

/**
 * Reads a lock file and judges its owner.
 *
 * @category operations
 * @since 0.1.0
 */
export const status = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<LockStatus, OwnerLockError | Unsupported> {
  const content = yield* contentOf(path)
  if (content === undefined) return { _tag: "Free" }
  if (Buffer.byteLength(content) > mostBytes) return { _tag: "Unreadable", why: `more than ${mostBytes} bytes` }
  const owner = decodeOwner(content)
  if (Option.isNone(owner)) return { _tag: "Unreadable", why: `${content.length} characters that name no owner` }
  const bootId = yield* Effect.flatMap(ProcessTable, (table) => table.bootId)
  const where = yield* elsewhere(owner.value, bootId)
  if (where !== undefined) {
    const isSameBoot = owner.value.bootId === bootId && bootId !== ""
    if (!isSameBoot || !(yield* OwnerSocket.isDeserted(path, content)) || (yield* contentOf(path)) !== content) {
      // A lock that is not there any more was given back meanwhile, before its socket.
      return { _tag: "Held", owner: owner.value, elsewhere: where }
    }
    const proof = `process ${owner.value.pid} ${where} has ended: nobody listens on its socket`
    return { _tag: "Stale", owner: owner.value, proof, content }
  }
  const proof = yield* judge(owner.value, bootId)
  return proof === undefined
    ? { _tag: "Held", owner: owner.value }
    : { _tag: "Stale", owner: owner.value, proof, content }
})

/** Takes a file away only if its content is `expected`; what a program that knows no rule of ours put there goes back. */
const removeIf = Effect.fnUntraced(function* (path: string, expected: string): Effect.fn.Return<void, OwnerLockError> {
  const aside = `${path}.stale`
  yield* attempt(path, () => Fs.rename(path, aside))
  if ((yield* contentOf(aside)) === expected) {
    yield* OwnerSocket.remove(aside, expected)
    return yield* attempt(path, () => Fs.unlink(aside))
  }
  yield* attempt(path, () => Fs.link(aside, path).finally(() => Fs.unlink(aside)))
  return yield* notStale(path, "taken by a new owner meanwhile")
}, Effect.uninterruptible)

/**
 * Removes a stale lock with its owner's socket; fails with `NotStale` when it is not, or when another process is at it.
 *
 * Among processes that use this module one at a time removes a given lock, and judges it anew before it does: a slow
 * one cannot remove the lock that a quick one has taken. Programs with ways of their own are not held back by that, so
 * the file is renamed aside and looked at once more, and a lock that such a program took in between is put back.
 *
 * @category operations
 * @since 0.1.0
 */
export const clearStale = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<void, OwnerLockError | Unsupported> {
  const before = yield* status(path)
  if (before._tag !== "Stale") return yield* notStale(path, before._tag)
  // The guard is a lock as well: one left by a crash is cleared in the same way, under a guard of its own.
  const guard = take(`${path}.clearing`).pipe(
    Effect.catchTag("OwnerLockError", ({ reason }) =>
      reason._tag === "Held"
        ? notStale(path, `process ${reason.pid} is clearing it`)
        : new OwnerLockError({ path, reason })
    )
  )
  const clear = Effect.gen(function* () {
    yield* guard
    const found = yield* status(path)
    if (found._tag !== "Stale") return yield* notStale(path, found._tag)
    yield* removeIf(path, found.content)
  })
  yield* Effect.scoped(clear)
})

/**
 * Takes the lock for this process until the scope closes. A stale one is taken over; a held one is an error that names
 * its owner. Neither the lock nor the socket beside it keeps the process alive.
 *
 * @category operations
 * @since 0.1.0
 */
export const take = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<void, OwnerLockError | Unsupported, Scope.Scope> {
  const self = yield* ProcessIdentity.of(process.pid)
  const createdAt = DateTime.formatIso(yield* DateTime.now)
  const owner = { ...self, ...(yield* here), createdAt }
  // Linked into place whole: a reader never sees an empty lock. Not named by pid: another fiber may be taking it too.
  const draft = Path.join(Path.dirname(path), `.${Path.basename(path)}.${Crypto.randomUUID()}`)
  const link = (content: string) =>
    attempt(path, () =>
      Fs.writeFile(draft, content, { mode: 0o600, flag: "wx" })
        .then(() => Fs.link(draft, path))
        .then(
          () => true,
          (cause) => (isCode(cause, "EEXIST") ? false : Promise.reject(cause))
        )
        .finally(() => Fs.rm(draft, { force: true }))
    )
  const claim = Effect.gen(function* () {
    // Who is refused anyway needs no socket.
    if (yield* attempt(path, () => isThere(path))) return undefined
    // Before the lock is seen: a socket that is bound and does not listen yet refuses like a dead owner's.
    const socket = yield* OwnerSocket.open(path)
    const close = socket?.close ?? Effect.void
    const content = `${JSON.stringify(socket === undefined ? owner : { ...owner, socket: socket.address })}\n`
    if (yield* Effect.onError(link(content), () => close)) return { content, close }
    yield* close
    return undefined
  })
  const takeOver = Effect.gen(function* () {
    const taken = yield* claim
    if (taken !== undefined) return taken
    const found = yield* status(path)
    if (found._tag === "Held") {
      const where = found.elsewhere === undefined ? {} : { elsewhere: found.elsewhere }
      return yield* new OwnerLockError({ path, reason: new Held({ pid: found.owner.pid, ...where }) })
    }
    if (found._tag === "Unreadable") return yield* unusable(path)(found.why)
    if (found._tag === "Stale") {
      // Somebody else was quicker: the next look says who has it.
      yield* Effect.catchIf(clearStale(path), isLostRace, () => Effect.void)
    }
    return yield* claim
  })
  yield* Effect.acquireRelease(
    takeOver.pipe(
      Effect.repeat({ until: (taken) => taken !== undefined, schedule: Schedule.spaced("10 millis"), times: 100 }),
      Effect.filterOrElse(
        (taken) => taken !== undefined,
        () => unusable(path)("it changes hands all the time")
      )
    ),
    ({ close, content }) =>
      Effect.promise(() =>
        contentNow(path)
          .then((now) => (now === content ? Fs.unlink(path) : undefined))
          .catch(() => undefined)
      ).pipe(Effect.andThen(close))
  )
})
