/**
 * How much memory is in use, of what there is for this process.
 *
 * @since 0.1.0
 */
import { type Cgroup, cgroupsOf } from "./cgroup.ts"
import { numberAfter, numberIn, textOf } from "./kernelFiles.ts"

export interface MemoryUse {
  /** Bytes that cannot be taken back at once. */
  readonly used: number
  /** Bytes that there are. */
  readonly limit: number
  /** Where this was read: a cgroup, or the table of the machine. */
  readonly source: string
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
  return { used, limit: total * 1024, source, pressure: `${proc}/pressure/memory` }
}

const names = {
  1: { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", idle: "total_inactive_file" },
  2: { limit: "memory.max", usage: "memory.current", idle: "inactive_file" }
} as const

/** Nothing where it is not limited, or to more than the machine has. */
const ofCgroup = ({ folder, version }: Cgroup, machine: MemoryUse): ReadonlyArray<MemoryUse> => {
  const file = names[version]
  const limit = numberIn(`${folder}/${file.limit}`)
  const usage = numberIn(`${folder}/${file.usage}`)
  if (limit === undefined || usage === undefined || limit <= 0 || limit >= machine.limit) return []
  // Pages of files that nobody used lately are given back when memory is wanted.
  const idle = numberAfter(textOf(`${folder}/memory.stat`) ?? "", file.idle) ?? 0
  const pressure = version === 2 ? `${folder}/memory.pressure` : machine.pressure
  return [{ used: Math.max(0, usage - idle), limit, source: folder, pressure }]
}

/**
 * Of the cgroups around this process that are limited, that which is fullest, as it is the first to kill somebody;
 * without one, or with the scope `host`, the machine. `undefined` where the kernel does not tell.
 */
export const memoryUse = (proc: string, scope: "cgroup" | "host"): MemoryUse | undefined => {
  const machine = ofMachine(proc)
  if (machine === undefined || scope === "host") return machine
  const limited = cgroupsOf(proc, "memory").flatMap((cgroup) => ofCgroup(cgroup, machine))
  const [fullest = machine] = limited.toSorted((a, b) => shareOf(b) - shareOf(a))
  return fullest
}
