/**
 * Evaluates an ecosystem file in a process of its own, of which nothing is left afterwards: a file may print, throw,
 * hang, start things, and must not see the supervisor's secrets.
 */
import * as ChildProcess from "node:child_process"
import { createRequire } from "node:module"
import * as Path from "node:path"

import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** More is no configuration. */
const mostBytes = 1024 * 1024

/** Of what it writes to stderr, from the end. */
const mostErrors = 16 * 1024

export interface Thrown {
  readonly name: string
  readonly message: string
  /** Its stack, and what Node says of it on stderr. */
  readonly trace: string
}

/** It threw, or there is no answer. */
export type Failure = { readonly thrown: Thrown } | { readonly why: string }

const Answer = Schema.fromJsonString(
  Schema.Struct({
    value: Schema.optionalKey(Schema.Unknown),
    error: Schema.optionalKey(Schema.Struct({ name: Schema.String, message: Schema.String, stack: Schema.String }))
  })
)
const decode = Schema.decodeUnknownOption(Answer)

/** By its public name, as only that is the same in the sources and in what is published. */
const evaluator = createRequire(import.meta.url).resolve("@nexobot/process-supervisor/ecosystem-evaluator")

const start = (file: string, env: Readonly<Record<string, string>>) => {
  const child = ChildProcess.spawn(process.execPath, [evaluator, file], {
    cwd: Path.dirname(file),
    env,
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"]
  })
  const line = Deferred.makeUnsafe<string, string>()
  const closed = Deferred.makeUnsafe<void>()
  const chunks: Array<Buffer> = []
  let size = 0
  let errors = ""
  let gone = false
  const killGroup = () => {
    // Without a pid nothing was started. Until its end was seen the kernel gives the number to nobody else.
    if (child.pid === undefined || gone) return
    try {
      process.kill(-child.pid, "SIGKILL")
    } catch {
      // Nobody of the group is left.
    }
  }
  const fail = (why: string) => Deferred.doneUnsafe(line, Effect.fail(why))
  child.once("error", (error: NodeJS.ErrnoException) =>
    fail(`Node.js could not be started (${error.code ?? error.message})`)
  )
  child.once("exit", () => {
    killGroup()
    gone = true
  })
  child.once("close", (code, signal) => {
    Deferred.doneUnsafe(closed, Effect.void)
    fail(`it ended by itself (${signal ?? `exit code ${code}`}) and left no answer`)
  })
  // Without a file descriptor for the pipes there are none, whatever their types say.
  const pipes: ReadonlyArray<NodeJS.EventEmitter | null | undefined> | undefined = child.stdio
  const [, , stderr, answer] = pipes ?? []
  for (const pipe of [stderr, answer]) pipe?.on("error", () => undefined)
  stderr?.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString("utf8")).slice(-mostErrors)
  })
  answer?.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > mostBytes) fail("what it says is larger than 1 MB")
    else if (chunk.includes(10)) Deferred.doneUnsafe(line, Effect.succeed(Buffer.concat(chunks).toString("utf8")))
  })
  return {
    line: Deferred.await(line),
    closed: Deferred.await(closed),
    errors: () => errors,
    abandon: Effect.sync(() => {
      killGroup()
      if (child.pid === undefined) return
      for (const pipe of child.stdio) pipe?.destroy()
      child.unref()
    })
  }
}

/** What the file says, as it would be in JSON. */
export const evaluate = (file: string, env: Readonly<Record<string, string>>): Effect.Effect<unknown, Failure> =>
  Effect.acquireUseRelease(
    Effect.try({
      try: () => start(file, env),
      catch: (cause): Failure => ({ why: `Node.js could not be started (${String(cause)})` })
    }),
    ({ closed, errors, line }) =>
      Effect.gen(function* () {
        const said = decode(yield* Effect.mapError(line, (why): Failure => ({ why })))
        if (Option.isNone(said)) return yield* Effect.fail<Failure>({ why: "its answer is not JSON" })
        const { error, value } = said.value
        if (error === undefined) return value
        // A grandchild may keep stderr open.
        yield* Effect.timeoutOption(closed, "1 second")
        const { message, name, stack } = error
        return yield* Effect.fail<Failure>({ thrown: { name, message, trace: `${stack}\n${errors()}` } })
      }),
    ({ abandon }) => abandon
  )
