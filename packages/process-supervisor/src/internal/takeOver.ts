/** What an earlier life of the supervisor left behind is ended, and what survived it is looked after again. */
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, type Unsupported } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as Adoption from "./adoption.ts"
import * as Tiers from "./containment/index.ts"
import type { StateFile } from "./stateFile.ts"
import type { Unit } from "./unit.ts"

/** One may be forked between a look and the signal; one that always is must not keep a start going for ever. */
const mostRounds = 5

export const takeOver = Effect.fnUntraced(function* (
  file: StateFile,
  us: Adoption.Us,
  units: ReadonlyMap<string, Unit>
): Effect.fn.Return<void, Unsupported> {
  const table = yield* ProcessTable
  const found = yield* Adoption.find(file.earlier, us)
  for (const { identity, name } of found.gone) file.forget(name, identity)
  let left = found.end
  for (let round = 0; round < mostRounds && left.length > 0; round++) {
    const { survivors } = yield* ProcessIdentity.terminate(
      left.map(({ identity }) => identity),
      { grace: "2 seconds" }
    )
    for (const { identity, name } of left) {
      if (!survivors.some((one) => ProcessIdentity.equals(one, identity))) file.forget(name, identity)
    }
    if (survivors.length > 0) break
    left = (yield* Adoption.find(file.earlier, us)).end
  }
  // Nobody but us has this folder, so that no group is one that somebody is about to enter.
  yield* Tiers.removeLeft(us.id)
  for (const { identity, life, name, restarts } of found.adopt) {
    const { age = 0 } = (yield* table.usage(identity.pid)) ?? {}
    yield* units.get(name)?.adopt({ identity, life, restarts }, Duration.millis(age)) ?? Effect.void
  }
})
