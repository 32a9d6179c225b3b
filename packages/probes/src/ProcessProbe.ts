/**
 * Liveness of a supervised process, as its supervisor and the kernel see it.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * It does not run, and its supervisor does not start it by itself any more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Gone extends Schema.TaggedClass<Gone>("@nexobot/probes/Process/Gone")("Process/Gone", {
  process: Schema.String,
  lastExit: Schema.optionalKey(ProcessExit.ProcessExit)
}) {}

/**
 * It ended, and its parent has not noticed.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Zombie extends Schema.TaggedClass<Zombie>("@nexobot/probes/Process/Zombie")("Process/Zombie", {
  process: Schema.String,
  pid: Schema.Int
}) {}

/**
 * It is stopped (SIGSTOP, or a terminal): it runs no instruction, and its sockets still accept.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Stopped extends Schema.TaggedClass<Stopped>("@nexobot/probes/Process/Stopped")("Process/Stopped", {
  process: Schema.String,
  pid: Schema.Int
}) {}

/**
 * Its supervisor has just put it back after an exit: it works, and somebody should know.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Restarted extends Schema.TaggedClass<Restarted>("@nexobot/probes/Process/Restarted")("Process/Restarted", {
  process: Schema.String,
  restarts: Schema.Int,
  exit: ProcessExit.ProcessExit
}) {}

/**
 * @category models
 * @since 0.1.0
 */
export interface ProcessProbeOptions {
  readonly name: string
  /** The supervised process. */
  readonly process: string
  /** How long a restart by the supervisor is reported (as degraded); 5 seconds unless told. */
  readonly settle?: Duration.Input
}

const checks = Options.checks("ProcessProbe")

/** States that pass by themselves: without a child, they say nothing yet. */
const between = new Set(["Starting", "Waiting", "Stopping"])

/** More than a supervisor needs to learn that its child ended. */
const noticed = "100 millis"

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ProcessProbeOptions
): Probe.Probe<Gone | Zombie | Stopped | Restarted, ProcessControl> => {
  checks.known(options, ["name", "process", "settle"])
  const process = checks.nonEmptyString("process", options.process)
  const settle = checks.duration("settle", options.settle ?? "5 seconds")

  const look = Effect.gen(function* () {
    const control = yield* ProcessControl
    const table = yield* ProcessTable
    const { identity, lastExit, restarts, startedBy, state, uptime } = yield* control.status(process)
    const last = lastExit === undefined ? "it never ran" : `it ${ProcessExit.describe(lastExit)}`
    if (identity === undefined) {
      return between.has(state)
        ? Verdict.inconclusive(`${process} is ${state.toLowerCase()}; ${last}`)
        : Verdict.unhealthy(new Gone({ process, ...(lastExit === undefined ? {} : { lastExit }) }), [
            `${process} is ${state.toLowerCase()}: ${last}`
          ])
    }
    const { pid } = identity
    const stat = yield* table.stat(pid)
    if (stat === undefined || isDead(stat) || stat.startTime !== identity.startTime) {
      return Verdict.unhealthy(new Zombie({ process, pid }), [`${process} (${pid}) ended, and nobody has noticed`])
    }
    if (stat.state === "T") return Verdict.unhealthy(new Stopped({ process, pid }), [`${process} (${pid}) is stopped`])
    const young = uptime !== undefined && Duration.isLessThan(uptime, settle)
    if (young && startedBy === "policy" && lastExit !== undefined) {
      return Verdict.degraded(new Restarted({ process, restarts, exit: lastExit }), [
        `${process}: ${last}; its supervisor put it back`
      ])
    }
    return Verdict.healthy
  })
  // Whoever ended a moment ago is a zombie until its supervisor has had its turn of the event loop.
  const check = look.pipe(
    Effect.filterOrElse(
      (verdict) => verdict._tag !== "Unhealthy" || verdict.signature._tag !== "Process/Zombie",
      () => Effect.delay(look, noticed)
    ),
    Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message)))
  )
  // None of these is what a process looks like while it starts.
  return Probe.make({
    name: options.name,
    reports: [Gone, Zombie, Stopped, Restarted],
    duringStartup: "judged",
    check
  })
}
