/**
 * A supervisor asked and told from another process of the same user: HTTP with JSON over a unix socket, `<id>.sock` in
 * its state folder. The command `nexo-supervisor` and its terminal view use it; so can `curl --unix-socket`.
 *
 * Only this user can connect: the socket has mode 0600 and its folder is one that nobody else can write to.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import type { Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Claim from "./internal/control/claim.ts"
import * as Client from "./internal/control/client.ts"
import { ControlSocketError, FolderUnusable } from "./internal/control/errors.ts"
import * as Server from "./internal/control/server.ts"
import type { Supervised } from "./internal/control/supervised.ts"

export {
  BadAnswer,
  ControlSocketError,
  Denied,
  Disconnected,
  FolderUnusable,
  Foreign,
  ListenFailed,
  NotRunning,
  PathTooLong,
  Taken,
  Unresponsive
} from "./internal/control/errors.ts"

/**
 * What is served: a supervisor.
 *
 * @category models
 * @since 0.1.0
 */
export type { Supervised } from "./internal/control/supervised.ts"

/**
 * What came of stopping all.
 *
 * @category models
 * @since 0.1.0
 */
export type { StoppedAll } from "./internal/control/supervised.ts"

/**
 * A supervisor behind a socket: what `Supervised` has, and `pid` and `lost`.
 *
 * @category models
 * @since 0.1.0
 */
export type Control = Client.Remote

/**
 * Where the supervisor with this id has its socket.
 *
 * @category accessors
 * @since 0.1.0
 */
export const pathOf: (folder: string, id: string) => string = Claim.pathOf

/**
 * Serves a supervisor at `<id>.sock` in a folder, until the scope closes. The folder is made with mode 0700, unless it is
 * there; then it must be this user's, and nobody else may be able to write to it.
 *
 * A socket that a supervisor left behind is replaced. Fails when a supervisor listens there, or when something is there
 * that none has left. What is asked for goes on when who asked for it hangs up. A reader of events or log lines who is
 * slow loses the oldest and is told how many.
 *
 * @category operations
 * @since 0.1.0
 */
export const serve = Effect.fnUntraced(function* (
  supervised: Supervised,
  folder: string
): Effect.fn.Return<{ readonly path: string }, ControlSocketError | Unsupported, Scope.Scope> {
  const path = Claim.pathOf(folder, supervised.id)
  yield* Server.serve(supervised, path)
  return { path }
})

/**
 * Asks whoever listens at a path who it is; what is given back asks and tells it more. Nothing is left open in between.
 * Events and log lines come for as long as they are read.
 *
 * @category operations
 * @since 0.1.0
 */
export const connect: (path: string) => Effect.Effect<Control, ControlSocketError> = Client.connect

const isSupervisor = ({ reason }: ControlSocketError): boolean =>
  reason._tag !== "NotRunning" && reason._tag !== "Denied"

/**
 * What has its socket in a folder.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly running: ReadonlyArray<Control>
  /** Why one that is there does not answer as it should. */
  readonly mute: ReadonlyArray<ControlSocketError>
}

/**
 * The supervisors that have their sockets in a folder. Sockets that were left behind are passed over.
 *
 * @category operations
 * @since 0.1.0
 */
export const find = Effect.fnUntraced(function* (folder: string): Effect.fn.Return<Found, ControlSocketError> {
  const names = yield* Effect.tryPromise({
    try: () =>
      Fs.readdir(folder).catch((cause: unknown) => (Claim.codeOf(cause) === "ENOENT" ? [] : Promise.reject(cause))),
    catch: (cause) =>
      new ControlSocketError({
        path: Path.join(folder, "*.sock"),
        reason: new FolderUnusable({ why: Claim.codeOf(cause) })
      })
  })
  const sockets = names.filter((name) => name.endsWith(".sock") && !name.startsWith(".")).toSorted()
  const [running, mute] = yield* Effect.partition(sockets, (name) => connect(Path.join(folder, name)), {
    concurrency: 8
  })
  return { running, mute: mute.filter(isSupervisor) }
})
