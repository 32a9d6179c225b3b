/**
 * Sees to it that a supervised process is being started, after what kept it from starting is out of the way.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as Remediator from "@nexobot/core/Remediator"
import * as Effect from "effect/Effect"

const checks = Options.checks("StartProcess")

/**
 * Treats any signature. Starts a process that waits for its next restart or was given up; leaves one that is starting
 * or running alone. Refuses after a stop on request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (process: string): Remediator.Remediator<unknown, ProcessControl> => {
  const id = `start ${checks.nonEmptyString("process", process)}`
  const state = ProcessControl.use((control) => control.status(process)).pipe(Effect.map((status) => status.state))
  return Remediator.make({
    id,
    description: `start ${process}, if it does not run`,
    blastRadius: "process",
    reversible: true,
    precondition: () =>
      state.pipe(
        Effect.mapError((error) => Remediator.refused(id, error.message)),
        Effect.flatMap((now) =>
          now === "Stopped" || now === "Stopping"
            ? Effect.fail(Remediator.refused(id, `${process} was stopped on request`))
            : Effect.void
        )
      ),
    apply: () =>
      state.pipe(
        Effect.flatMap((now) =>
          now === "Waiting" || now === "Failed" || now === "Ended"
            ? ProcessControl.use((control) => control.restart(process))
            : Effect.void
        ),
        Effect.mapError((error) => Remediator.failed(id, error.message))
      )
  })
}
