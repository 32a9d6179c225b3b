/** A supervisor that is measured, ours or another, in processes of its own. */
import { type ChildProcess, execFileSync, spawn, type StdioOptions } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"

import * as Processes from "./processes.ts"

export interface Program {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** It tells every half second that it lives; who can watch that, does. */
  readonly heartbeat?: boolean
}

export interface Peer extends AsyncDisposable {
  readonly name: string
  readonly pid: number
}

/** `undefined`, with a note on stderr, where it cannot be had. */
export type Start = (programs: ReadonlyArray<Program>) => Promise<Peer | undefined>

export const folder = (): Promise<string> => Fs.mkdtemp(Path.join(Os.tmpdir(), "bench-supervisor-"))

export const isInstalled = (program: string, debianPackage: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" })
    return true
  } catch {
    process.stderr.write(
      `bench: ${program} is not measured; apt-get install --no-install-recommends ${debianPackage}\n`
    )
    return false
  }
}

/** Starts a supervisor that stays in the foreground, and ends it, its programs and its folder by a signal. */
export const foreground = (options: {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly signal?: NodeJS.Signals
  readonly folder?: string
  readonly stdio?: StdioOptions
}): { readonly peer: Peer; readonly child: ChildProcess } => {
  const child = spawn(options.command, options.args, { stdio: options.stdio ?? ["ignore", "ignore", "inherit"] })
  const { pid } = child
  if (pid === undefined) throw new Error(`${options.command} cannot be started`)
  const signal = options.signal ?? "SIGTERM"
  const release = Processes.endAtExit(pid, signal)
  const dispose = async (): Promise<void> => {
    release()
    await Processes.end(pid, signal)
    if (options.folder !== undefined) await Fs.rm(options.folder, { recursive: true, force: true })
  }
  return { child, peer: { name: options.name, pid, [Symbol.asyncDispose]: dispose } }
}
