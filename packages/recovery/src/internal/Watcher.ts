/**
 * The Effect shell of the loop: it checks, journals, takes the lease, carries rungs out and sleeps. It decides nothing;
 * `Loop.step` does.
 *
 * @since 0.1.0
 */
import type * as Component from "@nexobot/core/Component"
import { type Lease, Leases } from "@nexobot/core/Lease"
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Probe from "@nexobot/core/Probe"
import { type Redactor, Redactor as RedactorReference } from "@nexobot/core/Redaction"
import { failed, type Remediator } from "@nexobot/core/Remediator"
import * as Verdict from "@nexobot/core/Verdict"
import type { Signature } from "@nexobot/core/Verdict"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

import { EncodedSignature, Journal, type JournalEntry, type JournalError, type JournalRecord } from "../Journal.ts"
import * as Loop from "../Loop.ts"
import type { Policy } from "../Policy.ts"
import type * as Report from "../Report.ts"
import * as Resume from "../Resume.ts"

/**
 * Somebody who waits for the end of a recovery.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = Deferred.Deferred<Report.Outcome>

/**
 * @category models
 * @since 0.1.0
 */
export interface Watcher<R> {
  readonly name: string
  readonly definition: Loop.Definition
  readonly component: Component.Component<Signature, R>
}

/**
 * What the machine knows of a component.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R>(component: Component.Component<Signature, R>, policy: Policy): Watcher<R> => {
  const answers = new Map(
    [...component.runbook].map(([tag, ladder]): readonly [string, Loop.Answer] => [
      tag,
      "_tag" in ladder ? ladder : { _tag: "Rungs", ids: ladder.map((rung) => rung.id) }
    ])
  )
  const unknown: Loop.Answer = { _tag: "Escalation", reason: "the runbook has no answer to this signature" }
  return {
    name: component.name,
    component,
    definition: { probes: component.probes, policy, answer: (tag) => answers.get(tag) ?? unknown }
  }
}

const why = (cause: Cause.Cause<unknown>): string => String(Cause.squash(cause))

/** A probe that hangs is inconclusive, never healthy. */
const examine = <R>(probe: Probe.Probe<Signature, R>, { checkWithin }: Policy) =>
  Effect.timeoutOrElse(Probe.examine(probe), {
    duration: checkWithin,
    orElse: () => Effect.succeed(Verdict.inconclusive(`${probe.name} did not end within ${checkWithin} ms`))
  })

/** Nothing is judged while nobody can tell whether the component was stopped on request. */
const check = Effect.fnUntraced(function* <R>({ component, definition }: Watcher<R>, requested: boolean) {
  const { policy } = definition
  const lifecycle = yield* component.lifecycle.pipe(Effect.timeoutOption(policy.checkWithin), Effect.exit)
  if (Exit.isSuccess(lifecycle) && Option.isSome(lifecycle.value)) {
    const verdicts = yield* Effect.forEach(component.probes, (probe) => examine(probe, policy), {
      concurrency: "unbounded"
    })
    return { _tag: "Checked", lifecycle: lifecycle.value.value, verdicts, requested } satisfies Loop.Event
  }
  const reason = Exit.isFailure(lifecycle) ? why(lifecycle.cause) : `it did not end within ${policy.checkWithin} ms`
  const unknown = Verdict.inconclusive(`its lifecycle cannot be told: ${reason}`)
  return {
    _tag: "Checked",
    lifecycle: "Running",
    verdicts: component.probes.map(() => unknown),
    requested
  } satisfies Loop.Event
})

/** Why a remedy may not be tried here at all; nothing is done without what it asks for. */
const missing = (remedy: Remediator<never, unknown>): string | undefined => {
  if (remedy.needsApproval) return "it needs a human's approval, and nobody can give one here"
  if (remedy.needsSnapshot) return "it needs a snapshot first, and there is no snapshot store"
  if (remedy.privilege === "root" && process.getuid?.() !== 0) return "it needs root"
  return undefined
}

const whyOf = (cause: Cause.Cause<{ readonly reason: { readonly why: string } }>): string => {
  const failure = Cause.findErrorOption(cause)
  return Option.isSome(failure) ? failure.value.reason.why : why(cause)
}

interface Target {
  readonly signature: Signature
  readonly rung: number
}

/** The rung, and the signature as that rung's remedy takes it: `Component.make` has matched them by tag. */
const remedyAt = <R>(component: Component.Component<Signature, R>, command: Target) => {
  const ladder = component.runbook.get(command.signature._tag)
  const remedy = ladder === undefined || "_tag" in ladder ? undefined : ladder[command.rung]
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return remedy === undefined ? undefined : { remedy, signature: command.signature as never }
}

const refused = (reason: string) => ({ _tag: "Refused", why: reason }) satisfies Loop.Event

const decodeSignature = Schema.decodeUnknownOption(EncodedSignature)

/**
 * What the machine journals, encoded, and redacted for every kind of journal. A signature that its own class cannot
 * encode keeps its tag.
 */
const encode = (component: Component.Any, { text, value }: Redactor, entry: Loop.Entry): JournalEntry => {
  switch (entry._tag) {
    case "Opened":
    case "Observed": {
      const { _tag } = entry.signature
      const signatureClass = component.signatures.get(_tag)
      const encoded =
        signatureClass === undefined
          ? Option.none()
          : Schema.encodeUnknownOption(Schema.toCodecJson(signatureClass))(entry.signature)
      const fields = Option.getOrElse(Option.flatMap(Option.map(encoded, value), decodeSignature), () => ({ _tag }))
      const signature = { ...fields, _tag }
      return { ...entry, signature, evidence: entry.evidence.map(text), diagnosis: text(entry.diagnosis) }
    }
    case "Failed":
    case "Refused":
      return { ...entry, why: text(entry.why) }
    case "Escalated":
      return { ...entry, reason: text(entry.reason) }
    case "Resolved":
      return { _tag: "Resolved", took: entry.took, ...(entry.by === undefined ? {} : { by: entry.by }) }
    default:
      return entry
  }
}

const isDefect = (cause: Cause.Cause<never>) => !Cause.hasInterruptsOnly(cause)

/** How the recovery that somebody asked for ended; `undefined` while it goes on. */
const outcomeOf = (
  { definition, name: component }: Pick<Watcher<never>, "definition" | "name">,
  { journal, state }: Loop.Step,
  now: number
): Report.Outcome | undefined => {
  const { incident, lifecycle, observed, phase } = state
  if (lifecycle === "Stopped") return { component, outcome: "stopped", detail: "it was stopped on request" }
  if (phase._tag === "Escalated") return { component, outcome: "escalated", detail: phase.reason }
  const broken = state.health.find((one) => one.inconclusive !== undefined)?.inconclusive
  const overdue = phase._tag === "Verifying" && lifecycle === "Running" && now - phase.start >= definition.policy.within
  if (broken !== undefined && (phase._tag === "Watching" || overdue)) {
    return { component, outcome: "unknown", detail: broken }
  }
  if (phase._tag !== "Watching") return undefined
  const resolved = journal.find((entry) => entry._tag === "Resolved")
  if (resolved !== undefined) {
    return resolved.by === undefined
      ? { component, outcome: "recovered", detail: "healthy again without a remedy" }
      : { component, outcome: "recovered", action: resolved.by, detail: "verified by its probes" }
  }
  if (incident !== undefined) return undefined
  const tags = observed.map((one) => one.tag).join(", ")
  return { component, outcome: "healthy", detail: tags === "" ? "nothing was wrong" : `only observed: ${tags}` }
}

const journalProblem = (cause: Cause.Cause<JournalError>): string => {
  const failure = Cause.findErrorOption(cause)
  return Option.isSome(failure) ? failure.value.message : why(cause)
}

/** A journal that is away for longer than this many lines loses the oldest; intents are never among them. */
const mostUnwritten = 1000

/**
 * Watches one component for ever.
 *
 * @category operations
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function* <R>(
  watcher: Watcher<R>,
  options: {
    readonly requests: Queue.Dequeue<Request>
    /** `obstacle` says why nothing can be done although something should be. */
    readonly onState: (state: Loop.State, obstacle: string | undefined) => Effect.Effect<void>
    readonly onRecords: (records: ReadonlyArray<JournalRecord>) => Effect.Effect<void>
  }
) {
  const { component, definition, name } = watcher
  const journal = yield* Journal
  const leases = yield* Leases
  const redactor = yield* RedactorReference
  const { applyWithin, checkWithin, slowPeriod } = definition.policy

  let obstacle: string | undefined
  let unwritten: ReadonlyArray<JournalEntry> = []
  /** Whether all entries are durable now. What is not is written with the next ones; an intent is not, and not done. */
  const write = Effect.fnUntraced(function* (entries: ReadonlyArray<Loop.Entry>) {
    const all = [...unwritten, ...entries.map((entry) => encode(component, redactor, entry))]
    if (all.length === 0) return true
    const exit = yield* Effect.exit(journal.append(name, all))
    if (Exit.isSuccess(exit)) {
      unwritten = []
      obstacle = undefined
      yield* options.onRecords(exit.value)
      return true
    }
    unwritten = all.filter((entry) => entry._tag !== "Intent").slice(-mostUnwritten)
    const reason = redactor.text(journalProblem(exit.cause))
    // Said once, not with every check.
    if (reason !== obstacle) yield* Effect.logError(`${name}: ${reason}`)
    obstacle = reason
    return false
  })

  /** Held from the first rung of a climb until it is over. */
  let held: { readonly scope: Scope.Closeable; readonly lease: Lease; lost: boolean } | undefined
  /** Why it is not known whether the lease is free. */
  let unleased: string | undefined
  const release = Effect.suspend(() => {
    const scope = held?.scope
    held = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })
  const acquire = Effect.gen(function* () {
    if (held?.lost === true) yield* release
    if (held !== undefined) return held.lease
    const scope = yield* Scope.make()
    const taken = yield* Effect.result(Scope.provide(leases.take(name), scope))
    const reason = Result.isFailure(taken) ? redactor.text(taken.failure.message) : undefined
    // Said once, not with every attempt.
    if (reason !== undefined && reason !== unleased) yield* Effect.logWarning(`${name}: ${reason}`)
    unleased = reason
    if (Result.isFailure(taken) || Option.isNone(taken.success)) {
      yield* Scope.close(scope, Exit.void)
      return undefined
    }
    const mine = { scope, lease: taken.success.value, lost: false }
    held = mine
    const lost = Effect.sync(() => (mine.lost = true))
    yield* Effect.forkIn(Effect.andThen(mine.lease.lost, lost), scope, { startImmediately: true })
    return mine.lease
  }).pipe(Effect.uninterruptible)

  const prepare = Effect.fnUntraced(function* (command: Target) {
    const target = remedyAt(component, command)
    if (target === undefined) return refused("there is no such rung")
    const without = missing(target.remedy)
    if (without !== undefined) return refused(without)
    const lease = yield* acquire
    if (lease === undefined) return { _tag: "Blocked" } satisfies Loop.Event
    const precondition = target.remedy.precondition(target.signature)
    const exit = yield* precondition.pipe(Effect.timeoutOption(checkWithin), Effect.exit)
    if (Exit.isFailure(exit)) return refused(whyOf(exit.cause))
    if (Option.isNone(exit.value)) return refused(`its precondition did not end within ${checkWithin} ms`)
    return { _tag: "Ready", fence: lease.fence } satisfies Loop.Event
  })
  const apply = Effect.fnUntraced(function* (command: Target) {
    const target = remedyAt(component, command)
    if (target === undefined) return { _tag: "Failed", why: "there is no such rung" } satisfies Loop.Event
    if (held === undefined || held.lost) return { _tag: "Blocked" } satisfies Loop.Event
    // Somebody else may be at it from that moment on.
    const lost = Effect.andThen(held.lease.lost, Effect.fail(failed(target.remedy.id, "its lease was lost meanwhile")))
    const applying = Effect.raceFirst(target.remedy.apply(target.signature), lost)
    const exit = yield* applying.pipe(Effect.timeoutOption(applyWithin), Effect.exit)
    if (Exit.isFailure(exit)) return { _tag: "Failed", why: whyOf(exit.cause) } satisfies Loop.Event
    if (Option.isNone(exit.value)) {
      yield* Effect.logWarning(`${name}: ${target.remedy.id} was interrupted after ${applyWithin} ms`)
    }
    // Interrupted or not: what came of it is for the probes to say.
    return { _tag: "Applied" } satisfies Loop.Event
  })

  const waiting: Array<Request> = []
  const settle = (outcome: Report.Outcome) =>
    Effect.forEach(
      waiting.splice(0),
      (request) => Deferred.succeed(request, { ...outcome, detail: redactor.text(outcome.detail) }),
      { discard: true }
    )

  let state = Resume.resume({
    definition,
    records: journal.history.filter((record) => record.component === name),
    now: yield* Monotonic.millis,
    wallNow: yield* Clock.currentTimeMillis
  })
  const isIdle = () => state.phase._tag === "Watching" || state.phase._tag === "Escalated"

  const loop = Effect.gen(function* () {
    let event: Loop.Event = yield* check(watcher, isIdle() && waiting.length > 0)
    for (;;) {
      const now = yield* Monotonic.millis
      const step = Loop.step(definition, state, event, now)
      const durable = yield* write(step.journal)
      state = step.state
      yield* options.onState(state, obstacle ?? (isIdle() ? undefined : unleased))
      if (isIdle()) yield* release
      const outcome = waiting.length === 0 ? undefined : outcomeOf(watcher, step, now)
      if (outcome !== undefined) yield* settle(outcome)

      switch (step.next._tag) {
        case "Prepare":
          event = yield* prepare(step.next)
          break
        case "Apply":
          event = durable ? yield* apply(step.next) : { _tag: "Blocked" }
          break
        case "Check": {
          const request = yield* Queue.take(options.requests).pipe(Effect.timeoutOption(step.next.after))
          if (Option.isSome(request)) waiting.push(request.value)
          event = yield* check(watcher, Option.isSome(request) && isIdle())
        }
      }
    }
  })

  /** A bug of ours must not leave a component unwatched, nor anybody waiting. */
  const survive = Effect.fnUntraced(function* (cause: Cause.Cause<never>) {
    yield* Effect.logFatal(redactor.text(`${name}: the loop broke, and begins anew: ${Cause.pretty(cause)}`))
    yield* settle({ component: name, outcome: "unknown", detail: "the loop broke" })
    yield* release
    const now = yield* Monotonic.millis
    const { phase } = state
    const fresh: Loop.State = { ...state, health: Loop.initial(definition).health }
    state = phase._tag === "Applying" ? Loop.verifying(definition, state, phase.rung, now) : fresh
    yield* options.onState(state, undefined)
    yield* Effect.sleep(slowPeriod)
  })
  return yield* Effect.forever(Effect.catchCauseIf(loop, isDefect, survive)).pipe(Effect.ensuring(release))
})
