/**
 * What the operating system knows about processes and listening sockets, read from Linux's `/proc`.
 *
 * A reference with a default, so that nothing has to be provided and a test can put another table in its place. On
 * other systems every question fails with `Unsupported`.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The platform cannot answer: it has no `/proc`, or hides the process in question there.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedError<Unsupported>("@nexobot/core/ProcessTable/Unsupported")(
  "Unsupported",
  { feature: Schema.String, platform: Schema.String }
) {
  override get message(): string {
    return `${this.feature} needs Linux's /proc, with all processes visible; this is ${this.platform}`
  }
}

/**
 * One line of the table.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessStat {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** As in proc(5): `R` running, `S` sleeping, `D` waiting for the disk, `T` stopped, `Z` zombie, … */
  readonly state: string
  /** Clock ticks after boot at which it started: with the pid and the boot id it names a process for ever. */
  readonly startTime: number
  /** At most 15 characters of the program's name. */
  readonly command: string
}

/**
 * A TCP socket in state LISTEN.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListeningSocket {
  readonly port: number
  readonly inode: string
}

/**
 * @category services
 * @since 0.1.0
 */
export interface ProcessTable {
  readonly bootId: Effect.Effect<string, Unsupported>
  /** `undefined` when there is no such process. */
  readonly stat: (pid: number) => Effect.Effect<ProcessStat | undefined, Unsupported>
  readonly all: Effect.Effect<ReadonlyArray<ProcessStat>, Unsupported>
  /** Its arguments joined by spaces; empty when it may not be read. */
  readonly commandLine: (pid: number) => Effect.Effect<string>
  /** One variable of the environment it was started with; `undefined` when absent or not readable. */
  readonly variable: (pid: number, name: string) => Effect.Effect<string | undefined>
  readonly listening: (port: number) => Effect.Effect<ReadonlyArray<ListeningSocket>, Unsupported>
  /** Inodes of the sockets that a process has open; empty when they may not be read. */
  readonly sockets: (pid: number) => Effect.Effect<ReadonlySet<string>>
  /** Sends a signal by bare pid; `false` when there is no such process. Prefer `ProcessIdentity.signal`. */
  readonly kill: (pid: number, signal: NodeJS.Signals) => Effect.Effect<boolean>
}

const textOf = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return undefined // gone, or not ours to read: both are answers
  }
}

const namesIn = (path: string): ReadonlyArray<string> => {
  try {
    return Fs.readdirSync(path)
  } catch {
    return []
  }
}

/** The name stands in parentheses and may contain spaces and parentheses: fields are counted from the last one. */
const parseStat = (text: string): ProcessStat | undefined => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  if (open < 0 || close < open) return undefined
  const fields = text.slice(close + 2).split(" ")
  const number = (index: number): number => Number(fields[index])
  const stat: ProcessStat = {
    pid: Number(text.slice(0, open)),
    command: text.slice(open + 1, close),
    state: fields[0] ?? "?",
    parent: number(1),
    group: number(2),
    session: number(3),
    startTime: number(19)
  }
  return Number.isInteger(stat.pid) && Number.isFinite(stat.startTime) ? stat : undefined
}

const statNow = (pid: number): ProcessStat | undefined => {
  const text = textOf(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseStat(text)
}

/** Whether a pid is taken, also by a process that `/proc` hides (mounted with `hidepid`, or not mounted at all). */
const isTaken = (pid: number): boolean => {
  try {
    return Number.isInteger(pid) && pid > 0 && process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

const listenState = "0A"
const listeningNow = (file: string, port: number): Array<ListeningSocket> => {
  const sockets: Array<ListeningSocket> = []
  for (const line of (textOf(file) ?? "").split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/)
    if (state !== listenState || inode === undefined) continue
    if (parseInt(local.slice(local.lastIndexOf(":") + 1), 16) === port) sockets.push({ port, inode })
  }
  return sockets
}

const onLinux = <A>(feature: string, f: () => A): Effect.Effect<A, Unsupported> =>
  process.platform === "linux" ? Effect.sync(f) : Effect.fail(new Unsupported({ feature, platform: process.platform }))

const linux: ProcessTable = {
  bootId: onLinux("the boot id", () => (textOf("/proc/sys/kernel/random/boot_id") ?? "").trim()),
  // "Not in /proc" is taken for "dead" only if the kernel says so too: locks are cleared on the strength of it.
  stat: (pid) =>
    onLinux("reading a process", () => statNow(pid) ?? (isTaken(pid) ? (statNow(pid) ?? "hidden") : undefined)).pipe(
      Effect.filterOrFail(
        (stat) => stat !== "hidden",
        () => new Unsupported({ feature: `reading process ${pid}`, platform: process.platform })
      )
    ),
  all: onLinux("listing processes", () =>
    namesIn("/proc").flatMap((name) => {
      const stat = /^\d+$/.test(name) ? statNow(Number(name)) : undefined
      return stat === undefined ? [] : [stat]
    })
  ),
  commandLine: (pid) =>
    Effect.sync(() =>
      (textOf(`/proc/${pid}/cmdline`) ?? "")
        .split("\0")
        .filter((part) => part.length > 0)
        .join(" ")
    ),
  variable: (pid, name) =>
    Effect.sync(() =>
      textOf(`/proc/${pid}/environ`)
        ?.split("\0")
        .find((entry) => entry.startsWith(`${name}=`))
        ?.slice(name.length + 1)
    ),
  listening: (port) =>
    onLinux("finding the owner of a port", () => [
      ...listeningNow("/proc/net/tcp", port),
      ...listeningNow("/proc/net/tcp6", port)
    ]),
  sockets: (pid) =>
    Effect.sync(() => {
      const inodes = new Set<string>()
      for (const fd of namesIn(`/proc/${pid}/fd`)) {
        try {
          const target = Fs.readlinkSync(`/proc/${pid}/fd/${fd}`)
          if (target.startsWith("socket:[")) inodes.add(target.slice(8, -1))
        } catch {
          continue // closed between listing and reading
        }
      }
      return inodes
    }),
  kill: (pid, signal) =>
    Effect.sync(() => {
      try {
        return process.kill(pid, signal)
      } catch {
        return false
      }
    })
}

/**
 * The table in use; Linux's `/proc` unless another is provided.
 *
 * @category services
 * @since 0.1.0
 */
export const ProcessTable: Context.Reference<ProcessTable> = Context.Reference<ProcessTable>(
  "@nexobot/core/ProcessTable",
  { defaultValue: () => linux }
)

/**
 * A process that ended and waits to be reaped, or is about to vanish. It still answers to `kill(pid, 0)`.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isDead = (stat: ProcessStat): boolean => stat.state === "Z" || stat.state === "X" || stat.state === "x"

/**
 * The living descendants of a process, children before grandchildren.
 *
 * @category accessors
 * @since 0.1.0
 */
export const descendants = Effect.fnUntraced(function* (pid: number) {
  const table = yield* ProcessTable
  const all = yield* table.all
  const found: Array<ProcessStat> = []
  // A set: the table is not read in one moment, so that with pids given anew it may hold a circle.
  const parents = new Set([pid])
  for (const parent of parents) {
    for (const stat of all) {
      if (stat.parent === parent && !isDead(stat) && !parents.has(stat.pid)) {
        found.push(stat)
        parents.add(stat.pid)
      }
    }
  }
  return found
})
