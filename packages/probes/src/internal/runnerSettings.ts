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
import * as Equal from "effect/Equal"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

import type { RunnerOptions, Watch } from "../Runner.ts"

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

export interface Budget {
  readonly cost: number
  /** Milliseconds. */
  readonly per: number
}

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
const leastSuspectInterval = 1000

const isProbe = (value: unknown): boolean =>
  Predicate.hasProperty(value, "check") &&
  Effect.isEffect(value.check) &&
  Predicate.hasProperty(value, "name") &&
  Predicate.hasProperty(value, "target")

const probeIn = (option: string, value: Probe.Any): Probe.Any =>
  isProbe(value) ? value : checks.fail(option, value, "a probe")

const most = (option: string, value: number, limit: number, what: string): number =>
  value <= limit ? value : checks.fail(option, Duration.millis(value), `at most ${what}, ${limit} ms`)

const watchedIn = (watch: Watch, index: number): Watched => {
  const at = `watch[${index}].`
  checks.known(watch, ["probe", "interval", "timeout", "suspectInterval", "fall", "rise", "dependsOn"], at)
  const millis = (key: "interval" | "timeout" | "suspectInterval", least: Duration.Input): number | undefined => {
    const value = watch[key]
    return value === undefined ? undefined : Duration.toMillis(checks.duration(at + key, value, least))
  }
  const interval = millis("interval", "10 millis") ?? 10_000
  const timeout = millis("timeout", "1 millis") ?? Math.min(interval, longestTimeout)
  const suspectInterval =
    millis("suspectInterval", "10 millis") ?? Math.min(interval, Math.max(leastSuspectInterval, interval / 5))
  return {
    probe: probeIn(`${at}probe`, watch.probe),
    interval,
    timeout: most(`${at}timeout`, timeout, interval, "the interval"),
    suspectInterval: most(`${at}suspectInterval`, suspectInterval, interval, "the interval"),
    fall: checks.integer(`${at}fall`, watch.fall ?? 3, 1),
    rise: checks.integer(`${at}rise`, watch.rise ?? 2, 1),
    dependsOn: watch.dependsOn ?? []
  }
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
      // What is not equal to itself, such as a question with NaN in it, shares with nobody.
      if (question !== undefined && Equal.equals(key, key)) MutableHashMap.set(byQuestion, key, group)
    }
  }
  return groups
}

export const checked = (options: RunnerOptions): Settings => {
  checks.known(options, ["name", "watch", "jitter", "concurrency", "buffer", "budget", "connectivity"])
  if (!Array.isArray(options.watch)) checks.fail("watch", options.watch, "an array")
  const watched = options.watch.map(watchedIn)
  const budget = budgetIn(options.budget)
  const names = new Set<string>()
  for (const [index, { probe }] of watched.entries()) {
    if (names.has(probe.name)) checks.fail(`watch[${index}].probe`, probe.name, "another name for each probe")
    names.add(probe.name)
    if (budget !== undefined && probe.cost > budget.cost) {
      checks.fail("budget.cost", budget.cost, `at least ${probe.cost}, which a check of ${probe.name} costs`)
    }
  }
  const { connectivity } = options
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
    buffer: checks.integer("buffer", options.buffer ?? 4096, 1),
    budget,
    connectivity: connectivity === undefined ? undefined : probeIn("connectivity", connectivity)
  }
}
