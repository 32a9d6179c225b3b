/**
 * What to run, and how to start, watch and stop it. A plain value: nothing starts before a supervisor takes it.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Probe from "@nexobot/core/Probe"
import type { Signature } from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

import * as RestartPolicy from "./RestartPolicy.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface ProcessSpec<out R = never> {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string | undefined
  readonly env: Readonly<Record<string, string | Redacted.Redacted>>
  readonly inheritEnv: ReadonlyArray<string>
  readonly restartPolicy: RestartPolicy.RestartPolicy
  readonly stopGrace: Duration.Duration
  readonly stopSignal: NodeJS.Signals
  readonly startGrace: Duration.Duration
  readonly ready: Probe.Probe<Signature, R> | undefined
  readonly logFile: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = ProcessSpec<unknown>

/**
 * The services that a process's readiness probe needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<P> = P extends ProcessSpec<infer R> ? R : never

/**
 * The variables of the supervisor's own environment that a child gets unless told otherwise. Anything else, secrets
 * above all, is handed over by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultInheritEnv: ReadonlyArray<string> = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"]

/**
 * The variable by which a process, and whatever it leaves behind, is recognised. It names the supervisor's id, the
 * process, and by pid and start time the process that supervises it: `<id>/<name>/<pid>.<start time>`.
 *
 * @category constants
 * @since 0.1.0
 */
export const cookieVariable = "NEXO_SUPERVISED"

/**
 * @category models
 * @since 0.1.0
 */
export interface SpecOptions<P extends Probe.Any = never> {
  /** Unique within a supervisor: letters, digits, and `_ . @ : -`. */
  readonly name: string
  /** Path of the executable, or a name to look up on the child's `PATH`; never a shell line. */
  readonly command: string
  readonly args?: ReadonlyArray<string>
  /** The supervisor's own working directory unless told. */
  readonly cwd?: string
  /** Variables for this process; a `Redacted` value is unwrapped only for the child. */
  readonly env?: Readonly<Record<string, string | Redacted.Redacted>>
  /** Names of variables that the child takes over from the supervisor's environment; `defaultInheritEnv` unless told. */
  readonly inheritEnv?: ReadonlyArray<string>
  /** `RestartPolicy.make()` unless told. */
  readonly restartPolicy?: RestartPolicy.RestartPolicy
  /** How long the tree may take to end after the stop signal, before SIGKILL; 5 s unless told. */
  readonly stopGrace?: Duration.Input
  /** `SIGTERM` unless told. */
  readonly stopSignal?: NodeJS.Signals
  /** How long it may be `Starting`; 10 s unless told. */
  readonly startGrace?: Duration.Input
  /** Healthy or degraded means ready. Without it a process counts as running as soon as it is spawned. */
  readonly ready?: P
  /** Gets stdout and stderr, appended as they come, mode 0600 when new. Without it output is discarded. */
  readonly logFile?: string
}

const checks = Options.checks("ProcessSpec")

const known: ReadonlyArray<string> = [
  "name",
  "command",
  "args",
  "cwd",
  "env",
  "inheritEnv",
  "restartPolicy",
  "stopGrace",
  "stopSignal",
  "startGrace",
  "ready",
  "logFile"
]

// The operating system ends a string at the first NUL: what follows would be dropped in silence.
const plainString = (option: string, value: unknown): string =>
  typeof value === "string" && !value.includes("\0") ? value : checks.fail(option, value, "a string without NUL")

const environment = (env: Readonly<Record<string, unknown>>): Record<string, string | Redacted.Redacted> =>
  Object.fromEntries(
    Object.entries(env).map(([key, value]) => {
      if (!/^[^=\0]+$/.test(key)) checks.fail("env", key, "names without = and NUL")
      if (key === cookieVariable) checks.fail(`env.${key}`, value, "another name: the supervisor sets this one")
      if (!Redacted.isRedacted(value)) return [key, plainString(`env.${key}`, value)]
      const secret = Redacted.value(value)
      // The value itself must not get into the error.
      if (typeof secret !== "string" || secret.includes("\0")) {
        checks.fail(`env.${key}`, value, "a redacted string without NUL")
      }
      return [key, Redacted.make(String(secret))]
    })
  )

const stopSignals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"] as const

/**
 * Makes a specification. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
// Generic in the probe, not in its services: those a surrounding array type would otherwise widen to `unknown`.
export const make = <P extends Probe.Any = never>(options: SpecOptions<P>): ProcessSpec<Probe.Services<P>> => {
  checks.known(options, known)
  const name = checks.nonEmptyString("name", options.name)
  if (!/^[\w.@:-]+$/.test(name)) checks.fail("name", name, "letters, digits, and _ . @ : -")
  const ready: Probe.Any | undefined = options.ready
  if (ready !== undefined && !Effect.isEffect(ready.check)) checks.fail("ready", ready, "a Probe")
  return {
    name,
    command: plainString("command", checks.nonEmptyString("command", options.command)),
    args: (options.args ?? []).map((arg, index) => plainString(`args[${index}]`, arg)),
    cwd: options.cwd === undefined ? undefined : checks.nonEmptyString("cwd", options.cwd),
    env: environment(options.env ?? {}),
    inheritEnv: (options.inheritEnv ?? defaultInheritEnv).map((one, index) =>
      checks.nonEmptyString(`inheritEnv[${index}]`, one)
    ),
    restartPolicy: options.restartPolicy ?? RestartPolicy.make(),
    stopGrace: checks.duration("stopGrace", options.stopGrace ?? "5 seconds"),
    stopSignal: checks.oneOf("stopSignal", options.stopSignal ?? "SIGTERM", stopSignals),
    startGrace: checks.duration("startGrace", options.startGrace ?? "10 seconds"),
    ready: ready as Probe.Probe<Signature, Probe.Services<P>> | undefined, // oxlint-disable-line typescript/no-unsafe-type-assertion
    logFile: options.logFile === undefined ? undefined : checks.nonEmptyString("logFile", options.logFile)
  }
}
