/**
 * A lesser answer in place of a failure, said to be one.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

import * as DegradedMode from "./DegradedMode.ts"
import * as Options from "./Options.ts"
import type { Rescue } from "./Policy.ts"

const checks = Options.checks("Fallback")

/**
 * The fallback failed as well.
 *
 * @category errors
 * @since 0.1.0
 */
export class FallbackFailed extends Schema.TaggedClass<FallbackFailed>("@nexobot/core/Fallback/FallbackFailed")(
  "FallbackFailed",
  {
    /** Why the fallback failed. */
    failure: Schema.Unknown
  }
) {}

/**
 * Neither the call nor its fallback has an answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class FallbackError extends Schema.TaggedError<FallbackError>("@nexobot/core/FallbackError")("FallbackError", {
  /** The fallback's name. */
  fallback: Schema.String,
  /** Why the call itself failed. */
  original: Schema.Unknown,
  reason: FallbackFailed
}) {
  override get message(): string {
    return `the call failed (${DegradedMode.whyOf(this.original)}), and so did the fallback "${this.fallback}" (${DegradedMode.whyOf(this.reason.failure)}); see to the call first`
  }
}

/**
 * What was answered, and whether it is the lesser answer, with the failure that it stands for.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer<A, B, E> =
  | { readonly degraded: false; readonly value: A }
  | { readonly degraded: true; readonly value: B; readonly error: E }

/**
 * - `answers`: lesser answers given.
 * - `failures`: calls for which the fallback failed as well.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly answers: number
  readonly failures: number
}

/**
 * Takes failures of type `EIn` and answers with a `B`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fallback<in EIn, out B, out E = never, out R = never, out Kept extends boolean = boolean> {
  /** Answers with the value alone. */
  readonly policy: Rescue<EIn, B, E, R, Kept>
  /** Answers with the value, and says whether it is the lesser one. */
  readonly answer: <A, E1 extends EIn, R1>(
    self: Effect.Effect<A, E1, R1>
  ) => Effect.Effect<Answer<A, B, E1>, E | (Kept extends true ? E1 : never), R1 | R>
  /** `Degraded` from the first lesser answer until a call that began after the last one succeeds. */
  readonly mode: Effect.Effect<DegradedMode.DegradedMode>
  /** The mode at once, and each change of it. */
  readonly changes: Stream.Stream<DegradedMode.DegradedMode>
  readonly stats: Effect.Effect<Stats>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface FallbackOptions<in EIn, out B, out E2, out R2> {
  /** The lesser answer. Keep it simple: it should need nothing that can fail in the same way. */
  readonly to: (error: EIn) => Effect.Effect<B, E2, R2>
  /** Shows in metrics and errors; `fallback` unless told. */
  readonly name?: string
}

/** A fallback that cannot fail adds no failure. */
type Added<E2> = [E2] extends [never] ? never : FallbackError

/**
 * Refuses options whose functions are none; those of promises are checked before they are wrapped.
 *
 * @internal
 */
export const check = (options: { readonly to: unknown; readonly when?: unknown }): void => {
  checks.known(options, ["to", "when", "name"])
  const { to, when } = options
  if (typeof to !== "function") checks.fail("to", to, "a function of the failure")
  if (when !== undefined && typeof when !== "function") checks.fail("when", when, "a predicate of the failure")
}

/**
 * Answers failures with something lesser. Defects and interruptions pass: a bug is not served as if it were an outage.
 *
 * Without `when` every failure is taken, and the type of the guarded effect says that none is left.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make<B, E2 = never, R2 = never, EIn = unknown>(
  options: FallbackOptions<EIn, B, E2, R2> & {
    /** Which failures are answered; the others pass as they are. What it throws is a defect, beside the failure. */
    readonly when: (error: EIn) => boolean
  }
): Effect.Effect<Fallback<EIn, B, Added<E2>, R2, true>>
export function make<B, E2 = never, R2 = never, EIn = unknown>(
  options: FallbackOptions<EIn, B, E2, R2> & { readonly when?: undefined }
): Effect.Effect<Fallback<EIn, B, Added<E2>, R2, false>>
export function make<B, E2, R2, EIn>(
  options: FallbackOptions<EIn, B, E2, R2> & { readonly when?: ((error: EIn) => boolean) | undefined }
): Effect.Effect<Fallback<EIn, B, FallbackError, R2>> {
  check(options)
  const { to, when } = options
  const name = checks.nonEmptyString("name", options.name ?? "fallback")
  const attributes = { name }
  const given = Metric.counter("nexobot_fallback_answers", { attributes, incremental: true })
  const failed = Metric.counter("nexobot_fallback_failures", { attributes, incremental: true })

  return Effect.gen(function* () {
    const tracker = yield* DegradedMode.make(Metric.gauge("nexobot_fallback_degraded", { attributes }))
    const stats = { answers: 0, failures: 0 }
    // A success says that the trouble is over only if its call began after the last failure was seen.
    let begun = 0
    let lastFailure = 0

    const lesser = (error: EIn) =>
      to(error).pipe(
        Effect.tapCause((cause) => {
          if (!Cause.hasFails(cause)) return Effect.void
          stats.failures += 1
          return Metric.update(failed, 1)
        }),
        Effect.mapError(
          (failure) => new FallbackError({ fallback: name, original: error, reason: new FallbackFailed({ failure }) })
        ),
        Effect.tap(() => {
          stats.answers += 1
          return Metric.update(given, 1)
        })
      )

    const guard = <A, E1 extends EIn, R1, X, Y>(
      self: Effect.Effect<A, E1, R1>,
      usual: (value: A) => X,
      instead: (value: B, error: E1) => Y
    ) =>
      Effect.suspend(() => {
        const turn = ++begun
        return Effect.matchCauseEffect(self, {
          onSuccess: (value) =>
            tracker.isDegraded() && turn > lastFailure
              ? Effect.as(tracker.recover, usual(value))
              : Effect.succeed(usual(value)),
          onFailure: (cause): Effect.Effect<X | Y, E1 | FallbackError, R2> => {
            const error = Cause.findErrorOption(cause)
            if (Option.isNone(error)) return Effect.failCause(cause)
            const taken = Result.try(() => when?.(error.value) !== false)
            // A bug in `when` is shown beside the failure, and does not hide it.
            if (Result.isFailure(taken)) return Effect.failCause(Cause.combine(cause, Cause.die(taken.failure)))
            if (!taken.success) return Effect.failCause(cause)
            lastFailure = begun
            return tracker.degrade(DegradedMode.whyOf(error.value)).pipe(
              Effect.andThen(lesser(error.value)),
              Effect.map((value) => instead(value, error.value))
            )
          }
        })
      })

    return {
      policy: (self) => guard(self, identity, identity),
      answer: (self) =>
        guard(
          self,
          (value) => ({ degraded: false, value }) as const,
          (value, error) => ({ degraded: true, value, error }) as const
        ),
      mode: tracker.mode,
      changes: tracker.changes,
      stats: Effect.sync(() => ({ ...stats }))
    }
  })
}
