/** Spawns one child in a process group of its own and reports how it ends. */
import { type ChildProcess, spawn as nodeSpawn, type StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import type { Readable } from "node:stream"

import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

/** How the operating system says that it ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Program {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string>>
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** Descriptors that it writes to, or nowhere; pipes to here unless told. */
  readonly output: { readonly stdout: number; readonly stderr: number } | "ignore" | undefined
  /** A pipe at `notifyFd`. */
  readonly notify: boolean
  /** Node's channel. */
  readonly channel: boolean
}

/** Where a child writes what it wants its supervisor to know. */
export const notifyFd = 3

export interface Child {
  readonly identity: ProcessIdentity
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /**
   * Calls back for lines on `notifyFd`, once for those that are read together, with an empty word; and for each message
   * over Node's channel, with its text if it is one.
   */
  readonly onWord: (listener: (word: string) => void) => void
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "UNKNOWN"

/** `ENOENT` is also what a missing working directory gives: say which one it was. */
const failed = ({ command, cwd }: Program, cause: unknown) =>
  new ProcessExit.SpawnFailed({
    code: codeOf(cause),
    command: cwd !== undefined && !Fs.existsSync(cwd) ? `cd ${cwd} && ${command}` : command
  })

const both = (as: "ignore" | "pipe") => ({ stdout: as, stderr: as })

const stdioOf = ({ channel, notify, output }: Program): StdioOptions => {
  const extra: Array<"pipe" | "ipc"> = [...(notify ? ["pipe" as const] : []), ...(channel ? ["ipc" as const] : [])]
  const { stderr, stdout } = typeof output === "object" ? output : both(output ?? "pipe")
  return ["ignore", stdout, stderr, ...extra]
}

const newline = 0x0a

/** What a line says does not matter, only that it ends: nothing is kept, however much is written. */
const onLines = (input: Readable, listener: (line: string) => void): void => {
  input.on("data", (chunk: Buffer) => {
    if (chunk.includes(newline)) listener("")
  })
  // A child that resets its end says nothing more.
  input.on("error", () => undefined)
}

const wordOf = (message: unknown): string => (typeof message === "string" ? message : "")

/**
 * `onEnd` is called once, in the moment in which the system reports it, and never before this returns.
 *
 * Not to be interrupted: between spawning and returning, the child belongs to nobody.
 */
export const spawn = Effect.fnUntraced(function* (
  program: Program,
  bootId: string,
  onEnd: (end: End) => void
): Effect.fn.Return<Child, ProcessExit.SpawnFailed> {
  const table = yield* ProcessTable
  const child: ChildProcess = yield* Effect.try({
    try: () =>
      nodeSpawn(program.command, program.args, {
        detached: true, // a group and session of its own, so that its whole group can be signalled
        env: program.env,
        stdio: stdioOf(program),
        ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
        ...(program.uid === undefined ? {} : { uid: program.uid }),
        ...(program.gid === undefined ? {} : { gid: program.gid })
      }),
    catch: (cause) => failed(program, cause)
  })
  const { pid } = child
  if (pid === undefined) {
    const cause = yield* Effect.callback<unknown>((resume) => {
      child.once("error", (error) => resume(Effect.succeed(error)))
    })
    return yield* Effect.fail(failed(program, cause))
  }
  // `exit`, not `close`: a grandchild can hold the output open long after the child is gone.
  child.once("exit", (code, signal) => {
    onEnd({ code, signal })
    // Whoever inherited the other end would keep this one open for as long as he lives.
    if (program.notify) child.stdio[notifyFd]?.destroy()
    if (child.connected) child.disconnect()
  })
  // Of the channel, when the child breaks it.
  child.on("error", () => undefined)
  // A child that is already dead is still in the table: it is reaped in a later turn of the event loop.
  const stat = yield* Effect.orDie(table.stat(pid)).pipe(
    // Nobody would know of it: our own child has its number until we hear of its end.
    Effect.onError(() =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGKILL")),
        table.kill(-pid, "SIGKILL")
      )
    )
  )
  return {
    identity: { pid, startTime: stat?.startTime ?? 0, bootId },
    stdout: child.stdout,
    stderr: child.stderr,
    onWord: (listener) => {
      const notify = child.stdio[notifyFd]
      if (program.notify && notify !== null && notify !== undefined && "read" in notify) onLines(notify, listener)
      if (program.channel) child.on("message", (message) => listener(wordOf(message)))
    }
  }
})
