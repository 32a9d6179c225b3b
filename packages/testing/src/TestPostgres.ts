/**
 * A real Postgres of the test's own: a free port, a folder of its own, nothing forced to the disk, gone with the scope.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import * as TestPort from "./TestPort.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestPostgres {
  readonly port: number
  readonly url: string
  readonly pid: number
  /** Its main process and all sessions stop answering; sockets stay open. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

const user = "postgres"

const isRoot = process.getuid?.() === 0

/** Postgres does not run as root, but as its own user, whom Debian's package makes. */
const asUser = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (!isRoot) return undefined
  const [uid, gid] = ["-u", "-g"].map((flag) => ChildProcess.spawnSync("id", [flag, user], { encoding: "utf8" }).stdout)
  return uid === undefined || gid === undefined || uid === "" ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/**
 * Whether there is no Postgres here, or nobody who may run it: the tests that need one are skipped then, except on CI,
 * where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean => {
  const install = "apt-get install postgresql"
  if (["initdb", "postgres"].some((name) => Binary.skipWithout(name, install))) return true
  if (!isRoot || asUser() !== undefined) return false
  const why = `Postgres does not run as root, and there is no user ${user}: ${install}`
  if (process.env["CI"] === "true") throw new Error(why)
  process.stderr.write(`skipped: ${why}\n`)
  return true
}

/** Below the ports that the system gives to clients. */
const ownPort = TestPort.free(15_000, 32_000)

const program = (name: string): string => Binary.find(name) ?? name

const isReady = (port: number, options: ChildProcess.SpawnOptions): Effect.Effect<true | undefined> =>
  Effect.callback((resume) => {
    const asking = ChildProcess.spawn(program("pg_isready"), ["-q", "-h", "127.0.0.1", "-p", `${port}`], options)
    asking.once("error", (cause) => resume(Effect.die(cause)))
    asking.once("close", (code) => resume(Effect.succeed(code === 0 ? true : undefined)))
  })

const end = (running: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // Without a pid nothing was started, and a signal would go to somebody else.
    const ended = running.pid === undefined || running.exitCode !== null || running.signalCode !== null
    if (ended) return resume(Effect.void)
    running.once("exit", () => resume(Effect.void))
    // A frozen one first has to wake up to hear that it ends; SIGQUIT ends its sessions too.
    running.kill("SIGCONT")
    running.kill("SIGQUIT")
    return undefined
  })

/** The main process and its children. */
const family = (pid: number): ReadonlyArray<number> => [
  pid,
  ...Fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number)
]

const signalAll = (pid: number, signal: NodeJS.Signals) =>
  Effect.sync(() => {
    for (const one of family(pid)) process.kill(one, signal)
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestPostgres, never, Scope.Scope> = Effect.gen(function* () {
  const identity = asUser()
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nexobot-test-"))
      if (identity !== undefined) Fs.chownSync(made, identity.uid, identity.gid)
      return made
    }),
    (made) => Effect.sync(() => Fs.rmSync(made, { recursive: true, force: true }))
  )
  const data = Path.join(folder, "data")
  const options = { ...identity, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C" } }
  const made = ChildProcess.spawnSync(
    program("initdb"),
    ["--auth=trust", "--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "-U", user, "-D", data],
    { ...options, encoding: "utf8" }
  )
  if (made.status !== 0) return yield* Effect.die(new Error(`initdb: ${made.error?.message ?? made.stderr}`))
  const port = yield* ownPort
  const settings = { fsync: "off", max_connections: "50", shared_buffers: "16MB", unix_socket_directories: folder }
  const running = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const started = ChildProcess.spawn(
        program("postgres"),
        ["-D", data, "-p", `${port}`, "-h", "127.0.0.1"].concat(
          Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
        ),
        { ...options, stdio: "ignore" }
      )
      started.once("error", () => undefined)
      return started
    }),
    end
  )
  const url = `postgres://${user}@127.0.0.1:${port}/postgres`
  yield* eventually(
    `Postgres answers on ${port}`,
    Effect.suspend(() =>
      running.exitCode === null ? isReady(port, options) : Effect.die(new Error(`Postgres ended: ${running.exitCode}`))
    )
  )
  const pid = running.pid ?? 0
  return { port, url, pid, freeze: signalAll(pid, "SIGSTOP"), thaw: signalAll(pid, "SIGCONT") }
})
