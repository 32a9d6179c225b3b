/** To whom a process belongs. */
import type { Ownership } from "@nexobot/core/ProcessControl"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import type { Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

import * as Cookie from "./cookie.ts"
import type { Run } from "./run.ts"
import * as Tree from "./tree.ts"

export const ownershipOf = Effect.fnUntraced(function* (
  identity: ProcessIdentity.ProcessIdentity,
  us: Pick<Cookie.Cookie, "id" | "supervisor">,
  /** What runs now, by the names of the processes. */
  runs: ReadonlyArray<readonly [string, Pick<Run, "identity" | "life" | "isChild">]>
): Effect.fn.Return<Ownership, Unsupported> {
  const foreign: Ownership = { _tag: "Foreign" }
  // We ourselves may be supervised by somebody with our id; that makes us nobody's orphan.
  if (identity.pid === process.pid || !(yield* ProcessIdentity.isAlive(identity))) return foreign
  // Descent is proof, whatever became of the environment on the way.
  const current = yield* Tree.memberOf(
    identity,
    runs.map(([name, run]) => [name, run.identity] as const)
  )
  if (current !== undefined) return { _tag: "Current", process: current }
  const cookie = yield* Cookie.of(identity.pid)
  if (cookie === undefined || !(yield* Cookie.isOurs(cookie, us))) return foreign
  const life = yield* Cookie.lifeOf(identity.pid)
  // A daemon that the running one has put aside: it left the tree, and bears the mark of this very life.
  const isOfRun =
    cookie.supervisor.pid === us.supervisor.pid &&
    cookie.supervisor.startTime === us.supervisor.startTime &&
    runs.some(([name, run]) => name === cookie.name && run.isChild && run.life === life)
  return { _tag: isOfRun ? "Current" : "Orphan", process: cookie.name }
})
