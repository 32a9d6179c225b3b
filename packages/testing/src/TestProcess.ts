/**
 * Real processes for tests: each runs until its scope closes, and has ended by then.
 *
 * They die of what only a broken machine does, such as a program that cannot be started.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Readline from "node:readline"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { type ProcessStat, ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

import { eventually } from "./Expect.ts"

const spawned = (command: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = ChildProcess.spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] })
      // What cannot be started says so below, by having no pid.
      child.on("error", () => {})
      return child
    }),
    (child) =>
      Effect.callback<void>((resume) => {
        // `kill` of a child that could not be started signals whatever number its handle happens to hold: 0 is everybody.
        const runs = child.pid !== undefined && child.exitCode === null && child.signalCode === null
        if (!runs || !child.kill("SIGKILL")) resume(Effect.void)
        else child.once("exit", () => resume(Effect.void))
      })
  )

/**
 * The identity of the process that has this pid. Dies when none has.
 *
 * @category accessors
 * @since 0.1.0
 */
export const identityOf = Effect.fnUntraced(function* (
  pid: number | undefined
): Effect.fn.Return<ProcessIdentity.ProcessIdentity, Unsupported> {
  const identity = pid === undefined ? undefined : yield* ProcessIdentity.of(pid)
  return identity ?? (yield* Effect.die(new Error(`no process ${pid}`)))
})

/**
 * A process that runs a program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = Effect.fnUntraced(function* (
  command: string,
  ...args: ReadonlyArray<string>
): Effect.fn.Return<ProcessIdentity.ProcessIdentity, Unsupported, Scope.Scope> {
  const child = yield* spawned(command, args)
  // It may say more than a pipe holds.
  child.stdout.resume()
  return yield* identityOf(child.pid)
})

/**
 * A process that has nothing to do.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idle: Effect.Effect<ProcessIdentity.ProcessIdentity, Unsupported, Scope.Scope> = start("sleep", "600")

/**
 * The identity of a process that is gone.
 *
 * @category constructors
 * @since 0.1.0
 */
export const deceased: Effect.Effect<ProcessIdentity.ProcessIdentity, Unsupported> = Effect.scoped(idle)

/** The process, and the first line that it says. */
const startTalking = Effect.fnUntraced(function* (command: string, ...args: ReadonlyArray<string>) {
  const child = yield* spawned(command, args)
  const line = yield* Effect.callback<string>((resume) => {
    Readline.createInterface({ input: child.stdout }).once("line", (text) => resume(Effect.succeed(text)))
    child.once("exit", () => resume(Effect.die(new Error(`${command} ended without a word`))))
  })
  return { identity: yield* identityOf(child.pid), line }
})

/**
 * Waits until a process is in a state, as in proc(5): `T` stopped, `Z` zombie, …
 *
 * @category operations
 * @since 0.1.0
 */
export const reaches = Effect.fnUntraced(function* (
  pid: number,
  state: string
): Effect.fn.Return<ProcessStat, Unsupported> {
  const table = yield* ProcessTable
  return yield* eventually(
    `process ${pid} is ${state}`,
    Effect.map(table.stat(pid), (stat) => (stat?.state === state ? stat : undefined))
  )
})

/**
 * A process that ended, and whose parent does not ask for it as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const zombie: Effect.Effect<ProcessIdentity.ProcessIdentity, Unsupported, Scope.Scope> = Effect.gen(
  function* () {
    // The child ends when its parent is no shell any more: a shell would ask for it.
    const script = '(while [ "$(cat /proc/$$/comm)" = sh ]; do :; done) & echo $!; exec sleep 600'
    const { identity, line } = yield* startTalking("sh", "-c", script)
    const { pid, startTime } = yield* reaches(Number(line), "Z")
    return { pid, startTime, bootId: identity.bootId }
  }
)

/**
 * @category models
 * @since 0.1.0
 */
export interface ListenerOptions {
  /** A free one unless told; several listeners may have the same. */
  readonly port?: number
  /** Whether a child of it has the very same socket open; `false` unless told. */
  readonly shared?: boolean
  /** Without it SIGTERM does nothing; with it the process takes so long to write this file, and ends. */
  readonly farewell?: { readonly file: string; readonly millis: number }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly identity: ProcessIdentity.ProcessIdentity
  readonly port: number
  /** Who shares the socket, if somebody does. */
  readonly child: ProcessIdentity.ProcessIdentity | undefined
}

/** Gets its options as JSON, and says port and child's pid in the same way. */
const listenerCode = `
const { port, shared, farewell } = JSON.parse(process.argv[1])
process.on("SIGTERM", () => {
  if (farewell === undefined) return
  setTimeout(() => {
    require("node:fs").writeFileSync(farewell.file, "bye")
    process.exit(0)
  }, farewell.millis)
})
const server = require("node:net").createServer()
server.listen({ port, host: "127.0.0.1", reusePort: true }, () => {
  const stdio = ["ignore", "ignore", "ignore", server._handle.fd]
  const child = shared ? require("node:child_process").spawn("sleep", ["600"], { stdio }).pid : undefined
  console.log(JSON.stringify({ port: server.address().port, child }))
})`

const Said = Schema.fromJsonString(Schema.Struct({ port: Schema.Int, child: Schema.optionalKey(Schema.Int) }))

/**
 * A process that listens on a port of 127.0.0.1, and says nothing to whoever connects.
 *
 * @category constructors
 * @since 0.1.0
 */
export const listener = Effect.fnUntraced(function* (
  options: ListenerOptions = {}
): Effect.fn.Return<Listener, Unsupported, Scope.Scope> {
  const asked = JSON.stringify({ ...options, port: options.port ?? 0 })
  const { identity, line } = yield* startTalking(process.execPath, "-e", listenerCode, asked)
  const said = yield* Effect.orDie(Schema.decodeEffect(Said)(line))
  const child = said.child === undefined ? undefined : yield* identityOf(said.child)
  if (child !== undefined) {
    yield* Effect.addFinalizer(() => Effect.orDie(ProcessIdentity.signal(child, "SIGKILL")))
  }
  return { identity, port: said.port, child }
})
