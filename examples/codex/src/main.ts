import { Supervisor } from "@nexobot/process-supervisor/Supervisor"
/** Prints what became of each field of the ecosystem file, and runs the apps until INT or TERM; `--report` runs nothing. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import * as Stack from "./stack.ts"

const stopSignal = Effect.callback<void>((resume) => {
  const stop = () => resume(Effect.void)
  process.once("SIGINT", stop).once("SIGTERM", stop)
})

const narrate = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  yield* Stream.runForEach(supervisor.events, (event) => Console.log(event.name, event._tag))
})

const program = Effect.gen(function* () {
  yield* Console.log(Stack.table(yield* Stack.read))
  if (process.argv.includes("--report")) return
  yield* Effect.raceFirst(stopSignal, narrate).pipe(Effect.provide(Stack.layer))
})

await Effect.runPromise(program)
