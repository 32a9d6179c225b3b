/**
 * A thing kept healthy. It compiles only if its runbook answers every signature that its probes can report.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

import * as Options from "./Options.ts"
import type * as Probe from "./Probe.ts"
import type { Remediator } from "./Remediator.ts"
import * as Verdict from "./Verdict.ts"
import type { Signature, SignatureClass } from "./Verdict.ts"

/**
 * The explicit answer "nothing here is safe to try: tell a human".
 *
 * @category models
 * @since 0.1.0
 */
export interface Escalation {
  readonly _tag: "Escalation"
  readonly reason: string
}

/**
 * The explicit answer "record it, do nothing".
 *
 * @category models
 * @since 0.1.0
 */
export interface Observation {
  readonly _tag: "Observation"
  readonly reason: string
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const escalate = (reason: string): Escalation => ({ _tag: "Escalation", reason })

/**
 * @category constructors
 * @since 0.1.0
 */
export const observe = (reason: string): Observation => ({ _tag: "Observation", reason })

/**
 * The answer to one signature: remedies to climb in order, or an explicit decision not to act.
 *
 * @category models
 * @since 0.1.0
 */
export type Ladder<S, R> = Escalation | Observation | readonly [Remediator<S, R>, ...ReadonlyArray<Remediator<S, R>>]

// Going through a record by tag keeps the contextual types of lambdas in rungs; remapping keys in `Runbook` loses them.
type ByTag<S extends Signature> = { readonly [K in S as K["_tag"]]: K }

/**
 * One answer for every signature.
 *
 * @category models
 * @since 0.1.0
 */
export type Runbook<S extends Signature> = { readonly [T in S["_tag"]]: Ladder<ByTag<S>[T], unknown> }

type RemedyServices<L> = L extends ReadonlyArray<Remediator<never, infer R>> ? R : never
type NoDeadRung<B, Tag extends string> = string extends Tag
  ? "the signatures of these probes were widened to string"
  : [Exclude<keyof B, Tag>] extends [never]
    ? unknown
    : { readonly [T in Exclude<keyof B, Tag>]: `no probe of this component reports ${T & string}` }

/**
 * Where the component is in its life, as whoever runs it knows: failures during `Starting` are no outage, and what was
 * `Stopped` on request is left alone.
 *
 * @category models
 * @since 0.1.0
 */
export type Lifecycle = "Starting" | "Running" | "Stopped"

/**
 * @category models
 * @since 0.1.0
 */
export interface Component<out S extends Signature, out R = never> {
  readonly name: string
  /** Causes before symptoms: of several signatures seen together, the first probe's is treated. */
  readonly probes: ReadonlyArray<Probe.Probe<S, R>>
  readonly lifecycle: Effect.Effect<Lifecycle, never, R>
  /** By tag, for decoding journals. */
  readonly signatures: ReadonlyMap<string, SignatureClass<S>>
  /** By tag. `never`, because only a signature with that tag may enter; `make` has checked it. */
  readonly runbook: ReadonlyMap<string, Ladder<never, R>>
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = Component<Signature, unknown>

/**
 * The services that a component's probes and remedies need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<C> = C extends Component<Signature, infer R> ? R : never

const checks = Options.checks("Component")

const isAnswer = (ladder: unknown): boolean =>
  Array.isArray(ladder)
    ? ladder.length > 0
    : Predicate.isTagged(ladder, "Escalation") || Predicate.isTagged(ladder, "Observation")

/**
 * Makes a component. The runbook is a second argument so that its lambdas, also nested in calls, see the probes'
 * signatures.
 *
 * Throws `OptionError` for what the compiler cannot refuse in plain JavaScript: no probes, two of one name, a missing
 * rung, an answer that is none, two signatures with one tag.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  const P extends ReadonlyArray<Probe.Any>,
  const B extends Runbook<Probe.Signatures<P[number]>>,
  R = never
>(
  options: {
    readonly name: string
    readonly probes: P
    /** `Running` unless told. */
    readonly lifecycle?: Effect.Effect<Lifecycle, never, R>
  },
  runbook: B & NoDeadRung<B, Probe.Signatures<P[number]>["_tag"]>
): Component<Probe.Signatures<P[number]>, Probe.Services<P[number]> | RemedyServices<B[keyof B]> | NoInfer<R>> => {
  const name = checks.nonEmptyString("name", options.name)
  const { lifecycle = Effect.succeed<Lifecycle>("Running"), probes } = options
  if (probes.length === 0) checks.fail(`${name}.probes`, probes, "at least one probe")
  const names = probes.map((probe) => probe.name)
  const repeated = names.find((one, index) => names.indexOf(one) < index)
  if (repeated !== undefined)
    checks.fail(`${name}.probes`, repeated, "a name for each probe: journals tell them apart by it")
  const signatures = new Map<string, SignatureClass>()
  for (const signatureClass of probes.flatMap((probe) => probe.reports)) {
    const tag = Verdict.tagOf(signatureClass)
    if (!Object.hasOwn(runbook, tag)) {
      checks.fail(
        `${name}.runbook["${tag}"]`,
        undefined,
        "remedies, Component.escalate(reason) or Component.observe(reason)"
      )
    }
    if ((signatures.get(tag) ?? signatureClass) !== signatureClass) {
      checks.fail(`${name}.probes`, tag, "one signature class for each tag")
    }
    signatures.set(tag, signatureClass)
  }
  for (const [tag, ladder] of Object.entries<unknown>(runbook)) {
    if (!signatures.has(tag)) {
      checks.fail(
        `${name}.runbook["${tag}"]`,
        ladder,
        `only tags that a probe reports: ${[...signatures.keys()].join(", ")}`
      )
    }
    if (!isAnswer(ladder)) {
      checks.fail(`${name}.runbook["${tag}"]`, ladder, "at least one remedy, or an explicit Component.escalate(reason)")
    }
  }
  const component: Any = { name, probes, lifecycle, signatures, runbook: new Map(Object.entries(runbook)) }
  // The argument types have proven it; the erased maps cannot show it.
  return component as never // oxlint-disable-line typescript/no-unsafe-type-assertion
}
