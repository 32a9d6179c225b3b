/**
 * The recovery loop for plain Node: options in; promises, async iterables and `AbortSignal` out.
 *
 * @since 0.1.0
 */
import type * as Component from "@nexobot/core/Component"
import * as Lease from "@nexobot/core/Lease"
import * as Redaction from "@nexobot/core/Redaction"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

import * as FileJournal from "./FileJournal.ts"
import * as Journal from "./Journal.ts"
import * as Recovery from "./Recovery.ts"
import type * as Report from "./Report.ts"

/**
 * A running loop.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunningRecovery extends AsyncDisposable {
  readonly components: ReadonlyArray<string>
  readonly states: () => Promise<ReadonlyArray<Report.ComponentState>>
  /** The states now, then anew after each change, until the loop stops or the iteration ends. */
  readonly changes: () => AsyncIterable<ReadonlyArray<Report.ComponentState>>
  /** Rejects with `UnknownComponent`, which names the known ones. */
  readonly recover: (component: string) => Promise<Report.Outcome>
  readonly recoverAll: () => Promise<ReadonlyArray<Report.Outcome>>
  readonly log: () => Promise<ReadonlyArray<Report.RecoveryLogEntry>>
  readonly statistics: () => Promise<Report.Statistics>
  /** The loop as an Effect service, for `@nexobot/console/promise`. */
  readonly service: Recovery.Recovery["Service"]
  /** Stops watching; a remedy in progress is interrupted and probed at the next start. */
  readonly stop: () => Promise<void>
}

/**
 * @category models
 * @since 0.1.0
 */
export type StartOptions<R> = Recovery.RecoveryOptions & {
  /** Path of the journal file; in memory unless told, and then nothing survives the process. */
  readonly journal?: string
  /** What must not appear in journal, log, states and outcomes, besides what looks like a secret. */
  readonly secrets?: ReadonlyArray<string | Redacted.Redacted>
  /** Stops the loop when aborted. */
  readonly signal?: AbortSignal
} & ([R] extends [never]
    ? { readonly context?: Context.Context<never> }
    : {
        /** Services of the components, for example the `context` of a running supervisor. */
        readonly context: Context.Context<R>
      })

/**
 * Starts the loop. Rejects with `OptionError` for bad options, with `JournalError` when the journal cannot be used, and
 * with the signal's reason when it is aborted before the loop runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startRecovery = async <const C extends ReadonlyArray<Component.Any>>(
  components: C,
  ...[options]: [Component.Services<C[number]>] extends [never]
    ? [options?: StartOptions<never>]
    : [options: StartOptions<Component.Services<C[number]>>]
): Promise<RunningRecovery> => {
  const { context = Context.empty(), journal, secrets = [], signal, ...policy } = options ?? {}
  signal?.throwIfAborted()
  const embedded = Layer.provide(Recovery.layer(components, policy), [
    journal === undefined ? Journal.layerMemory : FileJournal.layer(journal),
    Lease.layerMemory,
    Layer.succeed(Redaction.Redactor, Redaction.make(secrets)),
    Logger.layer([Redaction.logger(Logger.defaultLogger)])
  ])
  // `StartOptions` has made sure that the context has what the components need.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const loop = Layer.provide(embedded, Layer.succeedContext(context)) as Layer.Layer<
    Recovery.Recovery,
    Journal.JournalError
  >
  const runtime = ManagedRuntime.make(loop)
  const abort = () => void stop()
  const stop = () => {
    signal?.removeEventListener("abort", abort)
    return runtime.dispose()
  }
  signal?.addEventListener("abort", abort, { once: true })
  try {
    const service = await runtime.runPromise(Recovery.Recovery)
    signal?.throwIfAborted()
    return {
      service,
      components: service.components,
      states: () => runtime.runPromise(service.states),
      changes: () => Stream.toAsyncIterable(service.changes),
      recover: (component) => runtime.runPromise(service.recover(component)),
      recoverAll: () => runtime.runPromise(service.recoverAll),
      log: () => runtime.runPromise(service.log),
      statistics: () => runtime.runPromise(service.statistics),
      stop,
      [Symbol.asyncDispose]: stop
    }
  } catch (error) {
    await stop()
    signal?.throwIfAborted()
    throw error
  }
}
