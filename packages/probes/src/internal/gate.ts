/**
 * Is our own network there? Asked when something beyond this machine fails, once for all that ask at a time.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

import type * as Agenda from "./agenda.ts"
import * as Dispatcher from "./dispatcher.ts"

export interface Gate {
  /**
   * Calls back with what shows that our network is lost; with `undefined` if it is there, or that cannot be told. Who asks
   * about a check that began at `begun` is not told that it was there before.
   */
  readonly ask: (begun: number, then: (lost: string | undefined) => void) => void
}

/** For so long an answer holds: the failures of one moment have one cause. */
const holds = 1000
/** One that takes longer tells nothing. */
export const timeout = 10_000

export const make = (options: {
  readonly agenda: Agenda.Agenda
  readonly dispatcher: Dispatcher.Dispatcher
  readonly check: Effect.Effect<Dispatcher.Found>
}): Gate => {
  const { agenda, check, dispatcher } = options
  let asking: Array<(lost: string | undefined) => void> = []
  let answer: { readonly lost: string | undefined; readonly at: number } | undefined
  const done = (verdict: Dispatcher.Found) => {
    const lost = verdict._tag === "Unhealthy" ? (verdict.evidence[0] ?? verdict.signature._tag) : undefined
    answer = { lost, at: agenda.now() }
    const asked = asking
    asking = []
    for (const then of asked) agenda.attempt(() => then(lost))
  }
  const known = (begun: number) => {
    if (answer === undefined || agenda.now() - answer.at >= holds) return undefined
    return answer.lost === undefined && answer.at < begun ? undefined : answer
  }
  // Nothing may hold it up: what hangs because the network is lost has taken all places, and maybe its target.
  const job = dispatcher.job({ lane: dispatcher.lane(), cost: 0, timeout, check, done })
  return {
    ask: (begun, then) => {
      const told = known(begun)
      if (told !== undefined) return then(told.lost)
      // It was given up and has not ended: there is nobody to ask.
      if (Dispatcher.isOverdue(job)) return then(undefined)
      asking.push(then)
      if (!Dispatcher.isExpected(job)) dispatcher.begin(job)
    }
  }
}
