/**
 * Resuming is folding the journal: where a component stood when the loop ended.
 *
 * @since 0.1.0
 */

import type { EncodedSignature, JournalRecord } from "./Journal.ts"
import * as Loop from "./Loop.ts"

interface Folded {
  readonly incident: { readonly probe: string; readonly signature: EncodedSignature; readonly at: string } | undefined
  /** The place of a rung that was begun; whether it was carried out may be unknown. */
  readonly begun: number | undefined
  /** The place of the next rung, after one that failed. */
  readonly next: number
  readonly attempted: boolean
  readonly escalated: string | undefined
  readonly observed: ReadonlyArray<Loop.Finding>
  readonly attempts: number
}

const closed = { incident: undefined, begun: undefined, next: 0, attempted: false, escalated: undefined }
const nothing: Folded = { ...closed, observed: [], attempts: 0 }

const fold = (self: Folded, { at, entry }: JournalRecord): Folded => {
  switch (entry._tag) {
    case "Opened": {
      const { probe, signature } = entry
      const since = self.incident?.at ?? at
      return { ...self, ...closed, attempted: self.attempted, incident: { probe, signature, at: since } }
    }
    case "Observed":
      return { ...self, observed: [...self.observed, { probe: entry.probe, tag: entry.signature._tag }] }
    case "Cleared":
      return { ...self, observed: self.observed.filter((one) => one.probe !== entry.probe || one.tag !== entry.tag) }
    case "Intent": {
      const incident = self.incident ?? { probe: "", signature: { _tag: entry.tag }, at }
      return { ...self, incident, begun: entry.index, attempted: true, escalated: undefined, attempts: entry.attempt }
    }
    case "Failed":
      return { ...self, begun: undefined, next: (self.begun ?? 0) + 1 }
    case "Escalated":
      return { ...self, begun: undefined, next: 0, escalated: entry.reason }
    case "Resolved":
    case "Withdrawn":
      return { ...self, ...closed }
    case "Applied":
    case "Refused":
      return self
    case "Requested":
    case "Stable":
      return { ...self, attempts: 0 }
  }
}

/**
 * The state to go on from. A rung that was begun is verified, whether or not its outcome was written: it is never
 * blindly repeated. The attempts are kept.
 *
 * Of the signature only the tag is trusted: what is in the journal may be masked, or of an older version. A rung sees
 * nothing but what a probe has reported since.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resume = (options: {
  readonly definition: Loop.Definition
  /** The component's records, oldest first. */
  readonly records: ReadonlyArray<JournalRecord>
  /** Monotonic milliseconds now, and the same moment as wall time. */
  readonly now: number
  readonly wallNow: number
}): Loop.State => {
  const { definition, now } = options
  const { attempted, attempts, begun, escalated, incident, next, observed } = options.records.reduce(fold, nothing)
  const state: Loop.State = { ...Loop.initial(definition), observed, attempts }
  if (incident === undefined) return state

  const age = Math.max(0, options.wallNow - Date.parse(incident.at))
  const { probe, signature } = incident
  const open: Loop.State = { ...state, incident: { probe, signature, openedAt: now - age, attempted } }
  const answer = definition.answer(signature._tag)
  const isRung = (index: number) => answer._tag === "Rungs" && index < answer.ids.length
  if (begun !== undefined && isRung(begun)) return Loop.verifying(definition, open, begun, now)
  if (escalated !== undefined) return { ...open, phase: { _tag: "Escalated", reason: escalated } }
  return next > 0 && isRung(next) ? { ...open, phase: { _tag: "Preparing", rung: next } } : open
}
