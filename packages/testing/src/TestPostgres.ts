/**
 * A real Postgres of the test's own: a free port, a folder of its own, nothing forced to the disk, gone with the scope.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import * as Server from "./internal/server.ts"
import * as TestPort from "./TestPort.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestPostgres {
  readonly port: number
  readonly url: string
  /** Where it keeps its data, and where its own commands such as `restore_command` run. */
  readonly data: string
  /** The folder of its unix socket. */
  readonly folder: string
  /** Of the process that runs now; `start` makes another. */
  readonly pid: number
  /** Its main process and all sessions stop answering; sockets stay open. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Ends all of it with SIGKILL, and returns when it is gone. */
  readonly kill: Effect.Effect<void>
  /** Starts a killed one again, and does not wait until it answers. One that runs goes on. */
  readonly start: Effect.Effect<void>
  /** Waits until it answers. */
  readonly ready: Effect.Effect<void>
  /** Runs statements as the superuser, each on its own; gives what they say, one row a line, columns divided by `|`. */
  readonly sql: (statements: string, database?: string) => Effect.Effect<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TestPostgresOptions {
  /** Settings of the server beside those of the test server itself. */
  readonly settings?: Readonly<Record<string, string>>
  /** Of the superuser `postgres`; then everybody needs one to connect. Nobody does unless told. */
  readonly password?: string
  /** Makes it speak TLS with this certificate and this key, in PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Makes it a streaming standby of this one. */
  readonly standbyOf?: TestPostgres
}

const user = "postgres"

/**
 * Whether there is no Postgres here, or nobody who may run it: the tests that need one are skipped then, except on CI,
 * where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean =>
  Server.isMissing(["initdb", "postgres", "psql", "pg_basebackup"], user, "apt-get install postgresql")

/** Below the ports that the system gives to clients. */
const ownPort = TestPort.free(15_000, 32_000)

const program = (name: string): string => Binary.find(name) ?? name

const isReady = (port: number, options: ChildProcess.SpawnOptions): Effect.Effect<true | undefined> =>
  Effect.callback((resume) => {
    const asking = ChildProcess.spawn(program("pg_isready"), ["-q", "-h", "127.0.0.1", "-p", `${port}`], options)
    asking.once("error", (cause) => resume(Effect.die(cause)))
    asking.once("close", (code) => resume(Effect.succeed(code === 0 ? true : undefined)))
  })

/** The main process and its children. */
const family = (pid: number): ReadonlyArray<number> => [
  pid,
  ...Fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number)
]

/**
 * With settings of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = Effect.fnUntraced(function* (
  asked: TestPostgresOptions
): Effect.fn.Return<TestPostgres, never, Scope.Scope> {
  const { password, standbyOf } = asked
  const identity = Server.asUser(user)
  const folder = yield* Server.folderOf(identity)
  const data = Path.join(folder, "data")
  const login = password === undefined ? {} : { PGPASSWORD: password }
  const options = { ...identity, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C", ...login } }
  if (standbyOf === undefined) {
    const passwordFile = Path.join(folder, "password")
    if (password !== undefined) Fs.writeFileSync(passwordFile, password, { mode: 0o644 })
    const auth = password === undefined ? ["--auth=trust"] : ["--auth=scram-sha-256", `--pwfile=${passwordFile}`]
    const basics = ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "-U", user, "-D", data]
    yield* Server.run("initdb", [...auth, ...basics], options)
  } else {
    const from = ["-h", "127.0.0.1", "-p", `${standbyOf.port}`, "-U", user]
    yield* Server.run("pg_basebackup", [...from, "-D", data, "-R", "--checkpoint=fast", "--no-sync"], options)
  }
  const port = yield* ownPort
  const files = asked.tls === undefined ? undefined : Server.tlsFiles(asked.tls, folder, identity)
  const settings = {
    fsync: "off",
    max_connections: "50",
    shared_buffers: "16MB",
    unix_socket_directories: folder,
    ...(files === undefined ? {} : { ssl: "on", ssl_cert_file: files.certificate, ssl_key_file: files.key }),
    ...asked.settings
  }
  const launch = () => {
    const started = ChildProcess.spawn(
      program("postgres"),
      ["-D", data, "-p", `${port}`, "-h", "127.0.0.1"].concat(
        Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
      ),
      { ...options, stdio: "ignore" }
    )
    started.once("error", () => undefined)
    return started
  }
  let running = yield* Effect.sync(launch)
  // SIGQUIT ends its sessions too.
  yield* Effect.addFinalizer(() => Effect.suspend(() => Server.end(running, "SIGQUIT")))
  const ready = Effect.asVoid(
    eventually(
      `Postgres answers on ${port}`,
      Effect.suspend(() =>
        running.exitCode === null
          ? isReady(port, options)
          : Effect.die(new Error(`Postgres ended: ${running.exitCode}`))
      )
    )
  )
  const signalAll = (signal: NodeJS.Signals) =>
    Effect.sync(() => {
      if (running.pid === undefined || Server.hasEnded(running)) return
      for (const one of family(running.pid)) {
        try {
          process.kill(one, signal)
        } catch {
          // A session ended meanwhile.
        }
      }
    })
  yield* ready
  return {
    port,
    url: `postgres://${user}${password === undefined ? "" : `:${encodeURIComponent(password)}`}@127.0.0.1:${port}/postgres`,
    data,
    folder,
    get pid() {
      return running.pid ?? 0
    },
    freeze: Effect.suspend(() => {
      const { pid } = running
      if (pid === undefined || Server.hasEnded(running)) return Effect.void
      // The main process first: it starts others no more.
      return Effect.andThen(
        Server.stop(pid),
        Effect.suspend(() => Effect.forEach(family(pid), Server.stop, { discard: true }))
      )
    }),
    thaw: signalAll("SIGCONT"),
    kill: Effect.andThen(
      signalAll("SIGKILL"),
      Effect.suspend(() => Server.end(running, "SIGKILL"))
    ),
    start: Effect.sync(() => {
      // Nobody would end the one before.
      if (Server.hasEnded(running)) running = launch()
    }),
    ready,
    sql: (statements, database = "postgres") =>
      Server.run(
        "psql",
        // prettier-ignore
        ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", `${port}`, "-U", user, "-d", database],
        { ...options, input: statements }
      ).pipe(Effect.map((said) => said.trim()))
  }
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestPostgres, never, Scope.Scope> = makeWith({})
