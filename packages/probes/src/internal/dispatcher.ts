/**
 * Which check may begin now: one at a time for each target, within its budget, and so many altogether. A check that takes
 * longer than it may is given up at once, whatever becomes of it; its target stays occupied until it has really ended.
 *
 * @since 0.1.0
 */
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

import * as Agenda from "./agenda.ts"

export interface Budget {
  readonly cost: number
  /** Milliseconds. */
  readonly per: number
}

export type Found = Verdict.Verdict<Verdict.Signature>

/** What keeps the next check of a target from beginning; all that is waited for ends, but for `Overdue`. */
type Hold =
  | { readonly _tag: "Nothing" }
  /** A check is under way, which has its own time. */
  | { readonly _tag: "Occupied"; readonly by: Job; readonly run: Run }
  /** A check was told to end then, and has not; it counts for nothing since. */
  | { readonly _tag: "Overdue"; readonly by: Job; readonly run: Run; readonly since: number }
  /** There is no budget left, until `refill`. */
  | { readonly _tag: "Unpaid" }
  /** It could begin since then; too many are in flight. */
  | { readonly _tag: "Crowded"; readonly since: number }

/** One target. */
export interface Lane {
  readonly queue: Array<Job>
  hold: Hold
  tokens: number
  /** When there were so many. */
  since: number
  readonly refill: Agenda.Entry
}

/** Milliseconds of the monotonic clock. */
export interface Timing {
  readonly due: number
  readonly begun: number
}

type Phase =
  | { readonly _tag: "Idle" }
  /** In the queue of its lane. `asked` is when it came there. */
  | { readonly _tag: "Waiting"; readonly due: number; readonly asked: number }
  | Run

interface Run extends Timing {
  readonly _tag: "Running"
  fiber: Fiber.Fiber<Found> | undefined
}

export interface JobOptions {
  readonly lane: Lane
  readonly cost: number
  readonly timeout: number
  readonly check: Effect.Effect<Found>
  readonly done: (verdict: Found, timing: Timing) => void
}

/** One check that is made again and again. */
export interface Job extends JobOptions {
  /** Of the wait, then of the check. */
  readonly deadline: Agenda.Entry
  phase: Phase
}

export interface Dispatcher {
  readonly lane: () => Lane
  readonly job: (options: JobOptions) => Job
  /** Asks for a check that was due then; `done` is called once for it. */
  readonly request: (job: Job, due: number) => void
  /** The same at once, however many are in flight; for a job with a lane of its own. */
  readonly begin: (job: Job) => void
  /** Interrupts everything and waits for its end; it returns how many do not end. */
  readonly close: Effect.Effect<number>
}

/** Whether a verdict is still to come of what was asked before. */
export const isExpected = ({ phase }: Job): boolean => phase._tag !== "Idle"

/** A check was given up, and has not ended. */
export const isOverdue = (job: Job): boolean => job.lane.hold._tag === "Overdue" && job.lane.hold.by === job

export const isBusy = (job: Job): boolean => isExpected(job) || isOverdue(job)

const idle: Phase = { _tag: "Idle" }
const nothing: Hold = { _tag: "Nothing" }

/** A probe with the same timeout of its own is the first to say what it found. */
const grace = 100
/** A closing runner goes without a check that has not ended so long after its interruption. */
const farewell = 5000

/** For what it does not wait as long as it takes, and since when. */
const hindrance = ({ lane: { hold } }: Job): { readonly what: string; readonly since: number } | undefined => {
  if (hold._tag === "Overdue") return { what: "another check of its target has not ended", since: hold.since }
  return hold._tag === "Crowded" ? { what: "too many checks are in flight", since: hold.since } : undefined
}

export const make = (options: {
  readonly agenda: Agenda.Agenda
  readonly fork: (check: Effect.Effect<Found>) => Fiber.Fiber<Found>
  readonly concurrency: number
  readonly budget: Budget | undefined
  readonly inFlight: (checks: number) => void
  readonly putOff: () => void
}): Dispatcher => {
  const { agenda, budget, concurrency, fork, inFlight, putOff } = options
  /** With a check that has not ended. */
  const occupied = new Set<Lane>()
  /** Lanes that are `Crowded`, until there is a place. */
  const ready = new Set<Lane>()
  let active = 0
  let isPumping = false
  /** Set while closing; called when a check has ended. */
  let onLeave: ((lane: Lane) => void) | undefined

  const count = (by: number) => {
    active += by
    inFlight(active)
  }

  /** Milliseconds until the target's budget pays for it. */
  const unpaid = ({ cost, lane }: Job): number => {
    if (budget === undefined) return 0
    const now = agenda.now()
    lane.tokens = Math.min(budget.cost, lane.tokens + ((now - lane.since) * budget.cost) / budget.per)
    lane.since = now
    // What rounding has lost must not put it off once more.
    return lane.tokens + budget.cost * 1e-9 >= cost ? 0 : ((cost - lane.tokens) * budget.per) / budget.cost
  }

  const pump = () => {
    // A check may end while it begins: what that wakes is walked in the same loop, and not on top of it.
    if (isPumping) return
    isPumping = true
    try {
      for (const next of ready) {
        if (active >= concurrency || onLeave !== undefined) break
        ready.delete(next)
        begin(next)
      }
    } finally {
      isPumping = false
    }
  }
  const wake = (lane: Lane) => {
    if (lane.hold._tag === "Nothing" && lane.queue.length > 0) {
      lane.hold = { _tag: "Crowded", since: agenda.now() }
      ready.add(lane)
    }
    // Also if nobody waits here: what has ended has left a place for the others.
    pump()
  }

  const begin = (lane: Lane) => {
    lane.hold = nothing
    const job = lane.queue[0]
    if (job?.phase._tag !== "Waiting") return
    const wait = unpaid(job)
    if (wait > 0) {
      putOff()
      lane.hold = { _tag: "Unpaid" }
      agenda.set(lane.refill, agenda.now() + wait)
      return
    }
    lane.queue.shift()
    lane.tokens -= job.cost
    const begun = agenda.now()
    const run: Run = { _tag: "Running", due: job.phase.due, begun, fiber: undefined }
    lane.hold = { _tag: "Occupied", by: job, run }
    job.phase = run
    occupied.add(lane)
    count(1)
    agenda.set(job.deadline, begun + job.timeout + grace)
    run.fiber = fork(job.check)
    run.fiber.addObserver((exit) => ended(job, run, exit))
  }

  const tell = (job: Job, verdict: Found, timing: Timing) => agenda.attempt(() => job.done(verdict, timing))

  const ended = (job: Job, run: Run, exit: Exit.Exit<Found>) => {
    const { lane } = job
    lane.hold = nothing
    occupied.delete(lane)
    if (job.phase === run) {
      job.phase = idle
      count(-1)
      agenda.clear(job.deadline)
      // `Probe.examine` lets nothing else through.
      tell(job, Exit.isSuccess(exit) ? exit.value : Verdict.inconclusive("the check was interrupted"), run)
    }
    if (onLeave === undefined) wake(lane)
    else onLeave(lane)
  }

  const abandon = (job: Job, run: Run) => {
    job.phase = idle
    job.lane.hold = { _tag: "Overdue", by: job, run, since: agenda.now() }
    count(-1)
  }

  const giveUp = (job: Job, run: Run) => {
    abandon(job, run)
    tell(job, Verdict.inconclusive(`the check did not end within ${job.timeout} ms`), run)
    run.fiber?.interruptUnsafe()
    pump()
  }

  const onDeadline = (job: Job) => {
    const { lane, phase, timeout } = job
    if (phase._tag === "Running") return giveUp(job, phase)
    if (phase._tag !== "Waiting") return
    const now = agenda.now()
    const found = hindrance(job)
    // A check of its target that is under way ends in time or is overdue, and budget comes: nothing is wrong, yet.
    if (found === undefined) return agenda.set(job.deadline, now + timeout)
    const last = Math.max(found.since, phase.asked) + timeout
    if (now < last) return agenda.set(job.deadline, last)
    lane.queue.splice(lane.queue.indexOf(job), 1)
    job.phase = idle
    const verdict = Verdict.inconclusive(`the check could not begin within ${timeout} ms: ${found.what}`)
    tell(job, verdict, { due: phase.due, begun: now })
  }

  const enqueue = (job: Job, due: number) => {
    const asked = agenda.now()
    job.phase = { _tag: "Waiting", due, asked }
    job.lane.queue.push(job)
    agenda.set(job.deadline, asked + job.timeout)
  }

  return {
    lane: () => {
      const lane: Lane = {
        queue: [],
        hold: nothing,
        tokens: budget?.cost ?? Infinity,
        since: agenda.now(),
        refill: Agenda.entry(() => {
          lane.hold = nothing
          wake(lane)
        })
      }
      return lane
    },
    job: (given) => {
      const job: Job = { ...given, deadline: Agenda.entry(() => onDeadline(job)), phase: idle }
      return job
    },
    request: (job, due) => {
      enqueue(job, due)
      wake(job.lane)
    },
    begin: (job) => {
      enqueue(job, agenda.now())
      begin(job.lane)
    },
    close: Effect.callback<number>((resume) => {
      // Nothing is due any more but the end.
      agenda.reset()
      const now = agenda.now()
      const awaited = new Set<Lane>()
      for (const lane of occupied) {
        if (lane.hold._tag === "Occupied") abandon(lane.hold.by, lane.hold.run)
        if (lane.hold._tag === "Overdue" && now - lane.hold.since < farewell) awaited.add(lane)
      }
      const leave = () => {
        agenda.reset()
        resume(Effect.succeed(occupied.size))
      }
      onLeave = (lane) => {
        if (awaited.delete(lane) && awaited.size === 0) leave()
      }
      if (awaited.size === 0) return leave()
      agenda.set(Agenda.entry(leave), now + farewell)
      for (const { hold } of awaited) if (hold._tag === "Overdue") hold.run.fiber?.interruptUnsafe()
    })
  }
}
