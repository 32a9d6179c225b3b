/**
 * A real redis-server of the test's own: a free port, a folder of its own, nothing kept on disk, gone with the scope.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Binary from "./Binary.ts"
import { eventually } from "./Expect.ts"
import * as TestFolder from "./TestFolder.ts"
import * as TestPort from "./TestPort.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestRedis {
  readonly port: number
  /** Where it would keep its files. */
  readonly folder: string
  readonly url: string
  /** Of the process that runs now; `restart` makes another. */
  readonly pid: number
  /** Ends it with SIGKILL, and returns when it is gone. */
  readonly kill: Effect.Effect<void>
  /** Kills it if it runs, and starts it again, empty, on the same port. */
  readonly restart: Effect.Effect<void>
  /** Its sockets stay open and it answers nothing. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Sends one line, such as `CONFIG SET maxclients 1`, and gives the first line of the answer, as `+OK`. */
  readonly ask: (command: string) => Effect.Effect<string>
}

/**
 * Whether there is no redis-server here: the tests that need one are skipped then, except on CI, where this throws.
 *
 * @category operations
 * @since 0.1.0
 */
export const isMissing = (): boolean => Binary.skipWithout("redis-server", "apt-get install redis-server")

/**
 * Below the ports that the system gives to clients, as a client that tries a dead port there can connect to itself; so is
 * the port of a cluster's own, which is higher by 10,000.
 */
const ownPort = TestPort.free(11_000, 22_000)

/** The first line of the answer, empty without one; the socket is gone by then. */
const ask = (port: number, command: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let answer = ""
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(`${command}\r\n`))
    socket.on("data", (data) => {
      answer += String(data)
      if (answer.includes("\r\n")) socket.destroy()
    })
    socket.once("error", () => undefined)
    socket.once("close", () => resume(Effect.succeed(answer.replace(/\r\n.*/s, ""))))
    return Effect.sync(() => socket.destroy())
  })

/** Where a password is asked for, it runs. */
const runs = /^(\+PONG|-NOAUTH)/

const start = Effect.fnUntraced(function* (port: number, folder: string, args: ReadonlyArray<string>, pong = runs) {
  // A file of settings comes first, as Redis wants it.
  const [file] = args
  const before = file === undefined || file.startsWith("--") ? [] : [file]
  const settings = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]
  const running = ChildProcess.spawn(
    Binary.find("redis-server") ?? "redis-server",
    [...before, ...settings, ...args.slice(before.length)],
    {
      stdio: "ignore"
    }
  )
  running.once("error", () => undefined)
  yield* eventually(
    `redis-server answers on ${port}`,
    Effect.suspend(() =>
      running.exitCode === null && running.pid !== undefined
        ? Effect.map(ask(port, "PING"), (answer) => (pong.test(answer) ? true : undefined))
        : Effect.fail(new Error(`redis-server ended: ${running.exitCode}`))
    )
  )
  return running
})

const end = (running: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // Without a pid nothing was started, and a signal would go to somebody else.
    const ended = running.pid === undefined || running.exitCode !== null || running.signalCode !== null
    if (ended) return resume(Effect.void)
    running.once("exit", () => resume(Effect.void))
    running.kill("SIGKILL")
    return undefined
  })

const makeAs = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  pong?: RegExp
): Effect.fn.Return<TestRedis, never, Scope.Scope> {
  const folder = yield* TestFolder.make
  // Somebody else may have been quicker to take the port.
  let { port, running } = yield* Effect.gen(function* () {
    const free = yield* ownPort
    return { port: free, running: yield* start(free, folder, args) }
  }).pipe(Effect.retry({ times: 4 }), Effect.orDie)
  yield* Effect.addFinalizer(() => Effect.suspend(() => end(running)))
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void running.kill(name))
  return {
    port,
    folder,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return running.pid ?? 0
    },
    kill: Effect.suspend(() => end(running)),
    restart: Effect.gen(function* () {
      yield* end(running)
      running = yield* Effect.orDie(start(port, folder, args, pong))
    }).pipe(Effect.uninterruptible),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    ask: (command) => ask(port, command)
  }
})

/**
 * With settings of its own, as `["--requirepass", "…"]`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = (args: ReadonlyArray<string>): Effect.Effect<TestRedis, never, Scope.Scope> => makeAs(args)

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestRedis, never, Scope.Scope> = makeWith([])

/**
 * A replica that has all that its primary has by now.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeReplica = Effect.fnUntraced(function* (
  primary: TestRedis,
  args: ReadonlyArray<string> = []
): Effect.fn.Return<TestRedis, never, Scope.Scope> {
  // Unless told it waits for more replicas first.
  yield* primary.ask("CONFIG SET repl-diskless-sync-delay 0")
  const replica = yield* makeWith(["--replicaof", `127.0.0.1 ${primary.port}`, ...args])
  const synced = Effect.map(primary.ask("WAIT 1 100"), (count) => (count === ":1" ? true : undefined))
  yield* eventually(`${replica.port} is a replica of ${primary.port}`, synced)
  return replica
})

/**
 * One that reads a dump for about a minute.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLoading: Effect.Effect<TestRedis, never, Scope.Scope> = Effect.gen(function* () {
  // Slowly, key by key, and it looks up from its work to answer.
  const slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
  const redis = yield* makeAs([...slowly, "--enable-debug-command", "yes"], /^(\+PONG|-LOADING)/)
  for (const command of ["DEBUG POPULATE 60000", "SAVE"]) {
    const answer = yield* redis.ask(command)
    if (answer !== "+OK") return yield* Effect.die(new Error(`${command}: ${answer}`))
  }
  yield* redis.restart
  return redis
})
