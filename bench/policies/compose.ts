/**
 * What a call costs that succeeds within a whole stack: retry, bulkhead, circuit breaker and timeout, outermost first.
 * Ours with promises and with Effect, and cockatiel's, configured alike and measured in turns in one process. Each layer
 * alone shows where the time goes.
 */
import * as Effect from "effect/Effect"

import * as Bulkhead from "../../packages/core/src/Bulkhead.ts"
import * as CircuitBreaker from "../../packages/core/src/CircuitBreaker.ts"
import { bulkhead } from "../../packages/core/src/internal/promise/bulkhead.ts"
import { circuitBreaker } from "../../packages/core/src/internal/promise/circuitBreaker.ts"
import { compose } from "../../packages/core/src/internal/promise/compose.ts"
import { retry } from "../../packages/core/src/internal/promise/retry.ts"
import { timeout } from "../../packages/core/src/internal/promise/timeout.ts"
import * as Policy from "../../packages/core/src/Policy.ts"
import * as Retry from "../../packages/core/src/Retry.ts"
import * as Timeout from "../../packages/core/src/Timeout.ts"
import * as Peers from "../peers.ts"
import { type Row, row } from "../report.ts"
import { measure, onEffect, onPromise, type Subject } from "./turns.ts"

const suite = "policies"
const cockatielVersion = "4.0.0"
const cockatielName = `cockatiel ${cockatielVersion}`

interface CockatielPolicy {
  readonly execute: (call: () => Promise<unknown>) => Promise<unknown>
}

/** What is used of cockatiel. */
interface Cockatiel {
  readonly handleAll: unknown
  readonly TimeoutStrategy: { readonly Aggressive: unknown }
  readonly ConsecutiveBreaker: new (failures: number) => unknown
  readonly circuitBreaker: (policy: unknown, options: object) => CockatielPolicy
  readonly retry: (policy: unknown, options: object) => CockatielPolicy
  readonly bulkhead: (limit: number, queue: number) => CockatielPolicy
  readonly timeout: (millis: number, strategy: unknown) => CockatielPolicy
  readonly wrap: (...policies: ReadonlyArray<CockatielPolicy>) => CockatielPolicy
}

const attempts = 3
const concurrency = 10
const failures = 5
const after = 10_000

const answer = () => Promise.resolve(1)

const ofPromises = (): ReadonlyMap<string, { readonly execute: (call: typeof answer) => Promise<unknown> }> => {
  const layers = {
    retry: retry({ attempts }),
    bulkhead: bulkhead({ concurrency }),
    breaker: circuitBreaker({ consecutive: { failures } }),
    timeout: timeout({ after })
  }
  return new Map([...Object.entries(layers), ["stack", compose(layers)]])
}

const ofCockatiel = (cockatiel: Cockatiel): ReadonlyMap<string, CockatielPolicy> => {
  const { ConsecutiveBreaker, handleAll, TimeoutStrategy } = cockatiel
  const layers = {
    retry: cockatiel.retry(handleAll, { maxAttempts: attempts - 1 }),
    bulkhead: cockatiel.bulkhead(concurrency, 0),
    breaker: cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(failures) }),
    timeout: cockatiel.timeout(after, TimeoutStrategy.Aggressive)
  }
  return new Map([
    ...Object.entries(layers),
    ["stack", cockatiel.wrap(layers.retry, layers.bulkhead, layers.breaker, layers.timeout)]
  ])
}

const ofEffect = Effect.map(CircuitBreaker.make({ consecutive: { failures } }), (breaker) => {
  const layers = {
    retry: Retry.make({ attempts }).policy,
    bulkhead: Bulkhead.make({ concurrency }).policy,
    breaker: breaker.policy,
    timeout: Timeout.make({ after }).policy
  }
  const call = Effect.sync(() => 1)
  const promised = Effect.promise(answer)
  const stack = Policy.compose(layers)
  return new Map<string, Effect.Effect<unknown, unknown>>([
    ["retry", layers.retry(call)],
    ["bulkhead", layers.bulkhead(call)],
    ["breaker", layers.breaker(call)],
    ["timeout", layers.timeout(call)],
    ["stack", stack(call)],
    ["stack of a promise", stack(promised)]
  ])
})

export const run = async (): Promise<ReadonlyArray<Row>> => {
  const cockatiel = (await Peers.load("cockatiel", cockatielVersion)) as Cockatiel | undefined
  const subjects = new Map<string, Subject>()
  for (const [name, policy] of ofPromises()) {
    subjects.set(
      `Promise, ${name}`,
      onPromise(() => policy.execute(answer))
    )
  }
  for (const [name, effect] of await Effect.runPromise(ofEffect)) {
    subjects.set(`Effect, ${name}`, onEffect(Effect.ignore(effect)))
  }
  for (const [name, policy] of cockatiel === undefined ? [] : ofCockatiel(cockatiel)) {
    subjects.set(
      `cockatiel, ${name}`,
      onPromise(() => policy.execute(answer))
    )
  }
  const figures = await measure(subjects, { calls: 1000, rounds: 21, warmUp: 5 })
  return [...subjects.keys()]
    .filter((name) => !name.startsWith("cockatiel"))
    .map((name) => {
      const layer = name.replace(/^\w+, /, "").replace(" of a promise", "")
      return row({
        suite,
        name: `composed, ${name}`,
        value: figures(name) ?? Number.NaN,
        unit: "ns/call",
        peer: cockatielName,
        peerValue: figures(`cockatiel, ${layer}`),
        ...(layer === "stack"
          ? { target: { text: "≤ 1 × peer", holds: (_, ratio) => (ratio === null ? null : ratio <= 1) } }
          : {})
      })
    })
}
