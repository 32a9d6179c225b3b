/**
 * What a supervisor saw, decided and did, in order: a cause, what was decided because of it, and what came of it. The state
 * of every process can be rebuilt from these (`SupervisorState`).
 *
 * @since 0.1.0
 */
import { ProcessExit } from "@nexobot/core/ProcessExit"
import { ProcessIdentity, Receipt } from "@nexobot/core/ProcessIdentity"
import * as Schema from "effect/Schema"

const common = {
  /** Counts from 1, without gaps: a consumer that missed some can tell. */
  sequence: Schema.Int,
  /** The process; the group, of `Escalated`. */
  name: Schema.String,
  /** Milliseconds of the wall clock: a label for people. */
  at: Schema.Finite,
  /** Milliseconds of the monotonic clock: for differences. */
  monotonic: Schema.Finite
}

/**
 * Something outside that it needs does not hold: a probe said why. It is asked again every second.
 *
 * @category models
 * @since 0.1.0
 */
export class WaitingFor extends Schema.TaggedClass<WaitingFor>("@nexobot/process-supervisor/WaitingFor")("WaitingFor", {
  ...common,
  probe: Schema.String,
  why: Schema.String
}) {}

/**
 * It is to be started, and these of the same supervisor are not as far as it needs them.
 *
 * @category models
 * @since 0.1.0
 */
export class Blocked extends Schema.TaggedClass<Blocked>("@nexobot/process-supervisor/Blocked")("Blocked", {
  ...common,
  on: Schema.Array(Schema.String)
}) {}

/**
 * It is not started: what it depends on will not come.
 *
 * @category models
 * @since 0.1.0
 */
export class Skipped extends Schema.TaggedClass<Skipped>("@nexobot/process-supervisor/Skipped")("Skipped", {
  ...common,
  because: Schema.String,
  exit: Schema.UndefinedOr(ProcessExit)
}) {}

/**
 * A child runs. `restarts` counts what the restart policy decided since the supervisor began.
 *
 * @category models
 * @since 0.1.0
 */
export class Spawned extends Schema.TaggedClass<Spawned>("@nexobot/process-supervisor/Spawned")("Spawned", {
  ...common,
  identity: ProcessIdentity,
  startedBy: Schema.Literals(["request", "policy"]),
  restarts: Schema.Int,
  /** How it is kept together. */
  containment: Schema.String
}) {}

/**
 * A child of an earlier life of the supervisor runs on, and is looked after from now on. `restarts` goes on from there.
 *
 * @category models
 * @since 0.1.0
 */
export class Adopted extends Schema.TaggedClass<Adopted>("@nexobot/process-supervisor/Adopted")("Adopted", {
  ...common,
  identity: ProcessIdentity,
  restarts: Schema.Int
}) {}

/**
 * It showed that it is ready.
 *
 * @category models
 * @since 0.1.0
 */
export class Ready extends Schema.TaggedClass<Ready>("@nexobot/process-supervisor/Ready")("Ready", {
  ...common,
  identity: ProcessIdentity
}) {}

/**
 * It runs and must not go on: it is not ready in time, does not answer, or needs too much.
 *
 * @category models
 * @since 0.1.0
 */
export class Unfit extends Schema.TaggedClass<Unfit>("@nexobot/process-supervisor/Unfit")("Unfit", {
  ...common,
  identity: ProcessIdentity,
  exit: ProcessExit
}) {}

/**
 * It ended; without `identity` it never ran.
 *
 * @category models
 * @since 0.1.0
 */
export class Exited extends Schema.TaggedClass<Exited>("@nexobot/process-supervisor/Exited")("Exited", {
  ...common,
  exit: ProcessExit,
  identity: Schema.UndefinedOr(ProcessIdentity),
  ranFor: Schema.DurationFromMillis
}) {}

/**
 * It is started again after this delay: because it ended (`Exit`), with its group, as planned, or on
 * request.
 *
 * @category models
 * @since 0.1.0
 */
export class RestartDecided extends Schema.TaggedClass<RestartDecided>("@nexobot/process-supervisor/RestartDecided")(
  "RestartDecided",
  {
    ...common,
    after: Schema.DurationFromMillis,
    why: Schema.Literals(["Exit", "Group", "Recycled", "Request"]),
    restarts: Schema.Int
  }
) {}

/**
 * It is not started any more by itself.
 *
 * @category models
 * @since 0.1.0
 */
export class GaveUp extends Schema.TaggedClass<GaveUp>("@nexobot/process-supervisor/GaveUp")("GaveUp", {
  ...common,
  reason: Schema.Literals(["IntensityExceeded", "AttemptsExhausted", "SpawnFailed", "Survivors", "GroupGaveUp"])
}) {}

/**
 * A group cannot go on, because of one of its members; the group `to`, which it is a member of, decides.
 *
 * @category models
 * @since 0.1.0
 */
export class Escalated extends Schema.TaggedClass<Escalated>("@nexobot/process-supervisor/Escalated")("Escalated", {
  ...common,
  to: Schema.String,
  because: Schema.String
}) {}

/**
 * It ended and its restart type says that this is fine.
 *
 * @category models
 * @since 0.1.0
 */
export class Ended extends Schema.TaggedClass<Ended>("@nexobot/process-supervisor/Ended")("Ended", common) {}

/**
 * It is to stop: as somebody asked for it, alone or as the first half of a restart, or with its group.
 *
 * @category models
 * @since 0.1.0
 */
export class StopRequested extends Schema.TaggedClass<StopRequested>("@nexobot/process-supervisor/StopRequested")(
  "StopRequested",
  {
    ...common,
    by: Schema.Literals(["request", "group"])
  }
) {}

/**
 * The stop is over; `receipt.survivors` is empty unless something outlived SIGKILL.
 *
 * @category models
 * @since 0.1.0
 */
export class Stopped extends Schema.TaggedClass<Stopped>("@nexobot/process-supervisor/Stopped")("Stopped", {
  ...common,
  receipt: Receipt
}) {}

/**
 * A new one runs beside the old one, and takes its place when it is ready.
 *
 * @category models
 * @since 0.1.0
 */
export class Reloading extends Schema.TaggedClass<Reloading>("@nexobot/process-supervisor/Reloading")("Reloading", {
  ...common,
  identity: ProcessIdentity
}) {}

/**
 * The new one has taken the place of the old one, which drains.
 *
 * @category models
 * @since 0.1.0
 */
export class Reloaded extends Schema.TaggedClass<Reloaded>("@nexobot/process-supervisor/Reloaded")("Reloaded", {
  ...common,
  identity: ProcessIdentity
}) {}

/**
 * The new one is gone, and the old one runs as before, unless both were stopped.
 *
 * @category models
 * @since 0.1.0
 */
export class ReloadFailed extends Schema.TaggedClass<ReloadFailed>("@nexobot/process-supervisor/ReloadFailed")(
  "ReloadFailed",
  {
    ...common,
    exit: ProcessExit
  }
) {}

/**
 * @category models
 * @since 0.1.0
 */
export const SupervisorEvent = Schema.Union([
  WaitingFor,
  Blocked,
  Skipped,
  Spawned,
  Adopted,
  Ready,
  Unfit,
  Exited,
  RestartDecided,
  GaveUp,
  Escalated,
  Ended,
  StopRequested,
  Stopped,
  Reloading,
  Reloaded,
  ReloadFailed
])

/**
 * @category models
 * @since 0.1.0
 */
export type SupervisorEvent = typeof SupervisorEvent.Type
