/**
 * Connects to one of several addresses: the first that answers, whatever those before it do.
 *
 * @since 0.1.0
 */
import type * as Net from "node:net"

import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import { codeOf, ownFault } from "./systemError.ts"

export interface Connected {
  readonly socket: Net.Socket
  readonly address: string
  /** Addresses that were tried before it and had not answered when it did. */
  readonly silent: ReadonlyArray<string>
}

/** Connected, with a listener for errors that stays. Fails with a code. Its scope destroys it. */
export const connecting = (make: () => Net.Socket): Effect.Effect<Net.Socket, string, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(Effect.sync(make), (socket) => Effect.sync(() => socket.destroy())),
    (socket) =>
      Effect.callback<Net.Socket, string>((resume) => {
        socket.once("connect", () => resume(Effect.succeed(socket)))
        // It stays: an error that nobody listens to would end the process.
        socket.on("error", (error) => resume(Effect.fail(codeOf(error))))
        return Effect.sync(() => socket.destroy())
      })
  )

/** How long an address has no rival, where there is time enough (RFC 8305). */
const longestStart = Duration.millis(250)

/**
 * An address is tried when the one before it has failed, or has been silent for a while: a quarter of a second, or less
 * where the time that is left would not do for all. What was begun goes on meanwhile. `failed` is told of addresses that
 * refused. Fails when all did, rather with a code that tells of the other side than with one that tells of ours.
 */
export const firstOf = (
  addresses: ReadonlyArray<string>,
  connect: (address: string) => Net.Socket,
  left: Duration.Duration,
  failed: (address: string, code: string) => void
): Effect.Effect<Connected, string, Scope.Scope> => {
  const start = Duration.min(longestStart, Duration.divideUnsafe(left, addresses.length + 1))
  const silent = new Set<string>()
  const codes: Array<string> = []
  const attempt = (address: string, over: Deferred.Deferred<void>) =>
    Effect.suspend(() => {
      silent.add(address)
      return connecting(() => connect(address))
    }).pipe(
      Effect.map((socket): Connected => {
        silent.delete(address)
        return { socket, address, silent: [...silent] }
      }),
      Effect.tapError((code) => {
        silent.delete(address)
        codes.push(code)
        failed(address, code)
        return Deferred.succeed(over, undefined)
      })
    )
  const from = (index: number): Effect.Effect<Connected, string, Scope.Scope> => {
    const address = addresses[index]
    if (address === undefined) return Effect.fail("ENOTFOUND")
    const over = Deferred.makeUnsafe<void>()
    if (index === addresses.length - 1) return attempt(address, over)
    const next = Effect.andThen(
      Effect.timeoutOption(Deferred.await(over), start),
      Effect.suspend(() => from(index + 1))
    )
    return Effect.race(attempt(address, over), next)
  }
  // Not `mapError`: a race that nobody wins fails with what all of them say.
  return Effect.matchEffect(from(0), {
    onFailure: (code) => Effect.fail(codes.find((one) => ownFault(one) === undefined) ?? codes[0] ?? code),
    onSuccess: Effect.succeed
  })
}
