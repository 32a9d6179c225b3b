/**
 * The proof that a lock's owner is dead where its process cannot be seen, as in another container: for as long as it
 * holds the lock it listens on a socket beside it, which ends with the process or the worker thread, however that ends.
 *
 * Only a refused connection is a proof, and only where the socket found is the very one that the owner listens on. The
 * kernel looks for a listener by inode: seen through another mount, or copied, a live owner's socket refuses as well. So
 * the lock says which inode it is on which file system, and no socket is made where one file may have two inodes.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What a lock says of its owner's socket: a name in the same folder, and the identity of the file. */
const Address = Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/^\.owner-[0-9a-f]{12}$/)),
  inode: Schema.String
})

/** See the head of this file. */
export interface OwnerSocket {
  /** For the lock's content, as its field `socket`. */
  readonly address: typeof Address.Type
  /** To be run after the lock is removed: before, others would take its owner for dead. */
  readonly close: Effect.Effect<void>
}

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ socket: Address })))

/** Bytes of `sun_path` in unix(7), without the last. */
const longest = 107

/**
 * File systems whose inodes this kernel alone keeps, by their numbers in statfs(2). Those of a network or in user space
 * may show a socket as two, and then a live owner would refuse.
 */
const local: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0xf2f52010, // F2FS
  0x2fc12fc1, // ZFS
  0x01021994, // tmpfs
  0x794c7630 // overlayfs
])

/** The folder's device too: on overlayfs a file may show the device of a layer, a folder never does. */
const inodeOf = (path: string) =>
  Effect.tryPromise(() =>
    Promise.all([Fs.stat(Path.dirname(path), { bigint: true }), Fs.lstat(path, { bigint: true })])
  ).pipe(Effect.map(([folder, socket]) => `${folder.dev}:${socket.dev}:${socket.ino}`))

const listen = (path: string) =>
  Effect.callback<Net.Server, Error>((resume) => {
    const server = Net.createServer({ pauseOnConnect: true }, (socket) => socket.destroy())
    // Stays: what cannot be accepted later is no reason to end.
    server.on("error", (cause) => resume(Effect.fail(cause)))
    // Exclusive: for a worker of `node:cluster` its parent would listen, and may end before it.
    server.listen({ path, exclusive: true }, () => resume(Effect.succeed(server.unref())))
  })

/**
 * Listens for the owner of a lock to be; `undefined` where there can be no such socket. It keeps no process alive, and
 * refuses when the process has ended, also when that did not remove it.
 */
export const open = Effect.fnUntraced(
  function* (lock: string): Effect.fn.Return<OwnerSocket | undefined, unknown> {
    const folder = Path.dirname(lock)
    const name = `.owner-${Crypto.randomBytes(6).toString("hex")}`
    const path = Path.join(folder, name)
    const draft = `${path}.new`
    if (Buffer.byteLength(draft) > longest) return undefined
    const { type } = yield* Effect.tryPromise(() => Fs.statfs(folder))
    if (!local.has(type)) return undefined
    const server = yield* listen(draft)
    const close = Effect.ignore(Effect.tryPromise(() => Fs.rm(path, { force: true }).finally(() => server.close())))
    const settle = Effect.gen(function* () {
      yield* Effect.tryPromise(() => Fs.chmod(draft, 0o600))
      // Node removes the name that it bound when a process comes to its end by itself: the proof would go with it.
      yield* Effect.tryPromise(() => Fs.rename(draft, path))
      return { address: { name, inode: yield* inodeOf(path) }, close }
    })
    return yield* Effect.onError(settle, () => close)
  },
  Effect.orElseSucceed(() => undefined),
  Effect.uninterruptible
)

/** Whether nobody listens; `false` when that is not certain. */
const refuses = (path: string) =>
  Effect.callback<boolean>((resume) => {
    const socket = Net.connect({ path })
    const done = (answer: boolean) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.on("connect", () => done(false))
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code === "ECONNREFUSED"))
    return Effect.sync(() => socket.destroy())
  })

/** The socket that a lock names, if it belongs to whom the lock does; a file that is no socket would refuse as well. */
const find = Effect.fnUntraced(function* (lock: string, content: string) {
  const said = decode(content)
  if (Option.isNone(said)) return undefined
  const { inode, name } = said.value.socket
  const path = Path.join(Path.dirname(lock), name)
  const [ours, socket] = yield* Effect.tryPromise(() => Promise.all([Fs.lstat(lock), Fs.lstat(path)]))
  return socket.isSocket() && socket.uid === ours.uid ? { path, inode } : undefined
})

const certainly = (answer: Effect.Effect<boolean, unknown>): Effect.Effect<boolean> =>
  Effect.timeoutOrElse(answer, { duration: "1 second", orElse: () => Effect.succeed(false) }).pipe(
    Effect.orElseSucceed(() => false)
  )

/**
 * Whether the owner that this lock, of the same boot, names has ended; `false` when that is not certain: the socket is
 * missing, is another one, may not be asked, or somebody listens.
 */
export const isDeserted = (lock: string, content: string): Effect.Effect<boolean> =>
  certainly(
    Effect.gen(function* () {
      const socket = yield* find(lock, content)
      if (socket === undefined || (yield* inodeOf(socket.path)) !== socket.inode) return false
      return yield* refuses(socket.path)
    })
  )

/** Removes the socket of a dead owner, whose lock is no longer in its place. */
export const remove = (lock: string, content: string): Effect.Effect<boolean> =>
  certainly(
    Effect.gen(function* () {
      const socket = yield* find(lock, content)
      if (socket === undefined || !(yield* refuses(socket.path))) return false
      yield* Effect.tryPromise(() => Fs.unlink(socket.path))
      return true
    })
  )
