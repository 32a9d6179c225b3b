/**
 * The load of the machine and its CPUs, and where the waiting of this process is told.
 *
 * @since 0.1.0
 */
import { type Cgroup, cgroupsOf } from "./cgroup.ts"
import { numberIn, textOf } from "./kernelFiles.ts"

export const windows = ["1m", "5m", "15m"] as const

export interface CpuLoad {
  readonly loads: Readonly<Record<(typeof windows)[number], number>>
  /** Those of the machine: the load is that of all who share it, whatever the quota of this process. */
  readonly cpus: number
  /** Where the CPUs were counted. */
  readonly source: string
  /** The files that tell of waiting: of the cgroup with the smallest CPU quota around this process, or the machine. */
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

/** `undefined` where nothing tells. */
export const loadOf = (proc: string): CpuLoad | undefined => {
  const [one = NaN, five = NaN, fifteen = NaN] = (textOf(`${proc}/loadavg`) ?? "").split(" ").map(Number)
  const source = `${proc}/stat`
  const cpus = (textOf(source) ?? "").match(/^cpu\d+ /gm)?.length ?? 0
  if (cpus === 0 || ![one, five, fifteen].every(Number.isFinite)) return undefined
  let [least, pressure] = [cpus, { cpu: `${proc}/pressure/cpu`, io: `${proc}/pressure/io` }]
  for (const cgroup of cgroupsOf(proc, "cpu")) {
    const quota = quotaOf(cgroup)
    if (quota === undefined || quota >= least) continue
    least = quota
    // Of cgroups of version 1 the kernel tells none.
    const { folder, version } = cgroup
    if (version === 2) pressure = { cpu: `${folder}/cpu.pressure`, io: `${folder}/io.pressure` }
  }
  return { loads: { "1m": one, "5m": five, "15m": fifteen }, cpus, source, pressure }
}
