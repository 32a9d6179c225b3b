/**
 * A real MariaDB of the test's own: a free port, a folder of its own, gone with the scope.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
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
export interface TestMariaDb {
  readonly port: number
  /** Of the user `nexo`, who may do everything, in the database `nexo`. */
  readonly url: string
  /** Of its unix socket. */
  readonly socket: string
  /** Of the process that runs now; `start` makes another. */
  readonly pid: number
  /** It stops answering; sockets stay open. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Ends it with SIGKILL, and returns when it is gone. */
  readonly kill: Effect.Effect<void>
  /** Starts a killed one again, and does not wait until it answers. One that runs goes on. */
  readonly start: Effect.Effect<void>
  /** Waits until it answers. */
  readonly ready: Effect.Effect<void>
  /** Runs statements as the superuser; gives what they say, one row a line, columns divided by tabs. */
  readonly sql: (statements: string) => Effect.Effect<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TestMariaDbOptions {
  /** Settings of the server beside those of the test server itself, for example `{ max_connections: "10" }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Of the user `nexo`; none unless told. */
  readonly password?: string
  /** Makes it speak TLS with this certificate and this key, in PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string }
}

const user = "mysql"

/**
 * Whether there is no MariaDB here, or nobody who may run it: the tests that need one are skipped then, except on CI,
 * where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean =>
  Server.isMissing(["mariadbd", "mariadb-install-db", "mariadb"], user, "apt-get install mariadb-server")

/** Below the ports that the system gives to clients. */
const ownPort = TestPort.free(15_000, 32_000)

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`

/**
 * With settings of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = Effect.fnUntraced(function* (
  asked: TestMariaDbOptions
): Effect.fn.Return<TestMariaDb, never, Scope.Scope> {
  const { password } = asked
  const identity = Server.asUser(user)
  const folder = yield* Server.folderOf(identity)
  const [data, socket] = [Path.join(folder, "data"), Path.join(folder, "sock")]
  // A server that starts deletes the temporary tables of others that have the same folder for them.
  const options = { ...identity, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C", TMPDIR: folder } }
  yield* Server.run(
    "mariadb-install-db",
    ["--no-defaults", `--datadir=${data}`, "--auth-root-authentication-method=normal", "--skip-test-db"],
    options
  )
  const port = yield* ownPort
  const files = asked.tls === undefined ? undefined : Server.tlsFiles(asked.tls, folder, identity)
  const settings = {
    datadir: data,
    socket,
    port: `${port}`,
    "bind-address": "127.0.0.1",
    "pid-file": Path.join(folder, "pid"),
    innodb_flush_log_at_trx_commit: "0",
    innodb_buffer_pool_size: "16M",
    key_buffer_size: "1M",
    ...(files === undefined ? {} : { "ssl-cert": files.certificate, "ssl-key": files.key }),
    ...asked.settings
  }
  const launch = () => {
    const started = ChildProcess.spawn(
      Binary.find("mariadbd") ?? "mariadbd",
      ["--no-defaults", ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)],
      { ...options, stdio: "ignore" }
    )
    started.once("error", () => undefined)
    return started
  }
  let running = yield* Effect.sync(launch)
  yield* Effect.addFinalizer(() => Effect.suspend(() => Server.end(running, "SIGKILL")))
  const client = ["--no-defaults", "--batch", "--skip-column-names", "--user=root", `--socket=${socket}`]
  const sql = (statements: string) =>
    Effect.map(Server.run("mariadb", client, { ...options, input: statements }), (said) => said.trim())
  const ready = Effect.asVoid(
    eventually(
      `MariaDB answers on ${port}`,
      Effect.suspend(() =>
        Server.hasEnded(running)
          ? Effect.die(new Error(`MariaDB ended: ${running.exitCode}`))
          : Effect.matchCause(sql("SELECT 1"), { onFailure: () => undefined, onSuccess: () => true as const })
      )
    )
  )
  yield* ready
  const by = password === undefined ? "" : ` IDENTIFIED BY ${quoted(password)}`
  yield* sql(`CREATE DATABASE nexo; CREATE USER nexo@'%'${by}; GRANT ALL ON *.* TO nexo@'%' WITH GRANT OPTION;`)
  return {
    port,
    url: `mysql://nexo${password === undefined ? "" : `:${encodeURIComponent(password)}`}@127.0.0.1:${port}/nexo`,
    socket,
    get pid() {
      return running.pid ?? 0
    },
    freeze: Effect.suspend(() =>
      running.pid === undefined || Server.hasEnded(running) ? Effect.void : Server.stop(running.pid)
    ),
    thaw: Effect.sync(() => {
      if (!Server.hasEnded(running)) running.kill("SIGCONT")
    }),
    kill: Effect.suspend(() => Server.end(running, "SIGKILL")),
    start: Effect.sync(() => {
      // Nobody would end the one before.
      if (Server.hasEnded(running)) running = launch()
    }),
    ready,
    sql
  }
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestMariaDb, never, Scope.Scope> = makeWith({})
