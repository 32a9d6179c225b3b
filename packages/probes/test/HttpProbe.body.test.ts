import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Component from "@nexobot/core/Component"
import type * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as HttpProbe from "../src/HttpProbe.ts"
import { httpServer, signatureOf } from "./support.ts"

const saying = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
  Effect.map(
    httpServer((_, response) => response.writeHead(200, headers).end(body)),
    ({ port }) => `http://127.0.0.1:${port}/`
  )

const expecting = (url: string, expectBody: NonNullable<HttpProbe.HttpProbeOptions["expectBody"]>, maxBody?: number) =>
  HttpProbe.make({ name: "web", url, expectBody, timeout: "10 seconds", ...(maxBody === undefined ? {} : { maxBody }) })

const whyOf = <S extends Verdict.Signature>(probe: Probe.Probe<S>) =>
  Effect.map(probe.check, (verdict) => {
    const signature: Verdict.Signature = signatureOf(verdict)
    assert.strictEqual(signature._tag, "Http/UnexpectedBody")
    return "why" in signature ? signature.why : undefined
  })

const Health = Schema.Struct({ ok: Schema.Literal(true), status: Schema.String })

describe("HttpProbe: expectBody", () => {
  it.live("a text is somewhere in it", () =>
    Effect.gen(function* () {
      const url = yield* saying("<html><title>Open WebUI</title></html>")
      assert.deepStrictEqual(yield* expecting(url, "<title>Open").check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* expecting(url, "Clawdbot").check,
        Verdict.unhealthy(new HttpProbe.UnexpectedBody({ url, why: 'does not contain "Clawdbot"' }), [
          `GET ${url}: status 200, the body does not contain "Clawdbot"`,
          "it begins: <html><title>Open WebUI</title></html>"
        ])
      )
    })
  )

  it.live("an expression matches, each time anew", () =>
    Effect.gen(function* () {
      const url = yield* saying("status: ok\nuptime: 5\n")
      for (const expression of [/^uptime: \d+$/m, /ok/g, /status/y]) {
        const probe = expecting(url, expression)
        for (const _ of [1, 2]) assert.strictEqual((yield* probe.check)._tag, "Healthy", String(expression))
        assert.strictEqual(expression.lastIndex, 0)
      }
      assert.strictEqual(yield* whyOf(expecting(url, /^down/)), "does not match /^down/")
    })
  )

  it.live("a schema decodes its JSON", () =>
    Effect.gen(function* () {
      const good = yield* saying('\uFEFF{"ok":true,"status":"live"}')
      assert.deepStrictEqual(yield* expecting(good, Health).check, Verdict.healthy)
      const why = yield* whyOf(expecting(yield* saying('{"ok":false,"status":"live"}'), Health))
      assert.include(why, '["ok"]')
      assert.strictEqual(yield* whyOf(expecting(yield* saying("<html>"), Health)), "is no JSON")
      assert.strictEqual(yield* whyOf(expecting(yield* saying(""), Health)), "is no JSON")
    })
  )

  it.live("bytes that are no UTF-8 are no JSON, and a text around them is found", () =>
    Effect.gen(function* () {
      const url = yield* saying(Buffer.concat([Buffer.from([0x22, 0xff, 0xfe]), Buffer.from('ok"')]))
      assert.strictEqual(yield* whyOf(expecting(url, Schema.String)), "is no UTF-8")
      assert.deepStrictEqual(yield* expecting(url, "ok").check, Verdict.healthy)
    })
  )

  it.live("it is looked at only when the status is expected, and whichever status that is", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((_, response) => response.writeHead(503).end('{"ready":false}'))
      const url = `http://127.0.0.1:${port}/`
      const options = { name: "web", url, expectBody: '"ready":false' }
      assert.deepInclude(signatureOf(yield* HttpProbe.make(options).check), { _tag: "Http/UnexpectedStatus" })
      const probe = HttpProbe.make({ ...options, expectStatus: [503] })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it.live("maxBody: 1 MiB unless told, announced or not", () =>
    Effect.gen(function* () {
      const long = "a".repeat(1024 * 1024)
      assert.strictEqual((yield* expecting(yield* saying(long), /a$/).check)._tag, "Healthy")
      assert.strictEqual(yield* whyOf(expecting(yield* saying(`${long}a`), "a")), "is longer than 1048576 bytes")
      const small = yield* saying("12345", { "transfer-encoding": "chunked" })
      assert.strictEqual((yield* expecting(small, "5", 5).check)._tag, "Healthy")
      assert.strictEqual(yield* whyOf(expecting(small, "1", 4)), "is longer than 4 bytes")
    })
  )

  it.live("maxBody: nobody waits for a body that is announced as too long", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((_, response) => {
        response.writeHead(200, { "content-length": "100" }).flushHeaders()
      })
      assert.strictEqual(yield* whyOf(expecting(`http://127.0.0.1:${port}/`, "a", 99)), "is longer than 99 bytes")
    })
  )

  it.live("an encoding that changes nothing is none", () =>
    Effect.gen(function* () {
      for (const encoding of ["", "identity, Identity", "identity"]) {
        const url = yield* saying("ok", { "content-encoding": encoding })
        assert.strictEqual((yield* expecting(url, "ok").check)._tag, "Healthy", encoding)
      }
      const url = yield* saying("ok", { "content-encoding": "identity, br" })
      assert.strictEqual(yield* whyOf(expecting(url, "ok")), "is compressed: identity, br")
    })
  )

  it.live("JSON that is nested deeper than the stack goes is not as expected", () =>
    Effect.gen(function* () {
      interface Tree {
        readonly of: ReadonlyArray<Tree>
      }
      const Tree: Schema.Codec<Tree> = Schema.Struct({
        of: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
      })
      const url = yield* saying(`${'{"of":['.repeat(60_000)}${"]}".repeat(60_000)}`)
      assert.strictEqual(yield* whyOf(expecting(url, Tree)), "is nested too deep")
    })
  )

  it.live("the body is asked for as it is; a compressed one is not looked into", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { port } = yield* httpServer((request, response) => {
        seen.push(request.headers["accept-encoding"])
        response.writeHead(200, { "content-encoding": "gzip" }).end("ok")
      })
      const url = `http://127.0.0.1:${port}/`
      assert.strictEqual(yield* whyOf(expecting(url, "ok")), "is compressed: gzip")
      assert.deepStrictEqual(seen, ["identity"])
      assert.deepStrictEqual(yield* HttpProbe.make({ name: "web", url }).check, Verdict.healthy)
    })
  )

  it.live("what is shown of it is short, in one line, and without secrets", () =>
    Effect.gen(function* () {
      const password = "s3cr3t-value-of-mine"
      const url = yield* saying(`{"password":"x1y2z3w4v5",\n\u001b[31m"key":"${password}"}${"b".repeat(5000)}`)
      const verdict = yield* Effect.provideService(
        expecting(url, "healthy").check,
        Redaction.Redactor,
        Redaction.make([password])
      )
      const text = JSON.stringify(verdict)
      for (const hidden of [password, "x1y2z3w4v5", "\\u001b", "\\n"]) assert.notInclude(text, hidden)
      assert.include(text, "key")
      assert.isBelow(text.length, 700)
      const typed = yield* Effect.provideService(
        expecting(yield* saying(`{"ok":"${password}"}`), Health).check,
        Redaction.Redactor,
        Redaction.make([password])
      )
      assert.notInclude(JSON.stringify(typed), password)
    })
  )
})

/** A server that knows these paths, and says nothing to whoever asks for another. */
const routes = (statuses: Readonly<Record<string, number>>) =>
  Effect.map(
    httpServer((request, response) => {
      const status = statuses[request.url ?? ""]
      if (status !== undefined) response.writeHead(status).end(`this is ${request.url}`)
    }),
    (server) => ({ ...server, url: `http://127.0.0.1:${server.port}/` })
  )

describe("HttpProbe: alternatives", () => {
  it.live("404 at / while /auth works", () =>
    Effect.gen(function* () {
      const { url } = yield* routes({ "/": 404, "/login": 500, "/auth": 200 })
      const probe = HttpProbe.make({ name: "web ui", url, alternatives: ["/login", "/auth"] })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new HttpProbe.WrongRoute({ url, status: 404, alternative: "/auth" }), [
          `GET ${url}: status 404`,
          "/auth answers as expected"
        ])
      )
    })
  )

  it.live("none works either: what was found first stands, also if they keep us waiting", () =>
    Effect.gen(function* () {
      const { url } = yield* routes({ "/": 404, "/login": 500 })
      const elsewhere = HttpProbe.make({ name: "web ui", url, alternatives: ["/login"] })
      assert.deepInclude(signatureOf(yield* elsewhere.check), { _tag: "Http/UnexpectedStatus", status: 404 })
      const silent = HttpProbe.make({ name: "web ui", url, alternatives: ["/silent"], timeout: "1 second" })
      assert.deepInclude(signatureOf(yield* silent.check), { _tag: "Http/UnexpectedStatus", status: 404 })
    })
  )

  it.live("nobody asks for them while all is well, or when nobody answers", () =>
    Effect.gen(function* () {
      const { accepted, url } = yield* routes({ "/": 200, "/auth": 200 })
      assert.deepStrictEqual(
        yield* HttpProbe.make({ name: "web ui", url, alternatives: ["/auth"] }).check,
        Verdict.healthy
      )
      const silent = { name: "web ui", url: `${url}silent`, timeout: "100 millis" } as const
      const waited = HttpProbe.make({ ...silent, alternatives: ["/auth"] })
      assert.strictEqual(signatureOf(yield* waited.check)._tag, "Http/Timeout")
      assert.strictEqual(accepted(), 2)
    })
  )

  it.live("an alternative has to say what the body must say, too", () =>
    Effect.gen(function* () {
      const { url } = yield* routes({ "/": 200, "/auth": 200 })
      const asking = (expectBody: string) =>
        HttpProbe.make({ name: "web ui", url, expectBody, alternatives: ["/auth"] }).check
      assert.deepInclude(signatureOf(yield* asking("this is /auth")), { _tag: "Http/WrongRoute", status: 200 })
      assert.deepInclude(signatureOf(yield* asking("something else")), { _tag: "Http/UnexpectedBody" })
    })
  )
})

describe("HttpProbe: degradedAfter", () => {
  it.effect("an expected answer that took as long is Slow; others are what they are", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((request, response) =>
        response.writeHead(request.url === "/" ? 200 : 500).end()
      )
      const url = `http://127.0.0.1:${port}/`
      const options = { name: "web", degradedAfter: "2 seconds" } as const
      // No time passes but what is told: these are quick, however long they take.
      assert.deepStrictEqual(yield* HttpProbe.make({ ...options, url }).check, Verdict.healthy)
      const broken = HttpProbe.make({ ...options, url: `${url}broken` })
      assert.strictEqual(signatureOf(yield* broken.check)._tag, "Http/UnexpectedStatus")
      const slow = yield* httpServer((_, response) => {
        void Effect.runPromise(clock.adjust("2 seconds")).then(() => response.end())
      })
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const verdict = yield* HttpProbe.make({ ...options, url: `http://127.0.0.1:${slow.port}/` }).check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.strictEqual(signatureOf(verdict)._tag, "Http/Slow")
      assert.deepStrictEqual("evidence" in verdict && verdict.evidence, [`GET http://127.0.0.1:${slow.port}/: took 2s`])
    })
  )
})

describe("HttpProbe: the type says what its options can find, and no more", () => {
  const basis = { name: "web", url: "http://127.0.0.1/" } as const

  it("a minimal probe has a minimal runbook", () => {
    const minimal = HttpProbe.make(basis)
    expectTypeOf<Probe.Signatures<typeof minimal>>().toEqualTypeOf<
      HttpProbe.Unreachable | HttpProbe.Timeout | HttpProbe.UnexpectedStatus
    >()
    assert.deepStrictEqual(minimal.reports.map(Verdict.tagOf), [
      "Http/Unreachable",
      "Http/Timeout",
      "Http/UnexpectedStatus"
    ])
    const observe = Component.observe("it is only a test")
    const { name } = Component.make(
      { name: "web", probes: [minimal] },
      { "Http/Unreachable": observe, "Http/Timeout": observe, "Http/UnexpectedStatus": observe }
    )
    assert.strictEqual(name, "web")
  })

  it("each option adds its own", () => {
    const body = HttpProbe.make({ ...basis, expectBody: Health })
    expectTypeOf<Exclude<Probe.Signatures<typeof body>, Minimal>>().toEqualTypeOf<HttpProbe.UnexpectedBody>()
    const slow = HttpProbe.make({ ...basis, degradedAfter: "1 second" })
    expectTypeOf<Exclude<Probe.Signatures<typeof slow>, Minimal>>().toEqualTypeOf<HttpProbe.Slow>()
    const route = HttpProbe.make({ ...basis, alternatives: ["/auth"] })
    expectTypeOf<Exclude<Probe.Signatures<typeof route>, Minimal>>().toEqualTypeOf<HttpProbe.WrongRoute>()
    const added = [body, slow, route].map((probe) => probe.reports.map(Verdict.tagOf).slice(3))
    assert.deepStrictEqual(added, [["Http/UnexpectedBody"], ["Http/Slow"], ["Http/WrongRoute"]])
  })

  it("options that only may have it may find it", () => {
    const wide: HttpProbe.HttpProbeOptions = basis
    const probe = HttpProbe.make(wide)
    expectTypeOf<Probe.Signatures<typeof probe>>().toEqualTypeOf<HttpProbe.Found<HttpProbe.HttpProbeOptions>>()
    // @ts-expect-error a misspelt option
    assert.throws(() => HttpProbe.make({ ...basis, degradeAfter: "1 second" }))
    const needing = Schema.String as unknown as Schema.ConstraintDecoder<string, "a service">
    // @ts-expect-error a schema that needs services cannot be decoded here
    assert.isObject(HttpProbe.make({ ...basis, expectBody: needing }))
  })
})

type Minimal = HttpProbe.Unreachable | HttpProbe.Timeout | HttpProbe.UnexpectedStatus
