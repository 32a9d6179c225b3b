/**
 * At most three restarts within a second: the fourth is refused, and says when it may be tried again.
 */
import { setTimeout } from "node:timers/promises"

import { IntensityError } from "@nexobot/core/Intensity"
import { intensity } from "@nexobot/core/promise"
import * as Duration from "effect/Duration"

const restarts = intensity({ limit: 3, window: "1 second", name: "restarts" })
const restart = () => restarts.execute(() => console.log("restarted"))

for (let crash = 1; crash <= 4; crash += 1) {
  try {
    await restart()
  } catch (error) {
    if (!(error instanceof IntensityError)) throw error
    console.log(`refused: ${restarts.inspect().attempts} within the last second`)
    await setTimeout(Math.ceil(Duration.toMillis(error.retryAfter)) + 1)
    await restart()
  }
}
