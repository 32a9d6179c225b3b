/**
 * A port that drops packets, as a host does that is gone or a firewall: who connects to it hears nothing at all.
 *
 * Nothing of the network is changed for it. A process listens, accepts nobody, and its queue is full, so that the kernel
 * drops whoever else comes.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import * as Readline from "node:readline"

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * @category models
 * @since 0.1.0
 */
export interface TestBlackhole {
  readonly host: string
  readonly port: number
}

/** Says its port, and never looks at anything again. */
const code = `
const [host, port] = JSON.parse(process.argv[1])
const server = require("node:net").createServer()
server.on("error", () => process.exit(1))
server.listen({ host, port, backlog: 1 }, () => {
  require("node:fs").writeSync(1, server.address().port + "\\n")
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})`

const ended = (child: ChildProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // Without a pid nothing was started, and a signal would go to somebody else.
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
    return undefined
  })

const listening = Effect.fnUntraced(function* (host: string, port: number) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const args = ["-e", code, JSON.stringify([host, port])]
      const started = ChildProcess.spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] })
      started.on("error", () => {})
      return started
    }),
    ended
  )
  return yield* Effect.callback<number>((resume) => {
    Readline.createInterface({ input: child.stdout }).once("line", (line) => resume(Effect.succeed(Number(line))))
    child.once("exit", () => resume(Effect.die(new Error(`nobody can listen on ${host}:${port}`))))
  })
})

/** Loopback connects within microseconds. */
const longEnough = "250 millis"

/** Takes a place in the queue, if there is one left. */
const occupies = (host: string, port: number): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => Net.connect({ host, port }).on("error", () => {})),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) =>
      Effect.callback<boolean>((resume) => {
        socket.once("connect", () => resume(Effect.succeed(true)))
      }).pipe(Effect.timeoutOrElse({ duration: longEnough, orElse: () => Effect.succeed(false) }))
  )

/**
 * Drops packets from when it is made until its scope closes; with a port of 0, on a free one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  host = "127.0.0.1",
  port = 0
): Effect.fn.Return<TestBlackhole, never, Scope.Scope> {
  const own = yield* listening(host, port)
  // Two in a row: one may have been told late, as the machine is busy. They stay, and take what becomes free by chance.
  yield* Effect.repeat(Effect.all([occupies(host, own), occupies(host, own)]), {
    while: (connected) => connected.includes(true)
  })
  return { host, port: own }
})
