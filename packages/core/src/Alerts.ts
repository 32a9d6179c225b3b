/**
 * What to tell a human of, and when to take it back. Of many targets that fail together only the cause is told; what the
 * others show is recorded all the same.
 *
 * A pure machine over a set of targets; times are monotonic milliseconds. Every alert that is raised is resolved exactly
 * once, by its number: no recovery is told of something that was never reported, and nothing stays open unseen.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

import * as Dependencies from "./Dependencies.ts"
import type { Status } from "./Health.ts"
import * as Options from "./Options.ts"
import type { Phase } from "./Readiness.ts"

const checks = Options.checks("Alerts")

/**
 * @category models
 * @since 0.1.0
 */
export interface TargetOptions {
  /** The targets that must all work for this one to work. */
  readonly dependsOn?: ReadonlyArray<string>
  /** For this target; see `AlertsOptions`. */
  readonly holdDown?: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface AlertsOptions {
  /** All targets by name. */
  readonly targets: Readonly<Record<string, TargetOptions>>
  /**
   * How long a target that depends on others must be seen to fail, with none of them failing, until it is told: whichever
   * check comes first, the cause is found first. 10 seconds unless told. What depends on nothing is told at once.
   */
  readonly holdDown?: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly dependencies: Dependencies.Dependencies
  /** Milliseconds for each target. */
  readonly holdDowns: ReadonlyMap<string, number>
}

/**
 * What was last known of a target, alerts or not. `Unknown` is never recorded: it is no news.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded {
  readonly status: Exclude<Status, "Unknown">
  /** Since when. */
  readonly since: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Alert {
  /** Numbers grow from 1 and are never used again. */
  readonly id: number
  readonly target: string
  /** When it began to fail. */
  readonly since: number
}

/** A target that fails. */
interface Failing {
  readonly since: number
  /** The last check that showed it. */
  readonly seen: number
  /** Since when nothing that it needs fails or is withheld; `undefined` while something is. */
  readonly freeSince: number | undefined
  readonly alert: Alert | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly recorded: ReadonlyMap<string, Recorded>
  readonly failing: ReadonlyMap<string, Failing>
  /** The number of the last alert. */
  readonly issued: number
}

/**
 * What is known of a target now: `Health.status`, or the confirmed status. `Unknown` moves nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reading {
  readonly target: string
  readonly status: Status
}

/**
 * Why nothing is told of a target now, nor of those that need it. What was told before stays told, except that what is
 * stopped on request is no problem any more.
 *
 * @category models
 * @since 0.1.0
 */
export type Withheld = Exclude<Phase, "Ready"> | "Maintenance"

/**
 * - `Recovered`: it works.
 * - `Parent`: it fails because `by` does, which has an alert of its own or is to have one.
 * - `Stopped`: it was stopped on request.
 * - `Removed`: it is no target any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resolution extends Alert {
  readonly why: "Recovered" | "Parent" | "Stopped" | "Removed"
  readonly by?: string
}

/**
 * A target that fails and is not told of now; `Parent` with the root cause, `HoldDown` until it was seen
 * to fail for so long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Suppressed {
  readonly target: string
  readonly why: Withheld | "Parent" | "HoldDown"
  readonly by?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Decision {
  readonly state: State
  /** Tell these now; of causes before what needs them. */
  readonly raise: ReadonlyArray<Alert>
  /** Take these back now. */
  readonly resolve: ReadonlyArray<Resolution>
  /** All that fail and are not told, with why; not only what is new. */
  readonly suppressed: ReadonlyArray<Suppressed>
}

/**
 * Throws `OptionError` for a cycle in the dependencies, and names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: AlertsOptions): Policy => {
  checks.known(options, ["targets", "holdDown"])
  const targets = Dependencies.entriesOf(options.targets, "Alerts")
  for (const [name, target] of targets) {
    checks.known(target, ["dependsOn", "holdDown"], `targets.${name}.`)
  }
  const dependencies = Dependencies.make(options.targets, "Alerts")
  const usual = checks.duration("holdDown", options.holdDown ?? "10 seconds")
  const holdDownOf = (name: string, { dependsOn = [], holdDown }: TargetOptions): number => {
    if (holdDown !== undefined) return Duration.toMillis(checks.duration(`targets.${name}.holdDown`, holdDown))
    return dependsOn.length > 0 ? Duration.toMillis(usual) : 0
  }
  return {
    dependencies,
    holdDowns: new Map(targets.map(([name, target]) => [name, holdDownOf(name, target)] as const))
  }
}

/**
 * Nothing is known, nothing is told.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: State = { recorded: new Map(), failing: new Map(), issued: 0 }

/**
 * The alerts that are open, in the order in which they were raised.
 *
 * @category accessors
 * @since 0.1.0
 */
export const open = (self: State): ReadonlyArray<Alert> =>
  [...self.failing.values()].flatMap(({ alert }) => alert ?? []).toSorted((a, b) => a.id - b.id)

const nothing = () => undefined

/** What the readings change. Nothing is copied while nothing changes: most checks find what the last one found. */
const record = (policy: Policy, before: State, readings: ReadonlyArray<Reading>, now: number) => {
  let recorded: Map<string, Recorded> | undefined
  const failing = new Map(before.failing)
  const recovered = new Map<string, Alert>()
  for (const { status, target } of readings) {
    if (!policy.holdDowns.has(target)) checks.fail("target", target, "the name of a target")
    if (status === "Unknown") continue
    if ((recorded ?? before.recorded).get(target)?.status !== status) {
      recorded ??= new Map(before.recorded)
      recorded.set(target, { status, since: now })
    }
    const fails = failing.get(target)
    if (status === "Unhealthy") {
      recovered.delete(target)
      failing.set(target, {
        since: now,
        freeSince: undefined,
        alert: before.failing.get(target)?.alert,
        ...fails,
        seen: now
      })
    } else if (fails !== undefined) {
      failing.delete(target)
      if (fails.alert !== undefined) recovered.set(target, fails.alert)
    }
  }
  return { recorded: recorded ?? before.recorded, failing, recovered }
}

/**
 * Decides after checks, or after time has passed. The cost grows with what fails, not with how many targets there are.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step = (
  policy: Policy,
  before: State,
  inputs: {
    /** What checks have found since the last step; of several for one target the last counts. */
    readonly readings?: ReadonlyArray<Reading>
    /** Of which targets nothing is to be told now, and why; none unless told. */
    readonly withheld?: (target: string) => Withheld | undefined
  },
  now: number
): Decision => {
  const { readings = [], withheld = nothing } = inputs
  const { failing, recorded, recovered } = record(policy, before, readings, now)
  const { dependencies } = policy
  const rankOf = (target: string) => dependencies.rank.get(target) ?? -1
  const isFailing = (target: string) => failing.has(target)
  const isWithheld = (target: string) => withheld(target) !== undefined

  const raise: Array<Alert> = []
  const resolve: Array<Resolution> = Array.from(recovered.values(), (alert) => ({
    ...alert,
    why: "Recovered"
  }))
  const suppressed: Array<Suppressed> = []
  let { issued } = before
  for (const [target, fails] of [...failing].toSorted(([a], [b]) => rankOf(a) - rankOf(b))) {
    const { alert } = fails
    const own = withheld(target)
    const gone = !policy.holdDowns.has(target) ? "Removed" : own === "Stopped" ? "Stopped" : undefined
    if (gone !== undefined) {
      failing.delete(target)
      if (alert !== undefined) resolve.push({ ...alert, why: gone })
      continue
    }
    const cause =
      dependencies.of.get(target)?.length === 0 ? undefined : Dependencies.root(dependencies, target, isFailing)
    if (cause !== undefined) {
      failing.set(target, { ...fails, freeSince: undefined, alert: undefined })
      if (alert !== undefined) resolve.push({ ...alert, why: "Parent", by: cause })
      suppressed.push({ target, why: "Parent", by: cause })
      continue
    }
    // Nobody knows whether what it needs works: it starts, drains, or is worked on.
    const by = own === undefined ? Dependencies.root(dependencies, target, isWithheld) : undefined
    const freeSince = fails.freeSince ?? now
    failing.set(target, { ...fails, freeSince: by === undefined ? freeSince : undefined })
    if (alert !== undefined) continue
    if (own !== undefined) {
      suppressed.push({ target, why: own })
      continue
    }
    if (by !== undefined) {
      suppressed.push({ target, why: "Parent", by })
      continue
    }
    // What it showed while its parent was away says nothing, and neither does time in which nobody looked.
    if (fails.seen - freeSince < (policy.holdDowns.get(target) ?? 0)) {
      suppressed.push({ target, why: "HoldDown" })
      continue
    }
    issued += 1
    const raised: Alert = { id: issued, target, since: fails.since }
    failing.set(target, { ...fails, freeSince, alert: raised })
    raise.push(raised)
  }
  return { state: { recorded, failing, issued }, raise, resolve, suppressed }
}
