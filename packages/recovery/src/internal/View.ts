/**
 * How the state of a component looks from outside.
 *
 * @since 0.1.0
 */
import * as Health from "@nexobot/core/Health"

import type * as Loop from "../Loop.ts"
import type * as Report from "../Report.ts"

const statusOf = (definition: Loop.Definition, state: Loop.State): Report.ComponentStatus => {
  const isBad = ({ confirmed, signature }: Health.Health) =>
    confirmed === "Unhealthy" && signature !== undefined && definition.answer(signature._tag)._tag !== "Observation"
  switch (state.phase._tag) {
    case "Preparing":
    case "Applying":
      return "Recovering"
    case "Verifying":
      return "Verifying"
    case "Escalated":
      return "Escalated"
    case "Watching": {
      if (state.lifecycle === "Stopped") return "Stopped"
      if (state.health.some(isBad)) return "Unhealthy"
      if (state.lifecycle === "Starting") return "Starting"
      if (state.health.some((one) => Health.status(one) === "Unknown")) return "Unknown"
      if (state.health.some((one) => one.failures > 0 && one.confirmed !== "Unhealthy")) return "Suspect"
      return state.observed.length > 0 ? "Degraded" : "Healthy"
    }
  }
}

const rungOf = (definition: Loop.Definition, state: Loop.State): string => {
  const answer = state.incident === undefined ? undefined : definition.answer(state.incident.signature._tag)
  return answer?._tag === "Rungs" && "rung" in state.phase ? (answer.ids[state.phase.rung] ?? "") : ""
}

const detailOf = (definition: Loop.Definition, state: Loop.State): string => {
  const tag = state.incident?.signature._tag ?? ""
  const evidence = state.health.flatMap((one) => one.evidence)
  switch (state.phase._tag) {
    case "Preparing":
    case "Applying":
      return `${tag}: ${rungOf(definition, state)}`
    case "Verifying":
      return `${tag}: verifying after ${rungOf(definition, state)}`
    case "Escalated":
      return `${tag}: ${state.phase.reason}`
    case "Watching":
      return evidence[0] ?? state.health.find((one) => one.inconclusive !== undefined)?.inconclusive ?? ""
  }
}

interface Named {
  readonly name: string
  readonly definition: Loop.Definition
}

/**
 * A component before its first check.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unchecked = ({ definition, name }: Named, since: string): Report.ComponentState => ({
  name,
  status: "Unknown",
  since,
  detail: "not checked yet",
  attempts: 0,
  attemptLimit: definition.policy.attempts,
  probes: definition.probes.map((probe) => ({ name: probe.name, status: "Unknown", evidence: [] }))
})

/**
 * The state as people and the API see it; every free text goes through `redact`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { definition, name }: Named,
  state: Loop.State,
  redact: (text: string) => string,
  /** Why nothing can be done although something should be. */
  obstacle?: string
): Omit<Report.ComponentState, "since"> => ({
  name,
  ...(obstacle !== undefined && state.phase._tag === "Preparing"
    ? { status: "Unhealthy", detail: redact(`nothing is done: ${obstacle}`) }
    : { status: statusOf(definition, state), detail: redact(detailOf(definition, state)) }),
  attempts: state.attempts,
  attemptLimit: definition.policy.attempts,
  probes: state.health.map((health, index) => ({
    name: definition.probes[index]?.name ?? "",
    status: Health.status(health),
    ...(health.signature === undefined ? {} : { signature: health.signature._tag }),
    evidence: (health.inconclusive === undefined ? health.evidence : [health.inconclusive]).map(redact)
  }))
})
