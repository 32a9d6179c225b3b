import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

import * as Options from "../src/Options.ts"
import * as ProcessIdentity from "../src/ProcessIdentity.ts"
import { descendants, isDead, ProcessTable } from "../src/ProcessTable.ts"

/** The error that a constructor throws. */
export const refusal = (f: () => unknown): Options.OptionError => {
  try {
    f()
  } catch (error) {
    if (error instanceof Options.OptionError) return error
    throw error
  }
  return assert.fail("nothing was refused")
}

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "core-test-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** Long enough for a machine that is busy with something else: it is waited for only when something is wrong. */
const patience = "20 seconds"

/** Asks again and again until the answer is there. */
export const eventually = <A, E, R>(what: string, ask: Effect.Effect<A | undefined, E, R>): Effect.Effect<A, E, R> =>
  ask.pipe(
    Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: (answer) => answer !== undefined }),
    Effect.timeoutOption(patience),
    Effect.flatMap((answer) =>
      Option.isSome(answer) && answer.value !== undefined
        ? Effect.succeed(answer.value)
        : Effect.die(new Error(`it did not happen: ${what}`))
    )
  )

export const identityOf = Effect.fnUntraced(function* (pid: number) {
  const identity = yield* ProcessIdentity.of(pid)
  return identity ?? (yield* Effect.die(new Error(`no process ${pid}`)))
})

/** Node takes a handle off its list of active ones only a few turns of the event loop after it was closed. */
export const fewTurns = Effect.promise(async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
})

export interface Child {
  readonly process: ChildProcess.ChildProcess
  readonly identity: ProcessIdentity.ProcessIdentity
  /** The first line that it printed. */
  readonly line: string
}

/**
 * Runs code, or a file with arguments, in the Node of the tests, waits for its first line, and at the end kills it and what it started, each
 * by its identity.
 */
export const child = Effect.fnUntraced(function* (
  program: string | ReadonlyArray<string>,
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly detached?: boolean
  } = {}
) {
  const running = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(
        process.execPath,
        typeof program === "string" ? ["--input-type=module", "-e", program] : program,
        {
          stdio: ["ignore", "pipe", "inherit"],
          env: { ...process.env, ...options.env },
          detached: options.detached ?? false
        }
      )
    ),
    Effect.fnUntraced(function* (spawned) {
      const below = spawned.pid === undefined ? [] : yield* descendants(spawned.pid)
      const identities = yield* Effect.forEach(below, (stat) => ProcessIdentity.of(stat.pid))
      spawned.kill("SIGKILL")
      yield* Effect.forEach(identities, (one) =>
        one === undefined ? Effect.void : ProcessIdentity.signal(one, "SIGKILL")
      )
    }, Effect.orDie)
  )
  const line = yield* Effect.callback<string>((resume) => {
    let text = ""
    running.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      const end = text.indexOf("\n")
      if (end >= 0) resume(Effect.succeed(text.slice(0, end)))
    })
    running.once("exit", (exit, signal) => resume(Effect.die(new Error(`it ended early: ${exit ?? signal}`))))
  }).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die(new Error("it printed nothing")) }))
  const pid = running.pid ?? (yield* Effect.die(new Error("it has no pid")))
  return { process: running, identity: yield* identityOf(pid), line } satisfies Child
})

/** Says when it is ready, and stays. */
export const idle = `console.log("ready"); setInterval(() => {}, 1_000_000)`

/** How it ended, once it has; its parent has reaped it then. */
export const exitOf = ({ process: running }: Child) =>
  eventually(
    `${running.pid} ends`,
    Effect.sync(() => running.signalCode ?? running.exitCode ?? undefined)
  )

export const stateOf = (pid: number): string | undefined => {
  try {
    const text = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[0]
  } catch {
    return undefined
  }
}

/** A parent whose child has ended and is not reaped, because it blocks its own event loop; prints the child's pid. */
const undertaker = `
import { spawn } from "node:child_process"
import { writeSync } from "node:fs"
const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" })
writeSync(1, child.pid + "\\n")
for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
`

/** The pid of a zombie. */
export const zombie = Effect.gen(function* () {
  const parent = yield* child(undertaker)
  const pid = Number(parent.line)
  const { stat } = yield* ProcessTable
  // Its first thread is one while others still end.
  yield* eventually(
    "a zombie",
    Effect.map(stat(pid), (found) => (found !== undefined && isDead(found) ? true : undefined))
  )
  return pid
})

/** Whether the tests run as root, who is refused nothing, and may mount. */
export const isRoot = process.getuid?.() === 0

/** Says why tests are skipped. */
export const skip = (condition: boolean, why: string): boolean => {
  if (condition) process.stderr.write(`skipped: ${why}\n`)
  return condition
}

/** The table of this machine, with some answers of our own. */
export const tableWith = (answers: Partial<ProcessTable>): Effect.Effect<ProcessTable> =>
  Effect.map(ProcessTable, (real) => Object.assign({}, real, answers))

const packageFolder = Path.join(import.meta.dirname, "..")
const asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath] as const

const run = ([command, ...args]: readonly [string, ...ReadonlyArray<string>]) =>
  ChildProcess.spawnSync(command, args, { cwd: packageFolder, encoding: "utf8" })

/** Whether tests cannot look with the eyes of somebody who may little; it says why. */
export const cannotBeNobody = (): boolean =>
  skip(!isRoot, "looking with another user's eyes needs root") ||
  skip(
    run([...asNobody, "-e", `require("node:fs").readdirSync("node_modules/effect/src")`]).status !== 0,
    "the user nobody cannot read this folder"
  )

/** Runs an effect, an expression of `module` and `Effect`, as the user nobody; below other commands if need be. */
export const lookAsNobody = (
  module: string,
  expression: string,
  below: readonly [] | readonly [string, ...ReadonlyArray<string>] = []
): { readonly value?: unknown; readonly failure?: unknown } => {
  const code = `
    import * as ConfigProvider from "effect/ConfigProvider"
    import * as Effect from "effect/Effect"
    import * as module from "./src/${module}.ts"
    console.log(JSON.stringify(await Effect.runPromise(Effect.result(${expression}))))`
  const nobody = [...asNobody, "--input-type=module", "-e", code] as const
  const { stderr, stdout } = run(below.length === 0 ? nobody : [...below, ...nobody])
  assert.notStrictEqual(stdout, "", stderr)
  return JSON.parse(stdout) as { readonly value?: unknown; readonly failure?: unknown }
}
