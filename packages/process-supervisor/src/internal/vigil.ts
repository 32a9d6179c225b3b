/** Watches over one life of a process: whether it becomes ready in time, goes on working, and is due to be replaced. */
import * as Monotonic from "@nexobot/core/Monotonic"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import type { Signature, Verdict } from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Cron from "effect/Cron"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

import type { Liveness, ProcessSpec } from "../ProcessSpec.ts"

/** What a life shows of itself. */
export interface Signs {
  /** The word by which it says that it is ready, if it has to say one, was heard. */
  readonly saidReady: Effect.Effect<void>
  /** Monotonic milliseconds at which it was last heard; `undefined` before. */
  readonly lastWord: () => number | undefined
  /** Since it was spawned. */
  readonly age: Effect.Effect<Duration.Duration>
}

/** What is found out about it. Each may be called in any moment of its life. */
export interface Findings {
  readonly ready: Effect.Effect<void>
  /** It must not go on. */
  readonly unfit: (exit: ProcessExit.ProcessExit) => Effect.Effect<void>
  readonly recycle: (why: ProcessExit.Recycled["why"]) => Effect.Effect<void>
}

const readyPoll = Schedule.spaced("25 millis")

const isGood = (verdict: Verdict<Signature>): boolean => verdict._tag === "Healthy" || verdict._tag === "Degraded"

const isReady = <R>(spec: ProcessSpec<R>, signs: Signs): Effect.Effect<void, never, R> => {
  const { ready } = spec
  if (ready === "spawned") return Effect.void
  if (typeof ready === "string" || ready instanceof RegExp) return signs.saidReady
  // A probe that dies says nothing, as everywhere.
  return Probe.examine(ready).pipe(Effect.repeat({ schedule: readyPoll, until: isGood }), Effect.asVoid)
}

/** What others said while we did not listen is read in this time. */
const shortestBenefit = 50

/**
 * Sleeps, and a second time as long as the first one took too long, twice as long as asked for at most: who was held up
 * himself, by work of his own or because he was stopped, must not call others dead.
 */
const patience = Effect.fnUntraced(function* (millis: number) {
  const end = (yield* Monotonic.millis) + millis
  yield* Effect.sleep(millis)
  const late = (yield* Monotonic.millis) - end
  yield* Effect.sleep(Math.max(shortestBenefit, Math.min(late, millis)))
  // Timers come before what there is to read: not after the next turn of the event loop.
  yield* Effect.yieldNow
})

/** `None` when it takes longer, and it was not our fault. */
const within = <A, E, R>(effect: Effect.Effect<A, E, R>, limit: Duration.Duration) =>
  Effect.raceFirst(Effect.asSome(effect), Effect.as(patience(Duration.toMillis(limit)), Option.none<A>()))

/** A timer may come early by a fraction of a millisecond. */
const untilAge = Effect.fnUntraced(function* (age: Duration.Duration, signs: Signs) {
  const left = Effect.map(signs.age, (now) => Duration.toMillis(age) - Duration.toMillis(now))
  if (Duration.isZero(age)) return
  for (let millis = yield* left; millis > 0; millis = yield* left) yield* Effect.sleep(Math.ceil(millis))
})

/** Completes when it is ready, and has run long enough; `false` when that takes too long. */
export const awaitReady = Effect.fnUntraced(function* <R>(
  spec: ProcessSpec<R>,
  signs: Signs
): Effect.fn.Return<boolean, never, R> {
  // Most are ready as soon as they are spawned, and a timeout would cost them a turn of the event loop.
  if (spec.ready !== "spawned") {
    const ready = yield* within(isReady(spec, signs), spec.startGrace)
    if (Option.isNone(ready)) return false
  }
  yield* untilAge(spec.minUptime, signs)
  return true
})

const heartbeat = Effect.fnUntraced(function* (
  every: Duration.Duration,
  first: Duration.Duration,
  signs: Signs
): Effect.fn.Return<ProcessExit.LivenessFailed> {
  const began = yield* Monotonic.millis
  const deadline = () => {
    const last = signs.lastWord()
    return last === undefined
      ? began + Math.max(Duration.toMillis(first), Duration.toMillis(every))
      : Math.max(last, began) + Duration.toMillis(every)
  }
  for (let left = deadline() - began; left > 0; left = deadline() - (yield* Monotonic.millis)) yield* patience(left)
  const why =
    signs.lastWord() === undefined ? "it never sent a heartbeat" : `no heartbeat for ${Duration.format(every)}`
  return new ProcessExit.LivenessFailed({ why })
})

const reasonOf = (verdict: Verdict<Signature>): string =>
  verdict._tag === "Unhealthy" ? verdict.signature._tag : verdict._tag

const answers = Effect.fnUntraced(function* <R>(
  liveness: Extract<Liveness<R>, { _tag: "Probe" }>
): Effect.fn.Return<ProcessExit.LivenessFailed, never, R> {
  const { failures, interval, probe, timeout } = liveness
  let failed = 0
  while (true) {
    yield* Effect.sleep(interval)
    const verdict = yield* within(Probe.examine(probe), timeout)
    if (Option.isSome(verdict) && verdict.value._tag === "Inconclusive") continue
    if (Option.isSome(verdict) && isGood(verdict.value)) {
      failed = 0
      continue
    }
    failed += 1
    if (failed < failures) continue
    const why = Option.isSome(verdict) ? reasonOf(verdict.value) : `no answer within ${Duration.format(timeout)}`
    return new ProcessExit.LivenessFailed({ why: `${probe.name}: ${why}` })
  }
})

/** The wall clock may be set: it is looked at again at least so often. */
const longestSleep = 60_000

const awaitTime = Effect.fnUntraced(function* (cron: Cron.Cron) {
  const next = Cron.next(cron, new Date(yield* Clock.currentTimeMillis)).getTime()
  while (true) {
    const left = next - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* Effect.sleep(Duration.millis(Math.min(left, longestSleep)))
  }
})

/** Never completes by itself: it is interrupted when the life ends. */
export const keep = Effect.fnUntraced(function* <R>(
  spec: ProcessSpec<R>,
  signs: Signs,
  findings: Findings
): Effect.fn.Return<void, never, R> {
  if (!(yield* awaitReady(spec, signs))) {
    return yield* findings.unfit(new ProcessExit.ReadinessTimeout({ after: spec.startGrace }))
  }
  yield* findings.ready
  const { cron, liveness, maxAge } = spec
  const watches: Array<Effect.Effect<void, never, R>> = []
  if (liveness?._tag === "Heartbeat") {
    watches.push(Effect.flatMap(heartbeat(liveness.within, spec.startGrace, signs), findings.unfit))
  }
  if (liveness?._tag === "Probe") watches.push(Effect.flatMap(answers(liveness), findings.unfit))
  if (maxAge !== undefined) watches.push(Effect.andThen(untilAge(maxAge, signs), findings.recycle("MaxAge")))
  if (cron !== undefined) watches.push(Effect.andThen(awaitTime(cron), findings.recycle("Cron")))
  if (watches.length > 0) yield* Effect.all(watches, { concurrency: "unbounded", discard: true })
})
