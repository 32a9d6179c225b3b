/**
 * What a runner tells of itself. Series are made once, with their labels, and written without an effect: there may be
 * thousands of checks a second.
 *
 * @since 0.1.0
 */
import type { Status } from "@nexobot/core/Health"
import type { Verdict } from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"

export interface RunnerMetrics {
  readonly checked: (verdict: Verdict<unknown>["_tag"], seconds: number, lagSeconds: number) => void
  readonly inFlight: (checks: number) => void
  readonly skipped: (turns: number) => void
  readonly putOff: () => void
  readonly excused: () => void
  readonly lost: (results: number) => void
  /** Of one probe. */
  readonly status: (probe: string) => (status: Status) => void
  /** Forgets the series of single probes. */
  readonly close: () => void
}

/** From a millisecond to some half a minute. */
const boundaries = Metric.exponentialBoundaries({ start: 0.001, factor: 2, count: 16 })

const levels: Record<Status, number> = { Unknown: 0, Healthy: 1, Degraded: 2, Unhealthy: 3 }

/** How many runners show the status of a probe in the same series, in each registry: the last one removes it. */
const shown = new WeakMap<Metric.MetricRegistry, Map<string, number>>()

const shownIn = (registry: Metric.MetricRegistry): Map<string, number> => {
  const known = shown.get(registry) ?? new Map<string, number>()
  shown.set(registry, known)
  return known
}

export const make = (name: string, context: Context.Context<never>): RunnerMetrics => {
  const counter = (id: string, description: string, more: Record<string, string> = {}) => {
    const metric = Metric.counter(id, { description, attributes: { name, ...more }, incremental: true })
    return (by: number) => metric.updateUnsafe(by, context)
  }
  const histogram = (id: string, description: string) => {
    const metric = Metric.histogram(id, { description, attributes: { name }, boundaries })
    return (seconds: number) => metric.updateUnsafe(seconds, context)
  }
  const inFlight = Metric.gauge("nexobot_probe_in_flight", {
    description: "Checks that run now and are not overdue",
    attributes: { name }
  })
  const statuses = new Map<string, Metric.Gauge<number>>()
  const users = shownIn(Context.get(context, Metric.MetricRegistry))
  const checksOf = (verdict: string) =>
    counter("nexobot_probe_checks", "Checks that have a verdict; one that is shared counts once", { verdict })
  const byVerdict = {
    Healthy: checksOf("Healthy"),
    Degraded: checksOf("Degraded"),
    Unhealthy: checksOf("Unhealthy"),
    Inconclusive: checksOf("Inconclusive")
  }
  const duration = histogram("nexobot_probe_duration_seconds", "From the begin of a check to its verdict")
  const lag = histogram("nexobot_probe_lag_seconds", "From when a check was due to when it began")
  const putOff = counter("nexobot_probe_put_off", "Checks that waited for the budget of their target")
  const excused = counter("nexobot_probe_excused", "Failures that are the fault of the own network")
  return {
    checked: (verdict, seconds, lagSeconds) => {
      byVerdict[verdict](1)
      duration(seconds)
      lag(lagSeconds)
    },
    inFlight: (checks) => inFlight.updateUnsafe(checks, context),
    skipped: counter("nexobot_probe_skipped", "Turns that passed while the check before had not ended"),
    putOff: () => putOff(1),
    excused: () => excused(1),
    lost: counter("nexobot_probe_results_lost", "Results that a slow subscriber did not get"),
    status: (probe) => {
      const gauge = Metric.gauge("nexobot_probe_status", {
        description: "0 unknown, 1 healthy, 2 degraded, 3 unhealthy",
        attributes: { name, probe }
      })
      const series = JSON.stringify([name, probe])
      statuses.set(series, gauge)
      users.set(series, (users.get(series) ?? 0) + 1)
      const set = (status: Status) => gauge.updateUnsafe(levels[status], context)
      set("Unknown")
      return set
    },
    close: () => {
      for (const [series, gauge] of statuses) {
        const others = (users.get(series) ?? 1) - 1
        if (others > 0) users.set(series, others)
        else {
          users.delete(series)
          Metric.removeUnsafe(gauge, context)
        }
      }
    }
  }
}
