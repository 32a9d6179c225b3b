/** What the command is told, and what it says of itself. */
import { parseArgs } from "node:util"

export const help = `Usage: nexo-supervisor <command> [options]

Runs programs and keeps them running.

  run <file>          start what an ecosystem.config file names; until Ctrl-C
  check <file>        say what is taken over from that file, and what is not

Of one that runs:
  status [name...]    what runs, since when, with what
  start <name...>     start what is stopped, ended or failed
  stop <name...>      stop it with all that it started
  restart <name...>   stop, if it runs, and start
  reload <name...>    replace it by a new one that is ready first
  logs [name]         what it writes, as it writes it
  events              what the supervisor sees, decides and does
  monit               all of that, live; needs ink and react

Options:
  --env NAME          run, check: with env_NAME of the file
  --inherit A,B       run, check: variables that the file and its apps find, too
  --only A,B          run: these only
  --state DIR         where supervisors have their files; $NEXO_STATE_DIR
  --id ID             which supervisor; run: the folder's name unless told
  --all               start, stop, restart, reload: all of them
  --logs              run: with what they write, beside what happens
  --monit             run: with the live view
  --json              one JSON value in each line
  -h, --help          this`

export const commands = [
  "run",
  "check",
  "status",
  "start",
  "stop",
  "restart",
  "reload",
  "logs",
  "events",
  "monit"
] as const

export type Command = (typeof commands)[number]

export interface Words {
  readonly command: Command
  readonly operands: ReadonlyArray<string>
  readonly env: string | undefined
  readonly inherit: ReadonlyArray<string> | undefined
  readonly only: ReadonlyArray<string> | undefined
  readonly state: string | undefined
  readonly id: string | undefined
  readonly all: boolean
  readonly logs: boolean
  readonly monit: boolean
  readonly json: boolean
}

const options = {
  env: { type: "string" },
  inherit: { type: "string" },
  only: { type: "string" },
  state: { type: "string" },
  id: { type: "string" },
  all: { type: "boolean" },
  logs: { type: "boolean" },
  monit: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" }
} as const

/** Which options a command knows besides `help`: one that it would not look at is refused. */
const known: Record<Command, ReadonlyArray<string>> = {
  run: ["env", "inherit", "only", "state", "id", "logs", "monit", "json"],
  check: ["env", "inherit", "json"],
  status: ["state", "id", "json"],
  start: ["state", "id", "all", "json"],
  stop: ["state", "id", "all", "json"],
  restart: ["state", "id", "all", "json"],
  reload: ["state", "id", "all", "json"],
  logs: ["state", "id", "json"],
  events: ["state", "id", "json"],
  monit: ["state", "id"]
}

/** How many operands a command takes. */
const operands: Record<Command, readonly [least: number, most: number]> = {
  run: [1, 1],
  check: [1, 1],
  status: [0, Number.POSITIVE_INFINITY],
  start: [1, Number.POSITIVE_INFINITY],
  stop: [1, Number.POSITIVE_INFINITY],
  restart: [1, Number.POSITIVE_INFINITY],
  reload: [1, Number.POSITIVE_INFINITY],
  logs: [0, 1],
  events: [0, 0],
  monit: [0, 0]
}

const listed = (text: string | undefined): ReadonlyArray<string> | undefined =>
  text?.split(",").map((name) => name.trim())

const isCommand = (word: string): word is Command => commands.some((command) => command === word)

type Read = Words | { readonly help: true } | { readonly wrong: string }

const wrongUse = (command: Command, count: number, all: boolean): string | undefined => {
  const [least, most] = operands[command]
  if (all) return count === 0 ? undefined : "--all and names exclude each other"
  if (count >= least && count <= most) return undefined
  if (least === 0) return `${command} takes ${most === 0 ? "no name" : "one name at most"}`
  return most === 1 ? `${command} needs one file` : `${command} needs a name, or --all`
}

/** Never throws: what is wrong with the words is said. */
export const read = (args: ReadonlyArray<string>): Read => {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    return { wrong: cause instanceof Error ? (cause.message.split(". ")[0] ?? "") : String(cause) }
  }
  const { positionals, values } = parsed
  const [command, ...rest] = positionals
  if (values.help === true || command === "help") return { help: true }
  if (command === undefined) return { wrong: "which command?" }
  if (!isCommand(command)) return { wrong: `no command "${command}"; there are ${commands.join(", ")}` }
  const stray = Object.keys(values).find((option) => !known[command].includes(option))
  if (stray !== undefined) return { wrong: `${command} has no option --${stray}` }
  const empty = Object.entries(values).find(([, value]) => value === "")
  if (empty !== undefined) return { wrong: `--${empty[0]} needs a value` }
  const wrong = wrongUse(command, rest.length, values.all === true)
  if (wrong !== undefined) return { wrong }
  if (values.monit === true && values.json === true) return { wrong: "--monit and --json exclude each other" }
  if (values.logs === true && (values.json === true || values.monit === true)) {
    return { wrong: "--logs goes neither with --json nor with --monit" }
  }
  return {
    command,
    operands: rest,
    env: values.env,
    inherit: listed(values.inherit),
    only: listed(values.only),
    state: values.state,
    id: values.id,
    all: values.all === true,
    logs: values.logs === true,
    monit: values.monit === true,
    json: values.json === true
  }
}
