/**
 * A dead man's switch: a file that somebody has to write again and again. `Heartbeat` writes one for an application; a
 * job that ends with `touch` does as well.
 *
 * @since 0.1.0
 */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Heartbeat from "./Heartbeat.ts"

/**
 * There is no file: it was removed, or nobody has written it since the probe's first look and its grace.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedClass<Missing>("@nexobot/probes/Heartbeat/Missing")("Heartbeat/Missing", {
  path: Schema.String
}) {}

/**
 * The last beat is too long ago.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Late extends Schema.TaggedClass<Late>("@nexobot/probes/Heartbeat/Late")("Heartbeat/Late", {
  path: Schema.String,
  age: Schema.DurationFromMillis,
  maxAge: Schema.DurationFromMillis
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface HeartbeatProbeOptions {
  readonly name: string
  readonly path: string
  /** How long ago the last beat may be: several times as long as it takes to the next one. */
  readonly maxAge: Duration.Input
  /** How long the first beat of all is waited for, from the first look at a file that is not there. `maxAge` unless told. */
  readonly grace?: Duration.Input
  /** Until the file system has answered; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

const checks = Options.checks("HeartbeatProbe")

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: HeartbeatProbeOptions): Probe.Probe<Missing | Late> => {
  checks.known(options, ["name", "path", "maxAge", "grace", "timeout"])
  const path = checks.nonEmptyString("path", options.path)
  const maxAge = checks.duration("maxAge", options.maxAge, "1 millis")
  const grace = checks.duration("grace", options.grace ?? maxAge)
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")

  /** What was seen, and since when; `undefined` is no file. */
  let seen: { readonly id: string | undefined; readonly since: number } | undefined
  let wasThere = false

  const check = Effect.gen(function* () {
    const beat = yield* Heartbeat.last(path)
    const now = yield* Monotonic.millis
    if (seen === undefined || seen.id !== beat?.id) seen = { id: beat?.id, since: now }
    const unchanged = Duration.millis(Math.floor(now - seen.since))
    if (beat === undefined) {
      return wasThere || Duration.isGreaterThanOrEqualTo(unchanged, grace)
        ? Verdict.unhealthy(new Missing({ path }), [`${path} is not there`])
        : Verdict.inconclusive(`${path}: no beat yet`)
    }
    wasThere = true
    // A clock that was set back makes a file that others write young for long: it is as old as it is known at least.
    const age = Duration.max(beat.age, unchanged)
    return Duration.isGreaterThan(age, maxAge)
      ? Verdict.unhealthy(new Late({ path, age, maxAge }), [`${path}: the last beat was ${Duration.format(age)} ago`])
      : Verdict.healthy
  }).pipe(
    Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message))),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(Verdict.inconclusive(`${path}: the file system did not answer in time`))
    })
  )

  // Without a question, for it remembers what it has seen.
  return Probe.make({ name: options.name, reports: [Missing, Late], target: `file://${path}`, timeout, check })
}
