/**
 * What Linux says about itself in files. They are made when they are read, without any disk, so that reading them at
 * once blocks nobody.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"

import * as Verdict from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

import { codeOf, ownFault } from "./systemError.ts"

/** Where they are; a test puts a folder of samples there. */
export const Proc: Context.Reference<string> = Context.Reference<string>("@nexobot/probes/Proc", {
  defaultValue: () => "/proc"
})

/** Codes by which a file is known to be none for us, whoever asks and however often. */
const kept = new Set(["EACCES", "EPERM"])

/** `undefined` where there is no such file, or none for us. Throws where we could not look, see `looking`. */
export const textOf = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch (cause) {
    const code = codeOf(cause)
    if (ownFault(code) !== undefined && !kept.has(code)) throw cause
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

/**
 * A check by such files: what `look` finds in this folder, `undefined` where they do not tell. A limit that could not be
 * read, as no descriptor was left for it, is not a limit that is not there: then it says nothing.
 */
export const looking = <S extends Verdict.Signature>(
  what: string,
  look: (proc: string) => Verdict.Verdict<S> | undefined
): Effect.Effect<Verdict.Verdict<S>> =>
  Effect.map(Proc, (proc) => {
    try {
      return look(proc) ?? Verdict.inconclusive(`${what} needs Linux's /proc; nothing tells of it in ${proc}`)
    } catch (cause) {
      const own = ownFault(codeOf(cause))
      if (own === undefined) throw cause
      return Verdict.inconclusive(`${what}: ${own}`)
    }
  })
