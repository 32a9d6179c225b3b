/**
 * The runner at work: turns come, checks are made, and what they find goes to the probes that share them.
 *
 * @since 0.1.0
 */
import * as Dependencies from "@nexobot/core/Dependencies"
import * as Health from "@nexobot/core/Health"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"

import * as Agenda from "./agenda.ts"
import * as Dispatcher from "./dispatcher.ts"
import { excerpt } from "./excerpt.ts"
import * as FanOut from "./fanOut.ts"
import * as Gate from "./gate.ts"
import * as Grid from "./grid.ts"
import * as RunnerMetrics from "./runnerMetrics.ts"
import { checks, type Group, type Settings, type Watched } from "./runnerSettings.ts"

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

interface Member {
  readonly watched: Watched
  readonly show: (status: Health.Status) => void
  /** Who asked for a check. */
  readonly asking: Set<(answer: Effect.Effect<Result>) => void>
  readonly round: Round
  health: Health.Health
  last: Result | undefined
  /** The root of what it depends on that made it fail, until it has risen, or its failure is its own. */
  cause: string | undefined
  /** Bad checks in a row since nothing that it depends on fails. */
  own: number
}

/** Probes with one check, and its turns. */
interface Round {
  readonly members: Array<Member>
  readonly job: Dispatcher.Job
  readonly turn: Agenda.Entry
  /** Of the turn that comes; `undefined` if that is between the places of its grid. */
  place: number | undefined
  /** The gate is asked about what the check has found. */
  isJudged: boolean
}

/** Failing and not confirmed, or recovering. What says nothing now says no more if it is asked more often. */
const isSuspect = ({ confirmed, failures, inconclusive, successes }: Health.Health): boolean =>
  inconclusive === undefined && (confirmed === "Unhealthy" ? successes > 0 : failures > 0)

/**
 * One bad check is enough here: a cause that is not certain yet is a cause all the same. What says nothing now is none:
 * it may say nothing for ever.
 */
const isDown = ({ confirmed, failures, inconclusive }: Health.Health): boolean =>
  inconclusive === undefined && (confirmed === "Unhealthy" || failures > 0)

const least = (group: Group, of: (one: Watched) => number): number =>
  group.reduce((found, one) => Math.min(found, of(one)), Infinity)

/**
 * What a check acquires is released when it ends, and not when the runner does. `Runner.make` asks for the services of
 * all probes: they are in the context in which this runs.
 */
const examined = (probe: Probe.Any) =>
  Probe.examine({ ...probe, check: Effect.scoped(probe.check) }) as Effect.Effect<Dispatcher.Found> // oxlint-disable-line typescript/no-unsafe-type-assertion

export const start = Effect.fnUntraced(function* <R>(
  settings: Settings
): Effect.fn.Return<Runner, never, R | Scope.Scope> {
  const context = yield* Effect.context<R>()
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const redactor = yield* Redaction.Redactor
  const { dependencies, jitter } = settings

  const agenda = Agenda.make(context, clock)
  const metrics = RunnerMetrics.make(settings.name, context)
  const fork = Effect.runForkWith(context)
  const dispatcher = Dispatcher.make({
    agenda,
    fork,
    concurrency: settings.concurrency,
    budget: settings.budget,
    inFlight: metrics.inFlight,
    putOff: metrics.putOff
  })
  const lanes = new Map<string, Dispatcher.Lane>()
  const laneOf = ({ target }: Probe.Any): Dispatcher.Lane => {
    const lane = lanes.get(target) ?? dispatcher.lane()
    lanes.set(target, lane)
    return lane
  }
  const { connectivity } = settings
  const gate = connectivity === undefined ? undefined : Gate.make({ agenda, dispatcher, check: examined(connectivity) })
  const members = new Map<string, Member>()
  const known = function* () {
    for (const { last } of members.values()) if (last !== undefined) yield { ...last, replayed: true }
  }
  const results = FanOut.make<Result>(settings.buffer, () => [...known()])
  let isClosed = false

  const failing = ({ watched: { dependsOn, probe } }: Member): string | undefined =>
    dependsOn.length === 0
      ? undefined
      : Dependencies.root(dependencies, probe.name, (other) => isDown(members.get(other)?.health ?? Health.initial))

  /** It recovers after its cause, which is told as long as it is down: its own failure has to be confirmed, too. */
  const suppressedBy = (member: Member, verdict: Dispatcher.Found): string | undefined => {
    const isGood = verdict._tag === "Healthy" && member.health.confirmed !== "Unhealthy"
    return isGood ? undefined : (failing(member) ?? member.cause)
  }

  const blame = (member: Member, verdict: Dispatcher.Found) => {
    const hasRisen = member.health.confirmed !== "Unhealthy" && member.health.failures === 0
    const root = hasRisen ? undefined : failing(member)
    if (root !== undefined || verdict._tag === "Healthy" || verdict._tag === "Degraded") member.own = 0
    else if (verdict._tag === "Unhealthy") member.own += 1
    if (root !== undefined) member.cause = root
    else if (hasRisen || member.own >= member.watched.fall) member.cause = undefined
  }

  const record = (
    member: Member,
    verdict: Dispatcher.Found,
    common: Pick<Result, "at" | "duration" | "lag" | "replayed" | "shared">
  ) => {
    const { asking, watched } = member
    const { name, target } = watched.probe
    const health = Health.next(watched, member.health, verdict)
    const status = Health.status(health)
    if (status !== Health.status(member.health)) member.show(status)
    member.health = health
    blame(member, verdict)
    const suppressed = suppressedBy(member, verdict)
    const result: Result = { name, target, verdict, status, health, suppressedBy: suppressed, ...common }
    member.last = result
    const lost = results.publish(result)
    if (lost > 0) metrics.lost(lost)
    const told = [...asking]
    asking.clear()
    for (const answer of told) answer(Effect.succeed(result))
  }

  const publish = (round: Round, verdict: Dispatcher.Found, { begun, due }: Dispatcher.Timing, took: number) => {
    const lag = Math.max(0, begun - due)
    metrics.checked(verdict._tag, took / 1000, lag / 1000)
    const common = {
      replayed: false,
      at: clock.currentTimeMillisUnsafe(),
      duration: Duration.millis(took),
      lag: Duration.millis(lag),
      shared: round.members.length > 1
    }
    for (const member of round.members) record(member, verdict, common)
    let soon = Infinity
    for (const { health, watched } of round.members)
      if (isSuspect(health)) soon = Math.min(soon, watched.suspectInterval)
    if (soon === Infinity || isClosed) return
    const at = agenda.now() + soon * (1 + (2 * random.nextDoubleUnsafe() - 1) * jitter)
    if (at >= round.turn.at) return
    round.place = undefined
    agenda.set(round.turn, at)
  }

  const judge = (round: Round, found: Dispatcher.Found, timing: Dispatcher.Timing) => {
    const took = agenda.now() - timing.begun
    const isExcusable = found._tag === "Unhealthy" && round.members[0]?.watched.probe.reach === "network"
    if (gate === undefined || !isExcusable) return publish(round, found, timing, took)
    round.isJudged = true
    gate.ask(timing.begun, (lost) => {
      round.isJudged = false
      if (lost === undefined) return publish(round, found, timing, took)
      metrics.excused()
      // What a probe tells may be long, and say what nobody should read.
      const verdict = Verdict.inconclusive(`own network is lost: ${excerpt(lost, redactor)}`)
      publish(round, verdict, timing, took)
    })
  }

  const began = agenda.now()
  const offset = random.nextDoubleUnsafe()
  const intervals = settings.groups.map((group) => least(group, (one) => one.interval))
  const slot = Grid.slotOf(intervals)

  for (const [index, group] of settings.groups.entries()) {
    const [{ probe }] = group
    const interval = least(group, (one) => one.interval)
    const grid = { interval, origin: began + Grid.phase(index, offset) * interval, slot, jitter }
    const round: Round = {
      members: [],
      job: dispatcher.job({
        lane: laneOf(probe),
        cost: group.reduce((most, one) => Math.max(most, one.probe.cost), 0),
        timeout: least(group, (one) => one.timeout),
        check: examined(probe),
        done: (verdict, timing) => judge(round, verdict, timing)
      }),
      turn: Agenda.entry(() => {
        const due = round.turn.at
        const next = Grid.placeAfter(grid, agenda.now(), round.place)
        // Places that passed while the machine stood still.
        let skipped = round.place === undefined ? 0 : next - round.place - 1
        round.place = next
        agenda.set(round.turn, Grid.timeOf(grid, next, random.nextDoubleUnsafe()))
        if (round.isJudged || Dispatcher.isBusy(round.job)) skipped += 1
        else dispatcher.request(round.job, due)
        if (skipped > 0) metrics.skipped(skipped)
      }),
      place: undefined,
      isJudged: false
    }
    for (const watched of group) {
      const { name } = watched.probe
      const show = metrics.status(name)
      const member: Member = {
        watched,
        show,
        asking: new Set(),
        round,
        health: Health.initial,
        last: undefined,
        cause: undefined,
        own: 0
      }
      round.members.push(member)
      members.set(name, member)
    }
    agenda.set(round.turn, began + Grid.firstTurn(index, settings.groups.length, interval))
  }

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      isClosed = true
      results.end()
      for (const { asking } of members.values()) for (const answer of asking) answer(Effect.interrupt)
      const left = yield* dispatcher.close
      metrics.close()
      if (left > 0) yield* Effect.logWarning(`${settings.name}: ${left} checks did not end when they were interrupted`)
    })
  )

  const memberOf = (name: string): Member =>
    members.get(name) ?? checks.fail("name", name, "the name of a watched probe")
  const stateOf = (member: Member): State => {
    const { health, last, round, watched } = member
    const status = Health.status(health)
    return {
      name: watched.probe.name,
      target: watched.probe.target,
      status,
      health,
      last,
      suppressedBy: last === undefined ? undefined : suppressedBy(member, last.verdict),
      overdue: Dispatcher.isOverdue(round.job)
    }
  }
  return {
    results: results.stream,
    states: Effect.sync(() => new Map([...members].map(([name, member]) => [name, stateOf(member)]))),
    state: (name) => Effect.sync(() => stateOf(memberOf(name))),
    check: (name) =>
      Effect.suspend(() => {
        const { asking, round } = memberOf(name)
        if (isClosed) return Effect.interrupt
        return Effect.callback<Result>((resume) => {
          asking.add(resume)
          if (!round.isJudged && !Dispatcher.isExpected(round.job)) dispatcher.request(round.job, agenda.now())
          return Effect.sync(() => asking.delete(resume))
        })
      })
  }
})
