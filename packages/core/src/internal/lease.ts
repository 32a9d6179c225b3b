import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

import { type Lease, LeaseError, Unavailable } from "../Lease.ts"
import * as Monotonic from "../Monotonic.ts"
import type { Checks } from "../Options.ts"

/** `kept`: renewed. `gone`: somebody else's, or nobody's. `unknown`: no answer; it is asked again. */
export type Renewal = "kept" | "gone" | "unknown"

/** The duration of a Kubernetes leader's lease; renewed at a third of it. */
const defaultTtl = "15 seconds"

/** Below this a busy event loop loses leases that nobody wanted. */
const leastTtl = "100 millis"

/** Timers, and Postgres, count milliseconds in 31 bits; and nobody waits for a dead holder that long. */
const mostTtl = Duration.days(1)

/** In whole milliseconds. */
export const checkTtl = (checks: Checks, ttl: Duration.Input | undefined): number => {
  const duration = checks.duration("ttl", ttl ?? defaultTtl, leastTtl)
  return Duration.isGreaterThan(duration, mostTtl)
    ? checks.fail("ttl", ttl, `at most ${Duration.format(mostTtl)}`)
    : Math.ceil(Duration.toMillis(duration))
}

export const unavailable = (resource: string, cause: unknown): LeaseError =>
  new LeaseError({
    resource,
    reason: new Unavailable({ why: cause instanceof Error ? cause.message : String(cause) })
  })

/**
 * `None` after so many milliseconds, sharp: unlike `Effect.timeoutOption` it does not wait for what it interrupts, such
 * as a query whose cancelling a frozen server does not answer for seconds.
 */
export const within = Effect.fnUntraced(function* <A, E>(self: Effect.Effect<A, E>, millis: number) {
  const fiber = yield* Effect.forkDetach(self)
  return yield* Fiber.join(fiber).pipe(
    Effect.timeoutOption(millis),
    Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe()))
  )
})

const lostCount = Metric.counter("nexobot_lease_lost", {
  description: "Leases that ended before their holders let go of them",
  incremental: true
})

/**
 * Makes the lease, and renews it until the scope closes. The right is counted from when a request was sent, so that it
 * ends here no later than where it is kept, whatever the answer took.
 */
export const keep = Effect.fnUntraced(function* (options: {
  readonly adapter: string
  readonly resource: string
  readonly fence: number
  /** Milliseconds. */
  readonly ttl: number
  /** When the request that was granted was sent, by the monotonic clock. */
  readonly since: number
  readonly renew: Effect.Effect<Renewal>
  /** Completes when the right is seen to end. */
  readonly cut: Effect.Effect<void>
}): Effect.fn.Return<Lease, never, Scope.Scope> {
  const { adapter, fence, resource, ttl } = options
  const lost = yield* Deferred.make<void>()
  const expiry = Effect.gen(function* () {
    let until = options.since + ttl
    let pause = ttl / 3
    for (;;) {
      yield* Effect.sleep(Math.max(0, Math.min(pause, until - (yield* Monotonic.millis))))
      const sent = yield* Monotonic.millis
      // Not asked any more: whoever wakes up this late must not act until an answer has come.
      if (sent >= until) return
      const renewal = Option.getOrElse(yield* within(options.renew, until - sent), () => "unknown")
      if (renewal === "gone") return
      if (renewal === "kept") until = sent + ttl
      pause = renewal === "kept" ? ttl / 3 : ttl / 10
    }
  })
  yield* Effect.raceFirst(expiry, options.cut).pipe(
    Effect.andThen(Deferred.succeed(lost, undefined)),
    Effect.andThen(Metric.update(Metric.withAttributes(lostCount, { adapter }), 1)),
    Effect.andThen(Effect.logWarning(`the lease of ${resource} with fence ${fence} was lost`)),
    Effect.forkScoped
  )
  return { resource, fence, lost: Deferred.await(lost) }
})
