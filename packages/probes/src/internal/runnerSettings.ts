/**
 * The options of a runner, checked, with times in milliseconds.
 *
 * @since 0.1.0
 */
import * as Dependencies from "@nexobot/core/Dependencies"
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

import type { Budget } from "./dispatcher.ts"
import { timeout as gateTimeout } from "./gate.ts"

/**
 * A probe, and how it is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watch<out P extends Probe.Any = Probe.Any> {
  /** Its name is that of no other in the runner. */
  readonly probe: P
  /** From one check to the next, at least 10 ms and the timeout of the probe; 10 seconds unless told. */
  readonly interval?: Duration.Input
  /**
   * A check that takes longer is given up and `Inconclusive`; at most the interval, and at least the timeout of the probe
   * itself (`Probe.timeout`), which can say that a target does not answer. Unless told, the interval, and 10 seconds or
   * the timeout of the probe at most. It gets a tenth of a second more, so that a probe with the same timeout is the first.
   */
  readonly timeout?: Duration.Input
  /**
   * From one check to the next from the first bad one until that is confirmed, and while it recovers; at most the
   * interval. A fifth of the interval unless told, and then at least 1 second.
   */
  readonly suspectInterval?: Duration.Input
  /** Consecutive bad checks until it counts as unhealthy; 3 unless told. */
  readonly fall?: number
  /** Consecutive good checks until it counts as healthy again; 2 unless told. */
  readonly rise?: number
  /** The names of probes of this runner without whose targets this one's cannot work. */
  readonly dependsOn?: ReadonlyArray<string>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface RunnerOptions<
  out W extends ReadonlyArray<Watch> = ReadonlyArray<Watch>,
  out G extends Probe.Any = Probe.Any
> {
  /** In metrics; `probes` unless told. */
  readonly name?: string
  readonly watch: W
  /** By which share of its interval a check comes sooner or later than its place, from 0 to 0.5; 0.1 unless told. */
  readonly jitter?: number
  /** Checks in flight at most, without those that are overdue; 1000 unless told. */
  readonly concurrency?: number
  /** What the checks of one target may cost together within a time; see `Probe.cost`. No limit unless told. */
  readonly budget?: { readonly cost: number; readonly per: Duration.Input }
  /**
   * Whether our own network is there. Asked when a probe that leaves this machine fails: if this one is unhealthy then,
   * the other's verdict is `Inconclusive`. One that cannot tell excuses nothing. Its timeout is at most 10 seconds.
   */
  readonly connectivity?: G
  /** Results that a subscriber may be behind before it loses the oldest, at most a million; 4096 unless told. */
  readonly buffer?: number
}

export const checks = Options.checks("Runner")

export interface Watched {
  readonly probe: Probe.Any
  readonly interval: number
  readonly timeout: number
  readonly suspectInterval: number
  readonly fall: number
  readonly rise: number
  readonly dependsOn: ReadonlyArray<string>
}

/** Probes that share one check. */
export type Group = readonly [Watched, ...ReadonlyArray<Watched>]

export interface Settings {
  readonly name: string
  readonly groups: ReadonlyArray<Group>
  readonly dependencies: Dependencies.Dependencies
  readonly jitter: number
  readonly concurrency: number
  readonly buffer: number
  readonly budget: Budget | undefined
  readonly connectivity: Probe.Any | undefined
}

const longestTimeout = 10_000
const mostBuffered = 1_000_000
const leastSuspectInterval = 1000

const isText = (value: unknown): boolean => typeof value === "string" && value !== ""

/** As `Probe.make` makes it: what was put together otherwise may lack what only fails in the middle of the night. */
const isProbe = (value: unknown): boolean =>
  Predicate.hasProperty(value, "check") &&
  Effect.isEffect(value.check) &&
  Predicate.hasProperty(value, "name") &&
  isText(value.name) &&
  Predicate.hasProperty(value, "target") &&
  isText(value.target) &&
  Predicate.hasProperty(value, "reports") &&
  Array.isArray(value.reports) &&
  Predicate.hasProperty(value, "cost") &&
  Number.isFinite(value.cost)

const probeIn = (option: string, value: Probe.Any): Probe.Any =>
  isProbe(value) ? value : checks.fail(option, value, "a probe, made with Probe.make")

const boundOf = ({ timeout }: Probe.Any): number => (timeout === undefined ? 0 : Duration.toMillis(timeout))

/** What is given up before it can say that its target does not answer never finds that out. */
const enough = (option: string, value: number, probe: Probe.Any): number =>
  value >= boundOf(probe)
    ? value
    : checks.fail(option, Duration.millis(value), `at least ${boundOf(probe)} ms, the timeout of ${probe.name} itself`)

const most = (option: string, value: number, limit: number, what: string): number =>
  value <= limit ? value : checks.fail(option, Duration.millis(value), `at most ${what}, ${limit} ms`)

const namesIn = (option: string, value: Watch["dependsOn"]): ReadonlyArray<string> =>
  value === undefined || (Array.isArray(value) && value.every(isText))
    ? (value ?? [])
    : checks.fail(option, value, "names")

const watchedIn = (watch: Watch, index: number): Watched => {
  const at = `watch[${index}].`
  checks.known(watch, ["probe", "interval", "timeout", "suspectInterval", "fall", "rise", "dependsOn"], at)
  const probe = probeIn(`${at}probe`, watch.probe)
  const millis = (key: "interval" | "timeout" | "suspectInterval", least: Duration.Input): number | undefined => {
    const value = watch[key]
    return value === undefined ? undefined : Duration.toMillis(checks.duration(at + key, value, least))
  }
  const interval = enough(`${at}interval`, millis("interval", "10 millis") ?? 10_000, probe)
  const timeout = millis("timeout", "1 millis") ?? Math.min(interval, Math.max(longestTimeout, boundOf(probe)))
  const suspectInterval =
    millis("suspectInterval", "10 millis") ?? Math.min(interval, Math.max(leastSuspectInterval, interval / 5))
  return {
    probe,
    interval,
    timeout: enough(`${at}timeout`, most(`${at}timeout`, timeout, interval, "the interval"), probe),
    suspectInterval: most(`${at}suspectInterval`, suspectInterval, interval, "the interval"),
    fall: checks.integer(`${at}fall`, watch.fall ?? 3, 1),
    rise: checks.integer(`${at}rise`, watch.rise ?? 2, 1),
    dependsOn: namesIn(`${at}dependsOn`, watch.dependsOn)
  }
}

const connectivityIn = (given: Probe.Any | undefined): Probe.Any | undefined => {
  if (given === undefined) return undefined
  const probe = probeIn("connectivity", given)
  return boundOf(probe) <= gateTimeout
    ? probe
    : checks.fail("connectivity", probe.timeout, `a probe with a timeout of at most ${gateTimeout} ms`)
}

const budgetIn = (budget: RunnerOptions["budget"]): Budget | undefined => {
  if (budget === undefined) return undefined
  checks.known(budget, ["cost", "per"], "budget.")
  return {
    cost: checks.number("budget.cost", budget.cost, Number.MIN_VALUE),
    per: Duration.toMillis(checks.duration("budget.per", budget.per, "1 millis"))
  }
}

/** Equal probes together, in the order in which each came first. */
const grouped = (watched: ReadonlyArray<Watched>): ReadonlyArray<Group> => {
  const groups: Array<[Watched, ...Array<Watched>]> = []
  const byQuestion = MutableHashMap.empty<unknown, [Watched, ...Array<Watched>]>()
  for (const one of watched) {
    const question = Probe.question(one.probe)
    // How far it reaches says whether a lost network excuses it.
    const key = [question, one.probe.reach]
    const known = question === undefined ? Option.none() : MutableHashMap.get(byQuestion, key)
    if (Option.isSome(known)) known.value.push(one)
    else {
      const group: [Watched, ...Array<Watched>] = [one]
      groups.push(group)
      if (question !== undefined) MutableHashMap.set(byQuestion, key, group)
    }
  }
  return groups
}

export const checked = (options: RunnerOptions): Settings => {
  checks.known(options, ["name", "watch", "jitter", "concurrency", "buffer", "budget", "connectivity"])
  if (!Array.isArray(options.watch)) checks.fail("watch", options.watch, "an array")
  // Also what an array has left out.
  const watched = Array.from(options.watch, watchedIn)
  const budget = budgetIn(options.budget)
  const names = new Set<string>()
  for (const [index, { probe }] of watched.entries()) {
    if (names.has(probe.name)) checks.fail(`watch[${index}].probe`, probe.name, "another name for each probe")
    names.add(probe.name)
    if (budget !== undefined && probe.cost > budget.cost) {
      checks.fail("budget.cost", budget.cost, `at least ${probe.cost}, which a check of ${probe.name} costs`)
    }
  }
  return {
    name: checks.nonEmptyString("name", options.name ?? "probes"),
    groups: grouped(watched),
    dependencies: Dependencies.make(
      Object.fromEntries(watched.map(({ dependsOn, probe }) => [probe.name, { dependsOn }])),
      "Runner",
      "watch"
    ),
    jitter: checks.number("jitter", options.jitter ?? 0.1, 0, 0.5),
    concurrency: checks.integer("concurrency", options.concurrency ?? 1000, 1),
    buffer: checks.integer("buffer", options.buffer ?? 4096, 1, mostBuffered),
    budget,
    connectivity: connectivityIn(options.connectivity)
  }
}
