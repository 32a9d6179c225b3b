/**
 * Runs a program and judges how it ends, and what it says: a check of your own, or one of the many that monitoring
 * systems have.
 *
 * A program that cannot be started makes the check inconclusive: it is the means of the check, and says nothing about
 * what it was to look at.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import { run, type Ended } from "./internal/command.ts"
import { excerpt } from "./internal/excerpt.ts"
import { statusOf } from "./internal/filePool.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * It ended with an exit code that means failure, by a signal, or because it wrote too much.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Failed extends Schema.TaggedClass<Failed>("@nexobot/probes/Command/Failed")("Command/Failed", {
  file: Schema.String,
  exitCode: Schema.optionalKey(Schema.Int),
  /** That ended it, for example `SIGSEGV`. */
  signal: Schema.optionalKey(Schema.String),
  /** It wrote more than `maxOutput`, and was killed for that. */
  flooded: Schema.Boolean,
  /** What it wrote to stderr, else to stdout; redacted, at most 200 characters. */
  output: Schema.String
}) {}

/**
 * It did not end in time, and was killed with all of its process group.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/probes/Command/Timeout")("Command/Timeout", {
  file: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * It ended with an exit code of `degradedExit`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Warned extends Schema.TaggedClass<Warned>("@nexobot/probes/Command/Warned")("Command/Warned", {
  file: Schema.String,
  exitCode: Schema.Int,
  /** What it wrote to stdout, else to stderr; redacted, at most 200 characters. */
  output: Schema.String
}) {}

/**
 * It ended well, and its stdout does not match `expectOutput`.
 *
 * @category signatures
 * @since 0.1.0
 */
export class UnexpectedOutput extends Schema.TaggedClass<UnexpectedOutput>("@nexobot/probes/Command/UnexpectedOutput")(
  "Command/UnexpectedOutput",
  {
    file: Schema.String,
    /** Its stdout; redacted, at most 200 characters. */
    output: Schema.String
  }
) {}

/**
 * The variables of this process's own environment that the program gets unless told otherwise.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultInheritEnv: ReadonlyArray<string> = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"]

/**
 * @category models
 * @since 0.1.0
 */
export interface CommandProbeOptions {
  readonly name: string
  /**
   * Path of the executable, or a name to look up on `PATH`; never a shell line. The system gives a file that begins with
   * no `#!` line, and is no binary, to `/bin/sh`.
   */
  readonly file: string
  /** Visible to every user of the machine, and shown as the target: a secret belongs into `env` or `input`. */
  readonly args?: ReadonlyArray<string>
  /** The working directory of this process unless told. */
  readonly cwd?: string
  /** Variables for the program; a `Redacted` value is unwrapped only for it. */
  readonly env?: Readonly<Record<string, string | Redacted.Redacted>>
  /**
   * Names of variables that it takes over from this process's environment; `defaultInheritEnv` unless told. Values of
   * others than these are hidden in what it says.
   */
  readonly inheritEnv?: ReadonlyArray<string>
  /** Written to its stdin, which is empty unless told. */
  readonly input?: string | Redacted.Redacted
  /** Exit codes that are healthy; 0 unless told. */
  readonly expectExit?: ReadonlyArray<number>
  /** Exit codes that are degraded, reported as `Command/Warned`; none unless told. */
  readonly degradedExit?: ReadonlyArray<number>
  /** Exit codes by which it says that it could not check; none unless told. */
  readonly inconclusiveExit?: ReadonlyArray<number>
  /** What its stdout must match after a healthy exit; a text is taken for a regular expression. */
  readonly expectOutput?: RegExp | string
  /** Bytes of stdout, and of stderr, that are read; what writes more is killed. 64 KiB unless told. */
  readonly maxOutput?: number
  /** Until it has ended; 10 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * What a probe with these options can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = Failed | Timeout | Given<O, "degradedExit", Warned> | Given<O, "expectOutput", UnexpectedOutput>

const checks = Options.checks("CommandProbe")

const known: ReadonlyArray<keyof CommandProbeOptions> = [
  "name",
  "file",
  "args",
  "cwd",
  "env",
  "inheritEnv",
  "input",
  "expectExit",
  "degradedExit",
  "inconclusiveExit",
  "expectOutput",
  "maxOutput",
  "timeout"
]

/** The operating system ends a string at the first NUL: what follows would be dropped in silence. */
const plain = (option: string, value: unknown): string =>
  typeof value === "string" && !value.includes("\0") ? value : checks.fail(option, value, "a string without NUL")

const list = (option: string, value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : checks.fail(option, value, "an array")

const secretOr = (option: string, given: unknown): string => {
  const value: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
  // The value itself must not get into the error: whoever forgot to redact it has a secret there all the same.
  return typeof value === "string" && !value.includes("\0")
    ? value
    : checks.fail(option, typeof value, "a string without NUL, which may be redacted")
}

const exits = (option: string, value: unknown): ReadonlyArray<number> =>
  list(option, value).map((code) => checks.integer(option, code, 0, 255))

const own = (given: CommandProbeOptions["env"]): Readonly<Record<string, string>> => {
  const env = given ?? {}
  // Any name is known; a `Map` has none.
  checks.known(env, Object.keys(env), "env.")
  const entries: ReadonlyArray<[string, unknown]> = Object.entries(env)
  return Object.fromEntries(
    entries.map(([key, value]) => {
      if (!/^[^=\0]+$/.test(key)) checks.fail("env", key, "names without = and NUL")
      return [key, secretOr(`env.${key}`, value)]
    })
  )
}

/** The variables of these names at the moment. */
const environment = (names: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value] as const]
    })
  )

/** What the system looks for where there is no `PATH`. */
const defaultPath = "/usr/local/bin:/bin:/usr/bin"

/**
 * Whether a program that ended well and said nothing has no content, as one has that was cut off when the disk was full:
 * it is started all the same.
 */
const isEmpty = Effect.fnUntraced(function* (file: string, cwd = ".", path = defaultPath) {
  const folders = file.includes("/") ? [""] : path.split(":")
  for (const folder of folders) {
    const status = yield* Effect.option(statusOf(Path.resolve(cwd, folder, file)))
    if (Option.isSome(status) && status.value.isFile()) return status.value.size === 0
  }
  return false
})

const checkedExits = ({ degradedExit, expectExit, inconclusiveExit }: CommandProbeOptions) => {
  const healthy = exits("expectExit", expectExit ?? [0])
  if (healthy.length === 0) checks.fail("expectExit", expectExit, "at least one exit code")
  const degraded = exits("degradedExit", degradedExit ?? [])
  if (degradedExit !== undefined && degraded.length === 0) checks.fail("degradedExit", [], "at least one exit code")
  const unknown = exits("inconclusiveExit", inconclusiveExit ?? [])
  const twice = (code: number) => [healthy, degraded, unknown].filter((codes) => codes.includes(code)).length > 1
  for (const code of degraded) if (twice(code)) checks.fail("degradedExit", code, "codes that mean nothing else")
  for (const code of unknown) if (twice(code)) checks.fail("inconclusiveExit", code, "codes that mean nothing else")
  return { healthy, degraded, unknown }
}

const describe = ({ exitCode, flooded, signal }: Ended): string =>
  flooded ? "wrote too much and was killed" : signal === undefined ? `exit code ${exitCode}` : `ended by ${signal}`

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends CommandProbeOptions>(
  options: Exactly<O, CommandProbeOptions>
): Probe.Probe<Found<O>> => {
  const given: CommandProbeOptions = options
  checks.known(given, known)
  const file = plain("file", checks.nonEmptyString("file", given.file))
  const args = list("args", given.args ?? []).map((arg, index) => plain(`args[${index}]`, arg))
  const cwd = given.cwd === undefined ? undefined : plain("cwd", checks.nonEmptyString("cwd", given.cwd))
  const env = own(given.env)
  const inherited = list("inheritEnv", given.inheritEnv ?? defaultInheritEnv).map((name, index) =>
    checks.nonEmptyString(`inheritEnv[${index}]`, name)
  )
  const input = secretOr("input", given.input ?? "")
  const { degraded, healthy, unknown } = checkedExits(given)
  const expected = given.expectOutput === undefined ? undefined : checks.pattern("expectOutput", given.expectOutput)
  const maxOutput = checks.integer("maxOutput", given.maxOutput ?? 64 * 1024, 1, 16 * 1024 * 1024)
  const timeout = checks.duration("timeout", given.timeout ?? "10 seconds", "1 millis")

  // What the program was told, it may say again.
  const secrets = [...Object.values(given.env ?? {}), given.input].filter((value) => Redacted.isRedacted(value))
  const ownSecrets = Redaction.make(secrets)
  const named = inherited.filter((variable) => !defaultInheritEnv.includes(variable))
  const target = excerpt(`command:${[file, ...args].join(" ")}`, ownSecrets)

  const judge = (ended: Ended, redactor: Redaction.Redactor): Verdict.Verdict<Found<CommandProbeOptions>> => {
    const { exitCode, flooded, signal } = ended
    const show = (text: string) => excerpt(text, redactor, flooded && Buffer.byteLength(text) >= maxOutput)
    const [out, err] = [show(ended.stdout), show(ended.stderr)]
    const says = (output: string) => [`${file}: ${describe(ended)}${output === "" ? "" : `: ${output}`}`]
    if (exitCode === undefined || flooded || ![...healthy, ...degraded, ...unknown].includes(exitCode)) {
      const output = err === "" ? out : err
      const how = { ...(exitCode === undefined ? {} : { exitCode }), ...(signal === undefined ? {} : { signal }) }
      return Verdict.unhealthy(new Failed({ file, ...how, flooded, output }), says(output))
    }
    const output = out === "" ? err : out
    if (unknown.includes(exitCode)) return Verdict.inconclusive(says(output).join())
    if (degraded.includes(exitCode)) return Verdict.degraded(new Warned({ file, exitCode, output }), says(output))
    // A copy: a sticky or global expression remembers where it stopped.
    if (expected === undefined || new RegExp(expected).test(ended.stdout)) return Verdict.healthy
    return Verdict.unhealthy(new UnexpectedOutput({ file, output: out }), [`${file}: unexpected output: ${out}`])
  }
  const check = Effect.gen(function* () {
    // What it takes over by name may be a secret too.
    const inheritedSecrets = Redaction.make(Object.values(environment(named)))
    const redactor = Redaction.andThen(Redaction.andThen(ownSecrets, inheritedSecrets), yield* Redaction.Redactor)
    const all = { ...environment(inherited), ...env }
    const ended = yield* run({ file, args, ...(cwd === undefined ? {} : { cwd }), env: all, input, maxOutput })
    if (ended.exitCode === 0 && ended.stdout + ended.stderr === "" && (yield* isEmpty(file, cwd, all["PATH"]))) {
      return Verdict.inconclusive(`${file} is an empty file`)
    }
    return judge(ended, redactor)
  }).pipe(
    Effect.catch((code) =>
      Effect.succeed(Verdict.inconclusive(`${file} cannot be started: ${ownFault(code) ?? code.slice(0, 200)}`))
    ),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.sync(() => Verdict.unhealthy(new Timeout({ file, after: timeout }), [`${file}: did not end in time`]))
    })
  )
  const asked = {
    file,
    args,
    cwd,
    secret: Redacted.make({ env, input }),
    inherited,
    exits: { degraded, healthy, unknown },
    expected: expected?.toString(),
    maxOutput,
    timeout
  }
  const probe = Probe.make({
    name: given.name,
    reports: [
      Failed,
      Timeout,
      ...(given.degradedExit === undefined ? [] : [Warned]),
      ...(expected === undefined ? [] : [UnexpectedOutput])
    ],
    target,
    timeout,
    question: ["CommandProbe", asked],
    check
  })
  // Which signatures there are the options say, here and in the type.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
