/** From members as they are written to a plan: instances are told apart, groups resolved, names and ports compared. */
import * as Path from "node:path"

import * as Dependencies from "@nexobot/core/Dependencies"
import * as Options from "@nexobot/core/Options"
import * as Redacted from "effect/Redacted"

import * as Group from "../Group.ts"
import type { ProcessSpec } from "../ProcessSpec.ts"
import { type GroupPlan, linksOf, type Plan, type UnitPlan } from "./plan.ts"

export interface Expanded<R> {
  readonly plan: Plan
  readonly specs: ReadonlyMap<string, ProcessSpec<R>>
  /** The processes of each group, by its name. */
  readonly groups: ReadonlyMap<string, ReadonlyArray<string>>
}

const checks = Options.checks("Supervisor")

/** The variable's number, counted up. */
const counted = (value: ProcessSpec["env"][string], by: number): string | undefined => {
  const number = Number(Redacted.isRedacted(value) ? Redacted.value(value) : value)
  return Number.isInteger(number) ? String(number + by) : undefined
}

/** Each with a name, a port and files of its own. */
const instancesOf = <R>(spec: ProcessSpec<R>): ReadonlyArray<ProcessSpec<R>> =>
  Array.from({ length: spec.instances }, (_, index) => {
    const port = spec.env["PORT"] === undefined ? undefined : counted(spec.env["PORT"], index)
    return {
      ...spec,
      instances: 1,
      name: `${spec.name}:${index}`,
      port: spec.port === undefined ? undefined : spec.port + index,
      env: { NEXO_INSTANCE: String(index), ...spec.env, ...(port === undefined ? {} : { PORT: port }) },
      log:
        spec.log === undefined
          ? undefined
          : {
              ...spec.log,
              file: `${spec.log.file}.${index}`,
              errorFile: spec.log.errorFile === undefined ? undefined : `${spec.log.errorFile}.${index}`
            }
    }
  })

/** Throws `OptionError` for names and ports that are taken, unknown dependencies, and cycles, which it names. */
export const expand = <R>(
  members: ReadonlyArray<Group.Member<R>>,
  root: Omit<GroupPlan, "name" | "parent">
): Expanded<R> => {
  const groupPlans: Array<GroupPlan> = [{ ...root, name: "supervisor", parent: undefined }]
  const specs = new Map<string, ProcessSpec<R>>()
  const groupOf = new Map<string, number>()
  const groups = new Map<string, ReadonlyArray<string>>()
  const names = new Set<string>()
  const take = (name: string): void => {
    if (names.has(name)) checks.fail("name", name, "a name of its own for each process and group")
    names.add(name)
  }
  const add = (member: Group.Member<R>, parent: number): ReadonlyArray<string> => {
    if (Group.isGroup(member)) {
      const { intensity, name, strategy } = member
      take(name)
      const index = groupPlans.push({ name, strategy, intensity, parent }) - 1
      const inside = member.members.flatMap((one) => add(one, index))
      groups.set(name, inside)
      return inside
    }
    if (member.instances > 1) {
      // Only a name for all of them: each has its own policy, as if it stood alone.
      take(member.name)
      const inside = instancesOf(member).flatMap((one) => add(one, parent))
      groups.set(member.name, inside)
      return inside
    }
    take(member.name)
    specs.set(member.name, member)
    groupOf.set(member.name, parent)
    return [member.name]
  }
  members.forEach((member) => add(member, 0))

  const ports = new Map<number, string>()
  for (const { name, port } of specs.values()) {
    if (port === undefined) continue
    // Counted up for an instance.
    checks.port(`${name}.port`, port)
    const other = ports.get(port)
    if (other !== undefined) checks.fail(`${name}.port`, port, `a port of its own: ${other} has this one`)
    ports.set(port, name)
  }

  // Each rotates its own: of one that two have, one would rename what the other writes.
  const files = new Map<string, string>()
  for (const { log, name } of specs.values()) {
    for (const [field, file] of Object.entries({ file: log?.file, errorFile: log?.errorFile })) {
      if (file === undefined || file.startsWith("/dev/")) continue
      const path = Path.resolve(file)
      const other = files.get(path)
      if (other !== undefined) checks.fail(`${name}.log.${field}`, file, `a file of its own: ${other} has this one`)
      files.set(path, name)
    }
  }

  const units: Array<UnitPlan> = []
  for (const { dependsOn, name, restartPolicy } of specs.values()) {
    units.push({
      name,
      policy: restartPolicy,
      group: groupOf.get(name) ?? 0,
      dependsOn: dependsOn.flatMap((dependency) => {
        const inGroup = groups.get(dependency.name)
        if (inGroup !== undefined) return inGroup.map((one) => ({ name: one, until: dependency.until }))
        if (specs.has(dependency.name)) return [dependency]
        return checks.fail(`${name}.dependsOn`, dependency.name, `one of ${[...names].join(", ")}`)
      })
    })
  }
  const plan: Plan = { units, groups: groupPlans }
  // Members in line wait for one another as well.
  const waits = [...linksOf(plan)].map(([name, { before }]) => [name, { dependsOn: before.map((link) => link.name) }])
  Dependencies.make(Object.fromEntries(waits), "Supervisor", "dependsOn")
  return { plan, specs, groups }
}
