/**
 * Finds the process that a pid file names, and nobody who has got its pid since.
 *
 * @since 0.1.0
 */
import { type ProcessStat, ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

import { statusOf } from "./filePool.ts"
import { readSmallFile } from "./smallFile.ts"
import { ownFault } from "./systemError.ts"

/** PostgreSQL's has eight lines, of which the first is the pid. */
const longest = 4096

/** As much of a command line as an expression has to look at. */
const looked = 8192

/** A file's time is a little coarser than the clock. */
const tolerance = 1000

export type Named =
  | { readonly _tag: "Found"; readonly stat: ProcessStat }
  /** With the reason. */
  | { readonly _tag: "Gone"; readonly why: string }
  | { readonly _tag: "Unknown"; readonly why: string }

const gone = (why: string): Named => ({ _tag: "Gone", why })
const unknown = (why: string): Named => ({ _tag: "Unknown", why })

export const unanswered = (path: string): Named => unknown(`${path}: the file system did not answer in time`)

/** Why a process is not the one that wrote the file. */
const stranger = Effect.fnUntraced(function* (
  path: string,
  stat: ProcessStat,
  program: RegExp | undefined
): Effect.fn.Return<string | undefined, Unsupported | string> {
  const table = yield* ProcessTable
  const { pid } = stat
  if (program !== undefined) {
    const commandLine = (yield* table.commandLine(pid)).slice(0, looked) || stat.command
    // A copy: a sticky or global expression remembers where it stopped.
    return new RegExp(program).test(commandLine) ? undefined : `pid ${pid} belongs to another program, ${stat.command}`
  }
  const { mtimeMs } = yield* statusOf(path)
  const usage = yield* table.usage(pid)
  const started = (yield* Clock.currentTimeMillis) - (usage?.age ?? Infinity)
  return started > mtimeMs + tolerance ? `pid ${pid} belongs to a later process, ${stat.command}` : undefined
})

export const findByPidFile = (path: string, program: RegExp | undefined): Effect.Effect<Named, Unsupported> =>
  Effect.gen(function* (): Effect.fn.Return<Named, Unsupported | string> {
    const [, first] = /^\s*(\d{1,10})\s*(?:\n|$)/.exec(yield* readSmallFile(path, longest)) ?? []
    const pid = Number(first)
    if (!(pid > 0)) return unknown(`${path} names no process`)
    const table = yield* ProcessTable
    const stat = yield* table.stat(pid)
    if (stat === undefined) return gone(`no process ${pid} exists`)
    const why = yield* stranger(path, stat, program)
    return why === undefined ? { _tag: "Found", stat } : gone(why)
  }).pipe(
    Effect.catchIf(
      (error) => typeof error === "string",
      (code) =>
        Effect.succeed(
          code === "ENOENT" || code === "ENOTDIR"
            ? gone(`${path} is not there`)
            : unknown(`${path}: ${ownFault(code) ?? code}`)
        )
    )
  )
