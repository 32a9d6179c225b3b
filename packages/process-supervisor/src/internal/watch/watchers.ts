/**
 * Programs that start another one anew when a file changes, and what they would start without that.
 */
import { line, words } from "./shellWords.ts"

export interface Watcher {
  /** As the user knows it, for example `tsx watch`. */
  readonly watcher: string
  readonly replacement: string
}

type Rule = (args: ReadonlyArray<string>, program: string) => Watcher | undefined

interface Flags {
  /** Without a value. */
  readonly alone?: ReadonlyArray<string>
  /** With one, in the next argument or after `=`. */
  readonly valued?: ReadonlyArray<string>
}

const nameOf = (flag: string): string => flag.replace(/=.*$/s, "")

interface Parted {
  readonly taken: ReadonlyMap<string, string>
  readonly flags: ReadonlyArray<string>
  readonly rest: ReadonlyArray<string>
}

/** Takes these flags out of what stands before the first argument that is none. `others` have values too. */
const part = (args: ReadonlyArray<string>, { alone = [], valued = [] }: Flags, others: ReadonlyArray<string> = []) => {
  const taken = new Map<string, string>()
  const flags: Array<string> = []
  let index = 0
  for (; index < args.length; index += 1) {
    const arg = args[index] ?? ""
    if (!arg.startsWith("-") || arg === "-") break
    if (arg === "--") {
      index += 1
      break
    }
    const name = nameOf(arg)
    const takesNext = !arg.includes("=") && (valued.includes(name) || others.includes(name))
    const value = takesNext ? (args[index + 1] ?? "") : arg.slice(name.length + 1)
    if (alone.includes(name) || valued.includes(name)) taken.set(name, value)
    else flags.push(arg, ...(takesNext ? [value] : []))
    if (takesNext) index += 1
  }
  return { taken, flags, rest: args.slice(index) } satisfies Parted
}

/** A program that watches when it has one of these flags, and keeps running without. */
const byFlag =
  (label: string, watching: ReadonlyArray<string>, more: Flags = {}): Rule =>
  (args, program) => {
    if (!args.some((arg) => watching.includes(nameOf(arg)))) return undefined
    const dropped = new Set([...watching, ...(more.alone ?? [])])
    const kept: Array<string> = []
    for (let index = 0; index < args.length; index += 1) {
      const arg = args[index] ?? ""
      if (more.valued?.includes(nameOf(arg)) === true) index += arg.includes("=") ? 0 : 1
      else if (!dropped.has(nameOf(arg))) kept.push(arg)
    }
    return { watcher: label, replacement: line([program, ...kept]) }
  }

const nodeValues = [
  "-r",
  "--require",
  "--import",
  "--loader",
  "--experimental-loader",
  "--env-file",
  "-C",
  "--conditions"
]
const nodeWatching = {
  alone: ["--watch", "--watch-preserve-output"],
  valued: ["--watch-path", "--watch-kill-signal"]
}

const node: Rule = (args, program) => {
  const { flags, rest, taken } = part(args, nodeWatching, nodeValues)
  if (!taken.has("--watch") && !taken.has("--watch-path")) return undefined
  return { watcher: `${program} --watch`, replacement: line([program, ...flags, ...rest]) }
}

const tsx: Rule = (args, program) => {
  const { flags, rest } = part(args, {}, [...nodeValues, "--tsconfig"])
  if (rest[0] !== "watch") return node(args, program)
  const script = part(rest.slice(1), {
    alone: ["--clear-screen", "--no-clear-screen"],
    valued: ["--ignore", "--include", "--exclude"]
  })
  return { watcher: "tsx watch", replacement: line([program, ...flags, ...script.flags, ...script.rest]) }
}

const nodemon: Rule = (args) => {
  const { flags, rest, taken } = part(args, {
    alone: ["-q", "--quiet", "-V", "--verbose", "-L", "--legacy-watch", "-I", "--no-stdin", "-C", "--on-change-only"],
    valued: ["-w", "--watch", "-e", "--ext", "-i", "--ignore", "-d", "--delay", "-s", "--signal", "--config"].concat([
      "-x",
      "--exec"
    ])
  })
  const exec = taken.get("--exec") ?? taken.get("-x")
  if (exec !== undefined) return { watcher: "nodemon", replacement: [exec, line(rest)].join(" ").trim() }
  const program = /\.[cm]?tsx?$/.test(rest[0] ?? "") ? "ts-node" : "node"
  return { watcher: "nodemon", replacement: line([program, ...flags, ...(rest.length === 0 ? ["."] : rest)]) }
}

const tsNodeDev: Rule = (args) => {
  const { flags, rest } = part(
    args,
    {
      alone: ["--respawn", "--rs", "--poll", "--clear", "--cls", "--quiet", "--exit-child", "--tree-kill"],
      valued: ["--watch", "--ignore-watch", "--interval", "--debounce", "--notify"]
    },
    ["-P", "--project", ...nodeValues]
  )
  return { watcher: "ts-node-dev", replacement: line(["ts-node", ...flags, ...rest]) }
}

const cargo: Rule = (args) => {
  const [subcommand, ...others] = args.filter((arg) => !arg.startsWith("+"))
  if (subcommand !== "watch") return undefined
  const { rest, taken } = part(others, {
    alone: ["-c", "--clear", "-q", "--quiet", "--why", "--no-gitignore", "--postpone", "--poll"],
    valued: ["-x", "--exec", "-s", "--shell", "-w", "--watch", "-i", "--ignore", "-d", "--delay", "-C", "--workdir"]
  })
  const shell = taken.get("-s") ?? taken.get("--shell") ?? (rest.length > 0 ? line(rest) : undefined)
  const exec = taken.get("-x") ?? taken.get("--exec") ?? "check"
  return { watcher: "cargo watch", replacement: shell ?? line(["cargo", ...words(exec)]) }
}

/** Runs what comes after its own options. */
const runner =
  (label: string, flags: Flags): Rule =>
  (args) => {
    const { rest } = part(args, {}, flags.valued)
    return rest.length === 0 ? undefined : { watcher: label, replacement: line(rest) }
  }

const reloading = (label: string): Rule =>
  byFlag(`${label} --reload`, ["--reload"], {
    valued: ["--reload-dir", "--reload-include", "--reload-exclude", "--reload-delay", "--reload-engine"]
  })

const python: Rule = (args, program) => {
  const [first = "", second = "", ...others] = args
  if (first === "-m") {
    const found = watcherOf(second, others)
    return found === undefined ? undefined : { ...found, replacement: `${program} -m ${found.replacement}` }
  }
  const isServer = first.endsWith("manage.py") && second === "runserver" && !others.includes("--noreload")
  if (!isServer) return undefined
  return { watcher: "manage.py runserver", replacement: line([program, ...args, "--noreload"]) }
}

/** A program whose first argument says that it watches. */
const bySubcommand =
  (subcommand: string, instead: ReadonlyArray<string>): Rule =>
  ([first, ...others], program) =>
    first === subcommand
      ? { watcher: `${program} ${subcommand}`, replacement: line([program, ...instead, ...others]) }
      : undefined

const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["node", node],
  ["tsx", tsx],
  ["nodemon", nodemon],
  ["ts-node-dev", tsNodeDev],
  ["tsnd", tsNodeDev],
  ["node-dev", (args) => ({ watcher: "node-dev", replacement: line(["node", ...args]) })],
  ["vite-node", byFlag("vite-node --watch", ["--watch", "-w"])],
  ["bun", byFlag("bun --watch", ["--watch", "--hot"], { alone: ["--no-clear-screen"] })],
  ["deno", byFlag("deno --watch", ["--watch", "--watch-hmr"], { alone: ["--no-clear-screen"] })],
  ["nest", byFlag("nest start --watch", ["--watch", "-w"])],
  ["cargo", cargo],
  [
    "dotnet",
    ([first, ...args]) => bySubcommand("watch", args[0] === "run" ? [] : ["run"])([first ?? "", ...args], "dotnet")
  ],
  ["air", () => ({ watcher: "air", replacement: "go run ." })],
  ["watchexec", runner("watchexec", { valued: ["-w", "--watch", "-e", "--exts", "-i", "--ignore", "-f", "-s", "-d"] })],
  ["entr", runner("entr", {})],
  ["uvicorn", reloading("uvicorn")],
  ["hypercorn", reloading("hypercorn")],
  ["gunicorn", reloading("gunicorn")],
  ["fastapi", bySubcommand("dev", ["run"])],
  ["flask", byFlag("flask --debug", ["--debug", "--reload"])],
  ["python", python],
  ["python3", python]
])

/** `program` is a name, without a folder. */
export const watcherOf = (program: string, args: ReadonlyArray<string>): Watcher | undefined =>
  rules.get(program)?.(args, program)
