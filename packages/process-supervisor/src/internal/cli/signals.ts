/** What a terminal, a shell or a service manager says to end the command. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

import { CommandFailed } from "./failure.ts"

/** The first of them; later ones find it under way. Until the scope closes none ends the process by itself. */
export const told = Effect.gen(function* () {
  const signal = yield* Deferred.make<NodeJS.Signals>()
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const listener = () => void Deferred.doneUnsafe(signal, Effect.succeed(name))
        process.on(name, listener)
        return listener
      }),
      (listener) => Effect.sync(() => process.off(name, listener))
    )
  }
  return signal
})

/** Breaks off what only prepares: nothing of it, such as the process that evaluates a file, outlives the command. */
export const unless = <A, E, R>(effect: Effect.Effect<A, E, R>, signal: Deferred.Deferred<NodeJS.Signals>) =>
  Effect.raceFirst(
    effect,
    Effect.flatMap(Deferred.await(signal), (name) =>
      Effect.fail(new CommandFailed({ message: `${name}: nothing was started` }))
    )
  )
