import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import { OptionError } from "@nexobot/core/Options"
import * as Redaction from "@nexobot/core/Redaction"
import { Recovery } from "@nexobot/recovery/Recovery"
import type * as Report from "@nexobot/recovery/Report"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

import * as Console from "../src/Console.ts"
import * as Answers from "../src/internal/answers.ts"
import { type Answer, component, fake, request, secret, unchecked } from "./fixture.ts"

const token = "a-token-of-some-length"
const bearer = { authorization: `Bearer ${token}` }
const json = { "content-type": "application/json" }
const api = "/api/system/auto-recovery"

const serve = (
  initial: ReadonlyArray<Report.ComponentState> = [component("shop", "Healthy"), component("mail", "Unhealthy")],
  more: Partial<Recovery["Service"]> = {},
  options: Console.Options = {}
) =>
  Effect.gen(function* () {
    const loop = yield* fake(initial, more)
    const console = yield* Console.make({ token: Redacted.make(token), port: 0, ...options }).pipe(
      Effect.provideService(Recovery, loop.recovery)
    )
    const call = (path: string, init?: Parameters<typeof request>[1]) =>
      Effect.promise(() => request(console.address + path, init))
    const post = (path: string, body: unknown, headers: Record<string, string> = bearer) =>
      call(path, { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(body) })
    return { loop, console, call, post }
  })

const body = (answer: Answer): unknown => JSON.parse(answer.body)

describe("reading", () => {
  it.live("answers the log and the statistics, and the states", () =>
    Effect.gen(function* () {
      const { call, loop } = yield* serve()
      const report = yield* call(api, { headers: bearer })
      assert.strictEqual(report.status, 200)
      assert.strictEqual(report.headers["cache-control"], "no-store")
      assert.deepStrictEqual(body(report), {
        log: yield* loop.recovery.log,
        statistics: yield* loop.recovery.statistics
      })
      const health = yield* call("/api/system/health", { headers: bearer })
      assert.deepStrictEqual(body(health), { components: yield* loop.recovery.states })
    })
  )

  it.live("HEAD is GET without a body; unknown paths and methods are told apart, in JSON", () =>
    Effect.gen(function* () {
      const { call } = yield* serve()
      const head = yield* call("/livez", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.body], [200, ""])
      const missing = yield* call("/nothing/here?x=1")
      assert.strictEqual(missing.status, 404)
      assert.match(missing.headers["content-type"] ?? "", /^application\/json/)
      assert.include(missing.body, '"_tag":"NotFound"')
      const method = yield* call(api, { method: "DELETE", headers: bearer })
      assert.strictEqual(method.status, 405)
      assert.strictEqual(method.headers["allow"], "GET, HEAD, POST")
      assert.include(method.body, '"_tag":"MethodNotAllowed"')
    })
  )

  it.live("a bug in the loop is a 500 in JSON without its message, which is in the log without its secrets", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => logged.push(String(message)))
    return Effect.gen(function* () {
      const { call } = yield* serve([], { log: Effect.die(new Error(`cannot log in with ${secret}`)) })
      const answer = yield* call(api, { headers: bearer })
      assert.strictEqual(answer.status, 500)
      assert.include(answer.body, '"_tag":"InternalError"')
      assert.notInclude(answer.body, "log in")
      assert.include(logged.join(), "cannot log in with <redacted>")
      assert.notInclude(logged.join(), secret)
    }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(Redaction.Redactor, Redaction.make([secret])))
  })
})

describe("recovering", () => {
  it.live("recovers everything, or one component", () =>
    Effect.gen(function* () {
      const { post, loop } = yield* serve()
      const one = yield* post(api, { component: "mail" })
      assert.strictEqual(one.status, 200)
      assert.deepStrictEqual(body(one), {
        outcomes: [{ component: "mail", outcome: "recovered", action: "restart", detail: "in 1.2 s" }]
      })
      const all = yield* post(api, { action: "full" })
      assert.strictEqual(all.status, 200)
      assert.deepStrictEqual(loop.recovered, ["mail", "shop", "mail"])
    })
  )

  it.live("an unknown component is 404 with the known ones", () =>
    Effect.gen(function* () {
      const { post, loop } = yield* serve()
      const answer = yield* post(api, { component: "nobody" })
      assert.strictEqual(answer.status, 404)
      assert.deepStrictEqual(body(answer), { _tag: "UnknownComponent", component: "nobody", known: ["shop", "mail"] })
      assert.deepStrictEqual(loop.recovered, [])
    })
  )

  const malformed: ReadonlyArray<readonly [string, string | Buffer, Record<string, string>]> = [
    ["nothing", "", json],
    ["no JSON", '{"action":', json],
    ["null", "null", json],
    ["an array", '["full"]', json],
    ["a string", '"full"', json],
    ["neither", "{}", json],
    ["both", '{"action":"full","component":"shop"}', json],
    ["another action", '{"action":"half"}', json],
    ["a wrong type", '{"component":7}', json],
    ["an empty name", '{"component":""}', json],
    ["an unknown key", '{"component":"shop","force":true}', json],
    ["a prototype", '{"component":"shop","__proto__":{"action":"full"}}', json],
    ["no UTF-8", Buffer.from('{"component":"sh\u00f6p"}', "latin1"), json],
    ["no content type", '{"action":"full"}', {}],
    ["a form", "action=full", { "content-type": "application/x-www-form-urlencoded" }],
    ["JSON as text", '{"action":"full"}', { "content-type": "text/plain" }]
  ]
  it.live("a malformed body is 400, says what is expected, and recovers nothing", () =>
    Effect.gen(function* () {
      const { call, loop } = yield* serve()
      for (const [name, sent, headers] of malformed) {
        const answer = yield* call(api, { method: "POST", headers: { ...bearer, ...headers }, body: sent })
        assert.strictEqual(answer.status, 400, name)
        assert.include(answer.body, '"_tag":"InvalidRequest"', name)
        assert.include(answer.body, '{\\"component\\":\\"<name>\\"}', name)
      }
      const huge = yield* call(api, {
        method: "POST",
        headers: { ...bearer, ...json },
        body: JSON.stringify({ component: "x".repeat(100_000) })
      })
      assert.strictEqual(huge.status, 413)
      assert.include(huge.body, '"_tag":"PayloadTooLarge"')
      assert.deepStrictEqual(loop.recovered, [])
    })
  )

  it.live("goes on when the caller hangs up", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const recoverAll = Deferred.succeed(begun, undefined).pipe(
        Effect.andThen(Deferred.await(go)),
        Effect.andThen(Deferred.succeed(done, undefined)),
        Effect.as([])
      )
      const { console } = yield* serve([], { recoverAll })
      const abort = new AbortController()
      const call = fetch(console.address + api, {
        method: "POST",
        headers: { ...bearer, ...json },
        body: '{"action":"full"}',
        signal: abort.signal
      })
      yield* Deferred.await(begun)
      abort.abort()
      yield* Effect.exit(Effect.promise(() => call))
      yield* Effect.sleep("50 millis")
      yield* Deferred.succeed(go, undefined)
      yield* Deferred.await(done)
      assert.isTrue(yield* Deferred.isDone(done))
    })
  )
})

describe("who may", () => {
  it.live("no or a wrong token is 401", () =>
    Effect.gen(function* () {
      const { call, post, loop } = yield* serve()
      const tries = [{}, { authorization: "Bearer wrong" }, { authorization: "Bearer " }, { authorization: token }]
      for (const headers of tries) {
        for (const path of [api, "/api/system/health", "/api/system/events"]) {
          const answer = yield* call(path, { headers })
          assert.strictEqual(answer.status, 401, JSON.stringify(headers) + path)
          assert.match(answer.headers["www-authenticate"] ?? "", /^Bearer/)
          assert.include(answer.body, '"_tag":"Unauthorized"')
        }
        // Judged before the body is read: who may not write learns nothing about what could be written.
        assert.strictEqual((yield* post(api, { nonsense: 1 }, headers)).status, 401)
      }
      assert.deepStrictEqual(loop.recovered, [])
    })
  )

  it.live("a one-time code opens a session once", () =>
    Effect.gen(function* () {
      const { console, call, post, loop } = yield* serve()
      const url = new URL(yield* console.dashboardUrl)
      assert.strictEqual(url.origin + url.pathname, `${console.address}/dashboard/system-health`)
      const code = new URLSearchParams(url.hash.slice(1)).get("code") ?? ""
      const opened = yield* post("/api/session", { code }, {})
      assert.deepStrictEqual([opened.status, opened.body], [204, ""])
      const cookie = opened.headers["set-cookie"]?.[0] ?? ""
      for (const attribute of ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"])
        assert.include(cookie, attribute)
      assert.notInclude(cookie, "Secure")
      assert.include(cookie, `-${new URL(console.address).port}=`)
      const session = { cookie: cookie.split(";")[0] ?? "" }

      assert.strictEqual((yield* post("/api/session", { code }, {})).status, 401, "a second time")
      assert.strictEqual((yield* call(api, { headers: session })).status, 200)
      const wrong = yield* call(api, { headers: { ...session, authorization: "Bearer wrong" } })
      assert.strictEqual(wrong.status, 401, "the header decides")

      const write = (origin: Record<string, string>) => post(api, { component: "shop" }, { ...session, ...origin })
      assert.strictEqual((yield* write({ origin: console.address })).status, 200)
      const none = yield* write({})
      assert.strictEqual(none.status, 403)
      assert.include(none.body, '"reason":"MissingOrigin"')
      for (const origin of [
        "http://evil.example",
        "null",
        `${console.address}0`,
        `${console.address}/`,
        "http://127.0.0.1"
      ]) {
        const answer = yield* write({ origin })
        assert.strictEqual(answer.status, 403, origin)
        assert.include(answer.body, '"reason":"ForeignOrigin"')
      }
      assert.deepStrictEqual(loop.recovered, ["shop"])
    })
  )

  it.live("the token opens a session too; a foreign origin may not even try", () =>
    Effect.gen(function* () {
      const { post, call } = yield* serve()
      assert.strictEqual((yield* post("/api/session", { token: "wrong" }, {})).status, 401)
      assert.strictEqual((yield* post("/api/session", { token }, { origin: "http://evil.example" })).status, 403)
      assert.strictEqual((yield* post("/api/session", { token, code: "x" }, {})).status, 400)
      const opened = yield* post("/api/session", { token }, {})
      assert.strictEqual(opened.status, 204)
      const cookie = opened.headers["set-cookie"]?.[0]?.split(";")[0] ?? ""
      assert.strictEqual((yield* call("/api/system/health", { headers: { cookie } })).status, 200)
      assert.strictEqual((yield* call("/api/system/health", { headers: { cookie: cookie + "x" } })).status, 401)
    })
  )

  it.live("a write with the token from a page of another origin is refused", () =>
    Effect.gen(function* () {
      const { post, console } = yield* serve()
      const from = (origin: string) => post(api, { component: "shop" }, { ...bearer, origin })
      assert.strictEqual((yield* from("http://evil.example")).status, 403)
      assert.strictEqual((yield* from(console.address)).status, 200)
      const https = console.address.replace("http:", "https:")
      assert.strictEqual((yield* from(https)).status, 200, "behind something that ends TLS")
    })
  )

  it.effect("codes expire after ten minutes, sessions after twelve hours", () =>
    Effect.gen(function* () {
      const { console, post, call } = yield* serve()
      const late = yield* console.issueCode
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* post("/api/session", { code: late }, {})).status, 401)
      const code = yield* console.issueCode
      yield* TestClock.adjust("9 minutes")
      const opened = yield* post("/api/session", { code }, {})
      assert.strictEqual(opened.status, 204)
      const cookie = opened.headers["set-cookie"]?.[0]?.split(";")[0] ?? ""
      yield* TestClock.adjust("11 hours")
      assert.strictEqual((yield* call(api, { headers: { cookie } })).status, 200)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* call(api, { headers: { cookie } })).status, 401)
    })
  )

  it.live("codes and sessions are bounded: the oldest goes", () =>
    Effect.gen(function* () {
      const { console, post } = yield* serve()
      const first = yield* console.issueCode
      const codes = yield* Effect.replicateEffect(console.issueCode, 64)
      assert.strictEqual((yield* post("/api/session", { code: first }, {})).status, 401)
      assert.strictEqual((yield* post("/api/session", { code: codes[0] }, {})).status, 204)
    })
  )

  it.live("answers only for hosts it knows", () =>
    Effect.gen(function* () {
      const { call } = yield* serve(undefined, {}, { allowedHosts: ["Status.Example.com", "fd00::1"] })
      const at = (host: string, path = api) => call(path, { headers: { ...bearer, host } })
      for (const host of [
        "localhost",
        "127.0.0.1:80",
        "127.9.9.9",
        "[::1]:18999",
        "status.example.com:8443",
        "[fd00::1]"
      ]) {
        assert.strictEqual((yield* at(host)).status, 200, host)
      }
      for (const host of [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "user@localhost",
        "10.0.0.1"
      ]) {
        const answer = yield* at(host)
        assert.strictEqual(answer.status, 403, host)
        assert.include(answer.body, '"reason":"UnknownHost"')
        assert.strictEqual((yield* at(host, "/dashboard/system-health")).status, 403, host)
        assert.strictEqual((yield* at(host, "/livez")).status, 200, "an orchestrator names any address")
      }
    })
  )
})

describe("probes", () => {
  it.live("live at once, ready when every component was checked", () =>
    Effect.gen(function* () {
      const { call, loop } = yield* serve([
        component("shop", "Unknown", unchecked),
        component("mail", "Starting", unchecked),
        component("queue", "Escalated"),
        component("disk", "Unknown", { probes: [{ name: "df", status: "Unknown", evidence: ["timed out"] }] })
      ])
      assert.deepStrictEqual(body(yield* call("/livez")), { status: "live" })
      const waiting = yield* call("/readyz")
      assert.strictEqual(waiting.status, 503)
      assert.deepStrictEqual(body(waiting), {
        _tag: "NotReady",
        message: "not checked yet: shop, mail",
        waiting: ["shop", "mail"]
      })
      yield* loop.set(component("shop", "Healthy"))
      yield* loop.set(component("mail", "Unhealthy"))
      assert.deepStrictEqual(body(yield* call("/readyz")), { status: "ready" })
    })
  )

  it.effect("not ready when the loop does not answer", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const states = Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
      const { call } = yield* serve([component("shop", "Healthy")], { states })
      const waiting = yield* Effect.forkChild(call("/readyz"))
      yield* Deferred.await(asked)
      yield* TestClock.adjust("5 seconds")
      const answer = yield* Fiber.join(waiting)
      assert.strictEqual(answer.status, 503)
      assert.include(answer.body, "the loop does not answer")
    })
  )
})

describe("secrets", () => {
  it.live("a seeded secret comes out nowhere, in no form", () =>
    Effect.gen(function* () {
      const leaky = component("shop", "Unhealthy", {
        detail: `login with ${secret} failed, token ${token}`,
        probes: [
          { name: "http", status: "Unhealthy", evidence: [`url ?p=${encodeURIComponent(secret)}`, btoa(secret)] }
        ]
      })
      const entry = {
        component: "shop",
        error: secret,
        diagnosis: secret,
        action: secret,
        timestamp: "",
        success: true
      }
      const { call, post, console } = yield* serve([leaky], { log: Effect.succeed([entry]) }).pipe(
        Effect.provideService(Redaction.Redactor, Redaction.make([secret]))
      )
      const events = yield* Effect.promise(async () => {
        const response = await fetch(`${console.address}/api/system/events`, { headers: bearer })
        const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
        let text = ""
        while (!text.endsWith("\n\n")) text += (await reader?.read())?.value ?? ""
        await reader?.cancel()
        return text
      })
      const texts = [
        events,
        (yield* call(api, { headers: bearer })).body,
        (yield* call("/api/system/health", { headers: bearer })).body,
        (yield* call("/dashboard/system-health")).body,
        (yield* post(api, { component: secret })).body
      ]
      for (const text of texts) {
        for (const form of [secret, encodeURIComponent(secret), btoa(secret).slice(0, 20), token]) {
          assert.notInclude(text, form)
        }
      }
      assert.include(texts[1] ?? "", '"error":"<redacted>"')
      assert.include(events, "login with <redacted> failed, token <redacted>")
    })
  )
})

describe("any secret", () => {
  it.effect.prop(
    "is masked wherever it stands in an answer, which stays JSON",
    [Schema.String.check(Schema.isMinLength(5)), Schema.String],
    ([random, around]) =>
      Effect.sync(() => {
        const hidden = `k${random}Q`
        const value = {
          component: "shop",
          detail: around + hidden + around,
          evidence: [hidden, { [hidden]: [hidden] }]
        }
        const answer = Answers.finish(HttpServerResponse.jsonUnsafe(value), Redaction.make([hidden]))
        const sent = answer.body._tag === "Uint8Array" ? new TextDecoder().decode(answer.body.body) : ""
        assert.notInclude(JSON.stringify(JSON.parse(sent)), JSON.stringify(hidden).slice(1, -1))
        assert.include(sent, Redaction.mask)
      })
  )
})

describe("options and lifetime", () => {
  it("refuses options that cannot work, at once, and does not show the token", () => {
    const bad: ReadonlyArray<readonly [string, object]> = [
      ["port", { port: 65536 }],
      ["port", { port: 1.5 }],
      ["host", { host: "" }],
      ["host", { host: "http://x" }],
      ["token", { token: Redacted.make("short") }],
      ["allowedHosts[1]", { allowedHosts: ["good.example", "with.port:80"] }],
      ["allowedHost", { allowedHost: [] }]
    ]
    for (const [option, options] of bad) {
      let thrown: unknown
      try {
        Console.layer(options)
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, OptionError)
      assert.strictEqual(thrown.option, option)
      assert.notInclude(thrown.message, "short")
    }
  })

  it.live("a random token unless told", () =>
    Effect.gen(function* () {
      const { recovery } = yield* fake([])
      const make = Console.make({ port: 0 }).pipe(Effect.provideService(Recovery, recovery))
      const [one, two] = [Redacted.value((yield* make).token), Redacted.value((yield* make).token)]
      assert.isAtLeast(one.length, 43)
      assert.notStrictEqual(one, two)
    })
  )

  it.live("a taken port and an impossible address are typed errors", () =>
    Effect.gen(function* () {
      const { console } = yield* serve()
      const port = Number(new URL(console.address).port)
      const taken = yield* Effect.flip(serve([], {}, { port }))
      assert.deepStrictEqual(taken.reason, new Console.PortTaken({ host: "127.0.0.1", port }))
      assert.include(taken.message, `port ${port}`)
      const elsewhere = yield* Effect.flip(serve([], {}, { host: "192.0.2.1" }))
      assert.strictEqual(elsewhere.reason._tag, "ListenFailed")
    })
  )

  it.live("closing frees the port and ends in bounded time, whatever clients hold open", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { console, loop } = yield* Scope.provide(
        serve([component("shop", "Healthy")], { recoverAll: Effect.never }),
        scope
      )
      const events = yield* Effect.promise(() => fetch(`${console.address}/api/system/events`, { headers: bearer }))
      const reader = events.body?.getReader()
      yield* Effect.promise(async () => reader?.read())
      const hanging = fetch(console.address + api, {
        method: "POST",
        headers: { ...bearer, ...json },
        body: '{"action":"full"}'
      }).then(
        async (response) => [response.status, await response.text()],
        () => "cut"
      )
      yield* Effect.sleep("100 millis")
      yield* Scope.close(scope, Exit.void).pipe(Effect.timeout("10 seconds"))
      const end = yield* Effect.promise(async () => {
        let last = await reader?.read()
        while (last?.done === false) last = await reader?.read()
        return last
      })
      assert.isTrue(end?.done)
      const closed = JSON.stringify({ _tag: "Closing", message: "this console is closing" })
      assert.deepStrictEqual(yield* Effect.promise(() => hanging), [503, closed])
      assert.strictEqual(loop.readers(), 0)
      const again = yield* serve([], {}, { port: Number(new URL(console.address).port) })
      assert.strictEqual(again.console.address, console.address)
    })
  )

  it.live("a client that says nothing and one that does not read cannot keep it from closing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { console, loop } = yield* Scope.provide(serve(), scope)
      const connect = Effect.acquireRelease(
        Effect.promise(
          () =>
            new Promise<Net.Socket>((resolve) => {
              const port = Number(new URL(console.address).port)
              const socket = Net.connect(port, "127.0.0.1", () => resolve(socket))
              socket.on("error", () => {})
            })
        ),
        (socket) => Effect.sync(() => socket.destroy())
      )
      const silent = yield* connect
      const stuck = yield* connect
      stuck.pause()
      stuck.write(
        `GET /api/system/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${bearer.authorization}\r\n\r\n`
      )
      while (loop.readers() === 0) yield* Effect.sleep("10 millis")
      // More than the kernel's buffers take, so that the answer cannot be finished.
      yield* loop.set(component("shop", "Unhealthy", { detail: "x".repeat(30_000_000) }))
      yield* Effect.sleep("300 millis")
      yield* Scope.close(scope, Exit.void).pipe(Effect.timeout("15 seconds"))
      assert.strictEqual(loop.readers(), 0)
      stuck.resume()
      while (!silent.closed || !stuck.closed) yield* Effect.sleep("10 millis")
    })
  )
})
