/**
 * What surrounds a call: retries, a circuit, a bulkhead, a deadline.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

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
