/**
 * Looks at how much work waits for the CPUs: the load for each of them, and the time that tasks lose by waiting.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Schema from "effect/Schema"

import { loadOf, windows } from "./internal/cpuLoad.ts"
import type { Exactly, Given } from "./internal/given.ts"
import { looking } from "./internal/kernelFiles.ts"
import * as PressureFile from "./internal/pressure.ts"

/**
 * More tasks run, wait for a CPU or wait for a disk than `degradedAt` allows for each CPU. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class High extends Schema.TaggedClass<High>("@nexobot/probes/Load/High")("Load/High", {
  /** The load average. */
  load: Schema.Finite,
  /** CPUs of the machine that are online, whatever the quota of this process. */
  cpus: Schema.Finite,
  /** `load` for each of `cpus`. */
  perCpu: Schema.Finite,
  window: Schema.Literals(windows)
}) {}

/**
 * Tasks wait for a CPU, or for input and output, for a larger share of the time than allowed. Degraded.
 *
 * @category signatures
 * @since 0.1.0
 */
export class Pressure extends Schema.TaggedClass<Pressure>("@nexobot/probes/Load/Pressure")("Load/Pressure", {
  resource: Schema.Literals(["cpu", "io"]),
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
export interface LoadProbeOptions {
  readonly name: string
  /** The load for each CPU above which it is degraded; 2 unless told. */
  readonly degradedAt?: number
  /** The last minute, five or fifteen; `5m` unless told. */
  readonly window?: "1m" | "5m" | "15m"
  /**
   * That of the cgroup with the smallest CPU quota around this process, or of the machine where there is no quota. Needs
   * a kernel with pressure stall information. Not looked at unless told.
   */
  readonly pressure?: { readonly cpu?: PressureLimit; readonly io?: PressureLimit }
}

/**
 * What a probe with these options can find.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Found<O> = High | Given<O, "pressure", Pressure>

const checks = Options.checks("LoadProbe")

const known = ["name", "degradedAt", "window", "pressure"]

interface Pressed {
  readonly resource: "cpu" | "io"
  readonly limit: PressureFile.Limit
}

const checkedPressure = (pressure: LoadProbeOptions["pressure"]): ReadonlyArray<Pressed> => {
  if (pressure === undefined) return []
  checks.known(pressure, ["cpu", "io"], "pressure.")
  const limits = (["cpu", "io"] as const).flatMap((resource) => {
    const given = pressure[resource]
    const option = `pressure.${resource}`
    return given === undefined ? [] : [{ resource, limit: PressureFile.checkedLimit(checks, option, given) }]
  })
  return limits.length === 0 ? checks.fail("pressure", pressure, "cpu, io, or both") : limits
}

const checked = (options: LoadProbeOptions) => {
  checks.known(options, known)
  return {
    degradedAt: checks.number("degradedAt", options.degradedAt ?? 2, 0.01),
    window: checks.oneOf("window", options.window ?? "5m", windows),
    pressure: checkedPressure(options.pressure)
  }
}

const look = (
  { degradedAt, pressure, window }: ReturnType<typeof checked>,
  proc: string
): Verdict.Verdict<High | Pressure> | undefined => {
  const found = loadOf(proc)
  if (found === undefined) return undefined
  const { cpus, loads, source } = found
  const load = loads[window]
  const perCpu = load / cpus
  const looked = pressure.map(({ limit, resource }) => {
    const file = found.pressure[resource]
    return { resource, file, waits: PressureFile.exceeded(file, limit) }
  })
  const waiting = looked.flatMap(({ file, resource, waits = [] }) =>
    waits.map((one) => ({
      signature: new Pressure({ ...one, resource, source: file }),
      line: PressureFile.waited(one, resource)
    }))
  )
  const unknown = looked.flatMap(({ file, waits }) => (waits === undefined ? [PressureFile.untold(file)] : []))
  const says = `load ${load} (${window}) on ${cpus} CPUs, says ${source}`
  const evidence = [...waiting.map(({ line }) => line), says, ...unknown]
  const [worst] = waiting
  if (worst !== undefined) return Verdict.degraded(worst.signature, evidence)
  if (perCpu > degradedAt) return Verdict.degraded(new High({ load, cpus, perCpu, window }), evidence)
  return unknown.length === 0 ? Verdict.healthy : Verdict.inconclusive(unknown.join("; "))
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends LoadProbeOptions>(
  options: Exactly<O, LoadProbeOptions>
): Probe.Probe<Found<O>> => {
  const settings = checked(options)
  const probe = Probe.make({
    name: options.name,
    reports: [High, ...(settings.pressure.length === 0 ? [] : [Pressure])],
    target: "host://load",
    question: ["LoadProbe", settings],
    check: looking("looking at the load", (proc) => look(settings, proc))
  })
  // Without an option, its signature is neither declared nor found.
  return probe as Probe.Probe<Found<O>> // oxlint-disable-line typescript/no-unsafe-type-assertion
}
