/**
 * The circuit of one key: a pure machine. Times are monotonic milliseconds, given by the caller; chance is a number
 * given by the host.
 *
 * Every admission yields a ticket. An outcome counts only under a ticket that is still good: the one of the present
 * generation while the circuit is closed, or that of a trial whose lease runs. All others are late, and change nothing.
 */
import type { Backoff } from "../Backoff.ts"

/**
 * `Ramping` is closed, but not all calls are admitted yet. A `Forgotten` circuit is none of the registry's any more: who
 * still has it must ask for the key again.
 */
export type Phase = "Closed" | "Ramping" | "Open" | "HalfOpen" | "Isolated" | "Forgotten"

/** Why a circuit moved. */
export type Why =
  | "consecutive failures"
  | "failure rate"
  | "slow calls"
  | "trial"
  | "votes"
  | "open time over"
  | "isolated"
  | "reset"

/** A share of the calls within a window. */
export interface Share {
  readonly threshold: number
  readonly minimumCalls: number
  readonly window: number
}

export interface Settings {
  readonly consecutive: { readonly failures: number; readonly within: number } | undefined
  readonly rate: Share | undefined
  readonly slow: (Share & { readonly after: number }) | undefined
  readonly open: Backoff
  readonly maxRetryAfter: number
  readonly resetAfter: number
  readonly trials: { readonly calls: number; readonly successes: number; readonly lease: number }
  readonly ramp: { readonly duration: number; readonly from: number } | undefined
}

/** What a circuit needs from outside. */
export interface Host {
  /** From 0 up to but not including 1. */
  readonly random: () => number
  readonly changed: (circuit: Circuit, from: Phase, why: Why, now: number) => void
  /** A trial gave its slot back and said nothing. */
  readonly released: (circuit: Circuit) => void
}

/** The call is not to be made. */
export const refused = -1

const size = 10

/** Counts over the last ten tenths of a window, the present one included. Tenths begin at multiples of their width. */
class Window {
  calls = 0
  bad = 0
  private readonly all = new Uint32Array(size)
  private readonly some = new Uint32Array(size)
  private readonly width: number
  private index = -Infinity
  private slot = 0
  private end = -Infinity
  constructor(millis: number) {
    this.width = millis / size
  }
  add(bad: boolean, now: number): void {
    if (now >= this.end) this.advance(now)
    this.all[this.slot] = (this.all[this.slot] ?? 0) + 1
    this.calls++
    if (!bad) return
    this.some[this.slot] = (this.some[this.slot] ?? 0) + 1
    this.bad++
  }
  reached(share: Share): boolean {
    return this.calls >= share.minimumCalls && this.bad > 0 && this.bad / this.calls >= share.threshold
  }
  advance(now: number): void {
    const index = Math.floor(now / this.width)
    if (index >= this.index + size) this.clear()
    else {
      for (let i = this.index + 1; i <= index; i++) {
        const slot = i % size
        this.calls -= this.all[slot] ?? 0
        this.bad -= this.some[slot] ?? 0
        this.all[slot] = this.some[slot] = 0
      }
    }
    this.index = index
    this.slot = index % size
    this.end = (index + 1) * this.width
  }
  clear(): void {
    this.all.fill(0)
    this.some.fill(0)
    this.calls = this.bad = 0
  }
}

interface Trial {
  readonly ticket: number
  readonly until: number
}

export class Circuit {
  readonly key: string
  phase: Phase = "Closed"
  /** Another one after every transition: what was admitted before it does not count any more. */
  generation = 0
  /** While open: when a trial may be made. */
  until = 0
  /** When it entered its phase. */
  since: number
  /** When it was used last, as far as is known. */
  last: number
  /** Set by every judged call in place of `last`, and cleared by who looks. */
  used = false
  /** Open because of the votes of others. */
  byVotes = false
  /** How often it opened in a row. */
  trips = 0
  /** Calls refused since it was made. */
  refusals = 0
  /** Failures in a row. */
  streak = 0
  private tickets = 0
  private readonly windowed: boolean
  private readonly rate: Window | undefined
  private readonly slow: Window | undefined
  /** When the last failures in a row happened, oldest overwritten. */
  private failures: Array<number> = []
  private trials: Array<Trial> = []
  private good = 0
  private bad = 0
  private credit = 1
  private readonly settings: Settings
  private readonly host: Host

  constructor(key: string, settings: Settings, host: Host, now: number) {
    this.key = key
    this.settings = settings
    this.host = host
    this.since = this.last = now
    this.rate = settings.rate && new Window(settings.rate.window)
    this.slow = settings.slow && new Window(settings.slow.window)
    this.windowed = settings.rate !== undefined || settings.slow !== undefined
  }

  /** A ticket, or `refused`. A closed circuit admits under its generation: there is no need to ask. */
  admit(now: number): number {
    this.last = now
    switch (this.phase) {
      case "Closed":
        return this.generation
      case "Ramping":
        return this.rampUp(now)
      case "Open":
        if (now < this.until) return refused
        this.enter("HalfOpen", "open time over", now)
        return this.tryOut(now)
      case "HalfOpen":
        return this.tryOut(now)
      case "Isolated":
      case "Forgotten":
        return refused
    }
  }

  /** Whether a trial could be made now. */
  mayTry(now: number): boolean {
    if (this.phase === "Open") return now >= this.until
    return this.phase === "HalfOpen" && this.hasSlot(now)
  }

  /** Whether the time of a success matters: it does for a trial, and within a window. A clock costs more than the rest. */
  timed(ticket: number): boolean {
    return this.windowed || ticket !== this.generation
  }

  /** `now` is not looked at where the circuit is not `timed`. */
  succeed(ticket: number, now: number, slow = false): void {
    if (ticket !== this.generation) return this.tried(ticket, !slow, now, 0)
    this.used = true
    this.streak = 0
    if (this.rate !== undefined) this.rate.add(false, now)
    if (this.slow !== undefined) {
      this.slow.add(slow, now)
      if (slow) this.judge(now, 0)
    }
  }

  /** `atLeast` is how many milliseconds the failure asks to be left alone, 0 if it does not. */
  fail(ticket: number, now: number, slow: boolean, atLeast: number): void {
    if (ticket !== this.generation) return this.tried(ticket, false, now, atLeast)
    this.used = true
    const { consecutive } = this.settings
    if (consecutive !== undefined) this.failures[this.streak % consecutive.failures] = now
    this.streak++
    this.rate?.add(true, now)
    this.slow?.add(slow, now)
    this.judge(now, atLeast)
  }

  /** The call said nothing. A trial gives its slot back. */
  release(ticket: number): void {
    if (this.take(ticket) !== undefined) this.host.released(this)
  }

  isolate(now: number): void {
    if (this.phase !== "Isolated") this.enter("Isolated", "isolated", now)
  }

  reset(now: number): void {
    this.trips = 0
    this.enter("Closed", "reset", now)
  }

  /** Others found that it should be open until then. A circuit that is open by its own judgement stays as it is. */
  openByVotes(until: number, now: number): void {
    if (this.phase === "Closed" || this.phase === "Ramping") this.enter("Open", "votes", now, until, true)
    else if (this.phase === "Open" && this.byVotes) this.until = until
  }

  /** Others do not find so any more: one trial decides. */
  votesGone(now: number): void {
    if (this.phase === "Open" && this.byVotes) this.until = Math.min(this.until, now)
  }

  forget(): void {
    this.phase = "Forgotten"
    this.generation = ++this.tickets
  }

  /** The share of calls that is admitted. */
  share(now: number): number {
    if (this.phase === "Closed") return 1
    const { ramp } = this.settings
    if (this.phase !== "Ramping" || ramp === undefined) return 0
    return Math.min(1, ramp.from + ((1 - ramp.from) * (now - this.since)) / ramp.duration)
  }

  /** Trials whose lease runs. */
  trialsRunning(now: number): number {
    return this.trials.filter((trial) => now < trial.until).length
  }

  /** The calls, failures and slow calls within the windows. */
  counts(now: number): { readonly calls: number; readonly failures: number; readonly slow: number } {
    this.rate?.advance(now)
    this.slow?.advance(now)
    return {
      calls: this.rate?.calls ?? this.slow?.calls ?? 0,
      failures: this.rate?.bad ?? this.streak,
      slow: this.slow?.bad ?? 0
    }
  }

  private rampUp(now: number): number {
    const share = this.share(now)
    if (share >= 1) {
      this.phase = "Closed"
      return this.generation
    }
    // Counted, not drawn: of callers that come together exactly their share passes.
    this.credit += share
    if (this.credit < 1) return refused
    this.credit -= 1
    return this.generation
  }

  private hasSlot(now: number): boolean {
    this.trials = this.trials.filter((trial) => now < trial.until)
    return this.good + this.bad + this.trials.length < this.settings.trials.calls
  }

  private tryOut(now: number): number {
    if (!this.hasSlot(now)) return refused
    const ticket = ++this.tickets
    this.trials.push({ ticket, until: now + this.settings.trials.lease })
    return ticket
  }

  private take(ticket: number): Trial | undefined {
    const trial = this.trials.find((one) => one.ticket === ticket)
    if (trial !== undefined) this.trials = this.trials.filter((one) => one !== trial)
    return trial
  }

  private tried(ticket: number, good: boolean, now: number, atLeast: number): void {
    const trial = this.take(ticket)
    if (trial === undefined || now >= trial.until) return
    this.last = now
    const { calls, successes } = this.settings.trials
    if (good) {
      if (++this.good >= successes) this.enter(this.settings.ramp === undefined ? "Closed" : "Ramping", "trial", now)
    } else if (++this.bad > calls - successes) this.trip("trial", now, atLeast)
  }

  private judge(now: number, atLeast: number): void {
    const { consecutive, rate, slow } = this.settings
    if (consecutive !== undefined && this.streak >= consecutive.failures) {
      const oldest = this.failures[this.streak % consecutive.failures]
      if (oldest !== undefined && now - oldest <= consecutive.within) {
        return this.trip("consecutive failures", now, atLeast)
      }
    }
    if (rate !== undefined && this.rate?.reached(rate) === true) return this.trip("failure rate", now, atLeast)
    if (slow !== undefined && this.slow?.reached(slow) === true) return this.trip("slow calls", now, atLeast)
  }

  private trip(why: Why, now: number, atLeast: number): void {
    if (this.phase !== "HalfOpen" && now - this.since >= this.settings.resetAfter) this.trips = 0
    const delay = this.settings.open.delay(this.trips, this.host.random())
    this.trips++
    // A delay that is not a number would keep the circuit from ever being tried again.
    const open = Math.max(delay > 0 ? delay : 0, Math.min(atLeast, this.settings.maxRetryAfter))
    this.enter("Open", why, now, now + open)
  }

  private enter(phase: Phase, why: Why, now: number, until = 0, byVotes = false): void {
    const from = this.phase
    this.phase = phase
    this.generation = ++this.tickets
    this.since = this.last = now
    this.until = until
    this.byVotes = byVotes
    this.trials = []
    this.good = this.bad = this.streak = 0
    this.failures = []
    this.credit = 1
    this.rate?.clear()
    this.slow?.clear()
    this.host.changed(this, from, why, now)
  }
}
