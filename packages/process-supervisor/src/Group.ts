/**
 * Processes, and groups of them, that stand and fall together, as in Erlang/OTP.
 *
 * @since 0.1.0
 */
import type * as Intensity from "@nexobot/core/Intensity"
import * as Options from "@nexobot/core/Options"
import type * as Duration from "effect/Duration"

import type { Strategy } from "./internal/plan.ts"
import type * as ProcessSpec from "./ProcessSpec.ts"

export type {
  /**
   * Who is restarted when a member ends abnormally: `one_for_one` it alone, `one_for_all` all members, `rest_for_one` it
   * and those after it, which also start one after the other.
   *
   * @category models
   * @since 0.1.0
   */
  Strategy
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Group<out R = never> {
  readonly name: string
  readonly strategy: Strategy
  readonly intensity: { readonly limit: number; readonly window: Duration.Duration }
  readonly members: ReadonlyArray<Member<R>>
}

/**
 * What a supervisor, or a group, has.
 *
 * @category models
 * @since 0.1.0
 */
export type Member<R = never> = ProcessSpec.ProcessSpec<R> | Group<R>

/**
 * The services that the probes of a member need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<M> = M extends Group<infer R> ? R : M extends ProcessSpec.ProcessSpec<infer R> ? R : never

/**
 * @category models
 * @since 0.1.0
 */
export interface GroupOptions<M extends ReadonlyArray<Member<unknown>>> {
  /** Unique among processes and groups: letters, digits, and `_ . @ : -`. Requests may name it in place of a process. */
  readonly name: string
  /** `one_for_one` unless told. */
  readonly strategy?: Strategy
  /**
   * Restarts of its members that it bears within a window; 10 in 60 s unless told. One more, or a member whose own policy
   * gave up, and it escalates: the group that it is a member of restarts it as a whole, as one restart by the same count.
   */
  readonly intensity?: Intensity.Policy
  readonly members: M
}

const checks = Options.checks("Group")

/**
 * @category predicates
 * @since 0.1.0
 */
export const isGroup = <R>(member: Member<R>): member is Group<R> => "members" in member

/**
 * Checks the numbers of a window.
 *
 * @internal
 */
export const intensityOf = (given: Intensity.Policy): Group["intensity"] => {
  checks.known(given, ["limit", "window"], "intensity.")
  return {
    limit: checks.integer("intensity.limit", given.limit, 0),
    window: checks.duration("intensity.window", given.window, "1 millis")
  }
}

/**
 * Makes a group. Throws `OptionError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const M extends ReadonlyArray<Member<unknown>>>(
  options: GroupOptions<M>
): Group<Services<M[number]>> => {
  checks.known(options, ["name", "strategy", "intensity", "members"])
  const name = checks.nonEmptyString("name", options.name)
  if (!/^[\w.@:-]+$/.test(name)) checks.fail("name", name, "letters, digits, and _ . @ : -")
  const members: ReadonlyArray<Member<unknown>> = options.members
  if (!Array.isArray(members) || members.length === 0) checks.fail("members", members, "an array of at least one")
  for (const [index, member] of members.entries()) {
    const isMade = typeof member === "object" && member !== null && ("members" in member || "restartPolicy" in member)
    if (!isMade) checks.fail(`members[${index}]`, member, "what ProcessSpec.make or Group.make returned")
  }
  return {
    name,
    strategy: checks.oneOf("strategy", options.strategy ?? "one_for_one", [
      "one_for_one",
      "one_for_all",
      "rest_for_one"
    ]),
    intensity: intensityOf(options.intensity ?? { limit: 10, window: "60 seconds" }),
    members: members as ReadonlyArray<Member<Services<M[number]>>> // oxlint-disable-line typescript/no-unsafe-type-assertion
  }
}
