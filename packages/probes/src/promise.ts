/**
 * Probes for programs without Effect.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import type * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Runner from "./Runner.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface CheckOptions {
  /** Its abortion ends the check; nothing is left open then. */
  readonly signal?: AbortSignal
}

/**
 * Runs a check once. The services that a probe needs come in `context`, without which it does not compile: a
 * supervisor's handle has one with `ProcessControl`.
 *
 * Rejects only with the reason of `signal`, and with what a defective probe threw.
 *
 * @category operations
 * @since 0.1.0
 */
export const check = async <P extends Probe.Any>(
  probe: P,
  ...[options]: [Probe.Services<P>] extends [never]
    ? [options?: CheckOptions]
    : [options: CheckOptions & { readonly context: Context.Context<Probe.Services<P>> }]
): Promise<Verdict.Verdict<Probe.Signatures<P>>> => {
  const { context = Context.empty(), signal }: CheckOptions & { readonly context?: Context.Context<never> } =
    options ?? {}
  signal?.throwIfAborted()
  // The argument's type says what it reports, and sees to it that the context has what it needs.
  const run: Effect.Effect<Verdict.Verdict<Probe.Signatures<P>>> = probe.check as never // oxlint-disable-line typescript/no-unsafe-type-assertion
  return Effect.runPromiseWith(context)(run, signal === undefined ? {} : { signal }).catch((cause: unknown) => {
    throw signal?.aborted === true ? signal.reason : cause
  })
}

/**
 * A runner for plain Node. A name that is not watched is an `OptionError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunnerHandle<out S extends Verdict.Signature = Verdict.Signature> extends AsyncDisposable {
  /** Begins with the latest result of each probe, as `replayed`, and ends with the runner. */
  readonly results: () => AsyncIterable<Runner.Result<S>>
  readonly states: () => ReadonlyMap<string, Runner.State<S>>
  readonly state: (name: string) => Runner.State<S>
  /** Checks now, or waits for the check that is in flight. Rejects with the reason of `signal`, and when the runner stops. */
  readonly check: (name: string, options?: CheckOptions) => Promise<Runner.Result<S>>
  /** Ends all checks; resolves when they have ended, and after 5 seconds at the latest. */
  readonly stop: () => Promise<void>
}

/**
 * As `Runner.make`, and a signal that stops it.
 *
 * @category models
 * @since 0.1.0
 */
export type StartRunnerOptions<
  W extends ReadonlyArray<Runner.Watch>,
  G extends Probe.Any = never
> = Runner.RunnerOptions<W, G> & {
  readonly signal?: AbortSignal
} & ([Runner.Services<W, G>] extends [never]
    ? { readonly context?: Context.Context<never> }
    : { readonly context: Context.Context<Runner.Services<W, G>> })

const checks = Options.checks("Runner")

/** Also one of another realm, or of a library. */
const isSignal = (value: unknown): boolean =>
  Predicate.hasProperty(value, "aborted") && Predicate.hasProperty(value, "addEventListener")

/**
 * Starts a runner. Rejects with `OptionError` for bad options, and with the signal's reason if it is aborted already.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startRunner = async <const W extends ReadonlyArray<Runner.Watch>, const G extends Probe.Any = never>(
  options: StartRunnerOptions<W, G>
): Promise<RunnerHandle<Runner.Signatures<W>>> => {
  // A copy, so that what is no object at all gets to the checks of options, too.
  const { context = Context.empty(), signal, ...others } = { ...options }
  const made = Runner.make<W, G>(others)
  if (signal !== undefined && !isSignal(signal)) checks.fail("signal", signal, "an AbortSignal")
  if (!Context.isContext(context)) checks.fail("context", context, "a Context")
  signal?.throwIfAborted()
  const scope = Scope.makeUnsafe()
  // `StartRunnerOptions` has made sure that the context has what the probes need.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const complete = context as Context.Context<Runner.Services<W, G>>
  // Not synchronously: the checks would have a scheduler that never lets the rest of the process run.
  const runner = await Effect.runPromiseWith(complete)(Scope.provide(made, scope))
  const stop = () => {
    signal?.removeEventListener("abort", onAbort)
    return (closing ??= Effect.runPromise(Scope.close(scope, Exit.void)))
  }
  const onAbort = () => void stop()
  let closing: Promise<void> | undefined
  signal?.addEventListener("abort", onAbort, { once: true })
  if (signal?.aborted === true) {
    await stop()
    signal.throwIfAborted()
  }
  return {
    results: () => Stream.toAsyncIterable(runner.results),
    states: () => Effect.runSync(runner.states),
    state: (name) => Effect.runSync(runner.state(name)),
    check: async (name, { signal: given }: CheckOptions = {}) => {
      given?.throwIfAborted()
      const exit = await Effect.runPromiseExit(runner.check(name), given === undefined ? {} : { signal: given })
      if (Exit.isSuccess(exit)) return exit.value
      given?.throwIfAborted()
      throw Cause.hasInterruptsOnly(exit.cause) ? new Error("the runner has stopped") : Cause.squash(exit.cause)
    },
    stop,
    [Symbol.asyncDispose]: stop
  }
}
