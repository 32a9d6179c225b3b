/**
 * Writes and flushes a small file of its own, because a disk that says how much space it has may still not take a byte.
 *
 * A helper program writes (`sh`, `dd`), so that a disk that stalls holds a helper and nothing of this process; at most
 * one helper of a probe hangs. The file has a name that nobody else has, and is removed after each check; what a stalled
 * check has left behind is removed by the next one that works.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"

import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { Redactor } from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type { Ended } from "./internal/command.ts"
import { excerpt } from "./internal/excerpt.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { codeIn, makeHelper } from "./internal/helper.ts"
import { ownFault } from "./internal/systemError.ts"

/**
 * It takes what is written, and takes long for it.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Slow extends Schema.TaggedClass<Slow>("@nexobot/probes/Io/Slow")("Io/Slow", {
  path: Schema.String,
  took: Schema.DurationFromMillis,
  degradedAfter: Schema.DurationFromMillis
}) {}

/**
 * It did not take it in time.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Stalled extends Schema.TaggedClass<Stalled>("@nexobot/probes/Io/Stalled")("Io/Stalled", {
  path: Schema.String,
  after: Schema.DurationFromMillis
}) {}

/**
 * It does not take it: it is full, broken, read only, or not there.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@nexobot/probes/Io/Refused")("Io/Refused", {
  path: Schema.String,
  /** The system's code, for example `ENOSPC`. */
  code: Schema.String
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface IoStallProbeOptions {
  readonly name: string
  /** A folder on the disk, in which this process may make files. */
  readonly path: string
  /** How long writing and flushing may take; longer is degraded. Any time unless told. */
  readonly degradedAfter?: Duration.Input
  /** Until it is written, flushed and removed again; 10 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = Stalled | Refused | Given<O, "degradedAfter", Slow>

const checks = Options.checks("IoStallProbe")

/**
 * The shell becomes `dd`: one process. What is there by this name and belongs to us was left by an earlier check; in
 * anything else `set -C` does not write.
 */
const script = `
if [ -f "$1" ] && [ ! -h "$1" ] && [ -O "$1" ]; then exec dd bs=4096 count=1 conv=fsync,notrunc </dev/zero 1<>"$1"; fi
set -C
exec dd bs=4096 count=1 conv=fsync </dev/zero >"$1"`

const mostSaid = 4000

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends IoStallProbeOptions>(
  options: Exactly<O, IoStallProbeOptions>
): Probe.Probe<Found<O>> => {
  const given: IoStallProbeOptions = options
  checks.known(given, ["name", "path", "degradedAfter", "timeout"])
  const path = checks.nonEmptyString("path", given.path)
  const timeout = checks.duration("timeout", given.timeout ?? "10 seconds", "1 millis")
  const degradedAfter =
    given.degradedAfter === undefined ? undefined : checks.duration("degradedAfter", given.degradedAfter, "1 micros")
  if (degradedAfter !== undefined && Duration.isGreaterThanOrEqualTo(degradedAfter, timeout)) {
    checks.fail("degradedAfter", degradedAfter, "less than timeout")
  }
  // Not joined: the system follows links before `..`, and no text says where that leads.
  const file = `${path}/.nexobot-io-${Crypto.randomUUID()}`
  const helper = makeHelper()
  const remove = helper({ file: "rm", args: ["-f", "--", file], maxOutput: mostSaid })

  let isRemoving = false
  /** Once the disk works again; nobody waits for it. */
  const removeLater = Effect.suspend(() => {
    if (isRemoving) return Effect.void
    isRemoving = true
    const removed = Effect.ensuring(
      Effect.ignore(remove),
      Effect.sync(() => {
        isRemoving = false
      })
    )
    return Effect.forkDetach(removed)
  })

  const refused = (code: string) =>
    Verdict.unhealthy(new Refused({ path, code }), [`${path} takes nothing that is written (${code})`])

  const judge = Effect.fnUntraced(function* ({ exitCode, stderr }: Ended) {
    if (exitCode !== 0) {
      const code = codeIn(stderr)
      if (code === undefined) return Verdict.inconclusive(`${path}: ${excerpt(stderr, yield* Redactor)}`)
      const own = ownFault(code)
      return own === undefined ? refused(code) : Verdict.inconclusive(`${path}: ${own}`)
    }
    if (degradedAfter === undefined) return Verdict.healthy
    // The helper's own measure: this process may be busy with something else.
    const seconds = Number(/copied, ([\d.e+-]+) s/.exec(stderr)?.[1])
    if (Number.isNaN(seconds)) return Verdict.inconclusive(`${path}: dd said ${excerpt(stderr, yield* Redactor)}`)
    const took = Duration.millis(seconds * 1000)
    return Duration.isGreaterThan(took, degradedAfter)
      ? Verdict.degraded(new Slow({ path, took, degradedAfter }), [`${path} took ${Duration.format(took)}`])
      : Verdict.healthy
  })
  const write = helper({ file: "sh", args: ["-c", script, "sh", file], maxOutput: mostSaid })
  const check = write.pipe(
    Effect.flatMap(judge),
    // A file system that is full or broken while it is written has an empty one.
    Effect.tap(() => remove),
    Effect.onInterrupt(() => removeLater),
    Effect.catch((code) => Effect.succeed(Verdict.inconclusive(`no helper can be started: ${ownFault(code) ?? code}`))),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.succeed(
          Verdict.unhealthy(new Stalled({ path, after: timeout }), [`${path} does not take what is written in time`])
        )
    })
  )
  const probe = Probe.make({
    name: given.name,
    reports: [Stalled, Refused, ...(degradedAfter === undefined ? [] : [Slow])],
    target: `io:${path}`,
    timeout,
    question: ["IoStallProbe", { degradedAfter, timeout }],
    effects: "own-file",
    // A disk is there before those who use it.
    duringStartup: "judged",
    check
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
