/** Three nodes share a breaker: one that fails alone stops nobody; when two fail, the third stops without a failure. */
import { setTimeout } from "node:timers/promises"

import { sharedCircuitBreaker } from "@nexobot/core/redis-promise"
import { Redis } from "ioredis"

import { withRedis } from "./redis-server.mjs"

const backend = () => Promise.reject(new Error("the backend failed"))
/** @param {import("@nexobot/core/redis-promise").PromiseSharedCircuitBreaker} breaker */
const fail = async (breaker) => {
  for (let call = 0; call < 2; call++) await breaker.execute(backend).catch(() => undefined)
}

await withRedis(async (port) => {
  const redis = new Redis(port, "127.0.0.1", { enableOfflineQueue: false, commandTimeout: 1000 })
  await new Promise((resolve) => redis.once("ready", resolve))
  /** @param {string} name */
  const node = (name) =>
    sharedCircuitBreaker({
      redis,
      consecutive: { failures: 2 },
      shared: { quorum: 2, node: name, refresh: "50 millis" }
    })
  const [a, b, c] = [node("a"), node("b"), node("c")]

  /** @param {string} title */
  const report = async (title) => {
    // Votes are read in the background.
    await setTimeout(200)
    const states = await Promise.all([a.state(), b.state(), c.state()])
    const answer = await c.execute(() => "an answer").catch((/** @type {Error} */ error) => error.message)
    console.log(`${title}: ${states.join(", ")}; c says "${answer}"`)
  }

  await report("at first")
  await fail(a)
  await report("a fails")
  await fail(b)
  await report("b fails too")

  for (const breaker of [a, b, c]) await breaker.close()
  redis.disconnect()
})
