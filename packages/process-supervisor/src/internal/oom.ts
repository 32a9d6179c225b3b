/**
 * Whether the kernel killed a child because memory ran out. The child's end does not tell: it is a SIGKILL like any other.
 * The kernel counts what it kills, in the control group of the victim and on the machine; a counter that grew in the last
 * seconds of the child's life tells.
 *
 * The counters are not a supervisor's but the machine's, so that what was read of them is kept for all supervisors of
 * this process.
 */
import * as Fs from "node:fs"

import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import { folderIn, parseMounts, parseOwn } from "./containment/controlGroups.ts"

/** The group that a child was born into. */
export interface Snapshot {
  /** Its counter; `undefined` where the kernel has none for this group, or hides it. */
  readonly file: string | undefined
  /** Whether the supervisor is in the same group, and whatever else runs there. */
  readonly isShared: boolean
}

interface Reading {
  readonly count: number
  /** Monotonic milliseconds. */
  readonly at: number
}

interface Counter {
  before: Reading
  last: Reading
}

const machine = "/proc/vmstat"

/** The kernel counts first and kills then; taking a large process apart takes it some time. */
const slowestDeath = 2000

const textOf = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return undefined // no such file, or none for us: then it is not counted here
  }
}

const countIn = (file: string): number | undefined => {
  const count = /^oom_kill (\d+)$/m.exec(textOf(file) ?? "")?.[1]
  return count === undefined ? undefined : Number(count)
}

const counters = new Map<string, Counter>()

/** Reads a counter. What is known of it is as old as a death may take, unless that is all that there is. */
const read = (file: string): Counter | undefined => {
  const count = countIn(file)
  if (count === undefined) {
    counters.delete(file)
    return undefined
  }
  const now = { count, at: performance.now() }
  const earlier = counters.get(file)
  // Where there is less than there was, the group is another one of the same name.
  const known = earlier === undefined || count < earlier.last.count ? { before: now, last: now } : earlier
  if (now.at - known.last.at >= slowestDeath) {
    known.before = known.last
    known.last = now
  }
  counters.set(file, known)
  return known
}

/** To be called every few seconds: what was counted before is of the past. */
export const look = (): void => {
  for (const file of counters.keys()) read(file)
}

/**
 * Whether a kill was counted lately that is not taken for somebody else's; then it is for this one's. `undefined` where
 * nobody counts.
 */
const claim = (file: string): boolean | undefined => {
  const known = counters.get(file)
  const count = countIn(file)
  if (known === undefined || count === undefined) return undefined
  const isOld = performance.now() - known.last.at >= slowestDeath
  const from = isOld ? known.last : known.before
  if (count <= from.count) return false
  known.before = { ...known.before, count: known.before.count + 1 }
  known.last = { ...known.last, count: Math.min(count, known.last.count + 1) }
  return true
}

/** Where memory is counted: in a hierarchy of version 1, or in the unified one. */
const counterOf = (groups: ReadonlyMap<string, string>): string | undefined => {
  const old = groups.get("memory")
  const own = old ?? groups.get("")
  if (own === undefined) return undefined
  const folder = mounts()
    .filter(({ options, type }) =>
      old === undefined ? type === "cgroup2" : type === "cgroup" && options.includes("memory")
    )
    .flatMap((mount) => folderIn(mount, own) ?? [])
    .at(0)
  const names = old === undefined ? ["memory.events.local", "memory.events"] : ["memory.oom_control"]
  return names.map((name) => `${folder}/${name}`).find((file) => folder !== undefined && countIn(file) !== undefined)
}

let mounted: ReturnType<typeof parseMounts> | undefined
const mounts = () => (mounted ??= parseMounts(textOf("/proc/self/mountinfo") ?? ""))

const groupsOf = (pid: number | "self") => parseOwn(textOf(`/proc/${pid}/cgroup`) ?? "")

/** To be asked when the child has just been started: its parent has not reaped it, so that its pid is its own. */
export const before = ({ pid }: ProcessIdentity): Snapshot => {
  const groups = groupsOf(pid)
  const ours = groupsOf("self")
  const controller = groups.has("memory") ? "memory" : ""
  const file = counterOf(groups)
  for (const counter of [machine, file]) if (counter !== undefined) read(counter)
  return { file, isShared: groups.get(controller) === ours.get(controller) }
}

/** 137 is 128 + 9: so shells, npm and the like tell that what they had started was killed. */
const mayBeOom = (exit: ProcessExit.ProcessExit): boolean =>
  exit._tag === "Signaled" ? exit.signal === "SIGKILL" && exit.by !== "us" : exit._tag === "Exited" && exit.code === 137

/**
 * The exit that it really was, `undefined` when it was none of these. `kills` are those in a group that the child had for
 * itself, where it had one.
 */
export const verdict = Effect.fnUntraced(function* (
  { file, isShared }: Snapshot,
  exit: ProcessExit.ProcessExit,
  kills: Effect.Effect<number | undefined> = Effect.undefined
): Effect.fn.Return<ProcessExit.OomKilled | undefined> {
  if (!mayBeOom(exit)) return undefined
  const onMachine = claim(machine) ?? false
  if (((yield* kills) ?? 0) > 0) return new ProcessExit.OomKilled({ countedIn: "cgroup" })
  // Whoever the kernel kills is counted in his group: where that counts nothing, it was somebody else.
  const inGroup = file === undefined ? undefined : claim(file)
  if (!(inGroup ?? onMachine)) return undefined
  return new ProcessExit.OomKilled({ countedIn: inGroup === true && !isShared ? "cgroup" : "machine" })
})
