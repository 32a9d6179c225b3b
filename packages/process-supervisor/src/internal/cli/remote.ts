/** The commands for a supervisor that runs: through its socket. */
import * as Path from "node:path"

import * as ProcessControl from "@nexobot/core/ProcessControl"
import type { Receipt } from "@nexobot/core/ProcessIdentity"
import * as StateDirectory from "@nexobot/core/StateDirectory"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import * as ControlSocket from "../../ControlSocket.ts"
import type { LogLine } from "../../ProcessLog.ts"
import type { SupervisorEvent } from "../../SupervisorEvent.ts"
import * as Wire from "../control/wire.ts"
import * as Phrases from "../terminal/phrases.ts"
import * as Table from "../terminal/table.ts"
import { cut, fit, plain } from "../terminal/text.ts"
import { CommandFailed } from "./failure.ts"
import type { Output } from "./output.ts"
import type { Words } from "./words.ts"

export const folderOf = ({ state }: Pick<Words, "state">) =>
  state === undefined ? StateDirectory.open : Effect.succeed(Path.resolve(state))

/** The supervisor that is meant: the one with this id, or the only one that runs. */
export const find = Effect.fnUntraced(function* (words: Words) {
  const folder = yield* folderOf(words)
  if (words.id !== undefined) return yield* ControlSocket.connect(ControlSocket.pathOf(folder, words.id))
  const { mute, running } = yield* ControlSocket.find(folder)
  const [only, ...others] = running
  if (only !== undefined && others.length === 0) return only
  if (only !== undefined) {
    const message = `several supervisors run: ${running.map(({ id }) => plain(id)).join(", ")}. Say which one: --id ID`
    return yield* new CommandFailed({ message })
  }
  const [first] = mute
  if (first !== undefined) return yield* first
  const message = `no supervisor runs that has its socket in ${folder}. Start one: nexo-supervisor run <file>; or say where it is: --state DIR`
  return yield* new CommandFailed({ message })
})

const unknown = (process: string, known: ReadonlyArray<string>) =>
  new ProcessControl.ProcessControlError({ process, reason: new ProcessControl.UnknownProcess({ known }) })

const columns: ReadonlyArray<Table.Column> = [
  { title: "NAME", most: 20 },
  { title: "STATE" },
  { title: "PID", align: "right" },
  { title: "UPTIME", align: "right" },
  { title: "RESTARTS", align: "right" },
  { title: "CPU", align: "right" },
  { title: "MEMORY", align: "right" },
  { title: "LAST EXIT" }
]

const row = (of: ProcessControl.ProcessStatus, output: Output): ReadonlyArray<Table.Cell> => [
  plain(of.name),
  { text: of.state.toLowerCase(), paint: output.paint(Phrases.colour[of.state]) },
  of.identity === undefined ? "-" : String(of.identity.pid),
  of.uptime === undefined ? "-" : Phrases.duration(of.uptime),
  String(of.restarts),
  of.cpu === undefined ? "-" : `${Math.round(of.cpu)} %`,
  of.memory === undefined ? "-" : Phrases.bytes(of.memory),
  of.lastExit === undefined ? "-" : Phrases.exit(of.lastExit)
]

const encodeStatuses = Schema.encodeSync(Wire.Statuses)

/** Instances have the name of all of them, and a number. */
const means = (operand: string) => (name: string) => name === operand || name.replace(/:\d+$/, "") === operand

const status = Effect.fnUntraced(function* (control: ControlSocket.Control, words: Words, output: Output) {
  const all = yield* control.list
  const known = all.map(({ name }) => name)
  const missing = words.operands.find((operand) => !known.some(means(operand)))
  if (missing !== undefined) return yield* unknown(missing, known)
  const shown = all.filter(
    ({ name }) => words.operands.length === 0 || words.operands.some((operand) => means(operand)(name))
  )
  if (words.json) {
    const { id, pid } = control
    output.json({ id, pid, processes: encodeStatuses(shown) })
    return 0
  }
  const rows = shown.map((one) => row(one, output))
  for (const line of Table.lines(columns, rows, output.columns, output.paint("bold"))) output.line(line)
  return 0
})

type Failed = ProcessControl.ProcessControlError | ControlSocket.ControlSocketError
type Action = "start" | "stop" | "restart" | "reload"

const done: Record<Action, string> = {
  start: "started",
  stop: "stopped",
  restart: "restarted",
  reload: "replaced by a new one"
}

/** Says what came of stopping all; gives the exit code. */
export const stopped = (
  { failures, receipt }: ControlSocket.StoppedAll,
  { json }: Pick<Words, "json">,
  output: Output
): number => {
  const survivors = failures.map(({ message }) => plain(message))
  const [signalled, escalated] = [receipt.signalled.length, receipt.escalated.length]
  if (json) output.json({ stopped: { signalled, escalated, survivors } })
  else {
    for (const text of survivors) output.error(text)
    const rest = survivors.length === 0 ? "nothing is left" : "not all of them are gone"
    output.line(`stopped: ${signalled} processes told to end, ${escalated} of them killed; ${rest}`)
  }
  return survivors.length === 0 ? 0 : 1
}

/**
 * One that fails leaves the others to be done. Those that serve are taken down one after the other; starts, which wait for
 * the least uptime of each, are not made to wait for each other.
 */
const act = Effect.fnUntraced(function* (control: ControlSocket.Control, action: Action, words: Words, output: Output) {
  if (words.all && action === "stop") return stopped(yield* control.stopAll, words, output)
  const targets = words.all ? (yield* control.list).map(({ name }) => name) : words.operands
  let failures = 0
  const one = (name: string) => {
    const told: Effect.Effect<Receipt | void, Failed> = control[action](name)
    return told.pipe(
      Effect.map((answer) => {
        if (words.json) output.json({ process: name, action, receipt: answer ?? undefined })
        else output.line(`${plain(name)}: ${done[action]}`)
      }),
      Effect.catchTag("ProcessControlError", (error) =>
        Effect.sync(() => {
          failures += 1
          if (words.json) output.json({ process: name, action, error: error.message })
          output.error(`nexo-supervisor: ${plain(error.message)}`)
        })
      )
    )
  }
  yield* Effect.forEach(targets, one, { concurrency: action === "start" ? 16 : 1, discard: true })
  return failures === 0 ? 0 : 1
})

/** One event in one line. */
export const eventLine = (event: SupervisorEvent, output: Output): string => {
  const gray = output.paint("gray")
  const said = Phrases.event(event)
  const bad = ["GaveUp", "Skipped", "Unfit", "ReloadFailed", "Escalated"].includes(event._tag)
  return `${gray(Phrases.clock(event.at))} ${fit(plain(event.name), 14)} ${bad ? output.paint("red")(said) : said}`
}

export const logLines = (line: LogLine, output: Output): ReadonlyArray<string> => {
  const paint = output.paint(line.stream === "stderr" ? "yellow" : "gray")
  const name = paint(`${cut(plain(line.process), 20)} |`)
  return line.text.split("\n").map((text) => `${name} ${plain(text)}`)
}

const encodeEvent = Schema.encodeSync(Wire.Event)

/** Prints what comes, and says what was lost since the last. */
const follow = <A, E>(
  control: ControlSocket.Control,
  items: Stream.Stream<A, E>,
  print: (item: A) => void,
  output: Output
) => {
  let lost = 0
  return Stream.runForEach(items, (item) =>
    Effect.sync(() => {
      const now = control.lost()
      if (now > lost) output.error(`nexo-supervisor: ${now - lost} lines were lost: this reader was too slow`)
      lost = now
      print(item)
    })
  ).pipe(Effect.as(0))
}

/** Does one of these commands; gives the exit code. */
export const remote = Effect.fnUntraced(function* (words: Words, output: Output) {
  const control = yield* find(words)
  switch (words.command) {
    case "status":
      return yield* status(control, words, output)
    case "start":
    case "stop":
    case "restart":
    case "reload":
      return yield* act(control, words.command, words, output)
    case "logs": {
      const print = (line: LogLine) => {
        if (words.json) output.json(line)
        else for (const text of logLines(line, output)) output.line(text)
      }
      return yield* follow(control, control.logs(words.operands[0]), print, output)
    }
    case "events": {
      const print = (event: SupervisorEvent) => {
        if (words.json) output.json(encodeEvent(event))
        else output.line(eventLine(event, output))
      }
      return yield* follow(control, control.events, print, output)
    }
    default:
      return yield* Effect.die(new Error(`${words.command} is no command of a socket`))
  }
})
