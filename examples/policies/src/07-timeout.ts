/** A child that hangs: the timeout ends it and proves that it is gone. Of a promise that hangs nobody knows. */
import { spawn } from "node:child_process"

import * as Timeout from "@nexobot/core/Timeout"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const timeout = Timeout.make({ after: "200 millis", name: "convert" })

const convert = Effect.gen(function* () {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" })
  yield* Timeout.ownChild(child)
  return yield* Effect.callback<number | null>((resume) => {
    child.once("close", (code) => resume(Effect.succeed(code)))
  })
})

const hang = Effect.promise(() => new Promise<never>(() => {}))

const program = Effect.forEach([convert, hang], (call) =>
  timeout.policy(call).pipe(Effect.catchTag("TimeoutError", ({ message }) => Console.log(message)))
)

await Effect.runPromise(program)
