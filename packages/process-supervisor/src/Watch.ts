/**
 * When a process is replaced because files changed. Off unless told. What was given up is started again; what was stopped
 * is not.
 *
 * A burst of changes is one change, and what `.gitignore` leaves out changes nothing, nor do log files, the supervisor's
 * own files, `node_modules` and `.git`.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * @category models
 * @since 0.1.0
 */
export interface WatchOptions {
  /** Folders and files, from the process's working directory on; that folder, `["."]`, unless told. No patterns. */
  readonly paths?: ReadonlyArray<string>
  /** What changes nothing, in the syntax of `.gitignore`, from the working directory on; nothing unless told. */
  readonly ignore?: ReadonlyArray<string>
  /** So long nothing more may change before a change counts: from 10 ms to 30 s, 300 ms unless told. */
  readonly debounce?: Duration.Input
  /** Whether `.gitignore` files, nested ones too, are heeded; `true` unless told. */
  readonly gitignore?: boolean
}

/**
 * Checked options.
 *
 * @category models
 * @since 0.1.0
 */
export interface WatchSettings {
  readonly paths: ReadonlyArray<string>
  readonly ignore: ReadonlyArray<string>
  readonly debounce: Duration.Duration
  readonly gitignore: boolean
}

/**
 * The machine has no room for more watches.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitReached extends Schema.TaggedClass<LimitReached>("@nexobot/process-supervisor/Watch/LimitReached")(
  "LimitReached",
  {
    /** The system's code: `ENOSPC` for too many files, `EMFILE` for too many who watch. */
    code: Schema.String
  }
) {}

/**
 * It is not there, or was deleted while it was watched.
 *
 * @category errors
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/process-supervisor/Watch/Missing")("Missing", {}) {}

/**
 * The system refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedClass<Unavailable>("@nexobot/process-supervisor/Watch/Unavailable")(
  "Unavailable",
  { why: Schema.String }
) {}

/**
 * Nothing is watched any more. The process runs on.
 *
 * @category errors
 * @since 0.1.0
 */
export class WatchError extends Schema.TaggedError<WatchError>("@nexobot/process-supervisor/WatchError")("WatchError", {
  path: Schema.String,
  reason: Schema.Union([LimitReached, Missing, Unavailable])
}) {
  override get message(): string {
    switch (this.reason._tag) {
      case "LimitReached":
        return this.reason.code === "ENOSPC"
          ? `${this.path} is not watched any more: too many files are. Watch fewer with "paths" and "ignore", or raise fs.inotify.max_user_watches.`
          : `${this.path} is not watched any more: too many programs watch files. End some, or raise fs.inotify.max_user_instances.`
      case "Missing":
        return `${this.path} is not watched any more: it is not there. Make it and restart the process, or change "paths".`
      case "Unavailable":
        return `${this.path} is not watched any more: ${this.reason.why}. See whether it can be read, then restart the process.`
    }
  }
}

const checks = Options.checks("Watch")

const texts = (option: string, values: ReadonlyArray<string>): ReadonlyArray<string> =>
  Array.isArray(values)
    ? values.map((value, index) => checks.nonEmptyString(`${option}[${index}]`, value))
    : checks.fail(option, values, "an array of strings")

/**
 * Checks options; none mean the whole working directory. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: WatchOptions = {}): WatchSettings => {
  checks.known(options, ["paths", "ignore", "debounce", "gitignore"])
  const paths = texts("paths", options.paths ?? ["."])
  if (paths.length === 0) checks.fail("paths", options.paths, "at least one path")
  // It is not done any more: a star would be watched for as a file of that name, in vain.
  for (const [index, path] of paths.entries()) {
    if (/[*?]/.test(path)) checks.fail(`paths[${index}]`, path, 'a folder or a file; patterns belong into "ignore"')
  }
  const debounce = checks.duration("debounce", options.debounce ?? "300 millis", "10 millis")
  return {
    paths,
    ignore: texts("ignore", options.ignore ?? []),
    debounce: Duration.isGreaterThan(debounce, Duration.seconds(30))
      ? checks.fail("debounce", options.debounce, "a duration of at most 30s")
      : debounce,
    gitignore: checks.boolean("gitignore", options.gitignore ?? true)
  }
}
