import * as Effect from "effect/Effect"

import * as Bulkhead from "../../Bulkhead.ts"
import { fromPolicy, type PromisePolicy } from "./policy.ts"

/**
 * A bulkhead for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseBulkhead extends PromisePolicy {
  readonly inspect: () => Bulkhead.State
  /** Changes `concurrency`. Calls that run stay; those that wait and now have room start, in their order. */
  readonly resize: (concurrency: number) => void
}

/**
 * A bulkhead with places for each key, for plain Node.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseKeyedBulkhead {
  readonly partition: (key: string) => PromisePolicy & { readonly key: string; readonly inspect: () => Bulkhead.State }
  /** Keys with calls that run or wait; no others are remembered. */
  readonly keys: () => ReadonlyArray<string>
  /** Changes `concurrency` of every key. */
  readonly resize: (concurrency: number) => void
}

/**
 * A bulkhead for one dependency, with the options of `Bulkhead.make`; it rejects with `BulkheadError` the calls that it
 * refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bulkhead = (options: Bulkhead.BulkheadOptions): PromiseBulkhead => {
  const { inspect, policy, resize } = Bulkhead.make(options)
  return { ...fromPolicy(policy), inspect, resize: (concurrency) => Effect.runSync(resize(concurrency)) }
}

/**
 * A bulkhead with as many places and as long a queue for each key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyedBulkhead = (options: Bulkhead.BulkheadOptions): PromiseKeyedBulkhead => {
  const { keys, partition, resize } = Bulkhead.makeKeyed(options)
  return {
    partition: (key) => {
      const { inspect, policy } = partition(key)
      return { ...fromPolicy(policy), key, inspect }
    },
    keys,
    resize: (concurrency) => Effect.runSync(resize(concurrency))
  }
}
