/**
 * How long a check may take, and from when on that is worth knowing.
 *
 * @since 0.1.0
 */
import type { Checks } from "@nexobot/core/Options"
import * as Duration from "effect/Duration"

export interface Times {
  readonly timeout: Duration.Duration
  readonly degradedAfter: Duration.Duration | undefined
}

/** Checks the options `timeout`, 5 seconds unless told, and `degradedAfter`, which is less. */
export const checkedTimes = (
  checks: Checks,
  options: { readonly timeout?: Duration.Input; readonly degradedAfter?: Duration.Input }
): Times => {
  const timeout = checks.duration("timeout", options.timeout ?? "5 seconds", "1 millis")
  if (options.degradedAfter === undefined) return { timeout, degradedAfter: undefined }
  const degradedAfter = checks.duration("degradedAfter", options.degradedAfter, "1 millis")
  if (Duration.isGreaterThanOrEqualTo(degradedAfter, timeout)) {
    checks.fail("degradedAfter", options.degradedAfter, `less than the timeout of ${Duration.format(timeout)}`)
  }
  return { timeout, degradedAfter }
}
