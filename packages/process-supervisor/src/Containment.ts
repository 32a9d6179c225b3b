/**
 * How tightly a supervised process is held together with whatever it starts, so that nothing of it is left behind.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

import { type ContainmentError, describe, type Tier as AnyTier } from "./internal/containment/containmentError.ts"
import * as Tiers from "./internal/containment/index.ts"

export {
  ContainmentError,
  Failed,
  NotDelegated,
  NotPermitted,
  ProgramMissing,
  Unsupported
} from "./internal/containment/containmentError.ts"

/**
 * - `group`: its process group and session, its descendants, and whoever bears its mark in the environment. Works
 *   everywhere. What leaves the group, loses its parent and clears its environment, all three, is lost.
 * - `cgroup`: a control group of version 2. Nothing leaves it but what is root and moves itself. The supervisor must have
 *   been given its own control group.
 * - `pid-namespace`: nothing at all leaves it. The program sees itself as process 1, which it also writes into its lock
 *   files, and for which signals without a handler do nothing: see the page on containment. Needs root.
 *
 * @category models
 * @since 0.1.0
 */
export type Tier = AnyTier

/**
 * All of them, the loosest first.
 *
 * @category constants
 * @since 0.1.0
 */
export const tiers: ReadonlyArray<Tier> = ["group", "cgroup", "pid-namespace"]

/**
 * Whether a tier works here.
 *
 * @category models
 * @since 0.1.0
 */
export type Capability =
  | { readonly tier: Tier; readonly available: true }
  | { readonly tier: Tier; readonly available: false; readonly why: string }

/**
 * Tries whether processes can be contained in a tier, here and as this user. The error says what to do.
 *
 * @category operations
 * @since 0.1.0
 */
export const check: (tier: Tier) => Effect.Effect<void, ContainmentError> = Tiers.check

/**
 * What works here, tried.
 *
 * @category accessors
 * @since 0.1.0
 */
export const available: Effect.Effect<ReadonlyArray<Capability>> = Effect.forEach(tiers, (tier) =>
  check(tier).pipe(
    Effect.as<Capability>({ tier, available: true }),
    Effect.catch((error) => Effect.succeed<Capability>({ tier, available: false, why: describe(error.reason) }))
  )
)
