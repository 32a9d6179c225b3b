/**
 * Finds the real programs that tests run against.
 *
 * @since 0.1.0
 */
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

const versionsOf = (folder: string): ReadonlyArray<string> => {
  try {
    return Fs.readdirSync(folder).toSorted((a, b) => b.localeCompare(a, undefined, { numeric: true }))
  } catch {
    return []
  }
}

/**
 * The path of a program: from `NEXO_BIN_<NAME>` (upper case, `-` as `_`), PATH, `/usr/sbin`, and the folders where
 * Debian keeps PostgreSQL's servers. `undefined` when it is nowhere.
 *
 * @category operations
 * @since 0.1.0
 */
export const find = (name: string): string | undefined => {
  const override = process.env[`NEXO_BIN_${name.toUpperCase().replaceAll("-", "_")}`]
  if (override !== undefined && override !== "") return isExecutable(override) ? override : undefined
  const postgres = "/usr/lib/postgresql"
  const folders = [
    ...(process.env["PATH"] ?? "").split(Path.delimiter).filter((folder) => folder !== ""),
    "/usr/sbin",
    ...versionsOf(postgres).map((version) => Path.join(postgres, version, "bin"))
  ]
  return folders.map((folder) => Path.join(folder, name)).find(isExecutable)
}

/**
 * Whether the tests that need a program are skipped. Where it is missing it says what to install; on CI (`CI=true`) it
 * throws instead, so that a missing program never passes for a green run.
 *
 * @category operations
 * @since 0.1.0
 */
export const skipWithout = (name: string, install: string): boolean => {
  if (find(name) !== undefined) return false
  const message = `${name} is not installed: ${install}`
  if (process.env["CI"] === "true") throw new Error(message)
  process.stderr.write(`skipped: ${message}\n`)
  return true
}
