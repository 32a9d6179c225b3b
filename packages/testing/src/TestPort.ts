/**
 * Ports for the servers of tests.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Net from "node:net"

import * as Effect from "effect/Effect"

/**
 * A port of 127.0.0.1 that is free at the moment, from `from` up to, but not including, `to`. Take a range below the
 * ports that the system gives to clients (32768 and up on Linux): a client that tries a dead port there can connect to
 * itself.
 *
 * @category operations
 * @since 0.1.0
 */
export const free = (from: number, to: number): Effect.Effect<number> =>
  Effect.callback<number | undefined>((resume) => {
    // Not Effect's Random: under a seed, tests that run at the same time would all try the same ports.
    const port = Crypto.randomInt(from, to)
    const server = Net.createServer()
    server.once("error", () => resume(Effect.succeed(undefined)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(port))))
  }).pipe(
    Effect.repeat({ until: (port) => port !== undefined }),
    Effect.flatMap((port) => (port === undefined ? Effect.die(new Error("no port is free")) : Effect.succeed(port)))
  )
