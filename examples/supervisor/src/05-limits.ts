/** One process leaks memory, and one hangs: both are found out, ended, and replaced. */
import { describe } from "@nexobot/core/ProcessExit"
import { ProcessSpec, Supervisor } from "@nexobot/process-supervisor"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const program = (code: string) => ({ command: process.execPath, args: ["-e", code] })
const leaks = ProcessSpec.make({
  name: "leaks",
  ...program("const kept = []; setInterval(() => kept.push(Buffer.alloc(2 ** 23, 1)), 20)"),
  memory: { limit: "256 MB", sustain: "200 millis" }
})
const hangs = ProcessSpec.make({
  name: "hangs",
  ...program(`const { writeSync } = require("node:fs"); setInterval(() => writeSync(3, "I am alive\\n"), 100)`),
  ready: "notify",
  liveness: { heartbeat: "500 millis" }
})

const watch = Effect.gen(function* () {
  const supervisor = yield* Supervisor.Supervisor
  const open = new Set(["leaks", "hangs"])
  const restarted = new Set<string>()
  // As an endless loop would.
  yield* supervisor.signal("hangs", "SIGSTOP")
  yield* supervisor.events.pipe(
    Stream.tap((event) => {
      switch (event._tag) {
        case "Unfit":
          return Console.log(`${event.name} must not go on: ${describe(event.exit)}`)
        case "RestartDecided":
          restarted.add(event.name)
          return Console.log(`  ${event.name} is started again`)
        case "Ready":
          if (!restarted.has(event.name)) return Effect.void
          open.delete(event.name)
          return Console.log(`  ${event.name} works`)
        default:
          return Effect.void
      }
    }),
    Stream.takeUntil(() => open.size === 0),
    Stream.runDrain
  )
})

await Effect.runPromise(Effect.provide(watch, Supervisor.layer([leaks, hangs])))
