/**
 * From a path to what the file says.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

import * as Redaction from "@nexobot/core/Redaction"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { evaluate, type Thrown } from "./evaluate.ts"
import { EcosystemError, NotFound, type Reason, Timeout, Unparsable, Unreadable } from "./model.ts"

const programs = new Set([".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".json"])
const yaml = new Set([".yaml", ".yml"])

/** More is no configuration; the evaluator has its own bound. */
const mostBytes = 1024 * 1024

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

const unreadable = (cause: unknown): Reason => {
  const code = codeOf(cause)
  return code === "ENOENT" || code === "ENOTDIR" ? new NotFound() : new Unreadable({ why: code })
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")

/** Where in the file it happened: as a stack has it, or above the line with the caret under it. */
const position = (file: string, trace: string) => {
  const found = new RegExp(`${escaped(file)}:(\\d+)(?::(\\d+))?(?:\\n.*\\n( *)\\^)?`).exec(trace)
  if (found === null) return {}
  const [, line, column, indent] = found
  const at = column ?? (indent === undefined ? undefined : String(indent.length + 1))
  return { line: Number(line), ...(at === undefined ? {} : { column: Number(at) }) }
}

const unparsable = (redactor: Redaction.Redactor, file: string, { message, name, trace }: Thrown): Reason => {
  // The first line says what it is; stacks of imports and excerpts of code follow.
  const [first = ""] = redactor.text(message).split("\n")
  return new Unparsable({ why: `${name}: ${first.slice(0, 300)}`, ...position(file, trace) })
}

const environment = (names: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value] as const]
    })
  )

/** Data only: it is not evaluated. The parser is loaded for it alone. */
const readYaml = (file: string): Effect.Effect<unknown, Reason> =>
  Effect.tryPromise({
    try: () => Promise.all([Fs.readFile(file, "utf8"), import("effect/encoding/Yaml")]),
    catch: unreadable
  }).pipe(
    Effect.flatMap(([text, { parse }]) =>
      Effect.try({
        try: () => parse(text),
        catch: (cause) => {
          const why = cause instanceof Error ? cause.message : String(cause)
          const line = /line (\d+)/.exec(why)?.[1]
          return new Unparsable({ why: why.slice(0, 300), ...(line === undefined ? {} : { line: Number(line) }) })
        }
      })
    )
  )

const check = (file: string): Effect.Effect<void, Reason> =>
  Effect.tryPromise({ try: () => Fs.stat(file), catch: unreadable }).pipe(
    Effect.filterOrFail(
      (stat) => stat.isFile(),
      () => new Unreadable({ why: "it is not a file" })
    ),
    Effect.filterOrFail(
      (stat) => stat.size <= mostBytes,
      () => new Unreadable({ why: "it is larger than 1 MB" })
    ),
    Effect.andThen(Effect.tryPromise({ try: () => Fs.access(file, Fs.constants.R_OK), catch: unreadable }))
  )

/** `names` are of the variables that it finds in its environment. */
export const load = (
  path: string,
  names: ReadonlyArray<string>,
  timeout: Duration.Duration
): Effect.Effect<{ readonly file: string; readonly content: unknown }, EcosystemError> => {
  const file = Path.resolve(path)
  const extension = Path.extname(file)
  const content = Effect.gen(function* () {
    yield* check(file)
    if (yaml.has(extension)) return yield* readYaml(file)
    if (!programs.has(extension)) {
      return yield* Effect.fail<Reason>(
        new Unreadable({ why: `its name ends with none of ${[...programs, ...yaml].join(" ")}` })
      )
    }
    const redactor = yield* Redaction.Redactor
    return yield* Effect.mapError(evaluate(file, environment(names)), (failure): Reason =>
      "why" in failure ? new Unreadable({ why: failure.why }) : unparsable(redactor, file, failure.thrown)
    )
  })
  return content.pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail<Reason>(new Timeout({ after: timeout })) }),
    Effect.mapBoth({
      onSuccess: (value) => ({ file, content: value }),
      onFailure: (reason) => new EcosystemError({ file, reason })
    })
  )
}
