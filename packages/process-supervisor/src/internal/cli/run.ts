/** The command that supervises, until a signal tells it to stop. */
import * as ChildProcess from "node:child_process"

import * as Redaction from "@nexobot/core/Redaction"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import * as ControlSocket from "../../ControlSocket.ts"
import type { LogLine } from "../../ProcessLog.ts"
import * as Supervisor from "../../Supervisor.ts"
import * as Wire from "../control/wire.ts"
import * as Phrases from "../terminal/phrases.ts"
import { json, plain } from "../terminal/text.ts"
import { type Examined, examine } from "./examine.ts"
import { CommandFailed } from "./failure.ts"
import * as Load from "./load.ts"
import * as Outlet from "./outlet.ts"
import type { Output } from "./output.ts"
import { eventLine, folderOf, logLines, stopped } from "./remote.ts"
import * as Report from "./report.ts"
import * as Signals from "./signals.ts"
import type { Words } from "./words.ts"

const members = Effect.fnUntraced(function* (loaded: Load.Loaded, only: ReadonlyArray<string> | undefined) {
  if (only === undefined) return loaded.members
  const known = loaded.members.flatMap(Load.namesOf)
  const missing = only.find((name) => !known.includes(name))
  if (missing === undefined) return Load.onlyThese(loaded.members, only)
  return yield* new CommandFailed({ message: `--only: no process named "${missing}"; known are ${known.join(", ")}` })
})

/** Says what is wrong with processes before any starts. */
const warn = ({ problems }: Examined, output: Output): void => {
  for (const { message } of problems) output.error(`nexo-supervisor: ${plain(message)}`)
}

/** The view is a process of its own: a terminal that is paused, or a view that fails, is nothing to the supervisor. */
const view = (self: string, folder: string, id: string) =>
  Effect.callback<number>((resume) => {
    const child = ChildProcess.spawn(
      process.execPath,
      [...process.execArgv, self, "monit", "--state", folder, "--id", id],
      {
        stdio: "inherit"
      }
    )
    child.on("error", () => resume(Effect.succeed(1)))
    child.on("exit", (code) => resume(Effect.succeed(code ?? 1)))
    return Effect.callback<void>((done) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return done(Effect.void)
      child.once("exit", () => done(Effect.void))
      child.kill("SIGTERM")
    })
  })

const encodeEvent = Schema.encodeSync(Wire.Event)

/** What is logged, one line each. */
const logTo = (outlet: Outlet.Outlet) =>
  Logger.layer([
    Redaction.logger(
      Logger.make(({ date, logLevel, message }) => {
        const texts = (Array.isArray(message) ? message : [message]).map((one) =>
          one instanceof Error ? one.message : String(one)
        )
        outlet.write(`${Phrases.clock(date.getTime())} ${logLevel.toLowerCase()}: ${plain(texts.join(" "))}\n`)
      })
    )
  ])

/** Runs what the file names; gives the exit code. `self` is the file of the command. */
export const run = Effect.fnUntraced(function* (words: Words, output: Output, self: string) {
  const signal = yield* Signals.told
  const loaded = yield* Signals.unless(Load.load(words), signal)
  const folder = yield* folderOf(words)
  const stdout = yield* Outlet.open(1, process.stdout)
  const stderr = yield* Outlet.open(2, process.stderr)
  const quiet: Output = {
    ...output,
    line: (text) => stdout.write(`${text}\n`),
    json: (value) => stdout.write(`${json(value)}\n`),
    error: (text) => stderr.write(`${text}\n`)
  }
  const work = Effect.gen(function* () {
    if (loaded.ecosystem !== undefined && !words.json) Report.print(loaded.ecosystem, quiet, true)
    const wanted = yield* members(loaded, words.only)
    const examined = yield* examine(loaded, wanted, { id: words.id ?? loaded.id, stateFolder: folder })
    warn(examined, quiet)
    const { lost, names, problems } = examined
    if (lost.size === names.length) return yield* new CommandFailed({ message: "none of them can be started" })
    const supervisor = Context.get(yield* Layer.build(examined.layer), Supervisor.Supervisor)
    const { path } = yield* ControlSocket.serve(supervisor, folder)
    let isShown = !words.monit
    yield* Effect.forkScoped(
      Stream.runForEach(supervisor.events, (event) =>
        Effect.sync(() => {
          if (words.json) quiet.json(encodeEvent(event))
          else if (isShown) quiet.line(eventLine(event, quiet))
        })
      )
    )
    if (words.logs) {
      const show = (line: LogLine) => Effect.sync(() => logLines(line, quiet).forEach((text) => quiet.line(text)))
      yield* Effect.forkScoped(Effect.ignore(Stream.runForEach(supervisor.logs(), show)))
    }
    if (isShown && !words.json) quiet.line(`supervisor "${supervisor.id}", process ${process.pid}, socket ${path}`)
    const bad = new Set(problems.map(({ process }) => process))
    yield* Effect.forkScoped(
      Effect.forEach(
        names.filter((name) => !bad.has(name)),
        (name) => Effect.ignore(supervisor.start(name)),
        { concurrency: "unbounded" }
      )
    )
    if (bad.size > 0) {
      const waiting = [...lost].filter((name) => !bad.has(name))
      const others = waiting.length === 0 ? "" : `; ${waiting.join(", ")} cannot start before that`
      const text = `not started: ${[...bad].join(", ")}; correct it, and start it with "nexo-supervisor start"${others}`
      quiet.error(`nexo-supervisor: ${plain(text)}`)
    }
    const stop = Deferred.await(signal)
    if (words.monit) {
      const code = yield* Effect.raceFirst(view(self, folder, supervisor.id), Effect.as(stop, 130))
      isShown = true
      // `q` leaves the view, and what runs goes on.
      if (code !== 130) {
        quiet.line(
          code === 0 ? "the view is closed; Ctrl-C stops everything" : "there is no view; Ctrl-C stops everything"
        )
        yield* stop
      }
    } else yield* stop
    if (!words.json) quiet.line("stopping …")
    const end = yield* supervisor.stopAll
    // The last events are still on their way to who prints them.
    yield* Effect.sleep("20 millis")
    return stopped(end, words, quiet)
  })
  return yield* Effect.scoped(work).pipe(Effect.provide(logTo(stderr)))
}, Effect.scoped)
