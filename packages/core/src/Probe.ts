/**
 * A named, repeatable examination of one target. Its type says which signatures it can report and which services it
 * needs.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Options from "./Options.ts"
import * as Verdict from "./Verdict.ts"
import type { Signature, SignatureClass } from "./Verdict.ts"

/**
 * What a check changes in the world: nothing, a file of its own in the state folder, or something synthetic (a marked
 * test message, one token of a model), which is opt-in and budgeted.
 *
 * @category models
 * @since 0.1.0
 */
export type Effects = "none" | "own-file" | "synthetic"

/**
 * Whether a bad verdict counts while the component is still starting. A port that does not listen yet is `held`; a
 * stranger on that port is `judged`.
 *
 * @category models
 * @since 0.1.0
 */
export type DuringStartup = "held" | "judged"

/**
 * @category models
 * @since 0.1.0
 */
export interface Probe<out S extends Signature, out R = never> {
  readonly name: string
  readonly reports: ReadonlyArray<SignatureClass<S>>
  readonly effects: Effects
  readonly duringStartup: DuringStartup
  readonly check: Effect.Effect<Verdict.Verdict<S>, never, R>
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = Probe<Signature, unknown>

/**
 * The signatures that a probe can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Signatures<P> = P extends Probe<infer S, unknown> ? S : never

/**
 * The services that a probe needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<P> = P extends Probe<Signature, infer R> ? R : never

const checks = Options.checks("Probe")

/**
 * Makes a probe. `check` has no error channel: whoever writes it says what each failure means.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const C extends ReadonlyArray<SignatureClass>, R = never>(options: {
  readonly name: string
  readonly reports: C
  readonly check: Effect.Effect<Verdict.Verdict<C[number]["Type"]>, never, R>
  /** `none` unless told. */
  readonly effects?: Effects
  /** `held` unless told. */
  readonly duringStartup?: DuringStartup
}): Probe<C[number]["Type"], R> => ({
  name: checks.nonEmptyString("name", options.name),
  reports: options.reports,
  effects: checks.oneOf("effects", options.effects ?? "none", ["none", "own-file", "synthetic"]),
  duringStartup: checks.oneOf("duringStartup", options.duringStartup ?? "held", ["held", "judged"]),
  check: options.check
})

const strongest = (effects: ReadonlyArray<Effects>): Effects =>
  (["synthetic", "own-file"] as const).find((one) => effects.includes(one)) ?? "none"

const ranked =
  (rank: Record<Verdict.Verdict<never>["_tag"], number>) =>
  <const P extends readonly [Any, ...ReadonlyArray<Any>]>(
    name: string,
    probes: P
  ): Probe<Signatures<P[number]>, Services<P[number]>> => {
    if (probes.length === 0) checks.fail("probes", probes, "at least one probe")
    const combined: Any = {
      name: checks.nonEmptyString("name", name),
      reports: probes.flatMap((probe) => probe.reports),
      effects: strongest(probes.map((probe) => probe.effects)),
      duringStartup: probes.every((probe) => probe.duringStartup === "judged") ? "judged" : "held",
      check: Effect.map(
        Effect.all(
          probes.map((probe) => probe.check),
          { concurrency: "unbounded" }
        ),
        (verdicts) => verdicts.reduce((a, b) => (rank[b._tag] > rank[a._tag] ? b : a))
      )
    }
    // The compiler cannot follow the union of the parts through `reduce`.
    return combined as never // oxlint-disable-line typescript/no-unsafe-type-assertion
  }

/**
 * Every probe must be healthy: the worst verdict wins. Known bad beats unknown, unknown beats good.
 *
 * @category combinators
 * @since 0.1.0
 */
export const all = ranked({ Healthy: 0, Inconclusive: 1, Degraded: 2, Unhealthy: 3 })

/**
 * One healthy probe is enough: the best verdict wins. Known good beats unknown, unknown beats bad.
 *
 * @category combinators
 * @since 0.1.0
 */
export const any = ranked({ Unhealthy: 0, Inconclusive: 1, Degraded: 2, Healthy: 3 })

/**
 * Renames what a probe reports.
 *
 * @category combinators
 * @since 0.1.0
 */
export const map = <S extends Signature, R, const C extends ReadonlyArray<SignatureClass>>(
  self: Probe<S, R>,
  reports: C,
  f: (signature: S) => C[number]["Type"]
): Probe<C[number]["Type"], R> => ({
  ...self,
  reports,
  check: Effect.map(self.check, (verdict) =>
    "signature" in verdict ? { ...verdict, signature: f(verdict.signature) } : verdict
  )
})

/**
 * Reports these signatures as degraded: seen and recorded, not repaired as an outage.
 *
 * @category combinators
 * @since 0.1.0
 */
export const degrade = <S extends Signature, R>(self: Probe<S, R>, ...tags: ReadonlyArray<S["_tag"]>): Probe<S, R> => ({
  ...self,
  check: Effect.map(self.check, (verdict) =>
    verdict._tag === "Unhealthy" && tags.includes(verdict.signature._tag)
      ? Verdict.degraded(verdict.signature, verdict.evidence)
      : verdict
  )
})

/**
 * The check did not end in time.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedClass<Timeout>("@nexobot/core/Probe/Timeout")("Probe/Timeout", {
  probe: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * Interrupts a check that takes longer than `after` and reports `Probe/Timeout`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withTimeout = <S extends Signature, R>(
  self: Probe<S, R>,
  after: Duration.Input
): Probe<S | Timeout, R> => {
  const duration = checks.duration("after", after, "1 millis")
  return {
    ...self,
    reports: [...self.reports, Timeout],
    check: Effect.timeoutOrElse(self.check, {
      duration,
      orElse: () => Effect.sync(() => Verdict.unhealthy(new Timeout({ probe: self.name, after: duration })))
    })
  }
}
