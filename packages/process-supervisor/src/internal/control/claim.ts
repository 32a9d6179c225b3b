/**
 * The place of a control socket. Who has the lock beside it is the only one who may listen there; what is in its place
 * without that lock is removed only when it is a socket of this user at which nobody listens.
 */
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"

import * as OwnerLock from "@nexobot/core/OwnerLock"
import type { Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import {
  ControlSocketError,
  Denied,
  Disconnected,
  FolderUnusable,
  Foreign,
  ListenFailed,
  NotRunning,
  PathTooLong,
  Taken
} from "./errors.ts"

/** Bytes of `sun_path` in unix(7), without the last. */
const longest = 107

/** A socket is bound in here, and put into its place when its mode is right. */
const draftFolder = ".bind-XXXXXX"

export const pathOf = (folder: string, id: string): string => Path.join(Path.resolve(folder), `${id}.sock`)

export const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** Why a connection was not made, or did not last. */
export const unreachable = (path: string, cause: unknown): ControlSocketError => {
  const code = codeOf(cause)
  const nobody = code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK" || code === "ENOTDIR"
  const reason = nobody ? new NotRunning() : code === "EACCES" ? new Denied() : new Disconnected({ code })
  return new ControlSocketError({ path, reason })
}

const isOurs = ({ uid }: Stats): boolean => uid === process.getuid?.()

/** The folder, made with mode 0700; one that is there must be such that nobody else can put a socket into it. */
const usableFolder = async (folder: string): Promise<void> => {
  // Only the last part: a path that is misspelt at its beginning must not become a tree of folders.
  await Fs.mkdir(folder, { mode: 0o700 }).catch((cause: unknown) =>
    codeOf(cause) === "EEXIST" ? undefined : Promise.reject(cause)
  )
  const stats = await Fs.stat(folder)
  if (!stats.isDirectory()) throw new Error(`${folder} is not a folder`)
  if (!isOurs(stats)) throw new Error(`${folder} belongs to another user`)
  if ((stats.mode & 0o022) !== 0) throw new Error(`others may write to ${folder}: chmod 700 it, or name another one`)
}

/** Whether somebody listens at this socket. */
const answers = (path: string) =>
  Effect.callback<boolean, unknown>((resume) => {
    const socket = Net.connect({ path })
    socket.on("connect", () => resume(Effect.succeed(true)))
    socket.on("error", (cause) => {
      resume(codeOf(cause) === "ECONNREFUSED" ? Effect.succeed(false) : Effect.fail(cause))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: "1 second", orElse: () => Effect.succeed(true) }))

const kindOf = (stats: Stats): string =>
  stats.isSymbolicLink() ? "a symbolic link" : stats.isDirectory() ? "a folder" : "not a socket"

/** Fails when what is there must stay. */
const removeStale = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, ControlSocketError> {
  const failed = (cause: unknown) => new ControlSocketError({ path, reason: new ListenFailed({ code: codeOf(cause) }) })
  const stats = yield* Effect.tryPromise({
    try: () =>
      Fs.lstat(path).catch((cause: unknown) => (codeOf(cause) === "ENOENT" ? undefined : Promise.reject(cause))),
    catch: failed
  })
  if (stats === undefined) return
  const what = stats.isSocket() ? (isOurs(stats) ? undefined : "a socket of another user") : kindOf(stats)
  if (what !== undefined) return yield* new ControlSocketError({ path, reason: new Foreign({ what }) })
  if (yield* Effect.mapError(answers(path), failed)) {
    return yield* new ControlSocketError({ path, reason: new Taken({ by: "a program listens there" }) })
  }
  yield* Effect.tryPromise({ try: () => Fs.unlink(path), catch: failed })
})

/**
 * Makes the place of a socket free for this process alone, until the scope closes: checks the folder, takes the lock,
 * and removes the socket of a supervisor that is gone.
 */
export const claim = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<void, ControlSocketError | Unsupported, Scope.Scope> {
  const folder = Path.dirname(path)
  const bytes = Math.max(Buffer.byteLength(path), Buffer.byteLength(Path.join(folder, draftFolder, "s")))
  if (bytes > longest) return yield* new ControlSocketError({ path, reason: new PathTooLong({ bytes }) })
  yield* Effect.tryPromise({
    try: () => usableFolder(folder),
    catch: (cause) => new ControlSocketError({ path, reason: new FolderUnusable({ why: textOf(cause) }) })
  })
  yield* OwnerLock.take(`${path}.lock`).pipe(
    Effect.catchTag("OwnerLockError", (error) => {
      const reason =
        error.reason._tag === "Held" ? new Taken({ by: error.message }) : new FolderUnusable({ why: error.message })
      return Effect.fail(new ControlSocketError({ path, reason }))
    })
  )
  yield* removeStale(path)
})

/**
 * Binds a server to a path that is claimed, and gives what takes it away again. Nobody but this user can connect, at no
 * moment; what somebody has put there since stays.
 */
export const bind = (server: Net.Server, path: string): Effect.Effect<Effect.Effect<void>, ControlSocketError> =>
  Effect.tryPromise({
    try: async () => {
      const draft = await Fs.mkdtemp(Path.join(Path.dirname(path), draftFolder.replaceAll("X", "")))
      try {
        const socket = Path.join(draft, "s")
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject)
          // Exclusive: for a worker of `node:cluster` its parent would listen.
          server.listen({ path: socket, exclusive: true }, () => {
            server.off("error", reject)
            resolve()
          })
        })
        await Fs.chmod(socket, 0o600)
        const { ino } = await Fs.lstat(socket)
        // Not renamed: that would replace a file that has come there meanwhile.
        await Fs.link(socket, path)
        return Effect.promise(() =>
          Fs.lstat(path)
            .then((now) => (now.ino === ino ? Fs.unlink(path) : undefined))
            .catch(() => undefined)
        )
      } finally {
        await Fs.rm(draft, { recursive: true, force: true })
      }
    },
    catch: (cause) => new ControlSocketError({ path, reason: new ListenFailed({ code: codeOf(cause) }) })
  })
