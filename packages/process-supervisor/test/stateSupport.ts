import * as ChildProcess from "node:child_process"
import * as Readline from "node:readline"
import { fileURLToPath } from "node:url"

import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const fixture = fileURLToPath(new URL("fixtures/stateful.ts", import.meta.url))

const Said = Schema.fromJsonString(Schema.Record(Schema.String, ProcessIdentity.ProcessIdentity))

/** A child of `stateful.ts`. */
export interface Child {
  readonly label: string
  readonly name: string
  readonly life: number
  readonly mode: "die" | "survive"
  readonly spec?: string
  readonly cookie: boolean
  readonly script: string
}

/** Another process that has the state of a supervisor, and these children, until the scope closes. */
export const stateful = Effect.fnUntraced(function* (
  folder: string,
  id: string,
  children: ReadonlyArray<Child> = [],
  busy: "busy" | "quiet" = "quiet"
) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, [fixture, folder, id, JSON.stringify(children), busy], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (running) =>
      Effect.callback<void>((resume) => {
        const runs = running.pid !== undefined && running.exitCode === null && running.signalCode === null
        if (!runs || !running.kill("SIGKILL")) resume(Effect.void)
        else running.once("exit", () => resume(Effect.void))
      })
  )
  const line = yield* Effect.callback<string>((resume) => {
    Readline.createInterface({ input: child.stdout }).once("line", (text) => resume(Effect.succeed(text)))
    child.once("exit", () => resume(Effect.die(new Error("it ended without a word"))))
  })
  const { supervisor, ...started } = yield* Schema.decodeEffect(Said)(line)
  if (supervisor === undefined) return yield* Effect.die(new Error(line))
  yield* Effect.addFinalizer(() =>
    Effect.forEach(Object.values(started), (one) => Effect.orDie(ProcessIdentity.signal(one, "SIGKILL")))
  )
  const crash = Effect.callback<void>((resume) => {
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })
  return { supervisor, started, crash }
})
