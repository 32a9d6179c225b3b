import * as Effect from "effect/Effect"

import * as Throttle from "../../Throttle.ts"
import { fromPolicy, type PromisePolicy } from "./policy.ts"

/**
 * A throttle for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseThrottle extends PromisePolicy {
  readonly inspect: () => Throttle.State
}

/**
 * A throttle for one backend; it rejects with `ThrottleError` the calls that it refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const throttle = (options: Throttle.ThrottleOptions = {}): PromiseThrottle => {
  const { inspect, policy } = Effect.runSync(Throttle.make(options))
  return { ...fromPolicy(policy), inspect }
}
