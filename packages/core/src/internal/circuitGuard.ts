/**
 * Effects under a circuit. What runs while the circuit is closed is built once for a guarded effect and used until the
 * circuit moves; only trials, which hold a slot, are admitted and released without a gap for an interruption.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"

import * as Outcome from "../Outcome.ts"
import type { Policy } from "../Policy.ts"
import { refused } from "./circuit.ts"
import type { Circuits, KeyedCircuit } from "./circuits.ts"
import type { Claim } from "./sharedCircuit.ts"

export const make = <X>(circuits: Circuits<X>, claim: Claim | undefined, key: string): Policy<X> => {
  const { now } = circuits
  const { classify, settings } = circuits.resolved
  const plain = classify === Outcome.byResult
  const slowAfter = settings.slow?.after
  let latest = circuits.lookup(key)

  const failed = (circuit: KeyedCircuit<X>, ticket: number, cause: Cause.Cause<unknown>, slow: boolean): void => {
    if (Cause.hasInterruptsOnly(cause)) circuit.release(ticket)
    else circuits.settle(circuit, ticket, Result.fail(Cause.squash(cause)), slow)
  }
  const succeeded = (circuit: KeyedCircuit<X>, ticket: number, value: unknown, slow: boolean): void => {
    if (plain) circuit.succeed(ticket, circuit.timed(ticket) ? now() : 0, slow)
    else circuits.settle(circuit, ticket, Result.succeed(value), slow)
  }
  const isSlow = (began: number): boolean => slowAfter !== undefined && now() - began >= slowAfter

  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | X, R> => {
    if (latest.phase === "Forgotten") latest = circuits.lookup(key)
    let circuit = latest
    let generation = -1
    let closed: Effect.Effect<A, E, R> = self
    let refusal: Effect.Effect<never, X> | undefined
    let error: X | undefined

    const watch = (on: KeyedCircuit<X>, ticket: number, began: number): Effect.Effect<A, E, R> =>
      Effect.matchCauseEffect(self, {
        onSuccess: (value) => {
          succeeded(on, ticket, value, isSlow(began))
          return Effect.succeed(value)
        },
        onFailure: (cause) => {
          failed(on, ticket, cause, isSlow(began))
          return Effect.failCause(cause)
        }
      })
    const pass = (): Effect.Effect<A, E, R> => {
      if (generation === circuit.generation) return closed
      const on = circuit
      const ticket = (generation = on.generation)
      return (closed = slowAfter === undefined ? watch(on, ticket, 0) : Effect.suspend(() => watch(on, ticket, now())))
    }
    const refuse = (): Effect.Effect<never, X> => {
      const present = circuits.refuse(circuit, now())
      if (refusal === undefined || error !== present) {
        error = present
        refusal = Effect.fail(present)
      }
      return refusal
    }
    const attempt = (restore: <B, F, S>(effect: Effect.Effect<B, F, S>) => Effect.Effect<B, F, S>) =>
      Effect.suspend((): Effect.Effect<A, E | X, R> => {
        const on = circuit
        const began = now()
        const ticket = on.admit(began)
        // It moved while the others were asked: what they granted is no trial.
        if (claim !== undefined && (ticket === refused || ticket === on.generation)) circuits.released(on)
        if (ticket === refused) return refuse()
        return Effect.onExitPrimitive(restore(self), (exit) => {
          if (Exit.isSuccess(exit)) succeeded(on, ticket, exit.value, isSlow(began))
          else failed(on, ticket, exit.cause, isSlow(began))
          return undefined
        })
      })
    const trial = (): Effect.Effect<A, E | X, R> =>
      Effect.uninterruptibleMask((restore) =>
        claim === undefined
          ? attempt(restore)
          : Effect.flatMap(claim(circuit, restore), (granted) => (granted ? attempt(restore) : refuse()))
      )
    const decide = (): Effect.Effect<A, E | X, R> => {
      if (circuit.phase === "Forgotten") {
        circuit = latest = circuits.lookup(key)
        generation = -1
      }
      if (circuits.barred) return refuse()
      if (circuit.phase === "Closed") return pass()
      const at = now()
      if (circuit.phase === "Ramping") return circuit.admit(at) === refused ? refuse() : pass()
      return circuit.mayTry(at) ? trial() : refuse()
    }
    return Effect.suspend(() =>
      circuit.phase === "Closed" && generation === circuit.generation && !circuits.barred ? closed : decide()
    )
  }
}
