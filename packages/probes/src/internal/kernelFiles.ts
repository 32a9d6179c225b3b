/**
 * What Linux says about itself in files. They are made when they are read, without any disk, so that reading them at
 * once blocks nobody.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"

import * as Context from "effect/Context"

/** Where they are; a test puts a folder of samples there. */
export const Proc: Context.Reference<string> = Context.Reference<string>("@nexobot/probes/Proc", {
  defaultValue: () => "/proc"
})

/** `undefined` where there is no such file, or none for us. */
export const textOf = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined

/** A file that is one number; words such as `max` are none. */
export const numberIn = (path: string): number | undefined => wholeNumber(textOf(path)?.trim())

/** The number after a name in a file of lines, as `MemTotal: 123 kB` or `inactive_file 123`. */
export const numberAfter = (text: string, name: string): number | undefined => {
  for (const line of text.split("\n")) {
    const [key, value] = line.split(/:?\s+/, 2)
    if (key === name) return wholeNumber(value)
  }
  return undefined
}

/** Why a check of the host says nothing. */
export const unsupported = (what: string): string => `${what} needs Linux's /proc; this is ${process.platform}`
