/**
 * What a call costs that passes a closed circuit, and one that an open circuit refuses: ours with promises and with
 * Effect, the breakers of cockatiel and opossum, and Effect's own. All are configured alike where they can be (five
 * failures in a row) and measured in turns, in one process. Last, what a million keys leave behind.
 */
import * as V8 from "node:v8"
import * as Vm from "node:vm"

import * as Effect from "effect/Effect"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"

import * as Backoff from "../../packages/core/src/Backoff.ts"
import * as CircuitBreaker from "../../packages/core/src/CircuitBreaker.ts"
import { circuitBreaker } from "../../packages/core/src/internal/promise/circuitBreaker.ts"
import * as Peers from "../peers.ts"
import { type Row, row } from "../report.ts"
import * as Bare from "./bareCircuit.ts"
import { measure, onEffect, onPromise, type Subject } from "./turns.ts"

const suite = "policies"
const cockatielVersion = "4.0.0"
const opossumVersion = "10.0.0"
const cockatielName = `cockatiel ${cockatielVersion}`
const opossumName = `opossum ${opossumVersion}`
const turns = { rounds: 31, warmUp: 4 }

type Call<A> = (given: AbortSignal) => Promise<A>

/** What is used of cockatiel. */
interface Cockatiel {
  readonly handleAll: unknown
  readonly ConsecutiveBreaker: new (failures: number) => unknown
  readonly SamplingBreaker: new (options: {
    readonly threshold: number
    readonly duration: number
    readonly minimumRps: number
  }) => unknown
  readonly circuitBreaker: (
    policy: unknown,
    options: { readonly halfOpenAfter: number; readonly breaker: unknown }
  ) => { readonly execute: <A>(call: Call<A>, signal?: AbortSignal) => Promise<A> }
}

/** What is used of opossum. */
type Opossum = new (
  call: () => Promise<unknown>,
  options: object
) => { readonly fire: () => Promise<unknown>; readonly open: () => void; readonly shutdown: () => void }

const answer = () => Promise.resolve(1)
const answerWithSignal = (signal: AbortSignal) => Promise.resolve(signal.aborted)
/** Not there at once: in so many turns of the queue of microtasks. */
const answerLater = async (signal: AbortSignal) => {
  for (let i = 0; i < 5; i++) await answerWithSignal(signal)
}
const fail = () => Promise.reject(new Error("bad"))

const refusing =
  (execute: () => Promise<unknown>): Subject =>
  async (calls) => {
    for (let i = 0; i < calls; i++) {
      try {
        await execute()
      } catch {
        continue
      }
      throw new Error("it was not refused")
    }
  }

const quick = { consecutive: { failures: 5, within: "1 hour" }, open: Backoff.constant("1 hour") } as const
const sampling = { rate: { threshold: 0.5, minimumCalls: 10, window: "10 seconds" }, open: quick.open } as const

const repeatedly = async (execute: (call: () => Promise<unknown>) => Promise<unknown>) => {
  for (let i = 0; i < 5; i++) await execute(fail).catch(() => undefined)
}

const atMost = (limit: number) => ({
  text: `≤ ${limit} × peer`,
  holds: (_: number, ratio: number | null) => (ratio === null ? null : ratio <= limit)
})

const compared = (
  name: string,
  figures: (name: string) => number | undefined,
  ours: string,
  theirs: string,
  peer: string,
  limit?: number
): Row =>
  row({
    suite,
    name,
    value: figures(ours) ?? Number.NaN,
    unit: "ns/call",
    peer,
    peerValue: figures(theirs),
    ...(limit === undefined ? {} : { target: atMost(limit) })
  })

export const measureCalls = async (): Promise<ReadonlyArray<Row>> => {
  const cockatiel = (await Peers.load("cockatiel", cockatielVersion)) as Cockatiel | undefined
  const opossum = (await Peers.load("opossum", opossumVersion)) as Opossum | undefined
  const success = new Map<string, Subject>()
  const refusal = new Map<string, Subject>()

  const plain = circuitBreaker(quick)
  success.set(
    "promise",
    onPromise(() => plain.execute(answer))
  )
  const { signal } = new AbortController()
  success.set(
    "promise, (signal)",
    onPromise(() => plain.execute(answerWithSignal))
  )
  success.set(
    "promise, caller's signal",
    onPromise(() => plain.execute(answerWithSignal, { signal }))
  )
  success.set(
    "promise, caller's signal, later",
    onPromise(() => plain.execute(answerLater, { signal }))
  )
  const sampled = circuitBreaker(sampling)
  success.set(
    "promise, rate",
    onPromise(() => sampled.execute(answer))
  )
  const opened = circuitBreaker(quick)
  await repeatedly((call) => opened.execute(call))
  refusal.set(
    "promise",
    refusing(() => opened.execute(answer))
  )

  if (cockatiel !== undefined) {
    const { ConsecutiveBreaker, handleAll, SamplingBreaker } = cockatiel
    const make = (breaker: unknown) => cockatiel.circuitBreaker(handleAll, { halfOpenAfter: 3_600_000, breaker })
    const closed = make(new ConsecutiveBreaker(5))
    success.set(
      "cockatiel",
      onPromise(() => closed.execute(answer))
    )
    success.set(
      "cockatiel, (signal)",
      onPromise(() => closed.execute(answerWithSignal))
    )
    success.set(
      "cockatiel, caller's signal",
      onPromise(() => closed.execute(answerWithSignal, signal))
    )
    success.set(
      "cockatiel, caller's signal, later",
      onPromise(() => closed.execute(answerLater, signal))
    )
    const rate = make(new SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 1 }))
    success.set(
      "cockatiel, rate",
      onPromise(() => rate.execute(answer))
    )
    const open = make(new ConsecutiveBreaker(5))
    await repeatedly((call) => open.execute(call))
    refusal.set(
      "cockatiel",
      refusing(() => open.execute(answer))
    )
  }
  const opossums: Array<InstanceType<Opossum>> = []
  if (opossum !== undefined) {
    const [closed, open] = [new opossum(answer, { timeout: false }), new opossum(answer, { timeout: false })]
    open.open()
    opossums.push(closed, open)
    success.set(
      "opossum",
      onPromise(() => closed.fire())
    )
    refusal.set(
      "opossum",
      refusing(() => open.fire())
    )
  }

  const call = Effect.sync(() => 1)
  const bad = Effect.fail("bad")
  success.set("bare", onEffect(Effect.ignore(Bare.make(5)(call))))
  const native = await Effect.runPromise(CircuitBreaker.make(quick))
  success.set("effect", onEffect(Effect.ignore(native.policy(call))))
  const nativeOpen = await Effect.runPromise(CircuitBreaker.make(quick))
  for (let i = 0; i < 5; i++) await Effect.runPromise(Effect.ignore(nativeOpen.policy(bad)))
  refusal.set("effect", onEffect(Effect.ignore(nativeOpen.policy(call))))
  const own = Effect.scoped(
    Effect.gen(function* () {
      const options = { tripPolicy: EffectBreaker.consecutive(5), openDuration: "1 hour" } as const
      const [closed, open] = [yield* EffectBreaker.make(options), yield* EffectBreaker.make(options)]
      const failing = Effect.ignore(open.execute(bad, { key: "open" }))
      for (let i = 0; i < 5; i++) yield* failing
      success.set("effect's own", onEffect(Effect.ignore(closed.execute(call, { key: "closed" }))))
      refusal.set("effect's own", onEffect(Effect.ignore(open.execute(call, { key: "open" }))))
      return yield* Effect.promise(
        async () =>
          [
            await measure(success, { calls: 10_000, ...turns }),
            await measure(refusal, { calls: 2000, ...turns })
          ] as const
      )
    })
  )
  const [closed, open] = await Effect.runPromise(Effect.provide(own, EffectBreaker.layerStoreMemory()))
  for (const one of opossums) one.shutdown()

  return [
    compared("breaker, Promise, success, ()", closed, "promise", "cockatiel", cockatielName, 1),
    compared(
      "breaker, Promise, success, (signal)",
      closed,
      "promise, (signal)",
      "cockatiel, (signal)",
      cockatielName,
      1
    ),
    // No target: ours rejects when the caller's signal aborts, cockatiel waits for the call whatever becomes of it.
    compared(
      "breaker, Promise, success, caller's signal",
      closed,
      "promise, caller's signal",
      "cockatiel, caller's signal",
      cockatielName
    ),
    compared(
      "breaker, Promise, success, caller's signal, answer later",
      closed,
      "promise, caller's signal, later",
      "cockatiel, caller's signal, later",
      cockatielName
    ),
    compared("breaker, Promise, success, failure rate", closed, "promise, rate", "cockatiel, rate", cockatielName, 1),
    compared("breaker, Promise, success", closed, "promise", "opossum", opossumName),
    compared("breaker, Promise, refusal", open, "promise", "cockatiel", cockatielName, 0.25),
    compared("breaker, Promise, refusal", open, "promise", "opossum", opossumName),
    compared("breaker, Effect, success", closed, "effect", "bare", "bare state machine", 1.5),
    compared("breaker, Effect, success", closed, "effect", "effect's own", "effect/persistence", 0.1),
    compared("breaker, Effect, refusal", open, "effect", "cockatiel", cockatielName, 0.5),
    compared("breaker, Effect, refusal", open, "effect", "effect's own", "effect/persistence")
  ]
}

/** A million keys, each used once and then never again. */
export const measureKeys = async (): Promise<ReadonlyArray<Row>> => {
  V8.setFlagsFromString("--expose-gc")
  const collect: unknown = Vm.runInNewContext("gc")
  const heap = (): number => {
    if (typeof collect === "function") collect()
    return process.memoryUsage().heapUsed
  }
  const breaker = circuitBreaker({
    consecutive: { failures: 5, within: "1 millis" },
    trials: { lease: "1 millis" },
    resetAfter: 0,
    idle: "1 millis"
  })
  const use = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) await breaker.circuit(`key ${i}`).execute(answer)
  }
  await use(0, 10_000)
  const before = heap()
  const began = performance.now()
  const keys = 1_000_000
  await use(10_000, 10_000 + keys)
  const nanos = ((performance.now() - began) / keys) * 1e6
  const growth = (heap() - before) / 1e6
  return [
    row({
      suite,
      name: "breaker, heap growth after 1,000,000 idle keys",
      value: Math.max(0, growth),
      unit: "MB",
      target: { text: "≤ 5 MB", holds: (value) => value <= 5 }
    }),
    row({ suite, name: "breaker, keys kept of them", value: breaker.keys().length, unit: "keys" }),
    row({ suite, name: "breaker, first call of a new key", value: nanos, unit: "ns/call" })
  ]
}
