/**
 * A named, repeatable examination of one target. Its type says which signatures it can report and which services it
 * needs.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

import * as Options from "./Options.ts"
import { Redactor } from "./Redaction.ts"
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
 * How far a check goes: `host` stays on this machine, and a lost network cannot excuse what it finds. A combination is
 * `network` if all of its parts are, so that none on this machine is excused for the others; `any`, which fails only
 * if all do, if one is.
 *
 * @category models
 * @since 0.1.0
 */
export type Reach = "host" | "network"

/**
 * @category models
 * @since 0.1.0
 */
export interface Probe<out S extends Signature, out R = never> {
  readonly name: string
  readonly reports: ReadonlyArray<SignatureClass<S>>
  /** What is examined, for example `tcp://127.0.0.1:6379`; without secrets. A runner checks one target once at a time. */
  readonly target: string
  readonly reach: Reach
  readonly effects: Effects
  /** What a check costs its target, where an ordinary one costs 1. A runner keeps to a budget for each target. */
  readonly cost: number
  /** How long a check takes at most by its own bound; `undefined` if it has none. */
  readonly timeout: Duration.Duration | undefined
  readonly duringStartup: DuringStartup
  /** See `question`. It holds as long as the probe has this very check. */
  readonly asks: { readonly question: unknown; readonly check: unknown } | undefined
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

const known = ["name", "reports", "check", "target", "reach", "question", "effects", "cost", "timeout", "duringStartup"]

const asking = (asked: unknown, check: unknown): Any["asks"] =>
  asked === undefined ? undefined : { question: asked, check }

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
  /** The name of the probe unless told. */
  readonly target?: string
  /** `host` unless told. */
  readonly reach?: Reach
  /**
   * All that the verdict depends on beside the target and the services, such as the kind of probe and its options. Probes
   * with the same target and equal questions (`Equal.equals`) may share one check; without a question, a probe shares
   * with nobody. Never shown, so it may hold `Redacted` values.
   */
  readonly question?: unknown
  /** `none` unless told. */
  readonly effects?: Effects
  /** 1 unless told. */
  readonly cost?: number
  /** After so long the check has said itself that it took too long; a runner never waits less. No bound unless told. */
  readonly timeout?: Duration.Input | undefined
  /** `held` unless told. */
  readonly duringStartup?: DuringStartup
}): Probe<C[number]["Type"], R> => {
  checks.known(options, known)
  if (!Effect.isEffect(options.check)) checks.fail("check", options.check, "an Effect")
  return {
    name: checks.nonEmptyString("name", options.name),
    reports: options.reports,
    target: checks.nonEmptyString("target", options.target ?? options.name),
    reach: checks.oneOf("reach", options.reach ?? "host", ["host", "network"]),
    cost: checks.number("cost", options.cost ?? 1, 0),
    timeout: options.timeout === undefined ? undefined : checks.duration("timeout", options.timeout, "1 millis"),
    asks: asking(options.question, options.check),
    effects: checks.oneOf("effects", options.effects ?? "none", ["none", "own-file", "synthetic"]),
    duringStartup: checks.oneOf("duringStartup", options.duringStartup ?? "held", ["held", "judged"]),
    check: options.check
  }
}

/** So much of what others say is told: more is not read, and may be of any size. */
const [looked, told] = [8192, 200]

/** A text of whatever somebody threw or returned, which may be an object that cannot be made one. */
const textOf = (value: unknown): string => {
  try {
    return String(value)
  } catch {
    return "something without a text"
  }
}

const isSignature = (value: unknown): value is Signature =>
  Predicate.hasProperty(value, "_tag") && typeof value._tag === "string"

const linesOf = (value: object): ReadonlyArray<string> | undefined =>
  "evidence" in value && Array.isArray(value.evidence) ? value.evidence.map(textOf) : undefined

/** What a JavaScript probe returns may be anything. */
const asVerdict = (self: Any, value: unknown): Verdict.Verdict<Signature> => {
  if (Predicate.isTagged(value, "Healthy")) {
    const lines = linesOf(value)
    return lines === undefined ? Verdict.healthy : Verdict.healthyWith(lines)
  }
  if (Predicate.isTagged(value, "Inconclusive")) {
    return Verdict.inconclusive("reason" in value ? textOf(value.reason) : "no reason given")
  }
  if (!Predicate.isTagged(value, "Degraded") && !Predicate.isTagged(value, "Unhealthy")) {
    return Verdict.inconclusive(`${self.name} returned no verdict`)
  }
  const signature = "signature" in value ? value.signature : undefined
  if (!isSignature(signature) || !self.reports.some((one) => Verdict.tagOf(one) === signature._tag)) {
    return Verdict.inconclusive(`${self.name} reported a signature that it does not declare`)
  }
  return { _tag: value._tag, signature, evidence: linesOf(value) ?? [] }
}

/** Redacted before it is cut: half a secret would not be recognised. */
const presentable = (verdict: Verdict.Verdict<Signature>): Effect.Effect<Verdict.Verdict<Signature>> => {
  if (verdict._tag !== "Inconclusive") return Effect.succeed(verdict)
  return Effect.map(Redactor, ({ text }) => {
    const line = text(verdict.reason.slice(0, looked)).replace(/[\s\p{Cc}\p{Cf}]+/gu, " ")
    return Verdict.inconclusive(line.trim().slice(0, told))
  })
}

/**
 * The verdict of one check, whatever the probe does: a defect, a value that is no verdict and a signature that is not
 * declared are inconclusive. A reason is cut to 200 characters in one line, without secrets. It is for those who run
 * probes, and for combinations of them; defects end here, and nowhere else.
 *
 * @category operations
 * @since 0.1.0
 */
export const examine = <S extends Signature, R>(self: Probe<S, R>): Effect.Effect<Verdict.Verdict<S>, never, R> => {
  const examined = Effect.suspend(() =>
    Effect.isEffect(self.check) ? self.check : Effect.die("its check is no Effect")
  ).pipe(
    Effect.map((verdict) => asVerdict(self, verdict)),
    Effect.catchCause((cause) =>
      Effect.succeed(Verdict.inconclusive(`${self.name} is broken: ${textOf(Cause.squash(cause))}`))
    ),
    Effect.flatMap(presentable)
  )
  // What it reports is one of its own signatures, as was just seen.
  return examined as Effect.Effect<Verdict.Verdict<S>, never, R> // oxlint-disable-line typescript/no-unsafe-type-assertion
}

const strongest = (effects: ReadonlyArray<Effects>): Effects =>
  (["synthetic", "own-file"] as const).find((one) => effects.includes(one)) ?? "none"

/** They run at the same time: the longest, if each has one. */
const longest = (probes: ReadonlyArray<Any>): Any["timeout"] =>
  probes
    .map(({ timeout }) => timeout)
    .reduce((a, b) => (a === undefined || b === undefined ? undefined : Duration.max(a, b)))

type Some = readonly [Any, ...ReadonlyArray<Any>]

const combine = <const P extends Some>(
  name: string,
  probes: P,
  choose: (verdicts: ReadonlyArray<Verdict.Verdict<Signature>>) => Verdict.Verdict<Signature>,
  isExcusable: "every" | "some" = "every"
): Probe<Signatures<P[number]>, Services<P[number]>> => {
  if (probes.length === 0) checks.fail("probes", probes, "at least one probe")
  const combined: Any = {
    name: checks.nonEmptyString("name", name),
    reports: probes.flatMap((probe) => probe.reports),
    target: name,
    reach: probes[isExcusable]((probe) => probe.reach === "network") ? "network" : "host",
    effects: strongest(probes.map((probe) => probe.effects)),
    cost: probes.reduce((sum, probe) => sum + probe.cost, 0),
    timeout: longest(probes),
    duringStartup: probes.every((probe) => probe.duringStartup === "judged") ? "judged" : "held",
    asks: undefined,
    // A part that is broken says nothing, and does not keep the others from saying what they know.
    check: Effect.map(Effect.forEach(probes, examine, { concurrency: "unbounded" }), choose)
  }
  // The compiler cannot follow the union of the parts.
  return combined as never // oxlint-disable-line typescript/no-unsafe-type-assertion
}

type Rank = Record<Verdict.Verdict<never>["_tag"], number>

/** Known bad beats unknown, unknown beats good. */
const badness: Rank = { Healthy: 0, Inconclusive: 1, Degraded: 2, Unhealthy: 3 }

/** Known good beats unknown, unknown beats bad. */
const goodness: Rank = { Unhealthy: 0, Inconclusive: 1, Degraded: 2, Healthy: 3 }

/** The first of equals, as causes come before symptoms. */
const highest =
  (rank: Rank) =>
  (verdicts: ReadonlyArray<Verdict.Verdict<Signature>>): Verdict.Verdict<Signature> =>
    verdicts.reduce((a, b) => (rank[b._tag] > rank[a._tag] ? b : a))

/**
 * Every probe must be healthy: the worst verdict wins. Known bad beats unknown, unknown beats good.
 *
 * @category combinators
 * @since 0.1.0
 */
export const all = <const P extends Some>(name: string, probes: P): Probe<Signatures<P[number]>, Services<P[number]>> =>
  combine(name, probes, highest(badness))

/**
 * One healthy probe is enough: the best verdict wins. Known good beats unknown, unknown beats bad.
 *
 * @category combinators
 * @since 0.1.0
 */
export const any = <const P extends Some>(name: string, probes: P): Probe<Signatures<P[number]>, Services<P[number]>> =>
  combine(name, probes, highest(goodness), "some")

/**
 * So many probes must be healthy: the verdict is that of the `least`-th best, so that with 2 of 3 one failure counts for
 * nothing, and two are one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const quorum = <const P extends Some>(
  name: string,
  least: number,
  probes: P
): Probe<Signatures<P[number]>, Services<P[number]>> => {
  checks.integer("least", least, 1, Math.max(1, probes.length))
  return combine(name, probes, (verdicts) => {
    const tags = verdicts.map((verdict) => verdict._tag).toSorted((a, b) => goodness[b] - goodness[a])
    // There is one with that tag: it was taken from there.
    return verdicts.find((verdict) => verdict._tag === tags[least - 1]) ?? highest(badness)(verdicts)
  })
}

/** What a changed probe asks, if the one before asked anything. */
const derived = (self: Any, how: ReadonlyArray<unknown>, check: unknown): Any["asks"] => {
  const asked = question(self)
  return asked === undefined ? undefined : asking([asked, how], check)
}

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
): Probe<C[number]["Type"], R> => {
  const check = Effect.map(self.check, (verdict) =>
    "signature" in verdict ? { ...verdict, signature: f(verdict.signature) } : verdict
  )
  return { ...self, reports, check, asks: derived(self, ["map", f], check) }
}

/**
 * Reports these signatures as degraded: seen and recorded, not repaired as an outage.
 *
 * @category combinators
 * @since 0.1.0
 */
export const degrade = <S extends Signature, R>(self: Probe<S, R>, ...tags: ReadonlyArray<S["_tag"]>): Probe<S, R> => {
  const check = Effect.map(self.check, (verdict) =>
    verdict._tag === "Unhealthy" && tags.includes(verdict.signature._tag)
      ? Verdict.degraded(verdict.signature, verdict.evidence)
      : verdict
  )
  return { ...self, check, asks: derived(self, ["degrade", ...tags], check) }
}

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
  const check: Probe<S | Timeout, R>["check"] = Effect.timeoutOrElse(self.check, {
    duration,
    orElse: () => Effect.sync(() => Verdict.unhealthy(new Timeout({ probe: self.name, after: duration })))
  })
  const asks = derived(self, ["withTimeout", self.name, duration], check)
  const timeout = self.timeout === undefined ? duration : Duration.min(self.timeout, duration)
  return { ...self, reports: [...self.reports, Timeout], timeout, check, asks }
}

/**
 * What the probe asks of its target, for comparison with `Equal.equals`: who asks the same gets the same verdict.
 * `undefined` if it was not said, or does not hold any more because `check` was replaced.
 *
 * @category accessors
 * @since 0.1.0
 */
export const question = (self: Any): unknown =>
  self.asks?.check === self.check ? [self.target, self.asks.question] : undefined
