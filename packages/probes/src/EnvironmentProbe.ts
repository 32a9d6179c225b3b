/**
 * Looks at environment variables: whether they are there and have the form that they should have.
 *
 * No value is ever shown, nor a part of one, nor how long it is.
 *
 * @since 0.1.0
 */
import { parseEnv } from "node:util"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import { faultOf } from "./internal/environmentValue.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { readSmallFile } from "./internal/smallFile.ts"
import { ownFault } from "./internal/systemError.ts"

export {
  /**
   * The forms of well-known keys, for `pattern`.
   *
   * @category constants
   * @since 0.1.0
   */
  patterns
} from "./internal/environmentValue.ts"

/**
 * A variable that must be there is not.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/Environment/Missing")("Environment/Missing", {
  variable: Schema.String
}) {}

/**
 * A variable that must have a value is there without one: empty, or white space only.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Empty extends Schema.TaggedClass<Empty>("@nexobot/probes/Environment/Empty")("Environment/Empty", {
  variable: Schema.String
}) {}

/**
 * A value has not the form that it should have.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Malformed extends Schema.TaggedClass<Malformed>("@nexobot/probes/Environment/Malformed")(
  "Environment/Malformed",
  {
    variable: Schema.String,
    /** Without the value, for example `there are quotes around it`. */
    why: Schema.String
  }
) {}

/**
 * The file with the variables is not there, or is none.
 *
 * @category signatures
 * @since 0.1.0
 */
export class NoFile extends Schema.TaggedClass<NoFile>("@nexobot/probes/Environment/NoFile")("Environment/NoFile", {
  path: Schema.String,
  why: Schema.String
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface Variable {
  /** Whether it must be there and have a value; true unless told. */
  readonly required?: boolean
  /** What its value must match, for example `EnvironmentProbe.patterns.groq`. Anything unless told. */
  readonly pattern?: RegExp | string
  /** With `secret`, quotes, white space and well-known placeholders such as `changeme` are found. `text` unless told. */
  readonly kind?: "text" | "secret"
}

/**
 * @category models
 * @since 0.1.0
 */
export interface EnvironmentProbeOptions {
  readonly name: string
  /** What is expected, by name. */
  readonly variables: Readonly<Record<string, Variable>>
  /** The variables themselves; those of this process unless told. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The path of a `.env` file, in place of `env`. */
  readonly file?: string
  /** Until the file was read; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

type Any = Missing | Empty | Malformed | NoFile

type NeedsValue<V> = V extends { readonly required: false } ? never : Missing | Empty

type NeedsForm<V> = V extends unknown ? ("pattern" | "kind") & keyof V : never

type Variables<O> = O extends { readonly variables: infer V } ? V[keyof V] : never

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | NeedsValue<Variables<O>>
  | (NeedsForm<Variables<O>> extends never ? never : Malformed)
  | Given<O, "file", NoFile>

const checks = Options.checks("EnvironmentProbe")

/** A value in the wrong place may be a secret. */
const hidden = (value: unknown): unknown => (typeof value === "string" ? Redacted.make(value) : value)

/** The text of an expression that cannot be read is in the error of the engine, too. */
const checkedPattern = (at: string, pattern: unknown): RegExp => {
  try {
    return checks.pattern(at, pattern)
  } catch {
    return checks.fail(at, hidden(pattern), "a regular expression, or the text of one")
  }
}

const checkedVariable = ([name, variable]: readonly [string, Variable]) => {
  const at = `variables.${name}`
  if (name === "" || /[=\0]/.test(name)) checks.fail("variables", hidden(name), "names without = that are not empty")
  checks.known(variable, ["required", "pattern", "kind"], `${at}.`)
  const { kind, pattern, required } = variable
  if (typeof required === "string") checks.fail(`${at}.required`, hidden(required), "true or false")
  if (kind !== undefined && kind !== "text" && kind !== "secret") {
    checks.fail(`${at}.kind`, hidden(kind), "one of text, secret")
  }
  return {
    name,
    required: checks.boolean(`${at}.required`, required ?? true),
    pattern: pattern === undefined ? undefined : checkedPattern(`${at}.pattern`, pattern),
    isSecret: kind === "secret",
    hasForm: pattern !== undefined || kind !== undefined
  }
}

type Checked = ReturnType<typeof checkedVariable>

const judge = (variable: Checked, value: string | undefined): Missing | Empty | Malformed | undefined => {
  const { isSecret, name, pattern, required } = variable
  if (value === undefined) return required ? new Missing({ variable: name }) : undefined
  // What starts programs can often not leave a variable out, and leaves it empty instead.
  if (value.trim() === "") return required ? new Empty({ variable: name }) : undefined
  const why = faultOf(value, { isSecret, pattern })
  return why === undefined ? undefined : new Malformed({ variable: name, why })
}

const lineOf = (fault: Missing | Empty | Malformed): string => {
  if (fault._tag === "Environment/Missing") return `${fault.variable} is missing`
  return fault._tag === "Environment/Empty" ? `${fault.variable} is empty` : `${fault.variable}: ${fault.why}`
}

const isRecord = (env: unknown): boolean =>
  Predicate.isObject(env) && Object.values(env).every((value) => value === undefined || typeof value === "string")

/** Nobody writes so many variables by hand. */
const mostBytes = 100_000

const noFile = new Map([
  ["ENOENT", "it is not there"],
  ["ENOTDIR", "it is not there"],
  ["EISDIR", "it is a folder"],
  ["ELOOP", "it is a link to itself"],
  ["ENOTFILE", "it is no file"],
  ["ENXIO", "it is no file"],
  ["EFBIG", `it has more than ${mostBytes} bytes`]
])

const fromFile = (path: string) => Effect.map(readSmallFile(path, mostBytes), (text) => parseEnv(text))

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends EnvironmentProbeOptions>(
  options: Exactly<O, EnvironmentProbeOptions>
): Probe.Probe<Found<O>> => {
  const given: EnvironmentProbeOptions = options
  checks.known(given, ["name", "variables", "env", "file", "timeout"])
  const { env, file } = given
  if (typeof given.variables !== "object" || given.variables === null) {
    checks.fail("variables", typeof given.variables, "an object")
  }
  const variables = Object.entries(given.variables).map(checkedVariable)
  if (variables.length === 0) checks.fail("variables", given.variables, "at least one variable")
  if (file !== undefined) checks.nonEmptyString("file", file)
  if (env !== undefined && file !== undefined) checks.fail("env", typeof env, "none beside file")
  if (env !== undefined && !isRecord(env)) checks.fail("env", typeof env, "an object of strings")
  const timeout = checks.duration("timeout", given.timeout ?? "5 seconds", "1 millis")

  const source: Effect.Effect<Readonly<Record<string, string | undefined>>, string> = file === undefined
    ? Effect.sync(() => env ?? process.env)
    : fromFile(file)
  const check = source.pipe(
    Effect.map((values): Verdict.Verdict<Any> => {
      const faults = variables.flatMap((variable) => {
        const own = Object.hasOwn(values, variable.name) ? values[variable.name] : undefined
        return judge(variable, own) ?? []
      })
      const [first] = faults
      return first === undefined ? Verdict.healthy : Verdict.unhealthy(first, faults.map(lineOf))
    }),
    Effect.catch((code) => {
      const path = file ?? ""
      const why = noFile.get(code)
      return Effect.succeed(
        why === undefined
          ? Verdict.inconclusive(`${path}: ${ownFault(code) ?? code}`)
          : Verdict.unhealthy(new NoFile({ path, why }), [`${path}: ${why}`])
      )
    }),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(Verdict.inconclusive(`${file}: the file system did not answer in time`))
    })
  )
  const probe = Probe.make({
    name: given.name,
    reports: [
      ...(variables.some(({ required }) => required) ? [Missing, Empty] : []),
      ...(variables.some(({ hasForm }) => hasForm) ? [Malformed] : []),
      ...(file === undefined ? [] : [NoFile])
    ],
    target: file === undefined ? "environment" : `file://${file}`,
    timeout,
    // An object that is equal now may be another one later.
    question:
      env === undefined
        ? [
            "EnvironmentProbe",
            variables.map(({ isSecret, name, pattern, required }) => [name, required, isSecret, String(pattern)]),
            file,
            timeout
          ]
        : undefined,
    // A start cannot mend it, and may fail because of it.
    duringStartup: "judged",
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
