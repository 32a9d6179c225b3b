/**
 * `.env` files: what `util.parseEnv` makes of them, and a refusal of what it would drop in silence.
 */
import * as Fs from "node:fs/promises"
import { parseEnv } from "node:util"

import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** There is no such file. */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/process-supervisor/EnvFile/Missing")(
  "Missing",
  {}
) {}

/** It is there and cannot be read. */
export class Unreadable extends Schema.TaggedClass<Unreadable>("@nexobot/process-supervisor/EnvFile/Unreadable")(
  "Unreadable",
  { why: Schema.String }
) {}

/** It can be read, and is no file of variables. What stands there is not told: it may be a secret. */
export class Unparsable extends Schema.TaggedClass<Unparsable>("@nexobot/process-supervisor/EnvFile/Unparsable")(
  "Unparsable",
  {
    /** From 1. */
    line: Schema.Int,
    why: Schema.String
  }
) {}

export class EnvFileError extends Schema.TaggedError<EnvFileError>("@nexobot/process-supervisor/EnvFileError")(
  "EnvFileError",
  { path: Schema.String, reason: Schema.Union([Missing, Unreadable, Unparsable]) }
) {
  override get message(): string {
    switch (this.reason._tag) {
      case "Missing":
        return `${this.path} does not exist: make it, or leave envFile out`
      case "Unreadable":
        return `${this.path} cannot be read: ${this.reason.why}`
      case "Unparsable":
        return `${this.path}, line ${this.reason.line}: ${this.reason.why}`
    }
  }
}

/** Much more than an environment may have. */
const mostBytes = 1_048_576

/** A value in quotes may go on over lines, and a comment may follow. */
const quoted = /^[ \t]*(["'`])([^]*?)\1(.*)/

/** A line that would be dropped or misread; else the text without what `parseEnv` stumbles over. */
const checked = (text: string): Unparsable | string => {
  const lines = text.replaceAll("\r", "").split("\n")
  const good: Array<string> = []
  for (let at = 0; at < lines.length;) {
    const line = at + 1
    const refuse = (why: string) => new Unparsable({ line, why })
    // `parseEnv` would take the word for a part of the name, if there is no value.
    const content = (lines[at] ?? "").trimStart().replace(/^export[ \t]+/, "")
    at += 1
    // White space alone after the = would make it take the next line for the value.
    good.push(content.replace(/^([^=]*=)[ \t]+$/, "$1"))
    if (content === "" || content.startsWith("#")) continue
    const [, name, value = ""] = /^([^=]*?)[ \t]*=([^]*)$/.exec(content) ?? []
    if (content.includes("\0")) return refuse("it has a NUL")
    if (name === undefined) return refuse("it has no =; write NAME=value")
    if (!/^[A-Za-z_][\w.-]*$/.test(name)) return refuse("its name has other than letters, digits and _ . -")
    if (!/^[ \t]*["'`]/.test(value)) continue
    const [whole, , inside = "", after = ""] = quoted.exec([value, ...lines.slice(at)].join("\n")) ?? []
    if (whole === undefined) return refuse("its quote does not end")
    if (!/^[ \t]*(#.*)?$/.test(after)) return refuse("something follows its closing quote")
    if (inside.includes("\0")) return refuse("it has a NUL")
    const end = at + inside.split("\n").length - 1
    good.push(...lines.slice(at, end))
    at = end
  }
  return good.join("\n")
}

/**
 * The variables of a text, or the line because of which it is refused.
 */
export const parse = (text: string): Readonly<Record<string, Redacted.Redacted>> | Unparsable => {
  const good = checked(text.replace(/^\uFEFF/, ""))
  if (typeof good !== "string") return good
  return Object.fromEntries(
    Object.entries(parseEnv(good)).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Redacted.make(value)] as const]
    )
  )
}

const isCode = (cause: unknown, code: string): boolean =>
  cause instanceof Error && "code" in cause && cause.code === code

const load = async (path: string): Promise<string> => {
  const stats = await Fs.stat(path)
  // A FIFO would block.
  if (!stats.isFile()) throw new Error("it is not a file")
  if (stats.size > mostBytes) throw new Error(`it has more than ${mostBytes} bytes`)
  return new TextDecoder("utf-8", { fatal: true }).decode(await Fs.readFile(path))
}

/** It is read on the way of each start: a disk that hangs must not hold up a stop. */
const patience = "3 seconds"

/** Reads a file; every value is taken for a secret. */
export const read = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Readonly<Record<string, Redacted.Redacted>>, EnvFileError> {
  const text = yield* Effect.tryPromise({
    try: () => load(path),
    catch: (cause) =>
      new EnvFileError({
        path,
        reason: isCode(cause, "ENOENT")
          ? new Missing({})
          : new Unreadable({ why: cause instanceof Error ? cause.message : String(cause) })
      })
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(new EnvFileError({ path, reason: new Unreadable({ why: "the disk does not answer" }) }))
    })
  )
  const parsed = parse(text)
  if (parsed instanceof Unparsable) return yield* new EnvFileError({ path, reason: parsed })
  return parsed
})
