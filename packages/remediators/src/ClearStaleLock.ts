/**
 * Removes a lock file whose owner is proven dead by pid, start time and boot id. A live owner's lock is never removed.
 *
 * @since 0.1.0
 */
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as Remediator from "@nexobot/core/Remediator"
import * as Effect from "effect/Effect"

const id = "clear-stale-lock"

/**
 * Treats any signature with a path, such as `Lock/Stale`. The owner is judged anew right before the file is removed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Remediator.Remediator<{ readonly path: string }> =>
  Remediator.make({
    id,
    description: "remove the lock of a dead owner",
    blastRadius: "file",
    reversible: false,
    privilege: "own-user",
    precondition: ({ path }: { readonly path: string }) =>
      OwnerLock.status(path).pipe(
        Effect.mapError((error) => Remediator.refused(id, error.message)),
        Effect.flatMap((status) =>
          status._tag === "Stale"
            ? Effect.void
            : Effect.fail(Remediator.refused(id, `${path} is ${status._tag.toLowerCase()}`))
        )
      ),
    apply: ({ path }: { readonly path: string }) =>
      OwnerLock.clearStale(path).pipe(
        Effect.mapError((error) =>
          error._tag === "OwnerLockError" && error.reason._tag === "NotStale"
            ? Remediator.refused(id, error.message)
            : Remediator.failed(id, error.message)
        )
      )
  })
