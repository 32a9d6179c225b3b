/**
 * How much a supervised process may use, with everything that it started, before it is restarted.
 *
 * A limit is for what gets out of hand slowly, such as a leak. It is looked at a few times a second, so that it does not
 * replace the hard limit of a container or a control group, which nothing crosses.
 *
 * @since 0.1.0
 */
import type * as Bytes from "@nexobot/core/Bytes"
import * as Options from "@nexobot/core/Options"
import * as Duration from "effect/Duration"

/**
 * @category models
 * @since 0.1.0
 */
export interface MemoryOptions {
  /**
   * Bytes, or a text such as `"1 GB"` (1024 of the unit before), at least 1 MB: resident memory of the whole tree, that
   * which its processes share counted once.
   */
  readonly limit: Bytes.Input
  /** For how long it may be above; `"5 seconds"` unless told, 0 allows nothing. */
  readonly sustain?: Duration.Input
}

/**
 * @category models
 * @since 0.1.0
 */
export interface CpuOptions {
  /** Percent of one core, for the whole tree: 150 is one and a half cores. */
  readonly limit: number
  /** For how long it may be above, as a mean of the last second; `"30 seconds"` unless told: a start is busy. */
  readonly sustain?: Duration.Input
}

/**
 * Checked, in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryLimit {
  readonly limit: number
  readonly sustain: Duration.Duration
}

/**
 * Checked, in percent of one core.
 *
 * @category models
 * @since 0.1.0
 */
export interface CpuLimit {
  readonly limit: number
  readonly sustain: Duration.Duration
}

/**
 * What is `undefined` is not limited.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  readonly memory: MemoryLimit | undefined
  readonly cpu: CpuLimit | undefined
}

const checks = Options.checks("ResourceLimits")
const keys = ["limit", "sustain"]

/**
 * Throws `OptionError` for what cannot be meant.
 *
 * @category constructors
 * @since 0.1.0
 */
export const memory = (options: MemoryOptions): MemoryLimit => {
  checks.known(options, keys, "memory.")
  return {
    limit: checks.bytes("memory.limit", options.limit, "1 MB"),
    sustain: checks.duration("memory.sustain", options.sustain ?? "5 seconds")
  }
}

/**
 * Throws `OptionError` for what cannot be meant.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cpu = (options: CpuOptions): CpuLimit => {
  checks.known(options, keys, "cpu.")
  return {
    limit: checks.number("cpu.limit", options.limit, 1),
    sustain: checks.duration("cpu.sustain", options.sustain ?? "30 seconds")
  }
}
