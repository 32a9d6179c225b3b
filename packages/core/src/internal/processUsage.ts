/**
 * Reads what a process uses from the texts of Linux's `/proc`.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"

/** The kernel counts in ticks of 10 ms for programs, on every platform of Node. */
const tickMillis = 10

/** Clocks of these files are a tick or so apart. */
const tolerance = 1000

const kilobytes = (text: string, key: string): number | undefined => {
  const found = new RegExp(`^${key}:\\s*(\\d+) kB$`, "m").exec(text)?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}

/** As the kernel tells the process, in pairs of words of the machine; number 6 is the size of a page. */
const pageSizeOf = (auxv: Buffer): number | undefined => {
  for (let at = 0; at + 16 <= auxv.length; at += 16) {
    if (auxv.readBigUInt64LE(at) === 6n) return Number(auxv.readBigUInt64LE(at + 8))
  }
  return undefined
}

let pageSize: number | undefined

/** 4096 on most machines; 16384 or 65536 on some. A machine of 32 bits has 4096, as does one that does not tell. */
const pageBytes = (): number => {
  if (pageSize === undefined) {
    const is64 = process.arch !== "arm" && process.arch !== "ia32"
    try {
      pageSize = is64 ? pageSizeOf(Fs.readFileSync("/proc/self/auxv")) : undefined
    } catch {
      // As below.
    }
    pageSize ??= 4096
  }
  return pageSize
}

/**
 * Of a `stat`, from the state to the resident pages. The name before them may contain spaces and parentheses: they are
 * counted from the last one.
 */
export const fieldsOf = (stat: string): ReadonlyArray<string> => stat.slice(stat.lastIndexOf(")") + 2).split(" ", 22)

const ticks = (fields: ReadonlyArray<string>, index: number): number => Number(fields[index]) * tickMillis

const processorTime = (fields: ReadonlyArray<string>) => ({
  cpu: ticks(fields, 11) + ticks(fields, 12),
  reaped: ticks(fields, 13) + ticks(fields, 14)
})

/** What a `stat` tells by itself. */
export const parseUse = (fields: ReadonlyArray<string>) => ({
  ...processorTime(fields),
  memory: Number(fields[21]) * pageBytes()
})

/** The files of a process: `stat`, `status` and the system's `uptime`. */
export interface Texts {
  readonly stat: string
  readonly status: string
  readonly uptime: string
}

export const parseUsage = ({ stat, status, uptime }: Texts) => {
  const fields = fieldsOf(stat)
  const age = Number(uptime.split(" ")[0]) * 1000 - ticks(fields, 19)
  return {
    // In some containers the uptime is the container's, and the start time the machine's.
    age: age > -tolerance ? Math.max(0, age) : undefined,
    ...processorTime(fields),
    // A process that is about to end has no memory any more, and does not say so.
    memory: kilobytes(status, "VmRSS") ?? 0,
    waits: Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1] ?? 0)
  }
}

/** The process's part of memory that it shares with others, and all of its own; from its `smaps_rollup`. */
export const parseProportional = (text: string): number | undefined => kilobytes(text, "Pss")
