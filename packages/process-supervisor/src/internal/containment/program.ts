/** Finds programs of the system by the path of the supervisor, not by that of the child. */
import * as Fs from "node:fs"
import * as Path from "node:path"

const isExecutable = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.X_OK)
    return Fs.statSync(path).isFile()
  } catch {
    return false
  }
}

/** Where they are when no path is set. */
const usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]

/** Its absolute path; `undefined` when there is none. */
export const find = (name: string): string | undefined => {
  const folders = (process.env["PATH"] ?? "").split(Path.delimiter).filter((folder) => Path.isAbsolute(folder))
  return [...folders, ...usual].map((folder) => Path.join(folder, name)).find(isExecutable)
}
