/**
 * At most three restarts within a second: the fourth is refused, and says when it may be tried again.
 */
import * as Intensity from "@nexobot/core/Intensity"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const restart = Console.log("restarted")

const program = Effect.gen(function* () {
  const { inspect, policy } = yield* Intensity.make({ limit: 3, window: "1 second", name: "restarts" })
  const attempt = policy(restart).pipe(
    Effect.catchTag("IntensityError", ({ retryAfter }) =>
      Console.log(`refused: ${inspect().attempts} within the last second`).pipe(
        Effect.andThen(Effect.sleep(retryAfter)),
        Effect.andThen(policy(restart))
      )
    )
  )
  for (let crash = 1; crash <= 4; crash += 1) yield* attempt
})

await Effect.runPromise(program)
