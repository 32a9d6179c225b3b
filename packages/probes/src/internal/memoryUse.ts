/**
 * How much memory is in use, of what there is for this process.
 *
 * @since 0.1.0
 */
import { type Cgroup, cgroupsOf } from "./cgroup.ts"
import { numberAfter, numberIn, textOf } from "./kernelFiles.ts"

export interface MemoryUse {
  /** Bytes that cannot be taken back. */
  readonly used: number
  /** Bytes that there are. */
  readonly limit: number
  /** Where this was read: a cgroup, or the table of the machine. */
  readonly source: string
  readonly isCgroup: boolean
  /** The file that tells of waiting for memory there. */
  readonly pressure: string
}

export const shareOf = ({ limit, used }: MemoryUse): number => used / limit

const ofMachine = (proc: string): MemoryUse | undefined => {
  const source = `${proc}/meminfo`
  const text = textOf(source) ?? ""
  const [total, available] = [numberAfter(text, "MemTotal"), numberAfter(text, "MemAvailable")]
  if (total === undefined || available === undefined || total <= 0) return undefined
  const used = Math.max(0, total - available) * 1024
  return { used, limit: total * 1024, source, isCgroup: false, pressure: `${proc}/pressure/memory` }
}

const names = {
  1: {
    limits: ["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    files: ["total_active_file", "total_inactive_file"]
  },
  // Above `memory.high` nobody is killed; all are held up until they are below it again.
  2: { limits: ["memory.max", "memory.high"], usage: "memory.current", files: ["active_file", "inactive_file"] }
} as const

/** Nothing where it is not limited, or to more than the machine has. */
const ofCgroup = ({ folder, version }: Cgroup, machine: MemoryUse): ReadonlyArray<MemoryUse> => {
  const { files, limits, usage: file } = names[version]
  const limit = Math.min(...limits.map((name) => numberIn(`${folder}/${name}`) ?? Infinity))
  const usage = numberIn(`${folder}/${file}`)
  if (usage === undefined || limit <= 0 || limit >= machine.limit) return []
  // Pages of files are given back when memory is wanted, also those that somebody reads again and again.
  const stat = textOf(`${folder}/memory.stat`) ?? ""
  const pages = files.reduce((sum, name) => sum + (numberAfter(stat, name) ?? 0), 0)
  const pressure = version === 2 ? `${folder}/memory.pressure` : machine.pressure
  return [{ used: Math.max(0, usage - pages), limit, source: folder, isCgroup: true, pressure }]
}

/**
 * The machine and the cgroups around this process that are limited, the fullest first, as it is the first to kill
 * somebody. Nothing where the kernel does not tell.
 */
export const memoryUses = (proc: string): ReadonlyArray<MemoryUse> => {
  const machine = ofMachine(proc)
  if (machine === undefined) return []
  const limited = cgroupsOf(proc, "memory").flatMap((cgroup) => ofCgroup(cgroup, machine))
  return [...limited, machine].toSorted((a, b) => shareOf(b) - shareOf(a))
}
