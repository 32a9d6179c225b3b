/** The options of circuit breakers, and their checks. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

import * as Backoff from "../Backoff.ts"
import * as OptionChecks from "../Options.ts"
import * as Outcome from "../Outcome.ts"
import type * as Machine from "./circuit.ts"
import type { Resolved } from "./circuits.ts"
import type * as Shared from "./sharedCircuit.ts"

/**
 * What opens a circuit and what closes it again. Of `consecutive`, `rate` and `slow` any may be given and whichever is
 * reached first opens it; without all three it is `rate` with its defaults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The breaker's name in metrics; `default` unless told. */
  readonly name?: string
  /** So many failures in a row (5), the first and the last no further apart than `within` (1 minute). */
  readonly consecutive?: {
    /** From 1 to 1000. */
    readonly failures?: number
    readonly within?: Duration.Input
  }
  /** A share of failures (0.5) of at least `minimumCalls` (10) within the last `window` (30 seconds). */
  readonly rate?: {
    /** Above 0, at most 1. */
    readonly threshold?: number
    readonly minimumCalls?: number
    /** Forgotten a tenth at a time. */
    readonly window?: Duration.Input
  }
  /** A share of calls (0.5) that take `after` or longer, however they end; the rest as with `rate`. A slow trial fails. */
  readonly slow?: {
    readonly after: Duration.Input
    /** Above 0, at most 1. */
    readonly rate?: number
    readonly minimumCalls?: number
    readonly window?: Duration.Input
  }
  /**
   * How long it stays open, by how often it opened in a row. Unless told 5 seconds, doubled up to 2 minutes, of which
   * a random half is taken off, so that processes do not try all at once.
   */
  readonly open?: Backoff.Backoff
  /** It must have been closed for so long for its next opening to count as the first; 5 minutes unless told. */
  readonly resetAfter?: Duration.Input
  /** How long a failure asks to be left alone: it stays open at least so long. `Outcome.retryAfter` unless told. */
  readonly retryAfter?: (failure: unknown) => Duration.Input | undefined
  /** The longest `retryAfter` that is heeded; 5 minutes unless told. */
  readonly maxRetryAfter?: Duration.Input
  /**
   * Half-open makes at most `calls` (1) trial calls. `successes` of them (all, unless told) close the circuit; it opens
   * again as soon as so many cannot be reached. A trial that takes longer than `lease` (30 seconds) says nothing.
   */
  readonly trials?: {
    /** From 1 to 1000. */
    readonly calls?: number
    readonly successes?: number
    readonly lease?: Duration.Input
  }
  /** After closing, the share of calls that pass grows from `from` (0.1) to all over `duration`. No ramp unless told. */
  readonly ramp?: {
    readonly duration: Duration.Input
    /** Above 0, at most 1. */
    readonly from?: number
  }
  /** `Outcome.byResult` unless told. Interruptions are ignored without asking. */
  readonly classify?: Outcome.Classify
  /**
   * A closed circuit that is not used for so long is forgotten when others are looked up, and so is an open one so long
   * after its open time; 10 minutes unless told, and never sooner than the windows and `resetAfter` need.
   */
  readonly idle?: Duration.Input
}

/**
 * How breakers of several processes act together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sharing {
  /** So many other processes must have it open for it to open here too, from 1. */
  readonly quorum: number
  /** The votes are read at least so often, and the store gets so long to answer; 1 second unless told. */
  readonly refresh?: Duration.Input
  /** When the store does not answer: go on by the own judgement (`closed`, the default), or refuse calls (`open`). */
  readonly whenAway?: "closed" | "open"
  /** This process's name among the voters; random unless told. Two processes must not have the same. */
  readonly node?: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SharedOptions extends Options {
  readonly shared: Sharing
}

const checks = OptionChecks.checks("CircuitBreaker")

const millis = (option: string, value: Duration.Input, min: Duration.Input = "1 millis") =>
  Duration.toMillis(checks.duration(option, value, min))

const portion = (option: string, value: unknown): number => {
  const number = checks.number(option, value, 0, 1)
  return number > 0 ? number : checks.fail(option, value, "a number above 0, at most 1")
}

const share = (
  prefix: string,
  threshold: number,
  { minimumCalls = 10, window = "30 seconds" }: NonNullable<Options["rate"]>
): Machine.Share => ({
  threshold,
  minimumCalls: checks.integer(`${prefix}.minimumCalls`, minimumCalls, 1),
  window: millis(`${prefix}.window`, window, "10 millis")
})

const resolveConsecutive = (consecutive: NonNullable<Options["consecutive"]>): Machine.Settings["consecutive"] => {
  checks.known(consecutive, ["failures", "within"], "consecutive.")
  return {
    failures: checks.integer("consecutive.failures", consecutive.failures ?? 5, 1, 1000),
    within: millis("consecutive.within", consecutive.within ?? "1 minute")
  }
}

const resolveRate = (rate: NonNullable<Options["rate"]>): Machine.Settings["rate"] => {
  checks.known(rate, ["threshold", "minimumCalls", "window"], "rate.")
  return share("rate", portion("rate.threshold", rate.threshold ?? 0.5), rate)
}

const resolveSlow = ({ after, rate, ...rest }: NonNullable<Options["slow"]>): Machine.Settings["slow"] => {
  checks.known(rest, ["minimumCalls", "window"], "slow.")
  return { ...share("slow", portion("slow.rate", rate ?? 0.5), rest), after: millis("slow.after", after) }
}

const resolveTrials = (trials: NonNullable<Options["trials"]>): Machine.Settings["trials"] => {
  checks.known(trials, ["calls", "successes", "lease"], "trials.")
  const calls = checks.integer("trials.calls", trials.calls ?? 1, 1, 1000)
  return {
    calls,
    successes: checks.integer("trials.successes", trials.successes ?? calls, 1, calls),
    lease: millis("trials.lease", trials.lease ?? "30 seconds")
  }
}

const resolveRamp = (ramp: NonNullable<Options["ramp"]>): Machine.Settings["ramp"] => {
  checks.known(ramp, ["duration", "from"], "ramp.")
  return { duration: millis("ramp.duration", ramp.duration), from: portion("ramp.from", ramp.from ?? 0.1) }
}

const known = "name consecutive rate slow open resetAfter retryAfter maxRetryAfter trials ramp classify idle".split(" ")

const defaultOpen = Backoff.exponential({ initial: "5 seconds", max: "2 minutes", jitter: "equal" })

const callable = <F>(option: string, value: F): F =>
  typeof value === "function" ? value : checks.fail(option, value, "a function")

/** The checked options. */
export const resolve = (options: Options): Resolved => {
  checks.known(options, known)
  const alone = options.consecutive === undefined && options.slow === undefined
  const rate = options.rate ?? (alone ? {} : undefined)
  const open = options.open ?? defaultOpen
  callable("open", open.delay)
  const settings: Machine.Settings = {
    consecutive: options.consecutive && resolveConsecutive(options.consecutive),
    rate: rate && resolveRate(rate),
    slow: options.slow && resolveSlow(options.slow),
    open,
    maxRetryAfter: millis("maxRetryAfter", options.maxRetryAfter ?? "5 minutes", 0),
    resetAfter: millis("resetAfter", options.resetAfter ?? "5 minutes", 0),
    trials: resolveTrials(options.trials ?? {}),
    ramp: options.ramp && resolveRamp(options.ramp)
  }
  const retryAfter = callable("retryAfter", options.retryAfter ?? Outcome.retryAfter)
  return {
    name: checks.nonEmptyString("name", options.name ?? "default"),
    settings,
    keep: Math.max(
      millis("idle", options.idle ?? "10 minutes"),
      settings.resetAfter,
      settings.consecutive?.within ?? 0,
      settings.rate?.window ?? 0,
      settings.slow?.window ?? 0,
      settings.trials.lease,
      settings.ramp?.duration ?? 0
    ),
    classify: callable("classify", options.classify ?? Outcome.byResult),
    retryAfter: (failure) => {
      const input = retryAfter(failure)
      const duration = input === undefined ? Option.none() : Duration.fromInput(input)
      return Option.isSome(duration) ? Math.max(0, Duration.toMillis(duration.value)) : 0
    }
  }
}

export const resolveSharing = (sharing: Sharing): Shared.Settings => {
  checks.known(sharing, ["quorum", "refresh", "whenAway", "node"], "shared.")
  return {
    quorum: checks.integer("shared.quorum", sharing.quorum, 1),
    refresh: checks.duration("shared.refresh", sharing.refresh ?? "1 second", "1 millis"),
    whenAway: checks.oneOf("shared.whenAway", sharing.whenAway ?? "closed", ["closed", "open"]),
    node: sharing.node === undefined ? undefined : checks.nonEmptyString("shared.node", sharing.node)
  }
}
