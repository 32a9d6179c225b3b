/**
 * Lock files that say who owns them. A lock is stale only when its owner is proven dead: no such process, a pid that
 * belongs to a later process, or another boot. A live owner's lock is never removed.
 *
 * The file is JSON with at least `pid`; the gateways of the field (clawdbot, openclaw) write
 * `{ pid, createdAt, configPath, startTime }` and are understood.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import * as ProcessIdentity from "./ProcessIdentity.ts"
import { isDead, ProcessTable, type Unsupported } from "./ProcessTable.ts"

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
  bootId: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type LockOwner = typeof LockOwner.Type

/**
 * - `Free`: there is no file.
 * - `Held`: its owner lives, or cannot be proven dead.
 * - `Stale`: its owner is dead, for the reason in `proof`.
 * - `Unreadable`: the file is there and names nobody.
 *
 * @category models
 * @since 0.1.0
 */
export type LockStatus =
  | { readonly _tag: "Free" }
  | { readonly _tag: "Held"; readonly owner: LockOwner }
  | { readonly _tag: "Stale"; readonly owner: LockOwner; readonly proof: string; readonly content: string }
  | { readonly _tag: "Unreadable"; readonly why: string }

/**
 * Somebody alive has the lock.
 *
 * @category errors
 * @since 0.1.0
 */
export class Held extends Schema.TaggedClass<Held>("@nexobot/core/OwnerLock/Held")("Held", { pid: Schema.Int }) {}

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
        return `${this.path} is held by the running process ${this.reason.pid}`
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

/** `undefined` when there is no such file. */
const contentOf = (path: string) =>
  attempt(path, () =>
    Fs.readFile(path, "utf8").catch((cause) => (isCode(cause, "ENOENT") ? undefined : Promise.reject(cause)))
  )

const judge = Effect.fnUntraced(function* (owner: LockOwner): Effect.fn.Return<string | undefined, Unsupported> {
  const table = yield* ProcessTable
  const bootId = yield* table.bootId
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
  const owner = decodeOwner(content)
  if (Option.isNone(owner)) return { _tag: "Unreadable", why: `${content.length} characters that name no owner` }
  const proof = yield* judge(owner.value)
  return proof === undefined
    ? { _tag: "Held", owner: owner.value }
    : { _tag: "Stale", owner: owner.value, proof, content }
})

/** Takes a file away only if its content is `expected`; what a program that knows no rule of ours put there goes back. */
const removeIf = Effect.fnUntraced(function* (path: string, expected: string): Effect.fn.Return<void, OwnerLockError> {
  const aside = `${path}.stale`
  yield* attempt(path, () => Fs.rename(path, aside))
  if ((yield* contentOf(aside)) === expected) return yield* attempt(path, () => Fs.unlink(aside))
  yield* attempt(path, () => Fs.link(aside, path).finally(() => Fs.unlink(aside)))
  return yield* notStale(path, "taken by a new owner meanwhile")
}, Effect.uninterruptible)

/**
 * Removes a stale lock; fails with `NotStale` when it is not, or when another process is at it.
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
 * its owner.
 *
 * @category operations
 * @since 0.1.0
 */
export const take = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<void, OwnerLockError | Unsupported, Scope.Scope> {
  const self = yield* ProcessIdentity.of(process.pid)
  const content = `${JSON.stringify({ ...self, createdAt: DateTime.formatIso(yield* DateTime.now) })}\n`
  // Linked into place whole: a reader never sees an empty lock. Not named by pid: another fiber may be taking it too.
  const draft = Path.join(Path.dirname(path), `.${Path.basename(path)}.${Crypto.randomUUID()}`)
  const claim = attempt(path, () =>
    Fs.writeFile(draft, content, { mode: 0o600, flag: "wx" })
      .then(() => Fs.link(draft, path))
      .then(
        () => true,
        (cause) => (isCode(cause, "EEXIST") ? false : Promise.reject(cause))
      )
      .finally(() => Fs.rm(draft, { force: true }))
  )
  const takeOver = Effect.gen(function* () {
    if (yield* claim) return true
    const found = yield* status(path)
    if (found._tag === "Held") return yield* new OwnerLockError({ path, reason: new Held({ pid: found.owner.pid }) })
    if (found._tag === "Unreadable") return yield* unusable(path)(found.why)
    if (found._tag === "Stale") {
      // Somebody else was quicker: the next look says who has it.
      yield* Effect.catchIf(clearStale(path), isLostRace, () => Effect.void)
    }
    return yield* claim
  })
  yield* Effect.acquireRelease(
    takeOver.pipe(
      Effect.repeat({ until: (taken) => taken, schedule: Schedule.spaced("10 millis"), times: 100 }),
      Effect.flatMap((taken) => (taken ? Effect.void : unusable(path)("it changes hands all the time")))
    ),
    () =>
      Effect.promise(() =>
        Fs.readFile(path, "utf8")
          .then((now) => (now === content ? Fs.unlink(path) : undefined))
          .catch(() => undefined)
      )
  )
})
