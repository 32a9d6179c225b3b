/**
 * Watches any number of probes without becoming the load: every probe has its place in its interval, one target is
 * checked once at a time, equal probes share a check, and what fails is looked at more often until it is certain.
 *
 * It repairs nothing and alerts nobody: `HealthMonitor` and the recovery loop do, with what it finds.
 *
 * @since 0.1.0
 */
import type * as Health from "@nexobot/core/Health"
import type * as Probe from "@nexobot/core/Probe"
import type * as Verdict from "@nexobot/core/Verdict"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"

import * as Machine from "./internal/runner.ts"
import * as RunnerSettings from "./internal/runnerSettings.ts"

/**
 * A probe, and how it is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watch<out P extends Probe.Any = Probe.Any> {
  /** Its name is that of no other in the runner. */
  readonly probe: P
  /** From one check to the next, at least 10 ms and the timeout of the probe; 10 seconds unless told. */
  readonly interval?: Duration.Input
  /**
   * A check that takes longer is given up and `Inconclusive`; at most the interval, and at least the timeout of the probe
   * itself (`Probe.timeout`), which can say that a target does not answer. Unless told, the interval, and 10 seconds or
   * the timeout of the probe at most. It gets a tenth of a second more, so that a probe with the same timeout is the first.
   */
  readonly timeout?: Duration.Input
  /**
   * From one check to the next from the first bad one until that is confirmed, and while it recovers; at most the
   * interval. A fifth of the interval unless told, and then at least 1 second.
   */
  readonly suspectInterval?: Duration.Input
  /** Consecutive bad checks until it counts as unhealthy; 3 unless told. */
  readonly fall?: number
  /** Consecutive good checks until it counts as healthy again; 2 unless told. */
  readonly rise?: number
  /** The names of probes of this runner without whose targets this one's cannot work. */
  readonly dependsOn?: ReadonlyArray<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface RunnerOptions<
  out W extends ReadonlyArray<Watch> = ReadonlyArray<Watch>,
  out G extends Probe.Any = Probe.Any
> {
  /** In metrics; `probes` unless told. */
  readonly name?: string
  readonly watch: W
  /** By which share of its interval a check comes sooner or later than its place, from 0 to 0.5; 0.1 unless told. */
  readonly jitter?: number
  /** Checks in flight at most, without those that are overdue; 1000 unless told. */
  readonly concurrency?: number
  /** What the checks of one target may cost together within a time; see `Probe.cost`. No limit unless told. */
  readonly budget?: { readonly cost: number; readonly per: Duration.Input }
  /**
   * Whether our own network is there. Asked when a probe that leaves this machine fails: if this one is unhealthy then,
   * the other's verdict is `Inconclusive`. One that cannot tell excuses nothing. Its timeout is at most 10 seconds.
   */
  readonly connectivity?: G
  /** Results that a subscriber may be behind before it loses the oldest, at most a million; 4096 unless told. */
  readonly buffer?: number
}

/**
 * What one check says of one probe.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result<out S extends Verdict.Signature = Verdict.Signature> {
  /** Of the probe. */
  readonly name: string
  readonly target: string
  readonly verdict: Verdict.Verdict<S>
  /** What the probe counts as after it; `Unknown` if this check says nothing. */
  readonly status: Health.Status
  readonly health: Health.Health<S>
  /** When the verdict was there, by the wall clock: a label, nothing to compute with. */
  readonly at: number
  /** Of the check, without the wait for its begin. */
  readonly duration: Duration.Duration
  /** From when it was due to when it began. */
  readonly lag: Duration.Duration
  /** Whether other probes have their verdict from the same check. */
  readonly shared: boolean
  /** It was known before this subscription to `results`: who counts has counted it in the one before. */
  readonly replayed: boolean
  /**
   * As long as it is not healthy: the root of what it depends on that fails, too, or has failed when it did. Tell of that
   * one alone. If it still fails `fall` times in a row when that works, the failure is its own.
   */
  readonly suppressedBy: string | undefined
}

/**
 * What is known of a probe now.
 *
 * @category models
 * @since 0.1.0
 */
export interface State<out S extends Verdict.Signature = Verdict.Signature> {
  readonly name: string
  readonly target: string
  readonly status: Health.Status
  readonly health: Health.Health<S>
  /** `undefined` before the first. */
  readonly last: Result<S> | undefined
  /** As in `Result`, by what is known now. */
  readonly suppressedBy: string | undefined
  /** A check of it was given up, and has not ended: nobody checks its target meanwhile. */
  readonly overdue: boolean
}

/**
 * A name that is not watched is an `OptionError`, as a defect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Runner<out S extends Verdict.Signature = Verdict.Signature> {
  /** Begins with the latest result of each probe, as `replayed`, and ends with the runner. See `buffer`. */
  readonly results: Stream.Stream<Result<S>>
  readonly states: Effect.Effect<ReadonlyMap<string, State<S>>>
  readonly state: (name: string) => Effect.Effect<State<S>>
  /**
   * Checks now, or waits for the check that is in flight. One at a time for each target and the budget hold here, too.
   * Interrupts itself when the runner is closed.
   */
  readonly check: (name: string) => Effect.Effect<Result<S>>
}

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
