/**
 * Runs a program to its end: with a bound on its output, and nothing of it left when the check is interrupted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { execa } from "execa"

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
}

export interface Ended {
  /** Neither is there when it could not be started. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
  /** It wrote more than `maxOutput`. */
  readonly flooded: boolean
}

/**
 * Fails with the system's code when the program cannot be started, for example `ENOENT`.
 *
 * It gets a process group of its own, all of which is killed when the check is interrupted or the program floods. Nobody
 * waits for a killed program: in an uninterruptible wait for a disk it may never end.
 */
export const run = ({ args = [], cwd, env, file, input = "", maxOutput }: Command): Effect.Effect<Ended, string> =>
  Effect.callback((resume) => {
    const child = execa(file, args, {
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env, extendEnv: false }),
      input,
      maxBuffer: maxOutput,
      encoding: "utf8",
      stripFinalNewline: false,
      reject: false,
      detached: true
    })
    const { nodeChildProcess, pid } = child
    let ended = false
    const killGroup = () => {
      // Without a pid nothing was started. Until its end was seen the kernel gives the number to nobody else.
      if (pid === undefined || ended) return
      try {
        process.kill(-pid, "SIGKILL")
      } catch {
        // Nobody of the group is left.
      }
    }
    nodeChildProcess.once("exit", () => {
      // What it left behind in its group would keep its output open. The number is not given anew in this moment: the
      // kernel goes round all others first.
      killGroup()
      ended = true
    })
    void child.then((result) => {
      if (result.isMaxBuffer) killGroup()
      const started = result.exitCode !== undefined || result.signal !== undefined || result.isMaxBuffer
      resume(
        started
          ? Effect.succeed({
              exitCode: result.exitCode,
              signal: result.signal,
              stdout: result.stdout,
              stderr: result.stderr,
              flooded: result.isMaxBuffer
            })
          : Effect.fail(codeOf(result.cause ?? result))
      )
    })
    return Effect.sync(() => {
      killGroup()
      child.stdin.destroy()
      child.stdout.destroy()
      child.stderr.destroy()
      nodeChildProcess.unref()
    })
  })
