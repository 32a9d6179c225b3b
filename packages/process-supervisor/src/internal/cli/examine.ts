/** What is known of the processes of a file before any of them starts. */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"

import * as Group from "../../Group.ts"
import * as Supervisor from "../../Supervisor.ts"
import { expand } from "../expand.ts"
import { inOrder, linksOf, type Plan } from "../plan.ts"
import type { CommandFailed } from "./failure.ts"
import * as Load from "./load.ts"

export interface Examined {
  readonly layer: Layer.Layer<Supervisor.Supervisor, Supervisor.SupervisorError>
  /** Each after those that it waits for. */
  readonly names: ReadonlyArray<string>
  readonly problems: ReadonlyArray<Supervisor.SpecError>
  /** Names of those that have a problem, or wait for one that has. */
  readonly lost: ReadonlySet<string>
}

const lostOf = (plan: Plan, names: ReadonlyArray<string>, bad: ReadonlyArray<string>): ReadonlySet<string> => {
  const lost = new Set(bad)
  for (const name of names) {
    const needs = linksOf(plan).get(name)?.before ?? []
    if (needs.some((link) => link.until !== "order" && lost.has(link.name))) lost.add(name)
  }
  return lost
}

/** Fails when there can be no such supervisor: two have the same name or port, or wait for each other. */
export const examine = Effect.fnUntraced(function* (
  { file, options }: Load.Loaded,
  members: ReadonlyArray<Group.Member<unknown>>,
  settings: Pick<Supervisor.SupervisorOptions, "id" | "stateFolder">
): Effect.fn.Return<Examined, CommandFailed> {
  // Started by the command: it can be asked while they start.
  const made = yield* Load.attempt(file, () => Supervisor.layer(members, { ...options, ...settings, autoStart: false }))
  // What a file names has probes that need nothing.
  const layer = made as Examined["layer"] // oxlint-disable-line typescript/no-unsafe-type-assertion
  const problems = yield* Effect.flatten(Load.attempt(file, () => Supervisor.problems(members)))
  const { strategy = "one_for_one" }: Supervisor.SupervisorOptions = options
  const { plan } = expand(members, { strategy, intensity: Group.intensityOf({ limit: 0, window: "1 second" }) })
  const names = inOrder(plan)
  const lost = lostOf(
    plan,
    names,
    problems.map(({ process }) => process)
  )
  return { layer, names, problems, lost }
})
