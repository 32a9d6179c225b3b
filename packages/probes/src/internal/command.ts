/**
 * Runs a program to its end: with a bound on its output, and nothing of it left when the check is interrupted.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"

import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

import { codeOf } from "./systemError.ts"

export interface Command {
  readonly file: string
  readonly args?: ReadonlyArray<string>
  readonly cwd?: string
  /** The whole environment; that of this process unless told. */
  readonly env?: Readonly<Record<string, string>>
  /** Given to its standard input, which is empty unless told. */
  readonly input?: string
  /** Bytes of each of its outputs; what writes more is ended. */
  readonly maxOutput: number
  /** Called when it is gone, which may be long after the check: a killed program may be in a wait that nothing ends. */
  readonly onExit?: () => void
}

export interface Ended {
  /** One of them is there: it exited, or a signal ended it. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  /** What is no UTF-8 comes out as U+FFFD. */
  readonly stdout: string
  readonly stderr: string
  /** It wrote more than `maxOutput`, and was ended for that. */
  readonly flooded: boolean
}

/** What was written before the end is read at once; only somebody who left the process group keeps a pipe open longer. */
const drain = "1 second"

type End = Pick<Ended, "exitCode" | "signal">

/** What a program writes to one of its outputs, up to a bound. */
const collector = (max: number) => {
  const chunks: Array<Buffer> = []
  let size = 0
  return {
    /** Whether it is more than that now. */
    add: (chunk: Buffer): boolean => {
      if (size < max) chunks.push(chunk.subarray(0, max - size))
      size += chunk.length
      return size > max
    },
    text: () => Buffer.concat(chunks).toString("utf8")
  }
}

const start = ({ args = [], cwd, env, file, input, maxOutput, onExit }: Command) => {
  const child = ChildProcess.spawn(file, args, { cwd, env, detached: true, stdio: "pipe" })
  const exited = Deferred.makeUnsafe<End, string>()
  const closed = Deferred.makeUnsafe<void>()
  const [stdout, stderr] = [collector(maxOutput), collector(maxOutput)]
  let gone = false
  let flooded = false
  const killGroup = () => {
    // Without a pid nothing was started. Until its end was seen the kernel gives the number to nobody else.
    if (child.pid === undefined || gone) return
    try {
      process.kill(-child.pid, "SIGKILL")
    } catch {
      // Nobody of the group is left.
    }
  }
  child.once("error", (error) => Deferred.doneUnsafe(exited, Effect.fail(codeOf(error))))
  child.once("exit", (code, signal) => {
    // What it left behind in its group would keep its output open. The number is not given anew in this moment: the
    // kernel goes round all others first.
    killGroup()
    gone = true
    onExit?.()
    Deferred.doneUnsafe(exited, Effect.succeed({ exitCode: code ?? undefined, signal: signal ?? undefined }))
  })
  child.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
  // Without a file descriptor for the pipes there are none, whatever their types say.
  const pipes: ReadonlyArray<NodeJS.EventEmitter | undefined> = [child.stdin, child.stdout, child.stderr]
  // It need not read its input to the end.
  for (const pipe of pipes) pipe?.on("error", () => undefined)
  for (const [index, output] of [stdout, stderr].entries()) {
    pipes[index + 1]?.on("data", (chunk: Buffer) => {
      if (!output.add(chunk) || flooded) return
      flooded = true
      killGroup()
    })
  }
  if (child.pid !== undefined) child.stdin.end(input)
  return {
    exited: Deferred.await(exited),
    closed: Deferred.await(closed),
    said: () => ({ stdout: stdout.text(), stderr: stderr.text(), flooded }),
    abandon: Effect.sync(() => {
      killGroup()
      if (child.pid === undefined) return
      for (const pipe of child.stdio) pipe?.destroy()
      child.unref()
    })
  }
}

/**
 * Fails with the system's code when the program cannot be started, for example `ENOENT`.
 *
 * It gets a process group of its own, all of which is killed when it has ended, when it floods, and when the check is
 * interrupted. Nobody waits for a killed program: in an uninterruptible wait for a disk it may never end.
 */
export const run = (command: Command): Effect.Effect<Ended, string> =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => start(command), catch: codeOf }),
    ({ closed, exited, said }) =>
      Effect.gen(function* () {
        const end = yield* exited
        yield* Effect.timeoutOption(closed, drain)
        return { ...end, ...said() }
      }),
    ({ abandon }) => abandon
  )
