/**
 * What a supervisor saw, decided and did, in order. The state of every process can be rebuilt from these.
 *
 * @since 0.1.0
 */
import { ProcessExit } from "@nexobot/core/ProcessExit"
import { ProcessIdentity, Receipt } from "@nexobot/core/ProcessIdentity"
import * as Schema from "effect/Schema"

const common = {
  /** Counts from 1, without gaps: a consumer that missed some can tell. */
  sequence: Schema.Int,
  /** The process. */
  name: Schema.String,
  /** Milliseconds of the wall clock: a label for people. */
  at: Schema.Finite,
  /** Milliseconds of the monotonic clock: for differences. */
  monotonic: Schema.Finite
}

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
  restarts: Schema.Int
}) {}

/**
 * Its readiness probe was healthy, or it has none.
 *
 * @category models
 * @since 0.1.0
 */
export class Ready extends Schema.TaggedClass<Ready>("@nexobot/process-supervisor/Ready")("Ready", {
  ...common,
  identity: ProcessIdentity
}) {}

/**
 * Its start grace is over and it was never ready: it counts as running, and its component's probes judge it.
 *
 * @category models
 * @since 0.1.0
 */
export class ReadinessTimeout extends Schema.TaggedClass<ReadinessTimeout>(
  "@nexobot/process-supervisor/ReadinessTimeout"
)("ReadinessTimeout", { ...common, identity: ProcessIdentity, after: Schema.DurationFromMillis }) {}

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
 * The policy restarts it after this delay.
 *
 * @category models
 * @since 0.1.0
 */
export class RestartDecided extends Schema.TaggedClass<RestartDecided>("@nexobot/process-supervisor/RestartDecided")(
  "RestartDecided",
  { ...common, after: Schema.DurationFromMillis }
) {}

/**
 * The policy does not restart it any more, or it could not be spawned on request.
 *
 * @category models
 * @since 0.1.0
 */
export class GaveUp extends Schema.TaggedClass<GaveUp>("@nexobot/process-supervisor/GaveUp")("GaveUp", {
  ...common,
  reason: Schema.Literals(["IntensityExceeded", "ScheduleEnded", "SpawnFailed"])
}) {}

/**
 * It ended and its restart type says that this is fine.
 *
 * @category models
 * @since 0.1.0
 */
export class Ended extends Schema.TaggedClass<Ended>("@nexobot/process-supervisor/Ended")("Ended", common) {}

/**
 * Somebody asked for its stop, alone or as the first half of a restart.
 *
 * @category models
 * @since 0.1.0
 */
export class StopRequested extends Schema.TaggedClass<StopRequested>("@nexobot/process-supervisor/StopRequested")(
  "StopRequested",
  common
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
 * @category models
 * @since 0.1.0
 */
export const SupervisorEvent = Schema.Union([
  Spawned,
  Ready,
  ReadinessTimeout,
  Exited,
  RestartDecided,
  GaveUp,
  Ended,
  StopRequested,
  Stopped
])

/**
 * @category models
 * @since 0.1.0
 */
export type SupervisorEvent = typeof SupervisorEvent.Type
