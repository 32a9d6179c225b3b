import { all, checkAll, inOrder } from "../../Policy.ts"
import type { PromiseFallback, PromiseRescue } from "./fallback.ts"
import { associate, fromCall, fromPolicy, nativeOf, type PromisePolicy, run } from "./policy.ts"

/**
 * The policies around a call, by what they are; each as its module makes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseLayers {
  /** As `timeout` makes, for all attempts and the waiting between them. */
  readonly totalTimeout?: PromisePolicy | undefined
  readonly retry?: PromisePolicy | undefined
  /** As `throttle` makes, or another limit on the rate of calls. */
  readonly throttle?: PromisePolicy | undefined
  /** As `bulkhead` makes, or another limit on calls at a time. */
  readonly bulkhead?: PromisePolicy | undefined
  readonly breaker?: PromisePolicy | undefined
  /** As `timeout` makes, for one attempt. */
  readonly timeout?: PromisePolicy | undefined
}

const expected = "a policy, as the functions of this module make"

const isPolicy = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "execute" in value && typeof value.execute === "function"

/** Two that are written with Effect run as one: what a run costs is paid once, and the call keeps its one fiber. */
const merged = (outer: PromisePolicy, inner: PromisePolicy): PromisePolicy | undefined => {
  const [first, second] = [nativeOf(outer), nativeOf(inner)]
  if (first === undefined || second === undefined) return undefined
  const policy = all(first.policy, second.policy)
  const { prepare } = second
  return prepare === undefined
    ? fromPolicy(policy)
    : associate(
        { execute: (call, options) => run(policy(fromCall(prepare(call))), options?.signal) },
        { policy, prepare }
      )
}

const around = (outer: PromisePolicy, inner: PromisePolicy): PromisePolicy => ({
  execute: (call, options) =>
    outer.execute((signal) => inner.execute(call, { signal }), { signal: options?.signal ?? undefined })
})

/**
 * One policy of several, in the order given: the first is outermost, and sees what all the others do.
 *
 * @category combinators
 * @since 0.1.0
 */
export const composeAll = (...policies: ReadonlyArray<PromisePolicy>): PromisePolicy => {
  checkAll(policies, isPolicy, expected)
  const groups: Array<PromisePolicy> = []
  for (const policy of policies) {
    const last = groups.pop()
    const both = last === undefined ? policy : merged(last, policy)
    if (both !== undefined) groups.push(both)
    else if (last !== undefined) groups.push(last, policy)
  }
  const innermost = groups.pop()
  return innermost === undefined ? fromPolicy(all()) : groups.reduceRight((inner, one) => around(one, inner), innermost)
}

/**
 * One policy of several, in the order that works, outermost first: fallback, total timeout, retry, throttle, bulkhead,
 * breaker, timeout. Leave out what you do not need.
 *
 * @category combinators
 * @since 0.1.0
 */
export function compose<B>(
  layers: PromiseLayers & {
    /** As `fallback` makes: what is answered when everything below has failed. */
    readonly fallback: PromiseFallback<B>
  }
): PromiseRescue<B>
export function compose(layers: PromiseLayers & { readonly fallback?: undefined }): PromisePolicy
export function compose(layers: PromiseLayers & { readonly fallback?: PromisePolicy | undefined }): PromisePolicy {
  return composeAll(...inOrder(layers, isPolicy, expected))
}
