/**
 * Verdicts of many targets in; alerts, and whether a repair makes sense, out. It puts `Health`, `Flap`, `Readiness`,
 * `Maintenance` and `Alerts` together, gives them the time, and sees to it that every decision is told.
 *
 * It checks nothing and repairs nothing: whoever runs the probes records what they found.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import * as Struct from "effect/Struct"

import * as Alerts from "./Alerts.ts"
import * as Dependencies from "./Dependencies.ts"
import * as Flap from "./Flap.ts"
import * as Health from "./Health.ts"
import * as Maintenance from "./Maintenance.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Readiness from "./Readiness.ts"
import * as Verdict from "./Verdict.ts"

const checks = Options.checks("HealthMonitor")

/**
 * @category models
 * @since 0.1.0
 */
export interface TargetOptions extends Alerts.TargetOptions {
  /** Windows of this target alone. */
  readonly maintenance?: ReadonlyArray<Maintenance.Window>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface HealthMonitorOptions {
  /** In metrics; `health` unless told. */
  readonly name?: string
  /** All targets by name. */
  readonly targets: Readonly<Record<string, TargetOptions>>
  /** Consecutive bad checks until a target counts as unhealthy; 3 unless told. */
  readonly fall?: number
  /** Consecutive good checks until it counts as healthy again, if it is steady; 2 unless told. */
  readonly rise?: number
  readonly flap?: Flap.FlapOptions
  /** For each target from when the monitor is made, and from each `starting`. */
  readonly readiness?: Readiness.ReadinessOptions
  /** See `Alerts`; 10 seconds unless told. */
  readonly holdDown?: Alerts.AlertsOptions["holdDown"]
  /** Windows of all targets. */
  readonly maintenance?: ReadonlyArray<Maintenance.Window>
}

/**
 * What is known of a target.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  /** What it counts as; `Unknown` when the last check said nothing. */
  readonly status: Health.Status
  /** What the last check found, whether it counted or not. */
  readonly verdict: Verdict.Verdict<Verdict.Signature> | undefined
  readonly health: Health.Health
  readonly readiness: Readiness.Phase
  /** The flap score, and whether it is flapping. */
  readonly score: number
  readonly flapping: boolean
  /** The alert that is open. */
  readonly alert: Alerts.Alert | undefined
  /** Whether it is unhealthy, and repairing it makes sense now. */
  readonly mayRepair: boolean
  /**
   * Why a repair makes no sense although the target is unhealthy: `Parent` from the first bad check of what it needs (until
   * a check of that says nothing, if it was not unhealthy for certain), and `HoldDown` as long as an alert would wait, as
   * what it needs may be seen to fail only then.
   */
  readonly spared: Alerts.Withheld | "Parent" | "HoldDown" | "Flapping" | undefined
}

/**
 * A target that the monitor does not have, and what is no verdict, is an `OptionError`, as a defect.
 *
 * @category models
 * @since 0.1.0
 */
export interface HealthMonitor {
  /** Takes in what a check found. Costs about a microsecond; decides nothing. */
  readonly record: (target: string, verdict: Verdict.Verdict<Verdict.Signature>) => Effect.Effect<void>
  /**
   * Decides what to tell, and tells it: `tell` is run when there is something to raise or to resolve. If it fails or is
   * interrupted, the same decision is told again, before anything new, by the next `decide`; so an alert may be told
   * twice, with the same number, and is never lost. Call it every second or so, as time decides too.
   */
  readonly decide: <E, R>(
    tell: (decision: Alerts.Decision) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<void, E, R>
  /** It was started (again): failures count for nothing until it works, or the grace is over. */
  readonly starting: (target: string) => Effect.Effect<void>
  /** It was asked to end: failures count for nothing while it may drain. */
  readonly draining: (target: string) => Effect.Effect<void>
  /** It has ended on request: nothing is told of it until it is started, and its alert is resolved. */
  readonly stopped: (target: string) => Effect.Effect<void>
  readonly inspect: (target: string) => Effect.Effect<Inspection>
  /** The alerts that are open, in the order in which they were raised. */
  readonly alerts: Effect.Effect<ReadonlyArray<Alerts.Alert>>
}

interface Watched {
  verdict: Inspection["verdict"]
  health: Health.Health
  flap: Flap.Flap
  readiness: Readiness.Readiness
  /** The confirmed status, and `Unhealthy` until the hold-down is over. */
  counted: Health.Status
  readonly inMaintenance: (wallNow: number) => boolean
}

/** Looks again only when the answer may have changed, or the clock was set back. */
const watchOf = (windows: ReadonlyArray<Maintenance.Window>): Watched["inMaintenance"] => {
  let asked = Infinity
  let last: Maintenance.Look = { active: false, until: -Infinity }
  return (wallNow) => {
    if (wallNow < asked || wallNow >= last.until) {
      last = Maintenance.look(windows, wallNow)
      asked = wallNow
    }
    return last.active
  }
}

/** Options of another module. */
const groupIn = <A>(option: string, group: A): A =>
  group === undefined || Predicate.isObject(group) ? group : checks.fail(option, group, "an object of options")

const hasSignature = (verdict: object): boolean =>
  Predicate.hasProperty(verdict, "signature") &&
  Predicate.hasProperty(verdict.signature, "_tag") &&
  typeof verdict.signature._tag === "string"

/** Before anything is changed: plain JavaScript may give anything. */
const checkVerdict = (verdict: Verdict.Verdict<Verdict.Signature>): void => {
  switch (verdict?._tag) {
    case "Healthy":
    case "Inconclusive":
      return
    case "Degraded":
    case "Unhealthy":
      if (hasSignature(verdict)) return
  }
  checks.fail("verdict", verdict, "what Verdict.healthy, degraded, unhealthy or inconclusive makes")
}

const windowsIn = (option: string, windows: unknown = []): ReadonlyArray<Maintenance.Window> =>
  Array.isArray(windows) && windows.every((one) => Maintenance.isWindow(one))
    ? windows
    : checks.fail(option, windows, "an array of windows that Maintenance.once or Maintenance.recurring made")

const record = (
  policies: { readonly health: Health.Policy; readonly flap: Flap.Policy; readonly readiness: Readiness.Policy },
  self: Watched,
  verdict: Verdict.Verdict<Verdict.Signature>,
  now: number
): Alerts.Reading["status"] => {
  self.verdict = verdict
  if (verdict._tag === "Unhealthy") {
    const excuse = Readiness.excuse(policies.readiness, self.readiness, now)
    if (excuse !== undefined) {
      const reason = Verdict.inconclusive(`${verdict.signature._tag} while ${excuse.toLowerCase()}`)
      self.health = Health.next(policies.health, self.health, reason)
      return "Unknown"
    }
  } else if (verdict._tag !== "Inconclusive") {
    self.readiness = Readiness.ready(self.readiness, now)
  }
  self.health = Health.next(policies.health, self.health, verdict)
  self.flap = Flap.next(policies.flap, self.flap, verdict, now)
  const { confirmed } = self.health
  const held = self.counted === "Unhealthy" && confirmed !== "Unhealthy" && !Flap.hasRecovered(policies.flap, self.flap)
  if (!held) self.counted = confirmed
  // A good check that is not believed yet is no sign of failure either.
  if (verdict._tag === "Inconclusive") return "Unknown"
  return self.counted === "Unhealthy" && verdict._tag !== "Unhealthy" ? "Unknown" : self.counted
}

/**
 * Options are checked at once; the clock is that of where the effect runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: HealthMonitorOptions): Effect.Effect<HealthMonitor> => {
  checks.known(options, ["name", "targets", "fall", "rise", "flap", "readiness", "holdDown", "maintenance"])
  const name = checks.nonEmptyString("name", options.name ?? "health")
  const policies = {
    health: {
      fall: checks.integer("fall", options.fall ?? 3, 1),
      rise: checks.integer("rise", options.rise ?? 2, 1)
    },
    flap: Flap.make(groupIn("flap", options.flap)),
    readiness: Readiness.make(groupIn("readiness", options.readiness))
  }
  const entries = Dependencies.entriesOf(options.targets, "HealthMonitor")
  const alerting = Alerts.make({
    targets: Object.fromEntries(entries.map(([target, one]) => [target, Struct.omit(one, ["maintenance"])])),
    ...(options.holdDown === undefined ? {} : { holdDown: options.holdDown })
  })
  const common = windowsIn("maintenance", options.maintenance)
  const windows = entries.map(
    ([target, { maintenance }]) => [target, windowsIn(`targets.${target}.maintenance`, maintenance)] as const
  )

  const attributes = { name }
  const raised = Metric.counter("nexobot_health_raised", { attributes, incremental: true })
  const resolved = Metric.counter("nexobot_health_resolved", { attributes, incremental: true })
  const failing = Metric.gauge("nexobot_health_failing", { attributes })
  const suppressed = Metric.gauge("nexobot_health_suppressed", { attributes })

  return Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const monotonic = yield* Monotonic.reader
    const oneByOne = yield* Semaphore.make(1)
    const began = monotonic()
    const commonWatch = watchOf(common)
    const watched = new Map(
      windows.map(([target, own]): readonly [string, Watched] => {
        const ownWatch = watchOf(own)
        return [
          target,
          {
            verdict: undefined,
            health: Health.initial,
            flap: Flap.initial,
            readiness: Readiness.starting(began),
            counted: "Unknown",
            inMaintenance: (wallNow) => commonWatch(wallNow) || ownWatch(wallNow)
          }
        ]
      })
    )
    const of = (target: string): Watched => watched.get(target) ?? checks.fail("target", target, "the name of a target")
    const withheldAt = (now: number) => {
      const wallNow = clock.currentTimeMillisUnsafe()
      return (target: string): Alerts.Withheld | undefined => {
        const one = of(target)
        return (
          Readiness.excuse(policies.readiness, one.readiness, now) ??
          (one.inMaintenance(wallNow) ? "Maintenance" : undefined)
        )
      }
    }

    let state = Alerts.initial
    const isHeldDown = (target: string): boolean => {
      const holdDown = alerting.holdDowns.get(target) ?? 0
      const fails = state.failing.get(target)
      if (holdDown === 0 || fails?.alert !== undefined) return false
      return fails?.freeSince === undefined || fails.seen - fails.freeSince < holdDown
    }
    let readings = new Map<string, Alerts.Reading>()
    /** Decided, and not known to be told. */
    let outbox: Alerts.Decision | undefined

    const deliver = <E, R>(tell: (decision: Alerts.Decision) => Effect.Effect<unknown, E, R>) =>
      Effect.suspend(() =>
        outbox === undefined
          ? Effect.void
          : Effect.map(tell(outbox), () => {
              outbox = undefined
            })
      )
    const settle = Effect.suspend(() => {
      const now = monotonic()
      const decision = Alerts.step(
        alerting,
        state,
        { readings: [...readings.values()], withheld: withheldAt(now) },
        now
      )
      const before = state.failing.size
      state = decision.state
      readings = new Map()
      if (decision.raise.length > 0 || decision.resolve.length > 0) outbox = decision
      else if (before === 0 && state.failing.size === 0) return Effect.void
      return Effect.all(
        [
          Metric.update(raised, decision.raise.length),
          Metric.update(resolved, decision.resolve.length),
          Metric.update(failing, state.failing.size),
          Metric.update(suppressed, decision.suppressed.length)
        ],
        { discard: true }
      )
    })
    const move = (change: (self: Watched, now: number) => void) => (target: string) =>
      Effect.sync(() => change(of(target), monotonic()))

    return {
      record: (target, verdict) =>
        Effect.sync(() => {
          checkVerdict(verdict)
          const status = record(policies, of(target), verdict, monotonic())
          if (status !== "Unknown") readings.set(target, { target, status })
        }),
      decide: (tell) =>
        Semaphore.withPermit(oneByOne, Effect.andThen(deliver(tell), Effect.andThen(settle, deliver(tell)))),
      starting: move((self, now) => {
        self.readiness = Readiness.starting(now)
        // What was seen before the start says nothing about what is after it; what was told stays told until it works.
        self.health = Health.initial
      }),
      draining: move((self, now) => {
        self.readiness = Readiness.draining(self.readiness, now)
      }),
      stopped: move((self, now) => {
        self.readiness = Readiness.stopped(self.readiness, now)
        self.health = Health.initial
        self.counted = "Unknown"
      }),
      inspect: (target) =>
        Effect.sync(() => {
          const now = monotonic()
          const { counted, flap, health, readiness, verdict } = of(target)
          const withheld = withheldAt(now)
          // Here one bad check is enough: a repair that was not needed does more harm than one that comes later. But not
          // for ever: what is not certain is nothing when it is not known any more, as there is no alert of it either.
          const isDown = (other: string) => {
            const { counted: parent, health: seen } = of(other)
            const isFailing = seen.failures > 0 && seen.inconclusive === undefined
            return parent === "Unhealthy" || isFailing || withheld(other) !== undefined
          }
          const sick = health.confirmed === "Unhealthy" && health.inconclusive === undefined
          const spared = sick
            ? (withheld(target) ??
              (Dependencies.root(alerting.dependencies, target, isDown) !== undefined ? "Parent" : undefined) ??
              (isHeldDown(target) ? "HoldDown" : undefined) ??
              (Flap.mayRepair(policies.flap, flap, now) ? undefined : "Flapping"))
            : undefined
          return {
            status: health.inconclusive === undefined ? counted : "Unknown",
            verdict,
            health,
            readiness: readiness.phase,
            score: Flap.score(policies.flap, flap, now),
            flapping: Flap.isFlapping(policies.flap, flap, now),
            alert: state.failing.get(target)?.alert,
            mayRepair: sick && spared === undefined,
            spared
          }
        }),
      alerts: Effect.sync(() => Alerts.open(state))
    } satisfies HealthMonitor
  })
}
