/**
 * Liveness of a process, as the kernel sees it, and its supervisor if it has one.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import { descendants, isDead, type ProcessStat, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type { Exactly } from "./internal/given.ts"
import { findByPidFile, unanswered } from "./internal/pidFile.ts"
import * as Vitals from "./internal/processVitals.ts"

export {
  CpuHigh,
  EventLoopBlocked,
  type FoundVital,
  MemoryHigh,
  StuckInDisk,
  type VitalsOptions
} from "./internal/processVitals.ts"

/**
 * It does not run. If it is supervised: its supervisor does not start it by itself any more.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Gone extends Schema.TaggedClass<Gone>("@nexobot/probes/Process/Gone")("Process/Gone", {
  /** Its name, or the path of its pid file; so in all of these. */
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
 * It is stopped (SIGSTOP, a terminal, or a debugger): it runs no instruction, and its sockets still accept.
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
export interface ProcessProbeOptions extends Vitals.VitalsOptions {
  readonly name: string
  /** The supervised process. */
  readonly process: string
  /** How long a restart by the supervisor is reported (as degraded); 5 seconds unless told. */
  readonly settle?: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface PidFileOptions extends Vitals.VitalsOptions {
  readonly name: string
  /** A file whose first line is the pid. */
  readonly pidFile: string
  /**
   * What its command line has to match. Unless told, a process that started after the file was written is another: that
   * is wrong if the clock was set forward after both.
   */
  readonly program?: RegExp | string
}

/**
 * What the probe of a supervised process with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = Gone | Zombie | Stopped | Restarted | Vitals.FoundVital<O>

/**
 * What the probe of a process with a pid file and these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type FoundByPidFile<O> = Gone | Zombie | Stopped | Vitals.FoundVital<O>

const checks = Options.checks("ProcessProbe")

/** States that pass by themselves: without a child they say nothing yet, and with one its event loop may be busy. */
const between = new Set(["Starting", "Waiting", "Stopping"])

/** More than a supervisor needs to learn that its child ended. */
const noticed = "100 millis"

/** Whoever ended a moment ago is a zombie until its parent has had its turn. */
const settled = <S extends Verdict.Signature, R>(look: Effect.Effect<Verdict.Verdict<S>, { message: string }, R>) =>
  look.pipe(
    Effect.filterOrElse(
      (verdict) => verdict._tag !== "Unhealthy" || verdict.signature._tag !== "Process/Zombie",
      () => Effect.delay(look, noticed)
    ),
    Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message)))
  )

const ended = (process: string, pid: number) =>
  Verdict.unhealthy(new Zombie({ process, pid }), [`${process} (${pid}) ended, and nobody has noticed`])

/** By a signal, or by whoever traces it. */
const isStopped = ({ state }: ProcessStat): boolean => state === "T" || state === "t"

const stopped = (process: string, pid: number) =>
  Verdict.unhealthy(new Stopped({ process, pid }), [`${process} (${pid}) is stopped`])

/**
 * Of a supervised process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends ProcessProbeOptions>(
  options: Exactly<O, ProcessProbeOptions>
): Probe.Probe<Found<O>, ProcessControl> => {
  checks.known(options, ["name", "process", "settle", ...Vitals.known])
  const process = checks.nonEmptyString("process", options.process)
  if (options.timeout !== undefined && options.heartbeat === undefined) {
    checks.fail("timeout", options.timeout, "none without heartbeat")
  }
  const settle = checks.duration("settle", options.settle ?? "5 seconds")
  const settings = Vitals.checked(options)
  const lookAt = Vitals.make(settings)

  const look = Effect.gen(function* (): Effect.fn.Return<
    Verdict.Verdict<Gone | Zombie | Stopped | Restarted | Vitals.Vital>,
    { readonly message: string },
    ProcessControl
  > {
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
    if (stat === undefined || isDead(stat) || stat.startTime !== identity.startTime) return ended(process, pid)
    if (isStopped(stat)) return stopped(process, pid)
    const below = Effect.map(control.tree(process), (tree) => tree.filter((one) => one.pid !== pid))
    const found = yield* lookAt({ process, stat, uptime, isBetween: between.has(state), below })
    if (found !== undefined) return found
    const young = uptime !== undefined && Duration.isLessThan(uptime, settle)
    if (young && startedBy === "policy" && lastExit !== undefined) {
      return Verdict.degraded(new Restarted({ process, restarts, exit: lastExit }), [
        `${process}: ${last}; its supervisor put it back`
      ])
    }
    return Verdict.healthy
  })
  const probe = Probe.make({
    name: options.name,
    reports: [Gone, Zombie, Stopped, Restarted, ...Vitals.reportsOf(settings)],
    target: `process:${process}`,
    // Without a heartbeat there is nothing to wait for.
    timeout: settings.heartbeat === undefined ? undefined : settings.timeout,
    question: Vitals.hasNoMemory(settings) ? ["ProcessProbe", settle, settings] : undefined,
    // None of these is what a process looks like while it starts.
    duringStartup: "judged",
    check: settled(look)
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>, ProcessControl> // oxlint-disable-line typescript/no-unsafe-type-assertion
}

/**
 * Of a process that nobody supervises, and that leaves its pid in a file.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makePidFile = <const O extends PidFileOptions>(
  options: Exactly<O, PidFileOptions>
): Probe.Probe<FoundByPidFile<O>> => {
  checks.known(options, ["name", "pidFile", "program", ...Vitals.known])
  const process = checks.nonEmptyString("pidFile", options.pidFile)
  const program = options.program === undefined ? undefined : checks.pattern("program", options.program)
  const settings = Vitals.checked(options)
  const lookAt = Vitals.make(settings)

  const look = Effect.gen(function* (): Effect.fn.Return<
    Verdict.Verdict<Gone | Zombie | Stopped | Vitals.Vital>,
    { readonly message: string }
  > {
    const named = yield* Effect.timeoutOrElse(findByPidFile(process, program), {
      duration: settings.timeout,
      orElse: () => Effect.succeed(unanswered(process))
    })
    if (named._tag === "Unknown") return Verdict.inconclusive(named.why)
    if (named._tag === "Gone") return Verdict.unhealthy(new Gone({ process }), [`${process}: ${named.why}`])
    const { stat } = named
    if (isDead(stat)) return ended(process, stat.pid)
    if (isStopped(stat)) return stopped(process, stat.pid)
    return (
      (yield* lookAt({ process, stat, uptime: undefined, isBetween: false, below: descendants(stat.pid) })) ??
      Verdict.healthy
    )
  })
  const probe = Probe.make({
    name: options.name,
    reports: [Gone, Zombie, Stopped, ...Vitals.reportsOf(settings)],
    target: `file://${process}`,
    timeout: settings.timeout,
    question: Vitals.hasNoMemory(settings) ? ["ProcessProbe.makePidFile", program, settings] : undefined,
    check: settled(look)
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<FoundByPidFile<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
