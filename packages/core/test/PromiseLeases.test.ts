import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Redis } from "ioredis"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import { leases, type PromiseLeasesOptions } from "../src/internal/promise/leases.ts"
import { type PromiseRedisLeasesOptions, redisLeases } from "../src/internal/promise/redisLeases.ts"
import { LeaseError } from "../src/Lease.ts"
import { refusal, temporaryFolder } from "./support.ts"

const noScripts = { eval: () => Promise.resolve(0) }

describe("the options", () => {
  const bad: ReadonlyArray<readonly [options: object, option: string]> = [
    [{ folder: "" }, "folder"],
    [{ ttl: 500 }, "ttl"],
    [{ fodler: "/tmp" }, "fodler"]
  ]
  for (const [options, option] of bad) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      assert.strictEqual(refusal(() => leases(options as PromiseLeasesOptions)).option, option)
    })
  }

  const badInRedis: ReadonlyArray<readonly [options: object, option: string]> = [
    [{ redis: noScripts, ttl: 0 }, "ttl"],
    [{ redis: noScripts, prefix: "" }, "prefix"],
    [{ redis: noScripts, folder: "/tmp" }, "folder"],
    [{ redis: {} }, "redis"],
    [{ redis: null }, "redis"],
    [{}, "redis"]
  ]
  for (const [options, option] of badInRedis) {
    it(`in Redis refuse ${JSON.stringify(options)}`, () => {
      assert.strictEqual(refusal(() => redisLeases(options as PromiseRedisLeasesOptions)).option, option)
    })
  }
})

describe("leases with promises", () => {
  const places = {
    "this process": Effect.succeed({}),
    "a folder": Effect.map(temporaryFolder, (folder) => ({ folder }))
  }
  for (const [name, place] of Object.entries(places)) {
    it.live(`in ${name}: one at a time, with a growing fence, until it is released`, () =>
      Effect.gen(function* () {
        const { take } = leases(yield* place)
        yield* Effect.promise(async () => {
          const first = await take("gateway")
          assert.strictEqual(first?.resource, "gateway")
          assert.isUndefined(await take("gateway"))
          assert.isDefined(await take("another"))
          await first?.release()
          await first?.release()
          assert.isFalse(first?.lost.aborted)
          {
            await using second = await take("gateway")
            assert.isAbove(second?.fence ?? 0, first?.fence ?? 0)
          }
          assert.isDefined(await take("gateway"))
        })
      })
    )
  }

  it("are one place in a process, whoever asks for it", async () => {
    const [one, other] = [leases(), leases({})]
    await using lease = await one.take("shared")
    assert.isDefined(lease)
    assert.isUndefined(await other.take("shared"))
    await lease?.release()
    const next = await other.take("shared")
    assert.isAbove(next?.fence ?? 0, lease?.fence ?? 0)
    await next?.release()
  })

  it("takes nothing when its signal aborts, and gives back what it may have got", async () => {
    const asked: Array<string> = []
    const redis = {
      eval: (script: string) => {
        asked.push(script.includes("DEL") ? "release" : "take")
        return script.includes("DEL") ? Promise.resolve(1) : new Promise(() => undefined)
      }
    }
    const { take } = redisLeases({ redis })
    const controller = new AbortController()
    const taking = take("gateway", { signal: controller.signal }).catch((cause: unknown) => cause)
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort(new Error("enough"))
    assert.strictEqual(String(await taking), "Error: enough")
    assert.deepStrictEqual(asked, ["take", "release"])
    const late = await take("gateway", { signal: controller.signal }).catch((cause: unknown) => cause)
    assert.strictEqual(String(late), "Error: enough")
    assert.lengthOf(asked, 2)
  })

  it("an abort after the grant ends nothing", async () => {
    const controller = new AbortController()
    await using lease = await leases().take("granted", { signal: controller.signal })
    controller.abort()
    await new Promise((resolve) => setImmediate(resolve))
    assert.isFalse(lease?.lost.aborted)
    assert.isUndefined(await leases().take("granted"))
  })

  it("rejects with a LeaseError when it is not known whether the lease is free", async () => {
    const { take } = redisLeases({ redis: { eval: () => Promise.reject(new Error("no route")) } })
    const error = await take("gateway").catch((cause: unknown) => cause)
    assert.instanceOf(error, LeaseError)
    assert.include(String(error), "no route")
  })

  it.live.skipIf(TestRedis.isMissing())("in Redis: the signal aborts when the lease is lost", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const redis = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(server.url)),
        (client) => Effect.sync(() => client.disconnect())
      )
      const { take } = redisLeases({ redis, ttl: "300 millis", prefix: "mine:" })
      yield* Effect.promise(async () => {
        const lease = await take("gateway")
        assert.isUndefined(await take("gateway"))
        assert.isDefined(lease)
        const aborted = new Promise((resolve) => lease?.lost.addEventListener("abort", resolve))
        await redis.set("mine:{gateway}", "another's")
        await aborted
        assert.include(String(lease?.lost.reason), `gateway with fence ${lease?.fence} was lost`)
        await lease?.release()
        assert.strictEqual(await redis.get("mine:{gateway}"), "another's")
      })
    })
  )
})
