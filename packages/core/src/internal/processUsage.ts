/**
 * Reads what a process uses from the texts of Linux's `/proc`.
 *
 * @since 0.1.0
 */

/** The kernel counts in ticks of 10 ms for programs, on every platform of Node. */
const tickMillis = 10

/** Clocks of these files are a tick or so apart. */
const tolerance = 1000

const kilobytes = (text: string, key: string): number | undefined => {
  const found = new RegExp(`^${key}:\\s*(\\d+) kB$`, "m").exec(text)?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}

/** The files of a process: `stat`, `status` and the system's `uptime`. */
export interface Texts {
  readonly stat: string
  readonly status: string
  readonly uptime: string
}

export const parseUsage = ({ stat, status, uptime }: Texts) => {
  // The name may contain spaces and parentheses: fields are counted from the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const ticks = (index: number): number => Number(fields[index]) * tickMillis
  const age = Number(uptime.split(" ")[0]) * 1000 - ticks(19)
  return {
    // In some containers the uptime is the container's, and the start time the machine's.
    age: age > -tolerance ? Math.max(0, age) : undefined,
    cpu: ticks(11) + ticks(12),
    reaped: ticks(13) + ticks(14),
    // A process that is about to end has no memory any more, and does not say so.
    memory: kilobytes(status, "VmRSS") ?? 0,
    waits: Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1] ?? 0)
  }
}

/** The process's part of memory that it shares with others, and all of its own; from its `smaps_rollup`. */
export const parseProportional = (text: string): number | undefined => kilobytes(text, "Pss")
