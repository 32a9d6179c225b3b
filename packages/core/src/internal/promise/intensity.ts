import * as Effect from "effect/Effect"

import * as Intensity from "../../Intensity.ts"
import { fromPolicy, type PromisePolicy } from "./policy.ts"

/**
 * At most so many calls within a window, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseIntensity extends PromisePolicy {
  readonly inspect: () => Intensity.State
}

/**
 * A window with no attempt in it; it rejects with `IntensityError` the calls above its limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const intensity = (options: Intensity.IntensityOptions): PromiseIntensity => {
  const { inspect, policy } = Effect.runSync(Intensity.make(options))
  return { ...fromPolicy(policy), inspect }
}
