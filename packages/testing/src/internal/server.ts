/**
 * What the servers that do not run as root have in common: a user of their own, and an end by their pid.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "../Binary.ts"
import { eventually } from "../Expect.ts"

export interface Identity {
  readonly uid: number
  readonly gid: number
}

const isRoot = process.getuid?.() === 0

/** As whom a server is started that refuses root: its own user, whom Debian's package makes; `undefined` is as we are. */
export const asUser = (user: string): Identity | undefined => {
  if (!isRoot) return undefined
  const [uid, gid] = ["-u", "-g"].map((flag) => ChildProcess.spawnSync("id", [flag, user], { encoding: "utf8" }).stdout)
  return uid === undefined || gid === undefined || uid === "" ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/** Whether programs or the user are missing; on CI this throws. */
export const isMissing = (programs: ReadonlyArray<string>, user: string, install: string): boolean => {
  if (programs.some((name) => Binary.skipWithout(name, install))) return true
  if (!isRoot || asUser(user) !== undefined) return false
  const why = `${programs.join(" and ")} do not run as root, and there is no user ${user}: ${install}`
  if (process.env["CI"] === "true") throw new Error(why)
  process.stderr.write(`skipped: ${why}\n`)
  return true
}

/** An empty folder that belongs to it. */
export const folderOf = (identity: Identity | undefined): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const made = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-test-"))
      if (identity !== undefined) Fs.chownSync(made, identity.uid, identity.gid)
      return made
    }),
    (made) => Effect.sync(() => Fs.rmSync(made, { recursive: true, force: true }))
  )

/** What a program says; dies when it fails. */
export const run = (
  name: string,
  args: ReadonlyArray<string>,
  options: ChildProcess.SpawnOptions & { readonly input?: string }
): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const { input = "", ...rest } = options
    const running = ChildProcess.spawn(Binary.find(name) ?? name, args, { ...rest, stdio: "pipe" })
    const said = { stdout: "", stderr: "" }
    running.stdout.on("data", (data) => (said.stdout += String(data)))
    running.stderr.on("data", (data) => (said.stderr += String(data)))
    // It may have ended before it read its input.
    running.stdin.on("error", () => undefined)
    running.stdin.end(input)
    running.once("error", (cause) => resume(Effect.die(cause)))
    running.once("close", (code) =>
      resume(code === 0 ? Effect.succeed(said.stdout) : Effect.die(new Error(`${name}: ${said.stderr}${said.stdout}`)))
    )
  })

export const hasEnded = (running: ChildProcess.ChildProcess): boolean =>
  // Without a pid nothing was started, and a signal would go to somebody else.
  running.pid === undefined || running.exitCode !== null || running.signalCode !== null

/** Sends this signal and waits for the end. */
export const end = (running: ChildProcess.ChildProcess, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (hasEnded(running)) return resume(Effect.void)
    running.once("exit", () => resume(Effect.void))
    // A frozen one first has to wake up to hear that it ends.
    running.kill("SIGCONT")
    running.kill(signal)
    return undefined
  })

const isStopped = (pid: number): boolean => {
  try {
    return Fs.readdirSync(`/proc/${pid}/task`).every((thread) =>
      // Stopped, or ended while its parent is stopped. The name before it is in parentheses, and may have some in it.
      /\) [TtZX] [^)]*$/.test(Fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"))
    )
  } catch {
    // It, or a thread of it, ended meanwhile.
    return !Fs.existsSync(`/proc/${pid}`)
  }
}

/** Stops a process, and returns when none of its threads runs any more, which SIGSTOP does not wait for. */
export const stop = (pid: number): Effect.Effect<void> =>
  Effect.andThen(
    Effect.sync(() => {
      try {
        process.kill(pid, "SIGSTOP")
      } catch {
        // It ended meanwhile.
      }
    }),
    Effect.asVoid(
      eventually(
        `process ${pid} is stopped`,
        Effect.sync(() => (isStopped(pid) ? true : undefined))
      )
    )
  )

/** What a server needs to speak TLS, in PEM. */
export interface Tls {
  readonly certificate: string
  readonly key: string
}

/** Writes both to files that only the server reads. */
export const tlsFiles = (tls: Tls, folder: string, identity: Identity | undefined): Tls => {
  const written = (name: string, text: string) => {
    const path = Path.join(folder, name)
    Fs.writeFileSync(path, text, { mode: 0o600 })
    if (identity !== undefined) Fs.chownSync(path, identity.uid, identity.gid)
    return path
  }
  return { certificate: written("certificate.pem", tls.certificate), key: written("key.pem", tls.key) }
}
