/**
 * Whether something serves as it should, or is reduced on purpose: since when, and why.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

import * as Monotonic from "./Monotonic.ts"

/**
 * It serves as it should.
 *
 * @category models
 * @since 0.1.0
 */
export interface Normal {
  readonly _tag: "Normal"
  /** A label; how long ago that was is told by `monotonic`. */
  readonly since: DateTime.Utc
  /** Milliseconds of the monotonic clock. */
  readonly monotonic: number
}

/**
 * It serves, with less.
 *
 * @category models
 * @since 0.1.0
 */
export interface Degraded {
  readonly _tag: "Degraded"
  /** A label; how long ago that was is told by `monotonic`. */
  readonly since: DateTime.Utc
  /** Milliseconds of the monotonic clock. */
  readonly monotonic: number
  /** What went wrong first, in words. */
  readonly why: string
}

/**
 * @category models
 * @since 0.1.0
 */
export type DegradedMode = Normal | Degraded

/**
 * Keeps a mode; for policies that have one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tracker {
  readonly mode: Effect.Effect<DegradedMode>
  /** The mode at once, and each change of it. */
  readonly changes: Stream.Stream<DegradedMode>
  /** The same without an effect, for code that is too hot for one. */
  readonly isDegraded: () => boolean
  /** Nothing happens when it is degraded already: the first reason stays. */
  readonly degrade: (why: string) => Effect.Effect<void>
  /** Nothing happens when it is normal already. */
  readonly recover: Effect.Effect<void>
}

/**
 * Words for what went wrong.
 *
 * @category conversions
 * @since 0.1.0
 */
export const whyOf = (error: unknown): string => (error instanceof Error ? error.message || error.name : String(error))

/**
 * Begins with `Normal`. `gauge` is the metric that shows the mode, 0 or 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (gauge: Metric.Gauge<number>): Effect.fn.Return<Tracker> {
  const at = Effect.all({ since: DateTime.now, monotonic: Monotonic.millis })
  const ref = yield* SubscriptionRef.make<DegradedMode>({ _tag: "Normal", ...(yield* at) })
  yield* Metric.update(gauge, 0)
  let degraded = false
  const change = (to: boolean, as: (now: Effect.Success<typeof at>) => DegradedMode) =>
    Effect.suspend(() => {
      if (degraded === to) return Effect.void
      degraded = to
      return at.pipe(
        Effect.flatMap((now) => SubscriptionRef.set(ref, as(now))),
        Effect.andThen(Metric.update(gauge, to ? 1 : 0))
      )
      // As a whole: otherwise a caller who leaves in between leaves a mode that nobody is told of.
    }).pipe(Effect.uninterruptible)
  return {
    mode: SubscriptionRef.get(ref),
    changes: SubscriptionRef.changes(ref),
    isDegraded: () => degraded,
    degrade: (why) => change(true, (now) => ({ _tag: "Degraded", ...now, why })),
    recover: change(false, (now) => ({ _tag: "Normal", ...now }))
  }
})
