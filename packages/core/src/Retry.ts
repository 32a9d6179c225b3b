/**
 * Tries again, after a pause, what failed for a reason that may pass.
 *
 * A pause is the longer the more attempts failed, random, and never shorter than what the failure asks for. Callers that
 * share a `RetryBudget` cannot together multiply the load of a backend that is down. Defects and interruptions are never
 * retried, and a refusal by another policy only when it says after how long the call has a chance.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"

import * as Backoff from "./Backoff.ts"
import * as Monotonic from "./Monotonic.ts"
import * as Options from "./Options.ts"
import * as Outcome from "./Outcome.ts"
import type { RetryBudget } from "./RetryBudget.ts"

const checks = Options.checks("Retry")

/**
 * The number of the attempt that runs, from 1; the effect that is retried can read it.
 *
 * @category references
 * @since 0.1.0
 */
export const Attempt: Context.Reference<number> = Context.Reference<number>("@nexobot/core/Retry/Attempt", {
  defaultValue: () => 1
})

/**
 * The budget that is shared with other callers has no retry left.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExhausted extends Schema.TaggedClass<BudgetExhausted>("@nexobot/core/Retry/BudgetExhausted")(
  "BudgetExhausted",
  {}
) {}

/**
 * The total timeout has passed, or would have before the next attempt.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedClass<DeadlineExceeded>("@nexobot/core/Retry/DeadlineExceeded")(
  "DeadlineExceeded",
  { totalTimeout: Schema.Duration }
) {}

/**
 * No attempt was left, and the last one was interrupted at its own timeout.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttemptTimedOut extends Schema.TaggedClass<AttemptTimedOut>("@nexobot/core/Retry/AttemptTimedOut")(
  "AttemptTimedOut",
  { attemptTimeout: Schema.Duration }
) {}

/**
 * Retrying ended for a reason other than what the call fails with. When the attempts are used up, or the failure is not
 * worth another, the failure itself comes out as it is.
 *
 * @category errors
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it types the cause
export class RetryError<E = unknown> extends Data.TaggedError("RetryError")<{
  readonly reason: BudgetExhausted | DeadlineExceeded | AttemptTimedOut
  /** Attempts that were made. */
  readonly attempts: number
  /** What the call failed with last; `undefined` when it only timed out. */
  readonly cause: E | undefined
}> {
  override get message(): string {
    const after = `gave up after ${this.attempts === 1 ? "1 attempt" : `${this.attempts} attempts`}`
    switch (this.reason._tag) {
      case "BudgetExhausted":
        return `${after}: the retry budget is exhausted, since too many recent calls fail; see to what fails (cause)`
      case "DeadlineExceeded":
        return `${after}: another does not fit into the total timeout of ${Duration.format(this.reason.totalTimeout)}`
      case "AttemptTimedOut":
        return `${after}: the last did not end within ${Duration.format(this.reason.attemptTimeout)}`
    }
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions {
  /** Of the metrics; `retry` unless told. */
  readonly name?: string
  /** Attempts in all, with the first; 3 unless told. */
  readonly attempts?: number
  /** The pause between attempts; `Backoff.exponential()` unless told, with full jitter. */
  readonly backoff?: Backoff.Backoff
  /** Limits the retries of all that share it; none unless told. */
  readonly budget?: RetryBudget
  /**
   * For how long a failure asks to be left alone; `now` is wall time in milliseconds, for dates. Where it says nothing,
   * and unless told, `Outcome.retryAfter` does. The pause is that plus the backoff's, so that callers who were told the
   * same do not return together. An infinite duration means never.
   */
  readonly retryAfter?: (error: unknown, now: number) => Duration.Input | undefined
  /** Whether a failure may pass; any, unless told. Asked only about failures that could be retried. */
  readonly while?: (error: unknown) => boolean
  /**
   * An attempt that takes longer is interrupted and counts as one that failed; no limit unless told. With a circuit
   * breaker inside use the `timeout` layer of `Policy.compose`, which stands within the breaker: what is inside this
   * limit is interrupted, and an interruption says nothing to a breaker, whose circuit stays closed.
   */
  readonly attemptTimeout?: Duration.Input
  /** For all attempts and pauses together; no limit unless told. Time is monotonic. */
  readonly totalTimeout?: Duration.Input
}

const optionNames = [
  "name",
  "attempts",
  "backoff",
  "budget",
  "retryAfter",
  "while",
  "attemptTimeout",
  "totalTimeout"
] satisfies ReadonlyArray<keyof RetryOptions>

/**
 * @category models
 * @since 0.1.0
 */
export interface Retry {
  /** A `Policy<RetryError>`, with the type of the error's cause kept. */
  readonly policy: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryError<E>, R>
}

/** What does not change between the attempts of one call. */
interface Call<A, E, R> {
  readonly self: Effect.Effect<A, E, R>
  /** In monotonic milliseconds; infinite without a total timeout. */
  readonly deadline: number
}

const retries = Metric.counter("nexobot_retry_retries", { description: "Attempts after the first", incremental: true })
const gaveUp = Metric.counter("nexobot_retry_gave_up", {
  description: "Calls that failed although their failure was worth another attempt",
  incremental: true
})

/** The error of a cause that has nothing but failures: a defect or an interruption beside one weighs more. */
const errorOf = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  cause.reasons.every(Cause.isFailReason) ? Cause.findErrorOption(cause) : Option.none()

/** An outer retry must not spend what an inner one was refused. */
const isRefused = (error: unknown): boolean => error instanceof RetryError && error.reason._tag === "BudgetExhausted"

const isBudget = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  "deposit" in value &&
  typeof value.deposit === "function" &&
  "withdraw" in value &&
  typeof value.withdraw === "function"

/**
 * A policy that retries. Outside a circuit breaker, so that each attempt is seen by it; inside a deadline for all.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: RetryOptions = {}): Retry => {
  checks.known(options, optionNames)
  const name = checks.nonEmptyString("name", options.name ?? "retry")
  const attempts = checks.integer("attempts", options.attempts ?? 3, 1)
  const { budget } = options
  const backoff = options.backoff ?? Backoff.exponential()
  if (typeof backoff.delay !== "function") checks.fail("backoff", backoff, "a Backoff, such as Backoff.exponential()")
  if (budget !== undefined && !isBudget(budget)) {
    checks.fail("budget", budget, "a RetryBudget, as RetryBudget.make() gives")
  }
  for (const option of ["retryAfter", "while"] as const) {
    const value = options[option]
    if (value !== undefined && typeof value !== "function") checks.fail(option, value, "a function")
  }
  const timeout = (option: "attemptTimeout" | "totalTimeout") =>
    options[option] === undefined ? undefined : checks.duration(option, options[option], "1 milli")
  const attemptTimeout = timeout("attemptTimeout") ?? Duration.infinity
  const totalTimeout = timeout("totalTimeout") ?? Duration.infinity
  const perAttempt = Duration.toMillis(attemptTimeout)
  const inAll = Duration.toMillis(totalTimeout)
  const budgetExhausted = new BudgetExhausted()
  const deadlineExceeded = new DeadlineExceeded({ totalTimeout })
  const attemptTimedOut = new AttemptTimedOut({ attemptTimeout })

  const retried = Metric.update(Metric.withAttributes(retries, { name }), 1)
  const stopped = (reason: string) => Metric.update(Metric.withAttributes(gaveUp, { name, reason }), 1)
  const giveUp = <E>(reason: RetryError["reason"], made: number, cause: E | undefined) =>
    Effect.andThen(stopped(reason._tag), () => Effect.fail(new RetryError<E>({ reason, attempts: made, cause })))

  /** Milliseconds; `undefined` when it asks for nothing. */
  const askedBy = (error: unknown): Effect.Effect<number | undefined> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const asked = options.retryAfter?.(error, now) ?? Outcome.retryAfter(error)
      return asked === undefined
        ? undefined
        : Option.getOrUndefined(Option.map(Duration.fromInput(asked), (least) => Math.max(0, Duration.toMillis(least))))
    })

  /** Returns when the next attempt may start. */
  const pause = Effect.fnUntraced(function* <E>(
    deadline: number,
    made: number,
    last: E | undefined,
    failure: Effect.Effect<never, E | RetryError<E>>,
    asked: number
  ): Effect.fn.Return<void, E | RetryError<E>> {
    const wait = asked + backoff.delay(made - 1, yield* Random.next)
    if (made >= attempts || !Number.isFinite(wait)) {
      yield* stopped(made >= attempts ? "AttemptsExhausted" : "NeverAgain")
      return yield* failure
    }
    // Giving up now is better than after a pause that leaves no time.
    if (deadline < Infinity && (yield* Monotonic.millis) + wait >= deadline) {
      return yield* giveUp(deadlineExceeded, made, last)
    }
    if (budget?.withdraw() === false) return yield* giveUp(budgetExhausted, made, last)
    yield* retried
    yield* Effect.sleep(wait)
  })

  const attempt = <A, E, R>(
    call: Call<A, E, R>,
    number: number,
    last: E | undefined
  ): Effect.Effect<A, E | RetryError<E>, R> => {
    const again = (latest: E | undefined, failure: Effect.Effect<never, E | RetryError<E>>, asked: number) =>
      Effect.flatMap(pause(call.deadline, number, latest, failure, asked), () => attempt(call, number + 1, latest))
    const failed = (cause: Cause.Cause<E>): Effect.Effect<A, E | RetryError<E>, R> => {
      const failure = Effect.failCause(cause)
      const error = errorOf(cause)
      if (Option.isNone(error) || isRefused(error.value) || options.while?.(error.value) === false) return failure
      return Effect.flatMap(askedBy(error.value), (asked) =>
        asked === undefined && Outcome.isRefusal(error.value) ? failure : again(error.value, failure, asked ?? 0)
      )
    }
    const numbered = Effect.withFiber((fiber) =>
      fiber.getRef(Attempt) === number ? call.self : Effect.provideService(call.self, Attempt, number)
    )
    const within = (left: number) =>
      Effect.matchCauseEffect(Effect.timeoutOption(numbered, Math.min(left, perAttempt)), {
        onFailure: failed,
        onSuccess: (value): Effect.Effect<A, E | RetryError<E>, R> => {
          if (Option.isSome(value)) return Effect.succeed(value.value)
          if (left <= perAttempt) return giveUp(deadlineExceeded, number, last)
          const late = new RetryError<E>({ reason: attemptTimedOut, attempts: number, cause: last })
          return again(last, Effect.fail(late), 0)
        }
      })
    if (call.deadline < Infinity) {
      return Effect.flatMap(Monotonic.millis, (now) => {
        const left = call.deadline - now
        return left > 0 ? within(left) : giveUp(deadlineExceeded, number - 1, last)
      })
    }
    return perAttempt < Infinity ? within(Infinity) : Effect.catchCause(numbered, failed)
  }

  return {
    policy: (self) =>
      Effect.suspend(() => {
        budget?.deposit()
        if (inAll === Infinity) return attempt({ self, deadline: Infinity }, 1, undefined)
        return Effect.flatMap(Monotonic.millis, (now) => attempt({ self, deadline: now + inAll }, 1, undefined))
      })
  }
}
