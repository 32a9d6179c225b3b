/**
 * Looks at how much memory is left for this process: in its cgroups, and on the whole machine.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Schema from "effect/Schema"

import type { Exactly, Given } from "./internal/given.ts"
import { looking } from "./internal/kernelFiles.ts"
import { memoryUses, shareOf } from "./internal/memoryUse.ts"
import * as PressureFile from "./internal/pressure.ts"

/** What was read; both levels have it. */
const use = {
  /** Bytes that cannot be taken back: without pages of files. */
  used: Schema.Finite,
  /** Bytes that there are. */
  limit: Schema.Finite,
  /** `used` of `limit`, from 0 to 1. */
  share: Schema.Finite,
  /** The folder of the cgroup that is limited so, or `/proc/meminfo`. */
  source: Schema.String
}

/**
 * More than `degradedAt` is in use. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class High extends Schema.TaggedClass<High>("@nexobot/probes/Memory/High")("Memory/High", use) {}

/**
 * More than `unhealthyAt` is in use: soon the kernel kills somebody, or at `memory.high` holds all up.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Critical extends Schema.TaggedClass<Critical>("@nexobot/probes/Memory/Critical")("Memory/Critical", use) {}

/**
 * Tasks wait for memory for a larger share of the time than allowed. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Pressure extends Schema.TaggedClass<Pressure>("@nexobot/probes/Memory/Pressure")("Memory/Pressure", {
  /** `some`: at least one waited; `full`: all did. */
  kind: Schema.Literals(PressureFile.kinds),
  window: Schema.Literals(PressureFile.windows),
  /** Of the time, from 0 to 1. */
  share: Schema.Finite,
  limit: Schema.Finite,
  /** The file that says so. */
  source: Schema.String
}) {}

/**
 * Up to which share of the time tasks may wait.
 *
 * @category models
 * @since 0.1.0
 */
export type PressureLimit = PressureFile.PressureLimit

/**
 * @category models
 * @since 0.1.0
 */
export interface MemoryProbeOptions {
  readonly name: string
  /** The share in use above which it is degraded; 0.85 unless told. */
  readonly degradedAt?: number
  /** The share in use above which it is unhealthy; 0.94 unless told. */
  readonly unhealthyAt?: number
  /**
   * That of the fullest of the limited cgroups around this process, or of the machine where none is limited. Needs a
   * kernel with pressure stall information. Not looked at unless told.
   */
  readonly pressure?: PressureLimit
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = High | Critical | Given<O, "pressure", Pressure>

type Any = High | Critical | Pressure

const checks = Options.checks("MemoryProbe")

const known = ["name", "degradedAt", "unhealthyAt", "pressure"]

const checked = (options: MemoryProbeOptions) => {
  checks.known(options, known)
  const degradedAt = checks.number("degradedAt", options.degradedAt ?? 0.85, 0.01, 1)
  const unhealthyAt = checks.number("unhealthyAt", options.unhealthyAt ?? 0.94, 0.01, 1)
  if (degradedAt >= unhealthyAt) checks.fail("degradedAt", degradedAt, `less than unhealthyAt, which is ${unhealthyAt}`)
  return {
    degradedAt,
    unhealthyAt,
    pressure:
      options.pressure === undefined ? undefined : PressureFile.checkedLimit(checks, "pressure", options.pressure)
  }
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`

const look = (
  { degradedAt, pressure, unhealthyAt }: ReturnType<typeof checked>,
  proc: string
): Verdict.Verdict<Any> | undefined => {
  const uses = memoryUses(proc)
  const [fullest] = uses
  if (fullest === undefined) return undefined
  const { limit, source, used } = fullest
  const share = shareOf(fullest)
  // A cgroup's own tells of all that its tasks wait for, also where it is the machine that has no memory left.
  const { pressure: file } = uses.find(({ isCgroup }) => isCgroup) ?? fullest
  const waits = pressure === undefined ? [] : PressureFile.exceeded(file, pressure)
  const says = `${mebibytes(used)} of ${mebibytes(limit)} in use (${PressureFile.percent(share)}), says ${source}`
  const waited = waits?.map((one) => PressureFile.waited(one, "memory")) ?? [PressureFile.untold(file)]
  const [worst] = waits ?? []
  if (share > unhealthyAt) return Verdict.unhealthy(new Critical({ used, limit, share, source }), [says, ...waited])
  if (worst !== undefined) return Verdict.degraded(new Pressure({ ...worst, source: file }), [...waited, says])
  if (share > degradedAt) return Verdict.degraded(new High({ used, limit, share, source }), [says, ...waited])
  return waits === undefined ? Verdict.inconclusive(PressureFile.untold(file)) : Verdict.healthy
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends MemoryProbeOptions>(
  options: Exactly<O, MemoryProbeOptions>
): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const probe = Probe.make({
    name: options.name,
    reports: [High, Critical, ...(settings.pressure === undefined ? [] : [Pressure])],
    target: "host://memory",
    question: ["MemoryProbe", settings],
    // Nothing that starts makes memory come back.
    duringStartup: "judged",
    check: looking("looking at the memory", (proc) => look(settings, proc))
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
