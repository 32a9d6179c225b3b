/**
 * What a process does, beside that it runs: the part that all probes of processes have in common.
 *
 * @since 0.1.0
 */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Options from "@nexobot/core/Options"
import { type ProcessStat, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Heartbeat from "../Heartbeat.ts"
import type { Given } from "./given.ts"
import { cpuOf, makeLoad, makeWait, memoryOf } from "./processMeasures.ts"

/**
 * It has been in one and the same wait for a disk, or another device, for as long as the probe was told. Not even
 * SIGKILL ends that.
 *
 * @category signatures
 * @since 0.1.0
 */
export class StuckInDisk extends Schema.TaggedClass<StuckInDisk>("@nexobot/probes/Process/StuckInDisk")(
  "Process/StuckInDisk",
  {
    process: Schema.String,
    pid: Schema.Int,
    /** At least: since the first look that met it. */
    stuck: Schema.DurationFromMillis
  }
) {}

/**
 * It runs, and its heartbeat is old: its event loop has not come round for so long.
 *
 * @category signatures
 * @since 0.1.0
 */
export class EventLoopBlocked extends Schema.TaggedClass<EventLoopBlocked>("@nexobot/probes/Process/EventLoopBlocked")(
  "Process/EventLoopBlocked",
  { process: Schema.String, pid: Schema.Int, age: Schema.DurationFromMillis, maxAge: Schema.DurationFromMillis }
) {}

/**
 * It has more memory than it may.
 *
 * @category signatures
 * @since 0.1.0
 */
export class MemoryHigh extends Schema.TaggedClass<MemoryHigh>("@nexobot/probes/Process/MemoryHigh")(
  "Process/MemoryHigh",
  {
    process: Schema.String,
    pid: Schema.Int,
    /** In bytes. */
    memory: Schema.Int,
    /** In bytes. */
    maxMemory: Schema.Int
  }
) {}

/**
 * It used more of the processors than it may, between two looks.
 *
 * @category signatures
 * @since 0.1.0
 */
export class CpuHigh extends Schema.TaggedClass<CpuHigh>("@nexobot/probes/Process/CpuHigh")("Process/CpuHigh", {
  process: Schema.String,
  pid: Schema.Int,
  /** In processors: 1.5 is one and a half of them. */
  cores: Schema.Finite,
  /** In processors. */
  maxCpu: Schema.Finite
}) {}

/**
 * What may be asked beside "does it run".
 *
 * @category models
 * @since 0.1.0
 */
export interface VitalsOptions {
  /** How long it may wait for a disk, in a single wait that several looks meet. For ever unless told. */
  readonly stuckAfter?: Duration.Input
  /** Bytes of memory that it may have. Any unless told. */
  readonly maxMemory?: number
  /** Processors that it may use, such as 0.9, from one look to the next. Any unless told. */
  readonly maxCpu?: number
  /** Whether memory and processors are those of the process with all below it. `false` unless told. */
  readonly tree?: boolean
  /** A file that its event loop writes, with `Heartbeat`, and how old the last beat may be. */
  readonly heartbeat?: { readonly path: string; readonly maxAge: Duration.Input }
  /** Until the file system has answered that has the pid file, or the heartbeat; 5 seconds unless told. */
  readonly timeout?: Duration.Input
}

/**
 * What these options find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type FoundVital<O> =
  | Given<O, "stuckAfter", StuckInDisk>
  | Given<O, "heartbeat", EventLoopBlocked>
  | Given<O, "maxMemory", MemoryHigh>
  | Given<O, "maxCpu", CpuHigh>

export type Vital = StuckInDisk | EventLoopBlocked | MemoryHigh | CpuHigh

const checks = Options.checks("ProcessProbe")

/** The names of these options. */
export const known = ["stuckAfter", "maxMemory", "maxCpu", "tree", "heartbeat", "timeout"]

export const checked = ({ heartbeat, maxCpu, maxMemory, stuckAfter, timeout, tree = false }: VitalsOptions) => {
  if (checks.boolean("tree", tree) && maxMemory === undefined && maxCpu === undefined) {
    checks.fail("tree", tree, "false without maxMemory and maxCpu")
  }
  if (heartbeat !== undefined) checks.known(heartbeat, ["path", "maxAge"], "heartbeat.")
  return {
    stuckAfter: stuckAfter === undefined ? undefined : checks.duration("stuckAfter", stuckAfter, "1 millis"),
    maxMemory: maxMemory === undefined ? undefined : checks.integer("maxMemory", maxMemory, 1),
    maxCpu: maxCpu === undefined ? undefined : checks.number("maxCpu", maxCpu, 0.01),
    tree,
    timeout: checks.duration("timeout", timeout ?? "5 seconds", "1 millis"),
    heartbeat: heartbeat && {
      path: checks.nonEmptyString("heartbeat.path", heartbeat.path),
      maxAge: checks.duration("heartbeat.maxAge", heartbeat.maxAge, "1 millis")
    }
  }
}

type Vitals = ReturnType<typeof checked>

export const reportsOf = ({ heartbeat, maxCpu, maxMemory, stuckAfter }: Vitals) => [
  ...(stuckAfter === undefined ? [] : [StuckInDisk]),
  ...(heartbeat === undefined ? [] : [EventLoopBlocked]),
  ...(maxMemory === undefined ? [] : [MemoryHigh]),
  ...(maxCpu === undefined ? [] : [CpuHigh])
]

/** A running process, by whatever it was found. */
export interface Running {
  readonly process: string
  readonly stat: ProcessStat
  /** As its supervisor knows it. */
  readonly uptime: Duration.Duration | undefined
  /** Whether it starts or stops: its event loop may be busy with that. */
  readonly isBetween: boolean
  readonly below: Effect.Effect<ReadonlyArray<{ readonly pid: number }>, { readonly message: string }>
}

/** Looks at what it does; gives the verdict if there is something to say. */
export const make = ({ heartbeat, maxCpu, maxMemory, stuckAfter, timeout, tree }: Vitals) => {
  const asksNothing = [heartbeat, maxCpu, maxMemory, stuckAfter].every((option) => option === undefined)
  const waited = makeWait()
  const loaded = makeLoad()

  const beating = Effect.fnUntraced(function* (
    { isBetween, process, stat: { pid }, uptime }: Running,
    told: number | undefined
  ) {
    if (heartbeat === undefined || isBetween) return undefined
    const { maxAge, path } = heartbeat
    const age = told ?? (uptime && Duration.toMillis(uptime))
    // Until it is older than a beat may be, there may be none yet, or the last one of another that ran before.
    if (age !== undefined && age <= Duration.toMillis(maxAge)) return undefined
    const beat = yield* Heartbeat.last(path).pipe(
      Effect.catch((error) => Effect.succeed(Verdict.inconclusive(error.message))),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.succeed(Verdict.inconclusive(`${path}: the file system did not answer in time`))
      })
    )
    if (beat !== undefined && "_tag" in beat) return beat
    if (beat === undefined) return Verdict.inconclusive(`${process} (${pid}) has no heartbeat at ${path}`)
    if (!Duration.isGreaterThan(beat.age, maxAge)) return undefined
    if (age === undefined) {
      return Verdict.inconclusive(`${process} (${pid}) has an old heartbeat, and nobody says how long it runs`)
    }
    return Verdict.unhealthy(new EventLoopBlocked({ process, pid, age: beat.age, maxAge }), [
      `${process} (${pid}) runs, and its last heartbeat was ${Duration.format(beat.age)} ago`
    ])
  })

  return Effect.fnUntraced(function* (
    running: Running
  ): Effect.fn.Return<Verdict.Verdict<Vital> | undefined, { readonly message: string }> {
    if (asksNothing) return undefined
    const { process, stat } = running
    const { pid } = stat
    const table = yield* ProcessTable
    const usage = yield* table.usage(pid)
    const now = yield* Monotonic.millis
    const identity = `${pid} ${stat.startTime}`
    const isWaiting = stat.state === "D" && usage !== undefined
    const stuck = Duration.millis(Math.floor(waited(isWaiting ? `${identity} ${usage.waits}` : undefined, now)))
    if (stuckAfter !== undefined && Duration.isGreaterThanOrEqualTo(stuck, stuckAfter)) {
      return Verdict.unhealthy(new StuckInDisk({ process, pid, stuck }), [
        `${process} (${pid}) waits for a disk, for ${Duration.format(stuck)} at least`
      ])
    }
    let doubt = yield* beating(running, usage?.age)
    if (doubt?._tag === "Unhealthy") return doubt
    const pids = [pid, ...(tree ? (yield* running.below).map((one) => one.pid) : [])]
    if (maxMemory !== undefined) {
      const { hidden, memory } = yield* memoryOf(pids)
      if (memory > maxMemory && hidden.length > 0) {
        doubt ??= Verdict.inconclusive(`${process} (${pid}): what process ${hidden[0]} shares may not be read`)
      } else if (memory > maxMemory) {
        return Verdict.unhealthy(new MemoryHigh({ process, pid, memory, maxMemory }), [
          `${process} (${pid}) has ${memory} bytes, at most ${maxMemory} expected`
        ])
      }
    }
    if (maxCpu !== undefined) {
      const cores = Math.round((loaded(identity, yield* cpuOf(pids, tree), now) ?? 0) * 100) / 100
      if (cores > maxCpu) {
        return Verdict.unhealthy(new CpuHigh({ process, pid, cores, maxCpu }), [
          `${process} (${pid}) uses ${cores} processors, at most ${maxCpu} expected`
        ])
      }
    }
    return doubt
  })
}

/** Whether the verdict depends on this one look only. */
export const hasNoMemory = ({ maxCpu, stuckAfter }: Vitals): boolean => maxCpu === undefined && stuckAfter === undefined
