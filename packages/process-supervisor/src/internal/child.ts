/** Spawns one child in a process group of its own and reports how it ends. */
import * as Fs from "node:fs"

import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execa } from "execa"

import { type Any, cookieVariable } from "../ProcessSpec.ts"

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Child {
  readonly identity: ProcessIdentity
  /** Signals that we sent to it: they tell `us` from `unknown` when one of them ends it. */
  readonly sent: Set<string>
  readonly end: Deferred.Deferred<End>
}

/** To be asked when all that was sent is known. */
export const exitOf = (child: Child, { code, signal }: End): ProcessExit.ProcessExit =>
  signal === null
    ? new ProcessExit.Exited({ code: code ?? 0 })
    : new ProcessExit.Signaled({ signal, by: child.sent.has(signal) ? "us" : "unknown" })

const environmentOf = (spec: Any, cookie: string): Record<string, string> => {
  const env: Record<string, string> = {}
  for (const name of spec.inheritEnv) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  for (const [name, value] of Object.entries(spec.env))
    env[name] = Redacted.isRedacted(value) ? Redacted.value(value) : value
  env[cookieVariable] = cookie
  return env
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "UNKNOWN"

const failed = (spec: Any, code: string, what = spec.command) => new ProcessExit.SpawnFailed({ code, command: what })

const openLog = (spec: Any) => {
  const path = spec.logFile
  if (path === undefined) return Effect.undefined
  return Effect.try({
    // Append mode: a truncation by somebody else leaves no hole, and two lives of a child never overwrite each other.
    try: () => Fs.openSync(path, "a", 0o600),
    catch: (cause) => failed(spec, codeOf(cause), `${spec.command} >> ${path}`)
  })
}

const launch = (spec: Any, cookie: string, log: number | undefined) => {
  // Execa takes any open descriptor, its types only the small ones.
  const output = (log ?? "ignore") as 3 | "ignore" // oxlint-disable-line typescript/no-unsafe-type-assertion
  return Effect.try({
    try: () =>
      execa(spec.command, spec.args, {
        detached: true, // a group and session of its own, so that its whole group can be signalled
        cleanup: false, // ending it is the scope's work; execa could only kill the child itself
        reject: false,
        buffer: false,
        extendEnv: false,
        env: environmentOf(spec, cookie),
        stdin: "ignore",
        stdout: output,
        stderr: output,
        ...(spec.cwd === undefined ? {} : { cwd: spec.cwd })
      }),
    catch: (cause) => failed(spec, codeOf(cause))
  })
}

/** `ENOENT` is also what a missing working directory gives: say which one it was. */
const whatFailed = (spec: Any): string =>
  spec.cwd !== undefined && !Fs.existsSync(spec.cwd) ? `cd ${spec.cwd} && ${spec.command}` : spec.command

/** Not to be interrupted: between spawning and returning, the child belongs to nobody. */
export const spawn = Effect.fnUntraced(function* (
  spec: Any,
  cookie: string,
  bootId: string
): Effect.fn.Return<Child, ProcessExit.SpawnFailed> {
  const table = yield* ProcessTable
  const log = yield* openLog(spec)
  const subprocess = yield* Effect.ensuring(
    launch(spec, cookie, log),
    Effect.sync(() => {
      if (log !== undefined) Fs.closeSync(log)
    })
  )
  const pid = subprocess.pid
  if (pid === undefined) {
    const result = yield* Effect.promise(() => subprocess)
    return yield* Effect.fail(failed(spec, codeOf(result), whatFailed(spec)))
  }
  const end = Deferred.makeUnsafe<End>()
  // `exit`, not `close`: a grandchild can hold the output open long after the child is gone.
  subprocess.nodeChildProcess.once("exit", (code, signal) => {
    Deferred.doneUnsafe(end, Effect.succeed({ code, signal }))
  })
  // A child that is already dead is still in the table: it is reaped in a later turn of the event loop.
  const stat = yield* Effect.orDie(table.stat(pid))
  return { identity: { pid, startTime: stat?.startTime ?? 0, bootId }, sent: new Set(), end }
})
