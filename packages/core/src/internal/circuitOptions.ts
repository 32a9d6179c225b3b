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

/** Checks nested options, if they are there. */
const nested = <A extends object, B>(
  name: string,
  keys: ReadonlyArray<string>,
  given: A | undefined,
  resolve: (given: A) => B
): B | undefined => {
  if (given === undefined) return undefined
  checks.known(given, keys, `${name}.`)
  return resolve(given)
}

const resolveConsecutive = ({
  failures = 5,
  within = "1 minute"
}: NonNullable<Options["consecutive"]>): Machine.Settings["consecutive"] => ({
  failures: checks.integer("consecutive.failures", failures, 1, 1000),
  within: millis("consecutive.within", within)
})

const resolveRate = ({ threshold = 0.5, ...rest }: NonNullable<Options["rate"]>): Machine.Settings["rate"] =>
  share("rate", portion("rate.threshold", threshold), rest)

const resolveSlow = ({ after, rate = 0.5, ...rest }: NonNullable<Options["slow"]>): Machine.Settings["slow"] => ({
  ...share("slow", portion("slow.rate", rate), rest),
  after: millis("slow.after", after)
})

const resolveTrials = (trials: NonNullable<Options["trials"]>): Machine.Settings["trials"] => {
  checks.known(trials, ["calls", "successes", "lease"], "trials.")
  const calls = checks.integer("trials.calls", trials.calls === undefined ? 1 : trials.calls, 1, 1000)
  const { lease = "30 seconds", successes = calls } = trials
  return {
    calls,
    successes: checks.integer("trials.successes", successes, 1, calls),
    lease: millis("trials.lease", lease)
  }
}

const resolveRamp = ({ duration, from = 0.1 }: NonNullable<Options["ramp"]>): Machine.Settings["ramp"] => ({
  duration: millis("ramp.duration", duration),
  from: portion("ramp.from", from)
})

export const known =
  "name consecutive rate slow open resetAfter retryAfter maxRetryAfter trials ramp classify idle".split(" ")

const defaultOpen = Backoff.exponential({ initial: "5 seconds", max: "2 minutes", jitter: "equal" })

const callable = <F>(option: string, value: F): F =>
  typeof value === "function" ? value : checks.fail(option, value, "a function")

const isBackoff = (value: unknown): value is Backoff.Backoff =>
  typeof value === "object" && value !== null && "delay" in value && typeof value.delay === "function"

/** The checked options; `beside` are those of another, which are checked elsewhere. */
export const resolve = (options: Options, beside: ReadonlyArray<string> = []): Resolved => {
  checks.known(options, [...known, ...beside])
  const {
    classify = Outcome.byResult,
    consecutive,
    idle = "10 minutes",
    name = "default",
    open = defaultOpen
  } = options
  const { maxRetryAfter = "5 minutes", ramp, resetAfter = "5 minutes", slow, trials = {} } = options
  const { rate = consecutive === undefined && slow === undefined ? {} : undefined } = options
  const { retryAfter = Outcome.retryAfter } = options
  if (!isBackoff(open)) return checks.fail("open", open, "a Backoff, such as Backoff.exponential()")
  const settings: Machine.Settings = {
    consecutive: nested("consecutive", ["failures", "within"], consecutive, resolveConsecutive),
    rate: nested("rate", ["threshold", "minimumCalls", "window"], rate, resolveRate),
    slow: nested("slow", ["after", "rate", "minimumCalls", "window"], slow, resolveSlow),
    open,
    maxRetryAfter: millis("maxRetryAfter", maxRetryAfter, 0),
    resetAfter: millis("resetAfter", resetAfter, 0),
    trials: resolveTrials(trials),
    ramp: nested("ramp", ["duration", "from"], ramp, resolveRamp)
  }
  callable("retryAfter", retryAfter)
  return {
    name: checks.nonEmptyString("name", name),
    settings,
    keep: Math.max(
      millis("idle", idle),
      settings.resetAfter,
      settings.consecutive?.within ?? 0,
      settings.rate?.window ?? 0,
      settings.slow?.window ?? 0,
      settings.trials.lease,
      settings.ramp?.duration ?? 0
    ),
    classify: callable("classify", classify),
    retryAfter: (failure) => {
      const input = retryAfter(failure)
      const duration = input === undefined ? Option.none() : Duration.fromInput(input)
      return Option.isSome(duration) ? Math.max(0, Duration.toMillis(duration.value)) : 0
    }
  }
}

export const resolveSharing = (sharing: Sharing): Shared.Settings => {
  checks.known(sharing, ["quorum", "refresh", "whenAway", "node"], "shared.")
  const { node, quorum, refresh = "1 second", whenAway = "closed" } = sharing
  return {
    quorum: checks.integer("shared.quorum", quorum, 1),
    refresh: checks.duration("shared.refresh", refresh, "1 millis"),
    whenAway: checks.oneOf("shared.whenAway", whenAway, ["closed", "open"]),
    node: node === undefined ? undefined : checks.nonEmptyString("shared.node", node)
  }
}
