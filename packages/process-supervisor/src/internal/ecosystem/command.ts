/**
 * What is run: script, interpreter, arguments, folder.
 */
import * as Path from "node:path"

import { words } from "../watch/shellWords.ts"
import type { Draft } from "./draft.ts"
import { isFolder, kindOf, which, isFile } from "./programs.ts"

/** As PM2 has it, but for TypeScript, see below. */
const byExtension: Readonly<Record<string, string>> = {
  ".sh": "bash",
  ".py": "python",
  ".rb": "ruby",
  ".php": "php",
  ".pl": "perl",
  ".js": "node",
  ".coffee": "coffee",
  ".ls": "lsc"
}

const typescript = new Set([".ts", ".tsx", ".mts", ".cts"])

interface Run {
  /** A name or a path, and arguments of its own. */
  readonly interpreter: ReadonlyArray<string>
  /** Why it is not what PM2 would take. */
  readonly why?: string
}

const texts = (value: string | ReadonlyArray<string | number>): ReadonlyArray<string> =>
  typeof value === "string" ? words(value) : value.map(String)

/** What runs a script of which the file says nothing. */
const runOf = ({ cwd, path }: Draft, file: string, isOnPath: boolean): Run => {
  const extension = Path.extname(file)
  const has = (program: string) => which(program, path, cwd) !== undefined
  if (typescript.has(extension)) {
    if (has("bun")) return { interpreter: ["bun"] }
    return {
      interpreter: ["node"],
      why: "there is no bun, which PM2 takes for TypeScript; Node.js takes the types out itself"
    }
  }
  const known = isOnPath ? undefined : byExtension[extension]
  if (known === "python" && !has("python")) return { interpreter: ["python3"] }
  if (known !== undefined) return { interpreter: [known] }
  const kind = kindOf(file)
  if (kind._tag === "Binary") return { interpreter: [] }
  if (kind._tag === "Text") return { interpreter: ["node"] }
  const isNode = Path.basename(kind.interpreter[0] ?? "") === "node"
  const why = isNode ? {} : { why: `its first line names ${kind.interpreter.join(" ")}; PM2 would give it to Node.js` }
  return { interpreter: kind.isExecutable ? [] : kind.interpreter, ...why }
}

/** Says what became of the script, and gives what runs it. */
const interpreterOf = (draft: Draft, file: string, isOnPath: boolean): ReadonlyArray<string> => {
  const { cwd, path, tell, values } = draft
  const given = values.exec_interpreter
  if (given === undefined || given.startsWith("node@")) {
    const { interpreter, why } = runOf(draft, file, isOnPath)
    tell("script", why === undefined ? "mapped" : "changed", "command, args", why)
    tell("exec_interpreter", "refused", undefined, "versions of nvm are not looked up: give the path of that node")
    return interpreter
  }
  tell("script", "mapped", "command, args")
  const isThere = given === "none" || given === "node" || which(given, path, cwd) !== undefined
  tell("exec_interpreter", "mapped", "command", isThere ? undefined : "there is no such program")
  if (given === "none") return []
  return given.includes("/") ? [Path.resolve(cwd, given)] : [given]
}

const isNode = (program: string | undefined): boolean => /^node(js)?$/.test(Path.basename(program ?? ""))

/** PM2 gives a line with spaces to a shell, and forgets `args`. */
const shellLine = ({ cwd, options, path, tell }: Draft, script: string): void => {
  const shell = which("bash", path, cwd) === undefined ? "sh" : "bash"
  options.command = shell
  options.args = ["-c", script]
  tell("script", "mapped", "command, args", `a line for ${shell}, as in PM2`)
  const why = "the script is a line for a shell, and PM2 leaves them out then, too: write them into it"
  for (const field of ["args", "node_args", "exec_interpreter"] as const) tell(field, "refused", undefined, why)
}

/**
 * What is not there keeps this app from starting, and no other: a supervisor finds it before it starts anything, as it
 * does for apps that are from nowhere else than here.
 */
const missing = ({ cwd, options, tell }: Draft, script: string): void => {
  options.command = script
  options.args = []
  const why = isFolder(cwd) ? "there is no such file, nor a program of this name on PATH" : "there is no folder cwd"
  tell("script", "mapped", "command", why)
  for (const field of ["args", "node_args", "exec_interpreter", "source_map_support"] as const) {
    tell(field, "refused", undefined, "the script is not there")
  }
}

export const command = (draft: Draft): void => {
  const { cwd, options, path, tell, values } = draft
  const { script } = values
  tell("cwd", "mapped", "cwd")
  draft.differ("cwd", "the folder in which pm2 is called", `cwd: ${cwd}`, "the file's own folder")
  options.cwd = cwd
  if (script === undefined) return draft.fail("script", "the path of a script, or a program")
  if (script === "serve") {
    return draft.fail("script", "a program: PM2's own server of static files is not part of this; npx serve is one")
  }
  if (script.includes(" ")) return shellLine(draft, script)

  const own = Path.resolve(cwd, script)
  const file = isFile(own) ? own : which(script, path, cwd)
  if (file === undefined) return missing(draft, isFolder(cwd) ? own : script)
  const isOnPath = file !== own
  const nodeArgs = values.node_args === undefined ? [] : texts(values.node_args)
  const found = interpreterOf(draft, file, isOnPath)
  // A program that Node.js runs by its first line cannot be given arguments for Node.js otherwise.
  const runs = found.length === 0 && nodeArgs.length > 0 && kindOf(file)._tag === "Script" ? ["node"] : found
  // The Node.js that runs this: the `node` on the path of a package's script may be a shell that does not pass signals on.
  const [interpreter, ...more] = runs[0] === "node" ? [process.execPath, ...runs.slice(1)] : runs

  const maps = values.source_map_support === true && isNode(interpreter) ? ["--enable-source-maps"] : []
  tell("source_map_support", "mapped", values.source_map_support === true ? "args" : undefined, sourceMaps(maps))
  tell("disable_source_map_support", "mapped", undefined, "source maps are used only when Node.js is told to")
  const args = values.args === undefined ? [] : texts(values.args)
  tell("args", "mapped", "args")
  if (interpreter === undefined) {
    options.command = isOnPath && !script.includes("/") ? script : file
    options.args = args
    tell("node_args", "refused", undefined, "there is no interpreter that could take them")
  } else {
    options.command = interpreter
    options.args = [...more, ...nodeArgs, ...maps, file, ...args]
    tell("node_args", "mapped", "args")
  }
  if (Path.basename(interpreter ?? "").startsWith("python")) {
    options.env = { PYTHONUNBUFFERED: "1", ...options.env }
  }
}

const sourceMaps = (maps: ReadonlyArray<string>): string | undefined =>
  maps.length > 0 ? "Node.js's own --enable-source-maps" : "source maps are used only when Node.js is told to"

/** How many of it, and on which port. */
export const copies = (draft: Draft, processors: number): void => {
  const { options, tell, values } = draft
  const given = values.instances ?? 1
  const count = given === "max" || given === 0 ? processors : given < 0 ? Math.max(1, processors + given) : given
  const isNodeApp = isNode(options.command)
  const isCluster = values.exec_mode?.startsWith("cluster") ?? (values.instances !== undefined && isNodeApp)
  const apart =
    "processes of their own, with no port in common: the first gets PORT, each later one the next number, and a reverse proxy has to spread requests"
  if (count > 256) draft.fail("instances", "at most 256")
  if (count > 1) options.instances = count
  const isChanged = count > 1 && isCluster
  tell("instances", isChanged ? "changed" : "mapped", `instances: ${count}`, isChanged ? apart : undefined)
  if (isCluster) tell("exec_mode", "changed", "instances", count > 1 ? apart : "one process, without Node's cluster")
  else tell("exec_mode", "mapped", undefined, "every app is a process of its own")
  tell("execute_command", "mapped", undefined, "every app is a process of its own")

  const inEnv = options.env?.["PORT"]
  const port = values.port ?? (typeof inEnv === "string" && /^\d{1,5}$/.test(inEnv) ? Number(inEnv) : undefined)
  if (port !== undefined && port >= 1 && port <= 65535) options.port = port
  tell("port", "mapped", "port, env.PORT")
  if (values.increment_var === "PORT" && port !== undefined) tell("increment_var", "mapped", "port")
  else tell("increment_var", "refused", undefined, "only PORT counts up")

  const variable = values.instance_var ?? "NODE_APP_INSTANCE"
  if (count === 1) {
    options.env = { [variable]: "0", ...options.env }
    tell("instance_var", "mapped", `env.${variable}`)
  } else {
    const why = "each instance finds its number, from 0 on, in NEXO_INSTANCE"
    tell("instance_var", "changed", "env.NEXO_INSTANCE", why)
    draft.differ("instance_var", "NODE_APP_INSTANCE", "env.NEXO_INSTANCE", why)
  }
}
