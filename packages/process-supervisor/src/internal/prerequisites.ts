/** Waits for what is not supervised here. */
import * as Probe from "@nexobot/core/Probe"
import type { Signature, Verdict } from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

export interface Missing {
  /** Its name. */
  readonly probe: string
  readonly why: string
}

const pause = "1 second"
/** For a probe without a bound of its own: one that never answers must not be waited for in silence. */
const patience = "5 seconds"

const whyNot = (verdict: Verdict<Signature>): string | undefined => {
  switch (verdict._tag) {
    case "Healthy":
    case "Degraded":
      return undefined
    case "Inconclusive":
      return verdict.reason
    case "Unhealthy":
      return verdict.signature._tag
  }
}

const firstMissing = Effect.fnUntraced(function* <R>(
  probes: ReadonlyArray<Probe.Probe<Signature, R>>
): Effect.fn.Return<Missing | undefined, never, R> {
  for (const probe of probes) {
    const verdict = yield* Effect.timeoutOption(Probe.examine(probe), probe.timeout ?? patience)
    const why = Option.isSome(verdict) ? whyNot(verdict.value) : "no answer"
    if (why !== undefined) return { probe: probe.name, why }
  }
  return undefined
})

/** Ends when all of them are healthy or degraded; `onMissing` is called for each other reason to wait. */
export const hold = Effect.fnUntraced(function* <R>(
  probes: ReadonlyArray<Probe.Probe<Signature, R>>,
  onMissing: (missing: Missing) => void
): Effect.fn.Return<void, never, R> {
  let said: Missing | undefined
  while (true) {
    const missing = yield* firstMissing(probes)
    if (missing === undefined) return
    if (missing.probe !== said?.probe || missing.why !== said.why) onMissing(missing)
    said = missing
    yield* Effect.sleep(pause)
  }
})
