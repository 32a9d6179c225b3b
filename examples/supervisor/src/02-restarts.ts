/** A process that fails again and again is restarted, ever more slowly, and given up; a job that ends well is left alone. */
import { describe } from "@nexobot/core/ProcessExit"
import { ProcessSpec, Supervisor } from "@nexobot/process-supervisor"
import type { SupervisorEvent } from "@nexobot/process-supervisor/SupervisorEvent"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const program = (code: string) => ({ command: process.execPath, args: ["-e", code] })
const job = ProcessSpec.make({ name: "job", ...program(""), restartPolicy: { type: "transient" } })
const broken = ProcessSpec.make({
  name: "broken",
  ...program("setTimeout(() => process.exit(3), 50)"),
  restartPolicy: { intensity: { limit: 3, window: "1 minute" } }
})

const wordsOf = (event: SupervisorEvent): ReadonlyArray<string> => {
  switch (event._tag) {
    case "Exited":
      return [`${event.name}: ${describe(event.exit)}`]
    case "RestartDecided":
      return [`  restart ${event.restarts}, ${Duration.isZero(event.after) ? "at once" : "after a pause"}`]
    case "Ended":
      return ["  that is fine, and the end"]
    case "GaveUp":
      return [`  given up: ${event.reason}`]
    default:
      return []
  }
}

const watch = Effect.gen(function* () {
  const supervisor = yield* Supervisor.Supervisor
  yield* supervisor.events.pipe(
    Stream.tap((event) => Effect.forEach(wordsOf(event), (line) => Console.log(line))),
    // Each of the two comes to its end once.
    Stream.filter(({ _tag }) => _tag === "Ended" || _tag === "GaveUp"),
    Stream.take(2),
    Stream.runDrain
  )
  for (const { lastExit, name, restarts, state } of yield* supervisor.list) {
    yield* Console.log(`${name} is ${state} after ${restarts} restarts: ${lastExit?._tag}`)
  }
})

await Effect.runPromise(Effect.provide(watch, Supervisor.layer([job, broken])))
