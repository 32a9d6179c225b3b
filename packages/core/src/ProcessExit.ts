/**
 * How a process ended. A signal is never turned into an exit code.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
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
 * A signal ended it, and nobody had asked for its stop; `us` when it was sent through its supervisor, `unknown` when somebody else did (or the kernel).
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
 * The kernel killed it, or something in its control group, because memory ran out.
 *
 * @category models
 * @since 0.1.0
 */
export class OomKilled extends Schema.TaggedClass<OomKilled>("@nexobot/core/ProcessExit/OomKilled")("OomKilled", {
  /**
   * Where the kernel counted it: in a control group of its own, which is proof, or on the whole machine while this process
   * ended by a SIGKILL that nobody here sent, which makes it likely.
   */
  countedIn: Schema.Literals(["cgroup", "machine"])
}) {}

/**
 * Its supervisor ended it: the memory of its whole tree was above its limit for longer than it may.
 *
 * @category models
 * @since 0.1.0
 */
export class MemoryLimit extends Schema.TaggedClass<MemoryLimit>("@nexobot/core/ProcessExit/MemoryLimit")(
  "MemoryLimit",
  {
    /** Bytes. */
    limit: Schema.Finite,
    /** Bytes, when it was decided. */
    used: Schema.Finite
  }
) {}

/**
 * Its supervisor ended it: the processor time of its whole tree was above its limit for longer than it may.
 *
 * @category models
 * @since 0.1.0
 */
export class CpuLimit extends Schema.TaggedClass<CpuLimit>("@nexobot/core/ProcessExit/CpuLimit")("CpuLimit", {
  /** Percent of one core. */
  limit: Schema.Finite,
  /** Percent of one core, when it was decided. */
  used: Schema.Finite
}) {}

/**
 * Its supervisor ended it: it ran, and did not answer, or sent no heartbeat.
 *
 * @category models
 * @since 0.1.0
 */
export class LivenessFailed extends Schema.TaggedClass<LivenessFailed>("@nexobot/core/ProcessExit/LivenessFailed")(
  "LivenessFailed",
  { why: Schema.String }
) {}

/**
 * Its supervisor ended it: it was not ready within its start grace.
 *
 * @category models
 * @since 0.1.0
 */
export class ReadinessTimeout extends Schema.TaggedClass<ReadinessTimeout>(
  "@nexobot/core/ProcessExit/ReadinessTimeout"
)("ReadinessTimeout", { after: Schema.Duration }) {}

/**
 * It was not started: somebody who is not proven ours listens on its port.
 *
 * @category models
 * @since 0.1.0
 */
export class PortHeld extends Schema.TaggedClass<PortHeld>("@nexobot/core/ProcessExit/PortHeld")("PortHeld", {
  port: Schema.Int,
  /** Who holds it; absent where it may not be seen. */
  pid: Schema.optionalKey(Schema.Int),
  command: Schema.optionalKey(Schema.String)
}) {}

/**
 * It ended because somebody asked for it.
 *
 * @category models
 * @since 0.1.0
 */
export class StopRequested extends Schema.TaggedClass<StopRequested>("@nexobot/core/ProcessExit/StopRequested")(
  "StopRequested",
  {
    /** `group`: it was stopped because its group restarts or gave up. */
    by: Schema.Literals(["request", "group"]),
    /** How it really ended; neither where nobody could tell. */
    code: Schema.optionalKey(Schema.Int),
    signal: Schema.optionalKey(Schema.String)
  }
) {}

/**
 * Its supervisor replaced it, as planned: nothing was wrong with it.
 *
 * @category models
 * @since 0.1.0
 */
export class Recycled extends Schema.TaggedClass<Recycled>("@nexobot/core/ProcessExit/Recycled")("Recycled", {
  why: Schema.Literals(["MaxAge", "Cron", "FilesChanged", "Reload"])
}) {}

/**
 * It was adopted from an earlier life of its supervisor, and is gone: only its parent could have learned how it ended.
 *
 * @category models
 * @since 0.1.0
 */
export class AdoptedUnknown extends Schema.TaggedClass<AdoptedUnknown>("@nexobot/core/ProcessExit/AdoptedUnknown")(
  "AdoptedUnknown",
  {}
) {}

/**
 * @category models
 * @since 0.1.0
 */
export const ProcessExit = Schema.Union([
  Exited,
  Signaled,
  SpawnFailed,
  OomKilled,
  MemoryLimit,
  CpuLimit,
  LivenessFailed,
  ReadinessTimeout,
  PortHeld,
  StopRequested,
  Recycled,
  AdoptedUnknown
])

/**
 * @category models
 * @since 0.1.0
 */
export type ProcessExit = typeof ProcessExit.Type

const megabytes = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`

const holder = ({ command, pid }: PortHeld): string =>
  pid === undefined ? "somebody who cannot be seen" : `process ${pid}${command === undefined ? "" : ` (${command})`}`

const recycled: Record<Recycled["why"], string> = {
  MaxAge: "it had reached its age",
  Cron: "it was time",
  FilesChanged: "its files changed",
  Reload: "by a new one"
}

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
    case "OomKilled":
      return exit.countedIn === "cgroup"
        ? "killed by the kernel: its memory ran out"
        : "killed, most likely by the kernel: the machine's memory ran out"
    case "MemoryLimit":
      return `ended by its supervisor: ${megabytes(exit.used)} of memory, ${megabytes(exit.limit)} allowed`
    case "CpuLimit":
      return `ended by its supervisor: ${Math.round(exit.used)} % of a core, ${exit.limit} % allowed`
    case "LivenessFailed":
      return `ended by its supervisor: ${exit.why}`
    case "ReadinessTimeout":
      return `ended by its supervisor: not ready within ${Duration.format(exit.after)}`
    case "PortHeld":
      return `not started: port ${exit.port} is held by ${holder(exit)}`
    case "StopRequested":
      return `stopped ${exit.by === "request" ? "on request" : "with its group"}`
    case "Recycled":
      return `replaced: ${recycled[exit.why]}`
    case "AdoptedUnknown":
      return "ended; nobody saw how, as an earlier supervisor had started it"
  }
}
