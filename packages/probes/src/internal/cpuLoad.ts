/**
 * The load of the machine, and the CPUs that there are for this process.
 *
 * @since 0.1.0
 */
import { type Cgroup, cgroupsOf } from "./cgroup.ts"
import { numberIn, textOf } from "./kernelFiles.ts"

export const windows = ["1m", "5m", "15m"] as const

export interface CpuLoad {
  readonly loads: Readonly<Record<(typeof windows)[number], number>>
  readonly cpus: number
  /** What limits the CPUs: a cgroup, or the machine. */
  readonly source: string
  /** The files that tell of waiting. */
  readonly pressure: { readonly cpu: string; readonly io: string }
}

/** CPUs that a quota is worth; `undefined` without one. */
const quotaOf = ({ folder, version }: Cgroup): number | undefined => {
  const [quota, period] =
    version === 2
      ? (textOf(`${folder}/cpu.max`) ?? "").trim().split(" ").map(Number)
      : [numberIn(`${folder}/cpu.cfs_quota_us`), numberIn(`${folder}/cpu.cfs_period_us`)]
  // Without a quota it is `max`, or -1.
  const cpus = (quota ?? NaN) / (period ?? NaN)
  return Number.isFinite(cpus) && cpus > 0 ? cpus : undefined
}

/** The smallest quota around this process, or all CPUs where none is smaller; `undefined` where nothing tells. */
export const loadOf = (proc: string, scope: "cgroup" | "host"): CpuLoad | undefined => {
  const [one = NaN, five = NaN, fifteen = NaN] = (textOf(`${proc}/loadavg`) ?? "").split(" ").map(Number)
  const all = (textOf(`${proc}/stat`) ?? "").match(/^cpu\d+ /gm)?.length ?? 0
  if (all === 0 || ![one, five, fifteen].every(Number.isFinite)) return undefined
  const machine: CpuLoad = {
    loads: { "1m": one, "5m": five, "15m": fifteen },
    cpus: all,
    source: `${proc}/stat`,
    pressure: { cpu: `${proc}/pressure/cpu`, io: `${proc}/pressure/io` }
  }
  let tightest = machine
  for (const cgroup of scope === "host" ? [] : cgroupsOf(proc, "cpu")) {
    const cpus = quotaOf(cgroup)
    if (cpus === undefined || cpus >= tightest.cpus) continue
    const { folder, version } = cgroup
    const pressure = version === 2 ? { cpu: `${folder}/cpu.pressure`, io: `${folder}/io.pressure` } : machine.pressure
    tightest = { ...machine, cpus, source: folder, pressure }
  }
  return tightest
}
