/** Calls that become slow shrink the limit; what is above it is refused at once. */
import { setTimeout as sleep } from "node:timers/promises"

import { adaptiveLimit } from "@nexobot/core/promise"

const search = adaptiveLimit({ initial: 20, window: 50, name: "search" })

/** @type {(millis: number) => Promise<void>} */
const wave = async (millis) => {
  const calls = Array.from({ length: 20 }, () => search.execute(() => sleep(millis)))
  const results = await Promise.allSettled(calls)
  const refused = results.filter(({ status }) => status === "rejected").length
  console.log(`${millis} ms: ${refused} refused; now ${search.inspect().limit} at a time`)
}

for (const millis of [60, 60, 200, 200, 200]) await wave(millis)
