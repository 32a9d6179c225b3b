/**
 * Watches any number of probes without becoming the load: every probe has its place in its interval, one target is
 * checked once at a time, equal probes share a check, and what fails is looked at more often until it is certain.
 *
 * It repairs nothing and alerts nobody: `HealthMonitor` and the recovery loop do, with what it finds.
 *
 * @since 0.1.0
 */
import type * as Probe from "@nexobot/core/Probe"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import * as Machine from "./internal/runner.ts"
import type { Runner } from "./internal/runner.ts"
import * as RunnerSettings from "./internal/runnerSettings.ts"
import type { RunnerOptions, Watch } from "./internal/runnerSettings.ts"

export type { Result, Runner, State } from "./internal/runner.ts"
export type { RunnerOptions, Watch } from "./internal/runnerSettings.ts"

/**
 * What the watched probes can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Signatures<W extends ReadonlyArray<Watch>> = Probe.Signatures<W[number]["probe"]>

/**
 * The services that the watched probes and the gate need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<W extends ReadonlyArray<Watch>, G extends Probe.Any> =
  | Probe.Services<W[number]["probe"]>
  | Probe.Services<G>

/**
 * A runner that begins with its first checks at once: a thousand a second, or as many as are needed so that each probe is
 * checked within its first interval.
 *
 * Options are checked when it is called; the clock, the source of randomness and the services are those of where the
 * effect runs. When its scope closes, all checks are interrupted, and their end is awaited for 5 seconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const W extends ReadonlyArray<Watch>, const G extends Probe.Any = never>(
  options: RunnerOptions<W, G>
): Effect.Effect<Runner<Signatures<W>>, never, Services<W, G> | Scope.Scope> => {
  const settings = RunnerSettings.checked(options)
  // Each probe reports its own signatures: together the union of them.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Machine.start<Services<W, G>>(settings) as never
}
