/**
 * What a call says about the health of what was called.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"

/**
 * - `success`: it works.
 * - `failure`: it does not.
 * - `ignored`: says nothing about it, as a caller's own mistake, an interruption, or a refusal of ours.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "success" | "failure" | "ignored"

/**
 * Judges a call by what it returned, or failed or died with. Interruptions are always ignored and not asked about.
 *
 * @category models
 * @since 0.1.0
 */
export type Classify = (result: Result.Result<unknown, unknown>) => Outcome

/**
 * Marks errors with which a policy of ours refused a call before it was made: they say nothing about what would have
 * been called.
 *
 * @category models
 * @since 0.1.0
 */
export const refusal: unique symbol = Symbol.for("@nexobot/core/Outcome/refusal")

/**
 * Whether a policy refused the call before it was made.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isRefusal = (error: unknown): boolean => typeof error === "object" && error !== null && refusal in error

/**
 * Success is success; a refusal of ours is ignored; any other failure, defects included, is a failure.
 *
 * @category constants
 * @since 0.1.0
 */
export const byResult: Classify = (result) =>
  result._tag === "Success" ? "success" : isRefusal(result.failure) ? "ignored" : "failure"

/**
 * Judges how a call ended; an interruption is ignored without asking.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ofExit = (exit: Exit.Exit<unknown, unknown>, classify: Classify): Outcome => {
  if (Exit.isSuccess(exit)) return classify(Result.succeed(exit.value))
  return Cause.hasInterruptsOnly(exit.cause) ? "ignored" : classify(Result.fail(Cause.squash(exit.cause)))
}

/**
 * How long an error asks to be left alone, if it does: its `retryAfter`, a `Duration`. Errors of this package have it;
 * for others give the policy a function of your own, such as one that parses a `Retry-After` header.
 *
 * @category accessors
 * @since 0.1.0
 */
export const retryAfter = (error: unknown): Duration.Duration | undefined =>
  typeof error === "object" && error !== null && "retryAfter" in error && Duration.isDuration(error.retryAfter)
    ? error.retryAfter
    : undefined
