/**
 * The exclusive right to act on a component or a resource. Each lease bears a fencing token that grows with every
 * grant, so that a record of a later holder is told from one of an earlier holder.
 *
 * Where the right is kept is an adapter's choice: one process (`layerMemory`), one machine or volume (`FileLeases`),
 * Redis (`RedisLeases`) or Postgres (`PostgresLeases`).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

import { checkName } from "./internal/leaseName.ts"

/**
 * The place where leases are kept does not answer, or answers nonsense: whether the lease is free is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedClass<Unavailable>("@nexobot/core/Lease/Unavailable")("Unavailable", {
  why: Schema.String
}) {}

/**
 * Nothing was granted. Act as though somebody else had the lease, and try again later.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseError extends Schema.TaggedError<LeaseError>("@nexobot/core/LeaseError")("LeaseError", {
  resource: Schema.String,
  reason: Schema.Union([Unavailable])
}) {
  override get message(): string {
    return `the lease of ${this.resource} was not granted: ${this.reason.why}; do not act on it, try again later`
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly resource: string
  /**
   * Grows with every grant of the resource. Hand it to what you act on, which then refuses one that is smaller than
   * the largest it has seen: no lease can stop a holder that was frozen and wakes up late.
   */
  readonly fence: number
  /**
   * Completes when the right ended before its scope did: it expired unrenewed, or the connection that held it was cut.
   * Race what you do with it (`Effect.raceFirst`). It never completes otherwise, nor after the scope closed.
   */
  readonly lost: Effect.Effect<void>
}

/**
 * @category services
 * @since 0.1.0
 */
export class Leases extends Context.Service<
  Leases,
  {
    /**
     * Takes the lease until the scope closes; `None` when somebody has it, the taker itself included. Never waits for
     * a holder.
     */
    readonly take: (resource: string) => Effect.Effect<Option.Option<Lease>, LeaseError, Scope.Scope>
  }
>()("@nexobot/core/Lease/Leases") {}

/**
 * Leases among the fibers of one process that share this layer: what is built apart knows nothing of each other. They are
 * never lost, and their fences begin anew with the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Leases> = Layer.sync(Leases, () => {
  const held = new Set<string>()
  let fence = 0
  return Leases.of({
    take: Effect.fnUntraced(function* (resource) {
      if (held.has(checkName(resource))) return Option.none()
      fence += 1
      held.add(resource)
      const lease = Option.some<Lease>({ resource, fence, lost: Effect.never })
      yield* Scope.addFinalizer(
        yield* Effect.scope,
        Effect.sync(() => held.delete(resource))
      )
      return lease
    }, Effect.uninterruptible)
  })
})
