/**
 * What the operating system knows about processes and listening sockets, read from Linux's `/proc`.
 *
 * A reference with a default, so that nothing has to be provided and a test can put another table in its place. On
 * other systems every question fails with `Unsupported`.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Os from "node:os"

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as IpAddress from "./internal/ipAddress.ts"
import { fieldsOf, parseProportional, parseUsage, parseUse } from "./internal/processUsage.ts"

/**
 * The platform cannot answer: it has no `/proc`, or hides the process in question there, or this process cannot read it,
 * for example because it has too many files open.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedError<Unsupported>("@nexobot/core/ProcessTable/Unsupported")(
  "Unsupported",
  {
    feature: Schema.String,
    platform: Schema.String,
    /** Why `/proc` could not be read, for example `EMFILE`; absent where the platform is why. */
    code: Schema.optionalKey(Schema.String)
  }
) {
  override get message(): string {
    if (this.code !== undefined) return `${this.feature}: /proc could not be read (${this.code})`
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
  /** Threads that have not ended. The first one may have, and be a zombie, while others go on. */
  readonly threads: number
  /** At most 15 characters of the program's name. */
  readonly command: string
}

/**
 * What a process has used since it started, and uses now.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessUsage {
  /** Milliseconds since it started; `undefined` where a container hides the machine's clock. */
  readonly age: number | undefined
  /** Processor time, in milliseconds, to a hundredth of a second. */
  readonly cpu: number
  /** Processor time of children that ended and that it asked for, in milliseconds. */
  readonly reaped: number
  /** Bytes that are resident (RSS), those included that it shares with others. */
  readonly memory: number
  /** How often its first thread has begun to wait: a process in one and the same wait has one and the same number. */
  readonly waits: number
}

/**
 * A line of the table with what the process has used: all that the kernel tells of it in one file.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessSample extends ProcessStat, Pick<ProcessUsage, "cpu" | "reaped" | "memory"> {}

/**
 * A socket that takes what comes from anybody: TCP in state LISTEN, or UDP bound to a port and connected to nobody.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListeningSocket {
  readonly protocol: "tcp" | "udp"
  /**
   * Of this machine, as `127.0.0.1` or `::1`; an IPv4 address that IPv6 maps (`::ffff:127.0.0.1`) as the IPv4 address.
   * `0.0.0.0` is every IPv4 address and `::` every address: whether it leaves IPv4 out is not to be seen in `/proc`.
   */
  readonly address: string
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
  /** Of all processes. Far cheaper than `all`, for whoever only wants to know whether there are new ones. */
  readonly pids: Effect.Effect<ReadonlyArray<number>, Unsupported>
  /**
   * Of those that there are, in the order asked for. Cheaper than `usage` of each: one file is read for one process. Its
   * `memory` may be off by some pages for each processor, as the kernel counts it without looking.
   */
  readonly samples: (pids: Iterable<number>) => Effect.Effect<ReadonlyArray<ProcessSample>, Unsupported>
  /** Its arguments joined by spaces; empty when it may not be read. */
  readonly commandLine: (pid: number) => Effect.Effect<string>
  /** `undefined` when there is no such process, or it may not be read. */
  readonly usage: (pid: number) => Effect.Effect<ProcessUsage | undefined, Unsupported>
  /**
   * Bytes that are resident, with its part of those that it shares (PSS): of several processes they can be added up. It
   * is dearer than `usage`. `undefined` when it may not be read.
   */
  readonly proportionalMemory: (pid: number) => Effect.Effect<number | undefined, Unsupported>
  /** One variable of the environment it was started with; `undefined` when absent or not readable. */
  readonly variable: (pid: number, name: string) => Effect.Effect<string | undefined>
  /** TCP only, as `PortOwner` asks for nothing else. */
  readonly listening: (port: number) => Effect.Effect<ReadonlyArray<ListeningSocket>, Unsupported>
  /** All of the network namespace that this process is in, TCP and UDP. */
  readonly listeners: Effect.Effect<ReadonlyArray<ListeningSocket>, Unsupported>
  /** Inodes of the sockets that a process has open; empty when they may not be read, or there is no such process. */
  readonly sockets: (pid: number) => Effect.Effect<ReadonlySet<string>, Unsupported>
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

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : String(cause)

/** What is read, `undefined` where it is gone or not ours to read; throws where it is there and we cannot. */
const ifThere = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (cause) {
    if (/^(ENOENT|ENOTDIR|ESRCH|EACCES|EPERM)$/.test(codeOf(cause))) return undefined
    throw cause
  }
}

const namesIn = (path: string): ReadonlyArray<string> => ifThere(() => Fs.readdirSync(path)) ?? []

/** The name stands in parentheses and may contain some. */
const parseStat = (text: string, fields = fieldsOf(text)): ProcessStat | undefined => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  if (open < 0 || close < open) return undefined
  const number = (index: number): number => Number(fields[index])
  const stat: ProcessStat = {
    pid: Number(text.slice(0, open)),
    command: text.slice(open + 1, close),
    state: fields[0] ?? "?",
    parent: number(1),
    group: number(2),
    session: number(3),
    threads: number(17),
    startTime: number(19)
  }
  return Number.isInteger(stat.pid) && Number.isFinite(stat.startTime) ? stat : undefined
}

const statNow = (pid: number, read = (of: number) => textOf(`/proc/${of}/stat`)): ProcessStat | undefined => {
  const text = read(pid)
  return text === undefined ? undefined : parseStat(text)
}

/** Of all whom we see. */
const pidsNow = (): ReadonlyArray<number> => {
  const pids: Array<number> = []
  for (const name of Fs.readdirSync("/proc")) {
    const first = name.charCodeAt(0)
    if (first >= 48 && first <= 57) pids.push(Number(name))
  }
  return pids
}

/** Of those who are seen, nobody is left out: a list that lacks somebody would say that he is not there. */
const statText = (pid: number): string | undefined => ifThere(() => Fs.readFileSync(`/proc/${pid}/stat`, "utf8"))

const statsNow = (): ReadonlyArray<ProcessStat> => pidsNow().flatMap((pid) => statNow(pid, statText) ?? [])

const samplesNow = (pids: Iterable<number>): ReadonlyArray<ProcessSample> => {
  const samples: Array<ProcessSample> = []
  for (const pid of pids) {
    const text = statText(pid)
    if (text === undefined) continue
    const fields = fieldsOf(text)
    const stat = parseStat(text, fields)
    if (stat !== undefined) samples.push({ ...stat, ...parseUse(fields) })
  }
  return samples
}

/** Whether a pid is taken, also by a process that `/proc` hides (mounted with `hidepid`, or not mounted at all). */
const isTaken = (pid: number): boolean => {
  try {
    return Number.isInteger(pid) && pid > 0 && process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

/** A family of addresses that the kernel does not have has no table; one that cannot be read is not empty. */
const tableOf = (path: string): string => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return ""
    throw cause
  }
}

/** States as in `/proc/net/tcp`; UDP has the number of "closed" for a socket that is connected to nobody. */
const listenState = { tcp: "0A", udp: "07" }

/** The kernel writes 32 bits at a time as a number, so that the bytes stand in the machine's own order. */
const bytesOf = (hex: string): ReadonlyArray<number> =>
  (hex.match(/.{8}/g) ?? []).flatMap((word) => {
    const bytes = Array.from(Buffer.from(word, "hex"))
    return Os.endianness() === "LE" ? bytes.toReversed() : bytes
  })

const addressOf = (hex: string): string => {
  const bytes = bytesOf(hex)
  if (bytes.length === 4) return bytes.join(".")
  return IpAddress.plain((Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? []).join(":"))
}

const listeningIn = (file: string, protocol: ListeningSocket["protocol"], only?: number): Array<ListeningSocket> => {
  const sockets: Array<ListeningSocket> = []
  for (const line of tableOf(`/proc/net/${file}`).split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/)
    if (state !== listenState[protocol] || inode === undefined) continue
    const colon = local.lastIndexOf(":")
    const port = parseInt(local.slice(colon + 1), 16)
    if (only === undefined || port === only)
      sockets.push({ protocol, address: addressOf(local.slice(0, colon)), port, inode })
  }
  return sockets
}

const pathsIn = (folder: string): ReadonlyArray<string> => namesIn(folder).map((name) => `${folder}/${name}`)

/** What it has open. Where the first thread has ended, only the others still know. */
const filesOf = (pid: number): ReadonlyArray<string> => {
  const open = pathsIn(`/proc/${pid}/fd`)
  return open.length > 0 ? open : pathsIn(`/proc/${pid}/task`).flatMap((thread) => pathsIn(`${thread}/fd`))
}

/** What it throws, it could not read. */
const onLinux = <A>(feature: string, f: () => A): Effect.Effect<A, Unsupported> => {
  const { platform } = process
  return platform === "linux"
    ? Effect.try({ try: f, catch: (cause) => new Unsupported({ feature, platform, code: codeOf(cause) }) })
    : Effect.fail(new Unsupported({ feature, platform }))
}

const socketsOf = (pid: number): ReadonlySet<string> => {
  const inodes = new Set<string>()
  for (const file of filesOf(pid)) {
    // It may be closed between listing and reading.
    const target = ifThere(() => Fs.readlinkSync(file))
    if (target?.startsWith("socket:[")) inodes.add(target.slice(8, -1))
  }
  return inodes
}

/** A table that is not there says nothing: it must not be taken for one in which nobody listens. */
const ofNetwork = <A>(feature: string, f: () => A): Effect.Effect<A, Unsupported> =>
  Effect.suspend(() =>
    process.platform !== "linux" || Fs.existsSync("/proc/net/tcp")
      ? onLinux(feature, f)
      : Effect.fail(new Unsupported({ feature, platform: process.platform }))
  )

const linux: ProcessTable = {
  bootId: onLinux("the boot id", () => (textOf("/proc/sys/kernel/random/boot_id") ?? "").trim()),
  // "Not in /proc" is taken for "dead" only if the kernel says so too: locks are cleared on the strength of it.
  stat: (pid) =>
    onLinux("reading a process", () => {
      // Most that are asked for by their pid are gone, and an exception costs thirty times as much as this question.
      const stat = Fs.existsSync(`/proc/${pid}`) ? statNow(pid) : undefined
      return stat ?? (isTaken(pid) ? (statNow(pid) ?? "hidden") : undefined)
    }).pipe(
      Effect.filterOrFail(
        (stat) => stat !== "hidden",
        () => new Unsupported({ feature: `reading process ${pid}`, platform: process.platform })
      )
    ),
  all: onLinux("listing processes", statsNow),
  pids: onLinux("listing processes", pidsNow),
  samples: (pids) => onLinux("reading what processes use", () => samplesNow(pids)),
  commandLine: (pid) =>
    Effect.sync(() =>
      (textOf(`/proc/${pid}/cmdline`) ?? "")
        .split("\0")
        .filter((part) => part.length > 0)
        .join(" ")
    ),
  usage: (pid) =>
    onLinux("reading what a process uses", () => {
      const [stat, status, uptime] = [`/proc/${pid}/stat`, `/proc/${pid}/status`, "/proc/uptime"].map(textOf)
      return stat === undefined || status === undefined ? undefined : parseUsage({ stat, status, uptime: uptime ?? "" })
    }),
  proportionalMemory: (pid) =>
    onLinux("reading the memory of a process", () => parseProportional(textOf(`/proc/${pid}/smaps_rollup`) ?? "")),
  variable: (pid, name) =>
    Effect.sync(() =>
      textOf(`/proc/${pid}/environ`)
        ?.split("\0")
        .find((entry) => entry.startsWith(`${name}=`))
        ?.slice(name.length + 1)
    ),
  listening: (port) =>
    ofNetwork("finding the owner of a port", () => [
      ...listeningIn("tcp", "tcp", port),
      ...listeningIn("tcp6", "tcp", port)
    ]),
  listeners: ofNetwork("listing listening sockets", () => [
    ...listeningIn("tcp", "tcp"),
    ...listeningIn("tcp6", "tcp"),
    ...listeningIn("udp", "udp"),
    ...listeningIn("udp6", "udp")
  ]),
  sockets: (pid) => onLinux("listing the sockets of a process", () => socketsOf(pid)),
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
 * A process that ended and waits to be reaped, or is about to vanish. It still answers to `kill(pid, 0)`. One whose first
 * thread has ended while others go on looks like a zombie, and lives: it has its files, sockets and locks.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isDead = (stat: ProcessStat): boolean =>
  stat.state === "X" || stat.state === "x" || (stat.state === "Z" && stat.threads <= 1)

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
