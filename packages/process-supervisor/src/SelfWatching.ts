/**
 * Finds out whether a program's own command watches files.
 *
 * Such a program (`tsx watch`, nodemon, `node --watch`) ends and starts its app at every change of a file, behind the
 * supervisor's back: it looks alive while the app in it is dead, and every save is a crash. The supervisor's own watch
 * mode, off unless told, does the same where everybody sees it.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

import { type Command, commands, line } from "./internal/watch/shellWords.ts"
import { type Watcher, watcherOf } from "./internal/watch/watchers.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface SelfWatching {
  /** What watches, for example `tsx watch`. */
  readonly watcher: string
  /** Where that is written: `command`, `package.json script dev`, `start-dev.sh line 4`. */
  readonly where: string
  /** What to run there instead, for example `tsx src/index.ts`. */
  readonly replacement: string
}

/** Scripts call scripts; so many levels are followed. */
const deepest = 6

/** Nobody writes a longer start script; a longer file is something else. */
const largest = 256 * 1024

/** The text of a small ordinary file. Anything else (a pipe would make us wait) is no script. */
const read = (file: string): string | undefined => {
  try {
    const stat = Fs.statSync(file)
    return stat.isFile() && stat.size <= largest ? Fs.readFileSync(file, "utf8") : undefined
  } catch {
    return undefined
  }
}

const Package = Schema.Struct({ scripts: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)) })
const decodePackage = Schema.decodeUnknownOption(Schema.fromJsonString(Package))

const scriptsIn = (folder: string): Readonly<Record<string, unknown>> =>
  Option.getOrUndefined(decodePackage(read(Path.join(folder, "package.json")) ?? ""))?.scripts ?? {}

/** Where a command stands, and how it got there. */
interface Place {
  readonly cwd: string
  readonly where: string
  readonly depth: number
}

const shells = new Set(["sh", "bash", "dash", "zsh", "ash"])
const managers = new Set(["npm", "pnpm", "yarn", "bun"])

/** Programs that run what comes after them, and after options that have these values. */
const wrappers: Readonly<Record<string, ReadonlyArray<string>>> = {
  env: ["-u", "-C"],
  "cross-env": [],
  "cross-env-shell": [],
  dotenv: ["-e", "-f", "-v", "-p"],
  exec: ["-a"],
  command: [],
  nohup: [],
  nice: ["-n"],
  time: ["-o", "-f"],
  npx: ["-p", "--package"],
  pnpx: [],
  bunx: []
}

/** Words of a shell after which a command follows. */
const keywords = new Set(["if", "then", "else", "elif", "while", "until", "do", "{", "!"])

/** Of package managers, that run a program of the package or of the registry. */
const executing = new Set(["exec", "dlx", "x"])

const isAssignment = (word: string): boolean => /^\w+=/.test(word)

/** What is left after options, whose values are skipped too, assignments, and `--`. */
const unwrapped = (words: ReadonlyArray<string>, valued: ReadonlyArray<string>): ReadonlyArray<string> => {
  let index = 0
  while (index < words.length) {
    const word = words[index] ?? ""
    if (word === "--") return words.slice(index + 1)
    if (word.startsWith("-")) index += valued.includes(word) ? 2 : 1
    else if (isAssignment(word)) index += 1
    else break
  }
  return words.slice(index)
}

/** The name of a program, also when it is called by its path; a package's when Node is given a file of that. */
const programOf = (path: string): string =>
  /\bnode_modules\/(?!\.bin\/)((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? Path.basename(path).replace(/\.(cmd|exe)$/, "")

const found = ({ replacement, watcher }: Watcher, { where }: Place): SelfWatching => ({ watcher, where, replacement })

const inScript = (text: string, place: Place, name?: string): SelfWatching | undefined => {
  let { cwd } = place
  for (const command of commands(text)) {
    const [program, folder] = command.words
    if (program === "cd" && folder !== undefined) cwd = Path.resolve(cwd, folder)
    const where = name === undefined ? place.where : `${name} line ${command.line}`
    const one = inCommand(command, { ...place, cwd, where })
    if (one !== undefined) return one
  }
  return undefined
}

/** A script of package.json, by a package manager. */
const byManager = (manager: string, args: ReadonlyArray<string>, place: Place): SelfWatching | undefined => {
  let { cwd } = place
  const rest: Array<string> = []
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? ""
    if (["--prefix", "-C", "--dir", "--cwd"].includes(arg)) {
      index += 1
      cwd = Path.resolve(cwd, args[index] ?? ".")
    } else if (rest.length > 0 || !arg.startsWith("-")) rest.push(arg)
  }
  const [verb = "", ...others] = rest
  if (executing.has(verb)) return inCommand({ words: unwrapped(others, []), line: 1 }, { ...place, cwd })
  const [name, extra] = ["run", "run-script"].includes(verb) ? [others[0], others.slice(1)] : [verb, others]
  const scripts = scriptsIn(cwd)
  const script = name === undefined ? undefined : Object.hasOwn(scripts, name) ? scripts[name] : undefined
  if (typeof script === "string") {
    const more = extra[0] === "--" ? extra.slice(1) : extra
    return inScript([script, line(more)].join(" "), { ...place, cwd, where: `package.json script ${name}` })
  }
  // What is no script of the package, yarn and bun take for a program.
  const watcher = watcherOf(manager, args)
  if (watcher !== undefined) return found(watcher, place)
  return manager === "npm" || verb === "" ? undefined : inCommand({ words: rest, line: 1 }, { ...place, cwd })
}

/** A shell: its `-c` line, or the file that it is given. */
const byShell = (args: ReadonlyArray<string>, place: Place): SelfWatching | undefined => {
  const flag = args.findIndex((arg) => /^-[a-z]*c[a-z]*$/.test(arg))
  const first = args.findIndex((arg) => !arg.startsWith("-"))
  if (flag !== -1 && (first === -1 || flag < first)) return inScript(args[flag + 1] ?? "", place)
  return first === -1 ? undefined : inFile(args[first] ?? "", place)
}

/** A file that a shell would read: by its first line, or by its name. */
const inFile = (file: string, place: Place): SelfWatching | undefined => {
  const path = Path.resolve(place.cwd, file)
  const text = read(path)
  if (text === undefined) return undefined
  const shebang = /^#!\s*(.*)/.exec(text)?.[1]
  const isShell = shebang === undefined ? /\.(ba|z)?sh$/.test(file) : /\b(ba|da|z|a)?sh\b/.test(shebang)
  return isShell ? inScript(text, place, Path.basename(path)) : undefined
}

const inCommand = (command: Command, above: Place): SelfWatching | undefined => {
  if (above.depth >= deepest) return undefined
  const place: Place = { ...above, depth: above.depth + 1 }
  const first = command.words.findIndex((word) => !keywords.has(word))
  const [path, ...args] = first === -1 ? [] : unwrapped(command.words.slice(first), [])
  if (path === undefined) return undefined
  const program = programOf(path)
  if (Object.hasOwn(wrappers, program)) {
    return inCommand({ ...command, words: unwrapped(args, wrappers[program] ?? []) }, place)
  }
  if (shells.has(program)) return byShell(args, place)
  if (program === "concurrently") {
    return args
      .filter((arg) => arg.includes(" "))
      .reduce<SelfWatching | undefined>((one, arg) => one ?? inScript(arg, place), undefined)
  }
  if (managers.has(program)) return byManager(program, args, place)
  const watcher = watcherOf(program, args)
  if (watcher !== undefined) return found(watcher, place)
  // `node node_modules/nodemon/bin/nodemon.js`, `node node_modules/.bin/tsx watch`
  if (program === "node") {
    const [script = "", ...others] = unwrapped(args, [])
    return script.includes("node_modules/") ? inCommand({ ...command, words: [script, ...others] }, place) : undefined
  }
  return path.includes("/") ? inFile(path, place) : undefined
}

/**
 * What in a command, the scripts of package.json that it runs, and the shell scripts that it reads, watches files;
 * `undefined` when nothing is known to. Small files are read, nothing is run.
 *
 * `next dev`, `vite` and their like are not meant: they replace modules in a process that goes on.
 *
 * @category operations
 * @since 0.1.0
 */
export const detect = (options: {
  readonly command: string
  readonly args?: ReadonlyArray<string>
  /** Where relative paths begin; this process's own working directory unless told. */
  readonly cwd?: string
}): SelfWatching | undefined =>
  inCommand(
    { words: [options.command, ...(options.args ?? [])], line: 1 },
    { cwd: Path.resolve(options.cwd ?? "."), where: "command", depth: 0 }
  )

/**
 * What is told of it: two supervisors over one process undo each other's work.
 *
 * @category formatting
 * @since 0.1.0
 */
export const advice = ({ replacement, watcher, where }: SelfWatching): string =>
  `${watcher} (${where}) restarts it by itself; run "${replacement}" instead`
