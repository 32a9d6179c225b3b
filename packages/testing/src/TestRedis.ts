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

/** Whether it answers PING; its socket is gone by then. */
const answers = (port: number): Effect.Effect<true | undefined> =>
  Effect.callback((resume) => {
    let answer: true | undefined
    const socket = Net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"))
    socket.once("data", (data) => {
      // Where a password is asked for, it runs.
      answer = /^(\+PONG|-NOAUTH)/.test(String(data)) ? true : undefined
      socket.destroy()
    })
    socket.once("error", () => undefined)
    socket.once("close", () => resume(Effect.succeed(answer)))
    return Effect.sync(() => socket.destroy())
  })

const start = Effect.fnUntraced(function* (port: number, folder: string, args: ReadonlyArray<string>) {
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
        ? answers(port)
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

/**
 * With settings of its own, as `["--requirepass", "…"]`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>
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
      running = yield* Effect.orDie(start(port, folder, args))
    }).pipe(Effect.uninterruptible),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT")
  }
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<TestRedis, never, Scope.Scope> = makeWith([])
