import * as Dns from "node:dns/promises"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestDnsmasq from "../src/TestDnsmasq.ts"

/** What it answers, or the code. */
const asks = (server: string, name: string, type: "A" | "AAAA" | "TXT" = "A") =>
  Effect.promise(async () => {
    const resolver = new Dns.Resolver({ timeout: 300, tries: 1 })
    resolver.setServers([server])
    return resolver
      .resolve(name, type)
      .catch((error: unknown) => (error instanceof Error && "code" in error ? error.code : error))
  })

describe.skipIf(TestDnsmasq.isMissing())("TestDnsmasq", () => {
  it.live("knows what it is told, and other hosts when it is told anew", () =>
    Effect.gen(function* () {
      const { server, setHosts } = yield* TestDnsmasq.make({
        hosts: { "app.test": ["127.0.0.2", "::1"] },
        args: ["--txt-record=app.test,hello"]
      })
      assert.deepStrictEqual(yield* asks(server, "app.test"), ["127.0.0.2"])
      assert.deepStrictEqual(yield* asks(server, "app.test", "AAAA"), ["::1"])
      assert.deepStrictEqual(yield* asks(server, "app.test", "TXT"), [["hello"]])
      assert.strictEqual(yield* asks(server, "other.test"), "ENOTFOUND")
      assert.strictEqual(yield* asks(server, "elsewhere.example"), "EREFUSED")
      yield* setHosts({ "app.test": "127.0.0.3" })
      assert.deepStrictEqual(yield* asks(server, "app.test"), ["127.0.0.3"])
      assert.strictEqual(yield* asks(server, "app.test", "AAAA"), "ENODATA")
    })
  )

  it.live("says nothing while it is frozen, refuses when it was killed, and is gone with its scope", () =>
    Effect.gen(function* () {
      const pid = yield* Effect.scoped(
        Effect.gen(function* () {
          const dns = yield* TestDnsmasq.make({ hosts: { "app.test": "127.0.0.2" } })
          yield* dns.freeze
          assert.strictEqual(yield* asks(dns.server, "app.test"), "ETIMEOUT")
          yield* dns.thaw
          assert.deepStrictEqual(yield* asks(dns.server, "app.test"), ["127.0.0.2"])
          yield* dns.kill
          assert.strictEqual(yield* asks(dns.server, "app.test"), "ECONNREFUSED")
          const other = yield* TestDnsmasq.make()
          yield* other.freeze
          return other.pid
        })
      )
      assert.throws(() => process.kill(pid, 0))
    })
  )
})
