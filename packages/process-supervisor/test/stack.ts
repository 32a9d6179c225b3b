// Runs a supervisor in another process, that can be killed.
import * as ChildProcess from "node:child_process"
import * as Readline from "node:readline"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type * as ProcessSpec from "../src/ProcessSpec.ts"
import type { StartOptions } from "../src/promise.ts"
import { carriers, eventually, fixture } from "./support.ts"

const Identities = Schema.fromJsonString(
  Schema.Record(Schema.String, Schema.UndefinedOr(ProcessIdentity.ProcessIdentity))
)

/** What a fixture is started by. */
export const run = (file: string, ...args: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [fixture(file), ...args]
})

/** Options of a process that no probe is asked about. */
export type Plain = Partial<Omit<ProcessSpec.SpecOptions, "liveness" | "prerequisites" | "ready">> & {
  readonly ready?: RegExp
}

export interface Stack {
  readonly pid: number
  readonly children: Readonly<Record<string, ProcessIdentity.ProcessIdentity | undefined>>
  /** Every line that it has said so far. */
  readonly said: ReadonlyArray<string>
  readonly crash: Effect.Effect<void>
  /** As `crash`, with nobody there who ends its children. */
  readonly crashUnguarded: Effect.Effect<void>
  /** Its exit code, after an orderly end. */
  readonly close: Effect.Effect<number | null>
}

const ended = (child: ChildProcess.ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

const end = (child: ChildProcess.ChildProcess, signal: NodeJS.Signals) =>
  Effect.andThen(
    Effect.sync(() => child.pid !== undefined && child.kill(signal)),
    ended(child)
  )

const endOne = (pid: number) =>
  Effect.flatMap(ProcessIdentity.of(pid), (one) =>
    one === undefined ? Effect.succeed(false) : ProcessIdentity.signal(one, "SIGKILL")
  )

/** Ends whoever bears the mark of this id. */
const sweep = (id: string) =>
  carriers(`${id}/`).pipe(
    Effect.flatMap((pids) => Effect.forEach(pids, endOne)),
    Effect.orDie
  )

/** The guardians of supervisors with this id. */
export const guardians = Effect.fnUntraced(function* (id: string) {
  const table = yield* ProcessTable
  const living = (yield* table.all).filter((stat) => !isDead(stat))
  const found = yield* Effect.filter(living, (stat) =>
    Effect.map(table.commandLine(stat.pid), (line) => line.includes(` nexo-guardian ${id} `))
  )
  return found.map(({ pid }) => pid)
})

/** Until the scope closes: then nothing of it is left, whatever became of it. */
export const stack = Effect.fnUntraced(function* (
  options: StartOptions & { readonly id: string },
  { prefix = [], ...spawn }: ChildProcess.SpawnOptions & { readonly prefix?: ReadonlyArray<string> } = {}
) {
  yield* Effect.addFinalizer(() => sweep(options.id))
  const [command, ...before] = [...prefix, process.execPath] as const
  const args = [...before, fixture("stack.ts"), JSON.stringify(options)]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => ChildProcess.spawn(command, args, { ...spawn, stdio: ["ignore", "pipe", "inherit"] })),
    (running) => end(running, "SIGKILL")
  )
  const said: Array<string> = []
  const { stdout } = child
  if (stdout === null) return yield* Effect.die(new Error("it has no stdout"))
  const first = yield* Effect.callback<string>((resume) => {
    Readline.createInterface({ input: stdout }).on("line", (line) => {
      said.push(line)
      if (said.length === 1) resume(Effect.succeed(line))
    })
    child.once("exit", () => resume(Effect.die(new Error("it ended without a word"))))
  })
  const started: Stack = {
    pid: child.pid ?? 0,
    children: yield* Schema.decodeEffect(Identities)(first),
    said,
    crash: end(child, "SIGKILL"),
    crashUnguarded: Effect.gen(function* () {
      // Stopped, so that it cannot start another guardian.
      child.kill("SIGSTOP")
      for (const pid of yield* guardians(options.id)) yield* endOne(pid)
      yield* end(child, "SIGKILL")
    }).pipe(Effect.orDie),
    close: Effect.map(end(child, "SIGTERM"), () => child.exitCode)
  }
  return started
})

/** Nobody has this mark any more. */
export const gone = (id: string) =>
  eventually(
    `nobody of ${id} is left`,
    Effect.map(carriers(`${id}/`), (pids) => (pids.length === 0 ? true : undefined))
  )
