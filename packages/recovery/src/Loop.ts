/**
 * The loop of one component as a pure machine: `step(state, event, now)` gives the next state, the lines to journal and
 * what to do next. The shell that drives it decides nothing, and a simulator drives the same machine.
 *
 * Times are monotonic milliseconds. The states and their invariants:
 *
 * - `Watching`: nothing is being done. An incident opens when a probe has been unhealthy `fall` times in a row.
 * - `Preparing`: a rung was chosen; its lease and precondition are being looked at. Nothing was done yet. While it is
 *   blocked it is checked on, and goes on from the same rung.
 * - `Applying`: the intent is in the journal and the attempt is counted; the rung is being carried out.
 * - `Verifying`: the rung says it is done. Only the probes, good for `stable`, end the incident.
 * - `Escalated`: nothing may be tried any more. Watched on slowly; a new signature, a request or health ends it.
 *
 * @since 0.1.0
 */
import type { Lifecycle } from "@nexobot/core/Component"
import * as Health from "@nexobot/core/Health"
import * as Verdict from "@nexobot/core/Verdict"
import type { Signature } from "@nexobot/core/Verdict"

import type { Policy } from "./Policy.ts"

/**
 * The runbook's answer to a signature, as far as the machine needs it.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer =
  | { readonly _tag: "Rungs"; readonly ids: ReadonlyArray<string> }
  | { readonly _tag: "Escalation" | "Observation"; readonly reason: string }

/**
 * What the machine knows about its component; it never changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition {
  readonly probes: ReadonlyArray<{ readonly name: string; readonly duringStartup: "held" | "judged" }>
  readonly answer: (tag: string) => Answer
  readonly policy: Policy
}

/**
 * What a probe reports: two probes of one component may report the same tag about different targets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly probe: string
  readonly tag: string
}

/**
 * An unhealthy period.
 *
 * @category models
 * @since 0.1.0
 */
export interface Incident {
  /** The probe whose signature is treated. */
  readonly probe: string
  /** As last reported. */
  readonly signature: Signature
  readonly openedAt: number
  /** Whether any rung has been carried out for it. */
  readonly attempted: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export type Phase =
  | { readonly _tag: "Watching" }
  | { readonly _tag: "Preparing"; readonly rung: number }
  | { readonly _tag: "Applying"; readonly rung: number }
  | {
      readonly _tag: "Verifying"
      readonly rung: number
      readonly start: number
      readonly goodSince: number | undefined
    }
  | { readonly _tag: "Escalated"; readonly reason: string }

/**
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** One for each probe, in the component's order. */
  readonly health: ReadonlyArray<Health.Health>
  readonly lifecycle: Lifecycle
  readonly phase: Phase
  readonly incident: Incident | undefined
  /** What is reported as degraded or answered by `observe`, and was journalled. */
  readonly observed: ReadonlyArray<Finding>
  /** Counted before acting, failed ones included; given back by lasting health, or by whom it was escalated to. */
  readonly attempts: number
  readonly goodSince: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "Checked"
      readonly lifecycle: Lifecycle
      /** One for each probe, in the component's order. */
      readonly verdicts: ReadonlyArray<Verdict.Verdict<Signature>>
      /** Somebody asked: the first bad check counts, and an escalated component gets a new chance. */
      readonly requested?: boolean
    }
  | { readonly _tag: "Ready"; readonly fence: number }
  /** The lease is taken or the journal cannot be written: nothing was done, ask again later. */
  | { readonly _tag: "Blocked" }
  | { readonly _tag: "Refused"; readonly why: string }
  | { readonly _tag: "Applied" }
  | { readonly _tag: "Failed"; readonly why: string }

/**
 * A line for the journal.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry =
  | {
      readonly _tag: "Opened" | "Observed"
      readonly probe: string
      readonly signature: Signature
      readonly evidence: ReadonlyArray<string>
      readonly diagnosis: string
      readonly degraded: boolean
    }
  | { readonly _tag: "Cleared"; readonly probe: string; readonly tag: string }
  | {
      readonly _tag: "Intent"
      readonly rung: string
      /** Its place on the ladder, from 0: one remedy may stand there twice. */
      readonly index: number
      readonly tag: string
      readonly attempt: number
      readonly fence: number
    }
  | { readonly _tag: "Applied"; readonly rung: string }
  | { readonly _tag: "Failed" | "Refused"; readonly rung: string; readonly why: string }
  | { readonly _tag: "Resolved"; readonly by: string | undefined; readonly took: number }
  | { readonly _tag: "Escalated"; readonly reason: string }
  /** The incident ends unhealed, because the component was stopped on request. */
  | { readonly _tag: "Withdrawn" }
  /** Somebody gave an escalated component a new chance. */
  | { readonly _tag: "Requested" }
  | { readonly _tag: "Stable" }

/**
 * What the driver must do after it has journalled the entries.
 *
 * @category models
 * @since 0.1.0
 */
export type Command =
  | { readonly _tag: "Check"; readonly after: number }
  | { readonly _tag: "Prepare" | "Apply"; readonly signature: Signature; readonly rung: number }

/**
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly state: State
  readonly journal: ReadonlyArray<Entry>
  readonly next: Command
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const initial = (definition: Definition): State => ({
  health: definition.probes.map(() => Health.initial),
  lifecycle: "Starting",
  phase: { _tag: "Watching" },
  incident: undefined,
  observed: [],
  attempts: 0,
  goodSince: undefined
})

const watching: Phase = { _tag: "Watching" }
const starting = Verdict.inconclusive("the component is starting")

/** The name of a rung in the journal. */
const idOf = (definition: Definition, signature: Signature, rung: number): string => {
  const answer = definition.answer(signature._tag)
  return answer._tag === "Rungs" ? (answer.ids[rung] ?? "") : ""
}

interface Found extends Pick<Incident, "probe" | "signature"> {
  readonly evidence: ReadonlyArray<string>
}

const isObserved = (definition: Definition, { _tag }: Signature): boolean =>
  definition.answer(_tag)._tag === "Observation"

/** Whether a verdict says that something must be done. */
const isBad = (definition: Definition, verdict: Verdict.Verdict<Signature>): boolean =>
  verdict._tag === "Unhealthy" && !isObserved(definition, verdict.signature)

const isSame = (a: Pick<Incident, "probe" | "signature"> | undefined, b: Found): boolean =>
  a !== undefined && a.probe === b.probe && a.signature._tag === b.signature._tag

/**
 * What to treat: the first probe that is confirmed to be unhealthy, and was in the latest check, and whose answer is not
 * to observe.
 */
const pick = (definition: Definition, state: State, requested: boolean): Found | undefined => {
  for (const [index, health] of state.health.entries()) {
    const { confirmed, evidence, failures, inconclusive, signature } = health
    const bad = failures > 0 && (requested || confirmed === "Unhealthy")
    if (!bad || signature === undefined || inconclusive !== undefined || isObserved(definition, signature)) continue
    return { signature, evidence, probe: definition.probes[index]?.name ?? "" }
  }
  return undefined
}

const diagnose = (definition: Definition, probe: string, tag: string): string => {
  const answer = definition.answer(tag)
  const says = answer._tag === "Rungs" ? answer.ids.join(" → ") : answer.reason
  return `rule: ${probe} reports ${tag}; runbook: ${says}`
}

const seen = (definition: Definition, _tag: "Opened" | "Observed", found: Found, degraded: boolean): Entry => ({
  _tag,
  ...found,
  diagnosis: diagnose(definition, found.probe, found.signature._tag),
  degraded
})

/** Climbs to a rung, or gives up with the reason. */
const climb = (
  definition: Definition,
  state: State,
  incident: Incident,
  rung: number,
  now: number,
  journal: ReadonlyArray<Entry>
): Step => {
  const answer = definition.answer(incident.signature._tag)
  const escalate = (reason: string): Step => ({
    state: { ...state, incident, phase: { _tag: "Escalated", reason } },
    journal: [...journal, { _tag: "Escalated", reason }],
    next: { _tag: "Check", after: definition.policy.slowPeriod }
  })
  if (answer._tag !== "Rungs") return escalate(answer.reason)
  if (rung >= answer.ids.length) {
    // Refusals may pass (it was just starting by itself): as long as nothing was tried, look again for a while.
    if (!incident.attempted && now - incident.openedAt < definition.policy.within) {
      const again: State = { ...state, incident, phase: watching }
      return { state: again, journal, next: { _tag: "Check", after: definition.policy.period } }
    }
    return escalate(
      incident.attempted ? "every remedy in the runbook was tried" : "every remedy in the runbook refused"
    )
  }
  if (state.attempts >= definition.policy.attempts) {
    return escalate(`${state.attempts} attempts without lasting health`)
  }
  return {
    state: { ...state, incident, phase: { _tag: "Preparing", rung } },
    journal,
    next: { _tag: "Prepare", signature: incident.signature, rung }
  }
}

/** Journals what newly is, or no longer is, degraded or answered by `observe`. */
const observe = (definition: Definition, state: State): Pick<Step, "state" | "journal"> => {
  const journal: Array<Entry> = []
  const observed: Array<Finding> = []
  for (const [index, { confirmed, evidence, inconclusive, signature }] of state.health.entries()) {
    const probe = definition.probes[index]?.name ?? ""
    const before = state.observed.filter((one) => one.probe === probe)
    if (inconclusive !== undefined || confirmed === "Unknown") {
      // Nothing is known of it, so nothing is over.
      observed.push(...before)
      continue
    }
    const degraded = confirmed === "Degraded"
    const now =
      signature !== undefined && (degraded || (confirmed === "Unhealthy" && isObserved(definition, signature)))
    for (const one of before) if (!now || one.tag !== signature._tag) journal.push({ _tag: "Cleared", ...one })
    if (!now) continue
    const tag = signature._tag
    observed.push({ probe, tag })
    if (before.some((one) => one.tag === tag)) continue
    journal.push(seen(definition, "Observed", { probe, signature, evidence }, degraded))
  }
  return { state: { ...state, observed }, journal }
}

const resolve = (
  definition: Definition,
  state: State,
  incident: Incident,
  by: string | undefined,
  now: number,
  journal: ReadonlyArray<Entry>
): Step => ({
  state: { ...state, incident: undefined, phase: watching },
  journal: [...journal, { _tag: "Resolved", by, took: now - incident.openedAt }],
  next: { _tag: "Check", after: definition.policy.period }
})

/** A stop on request is respected: what was going on is over, and nothing counts against the component. */
const stopped = (definition: Definition, before: State): Step => ({
  state: { ...initial(definition), lifecycle: "Stopped", attempts: before.attempts },
  journal: [
    ...before.observed.map((one): Entry => ({ _tag: "Cleared", ...one })),
    ...(before.incident === undefined ? [] : [{ _tag: "Withdrawn" } as const])
  ],
  next: { _tag: "Check", after: definition.policy.period }
})

/** After a rung: only good checks for `stable` end the incident, and only a bad one leads to the next rung. */
const verify = (
  definition: Definition,
  state: State,
  incident: Incident,
  phase: Phase & { _tag: "Verifying" },
  event: Event & { _tag: "Checked" },
  good: boolean,
  now: number,
  journal: ReadonlyArray<Entry>
): Step => {
  const { policy } = definition
  const latest = event.verdicts[definition.probes.findIndex((probe) => probe.name === incident.probe)]
  const reported = latest !== undefined && "signature" in latest ? latest : undefined
  const still = reported?.signature._tag === incident.signature._tag ? reported : undefined
  const since = good && still === undefined ? (phase.goodSince ?? now) : undefined
  if (since !== undefined && now - since >= policy.stable) {
    return resolve(definition, state, incident, idOf(definition, incident.signature, phase.rung), now, journal)
  }
  const found = pick(definition, state, false)
  if (found !== undefined && !isSame(incident, found)) {
    const { probe, signature } = found
    const opened = [...journal, seen(definition, "Opened", found, false)]
    return climb(definition, state, { ...incident, probe, signature }, 0, now, opened)
  }
  // A slow boot is not a remedy that failed; whoever starts the component bounds how long it may be starting.
  const failed = still?._tag === "Unhealthy" && now - phase.start >= policy.within
  if (failed) return climb(definition, state, { ...incident, signature: still.signature }, phase.rung + 1, now, journal)
  const verifying: Phase = { ...phase, goodSince: since }
  return { state: { ...state, phase: verifying }, journal, next: { _tag: "Check", after: policy.fastPeriod } }
}

const checked = (definition: Definition, before: State, event: Event & { _tag: "Checked" }, now: number): Step => {
  if (event.lifecycle === "Stopped") return stopped(definition, before)
  const { policy } = definition
  const verdicts = event.verdicts.map((verdict, index) =>
    event.lifecycle === "Starting" &&
    verdict._tag === "Unhealthy" &&
    definition.probes[index]?.duringStartup !== "judged"
      ? starting
      : verdict
  )
  const health = before.health.map((one, index) => Health.next(policy.health, one, verdicts[index] ?? starting))
  const good = verdicts.every((verdict) => verdict._tag !== "Inconclusive" && !isBad(definition, verdict))
  const goodSince = good ? (before.goodSince ?? now) : undefined
  const lasting = goodSince !== undefined && now - goodSince >= policy.resetAfter && before.attempts > 0
  const again = event.requested === true && before.phase._tag === "Escalated"
  const { journal: observations, state } = observe(definition, {
    ...before,
    health,
    lifecycle: event.lifecycle,
    goodSince,
    attempts: again || lasting ? 0 : before.attempts
  })
  const journal: ReadonlyArray<Entry> = [
    ...(again ? [{ _tag: "Requested" } as const] : []),
    ...(lasting ? [{ _tag: "Stable" } as const] : []),
    ...observations
  ]
  const { incident, phase } = state
  if (phase._tag === "Verifying" && incident !== undefined) {
    return verify(definition, state, incident, phase, { ...event, verdicts }, good, now, journal)
  }

  const found = pick(definition, state, event.requested === true)
  if (found === undefined) {
    const confirmed = health.some(
      ({ confirmed: is, signature }) =>
        is === "Unhealthy" && signature !== undefined && !isObserved(definition, signature)
    )
    // It became healthy without a remedy that we could credit.
    if (incident !== undefined && good && !confirmed) {
      return resolve(definition, state, incident, undefined, now, journal)
    }
    const suspect = confirmed || health.some((one) => one.failures > 0) || event.lifecycle === "Starting"
    return { state, journal, next: { _tag: "Check", after: suspect ? policy.fastPeriod : policy.period } }
  }
  const same = isSame(incident, found)
  if (phase._tag === "Escalated" && same && !again) {
    return { state, journal, next: { _tag: "Check", after: policy.slowPeriod } }
  }
  const { probe, signature } = found
  const opening: Incident = { openedAt: now, attempted: false, ...incident, probe, signature }
  const rung = same && phase._tag === "Preparing" ? phase.rung : 0
  return climb(
    definition,
    state,
    opening,
    rung,
    now,
    same ? journal : [...journal, seen(definition, "Opened", found, false)]
  )
}

/**
 * @category transitions
 * @since 0.1.0
 */
export const step = (definition: Definition, state: State, event: Event, now: number): Step => {
  if (event._tag === "Checked") return checked(definition, state, event, now)
  const { incident, phase } = state
  const ignored: Step = { state, journal: [], next: { _tag: "Check", after: definition.policy.period } }
  if (incident === undefined) return ignored
  const { signature } = incident

  if (phase._tag === "Preparing") {
    const rung = idOf(definition, signature, phase.rung)
    switch (event._tag) {
      case "Ready": {
        const attempts = state.attempts + 1
        return {
          state: {
            ...state,
            attempts,
            phase: { _tag: "Applying", rung: phase.rung }
          },
          journal: [
            { _tag: "Intent", rung, index: phase.rung, tag: signature._tag, attempt: attempts, fence: event.fence }
          ],
          next: { _tag: "Apply", signature, rung: phase.rung }
        }
      }
      case "Refused":
        return climb(definition, state, incident, phase.rung + 1, now, [{ _tag: "Refused", rung, why: event.why }])
      default:
        // Blocked: it stays at this rung, and asks again.
        return ignored
    }
  }
  if (phase._tag === "Applying") {
    const tried: Incident = { ...incident, attempted: true }
    const rung = idOf(definition, signature, phase.rung)
    switch (event._tag) {
      case "Applied":
        return {
          // What was seen before the remedy says nothing about what is after it.
          state: { ...verifying(definition, state, phase.rung, now), incident: tried },
          journal: [{ _tag: "Applied", rung }],
          next: { _tag: "Check", after: definition.policy.fastPeriod }
        }
      case "Failed": {
        const climbed = climb(definition, state, tried, phase.rung + 1, now, [{ _tag: "Failed", rung, why: event.why }])
        // It may have changed something all the same: the next rung sees what a probe reports now.
        return climbed.next._tag === "Prepare"
          ? { ...climbed, next: { _tag: "Check", after: definition.policy.fastPeriod } }
          : climbed
      }
      case "Blocked":
        // The intent could not be journalled, so nothing was done and nothing counts.
        return {
          ...ignored,
          state: { ...state, attempts: state.attempts - 1, phase: { _tag: "Preparing", rung: phase.rung } }
        }
      default:
        return ignored
    }
  }
  return ignored
}

/**
 * The state right after a rung was carried out, or after it may have been (the loop died in between): probed, never
 * blindly repeated.
 *
 * @category transitions
 * @since 0.1.0
 */
export const verifying = (definition: Definition, state: State, rung: number, now: number): State => ({
  ...state,
  health: definition.probes.map(() => Health.initial),
  goodSince: undefined,
  phase: { _tag: "Verifying", rung, start: now, goodSince: undefined }
})
