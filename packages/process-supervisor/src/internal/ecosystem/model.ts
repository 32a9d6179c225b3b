/** What an ecosystem file says, and why it may say nothing. */
import { format } from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import type * as ProcessSpec from "../../ProcessSpec.ts"
import type { SelfWatching } from "../../SelfWatching.ts"

/**
 * Options for `ProcessSpec.make<never>` and for `startSupervisor`, plain data. Values of variables that look like secrets are `Redacted`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppOptions extends Omit<ProcessSpec.SpecOptions, "ready" | "liveness" | "prerequisites"> {
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string | Redacted.Redacted>>
  readonly inheritEnv: ReadonlyArray<string>
  readonly ready?: "message"
}

/**
 * - `mapped`: it means here what it means in PM2.
 * - `changed`: there is something like it; `why` says how it differs.
 * - `refused`: it has no effect; `why` says what to do instead.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "mapped" | "changed" | "refused"

/**
 * What became of one field of one app.
 *
 * @category models
 * @since 0.1.0
 */
export interface FieldReport {
  /** `undefined` for what stands beside the apps. */
  readonly app: string | undefined
  /** As the file has it. */
  readonly field: string
  /** At most 80 characters, redacted; only the names of variables are shown. */
  readonly value: string
  readonly outcome: Outcome
  /** The options that it became, for example `restartPolicy.backoff`. */
  readonly to: string | undefined
  readonly why: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Ecosystem {
  /** The absolute path of the file. */
  readonly file: string
  /** In the order of the file; no two have a name or a port in common. */
  readonly apps: ReadonlyArray<AppOptions>
  /** What became of each field that is in the file, app by app, in its order. */
  readonly report: ReadonlyArray<FieldReport>
  /** Where fields are left out and PM2 would do something else; `value` is PM2's default. */
  readonly defaults: ReadonlyArray<FieldReport>
  /** Apps whose own command watches files: every save ends them. */
  readonly selfWatching: ReadonlyArray<SelfWatching & { readonly app: string }>
}

/**
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedClass<NotFound>("@nexobot/process-supervisor/Ecosystem/NotFound")(
  "NotFound",
  {}
) {}

/**
 * It is there and cannot be read or evaluated, for another reason than what is written in it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreadable extends Schema.TaggedClass<Unreadable>("@nexobot/process-supervisor/Ecosystem/Unreadable")(
  "Unreadable",
  { why: Schema.String }
) {}

/**
 * It is not written in its language, or threw.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unparsable extends Schema.TaggedClass<Unparsable>("@nexobot/process-supervisor/Ecosystem/Unparsable")(
  "Unparsable",
  {
    why: Schema.String,
    /** From 1, where it is known. */
    line: Schema.optionalKey(Schema.Int),
    column: Schema.optionalKey(Schema.Int)
  }
) {}

/**
 * It did not come to its end, and was killed with all that it had started.
 *
 * @category errors
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/process-supervisor/Ecosystem/Timeout")("Timeout", {
  after: Schema.DurationFromMillis
}) {}

/**
 * There is nothing to run in it.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoApps extends Schema.TaggedClass<NoApps>("@nexobot/process-supervisor/Ecosystem/NoApps")("NoApps", {}) {}

/**
 * A field has a value that PM2 would not take either, or names what is not there.
 *
 * @category errors
 * @since 0.1.0
 */
export class Invalid extends Schema.TaggedClass<Invalid>("@nexobot/process-supervisor/Ecosystem/Invalid")("Invalid", {
  /** Its name, or `apps[2]` when it has none. */
  app: Schema.String,
  field: Schema.String,
  /** At most 80 characters, redacted. */
  value: Schema.String,
  expected: Schema.String
}) {}

/**
 * Two apps have the same name, or the same port.
 *
 * @category errors
 * @since 0.1.0
 */
export class Duplicate extends Schema.TaggedClass<Duplicate>("@nexobot/process-supervisor/Ecosystem/Duplicate")(
  "Duplicate",
  {
    field: Schema.Literals(["name", "port"]),
    value: Schema.String,
    /** Their names, and places in the file, such as `web (apps[0])`. */
    apps: Schema.Array(Schema.String)
  }
) {}

/**
 * @category errors
 * @since 0.1.0
 */
export type Reason = NotFound | Unreadable | Unparsable | Timeout | NoApps | Invalid | Duplicate

/**
 * There is no ecosystem to be had from this file; `reason` says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class EcosystemError extends Schema.TaggedError<EcosystemError>("@nexobot/process-supervisor/EcosystemError")(
  "EcosystemError",
  {
    file: Schema.String,
    reason: Schema.Union([NotFound, Unreadable, Unparsable, Timeout, NoApps, Invalid, Duplicate])
  }
) {
  override get message(): string {
    const { file, reason } = this
    switch (reason._tag) {
      case "NotFound":
        return `${file} is not there: give the path of an ecosystem file, such as ecosystem.config.cjs`
      case "Unreadable":
        return `${file} cannot be read: ${reason.why}`
      case "Unparsable": {
        const at = [file, reason.line, reason.column].filter((part) => part !== undefined).join(":")
        return `${at} cannot be evaluated: ${reason.why}. Correct it there and read it again.`
      }
      case "Timeout":
        return `${file} was not done after ${format(reason.after)}: leave out of it what waits or goes on, or raise "timeout"`
      case "NoApps":
        return `${file} has no apps: export { apps: [{ name, script }] }`
      case "Invalid":
        return `${file}: "${reason.field}" of ${reason.app} is ${reason.value}, expected ${reason.expected}`
      case "Duplicate":
        return `${file}: ${reason.apps.join(" and ")} have the same ${reason.field}, ${reason.value}: give each its own`
    }
  }
}
