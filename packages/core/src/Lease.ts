/**
 * The exclusive right to act on a component or a resource. Each lease bears a fencing token that grows with every
 * grant, so that a record of a later holder is told from one of an earlier holder.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

/**
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly resource: string
  /** Grows with every grant. */
  readonly fence: number
}

/**
 * @category services
 * @since 0.1.0
 */
export class Leases extends Context.Service<
  Leases,
  {
    /** Takes the lease until the scope closes; `None` when somebody has it. Never waits. */
    readonly take: (resource: string) => Effect.Effect<Option.Option<Lease>, never, Scope.Scope>
  }
>()("@nexobot/core/Lease/Leases") {}

/**
 * Leases among the fibers of one process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Leases> = Layer.sync(Leases, () => {
  const held = new Map<string, number>()
  let fence = 0
  return Leases.of({
    take: (resource) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          if (held.has(resource)) return Option.none()
          fence += 1
          held.set(resource, fence)
          return Option.some<Lease>({ resource, fence })
        }),
        (lease) => Effect.sync(() => Option.isSome(lease) && held.delete(resource))
      )
  })
})
