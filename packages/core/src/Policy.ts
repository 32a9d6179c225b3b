/**
 * What surrounds a call: retries, a circuit, a bulkhead, a deadline; and how they stand around each other.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

import * as Options from "./Options.ts"
import type { Retry, RetryError } from "./Retry.ts"

const checks = Options.checks("Policy")

const isPolicy = (value: unknown): boolean => typeof value === "function"
const aPolicy = "a policy, such as the `policy` of a module of this package"

/**
 * A policy guards any effect. It adds its own failures, `E`, and needs `R`; the effect's own success, failures and
 * requirements pass.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<out E = never, out R = never> {
  <A, E1, R1>(self: Effect.Effect<A, E1, R1>): Effect.Effect<A, E1 | E, R1 | R>
}

/**
 * A policy that answers in place of failures: those of type `EIn` become a `B`, or fail with `E`. `Kept` is `true` when
 * it lets some failures pass, and `false` when it takes every one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rescue<in EIn, out B, out E = never, out R = never, out Kept extends boolean = boolean> {
  <A, E1 extends EIn, R1>(
    self: Effect.Effect<A, E1, R1>
  ): Effect.Effect<A | B, E | (Kept extends true ? E1 : never), R1 | R>
}

/**
 * The policies around a call, by what they are; each is the `policy` of its module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Layers {
  /** Of `Fallback`: what is answered when everything below has failed. */
  readonly fallback?: Rescue<never, unknown, unknown, unknown> | undefined
  /** Of `Timeout`: for all attempts and the waiting between them. */
  readonly totalTimeout?: Policy<unknown, unknown> | undefined
  /** Of `Retry`. */
  readonly retry?: Policy<unknown, unknown> | undefined
  /** Of `Throttle`, or another limit on the rate of calls. */
  readonly throttle?: Policy<unknown, unknown> | undefined
  /** Of `Bulkhead`, or another limit on calls at a time. */
  readonly bulkhead?: Policy<unknown, unknown> | undefined
  /** Of `CircuitBreaker`. */
  readonly breaker?: Policy<unknown, unknown> | undefined
  /** Of `Timeout`: for one attempt. */
  readonly timeout?: Policy<unknown, unknown> | undefined
}

/**
 * The failures that a policy adds. Those of `Retry` hold failures of the call, of which nothing is known here.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Failure<P> = P extends Policy<infer E, infer _R> ? ([Retry["policy"]] extends [P] ? RetryError : E) : never

/**
 * What a policy needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<P> = P extends Policy<infer _E, infer R> ? ([Retry["policy"]] extends [P] ? never : R) : never

type Inner<L> = L[Exclude<keyof L, "fallback">]

/**
 * The policy that `compose` makes of these layers. There is none (`never`) for a fallback that does not take the failures
 * which the other layers add.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Composed<L> = L extends {
  readonly fallback: Rescue<infer EIn, infer B, infer E, infer R, infer Kept>
}
  ? [Failure<Inner<L>>] extends [EIn]
    ? Rescue<EIn, B, E | (Kept extends true ? Failure<Inner<L>> : never), R | Services<Inner<L>>, Kept>
    : never
  : Policy<Failure<Inner<L>>, Services<Inner<L>>>

/**
 * One policy of several, in the order in which they stand: the first is outermost, and sees what all the others do.
 *
 * @category combinators
 * @since 0.1.0
 */
export function all<const P extends ReadonlyArray<Policy<unknown, unknown>>>(
  ...policies: P
): Policy<Failure<P[number]>, Services<P[number]>>
export function all(...policies: ReadonlyArray<Policy<unknown, unknown>>): Policy<unknown, unknown> {
  checkAll(policies, isPolicy, aPolicy)
  const innermostFirst = policies.toReversed()
  return <A>(self: Effect.Effect<A, unknown, unknown>) => {
    let guarded = self
    for (const policy of innermostFirst) guarded = policy(guarded)
    return guarded
  }
}

/**
 * Refuses what is no policy, by its position.
 *
 * @internal
 */
export const checkAll = (
  policies: ReadonlyArray<unknown>,
  isOne: (value: unknown) => boolean,
  whatIs: string
): void => {
  for (const [position, policy] of policies.entries()) {
    if (!isOne(policy)) checks.fail(`policies[${position}]`, policy, whatIs)
  }
}

const order = ["fallback", "totalTimeout", "retry", "throttle", "bulkhead", "breaker", "timeout"] as const

/**
 * Layers that are there, outermost first; anything that is not a layer is refused.
 *
 * @internal
 */
export const inOrder = <A>(
  layers: { readonly [K in keyof Layers]?: A | undefined },
  isLayer: (value: unknown) => boolean,
  expected: string
): ReadonlyArray<A> => {
  checks.known(layers, order)
  return order.flatMap((name) => {
    const layer = layers[name]
    if (layer === undefined) return []
    return isLayer(layer) ? [layer] : checks.fail(name, layer, expected)
  })
}

/**
 * One policy of several, in the order that works; leave out what you do not need. Outermost first:
 *
 * 1. `fallback`: answers whatever failed below, a refusal or the end of all time included.
 * 2. `totalTimeout`: bounds what the caller waits for, attempts and backoff together.
 * 3. `retry`: each attempt passes everything below anew. Its budget sees the refusals, and its backoff holds no permit.
 * 4. `throttle`: counts attempts, as the other side does. What it refuses holds no permit.
 * 5. `bulkhead`: a call that waits for a permit, or is refused one, says nothing about the other side, so the circuit is
 *    below. What an open circuit refuses holds a permit for no time at all.
 * 6. `breaker`: judges each attempt by its own, and sees a timeout as the failure that it is.
 * 7. `timeout`: bounds the attempt alone, not the wait for a permit.
 *
 * For another order see `all`.
 *
 * @category combinators
 * @since 0.1.0
 */
export function compose<const L extends Layers>(
  layers: L & { readonly [K in Exclude<keyof L, keyof Layers>]: never }
): Composed<L>
export function compose(layers: { readonly [K in keyof Layers]?: Policy<unknown, unknown> | undefined }): unknown {
  return all(...inOrder(layers, isPolicy, aPolicy))
}
