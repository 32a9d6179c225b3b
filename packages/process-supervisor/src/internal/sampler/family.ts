/**
 * Who belongs to which watched child: whoever descends from it, or is in its group or session, or was seen to belong to
 * it before: a process that its parent has left does not get out of the accounts.
 */
import type { ProcessSample } from "@nexobot/core/ProcessTable"

/** The members of one tree as they were at the last look. */
export type Family = Map<number, ProcessSample>

/** Finds the watched child of those who have none yet; `owners` knows some, and learns the others. */
export const assign = <A>(
  owners: Map<number, A>,
  /** By the pid of the watched child, which leads a group and a session of its own. */
  roots: ReadonlyMap<number, A>,
  samples: ReadonlyMap<number, ProcessSample>
): void => {
  const strangers = new Set<number>([process.pid])
  for (const sample of samples.values()) {
    const path: Array<number> = []
    let at: ProcessSample | undefined = sample
    let owner: A | undefined
    // The table is not read in one moment, so that with pids given anew there may be a circle: no step is done twice.
    while (at !== undefined && owner === undefined && !strangers.has(at.pid)) {
      owner = owners.get(at.pid) ?? roots.get(at.session) ?? roots.get(at.group) ?? owners.get(at.parent)
      path.push(at.pid)
      strangers.add(at.pid)
      at = samples.get(at.parent)
    }
    if (owner === undefined) continue
    for (const pid of path) {
      strangers.delete(pid)
      if (!owners.has(pid)) owners.set(pid, owner)
    }
  }
}

/** Those of before who are still there; whoever has one of their pids by now is somebody else. */
export const survivors = (before: Family, samples: ReadonlyMap<number, ProcessSample>): Family => {
  const after: Family = new Map()
  for (const [pid, { startTime }] of before) {
    const sample = samples.get(pid)
    if (sample?.startTime === startTime) after.set(pid, sample)
  }
  return after
}

/**
 * Processor time between two looks, in milliseconds. The time of a member that ended is its parent's, once that has asked
 * for it. If it never does, the sum falls by what the member had used; what the others have used since is certain.
 */
export const spent = (before: Family, after: Family): number => {
  let all = 0
  let certain = 0
  for (const [pid, was] of before) {
    const is = after.get(pid)
    all += (is === undefined ? 0 : is.cpu + is.reaped) - was.cpu - was.reaped
    certain += is === undefined ? 0 : is.cpu - was.cpu
  }
  return Math.max(0, all, certain)
}

export const resident = (family: Family): number => {
  let bytes = 0
  for (const { memory } of family.values()) bytes += memory
  return bytes
}
