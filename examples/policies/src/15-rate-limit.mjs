/** Two policies, as of two processes, share a limit of five calls. */
import { rateLimit } from "@nexobot/core/redis-promise"
import { Redis } from "ioredis"

import { withRedis } from "./redis-server.mjs"

await withRedis(async (port) => {
  const redis = new Redis(port, "127.0.0.1", { enableOfflineQueue: false, commandTimeout: 1000 })
  await new Promise((resolve) => redis.once("ready", resolve))
  const limits = ["one", "two"].map((name) => ({
    name,
    limit: rateLimit({ redis, key: "mail", limit: 5, window: "1 minute" })
  }))

  for (let call = 1; call <= 4; call++) {
    for (const { limit, name } of limits) {
      const answer = await limit
        .execute(() => "sent")
        .catch((/** @type {Error & { reason: { _tag: string } }} */ error) => error.reason._tag)
      console.log(`${name}, call ${call}: ${answer}`)
    }
  }

  for (const { limit } of limits) await limit.close()
  redis.disconnect()
})
