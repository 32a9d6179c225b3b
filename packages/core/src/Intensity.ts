/**
 * A sliding window over attempts: at most `limit` within `window`. Pure; times are monotonic milliseconds.
 *
 * The idea is Erlang/OTP's restart intensity.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** Attempts allowed within the window. */
  readonly limit: number
  readonly window: Duration.Input
}

/**
 * The attempts that still lie within the window, oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export type Attempts = ReadonlyArray<number>

/**
 * Counts an attempt at `now`, or returns `undefined` when the window is full.
 *
 * @category transitions
 * @since 0.1.0
 */
export const attempt = (
  policy: { readonly limit: number; readonly window: Duration.Duration },
  attempts: Attempts,
  now: number
): Attempts | undefined => {
  const since = now - Duration.toMillis(policy.window)
  const recent = attempts.filter((at) => at > since)
  return recent.length < policy.limit ? [...recent, now] : undefined
}
