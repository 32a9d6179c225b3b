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
import type { Budget } from "./runnerSettings.ts"

export type Found = Verdict.Verdict<Verdict.Signature>

/** One target. */
export interface Lane {
  readonly queue: Array<Job>
  /** Whose check has not ended. */
  occupant: Job | undefined
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

interface Run extends Timing {
  fiber: Fiber.Fiber<Found> | undefined
  /** When it was told to end; it counts for nothing since then. */
  interrupted: number | undefined
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
  /** Since when it wants to begin. */
  waiting: number | undefined
  isPutOff: boolean
  run: Run | undefined
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
export const isExpected = (job: Job): boolean =>
  job.waiting !== undefined || (job.run !== undefined && job.run.interrupted === undefined)

/** A check was given up, and has not ended. */
export const isOverdue = (job: Job): boolean => job.run?.interrupted !== undefined

export const isBusy = (job: Job): boolean => job.waiting !== undefined || job.run !== undefined

/** A probe with the same timeout of its own is the first to say what it found. */
const grace = 100
/** A closing runner goes without a check that has not ended so long after its interruption. */
const farewell = 5000

export const make = (options: {
  readonly agenda: Agenda.Agenda
  readonly fork: (check: Effect.Effect<Found>) => Fiber.Fiber<Found>
  readonly concurrency: number
  readonly budget: Budget | undefined
  readonly inFlight: (checks: number) => void
  readonly putOff: () => void
}): Dispatcher => {
  const { agenda, budget, concurrency, fork, inFlight, putOff } = options
  const running = new Set<Job>()
  /** Lanes in which a check may begin as soon as there is a place. */
  const ready = new Set<Lane>()
  let active = 0
  let isPumping = false
  /** Set while closing; called when a check has ended. */
  let onLeave: ((job: Job) => void) | undefined

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
    for (const next of ready) {
      if (active >= concurrency || onLeave !== undefined) break
      ready.delete(next)
      begin(next)
    }
    isPumping = false
  }
  const wake = (lane: Lane) => {
    ready.add(lane)
    pump()
  }

  const begin = (lane: Lane) => {
    const job = lane.queue[0]
    if (job === undefined || lane.occupant !== undefined) return
    const wait = unpaid(job)
    if (wait > 0) {
      if (!job.isPutOff) putOff()
      job.isPutOff = true
      agenda.set(lane.refill, agenda.now() + wait)
      return
    }
    lane.queue.shift()
    lane.tokens -= job.cost
    const begun = agenda.now()
    const run: Run = { due: job.waiting ?? begun, begun, fiber: undefined, interrupted: undefined }
    lane.occupant = job
    job.waiting = undefined
    job.isPutOff = false
    job.run = run
    running.add(job)
    count(1)
    agenda.set(job.deadline, begun + job.timeout + grace)
    run.fiber = fork(job.check)
    run.fiber.addObserver((exit) => ended(job, run, exit))
  }

  const ended = (job: Job, run: Run, exit: Exit.Exit<Found>) => {
    const isLate = run.interrupted !== undefined
    job.lane.occupant = undefined
    job.run = undefined
    running.delete(job)
    if (!isLate) {
      count(-1)
      agenda.clear(job.deadline)
      // `Probe.examine` lets nothing else through.
      job.done(Exit.isSuccess(exit) ? exit.value : Verdict.inconclusive("the check was interrupted"), run)
    }
    if (onLeave === undefined) wake(job.lane)
    else onLeave(job)
  }

  const giveUp = (job: Job, run: Run) => {
    run.interrupted = agenda.now()
    count(-1)
    const verdict = Verdict.inconclusive(`the check did not end within ${job.timeout} ms`)
    job.done(verdict, run)
    run.fiber?.interruptUnsafe()
    pump()
  }

  const whatHinders = ({ lane }: Job): string | undefined => {
    if (lane.occupant !== undefined) return "another check of its target has not ended"
    return active >= concurrency ? "too many checks are in flight" : undefined
  }

  const onDeadline = (job: Job) => {
    const { run, waiting } = job
    if (waiting === undefined) {
      if (run !== undefined && run.interrupted === undefined) giveUp(job, run)
      return
    }
    const now = agenda.now()
    const hindrance = whatHinders(job)
    // For its budget it waits as long as it takes: nothing is wrong.
    if (hindrance === undefined) return agenda.set(job.deadline, now + job.timeout)
    job.lane.queue.splice(job.lane.queue.indexOf(job), 1)
    job.waiting = undefined
    job.isPutOff = false
    job.done(Verdict.inconclusive(`the check could not begin within ${job.timeout} ms: ${hindrance}`), {
      due: waiting,
      begun: now
    })
  }

  const enqueue = (job: Job, due: number) => {
    job.waiting = due
    job.lane.queue.push(job)
    agenda.set(job.deadline, agenda.now() + job.timeout)
  }

  return {
    lane: () => {
      const lane: Lane = {
        queue: [],
        occupant: undefined,
        tokens: budget?.cost ?? Infinity,
        since: agenda.now(),
        refill: Agenda.entry(() => wake(lane))
      }
      return lane
    },
    job: (given) => {
      const job: Job = {
        ...given,
        deadline: Agenda.entry(() => onDeadline(job)),
        waiting: undefined,
        isPutOff: false,
        run: undefined
      }
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
      const awaited = new Set<Job>()
      for (const job of running) {
        const { run } = job
        if (run === undefined) continue
        if (run.interrupted === undefined) count(-1)
        run.interrupted ??= now
        if (now - run.interrupted < farewell) awaited.add(job)
      }
      const leave = () => {
        agenda.reset()
        resume(Effect.succeed(running.size))
      }
      onLeave = (job) => {
        if (awaited.delete(job) && awaited.size === 0) leave()
      }
      if (awaited.size === 0) return leave()
      agenda.set(Agenda.entry(leave), now + farewell)
      for (const { run } of awaited) run?.fiber?.interruptUnsafe()
    })
  }
}
