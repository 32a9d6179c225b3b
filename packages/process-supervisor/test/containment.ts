// What the tests of containment have in common.
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

import * as TestProcess from "../../testing/src/TestProcess.ts"
import type * as Containment from "../src/Containment.ts"
import { check } from "../src/Containment.ts"
import type { Container, End, Life } from "../src/internal/containment/container.ts"
import * as Containers from "../src/internal/containment/index.ts"

/** Whether the tests of a tier are skipped, and a line that says why; on CI it throws instead. */
export const skipWithoutTier = async (tier: Containment.Tier): Promise<boolean> => {
  const why = await Effect.runPromise(
    Effect.match(check(tier), { onFailure: (error) => error.message, onSuccess: () => "" })
  )
  if (why === "") return false
  if (process.env["CI"] === "true") throw new Error(why)
  process.stderr.write(`skipped: ${why}\n`)
  return true
}

export const ended = (child: ChildProcess) =>
  Effect.callback<End>((resume) => {
    const done = () => resume(Effect.succeed({ code: child.exitCode, signal: child.signalCode }))
    if (child.exitCode !== null || child.signalCode !== null) return done()
    child.once("exit", done)
  })

let lives = 0

/** Of nobody else, also when several tests run at once. */
export const freshLife = (): Life => ({ id: `test-${process.pid}`, name: "app", life: ++lives })

export interface Contained {
  readonly container: Container
  readonly child: ChildProcess
  readonly identity: ProcessIdentity.ProcessIdentity
}

/** Runs a program in a container; nothing of either is left at the end. */
export const run = Effect.fnUntraced(function* (
  tier: Containment.Tier,
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  options: { readonly life?: Life; readonly stdio?: SpawnOptions["stdio"]; readonly env?: NodeJS.ProcessEnv } = {}
) {
  const container = yield* Effect.acquireRelease(Containers.make(tier, options.life ?? freshLife()), (made) =>
    Effect.andThen(made.kill, made.release)
  )
  const { args: all, command: program, ...user } = container.wrap(command, args)
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, all, { ...user, env: options.env, detached: true, stdio: options.stdio ?? "ignore" })
    ),
    (running) =>
      Effect.andThen(
        Effect.sync(() => running.pid !== undefined && running.kill("SIGKILL")),
        ended(running)
      )
  )
  const identity = yield* TestProcess.identityOf(child.pid)
  container.started(identity)
  return { container, child, identity }
})

/** Everybody alive who has these words in his command line, or no others. */
export const named = Effect.fnUntraced(function* (words: string, exactly = false) {
  const table = yield* ProcessTable
  const found: Array<number> = []
  for (const stat of yield* table.all) {
    const line = isDead(stat) ? "" : yield* table.commandLine(stat.pid)
    if (exactly ? line === words : line.includes(words)) found.push(stat.pid)
  }
  return found
})
