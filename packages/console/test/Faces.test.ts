import * as Http from "node:http"
import type * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import { Recovery } from "@nexobot/recovery/Recovery"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import { Api } from "../src/Api.ts"
import * as Console from "../src/Console.ts"
import { mountConsole, startConsole } from "../src/promise.ts"
import { component, fake, request } from "./fixture.ts"

const token = "a-token-of-some-length"
const bearer = { authorization: `Bearer ${token}` }
const api = "/api/system/auto-recovery"

const loop = fake([component("shop", "Healthy")])

const listening = (server: Http.Server) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<string>((resolve) =>
          server.listen(0, "127.0.0.1", () => {
            const { port } = server.address() as Net.AddressInfo
            resolve(`http://127.0.0.1:${port}`)
          })
        )
    ),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

describe("a Fetch handler", () => {
  it.live("answers as the server does, and ends its event streams when its scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { recovery } = yield* loop
      const mounted = yield* Console.mount({ token: Redacted.make(token), allowedHosts: ["app.example.com"] }).pipe(
        Effect.provideService(Recovery, recovery),
        Scope.provide(scope)
      )
      const call = (path: string, init: RequestInit = { headers: bearer }) =>
        Effect.promise(() => mounted.fetch(new Request(`https://app.example.com${path}`, init)))
      assert.strictEqual((yield* call(api)).status, 200)
      assert.strictEqual((yield* call(api, {})).status, 401)
      const json = { ...bearer, "content-type": "application/json" }
      const recovered = yield* call(api, { method: "POST", headers: json, body: '{"component":"shop"}' })
      assert.strictEqual(recovered.status, 200)
      const huge = yield* call(api, { method: "POST", headers: json, body: `"${"x".repeat(100_000)}"` })
      assert.strictEqual(huge.status, 413)
      const elsewhere = yield* Effect.promise(() => mounted.fetch(new Request(`https://evil.example${api}`)))
      assert.strictEqual(elsewhere.status, 403)

      const code = yield* mounted.issueCode
      const opened = yield* call("/api/session", { method: "POST", headers: json, body: JSON.stringify({ code }) })
      const cookie = opened.headers.get("set-cookie") ?? ""
      assert.include(cookie, "Secure")
      const write = (origin: string) =>
        call(api, {
          method: "POST",
          headers: { "content-type": "application/json", cookie: cookie.split(";")[0] ?? "", origin },
          body: '{"component":"shop"}'
        })
      assert.strictEqual((yield* write("https://app.example.com")).status, 200)
      assert.strictEqual((yield* write("http://app.example.com")).status, 403, "plain http is another origin")

      const events = yield* call("/api/system/events")
      const text = events.text()
      yield* Effect.sleep("50 millis")
      yield* Scope.close(scope, Exit.void)
      assert.include(yield* Effect.promise(() => text), "event: states")
      assert.strictEqual((yield* call(api)).status, 503)
    })
  )

  it.live("a caller that gives up an event stream is noticed", () =>
    Effect.gen(function* () {
      const made = yield* loop
      const mounted = yield* Console.mount({ token: Redacted.make(token) }).pipe(
        Effect.provideService(Recovery, made.recovery)
      )
      const events = yield* Effect.promise(() =>
        mounted.fetch(new Request("http://localhost/api/system/events", { headers: bearer }))
      )
      const reader = events.body?.getReader()
      yield* Effect.promise(async () => reader?.read())
      yield* Effect.promise(async () => reader?.cancel())
      yield* Effect.yieldNow
      assert.strictEqual(made.readers(), 0)
    })
  )
})

describe("a Node listener", () => {
  it.live("lives in a server that is there already", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { recovery } = yield* loop
      const mounted = yield* Console.mount({ token: Redacted.make(token) }).pipe(
        Effect.provideService(Recovery, recovery),
        Scope.provide(scope)
      )
      const address = yield* listening(
        Http.createServer((incoming, response) =>
          mounted.listener(incoming, response, () => response.end("the application"))
        )
      )
      const call = (path: string) => Effect.promise(() => request(address + path, { headers: bearer }))
      assert.strictEqual((yield* call("/")).body, "the application")
      assert.strictEqual((yield* call("/api/systems")).body, "the application")
      assert.strictEqual((yield* call(`${api}?x=1`)).status, 200)
      assert.match((yield* call("/dashboard/system-health")).headers["content-type"] ?? "", /^text\/html/)

      const alone = yield* listening(Http.createServer(mounted.listener))
      assert.strictEqual((yield* Effect.promise(() => request(`${alone}/`))).status, 404)

      yield* Scope.close(scope, Exit.void)
      const closed = yield* call(api).pipe(Effect.timeout("5 seconds"))
      assert.deepStrictEqual([closed.status, JSON.parse(closed.body)._tag], [503, "Closing"])
    })
  )

  it.live("a body that was read by somebody before does not hang the caller", () =>
    Effect.gen(function* () {
      const { recovery } = yield* loop
      const mounted = yield* Console.mount({ token: Redacted.make(token) }).pipe(
        Effect.provideService(Recovery, recovery)
      )
      const address = yield* listening(
        Http.createServer((incoming, response) => {
          incoming.resume()
          incoming.on("end", () => mounted.listener(incoming, response))
        })
      )
      const headers = { ...bearer, "content-type": "application/json" }
      const answer = yield* Effect.promise(() =>
        request(address + api, { method: "POST", headers, body: '{"action":"full"}' })
      )
      assert.strictEqual(answer.status, 400)
    })
  )
})

describe("two consoles in one program", () => {
  it.live("each has its routes and its credentials", () =>
    Effect.gen(function* () {
      const { recovery } = yield* loop
      const both = yield* Effect.all(
        ["the-first-ones-token", "the-second-ones-token"].map((own) =>
          Layer.build(Console.layer({ port: 0, token: Redacted.make(own) }))
        )
      ).pipe(Effect.provideService(Recovery, recovery))
      for (const context of both) {
        const console = Context.get(context, Console.Console)
        const call = (own: string) =>
          Effect.promise(() => request(console.address + api, { headers: { authorization: `Bearer ${own}` } }))
        assert.strictEqual((yield* call(Redacted.value(console.token))).status, 200)
      }
    })
  )
})

describe("a generated client", () => {
  it.live("understands answers, errors and events", () =>
    Effect.gen(function* () {
      const made = yield* loop
      const console = yield* Console.make({ token: Redacted.make(token), port: 0 }).pipe(
        Effect.provideService(Recovery, made.recovery)
      )
      const client = yield* HttpApiClient.make(Api, {
        baseUrl: console.address,
        transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken(token))
      })
      assert.deepStrictEqual((yield* client.autoRecovery.report()).statistics, yield* made.recovery.statistics)
      const done = yield* client.autoRecovery.recover({ payload: { component: "shop" } })
      assert.strictEqual(done.outcomes[0]?.outcome, "recovered")
      const unknown = yield* Effect.flip(client.autoRecovery.recover({ payload: { component: "nobody" } }))
      assert.strictEqual(unknown._tag, "UnknownComponent")
      const events = yield* client.system.events()
      const first = yield* Stream.runHead(events)
      assert.deepStrictEqual(first, yield* Effect.succeedSome({ components: yield* made.recovery.states }))
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})

describe("without Effect", () => {
  it("starts, opens, closes", async () => {
    const { recovery } = await Effect.runPromise(loop)
    const running = await startConsole({ recovery, port: 0, token })
    assert.strictEqual(running.token, token)
    const url = new URL(await running.dashboardUrl())
    assert.strictEqual(url.origin, running.address)
    assert.strictEqual((await fetch(running.address + api, { headers: bearer })).status, 200)
    const port = Number(url.port)
    const taken = await startConsole({ recovery, port }).then(
      () => "started",
      (error: unknown) => error
    )
    assert.instanceOf(taken, Console.ConsoleError)
    await running.close()
    const again = await startConsole({ recovery: Context.make(Recovery, recovery), port, token })
    await again.close()
  })

  it("mounts", async () => {
    const { recovery } = await Effect.runPromise(loop)
    const mounted = await mountConsole({ recovery, token })
    const answer = await mounted.fetch(new Request(`http://localhost${api}`, { headers: bearer }))
    assert.strictEqual(answer.status, 200)
    assert.isAtLeast((await mounted.issueCode()).length, 43)
    await mounted.close()
    const bad: unknown = await mountConsole({ recovery, token: "short" }).catch((error: unknown) => error)
    assert.include(String(bad), 'option "token"')
  })
})
