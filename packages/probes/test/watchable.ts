/** Probes that do as they are told, for tests of what watches them, and what they tell of it. */
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

import type * as Runner from "../src/Runner.ts"

export class Sick extends Schema.TaggedClass<Sick>("@nexobot/probes/test/Sick")("Test/Sick", {}) {}
export class Ill extends Schema.TaggedClass<Ill>("@nexobot/probes/test/Ill")("Test/Ill", {}) {}

export const healthy = Effect.succeed(Verdict.healthy)
export const sick = Effect.succeed(Verdict.unhealthy(new Sick(), ["it coughs"]))
export const ill = Effect.succeed(Verdict.degraded(new Ill(), ["it sneezes"]))

type Options = Partial<Pick<Parameters<typeof Probe.make>[0], "target" | "reach" | "question" | "cost" | "timeout">>

/** The verdict of the last check in a word, or why it says nothing. */
export const reasonOf = (result: Runner.Result | undefined): string =>
  result?.verdict._tag === "Inconclusive" ? result.verdict.reason : `${result?.verdict._tag}`

/** What comes from now on, as it comes. */
export const recorded = <S extends Verdict.Signature>(runner: Runner.Runner<S>) =>
  Effect.gen(function* () {
    const seen: Array<Runner.Result<S>> = []
    yield* Effect.forkScoped(
      Stream.runForEach(runner.results, (result) => Effect.sync(() => seen.push(result))),
      { startImmediately: true }
    )
    return seen
  })

/** The state of a metric with these attributes. */
export const metricState = (id: string, attributes: Readonly<Record<string, string>>) =>
  Effect.map(
    Metric.snapshot,
    (all): object | undefined =>
      all.find(
        (one) => one.id === id && Object.entries(attributes).every(([key, value]) => one.attributes?.[key] === value)
      )?.state
  )

/** The value of a counter or gauge with these attributes. */
export const metric = (id: string, attributes: Readonly<Record<string, string>>) =>
  Effect.map(metricState(id, attributes), (state = {}) =>
    "count" in state ? state.count : "value" in state ? state.value : undefined
  )

export interface Watchable {
  readonly probe: Probe.Probe<Sick | Ill>
  /** When each check began, in milliseconds. */
  readonly begun: Array<number>
  readonly inFlight: () => number
  readonly mostInFlight: () => number
  /** What its checks do from now on. */
  act: Effect.Effect<Verdict.Verdict<Sick | Ill>>
}

export const watchable = (name: string, options: Options = {}): Watchable => {
  let inFlight = 0
  let most = 0
  const begun: Array<number> = []
  const check = Effect.clockWith((clock) => {
    begun.push(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
    inFlight += 1
    most = Math.max(most, inFlight)
    return Effect.ensuring(
      self.act,
      Effect.sync(() => {
        inFlight -= 1
      })
    )
  })
  const self: Watchable = {
    probe: Probe.make({ name, reports: [Sick, Ill], check, ...options }),
    begun,
    inFlight: () => inFlight,
    mostInFlight: () => most,
    act: healthy
  }
  return self
}
