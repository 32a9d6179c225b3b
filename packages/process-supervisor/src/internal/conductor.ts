/**
 * Runs the machine: feeds it what happens, one input after the other, publishes what it decided, hands its orders on, and
 * wakes it when something is due. All of it in the turn of the event loop in which it happens: an exit and the next spawn
 * are one call.
 */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"

import * as Machine from "./machine.ts"
import type { Plan } from "./plan.ts"

export interface Hands {
  readonly order: (order: Machine.Order, state: Machine.State) => void
  readonly decided: (decision: Machine.Decision) => void
  /** After each step. */
  readonly stepped: (state: Machine.State) => void
}

export interface Conductor {
  readonly dispatch: (input: Machine.Input) => void
  readonly state: () => Machine.State
  /** Asks after each input until there is an answer. */
  readonly until: <A, E>(
    ask: (input: Machine.Input, state: Machine.State) => Effect.Effect<A, E> | undefined
  ) => Effect.Effect<A, E>
}

export const make = Effect.fnUntraced(function* (
  plan: Plan,
  hands: Hands
): Effect.fn.Return<Conductor, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Monotonic.reader
  const random = yield* Random.Random
  const inputs: Array<Machine.Input> = []
  const listeners = new Set<(input: Machine.Input) => void>()
  let state = Machine.initial(plan)
  /** The time of the last step: what was due by then, it has seen. */
  let seen = clock()
  let busy = false
  let timer: { readonly at: number; readonly fiber: Fiber.Fiber<void> } | undefined

  const wakeUp = (): void => {
    const at = Machine.nextDue(state, seen)
    if (timer?.at === at) return
    timer?.fiber.interruptUnsafe()
    timer = undefined
    if (at === undefined) return
    const tick = Effect.sync(() => {
      timer = undefined
      dispatch({ _tag: "Tick" })
    })
    // A millisecond more than nothing: a timer may come early by a fraction.
    const left = Duration.millis(Math.max(0, Math.ceil(at - clock())))
    const fiber = Effect.runSync(Effect.forkIn(Effect.andThen(Effect.sleep(left), tick), scope))
    timer = { at, fiber }
  }

  const dispatch = (input: Machine.Input): void => {
    inputs.push(input)
    if (busy) return
    busy = true
    try {
      for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) {
        seen = clock()
        const step = Machine.step(plan, state, next, { now: seen, seed: random.nextDoubleUnsafe() })
        state = step.state
        step.decisions.forEach(hands.decided)
        for (const order of step.orders) hands.order(order, state)
        hands.stepped(state)
        // A copy: whoever begins to wait because of this input waits for a later one.
        for (const listener of Array.from(listeners)) listener(next)
      }
    } finally {
      busy = false
    }
    wakeUp()
  }

  return {
    dispatch,
    state: () => state,
    until: (ask) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<
          Effect.Success<ReturnType<typeof ask>>,
          Effect.Error<ReturnType<typeof ask>>
        >()
        const listener = (input: Machine.Input): void => {
          const found = ask(input, state)
          if (found === undefined) return
          listeners.delete(listener)
          Deferred.doneUnsafe(answer, found)
        }
        listeners.add(listener)
        return Effect.ensuring(
          Deferred.await(answer),
          Effect.sync(() => listeners.delete(listener))
        )
      })
  }
})
