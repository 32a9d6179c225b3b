/**
 * Policies, probes and remedies written with promises, for plain Node. Everything else of this package is plain data and
 * serves both.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

import * as Probe from "./Probe.ts"
import * as Remediator from "./Remediator.ts"
import type { SignatureClass, Verdict } from "./Verdict.ts"

export { adaptiveLimit, type PromiseAdaptiveLimit } from "./internal/promise/adaptiveLimit.ts"
export {
  bulkhead,
  keyedBulkhead,
  type PromiseBulkhead,
  type PromiseKeyedBulkhead
} from "./internal/promise/bulkhead.ts"
export {
  cacheAside,
  memoryCache,
  type PromiseCache,
  type PromiseCacheAside,
  type PromiseCacheAsideOptions
} from "./internal/promise/cacheAside.ts"
export { circuitBreaker, type PromiseCircuit, type PromiseCircuitBreaker } from "./internal/promise/circuitBreaker.ts"
export { compose, composeAll, type PromiseLayers } from "./internal/promise/compose.ts"
export type { PromiseMode } from "./internal/promise/degradedMode.ts"
export {
  fallback,
  type PromiseFallback,
  type PromiseFallbackOptions,
  type PromiseRescue
} from "./internal/promise/fallback.ts"
export { healthMonitor, type PromiseHealthMonitor } from "./internal/promise/healthMonitor.ts"
export { intensity, type PromiseIntensity } from "./internal/promise/intensity.ts"
export { leases, type PromiseLease, type PromiseLeases, type PromiseLeasesOptions } from "./internal/promise/leases.ts"
export type { PromisePolicy } from "./internal/promise/policy.ts"
export { type PromiseRetry, retry, retryBudget } from "./internal/promise/retry.ts"
export { type PromiseThrottle, throttle } from "./internal/promise/throttle.ts"
export { type PromiseOwn, type PromiseOwned, type PromiseTimeout, timeout } from "./internal/promise/timeout.ts"

/**
 * A probe whose check is an async function. A rejection means that the probe is broken: the loop takes it for
 * inconclusive, never for a sick target. `signal` aborts when nobody waits for the verdict any more.
 *
 * @category constructors
 * @since 0.1.0
 */
export const probe = <const C extends ReadonlyArray<SignatureClass>>(options: {
  readonly name: string
  readonly reports: C
  readonly check: (signal: AbortSignal) => Promise<Verdict<C[number]["Type"]>>
  readonly effects?: Probe.Effects
  readonly duringStartup?: Probe.DuringStartup
}): Probe.Probe<C[number]["Type"]> => Probe.make({ ...options, check: Effect.promise(options.check) })

/**
 * A remedy whose action is an async function. A rejection means that it failed; its message is journalled.
 *
 * @category constructors
 * @since 0.1.0
 */
export const remediator = <S>(options: {
  readonly id: string
  readonly description: string
  readonly blastRadius: Remediator.BlastRadius
  readonly reversible: boolean
  readonly privilege?: Remediator.Privilege
  readonly needsApproval?: boolean
  readonly needsSnapshot?: boolean
  /** Returns why the action may not be done now, or `undefined`. */
  readonly refuse?: (signature: S, signal: AbortSignal) => Promise<string | undefined>
  readonly apply: (signature: S, signal: AbortSignal) => Promise<void>
}): Remediator.Remediator<S> => {
  const { apply, refuse, ...rest } = options
  const failed = (cause: unknown) =>
    Remediator.failed(options.id, cause instanceof Error ? cause.message : String(cause))
  return Remediator.make({
    ...rest,
    precondition: (signature: S) =>
      Effect.tryPromise({ try: async (signal) => refuse?.(signature, signal), catch: failed }).pipe(
        Effect.flatMap((why) => (why === undefined ? Effect.void : Effect.fail(Remediator.refused(options.id, why))))
      ),
    apply: (signature) => Effect.tryPromise({ try: (signal) => apply(signature, signal), catch: failed })
  })
}
