/** Measuring what a call costs, several ways of calling in turns. */
import * as Effect from "effect/Effect"

import { median } from "../report.ts"

/** Calls so many times, one after the other. */
export type Subject = (calls: number) => Promise<void>

export const onPromise =
  (execute: () => Promise<unknown>): Subject =>
  async (calls) => {
    for (let i = 0; i < calls; i++) await execute()
  }

export const onEffect =
  (effect: Effect.Effect<unknown>): Subject =>
  (calls) => {
    let left = calls
    return Effect.runPromise(
      Effect.whileLoop({
        while: () => left > 0,
        body: () => effect,
        step: () => {
          left--
        }
      })
    )
  }

/** Nanoseconds a call, median of rounds in which each has its turn, every time in another order. */
export const measure = async (
  subjects: ReadonlyMap<string, Subject>,
  options: { readonly calls: number; readonly rounds: number; readonly warmUp: number }
): Promise<(name: string) => number | undefined> => {
  const { calls, rounds, warmUp } = options
  const times = new Map([...subjects.keys()].map((name): [string, Array<number>] => [name, []]))
  const order = [...subjects]
  for (let round = 0; round < rounds + warmUp; round++) {
    for (const [name, subject] of order) {
      const began = process.hrtime.bigint()
      await subject(calls)
      if (round >= warmUp) times.get(name)?.push(Number(process.hrtime.bigint() - began) / calls)
    }
    order.push(...order.splice(0, 1))
  }
  return (name) => {
    const samples = times.get(name)
    return samples === undefined ? undefined : median(samples)
  }
}
