import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"

import * as HttpProbe from "../src/HttpProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, httpServer, signatureOf, tcpServer } from "./support.ts"

const secret = "t0p/secret+value"

const probing = (port: number, options: Partial<HttpProbe.HttpProbeOptions> = {}) =>
  HttpProbe.make({ name: "web", url: `http://127.0.0.1:${port}/`, timeout: "10 seconds", ...options })

const answering = (status: number, headers: Record<string, string> = {}) =>
  httpServer((_, response) => response.writeHead(status, headers).end("hello"))

/** Accepts, and never says a word. */
const silent = tcpServer(() => {})

const check = (probe: ReturnType<typeof HttpProbe.make>) => probe.check
const found = (probe: ReturnType<typeof HttpProbe.make>) => Effect.map(probe.check, signatureOf)

describe("HttpProbe", () => {
  it.live("200 to 299 is healthy, everything else is not", () =>
    Effect.gen(function* () {
      for (const status of [200, 204, 299]) {
        assert.deepStrictEqual(yield* probing((yield* answering(status)).port).check, Verdict.healthy)
      }
      for (const status of [304, 404, 500]) {
        const { port } = yield* answering(status)
        const url = `http://127.0.0.1:${port}/`
        assert.deepStrictEqual(
          yield* probing(port).check,
          Verdict.unhealthy(new HttpProbe.UnexpectedStatus({ url, status }), [`GET ${url}: status ${status}`])
        )
      }
    })
  )

  it.live("follows redirects, and says where it got stuck", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((request, response) => {
        if (request.url === "/") response.writeHead(302, { location: "/there" }).end()
        else if (request.url === "/loop") response.writeHead(307, { location: "/loop" }).end()
        else response.writeHead(request.url === "/there" ? 200 : 404).end()
      })
      assert.deepStrictEqual(yield* probing(server.port).check, Verdict.healthy)
      const loop = yield* found(probing(server.port, { url: `http://127.0.0.1:${server.port}/loop` }))
      assert.deepInclude(loop, { _tag: "Http/UnexpectedStatus", status: 307 })
      yield* server.abandoned
    })
  )

  it.live("a redirect to another origin does not get the secrets", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const record = httpServer((request, response) => {
        seen.push([request.headers["x-api-key"], request.headers.authorization, request.headers["x-plain"]])
        response.end()
      })
      const other = yield* record
      const server = yield* httpServer((request, response) => {
        if (request.url === "/") response.writeHead(302, { location: "/here" }).end()
        else response.writeHead(302, { location: `http://127.0.0.1:${other.port}/` }).end()
        seen.push([request.headers["x-api-key"], request.headers.authorization, request.headers["x-plain"]])
      })
      const headers = { "x-api-key": Redacted.make(secret), authorization: `Bearer ${secret}`, "x-plain": "yes" }
      assert.deepStrictEqual(yield* probing(server.port, { headers }).check, Verdict.healthy)
      const all = [secret, `Bearer ${secret}`, "yes"]
      assert.deepStrictEqual(seen, [all, all, [undefined, undefined, "yes"]])
    })
  )

  it.live("refused is Unreachable with the system's code", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const url = `http://127.0.0.1:${port}/`
      assert.deepStrictEqual(
        yield* probing(port).check,
        Verdict.unhealthy(new HttpProbe.Unreachable({ url, code: "ECONNREFUSED" }), [`GET ${url}: ECONNREFUSED`])
      )
    })
  )

  it.live("a connection that breaks before or within the head is Unreachable, and is not tried again", () =>
    Effect.gen(function* () {
      for (const part of ["", "HTTP/1.1 200 OK\r\nContent-"]) {
        const server = yield* tcpServer((socket) => {
          socket.once("data", () => {
            if (part === "") socket.resetAndDestroy()
            else socket.end(part)
          })
        })
        assert.strictEqual((yield* found(probing(server.port)))._tag, "Http/Unreachable")
        assert.strictEqual(server.accepted(), 1)
        yield* server.abandoned
      }
    })
  )

  it.live("what is no HTTP is Unreachable", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => socket.end("-ERR wrong protocol\r\n"))
      assert.strictEqual((yield* found(probing(server.port)))._tag, "Http/Unreachable")
    })
  )

  it.live("no answer, and an answer that trickles, are Timeout; the server sees the connection close", () =>
    Effect.gen(function* () {
      const trickling = tcpServer((socket) => {
        socket.write("HTTP/1.1 200 OK\r\nX-Long: ")
        const timer = setInterval(() => socket.write("a"), 10)
        socket.on("close", () => clearInterval(timer))
      })
      for (const serving of [silent, trickling]) {
        const server = yield* serving
        const url = `http://127.0.0.1:${server.port}/`
        assert.deepStrictEqual(
          yield* probing(server.port, { timeout: "300 millis" }).check,
          Verdict.unhealthy(new HttpProbe.Timeout({ url, after: Duration.millis(300) }), [
            `GET ${url}: no answer in time`
          ])
        )
        assert.strictEqual(server.accepted(), 1)
        yield* server.abandoned
      }
    })
  )

  it.live("does not read the body: an endless one neither keeps the check nor the connection", () =>
    Effect.gen(function* () {
      let written = 0
      const server = yield* httpServer((_, response) => {
        const chunk = Buffer.alloc(64 * 1024)
        const more = (): void => {
          while (!response.destroyed && response.write(chunk)) written += 1
        }
        response.on("drain", more)
        more()
      })
      assert.deepStrictEqual(yield* probing(server.port).check, Verdict.healthy)
      yield* server.abandoned
      // Buffers on the way fill up; nobody takes more.
      assert.isBelow(written, 1000)
    })
  )

  it.live("every check has a connection of its own", () =>
    Effect.gen(function* () {
      const server = yield* answering(200, { connection: "keep-alive" })
      const probe = probing(server.port)
      yield* Effect.scoped(Effect.repeat(check(probe), { times: 4 }))
      assert.strictEqual(server.accepted(), 5)
      yield* server.abandoned
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* silent
      const fiber = yield* Effect.forkChild(probing(server.port).check)
      yield* eventually(
        "it is connected",
        Effect.sync(() => (server.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* server.abandoned
    })
  )

  it.live("expectStatus: only these are healthy", () =>
    Effect.gen(function* () {
      const { port } = yield* answering(401)
      assert.deepStrictEqual(yield* probing(port, { expectStatus: [200, 401] }).check, Verdict.healthy)
      assert.deepInclude(signatureOf(yield* probing(port, { expectStatus: [200] }).check), { status: 401 })
    })
  )

  it.live("expectStatus: a redirect that is expected is not followed", () =>
    Effect.gen(function* () {
      const { port } = yield* answering(302, { location: "http://127.0.0.1:1/" })
      assert.deepStrictEqual(yield* probing(port, { expectStatus: [302] }).check, Verdict.healthy)
      assert.deepInclude(yield* found(probing(port)), { _tag: "Http/Unreachable", code: "ECONNREFUSED" })
    })
  )

  it.live("a redirect that leads nowhere is a status like any other", () =>
    Effect.gen(function* () {
      for (const location of ["ftp://127.0.0.1/", "http://["]) {
        const { port } = yield* answering(301, { location })
        assert.deepInclude(yield* found(probing(port)), { _tag: "Http/UnexpectedStatus", status: 301 })
      }
    })
  )

  it.live("https: talks TLS", () =>
    Effect.gen(function* () {
      let first: number | undefined
      const server = yield* tcpServer((socket) =>
        socket.once("data", (data) => {
          first = data[0]
          socket.end("HTTP/1.1 200 OK\r\n\r\n")
        })
      )
      const url = `https://127.0.0.1:${server.port}/`
      assert.strictEqual((yield* found(HttpProbe.make({ name: "web", url })))._tag, "Http/Unreachable")
      // The first byte of a TLS handshake record.
      assert.strictEqual(first, 22)
      yield* server.abandoned
    })
  )

  it.live("method: GET unless told, HEAD when told", () =>
    Effect.gen(function* () {
      const seen: Array<string | undefined> = []
      const { port } = yield* httpServer((request, response) => {
        seen.push(request.method)
        response.end()
      })
      yield* check(probing(port))
      yield* check(probing(port, { method: "HEAD" }))
      assert.deepStrictEqual(seen, ["GET", "HEAD"])
    })
  )

  it.live("headers are sent, and a secret one appears in nothing that is found", () =>
    Effect.gen(function* () {
      const seen: Array<string | undefined> = []
      const server = yield* httpServer((request, response) => {
        seen.push(request.headers.authorization, request.headers.host)
        if (request.url === "/ok") response.end()
        else if (request.url === "/broken") response.destroy()
        else if (request.url === "/sick") response.writeHead(500).end(request.headers.authorization)
      })
      const headers = { authorization: Redacted.make(`Bearer ${secret}`), host: "shop.example" }
      for (const path of ["ok", "broken", "sick", "slow"]) {
        const url = `http://127.0.0.1:${server.port}/${path}`
        const probe = HttpProbe.make({
          name: path,
          url,
          headers,
          timeout: path === "slow" ? "300 millis" : "10 seconds"
        })
        const verdict = yield* check(probe)
        assert.notInclude(JSON.stringify([verdict, probe]), secret)
      }
      assert.deepStrictEqual([...new Set(seen)], [`Bearer ${secret}`, "shop.example"])
    })
  )

  it.live("timeout: five seconds unless told", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => setTimeout(() => response.end(), 600))
      const url = `http://127.0.0.1:${server.port}/`
      assert.strictEqual((yield* check(HttpProbe.make({ name: "patient", url })))._tag, "Healthy")
      assert.strictEqual((yield* check(HttpProbe.make({ name: "short", url, timeout: 50 })))._tag, "Unhealthy")
    })
  )

  it("is held while the component starts, and changes nothing", () => {
    assert.deepInclude(probing(80), { name: "web", duringStartup: "held", effects: "none" })
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ url: "example.com" }, "url", "example.com"],
      [{ url: "ftp://example.com/" }, "url", "ftp://example.com/"],
      [{ url: undefined }, "url", undefined],
      [{ timeout: -1 }, "timeout", -1],
      [{ timeout: "0 seconds" }, "timeout", "0 seconds"],
      [{ timeout: Infinity }, "timeout", Infinity],
      [{ method: "POST" }, "method", "POST"],
      [{ expectStatus: [200, 42] }, "expectStatus", 42],
      [{ expectStatus: [] }, "expectStatus", []],
      [{ expectStatus: 200 }, "expectStatus", 200],
      [{ headers: { "a b": "c" } }, "headers", "a b"],
      [{ headers: { Connection: "keep-alive" } }, "headers", "Connection"],
      [{ headers: { "x-number": 1 } }, "headers.x-number", "number"],
      [{ retries: 3 }, "retries", 3]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => HttpProbe.make({ name: "web", url: "http://localhost/", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["HttpProbe", option, value])
      assert.include(error.message, `HttpProbe: option "${option}" is `)
    }
    assert.strictEqual(refusal(() => HttpProbe.make({ name: "", url: "http://localhost/" })).option, "name")
  })

  it("shows no secret in a refusal", () => {
    const refused: ReadonlyArray<object> = [
      { url: `http://user:${secret}@example.com/` },
      { url: `http://user:${encodeURIComponent(secret)}@example.com/` },
      { url: `ftp://${encodeURIComponent(secret)}@example.com/` },
      { headers: { authorization: Redacted.make(`${secret}\n`) } },
      { headers: { authorization: `${secret}\n` } }
    ]
    for (const options of refused) {
      const error = refusal(() => HttpProbe.make({ name: "web", url: "http://localhost/", ...options }))
      for (const form of [secret, encodeURIComponent(secret)]) {
        assert.notInclude(`${error.message} ${error.stack} ${String(error.value)}`, form)
      }
    }
    const inPath = HttpProbe.make({ name: "web", url: "http://localhost/@scope/name" })
    assert.strictEqual(inPath.name, "web")
  })
})

probeContract<HttpProbe.Unreachable | HttpProbe.Timeout | HttpProbe.UnexpectedStatus>("HttpProbe", {
  situations: {
    Healthy: Effect.map(answering(200), ({ port }) => probing(port)),
    "Http/Unreachable": Effect.map(freePort, (port) => probing(port)),
    "Http/Timeout": Effect.map(silent, ({ port }) => probing(port, { timeout: "100 millis" })),
    "Http/UnexpectedStatus": Effect.map(answering(503), ({ port }) => probing(port))
  },
  waiting: Effect.map(silent, ({ port }) => probing(port))
})
