/** The least that a circuit breaker can be on Effect: what the real one is measured against. */
import * as Effect from "effect/Effect"

export const make = (threshold: number) => {
  let failures = 0
  const refusal = Effect.fail("open" as const)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | "open", R> => {
    const watched = Effect.matchCauseEffect(self, {
      onSuccess: (value) => {
        failures = 0
        return Effect.succeed(value)
      },
      onFailure: (cause) => {
        failures++
        return Effect.failCause(cause)
      }
    })
    return Effect.suspend((): Effect.Effect<A, E | "open", R> => (failures < threshold ? watched : refusal))
  }
}
