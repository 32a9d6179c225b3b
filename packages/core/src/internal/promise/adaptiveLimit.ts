import * as Effect from "effect/Effect"

import * as AdaptiveLimit from "../../AdaptiveLimit.ts"
import { fromPolicy, type PromisePolicy } from "./policy.ts"

/**
 * An adaptive limit for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseAdaptiveLimit extends PromisePolicy {
  readonly inspect: () => AdaptiveLimit.State
}

/**
 * An adaptive limit for one dependency, with the options of `AdaptiveLimit.make`; it rejects with `AdaptiveLimitError`
 * the calls that it refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const adaptiveLimit = (options: AdaptiveLimit.AdaptiveLimitOptions = {}): PromiseAdaptiveLimit => {
  const { inspect, policy } = Effect.runSync(AdaptiveLimit.make(options))
  return { ...fromPolicy(policy), inspect }
}
