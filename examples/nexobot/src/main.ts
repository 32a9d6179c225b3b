/** `npm start`: the NexoBot stack, until INT, TERM or HUP. `npm start -- --help` lists the options. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"

import * as Faults from "./faults.ts"
import * as Run from "./run.ts"
import * as Settings from "./settings.ts"
import { narrate, welcome } from "./welcome.ts"

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const serve = Effect.fnUntraced(function* (prepared: Run.Prepared) {
  yield* print(yield* welcome(prepared))
  return yield* narrate(print)
})

const command = Command.make(
  "start",
  {
    config: Flag.String("config").pipe(
      Flag.withDescription("The stack definition, a JSON file"),
      Flag.withDefault(Settings.defaultFile)
    ),
    faults: Flag.Boolean("faults").pipe(
      Flag.withDescription("Break the stack in every way it knows, print how it healed, and end"),
      Flag.withDefault(false)
    ),
    noRecovery: Flag.Boolean("no-recovery").pipe(
      Flag.withDescription("With --faults: nothing heals, so every row must fail"),
      Flag.withDefault(false)
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("With --faults: one JSON object a line"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ config, faults, json, noRecovery }) {
    if ((noRecovery || json) && !faults) {
      return yield* Effect.fail(new Error(`--${json ? "json" : "no-recovery"} goes with --faults`))
    }
    const settings = yield* Settings.load(config)
    const prepared = yield* Run.prepare(settings, { recovery: !noRecovery, trial: faults })
    if (!faults) return yield* serve(prepared).pipe(Effect.provide(Run.whole(prepared)))
    const rows = yield* noRecovery
      ? Faults.runWithoutRecovery(prepared, { json, print }).pipe(Effect.provide(Run.processes(prepared)))
      : Faults.runWithRecovery(prepared, { json, print }).pipe(Effect.provide(Run.whole(prepared)))
    if (!rows.every((row) => row.verified)) process.exitCode = 1
  })
)

/** INT, TERM, HUP and QUIT (Ctrl-\\) end the program in order; a second one while it is ending changes nothing. */
const stopSignal = Effect.callback<void>((resume) => {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const
  const stop = () => resume(Effect.void)
  for (const signal of signals) process.on(signal, stop)
})

const program = Command.run(command, { version: "0.1.0" }).pipe(
  Effect.scoped,
  Effect.raceFirst(stopSignal),
  Effect.provideService(Logger.LogToStderr, true),
  Effect.provide(NodeServices.layer)
)

const exit = await Effect.runPromiseExit(program)
if (Exit.isFailure(exit)) {
  process.exitCode = 1
  const error = Cause.squash(exit.cause)
  // What was wrong with the command line has been said already, with the usage.
  if (!CliError.isCliError(error)) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
}
// Handles that nobody waits for (a keep-alive socket) must not keep the program.
process.exit()
