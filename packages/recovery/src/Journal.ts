/**
 * The memory of the loop: what was seen, what was about to be done, what came of it. Append-only; an intent is durable
 * before anything is done.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/**
 * A signature as JSON: its tag and its encoded fields.
 *
 * @category models
 * @since 0.1.0
 */
export const EncodedSignature = Schema.StructWithRest(Schema.Struct({ _tag: Schema.String }), [
  Schema.Record(Schema.String, Schema.Json)
])

/**
 * @category models
 * @since 0.1.0
 */
export type EncodedSignature = typeof EncodedSignature.Type

const seen = {
  probe: Schema.String,
  signature: EncodedSignature,
  evidence: Schema.Array(Schema.String),
  diagnosis: Schema.String,
  degraded: Schema.Boolean
}

/**
 * One entry. `Loop.Entry` says what each means; signatures are encoded here.
 *
 * @category models
 * @since 0.1.0
 */
export const JournalEntry = Schema.Union([
  Schema.TaggedStruct("Opened", seen),
  Schema.TaggedStruct("Observed", seen),
  Schema.TaggedStruct("Cleared", { probe: Schema.String, tag: Schema.String }),
  Schema.TaggedStruct("Intent", {
    rung: Schema.String,
    index: Schema.Int,
    tag: Schema.String,
    attempt: Schema.Int,
    /** Fencing token of the lease under which it is done. */
    fence: Schema.Int
  }),
  Schema.TaggedStruct("Applied", { rung: Schema.String }),
  Schema.TaggedStruct("Failed", { rung: Schema.String, why: Schema.String }),
  Schema.TaggedStruct("Refused", { rung: Schema.String, why: Schema.String }),
  Schema.TaggedStruct("Resolved", {
    by: Schema.optional(Schema.String),
    /** Milliseconds since the incident opened. */
    took: Schema.Finite
  }),
  Schema.TaggedStruct("Escalated", { reason: Schema.String }),
  Schema.TaggedStruct("Withdrawn", {}),
  Schema.TaggedStruct("Requested", {}),
  Schema.TaggedStruct("Stable", {})
])

/**
 * @category models
 * @since 0.1.0
 */
export type JournalEntry = typeof JournalEntry.Type

/**
 * An entry with its place in the journal.
 *
 * @category models
 * @since 0.1.0
 */
export const JournalRecord = Schema.Struct({
  /** Format of the record; 1. */
  v: Schema.Literal(1),
  /** Grows by one with every record. */
  seq: Schema.Int,
  /** Label for people, ISO 8601 in UTC; never used to order or to measure. */
  at: Schema.String,
  component: Schema.String,
  entry: JournalEntry
})

/**
 * @category models
 * @since 0.1.0
 */
export type JournalRecord = typeof JournalRecord.Type

/**
 * The journal cannot be written or opened. Nothing may be done that it would have to record.
 *
 * @category errors
 * @since 0.1.0
 */
export class JournalError extends Schema.TaggedError<JournalError>("@nexobot/recovery/JournalError")("JournalError", {
  path: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `the journal ${this.path} cannot be used: ${this.why}`
  }
}

/**
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<
  Journal,
  {
    /** Appends in order, as it is: the loop has redacted it. Done when the records are durable. Returns them as they stand in the journal. */
    readonly append: (
      component: string,
      entries: ReadonlyArray<JournalEntry>
    ) => Effect.Effect<ReadonlyArray<JournalRecord>, JournalError>
    /** Everything that was in the journal when it was opened, oldest first. */
    readonly history: ReadonlyArray<JournalRecord>
  }
>()("@nexobot/recovery/Journal") {}

/**
 * Gives entries their place, in the order of calls.
 *
 * @internal
 */
export const makeRecords = Effect.fnUntraced(function* (
  after: number,
  component: string,
  entries: ReadonlyArray<JournalEntry>
) {
  const at = DateTime.formatIso(yield* DateTime.now)
  return entries.map((entry, index): JournalRecord => ({ v: 1, seq: after + index + 1, at, component, entry }))
})

/**
 * Forgets everything when the process ends; for tests and for programs that want no file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, () => {
  let last = 0
  return Journal.of({
    history: [],
    append: Effect.fnUntraced(function* (component, entries) {
      const records = yield* makeRecords(last, component, entries)
      last += records.length
      return records
    })
  })
})
