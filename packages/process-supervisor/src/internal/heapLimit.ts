/**
 * Tells a Node child how much heap it may have, so that it collects its garbage before it reaches its memory limit. V8
 * takes its limit from the machine's memory unless told, which is more than a supervised process may have.
 *
 * Node itself is told by an argument, whatever starts Node by the environment. Other programs are left alone, and so is
 * whoever has a limit of his own.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const megabyte = 1_048_576

/** What Node has besides its heap: code, stacks of threads, buffers of the system. */
const fixed = 48 * megabyte
/** Buffers, and what the collector needs while it works, are not in the heap either. */
const share = 0.75
/** With less, V8 is busy with nothing but collecting: then the memory limit itself has to do. */
const leastHeap = 16

/** Megabytes of heap under a memory limit in bytes; `undefined` where that is too little. */
const heapFor = (limit: number): number | undefined => {
  const heap = Math.floor(((limit - fixed) * share) / megabyte)
  return heap >= leastHeap ? heap : undefined
}

/** Options of V8 that say the same, with `-` or `_` as it takes them. */
const isGiven = (text: string): boolean => /(^|\s|["'])--max[-_](old[-_]space|heap)[-_]size/.test(text)

const nodes = new Set(["node", "nodejs", "node.exe"])
/** Programs that start Node; those in `node_modules/.bin` say so in their first line, too. */
const starters = new Set(
  "npm npx pnpm pnpx yarn yarnpkg corepack tsx ts-node ts-node-esm nodemon next vite nest nuxt".split(" ")
)
const shells = new Set(["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"])
/** Programs that start the one that they are told. */
const wrappers = new Set(
  "env nice nohup ionice timeout setsid stdbuf taskset chrt setpriv dumb-init tini cross-env dotenv dotenvx".split(" ")
)

type Kind = "node" | "starts node" | "other"

const nameOf = (path: string): string => Path.basename(path)

const ofName = (name: string): Kind | undefined => {
  if (nodes.has(name)) return "node"
  return starters.has(name) || shells.has(name) ? "starts node" : undefined
}

/** The first line of a script says who runs it, as `#!/usr/bin/env node` or `#!/bin/sh -e`. */
const interpreterOf = (file: string): string | undefined => {
  let fd: number | undefined
  try {
    fd = Fs.openSync(file, "r")
    const head = Buffer.alloc(128)
    const [line = ""] = head.toString("latin1", 0, Fs.readSync(fd, head, 0, head.length, 0)).split("\n")
    if (!line.startsWith("#!")) return undefined
    const words = line.slice(2).trim().split(/\s+/).map(nameOf)
    return words[0] === "env" ? words.slice(1).find((word) => !/^-|=/.test(word)) : words[0]
  } catch {
    return undefined // whether it can be started at all is said when it is
  } finally {
    if (fd !== undefined) Fs.closeSync(fd)
  }
}

export interface Program {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** All of it. */
  readonly env: Readonly<Record<string, string>>
  /** Where a relative command is looked for; this process's own folder unless told. */
  readonly cwd?: string | undefined
  /** Bytes; `undefined` is no limit. */
  readonly memoryLimit: number | undefined
}

const fileOf = ({ command, cwd = ".", env }: Program): string | undefined => {
  if (command.includes("/")) return Path.resolve(cwd, command)
  const folders = (env["PATH"] ?? process.env["PATH"] ?? "").split(Path.delimiter)
  return folders.map((folder) => Path.resolve(cwd, folder, command)).find((file) => Fs.existsSync(file))
}

const kindOf = (program: Program): Kind => {
  const name = nameOf(program.command)
  // Bun says that it is Node.
  if (program.command === process.execPath && process.versions["bun"] === undefined) return "node"
  if (wrappers.has(name)) return program.args.some((arg) => ofName(nameOf(arg)) !== undefined) ? "starts node" : "other"
  const known = ofName(name)
  if (known !== undefined) return known
  const file = fileOf(program)
  const interpreter = file === undefined ? undefined : interpreterOf(file)
  // A script that Node runs has its own arguments: Node is behind its first line, and only reads the environment.
  return interpreter !== undefined && ofName(interpreter) !== undefined ? "starts node" : "other"
}

/** The arguments and the environment to start it with. */
export const derive = (program: Program): Pick<Program, "args" | "env"> => {
  const { args, env, memoryLimit } = program
  const unchanged = { args, env }
  const heap = memoryLimit === undefined ? undefined : heapFor(memoryLimit)
  const given = env["NODE_OPTIONS"] ?? ""
  if (heap === undefined || isGiven(given) || args.some(isGiven)) return unchanged
  const option = `--max-old-space-size=${heap}`
  switch (kindOf(program)) {
    case "node":
      return { args: [option, ...args], env }
    case "starts node":
      return { args, env: { ...env, NODE_OPTIONS: given === "" ? option : `${given} ${option}` } }
    case "other":
      return unchanged
  }
}
