/**
 * The table of processes of this machine, with some answers of the test's own.
 *
 * @since 0.1.0
 */
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

/**
 * Runs an effect with a table that differs in these answers from the one in use.
 *
 * @category operations
 * @since 0.1.0
 */
export const answering =
  (answers: Partial<ProcessTable>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(ProcessTable, (table) =>
      Effect.provideService(effect, ProcessTable, Object.assign({}, table, answers))
    )
