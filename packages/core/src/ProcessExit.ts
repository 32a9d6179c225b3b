/**
 * How a process ended. A signal is never turned into an exit code.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * It ended by itself.
 *
 * @category models
 * @since 0.1.0
 */
export class Exited extends Schema.TaggedClass<Exited>("@nexobot/core/ProcessExit/Exited")("Exited", {
  code: Schema.Int
}) {}

/**
 * A signal ended it; `us` when its supervisor sent one, `unknown` when somebody else did (or the kernel).
 *
 * @category models
 * @since 0.1.0
 */
export class Signaled extends Schema.TaggedClass<Signaled>("@nexobot/core/ProcessExit/Signaled")("Signaled", {
  signal: Schema.String,
  by: Schema.Literals(["us", "unknown"])
}) {}

/**
 * It never ran.
 *
 * @category models
 * @since 0.1.0
 */
export class SpawnFailed extends Schema.TaggedClass<SpawnFailed>("@nexobot/core/ProcessExit/SpawnFailed")(
  "SpawnFailed",
  {
    /** The system's code, for example `ENOENT`. */
    code: Schema.String,
    command: Schema.String
  }
) {}

/**
 * @category models
 * @since 0.1.0
 */
export const ProcessExit = Schema.Union([Exited, Signaled, SpawnFailed])

/**
 * @category models
 * @since 0.1.0
 */
export type ProcessExit = typeof ProcessExit.Type

/**
 * One short phrase for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (exit: ProcessExit): string => {
  switch (exit._tag) {
    case "Exited":
      return `exited with code ${exit.code}`
    case "Signaled":
      return `ended by ${exit.signal}, sent by ${exit.by === "us" ? "its supervisor" : "somebody else"}`
    case "SpawnFailed":
      return `could not be started: ${exit.code} ${exit.command}`
  }
}
