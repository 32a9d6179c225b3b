/**
 * Which targets need which others to work.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"

import * as Options from "./Options.ts"

/**
 * A checked graph without cycles.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dependencies {
  /** What each target needs directly; a target is known if it is a key. */
  readonly of: ReadonlyMap<string, ReadonlyArray<string>>
  /** The place of each target when all are sorted, those that need nothing first. */
  readonly rank: ReadonlyMap<string, number>
}

/** Follows dependencies that never end until one comes again. */
const cycleIn = (needs: ReadonlyMap<string, ReadonlyArray<string>>, sorted: ReadonlyMap<string, number>): string => {
  const unsorted = (names: Iterable<string>) => [...names].find((name) => !sorted.has(name))
  const path: Array<string> = []
  let at = unsorted(needs.keys())
  while (at !== undefined && !path.includes(at)) {
    path.push(at)
    at = unsorted(needs.get(at) ?? [])
  }
  return at === undefined ? "" : [...path.slice(path.indexOf(at)), at].join(" → ")
}

/**
 * The targets of options by name; refuses what is none.
 *
 * @internal
 */
export const entriesOf = <A extends object>(
  targets: Readonly<Record<string, A>>,
  module: string
): ReadonlyArray<[name: string, target: A]> => {
  const { fail } = Options.checks(module)
  if (!Predicate.isObject(targets)) return fail("targets", targets, "an object of targets by name")
  const entries = Object.entries(targets)
  for (const [name, target] of entries) {
    if (!Predicate.isObject(target)) fail(`targets.${name}`, target, "an object of options, such as {}")
  }
  return entries
}

/**
 * Throws `OptionError`, in the name of `module` and its option, for a dependency that is no target, and for a cycle, which
 * it names.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  targets: Readonly<Record<string, { readonly dependsOn?: ReadonlyArray<string> }>>,
  module = "Dependencies",
  option = "targets"
): Dependencies => {
  const { fail } = Options.checks(module)
  const needs = new Map(entriesOf(targets, module).map(([name, { dependsOn = [] }]) => [name, dependsOn] as const))
  const neededBy = new Map<string, Array<string>>()
  const open = new Map<string, number>()
  for (const [name, parents] of needs) {
    const distinct = new Set(
      Array.isArray(parents) ? parents : fail(`${option}.${name}.dependsOn`, parents, "an array")
    )
    open.set(name, distinct.size)
    for (const parent of distinct) {
      if (!needs.has(parent)) fail(`${option}.${name}.dependsOn`, parent, "the name of another target")
      const children = neededBy.get(parent) ?? []
      children.push(name)
      neededBy.set(parent, children)
    }
  }
  const rank = new Map<string, number>()
  const sorted = [...open].filter(([, count]) => count === 0).map(([name]) => name)
  // It grows while it is walked: a target follows when the last that it needs has come.
  for (const name of sorted) {
    rank.set(name, rank.size)
    for (const child of neededBy.get(name) ?? []) {
      const left = (open.get(child) ?? 0) - 1
      open.set(child, left)
      if (left === 0) sorted.push(child)
    }
  }
  if (rank.size < needs.size) fail(option, cycleIn(needs, rank), "dependencies without a cycle")
  return { of: needs, rank }
}

/**
 * Of all that `name` needs, directly or not, and that `matches`, the one that depends on no other such: the root cause.
 *
 * @category accessors
 * @since 0.1.0
 */
export const root = (self: Dependencies, name: string, matches: (target: string) => boolean): string | undefined => {
  const above = new Set(self.of.get(name))
  let found: string | undefined
  let lowest = Infinity
  // It grows while it is walked, and keeps what it has: a diamond is walked once.
  for (const target of above) {
    const rank = self.rank.get(target) ?? Infinity
    if (rank < lowest && matches(target)) {
      found = target
      lowest = rank
    }
    for (const parent of self.of.get(target) ?? []) above.add(parent)
  }
  return found
}
