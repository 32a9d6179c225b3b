/** A price service that is away: the last known price is shown, and only for failures that mean that it is away. */
import { fallback } from "@nexobot/core/promise"

class Away extends Error {}

let calls = 0
const currentPrice = async () => {
  calls += 1
  if (calls === 2) throw new Away("connection refused")
  if (calls === 3) throw new RangeError("no such item")
  return 12
}

const policy = fallback({ name: "price", to: () => 11, when: (error) => error instanceof Away })
policy.onModeChange((mode) => console.log(`mode: ${mode._tag}`))

for (let i = 1; i <= 4; i++) {
  await policy.answer(currentPrice).then(
    ({ degraded, value }) => console.log(`price ${value}${degraded ? " (last known)" : ""}`),
    // A mistake of the caller is no outage.
    (/** @type {Error} */ error) => console.log(`failed: ${error.message}`)
  )
}
