/**
 * Recovery log and statistics, folded from the journal: they survive a restart of the loop.
 *
 * @since 0.1.0
 */
import type { JournalRecord } from "./Journal.ts"
import type { RecoveryLogEntry, Statistics } from "./Report.ts"

/**
 * The log keeps this many entries.
 *
 * @category constants
 * @since 0.1.0
 */
export const logLimit = 100

interface Open {
  readonly error: string
  readonly diagnosis: string
  /** A rung that was begun, whose end is not known yet. */
  readonly rung: string | undefined
  readonly escalated: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface History {
  readonly log: ReadonlyArray<RecoveryLogEntry>
  readonly healed: number
  readonly escalated: number
  /** Sum over the healed incidents, in milliseconds. */
  readonly healingTime: number
  readonly errors: ReadonlyMap<string, number>
  readonly components: ReadonlyMap<string, number>
  readonly open: ReadonlyMap<string, Open>
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const empty: History = {
  log: [],
  healed: 0,
  escalated: 0,
  healingTime: 0,
  errors: new Map(),
  components: new Map(),
  open: new Map()
}

const counted = (counts: ReadonlyMap<string, number>, key: string): ReadonlyMap<string, number> =>
  new Map(counts).set(key, (counts.get(key) ?? 0) + 1)

/** Adds to the log, about `about` or the open incident. */
const logged = (
  self: History,
  { at, component }: JournalRecord,
  action: string,
  success: boolean,
  about: Pick<Open, "error" | "diagnosis"> = self.open.get(component) ?? { error: "", diagnosis: "" }
): History => {
  const { diagnosis, error } = about
  return {
    ...self,
    log: [...self.log, { timestamp: at, component, error, diagnosis, action, success }].slice(-logLimit)
  }
}

const changed = (self: History, component: string, change: Partial<Open>): History => {
  const open = self.open.get(component)
  return open === undefined ? self : { ...self, open: new Map(self.open).set(component, { ...open, ...change }) }
}

/** Something else happened before any probe confirmed the effect of the last rung. */
const unverified = (self: History, record: JournalRecord): History => {
  const rung = self.open.get(record.component)?.rung
  return rung === undefined
    ? self
    : changed(logged(self, record, `${rung}: not verified`, false), record.component, { rung: undefined })
}

const without = (open: History["open"], component: string): History["open"] => {
  const rest = new Map(open)
  rest.delete(component)
  return rest
}

const seen = (self: History, component: string, error: string): History => ({
  ...self,
  errors: counted(self.errors, error),
  components: counted(self.components, component)
})

/**
 * @category transitions
 * @since 0.1.0
 */
export const next = (self: History, record: JournalRecord): History => {
  const { component, entry } = record
  const open = self.open.get(component)
  switch (entry._tag) {
    case "Opened": {
      const about: Open = {
        error: entry.signature._tag,
        diagnosis: entry.diagnosis,
        rung: undefined,
        escalated: open?.escalated ?? false
      }
      const before = seen(unverified(self, record), component, about.error)
      return { ...before, open: new Map(before.open).set(component, about) }
    }
    case "Observed": {
      const about = { error: entry.signature._tag, diagnosis: entry.diagnosis }
      return logged(seen(self, component, about.error), record, "observe", entry.degraded, about)
    }
    case "Intent":
      return changed(unverified(self, record), component, { rung: entry.rung })
    case "Failed":
      return changed(logged(self, record, `${entry.rung}: ${entry.why}`, false), component, { rung: undefined })
    case "Refused":
      return logged(unverified(self, record), record, `${entry.rung}: refused, ${entry.why}`, false)
    case "Escalated": {
      const after = logged(unverified(self, record), record, `escalate: ${entry.reason}`, false)
      const escalated = after.escalated + (open?.escalated === true ? 0 : 1)
      return changed({ ...after, escalated }, component, { escalated: true })
    }
    case "Resolved": {
      const after = logged(self, record, entry.by ?? "none: healthy again", true)
      const closed = without(self.open, component)
      // An incident that was escalated has been counted as such; that it ended later is in the log.
      return open?.escalated === true
        ? { ...after, open: closed }
        : { ...after, open: closed, healed: self.healed + 1, healingTime: self.healingTime + entry.took }
    }
    case "Withdrawn": {
      const after = logged(unverified(self, record), record, "none: stopped on request", false)
      return { ...after, open: without(self.open, component) }
    }
    case "Applied":
    case "Cleared":
    case "Requested":
    case "Stable":
      return self
  }
}

const mostFrequent = (counts: ReadonlyMap<string, number>): string =>
  [...counts].reduce<readonly [string, number]>((best, one) => (one[1] > best[1] ? one : best), ["", 0])[0]

/**
 * @category accessors
 * @since 0.1.0
 */
export const statistics = (self: History): Statistics => {
  const totalRecoveries = self.healed + self.escalated
  return {
    totalRecoveries,
    successRate: totalRecoveries === 0 ? 0 : self.healed / totalRecoveries,
    avgRecoveryTime: self.healed === 0 ? 0 : self.healingTime / self.healed / 1000,
    mostCommonError: mostFrequent(self.errors),
    mostProblematicComponent: mostFrequent(self.components)
  }
}
