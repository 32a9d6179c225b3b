import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import type * as DegradedMode from "../../DegradedMode.ts"

/**
 * The mode of a policy that has one.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseMode {
  readonly mode: () => DegradedMode.DegradedMode
  /**
   * Calls the listener soon after every change, until the function that is returned here is called. What it throws is an
   * uncaught exception of the process, and the policy goes on.
   */
  readonly onModeChange: (listener: (mode: DegradedMode.DegradedMode) => void) => () => void
}

export const fromTracker = (tracker: Pick<DegradedMode.Tracker, "mode" | "changes">): PromiseMode => ({
  mode: () => Effect.runSync(tracker.mode),
  onModeChange: (listener) =>
    Effect.runCallback(
      // The first is the mode as it is. A listener that throws must neither end this nor go unheard.
      Stream.runForEach(Stream.drop(tracker.changes, 1), (mode) =>
        Effect.sync(() => queueMicrotask(() => listener(mode)))
      )
    )
})
