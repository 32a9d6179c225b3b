import * as Effect from "effect/Effect"

import type * as Alerts from "../../Alerts.ts"
import * as HealthMonitor from "../../HealthMonitor.ts"
import type { Signature, Verdict } from "../../Verdict.ts"

/**
 * A `HealthMonitor` for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseHealthMonitor {
  /** Takes in what a check found; decides nothing. */
  readonly record: (target: string, verdict: Verdict<Signature>) => void
  /**
   * Decides what to tell, and tells it: `tell` is called when there is something to raise or to resolve. If it rejects,
   * so does this, and the next call tells the same again, before anything new. Call it every second or so.
   */
  readonly decide: (tell: (decision: Alerts.Decision) => unknown) => Promise<void>
  /** It was started (again): failures count for nothing until it works, or the grace is over. */
  readonly starting: (target: string) => void
  /** It was asked to end: failures count for nothing while it may drain. */
  readonly draining: (target: string) => void
  /** It has ended on request: nothing is told of it until it is started, and its alert is resolved. */
  readonly stopped: (target: string) => void
  readonly inspect: (target: string) => HealthMonitor.Inspection
  /** The alerts that are open, in the order in which they were raised. */
  readonly alerts: () => ReadonlyArray<Alerts.Alert>
}

/**
 * A monitor for plain Node, with the options and the rules of `HealthMonitor`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const healthMonitor = (options: HealthMonitor.HealthMonitorOptions): PromiseHealthMonitor => {
  const monitor = Effect.runSync(HealthMonitor.make(options))
  return {
    record: (target, verdict) => Effect.runSync(monitor.record(target, verdict)),
    // A rejection goes through as it is: nothing else here can fail.
    decide: (tell) => Effect.runPromise(monitor.decide((decision) => Effect.promise(async () => tell(decision)))),
    starting: (target) => Effect.runSync(monitor.starting(target)),
    draining: (target) => Effect.runSync(monitor.draining(target)),
    stopped: (target) => Effect.runSync(monitor.stopped(target)),
    inspect: (target) => Effect.runSync(monitor.inspect(target)),
    alerts: () => Effect.runSync(monitor.alerts)
  }
}
