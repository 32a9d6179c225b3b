/**
 * Where the output of a supervised process goes: files that rotate, in which every byte is accounted for.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"

import type * as Bytes from "@nexobot/core/Bytes"
import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * - `raw`: byte for byte what the process wrote.
 * - `prefixed`: each line after its time, the name of the process and the stream; notes say what is missing.
 * - `json`: one object per line with `time`, `process`, `stream` and `text`; notes have a `note` instead of a `text`.
 *
 * @category models
 * @since 0.1.0
 */
export type Format = "raw" | "prefixed" | "json"

/**
 * @category models
 * @since 0.1.0
 */
export interface RotateOptions {
  /** No file is larger, unless one line alone is; 50 MB unless told. */
  readonly size?: Bytes.Input
  /** A file that is older is put away when something is to be written; as old as it gets unless told. */
  readonly age?: Duration.Input
  /** How many old files stay; 10 unless told. */
  readonly keep?: number
  /** Whether old files are compressed, in the background; `true` unless told. */
  readonly gzip?: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface LogOptions {
  /** For stdout, and for stderr unless there is an `errorFile`. Its folder is made if the folder above is there. */
  readonly file: string
  readonly errorFile?: string
  /** `false`: one file, which grows. */
  readonly rotate?: RotateOptions | false
  /** `raw` unless told. */
  readonly format?: Format
  /** A line that matches continues the one before, as in a stack trace; in `raw` only filters and the tail know it. */
  readonly multiline?: RegExp
  /** Lines that match one of these are left out. */
  readonly drop?: ReadonlyArray<RegExp>
  /** Lines that match none of these are left out. */
  readonly only?: ReadonlyArray<RegExp>
  /** Lines above it are dropped and counted, for each output; what `multiline` joins and begins within it is whole. */
  readonly rateLimit?: { readonly lines: number; readonly per: Duration.Input }
  /** Most bytes that wait for the disk, of each file: from 128 kB on; 8 MB unless told. */
  readonly buffer?: Bytes.Input
  /**
   * When as much waits as may: `drop`, unless told, holds the process up for two seconds, and then drops the
   * newest output and counts it, until half of what waits is written; `block` holds the process up as long as it takes.
   */
  readonly whenFull?: "drop" | "block"
}

/**
 * Checked options.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogSettings {
  readonly file: string
  readonly errorFile: string | undefined
  readonly rotate:
    | {
        readonly size: number
        readonly age: Duration.Duration | undefined
        readonly keep: number
        readonly gzip: boolean
      }
    | undefined
  readonly format: Format
  readonly multiline: RegExp | undefined
  readonly drop: ReadonlyArray<RegExp>
  readonly only: ReadonlyArray<RegExp>
  readonly rateLimit: { readonly lines: number; readonly per: Duration.Duration } | undefined
  readonly buffer: number
  readonly whenFull: "drop" | "block"
}

const checks = Options.checks("ProcessLog")

const filePath = (option: string, value: unknown): string => {
  const path = checks.nonEmptyString(option, value)
  if (path.endsWith("/") || path.includes("\0")) checks.fail(option, value, "the path of a file")
  return Path.resolve(path)
}

/** Expressions that are global or sticky remember where they were, and would miss every other line. */
const pattern = (option: string, value: unknown): RegExp => {
  const { flags, source } = checks.pattern(option, value)
  return new RegExp(source, flags.replace(/[gy]/g, ""))
}

const patterns = (option: string, value: unknown): ReadonlyArray<RegExp> =>
  Array.isArray(value)
    ? value.map((one: unknown, index) => pattern(`${option}.${index}`, one))
    : checks.fail(option, value, "an array of regular expressions")

const rotation = (options: RotateOptions): NonNullable<LogSettings["rotate"]> => {
  checks.known(options, ["size", "age", "keep", "gzip"], "rotate.")
  return {
    size: checks.bytes("rotate.size", options.size ?? "50 MB", "1 kB"),
    age: options.age === undefined ? undefined : checks.duration("rotate.age", options.age, "1 second"),
    keep: checks.integer("rotate.keep", options.keep ?? 10, 0, 100_000),
    gzip: checks.boolean("rotate.gzip", options.gzip ?? true)
  }
}

const limit = (options: NonNullable<LogOptions["rateLimit"]>): LogSettings["rateLimit"] => {
  checks.known(options, ["lines", "per"], "rateLimit.")
  return {
    lines: checks.integer("rateLimit.lines", options.lines, 1),
    per: checks.duration("rateLimit.per", options.per, "1 millis")
  }
}

/**
 * Throws `OptionError` for options that cannot work.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: LogOptions): LogSettings => {
  checks.known(options, [
    "file",
    "errorFile",
    "rotate",
    "format",
    "multiline",
    "drop",
    "only",
    "rateLimit",
    "buffer",
    "whenFull"
  ])
  const file = filePath("file", options.file)
  const errorFile = options.errorFile === undefined ? undefined : filePath("errorFile", options.errorFile)
  return {
    file,
    errorFile: errorFile === file ? undefined : errorFile,
    rotate: options.rotate === false ? undefined : rotation(options.rotate ?? {}),
    format: checks.oneOf("format", options.format ?? "raw", ["raw", "prefixed", "json"]),
    multiline: options.multiline === undefined ? undefined : pattern("multiline", options.multiline),
    drop: patterns("drop", options.drop ?? []),
    only: patterns("only", options.only ?? []),
    rateLimit: options.rateLimit === undefined ? undefined : limit(options.rateLimit),
    buffer: checks.bytes("buffer", options.buffer ?? "8 MB", "128 kB"),
    whenFull: checks.oneOf("whenFull", options.whenFull ?? "drop", ["drop", "block"])
  }
}

/**
 * A line of a process, without its end; several, where `multiline` says that they belong together.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogLine {
  readonly process: string
  readonly stream: "stdout" | "stderr"
  /** A line of more than 64 kB comes in pieces. Bytes that are no UTF-8 are U+FFFD. */
  readonly text: string
  /** When it was read, in milliseconds of the wall clock. */
  readonly at: number
}

/**
 * Lines are counted where they are looked at: not in `raw` without filters and limits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Amount {
  readonly bytes: number
  readonly lines: number
}

/**
 * Bytes as the process wrote them: `received` = `written` + `dropped` + `filtered` + `waiting`, at any time.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogStats {
  readonly received: number
  /** Taken by the system for the file. */
  readonly written: Amount
  /** Lost: the disk did not take them in time, or they were above the rate limit. */
  readonly dropped: Amount
  /** Left out by `drop` and `only`; all of it where there is no file. */
  readonly filtered: Amount
  /** Bytes on their way: lines that have not ended, and what waits for the disk. */
  readonly waiting: number
  readonly rotations: number
  /** What the disk refused last, for example `write: ENOSPC`; `undefined` when it has taken everything since. */
  readonly lastError: string | undefined
}

/**
 * Neither the folder of the file nor the one above it is there.
 *
 * @category errors
 * @since 0.1.0
 */
export class FolderMissing extends Schema.TaggedClass<FolderMissing>(
  "@nexobot/process-supervisor/ProcessLog/FolderMissing"
)("FolderMissing", { folder: Schema.String }) {}

/**
 * There is a folder in the place of the file.
 *
 * @category errors
 * @since 0.1.0
 */
export class IsFolder extends Schema.TaggedClass<IsFolder>("@nexobot/process-supervisor/ProcessLog/IsFolder")(
  "IsFolder",
  {}
) {}

/**
 * The system does not let this process write there.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotWritable extends Schema.TaggedClass<NotWritable>("@nexobot/process-supervisor/ProcessLog/NotWritable")(
  "NotWritable",
  {
    /** The system's code, for example `EACCES`. */
    code: Schema.String
  }
) {}

/**
 * The disk does not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unresponsive extends Schema.TaggedClass<Unresponsive>(
  "@nexobot/process-supervisor/ProcessLog/Unresponsive"
)("Unresponsive", { after: Schema.DurationFromMillis }) {}

/**
 * A log file cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class LogError extends Schema.TaggedError<LogError>("@nexobot/process-supervisor/LogError")("LogError", {
  process: Schema.String,
  path: Schema.String,
  reason: Schema.Union([FolderMissing, IsFolder, NotWritable, Unresponsive])
}) {
  override get message(): string {
    const what = `log of "${this.process}": ${this.path}`
    switch (this.reason._tag) {
      case "FolderMissing":
        return `${what} cannot be made, as there is no folder ${this.reason.folder}: make it, or set another file`
      case "IsFolder":
        return `${what} is a folder: set the path of a file in it`
      case "NotWritable":
        return `${what} cannot be written (${this.reason.code}): ${advice[this.reason.code] ?? "set another file"}`
      case "Unresponsive":
        return `${what}: its disk has not answered for ${Duration.format(this.reason.after)}: mend it, or set a file on another one`
    }
  }
}

const permission = "let the supervisor's user write the file and its folder, or set another file"

const advice: Record<string, string | undefined> = {
  EACCES: permission,
  EPERM: permission,
  EROFS: "its file system is mounted read-only; set a file on another one",
  ENOSPC: "its file system is full; make room, or set a file on another one",
  EDQUOT: "its quota is used up; make room, or set a file on another one",
  EMFILE: "the supervisor has too many files open; raise its limit (ulimit -n)",
  ENOTDIR: "a part of its path is a file; set another path",
  ELOOP: "its path goes round in links; set another path"
}
