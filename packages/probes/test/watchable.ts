/** Probes that do as they are told, for tests of what watches them. */
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export class Sick extends Schema.TaggedClass<Sick>("@nexobot/probes/test/Sick")("Test/Sick", {}) {}
export class Ill extends Schema.TaggedClass<Ill>("@nexobot/probes/test/Ill")("Test/Ill", {}) {}

export const healthy = Effect.succeed(Verdict.healthy)
export const sick = Effect.succeed(Verdict.unhealthy(new Sick(), ["it coughs"]))
export const ill = Effect.succeed(Verdict.degraded(new Ill(), ["it sneezes"]))

type Options = Partial<Pick<Parameters<typeof Probe.make>[0], "target" | "reach" | "question" | "cost">>

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
