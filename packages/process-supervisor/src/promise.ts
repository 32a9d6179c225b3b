/**
 * The supervisor for programs that do not use Effect: plain options, promises, an async iterable.
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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"

import * as ProcessSpec from "./ProcessSpec.ts"
import * as RestartPolicy from "./RestartPolicy.ts"
import * as Supervisor from "./Supervisor.ts"
import type { SupervisorEvent } from "./SupervisorEvent.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface RestartOptions {
  /** `permanent` unless told. */
  readonly type?: RestartPolicy.RestartType
  /** The first restart comes at once; later ones after `initial` (100 ms), growing by `factor` (2) to `max` (2 s). */
  readonly delays?: {
    readonly initial?: Duration.Input
    readonly factor?: number
    readonly max?: Duration.Input
  }
  /** At most so many restarts within a window; 10 in 60 s unless told. */
  readonly intensity?: Intensity.Policy
  /** A run of at least this long begins the delays anew; 10 s unless told. */
  readonly stableAfter?: Duration.Input
}

/**
 * As `ProcessSpec.make`, with a plain restart policy and a plain question for readiness.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessOptions extends Omit<ProcessSpec.SpecOptions, "restartPolicy" | "ready"> {
  readonly restartPolicy?: RestartOptions
  /** Asked every 25 ms; a rejection counts as "not yet". */
  readonly ready?: () => boolean | Promise<boolean>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface StartOptions {
  readonly processes: ReadonlyArray<ProcessOptions>
  /** Names this supervisor for ever; see `Supervisor.SupervisorOptions`. */
  readonly id?: string
  /** Its abortion stops everything. */
  readonly signal?: AbortSignal
}

/**
 * A running supervisor. Errors are `ProcessControlError`s.
 *
 * @category models
 * @since 0.1.0
 */
export interface SupervisorHandle extends AsyncDisposable {
  readonly start: (name: string) => Promise<void>
  readonly stop: (name: string) => Promise<Receipt>
  readonly restart: (name: string) => Promise<void>
  readonly status: (name: string) => Promise<ProcessStatus>
  readonly list: () => Promise<ReadonlyArray<ProcessStatus>>
  /** Begins with the latest 256 events, and ends with the supervisor. */
  readonly events: () => AsyncIterable<SupervisorEvent>
  /** For the other packages' functions that look at, or act on, these processes. */
  readonly context: Context.Context<ProcessControl>
  /** Stops everything, in reverse order. */
  readonly close: () => Promise<void>
}

const checks = Options.checks("startSupervisor")

const policyOf = (options: RestartOptions): RestartPolicy.RestartPolicy => {
  checks.known(options, ["type", "delays", "intensity", "stableAfter"], "restartPolicy.")
  const { delays, ...others } = options
  return RestartPolicy.make(delays === undefined ? others : { ...others, schedule: RestartPolicy.backoff(delays) })
}

const probeOf = (name: string, ready: () => boolean | Promise<boolean>): Probe.Probe<never> =>
  Probe.make({
    name: `${name} is ready`,
    reports: [],
    check: Effect.promise(() =>
      // An async function, so that a throw is a rejection too.
      (async () => ready())().then(
        (isReady) => (isReady ? Verdict.healthy : Verdict.inconclusive("not yet")),
        (cause) => Verdict.inconclusive(String(cause))
      )
    )
  })

const specOf = ({ ready, restartPolicy, ...options }: ProcessOptions): ProcessSpec.ProcessSpec => {
  if (ready !== undefined && typeof ready !== "function") checks.fail("ready", ready, "a function")
  return ProcessSpec.make({
    ...options,
    ...(restartPolicy === undefined ? {} : { restartPolicy: policyOf(restartPolicy) }),
    ...(ready === undefined ? {} : { ready: probeOf(options.name, ready) })
  })
}

/**
 * Starts the processes in order; resolves when each is ready, has failed, or has had its start grace. Rejects with
 * `OptionError`, with `Unsupported` where there is no `/proc`, or with the signal's reason; nothing runs then.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startSupervisor = async (options: StartOptions): Promise<SupervisorHandle> => {
  checks.known(options, ["id", "processes", "signal"])
  const { id, signal } = options
  const layer = Supervisor.layer(options.processes.map(specOf), id === undefined ? {} : { id })
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
    // Not on the runtime: what became of the processes can be asked after it is disposed, too.
    start: (name) => Effect.runPromise(supervisor.start(name)),
    stop: (name) => Effect.runPromise(supervisor.stop(name)),
    restart: (name) => Effect.runPromise(supervisor.restart(name)),
    status: (name) => Effect.runPromise(supervisor.status(name)),
    list: () => Effect.runPromise(supervisor.list),
    events: () => Stream.toAsyncIterable(supervisor.events),
    context: await runtime.context(),
    close,
    [Symbol.asyncDispose]: close
  }
}
