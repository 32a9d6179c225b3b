/**
 * Restarts a supervised process: stops its whole tree, then starts it anew.
 *
 * @since 0.1.0
 */
import * as Options from "@nexobot/core/Options"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import { isDead, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Remediator from "@nexobot/core/Remediator"
import * as Effect from "effect/Effect"

const checks = Options.checks("RestartProcess")

/** A slow boot is no failure, and ending it only makes it slower. What is stopped by a signal, or dead, does not boot. */
const isBooting = Effect.fnUntraced(function* ({ identity, state }: ProcessControl.ProcessStatus) {
  if (state !== "Starting" || identity === undefined) return state === "Starting"
  const table = yield* ProcessTable
  const stat = yield* table.stat(identity.pid)
  return stat !== undefined && stat.startTime === identity.startTime && stat.state !== "T" && !isDead(stat)
})

/**
 * Treats any signature. Refuses while the process boots and after a stop on request, also one that comes after the
 * precondition.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (process: string): Remediator.Remediator<unknown, ProcessControl.ProcessControl> => {
  const id = `restart ${checks.nonEmptyString("process", process)}`
  const status = ProcessControl.ProcessControl.use((control) => control.status(process))
  const failed = (error: ProcessControl.ProcessControlError) => Remediator.failed(id, error.message)
  const unlessStopped = (now: ProcessControl.ProcessStatus) =>
    now.state === "Stopped" || now.state === "Stopping"
      ? Effect.fail(Remediator.refused(id, `${process} was stopped on request`))
      : Effect.void
  return Remediator.make({
    id,
    description: `stop the whole tree of ${process} and start it anew`,
    blastRadius: "process",
    reversible: false,
    precondition: Effect.fnUntraced(function* () {
      const now = yield* Effect.mapError(status, (error) => Remediator.refused(id, error.message))
      yield* unlessStopped(now)
      const booting = yield* Effect.mapError(isBooting(now), (error) => Remediator.refused(id, error.message))
      if (booting) return yield* Remediator.refused(id, `${process} is starting`)
    }),
    apply: Effect.fnUntraced(function* () {
      yield* unlessStopped(yield* Effect.mapError(status, failed))
      const control = yield* ProcessControl.ProcessControl
      yield* Effect.mapError(control.restart(process), failed)
    })
  })
}
