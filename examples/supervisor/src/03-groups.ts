/** Processes that stand and fall together: when one crashes, those after it are restarted too, in order. */
import { describe } from "@nexobot/core/ProcessExit"
import { Group, ProcessSpec, Supervisor } from "@nexobot/process-supervisor"
import type { SupervisorEvent } from "@nexobot/process-supervisor/SupervisorEvent"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const program = { command: process.execPath, args: ["-e", "setInterval(() => {}, 1000)"] }
const stack = Group.make({
  name: "stack",
  strategy: "rest_for_one",
  members: [
    ProcessSpec.make({ name: "db", ...program }),
    ProcessSpec.make({ name: "api", ...program, dependsOn: ["db"] }),
    ProcessSpec.make({ name: "web", ...program })
  ]
})
const other = ProcessSpec.make({ name: "other", ...program })

const wordsOf = (event: SupervisorEvent): ReadonlyArray<string> => {
  if (event._tag === "Spawned") return [`  ${event.name} starts`]
  return event._tag === "Exited" ? [`  ${event.name} has ended: ${describe(event.exit)}`] : []
}

const watch = Effect.gen(function* () {
  const supervisor = yield* Supervisor.Supervisor
  let crashed = false
  const crash = Effect.suspend(() => {
    if (crashed) return Effect.void
    crashed = true
    return Effect.andThen(Console.log("api crashes"), supervisor.signal("api", "SIGSEGV"))
  })
  yield* supervisor.events.pipe(
    Stream.tap((event) => Effect.forEach(wordsOf(event), (line) => Console.log(line))),
    Stream.filter(({ _tag, name }) => _tag === "Ready" && name === "web"),
    Stream.tap(() => crash),
    Stream.take(2),
    Stream.runDrain
  )
  for (const { name, restarts } of yield* supervisor.list) yield* Console.log(`${name}: ${restarts} restarts`)
  yield* Console.log("the end, in reverse order")
  const { signalled, survivors } = yield* supervisor.stop("stack")
  yield* Console.log(`  ${signalled.length} processes were told to stop, ${survivors.length} are left`)
})

await Effect.runPromise(Effect.provide(watch, Supervisor.layer([stack, other])))
