/** A hundred callers, one load; then a source that fails, and a copy that is past its time but better than nothing. */
import { setTimeout as sleep } from "node:timers/promises"

import { cacheAside, memoryCache } from "@nexobot/core/promise"

let loads = 0
let isDown = false

const prices = cacheAside({
  cache: memoryCache({ capacity: 100 }),
  source: async (/** @type {string} */ item) => {
    loads += 1
    await sleep(10)
    if (isDown) throw new Error("connection refused")
    return `${item}: 3.20`
  },
  ttl: "50 millis",
  staleIfError: "1 minute"
})

const all = await Promise.all(Array.from({ length: 100 }, () => prices.get("tea")))
console.log(`${all.length} callers, ${loads} load: ${all[0]}`)

isDown = true
await sleep(60)
const { from, value } = await prices.answer("tea")
console.log(`the source is down: ${value}, ${from}`)

await prices.get("coffee").catch((/** @type {Error} */ error) => console.log(`coffee: ${error.message}`))

isDown = false
console.log(`the source is back: from the ${(await prices.answer("tea")).from}`)
