/** A throttle around a backend that dies: after a few failures most calls are refused here, and it is left in peace. */
import { setTimeout } from "node:timers/promises"

import { throttle } from "@nexobot/core/promise"

const policy = throttle({ name: "example", window: "1 second" })

let reached = 0
const backend = () => {
  reached++
  return Promise.reject(new Error("overloaded"))
}

/** @type {Record<string, number>} */
const errors = {}
for (let i = 0; i < 100; i++) {
  await policy.execute(backend).catch((/** @type {Error} */ error) => {
    errors[error.message] = (errors[error.message] ?? 0) + 1
  })
}
console.log(`${reached} of 100 calls reached the backend`)
console.log(errors)
console.log(policy.inspect())

// Nothing counts for longer than the window.
await setTimeout(1100)
console.log(await policy.execute(() => "an answer"), policy.inspect())
