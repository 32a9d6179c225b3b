/**
 * The supervisor for programs that do not use Effect: plain options, promises, async iterables.
 *
 * @since 0.1.0
 */
import type * as Intensity from "@nexobot/core/Intensity"
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { ProcessControl, type ProcessStatus } from "@nexobot/core/ProcessControl"
import type { Receipt } from "@nexobot/core/ProcessIdentity"
import * as Verdict from "@nexobot/core/Verdict"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import type { Ecosystem, EcosystemOptions } from "./Ecosystem.ts"
import * as Group from "./Group.ts"
import type { LogLine, LogStats } from "./ProcessLog.ts"
import * as ProcessSpec from "./ProcessSpec.ts"
import * as Supervisor from "./Supervisor.ts"
import type { SupervisorEvent } from "./SupervisorEvent.ts"

type AnyProbe = Probe.Probe<Verdict.Signature>

/**
 * Whether something holds: a probe, for example of `@nexobot/probes`, or a function, whose rejection counts as no.
 *
 * @category models
 * @since 0.1.0
 */
export type Question = AnyProbe | (() => boolean | Promise<boolean>)

/**
 * As `ProcessSpec.make`, with functions beside probes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessOptions extends Omit<
  ProcessSpec.SpecOptions<AnyProbe, AnyProbe, AnyProbe>,
  "ready" | "liveness" | "prerequisites"
> {
  readonly ready?: Question | "spawned" | "notify" | "message" | RegExp
  readonly liveness?:
    | ProcessSpec.HeartbeatLiveness
    | (Omit<ProcessSpec.ProbeLiveness<AnyProbe>, "probe"> & { readonly probe: Question })
  readonly prerequisites?: ReadonlyArray<Question>
}

/**
 * As `Group.make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupOptions {
  readonly name: string
  /** `one_for_one` unless told. */
  readonly strategy?: Group.Strategy
  /** 10 restarts in 60 s unless told. */
  readonly intensity?: Intensity.Policy
  readonly members: ReadonlyArray<ProcessOptions | GroupOptions>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StartOptions extends Omit<Supervisor.SupervisorOptions, "autoStart"> {
  readonly processes: ReadonlyArray<ProcessOptions | GroupOptions>
  /** Its abortion stops everything. */
  readonly signal?: AbortSignal
}

/**
 * A running supervisor. A name is that of a process or of a group. Errors are `ProcessControlError`s.
 *
 * @category models
 * @since 0.1.0
 */
export interface SupervisorHandle extends AsyncDisposable {
  readonly id: string
  readonly start: (name: string) => Promise<void>
  readonly stop: (name: string) => Promise<Receipt>
  readonly restart: (name: string) => Promise<void>
  /** Without downtime: a new one takes the place of the old one when it is ready; rejects when it does not become so. */
  readonly reload: (name: string) => Promise<void>
  readonly signal: (name: string, signal: NodeJS.Signals) => Promise<void>
  readonly status: (name: string) => Promise<ProcessStatus>
  readonly list: () => Promise<ReadonlyArray<ProcessStatus>>
  /** Begins with the latest 256 events, and ends with the supervisor. */
  readonly events: () => AsyncIterable<SupervisorEvent>
  /** What one process, or each of them, writes from now on. */
  readonly logs: (name?: string) => AsyncIterable<LogLine>
  /** What became of every byte of its output. */
  readonly logStats: (name: string) => Promise<LogStats>
  /** For the other packages' functions that look at, or act on, these processes. */
  readonly context: Context.Context<ProcessControl | Supervisor.Supervisor>
  /** Stops everything, each process after those that depend on it. */
  readonly close: () => Promise<void>
}

const checks = Options.checks("startSupervisor")

/** A function said no, or failed. */
class Denied extends Schema.TaggedClass<Denied>("@nexobot/process-supervisor/Denied")("Question/Denied", {
  why: Schema.String
}) {}

const probeOf = (option: string, name: string, question: Question): AnyProbe => {
  if (typeof question === "object") return question
  if (typeof question !== "function") checks.fail(option, question, "a probe or a function")
  const denied = (why: string) => Verdict.unhealthy(new Denied({ why }))
  return Probe.make({
    name,
    reports: [Denied],
    check: Effect.promise(() =>
      // An async function, so that a throw is a rejection too.
      (async () => question())().then(
        (holds) => (holds ? Verdict.healthy : denied("no")),
        (cause) => denied(String(cause))
      )
    )
  })
}

const specOf = ({ liveness, prerequisites, ready, ...options }: ProcessOptions): ProcessSpec.ProcessSpec => {
  const { name } = options
  const isWord = typeof ready === "string" || ready instanceof RegExp || ready === undefined
  const isHeartbeat = liveness !== undefined && "heartbeat" in liveness
  return ProcessSpec.make<AnyProbe, AnyProbe, AnyProbe>({
    ...options,
    ...(ready === undefined ? {} : { ready: isWord ? ready : probeOf("ready", `${name} is ready`, ready) }),
    ...(liveness === undefined
      ? {}
      : {
          liveness: isHeartbeat
            ? liveness
            : { ...liveness, probe: probeOf("liveness.probe", `${name} is alive`, liveness.probe) }
        }),
    ...(prerequisites === undefined
      ? {}
      : {
          prerequisites: prerequisites.map((one, index) =>
            probeOf(`prerequisites[${index}]`, `prerequisite ${index + 1} of ${name}`, one)
          )
        })
  })
}

const memberOf = (options: ProcessOptions | GroupOptions): Group.Member => {
  if (typeof options !== "object" || options === null)
    checks.fail("processes", options, "options of processes and groups")
  return "members" in options ? Group.make({ ...options, members: options.members.map(memberOf) }) : specOf(options)
}

/**
 * Starts the processes, each as soon as what it depends on allows; resolves when each has become ready, has failed once, or
 * waits for something that is not to be had now. Rejects with `OptionError`, with `Unsupported` where there is no `/proc`,
 * with `StateFileError`, or with the signal's reason; nothing runs then.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startSupervisor = async (options: StartOptions): Promise<SupervisorHandle> => {
  checks.known(options, ["processes", "signal", "id", "strategy", "intensity", "stateFolder"])
  const { processes, signal, ...settings } = options
  if (!Array.isArray(processes)) checks.fail("processes", processes, "an array of processes and groups")
  const layer = Supervisor.layer(processes.map(memberOf), settings)
  signal?.throwIfAborted()
  const runtime = ManagedRuntime.make(layer)
  const onAbort = (): void => void runtime.dispose()
  const close = () => {
    signal?.removeEventListener("abort", onAbort)
    return runtime.dispose()
  }
  const supervisor = await runtime
    .runPromise(Supervisor.Supervisor, signal === undefined ? {} : { signal })
    .catch(async (cause) => {
      await close()
      throw signal?.aborted === true ? signal.reason : cause
    })
  signal?.addEventListener("abort", onAbort, { once: true })
  return {
    id: supervisor.id,
    // Not on the runtime: what became of the processes can be asked after it is disposed, too.
    start: (name) => Effect.runPromise(supervisor.start(name)),
    stop: (name) => Effect.runPromise(supervisor.stop(name)),
    restart: (name) => Effect.runPromise(supervisor.restart(name)),
    reload: (name) => Effect.runPromise(supervisor.reload(name)),
    signal: (name, what) => Effect.runPromise(supervisor.signal(name, what)),
    status: (name) => Effect.runPromise(supervisor.status(name)),
    list: () => Effect.runPromise(supervisor.list),
    events: () => Stream.toAsyncIterable(supervisor.events),
    logs: (name) => Stream.toAsyncIterable(supervisor.logs(name)),
    logStats: (name) => Effect.runPromise(supervisor.logStats(name)),
    context: await runtime.context(),
    close,
    [Symbol.asyncDispose]: close
  }
}

/**
 * Reads the ecosystem file of PM2; its `apps` are for `startSupervisor`. Rejects with `OptionError`, or with an
 * `EcosystemError` that says what is wrong with the file.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readEcosystem = async (path: string, options: EcosystemOptions = {}): Promise<Ecosystem> => {
  // Who has no such file does not load what reads it.
  const { read } = await import("./Ecosystem.ts")
  return Effect.runPromise(read(path, options))
}
