/** Children that do as they are told, and what a sampler says of them. */
import * as ChildProcess from "node:child_process"
import * as Readline from "node:readline"
import { fileURLToPath } from "node:url"

import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import type { ProcessSample } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

import * as TestProcess from "../../testing/src/TestProcess.ts"
import type { Breach } from "../src/internal/sampler.ts"

/** A line of the table, of a process that leads a group of its own. */
export const sample = (pid: number, more: Partial<ProcessSample> = {}): ProcessSample => ({
  pid,
  parent: 1,
  group: pid,
  session: pid,
  state: "S",
  startTime: pid,
  threads: 1,
  command: "x",
  cpu: 0,
  reaped: 0,
  memory: 0,
  ...more
})

export const megabyte = 1_048_576

/** Leads a group and a session of its own, as supervised children do; ended with its whole group. */
export const child = Effect.fnUntraced(function* (command: string, ...args: ReadonlyArray<string>) {
  const spawned = yield* Effect.acquireRelease(
    Effect.sync(() => ChildProcess.spawn(command, args, { detached: true, stdio: ["pipe", "pipe", "ignore"] })),
    (running) =>
      Effect.callback<void>((resume) => {
        const { pid } = running
        if (pid === undefined) return resume(Effect.void)
        if (running.exitCode === null && running.signalCode === null) running.once("exit", () => resume(Effect.void))
        else resume(Effect.void)
        try {
          process.kill(-pid, "SIGKILL")
        } catch {
          // All of it is gone.
        }
      })
  )
  const identity: ProcessIdentity = yield* TestProcess.identityOf(spawned.pid)
  const lines = Readline.createInterface({ input: spawned.stdout })[Symbol.asyncIterator]()
  const next = Effect.promise(async () => (await lines.next()).value as string)
  return {
    identity,
    /** The next line that it says. */
    next,
    /** Waits until it has done so. */
    tell: (order: string) =>
      Effect.andThen(
        Effect.sync(() => spawned.stdin.write(`${order}\n`)),
        next
      )
  }
})

export const appetite = Effect.gen(function* () {
  const running = yield* child(process.execPath, fileURLToPath(new URL("fixtures/appetite.mjs", import.meta.url)))
  yield* running.next
  return running
})

/** What was told, in order. */
export const told = () => {
  const breaches: Array<Breach> = []
  return { breaches, onBreach: (breach: Breach) => void breaches.push(breach) }
}
