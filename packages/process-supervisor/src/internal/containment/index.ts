/** The tiers by name. */
import type { ProcessIdentity } from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import * as Cgroup from "./cgroup.ts"
import type { Container, Life } from "./container.ts"
import { ContainmentError, type Reason, type Tier } from "./containmentError.ts"
import * as Group from "./group.ts"
import * as PidNamespace from "./pidNamespace.ts"

const makers: Record<Tier, (life: Life) => Container | Reason> = {
  group: Group.make,
  cgroup: Cgroup.make,
  "pid-namespace": PidNamespace.make
}

/** The container of a life that is to begin. Its owner releases it when the life is over. */
export const make = (tier: Tier, life: Life): Effect.Effect<Container, ContainmentError> =>
  Effect.suspend(() => {
    const made = makers[tier](life)
    return "_tag" in made ? Effect.fail(new ContainmentError({ tier, reason: made })) : Effect.succeed(made)
  })

/**
 * The container of a process that an earlier supervisor started; `undefined` when it is not in one. `child` is proven to
 * run, and to be ours.
 */
export const adopt = (
  tier: Tier,
  child: ProcessIdentity,
  life: Pick<Life, "id" | "name">
): Effect.Effect<Container | undefined> =>
  Effect.sync(() => {
    switch (tier) {
      case "group": {
        const container = Group.make({ ...life, life: 0 })
        container.started(child)
        return container
      }
      case "cgroup":
        return Cgroup.adopt(child, life)
      case "pid-namespace":
        return PidNamespace.adopt(child)
    }
  })

/** Removes what earlier supervisors with this id left of containers that are empty. Before the first `make`. */
export const removeLeft: (id: string) => Effect.Effect<void> = Cgroup.removeLeft

const whyNot: Record<Tier, Effect.Effect<Reason | undefined>> = {
  group: Effect.undefined,
  cgroup: Cgroup.check,
  "pid-namespace": PidNamespace.check
}

/** Tries whether a tier is to be had here: `make` itself looks only for what it uses, as it is on the way of a restart. */
export const check = (tier: Tier): Effect.Effect<void, ContainmentError> =>
  Effect.flatMap(whyNot[tier], (reason) =>
    reason === undefined ? Effect.void : Effect.fail(new ContainmentError({ tier, reason }))
  )
