import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

import { find, skipWithout } from "../../testing/src/Binary.ts"
import { eventually, freePort, isRoot, skip } from "./support.ts"

/** A Postgres of the test's own: a free port, a folder of its own, nothing forced to the disk. */
export interface PostgresServer {
  readonly port: number
  readonly url: string
  readonly pid: number
  /** A client of its own, with few connections. */
  readonly client: Effect.Effect<PgClient.PgClient, never, Scope.Scope>
  /** Its main process and all sessions stop answering; sockets stay open. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

const user = "postgres"

/** Postgres does not run as root, but as its own user, whom Debian's package makes. */
const asUser = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (!isRoot) return undefined
  const [uid, gid] = ["-u", "-g"].map((flag) => ChildProcess.spawnSync("id", [flag, user], { encoding: "utf8" }).stdout)
  return uid === undefined || gid === undefined || uid === "" ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/** Whether there is no Postgres here: the tests that need one are skipped then, except on CI, where they fail. */
export const cannotRunPostgres = (): boolean => {
  if (skipWithout("initdb", "apt-get install postgresql") || skipWithout("postgres", "apt-get install postgresql")) {
    return true
  }
  const nobody = isRoot && asUser() === undefined
  if (nobody && process.env["CI"] === "true") throw new Error(`CI has to have the user ${user}`)
  return skip(nobody, `Postgres does not run as root, and there is no user ${user}: apt-get install postgresql`)
}

/** Below the ports that the system gives to clients. */
const ownPort = freePort(15_000, 32_000)

const program = (name: string): string => find(name) ?? name

const end = (running: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (running.exitCode !== null || running.signalCode !== null) return resume(Effect.void)
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

export const postgresServer: Effect.Effect<PostgresServer, never, Scope.Scope> = Effect.gen(function* () {
  const identity = asUser()
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = Fs.mkdtempSync(Path.join(Os.tmpdir(), "core-test-"))
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
  const client = PgClient.make({ url: Redacted.make(url), maxConnections: 3 }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.orDie
  )
  yield* eventually(
    `Postgres answers on ${port}`,
    Effect.scoped(
      Effect.flatMap(client, (sql) => sql`select 1`).pipe(
        Effect.as(true),
        Effect.catchCause(() => Effect.sync(() => undefined))
      )
    ).pipe(
      Effect.tap(() =>
        running.exitCode === null ? Effect.void : Effect.die(new Error(`Postgres ended: ${running.exitCode}`))
      )
    )
  )
  const pid = running.pid ?? 0
  return { port, url, pid, client, freeze: signalAll(pid, "SIGSTOP"), thaw: signalAll(pid, "SIGCONT") }
})
