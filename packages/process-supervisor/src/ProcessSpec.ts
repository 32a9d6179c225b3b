/**
 * What to run, and how to start, watch and stop it. A plain value: nothing starts before a supervisor takes it.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Probe from "@nexobot/core/Probe"
import type { Signature } from "@nexobot/core/Verdict"
import * as Cron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

import * as Containment from "./Containment.ts"
import type { Until } from "./internal/plan.ts"
import * as ProcessLog from "./ProcessLog.ts"
import * as ResourceLimits from "./ResourceLimits.ts"
import * as RestartPolicy from "./RestartPolicy.ts"
import * as Watch from "./Watch.ts"

/**
 * How a process shows that it is ready: by being spawned, by a line on the descriptor of `NEXO_NOTIFY_FD`, by the message
 * `"ready"` over Node's channel, by a line that it writes, or by a probe.
 *
 * @category models
 * @since 0.1.0
 */
export type Ready<R> = "spawned" | "notify" | "message" | RegExp | Probe.Probe<Signature, R>

/**
 * How it is seen that a process still works.
 *
 * @category models
 * @since 0.1.0
 */
export type Liveness<R> =
  | { readonly _tag: "Heartbeat"; readonly within: Duration.Duration }
  | {
      readonly _tag: "Probe"
      readonly probe: Probe.Probe<Signature, R>
      readonly interval: Duration.Duration
      readonly timeout: Duration.Duration
      readonly failures: number
    }

/**
 * @category models
 * @since 0.1.0
 */
export interface Dependency {
  /** Of a process, or of a group, and then of each of its members. */
  readonly name: string
  /** `started`: it was spawned. `ready`. `completed`: it has ended well, as a migration does. */
  readonly until: Until
}

/**
 * What becomes of it when its supervisor is killed: it is ended within a second, or it goes on and the supervisor's next
 * life takes it over.
 *
 * @category models
 * @since 0.1.0
 */
export type OnSupervisorDeath = "die" | "survive"

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
  readonly envFile: string | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly instances: number
  readonly port: number | undefined
  readonly restartPolicy: RestartPolicy.RestartPolicy
  readonly dependsOn: ReadonlyArray<Dependency>
  readonly prerequisites: ReadonlyArray<Probe.Probe<Signature, R>>
  readonly ready: Ready<R>
  readonly minUptime: Duration.Duration
  readonly startGrace: Duration.Duration
  readonly stopSignals: ReadonlyArray<NodeJS.Signals>
  readonly stopGrace: Duration.Duration
  readonly liveness: Liveness<R> | undefined
  readonly memory: ResourceLimits.MemoryLimit | undefined
  readonly cpu: ResourceLimits.CpuLimit | undefined
  readonly maxAge: Duration.Duration | undefined
  readonly cron: Cron.Cron | undefined
  readonly watch: Watch.WatchSettings | undefined
  readonly containment: Containment.Tier
  readonly onSupervisorDeath: OnSupervisorDeath
  readonly log: ProcessLog.LogSettings | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = ProcessSpec<unknown>

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
 * The number of this life of the process: an old one that is drained while its successor runs is told from it by that.
 *
 * @category constants
 * @since 0.1.0
 */
export const lifeVariable = "NEXO_LIFE"

/**
 * @category models
 * @since 0.1.0
 */
export interface ProbeLiveness<L> {
  /** Healthy or degraded means alive; inconclusive means nothing. */
  readonly probe: L
  /** From one check to the next; 1 s unless told. */
  readonly interval?: Duration.Input
  /** A check that takes longer has failed; 1 s unless told, or as long as the probe's own bound. */
  readonly timeout?: Duration.Input
  /** So many failures in a row are its end; 3 unless told. */
  readonly failures?: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface HeartbeatLiveness {
  /**
   * It writes a line to the descriptor of `NEXO_NOTIFY_FD`, or sends a message over Node's channel, at least so often from
   * its first one on; `process-supervisor/app` does it every second. At least 100 ms.
   */
  readonly heartbeat: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SpecOptions<
  P extends Ready<unknown> = never,
  L extends Probe.Any = never,
  Q extends Probe.Any = never
> {
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
  /** A `.env` file, read at each start; `env` has the last word. */
  readonly envFile?: string
  /** Run as this user; only root may. Without `gid` it keeps the group of the supervisor, which is root's then. */
  readonly uid?: number
  readonly gid?: number
  /** So many of it, from 1 to 256, named `<name>:0`, `<name>:1`, … as a group `<name>`; `PORT` and `port` count up. */
  readonly instances?: number
  /**
   * On which it listens. Before each start the port is looked at: what an earlier life of ours left there is ended, and
   * anybody else's is `PortHeld`. Without `PORT` in `env` the child gets it as that, too.
   */
  readonly port?: number
  /** `RestartPolicy.make()` unless told. */
  readonly restartPolicy?: RestartPolicy.RestartOptions
  /** What has to have come before: names, which have to be ready, or how far. */
  readonly dependsOn?: ReadonlyArray<string | Dependency>
  /** Probes of what is not supervised here, such as Docker or Postgres: not started before all are healthy or degraded. */
  readonly prerequisites?: ReadonlyArray<Q>
  /** `spawned` unless told. A probe is asked every 25 ms, and healthy or degraded means ready. */
  readonly ready?: P | "spawned" | "notify" | "message" | RegExp
  /** It counts as ready no sooner than it has run so long; 0 unless told. */
  readonly minUptime?: Duration.Input
  /** Who is not ready after so long has failed with `ReadinessTimeout`; 10 s unless told. */
  readonly startGrace?: Duration.Input
  /** Sent in turn, each after `stopGrace`, and SIGKILL after the last; `SIGTERM` unless told. */
  readonly stopSignal?: NodeJS.Signals | ReadonlyArray<NodeJS.Signals>
  /** How long the tree may take to end after each stop signal; 5 s unless told. */
  readonly stopGrace?: Duration.Input
  /** Who does not live up to it is stopped, and restarted by its policy. */
  readonly liveness?: HeartbeatLiveness | ProbeLiveness<L>
  /** For the whole tree: who is above it for longer than `sustain` is stopped, and restarted by its policy. */
  readonly memory?: ResourceLimits.MemoryOptions
  readonly cpu?: ResourceLimits.CpuOptions
  /** Replaced after running so long. */
  readonly maxAge?: Duration.Input
  /** Replaced at these times: a cron expression, in the machine's time zone. */
  readonly cron?: string
  /** Replaced when files change, and started again if it had been given up; off unless told. */
  readonly watch?: Watch.WatchOptions
  /** `group` unless told. */
  readonly containment?: Containment.Tier
  /**
   * `die` unless told. What survives writes straight to its log file, and can show that it is ready and alive only by
   * probes: a channel to its supervisor would break.
   */
  readonly onSupervisorDeath?: OnSupervisorDeath
  /** Where its output goes, a path or more; without it output is shown in `logs` and kept nowhere. */
  readonly log?: string | ProcessLog.LogOptions
}

const checks = Options.checks("ProcessSpec")

const known: ReadonlyArray<string> = [
  "name",
  "command",
  "args",
  "cwd",
  "env",
  "inheritEnv",
  "envFile",
  "uid",
  "gid",
  "instances",
  "port",
  "restartPolicy",
  "dependsOn",
  "prerequisites",
  "ready",
  "minUptime",
  "startGrace",
  "stopSignal",
  "stopGrace",
  "liveness",
  "memory",
  "cpu",
  "maxAge",
  "cron",
  "watch",
  "containment",
  "onSupervisorDeath",
  "log"
]

// The operating system ends a string at the first NUL: what follows would be dropped in silence.
const plainString = (option: string, value: unknown): string =>
  typeof value === "string" && !value.includes("\0") ? value : checks.fail(option, value, "a string without NUL")

const listOf = <A>(option: string, values: ReadonlyArray<A>, expected: string): ReadonlyArray<A> =>
  Array.isArray(values) ? values : checks.fail(option, values, expected)

/** The one above it stands for nobody. */
const highestUser = 2 ** 32 - 2

const reserved = new Set([cookieVariable, lifeVariable, "NEXO_NOTIFY_FD"])

const environment = (env: Readonly<Record<string, unknown>>): Record<string, string | Redacted.Redacted> => {
  if (typeof env !== "object" || Array.isArray(env)) checks.fail("env", Redacted.make(env), "an object of variables")
  return Object.fromEntries(
    Object.entries(env).map(([key, value]) => {
      if (!/^[^=\0]+$/.test(key)) checks.fail("env", key, "names without = and NUL")
      if (reserved.has(key)) checks.fail(`env.${key}`, value, "another name: the supervisor sets this one")
      if (!Redacted.isRedacted(value)) return [key, plainString(`env.${key}`, value)]
      const secret = Redacted.value(value)
      // The value itself must not get into the error.
      if (typeof secret !== "string" || secret.includes("\0")) {
        checks.fail(`env.${key}`, value, "a redacted string without NUL")
      }
      return [key, Redacted.make(String(secret))]
    })
  )
}

const stopSignals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"] as const

const signalsOf = (given: SpecOptions["stopSignal"] = "SIGTERM"): ReadonlyArray<NodeJS.Signals> => {
  const signals = typeof given === "string" ? [given] : given
  if (!Array.isArray(signals) || signals.length === 0) checks.fail("stopSignal", given, "a signal, or several in turn")
  return signals.map((signal) => checks.oneOf("stopSignal", signal, stopSignals))
}

const nameOf = (option: string, value: unknown): string => {
  const name = checks.nonEmptyString(option, value)
  return /^[\w.@:-]+$/.test(name) ? name : checks.fail(option, name, "letters, digits, and _ . @ : -")
}

const dependency = (given: string | Dependency, index: number): Dependency => {
  const option = `dependsOn[${index}]`
  if (typeof given === "string") return { name: nameOf(option, given), until: "ready" }
  checks.known(given, ["name", "until"], `${option}.`)
  return {
    name: nameOf(`${option}.name`, given.name),
    until: checks.oneOf(`${option}.until`, given.until, ["started", "ready", "completed"])
  }
}

const isProbe = (value: unknown): value is Probe.Any =>
  typeof value === "object" && value !== null && "check" in value && Effect.isEffect(value.check)

const readyOf = (ready: unknown): Ready<unknown> => {
  if (ready instanceof RegExp || isProbe(ready)) return ready
  if (ready === "spawned" || ready === "notify" || ready === "message") return ready
  return checks.fail("ready", ready, '"spawned", "notify", "message", a pattern for a line of its output, or a Probe')
}

const livenessOf = (options: HeartbeatLiveness | ProbeLiveness<Probe.Any>): Liveness<unknown> => {
  if (typeof options === "object" && options !== null && "heartbeat" in options) {
    checks.known(options, ["heartbeat"], "liveness.")
    return { _tag: "Heartbeat", within: checks.duration("liveness.heartbeat", options.heartbeat, "100 millis") }
  }
  checks.known(options, ["probe", "interval", "timeout", "failures"], "liveness.")
  const { probe } = options
  if (!isProbe(probe)) checks.fail("liveness.probe", probe, "a Probe")
  return {
    _tag: "Probe",
    probe,
    interval: checks.duration("liveness.interval", options.interval ?? "1 second", "10 millis"),
    // Shorter than its own bound, and a check could never say what it found.
    timeout: checks.duration(
      "liveness.timeout",
      options.timeout ?? probe.timeout ?? "1 second",
      probe.timeout ?? "1 millis"
    ),
    failures: checks.integer("liveness.failures", options.failures ?? 3, 1)
  }
}

const cronOf = (expression: unknown): Cron.Cron => {
  const cron = Result.flatMap(
    Cron.parse(checks.nonEmptyString("cron", expression), DateTime.zoneMakeLocal()),
    (parsed) => Result.try(() => (Cron.next(parsed), parsed))
  )
  return Result.isSuccess(cron) ? cron.success : checks.fail("cron", expression, "a cron expression, such as 0 4 * * *")
}

const optional = <A, B>(value: A | undefined, check: (value: A) => B): B | undefined =>
  value === undefined ? undefined : check(value)

/** What a supervisor's death would break must not be relied on by what outlives it. */
const checkSurvival = (spec: Any): void => {
  if (spec.onSupervisorDeath === "die") return
  const expected = 'something else, as it is to "survive": only probes still work then'
  if (spec.ready !== "spawned" && !isProbe(spec.ready)) checks.fail("ready", spec.ready, expected)
  if (spec.liveness?._tag === "Heartbeat") checks.fail("liveness.heartbeat", spec.liveness.within, expected)
}

/**
 * Makes a specification. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
// Generic in the probes, not in their services: those a surrounding array type would otherwise widen to `unknown`. What
// else `ready` can be is inferred as well, and needs no service.
export const make = <P extends Ready<unknown> = never, L extends Probe.Any = never, Q extends Probe.Any = never>(
  options: SpecOptions<P, L, Q>
): ProcessSpec<Probe.Services<P | L | Q>> => {
  checks.known(options, known)
  const strings = (option: string, values: ReadonlyArray<string>) =>
    listOf(option, values, "an array of strings").map((value, index) => plainString(`${option}[${index}]`, value))
  const spec: Any = {
    name: nameOf("name", options.name),
    command: plainString("command", checks.nonEmptyString("command", options.command)),
    args: strings("args", options.args ?? []),
    cwd: optional(options.cwd, (cwd) => plainString("cwd", checks.nonEmptyString("cwd", cwd))),
    env: environment(options.env ?? {}),
    inheritEnv: strings("inheritEnv", options.inheritEnv ?? defaultInheritEnv).map((name, index) =>
      checks.nonEmptyString(`inheritEnv[${index}]`, name)
    ),
    envFile: optional(options.envFile, (path) => plainString("envFile", checks.nonEmptyString("envFile", path))),
    uid: optional(options.uid, (uid) => checks.integer("uid", uid, 0, highestUser)),
    gid: optional(options.gid, (gid) => checks.integer("gid", gid, 0, highestUser)),
    instances: checks.integer("instances", options.instances ?? 1, 1, 256),
    port: optional(options.port, (port) => checks.port("port", port)),
    restartPolicy: RestartPolicy.make(options.restartPolicy),
    dependsOn: listOf("dependsOn", options.dependsOn ?? [], "an array of names").map(dependency),
    prerequisites: listOf("prerequisites", options.prerequisites ?? [], "an array of probes").map((probe, index) =>
      isProbe(probe) ? probe : checks.fail(`prerequisites[${index}]`, probe, "a Probe")
    ),
    ready: readyOf(options.ready ?? "spawned"),
    minUptime: checks.duration("minUptime", options.minUptime ?? 0),
    startGrace: checks.duration("startGrace", options.startGrace ?? "10 seconds"),
    stopSignals: signalsOf(options.stopSignal),
    stopGrace: checks.duration("stopGrace", options.stopGrace ?? "5 seconds"),
    liveness: optional(options.liveness, livenessOf),
    memory: optional(options.memory, ResourceLimits.memory),
    cpu: optional(options.cpu, ResourceLimits.cpu),
    maxAge: optional(options.maxAge, (age) => checks.duration("maxAge", age, "1 second")),
    cron: optional(options.cron, cronOf),
    watch: optional(options.watch, Watch.make),
    containment: checks.oneOf("containment", options.containment ?? "group", Containment.tiers),
    onSupervisorDeath: checks.oneOf("onSupervisorDeath", options.onSupervisorDeath ?? "die", ["die", "survive"]),
    log: optional(options.log, (log) => ProcessLog.make(typeof log === "string" ? { file: log } : log))
  }
  checkSurvival(spec)
  return spec as ProcessSpec<Probe.Services<P | L | Q>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
