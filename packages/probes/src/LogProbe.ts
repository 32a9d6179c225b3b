/**
 * Follows a log file, from where it ends at the first check on: lines that tell of trouble, and too many of them.
 *
 * The probe keeps its place between checks, and nothing open.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"

import * as Monotonic from "@nexobot/core/Monotonic"
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"

import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { ownFault } from "./internal/systemError.ts"
import * as Tail from "./internal/tail.ts"

/**
 * Lines matched a pattern.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Matched extends Schema.TaggedClass<Matched>("@nexobot/probes/Log/Matched")("Log/Matched", {
  path: Schema.String,
  /** The name of the pattern. */
  pattern: Schema.String,
  /** How many lines, since there were none for `holdFor`. */
  count: Schema.Int,
  /** The last of them; redacted, at most 200 characters, fewer where it was cut and that may have been within a secret. */
  line: Schema.String
}) {}

/**
 * The log grows too fast.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Flood extends Schema.TaggedClass<Flood>("@nexobot/probes/Log/Flood")("Log/Flood", {
  path: Schema.String,
  /** What is counted. */
  unit: Schema.Literals(["lines", "bytes"]),
  /** How many there were within `per`. */
  amount: Schema.Int,
  limit: Schema.Int,
  per: Schema.DurationFromMillis
}) {}

/**
 * There is no such file.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/Log/Missing")("Log/Missing", {
  path: Schema.String
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface LogProbeOptions {
  readonly name: string
  /** Of a file of lines in UTF-8. */
  readonly path: string
  /**
   * By name, what tells of trouble; a text is taken for a regular expression. When several match, the first is reported.
   * Each is tried on each new line: one that backtracks, such as `(a+)+$`, holds up the whole process.
   */
  readonly patterns?: Readonly<Record<string, RegExp | string>>
  /** More lines, or bytes, than this within `per` are a flood. */
  readonly flood?:
    | { readonly lines: number; readonly per: Duration.Input }
    | { readonly bytes: number; readonly per: Duration.Input }
  /** Whether a missing file is reported; not unless told. */
  readonly required?: boolean
  /**
   * How long a match counts after the check that saw it; 10 seconds unless told. Shorter than the checks until a verdict
   * is believed, nobody believes it; longer than a remedy may take to show, no remedy seems to help.
   */
  readonly holdFor?: Duration.Input
  /** Bytes that one check reads; of more than that only the newest are looked at. 1 MiB unless told. */
  readonly maxRead?: number
}

/**
 * What a probe with these options can report.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> =
  | Given<O, "patterns", Matched>
  | Given<O, "flood", Flood>
  | (O extends { readonly required?: infer R } ? Given<O, "required", true extends R ? Missing : never> : never)

type Any = Verdict.Verdict<Found<LogProbeOptions>>

const checks = Options.checks("LogProbe")

/** Bytes; what is longer is cut there. */
const longestLine = 8192

const patternsOf = (given: LogProbeOptions["patterns"]): ReadonlyArray<readonly [name: string, pattern: RegExp]> => {
  if (given === undefined) return []
  const entries: ReadonlyArray<[string, unknown]> =
    typeof given === "object" && !Array.isArray(given) && !(given instanceof RegExp) ? Object.entries(given) : []
  if (entries.length === 0) checks.fail("patterns", given, "an object with at least one pattern")
  return entries.map(([name, value]) => {
    const pattern = checks.pattern(`patterns.${checks.nonEmptyString("patterns", name)}`, value)
    // A copy, as global and sticky expressions remember where they stopped.
    return [name, new RegExp(pattern)]
  })
}

interface Limit {
  readonly unit: "lines" | "bytes"
  readonly limit: number
  readonly per: Duration.Duration
}

const limitOf = (given: LogProbeOptions["flood"]): Limit | undefined => {
  if (given === undefined) return undefined
  checks.known(given, ["lines", "bytes", "per"], "flood.")
  const [lines, bytes]: ReadonlyArray<unknown> = [Reflect.get(given, "lines"), Reflect.get(given, "bytes")]
  if ((lines === undefined) === (bytes === undefined)) checks.fail("flood", given, "either lines or bytes")
  const unit = lines === undefined ? "bytes" : "lines"
  return {
    unit,
    limit: checks.integer(`flood.${unit}`, lines ?? bytes, 1),
    per: checks.duration("flood.per", given.per, "1 second")
  }
}

/** What came between two looks. */
interface Sample {
  readonly from: number
  readonly at: number
  readonly amount: number
}

/** So many are kept of a window; closer ones are put together. */
const mostSamples = 60

/** All that count in a window that ends with the newest of them. */
const sampled = (samples: ReadonlyArray<Sample>, newest: Sample, window: number): ReadonlyArray<Sample> => {
  const kept = samples.filter(({ at }) => at > newest.at - window)
  const last = kept.at(-1)
  return last !== undefined && newest.at - last.from < window / mostSamples
    ? [...kept.slice(0, -1), { ...newest, from: last.from, amount: last.amount + newest.amount }]
    : [...kept, newest]
}

/** What came within the window: nobody knows when between two looks, so it came evenly. */
const within = (samples: ReadonlyArray<Sample>, window: number): number => {
  const begin = (samples.at(-1)?.at ?? 0) - window
  const share = ({ at, from }: Sample) => (from >= begin ? 1 : (at - begin) / (at - from))
  return Math.round(samples.reduce((sum, sample) => sum + sample.amount * share(sample), 0))
}

interface Match {
  readonly count: number
  readonly line: string
  readonly isCut: boolean
  readonly at: number
}

interface State {
  readonly place: Tail.Place
  readonly lookedAt: number | undefined
  readonly matches: ReadonlyMap<string, Match>
  readonly samples: ReadonlyArray<Sample>
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends LogProbeOptions>(options: Exactly<O, LogProbeOptions>): Probe.Probe<Found<O>> => {
  const given: LogProbeOptions = options
  checks.known(given, ["name", "path", "patterns", "flood", "required", "holdFor", "maxRead"])
  const path = Path.resolve(checks.nonEmptyString("path", given.path))
  if (path.includes("\0")) checks.fail("path", given.path, "a path without NUL")
  const patterns = patternsOf(given.patterns)
  const limit = limitOf(given.flood)
  const required = checks.boolean("required", given.required ?? false)
  const holdFor = Duration.toMillis(checks.duration("holdFor", given.holdFor ?? "10 seconds"))
  const maxRead = checks.integer("maxRead", given.maxRead ?? 1024 * 1024, longestLine, 256 * 1024 * 1024)
  if (given.holdFor !== undefined && given.patterns === undefined) {
    checks.fail("holdFor", given.holdFor, "nothing without patterns")
  }
  if (patterns.length === 0 && limit === undefined && !required) {
    checks.fail("patterns", given.patterns, "something to look for: patterns, flood or required")
  }

  const window = limit === undefined ? 0 : Duration.toMillis(limit.per)
  const judge = (growth: Tail.Growth, { matches, samples }: State, redactor: Redactor): Any => {
    const { missing, remarks } = growth
    if (missing && required) return Verdict.unhealthy(new Missing({ path }), remarks)
    const seen = patterns.flatMap(([pattern]) => {
      const match = matches.get(pattern)
      return match === undefined
        ? []
        : [{ pattern, count: match.count, line: excerpt(match.line, redactor, match.isCut) }]
    })
    const [first] = seen
    if (first !== undefined) {
      const told = seen.map(({ count, line, pattern }) => `${path}: ${pattern}, ${count} times: ${line}`)
      return Verdict.unhealthy(new Matched({ path, ...first }), [...told, ...remarks])
    }
    const amount = within(samples, window)
    if (limit !== undefined && amount > limit.limit) {
      const what = `${path}: ${amount} ${limit.unit} within ${Duration.format(limit.per)}`
      return Verdict.degraded(new Flood({ path, amount, ...limit }), [what, ...remarks])
    }
    return remarks.length === 0 ? Verdict.healthy : Verdict.healthyWith(remarks)
  }

  let state: State = { place: undefined, lookedAt: undefined, matches: new Map(), samples: [] }
  const look = Effect.gen(function* () {
    const before = state
    const found = new Map<string, { count: number; line: string; isCut: boolean }>()
    const onLine = (line: string, isCut: boolean) => {
      for (const [name, pattern] of patterns) {
        pattern.lastIndex = 0
        if (pattern.test(line)) found.set(name, { count: (found.get(name)?.count ?? 0) + 1, line, isCut })
      }
    }
    const growth = yield* Tail.follow(before.place, { path, longestLine, maxRead, onLine })
    const now = yield* Monotonic.millis
    const matches = new Map([...before.matches].filter(([, { at }]) => now - at < holdFor))
    for (const [name, { count, isCut, line }] of found) {
      matches.set(name, { count: (matches.get(name)?.count ?? 0) + count, line, isCut, at: now })
    }
    const { bytes, lines, skipped } = growth
    // Of what was not read, the lines were as long as of what was.
    const amount = limit?.unit === "bytes" ? bytes : lines * (bytes / Math.max(1, bytes - skipped))
    const newest = { from: before.lookedAt ?? now, at: now, amount }
    const samples = limit === undefined ? [] : sampled(before.samples, newest, window)
    state = { place: growth.place, lookedAt: now, matches, samples }
    return judge(growth, state, yield* Redactor)
  })
  // Two that read at once would both read the same.
  const turn = Semaphore.makeUnsafe(1)
  const check = turn
    .withPermit(look)
    .pipe(
      Effect.catch((code) => Effect.succeed(Verdict.inconclusive(`${path} cannot be read: ${ownFault(code) ?? code}`)))
    )
  const probe = Probe.make({
    name: given.name,
    reports: [
      ...(given.patterns === undefined ? [] : [Matched]),
      ...(limit === undefined ? [] : [Flood]),
      ...(required ? [Missing] : [])
    ],
    target: `file://${path}`,
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
