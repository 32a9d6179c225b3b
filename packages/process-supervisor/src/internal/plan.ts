/** What a supervisor keeps running, as its machine sees it: units in groups, and who needs whom. */
import type * as Duration from "effect/Duration"

import type { RestartPolicy } from "../RestartPolicy.ts"

/** Who is restarted when a member ends abnormally, as in Erlang/OTP: it alone, all, or it and those after it. */
export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one"

/** How far what it depends on must have come. */
export type Until = "started" | "ready" | "completed"

export interface UnitPlan {
  readonly name: string
  /** Index of the group it is a member of. */
  readonly group: number
  readonly policy: RestartPolicy
  readonly dependsOn: ReadonlyArray<{ readonly name: string; readonly until: Until }>
}

export interface GroupPlan {
  readonly name: string
  /** Index of the group it is a member of; only the first, the root, has none. */
  readonly parent: number | undefined
  readonly strategy: Strategy
  /** Restarts of its members (of a root: of its groups) that it bears before it escalates. */
  readonly intensity: { readonly limit: number; readonly window: Duration.Duration }
}

export interface Plan {
  /** In the order in which they were given. */
  readonly units: ReadonlyArray<UnitPlan>
  readonly groups: ReadonlyArray<GroupPlan>
}

/** Whether a group is another, or lies within it. */
export const isWithin = (plan: Plan, group: number, outer: number): boolean => {
  for (let at: number | undefined = group; at !== undefined; at = plan.groups[at]?.parent) {
    if (at === outer) return true
  }
  return false
}

/** The units of a group and of the groups within it. */
export const membersOf = (plan: Plan, group: number): ReadonlyArray<UnitPlan> =>
  plan.units.filter((unit) => isWithin(plan, unit.group, group))

/** Whom the strategy of `group` takes along when these of its members fail together: not they themselves. */
export const takenAlong = (plan: Plan, group: number, failed: ReadonlyArray<UnitPlan>): ReadonlyArray<UnitPlan> => {
  const strategy = plan.groups[group]?.strategy ?? "one_for_one"
  if (strategy === "one_for_one") return []
  const others = membersOf(plan, group).filter((unit) => !failed.includes(unit))
  if (strategy === "one_for_all") return others
  const last = Math.max(...failed.map((unit) => plan.units.indexOf(unit)))
  return others.filter((unit) => plan.units.indexOf(unit) > last)
}

/** `order`: no dependency, but a place in line. */
export interface Link {
  readonly name: string
  readonly until: Until | "order"
}

export interface Links {
  readonly before: ReadonlyArray<Link>
  readonly after: ReadonlyArray<string>
}

const known = new WeakMap<Plan, ReadonlyMap<string, Links>>()

/** Who comes before and after whom. Members of a group that restarts the rest are in line, each after the one before. */
export const linksOf = (plan: Plan): ReadonlyMap<string, Links> => {
  const found = known.get(plan)
  if (found !== undefined) return found
  const before = new Map(plan.units.map((unit): [string, Array<Link>] => [unit.name, [...unit.dependsOn]]))
  plan.groups.forEach((group, index) => {
    if (group.strategy !== "rest_for_one") return
    const members = membersOf(plan, index)
    for (const [place, { name }] of members.entries()) {
      for (const earlier of members.slice(0, place)) before.get(name)?.push({ name: earlier.name, until: "order" })
    }
  })
  const links = new Map(
    plan.units.map(({ name }): [string, Links] => [
      name,
      {
        before: before.get(name) ?? [],
        after: plan.units
          .filter((other) => before.get(other.name)?.some((link) => link.name === name))
          .map((other) => other.name)
      }
    ])
  )
  known.set(plan, links)
  return links
}

/** All units, each after those that it waits for. */
export const inOrder = (plan: Plan): ReadonlyArray<string> => {
  const sorted = new Set<string>()
  const add = (name: string): void => {
    for (const link of linksOf(plan).get(name)?.before ?? []) if (!sorted.has(link.name)) add(link.name)
    sorted.add(name)
  }
  for (const { name } of plan.units) add(name)
  return [...sorted]
}
