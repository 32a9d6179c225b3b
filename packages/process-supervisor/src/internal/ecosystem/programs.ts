/**
 * Finds programs, and tells what runs a script.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** What cannot be looked at is as good as not there: its name is too long, it leads in a circle, its folder is closed. */
const statOf = (path: string): Fs.Stats | undefined => {
  try {
    return Fs.statSync(path)
  } catch {
    return undefined
  }
}

export const isFile = (path: string): boolean => statOf(path)?.isFile() === true

export const isFolder = (path: string): boolean => statOf(path)?.isDirectory() === true

const isExecutable = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.X_OK)
    return isFile(path)
  } catch {
    return false
  }
}

/** Where a program is, by its name or its path. */
export const which = (program: string, path: string, cwd: string): string | undefined =>
  program.includes("/")
    ? [Path.resolve(cwd, program)].find(isExecutable)
    : path
        .split(Path.delimiter)
        .filter((folder) => folder !== "")
        .map((folder) => Path.resolve(cwd, folder, program))
        .find(isExecutable)

/** The beginning of a file. */
const head = (file: string): Buffer | undefined => {
  const buffer = Buffer.alloc(512)
  let descriptor: number | undefined
  try {
    descriptor = Fs.openSync(file, "r")
    return buffer.subarray(0, Fs.readSync(descriptor, buffer))
  } catch {
    return undefined
  } finally {
    if (descriptor !== undefined) Fs.closeSync(descriptor)
  }
}

/**
 * What the file is by itself: a program of the machine; a script that names what runs it in its first line, and may be
 * executable; or a text.
 */
export type Kind =
  | { readonly _tag: "Binary" }
  | { readonly _tag: "Script"; readonly isExecutable: boolean; readonly interpreter: ReadonlyArray<string> }
  | { readonly _tag: "Text" }

/** What cannot be read can only be run by itself, if at all. */
export const kindOf = (file: string): Kind => {
  const bytes = head(file)
  if (bytes === undefined || bytes.includes(0)) return { _tag: "Binary" }
  const line = /^#!\s*(.*)/.exec(bytes.toString("utf8"))?.[1]
  if (line === undefined) return { _tag: "Text" }
  const [program = "", ...args] = line.trim().split(/\s+/)
  const interpreter = Path.basename(program) === "env" ? args.filter((arg) => arg !== "-S") : [program, ...args]
  return { _tag: "Script", isExecutable: isExecutable(file), interpreter }
}
