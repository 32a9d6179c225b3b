import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"

import * as HttpProbe from "../src/HttpProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { httpServer, signatureOf, tcpServer } from "./support.ts"

const secret = "t0p/secret+value"

const probing = (port: number, options: Partial<HttpProbe.HttpProbeOptions> = {}) =>
  HttpProbe.make({ name: "web", url: `http://127.0.0.1:${port}/`, timeout: "10 seconds", ...options })

/** Nobody listens there. */
const freePort = TestPort.free(20_000, 32_000)

const answering = (status: number, headers: Record<string, string> = {}) =>
  httpServer((_, response) => response.writeHead(status, headers).end("hello"))

/** Accepts, and never says a word. */
const silent = tcpServer(() => {})

type Any = Probe.Probe<HttpProbe.Found<HttpProbe.HttpProbeOptions>>

const check = (probe: Any) => probe.check
const found = (probe: Any) => Effect.map(probe.check, signatureOf)

const at = (url: string) => HttpProbe.make({ name: "web", url })
const asking = (options: Partial<HttpProbe.HttpProbeOptions>) => Probe.question(probing(80, options))
const token = (value: string) => ({ headers: { authorization: Redacted.make(value) } })

const bot = (id: string) => at(`https://bots.example/bot${id}/getMe`)

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
        else if (request.url?.startsWith("/loop") === true) response.writeHead(307, { location: request.url }).end()
        else response.writeHead(request.url === "/there" ? 200 : 404).end()
      })
      assert.deepStrictEqual(yield* probing(server.port).check, Verdict.healthy)
      const url = `http://127.0.0.1:${server.port}/loop`
      const before = server.accepted()
      assert.deepStrictEqual(
        yield* probing(server.port, { url: `${url}?token=${secret}` }).check,
        Verdict.unhealthy(new HttpProbe.UnexpectedStatus({ url, status: 307 }), [
          `GET ${url}: status 307`,
          `redirects to ${url}`,
          "which is a loop"
        ])
      )
      assert.strictEqual(server.accepted(), before + 1)
      yield* server.abandoned
    })
  )

  it.live("follow: so many redirects, ten unless told", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((request, response) => {
        const left = Number(request.url?.slice(1))
        if (left === 0) response.writeHead(200).end()
        else response.writeHead(302, { location: `/${left - 1}` }).end()
      })
      const from = (left: number) => ({ url: `http://127.0.0.1:${server.port}/${left}` })
      assert.strictEqual((yield* check(probing(server.port, from(10))))._tag, "Healthy")
      assert.deepInclude(yield* found(probing(server.port, from(11))), { status: 302 })
      assert.strictEqual((yield* check(probing(server.port, { ...from(2), follow: 2 })))._tag, "Healthy")
      assert.deepInclude(yield* found(probing(server.port, { ...from(2), follow: 1 })), { status: 302 })
      const before = server.accepted()
      assert.deepInclude(yield* found(probing(server.port, { ...from(1), follow: 0 })), { status: 302 })
      assert.strictEqual(server.accepted(), before + 1)
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
      assert.deepStrictEqual(yield* probing(port, { expectStatus: [200, "4xx"] }).check, Verdict.healthy)
      assert.deepInclude(signatureOf(yield* probing(port, { expectStatus: ["2xx", "5xx"] }).check), { status: 401 })
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
      for (const location of ["ftp://127.0.0.1/", "file:///etc/passwd", "http://["]) {
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

  it.live("a secret header that comes back is not shown, nor is a credential without its scheme", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((request, response) => {
        const { authorization = "" } = request.headers
        if (request.url === "/away") response.writeHead(302, { location: `/${secret}` }).end()
        else response.writeHead(request.url === "/" ? 200 : 404).end(`no ${authorization} ${authorization.slice(7)}`)
      })
      const headers = { authorization: Redacted.make(`Bearer ${secret}`) }
      const url = `http://127.0.0.1:${server.port}/`
      for (const path of ["", "away"]) {
        const verdict = yield* check(probing(server.port, { headers, url: url + path, expectBody: "yes" }))
        assert.strictEqual(verdict._tag, "Unhealthy")
        assert.notInclude(JSON.stringify(verdict), secret)
      }
    })
  )

  it("a secret in the path is not shown in the target, and is part of the question", () => {
    const key = "123456789:AAFaBcDeFgHiJkLmNoPqRsTuVwXyZ012345"
    assert.match(bot(key).target, /^https:\/\/bots\.example\//)
    assert.notInclude(JSON.stringify(bot(key)), key)
    assert.isTrue(Equal.equals(Probe.question(bot(key)), Probe.question(bot(key))))
    assert.isFalse(Equal.equals(Probe.question(bot(key)), Probe.question(bot(key.replace("AAF", "AAG")))))
  })

  it("options that change later change no question", () => {
    const expectStatus = [200]
    const headers = { "x-a": "1" }
    const one = probing(80, { expectStatus, headers })
    expectStatus[0] = 404
    headers["x-a"] = "2"
    const other = probing(80, { expectStatus, headers })
    assert.isFalse(Equal.equals(Probe.question(one), Probe.question(other)))
    assert.isTrue(Equal.equals(Probe.question(one), asking({ expectStatus: [200], headers: { "X-A": "1" } })))
  })

  it.live("timeout: five seconds unless told", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => setTimeout(() => response.end(), 600))
      const url = `http://127.0.0.1:${server.port}/`
      assert.strictEqual((yield* check(HttpProbe.make({ name: "patient", url })))._tag, "Healthy")
      assert.strictEqual((yield* check(HttpProbe.make({ name: "short", url, timeout: 50 })))._tag, "Unhealthy")
    })
  )

  it.live("what this machine cannot do says nothing about the server", () =>
    Effect.gen(function* () {
      const verdict = yield* check(HttpProbe.make({ name: "nowhere", url: "http://255.255.255.255/" }))
      assert.strictEqual(verdict._tag, "Inconclusive")
    })
  )

  it("is held while the component starts, and changes nothing", () => {
    assert.deepInclude(probing(8080), { name: "web", duringStartup: "held", effects: "none" })
  })

  it("says what it examines, without a query, and how far that is", () => {
    const { target } = at(`http://shop.example:8080/health?token=${secret}#top`)
    assert.strictEqual(target, "http://shop.example:8080/health")
    for (const host of ["127.0.0.1", "127.8.9.1", "[::1]", "0.0.0.0", "[::]", "localhost", "app.localhost."]) {
      assert.strictEqual(at(`http://${host}/`).reach, "host", host)
    }
    for (const host of ["192.0.2.1", "[2001:db8::1]", "shop.example", "localhost.example"]) {
      assert.strictEqual(at(`https://${host}/`).reach, "network", host)
    }
    const socket = HttpProbe.make({ name: "web", url: "http://docker/_ping", socketPath: "/run/docker.sock" })
    assert.deepInclude(socket, { target: "unix:/run/docker.sock http://docker/_ping", reach: "host" })
  })

  it("who asks the same is known by it, whatever the name", () => {
    assert.isTrue(Equal.equals(asking({ name: "a", ...token("x") }), asking({ name: "b", ...token("x") })))
    assert.isTrue(Equal.equals(asking({ expectBody: /ok/ }), asking({ expectBody: /ok/ })))
    assert.isFalse(Equal.equals(asking(token("x")), asking(token("y"))))
    assert.isFalse(Equal.equals(asking({ expectStatus: [200] }), asking({})))
    assert.notInclude(JSON.stringify(probing(80, token(secret))), secret)
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
      [{ headers: { "accept-encoding": "gzip" }, expectBody: "ok" }, "headers", "accept-encoding"],
      [{ headers: ["a"] }, "headers", ["a"]],
      [{ expectStatus: ["2xx", "6xx"] }, "expectStatus", "6xx"],
      [{ follow: 21 }, "follow", 21],
      [{ follow: true }, "follow", true],
      [{ expectBody: "" }, "expectBody", ""],
      [{ expectBody: { status: "ok" } }, "expectBody", { status: "ok" }],
      [{ expectBody: "ok", method: "HEAD" }, "expectBody", "given"],
      [{ maxBody: 100 }, "maxBody", 100],
      [{ maxBody: 0, expectBody: "ok" }, "maxBody", 0],
      [{ alternatives: [] }, "alternatives", []],
      [{ alternatives: ["auth"] }, "alternatives", "auth"],
      [{ alternatives: ["//evil.example/"] }, "alternatives", "//evil.example/"],
      [{ alternatives: ["/\\evil.example/"] }, "alternatives", "/\\evil.example/"],
      [{ alternatives: ["/"] }, "alternatives", "/"],
      [{ degradedAfter: "5 seconds" }, "degradedAfter", "5 seconds"],
      [{ degradedAfter: 0 }, "degradedAfter", 0],
      [{ dnsServers: ["localhost"] }, "dnsServers", "localhost"],
      [{ dnsServers: ["127.0.0.1"], socketPath: "/run/web.sock" }, "dnsServers", ["127.0.0.1"]],
      [{ dnsServers: ["127.0.0.1"], url: "http://127.0.0.1/" }, "dnsServers", ["127.0.0.1"]],
      [{ socketPath: "" }, "socketPath", ""],
      [{ socketPath: `/${"a".repeat(107)}` }, "socketPath", `/${"a".repeat(107)}`],
      [{ headers: { "X-A": "1", "x-a": "2" } }, "headers", "x-a"],
      [{ url: "http://localhost:0/?token=x" }, "url", "http://localhost:0/"],
      [{ alternatives: ["auth?token=x"] }, "alternatives", "auth"],
      [{ ca: "no certificate", url: "https://localhost/" }, "ca", "string"],
      [{ ca: "whatever" }, "ca", "given"],
      [{ servername: "shop.example" }, "servername", "shop.example"],
      [{ servername: "127.0.0.1", url: "https://localhost/" }, "servername", "127.0.0.1"],
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
      { headers: { authorization: `${secret}\n` } },
      { headers: `authorization: ${secret}` },
      { headers: Redacted.make(secret) }
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

probeContract<HttpProbe.Found<HttpProbe.HttpProbeOptions>>("HttpProbe", {
  situations: {
    Healthy: Effect.map(answering(200), ({ port }) => probing(port)),
    Inconclusive: Effect.succeed(HttpProbe.make({ name: "nowhere", url: "http://255.255.255.255/" })),
    "Http/Unreachable": Effect.map(freePort, (port) => probing(port)),
    "Http/Timeout": Effect.map(silent, ({ port }) => probing(port, { timeout: "30 millis" })),
    "Http/UnexpectedStatus": Effect.map(answering(503), ({ port }) => probing(port)),
    "Http/UnexpectedBody": Effect.map(answering(200), ({ port }) => probing(port, { expectBody: /^bye/ })),
    "Http/WrongRoute": Effect.map(
      httpServer((request, response) => response.writeHead(request.url === "/auth" ? 200 : 404).end()),
      ({ port }) => probing(port, { alternatives: ["/auth"] })
    ),
    "Http/Slow": Effect.map(
      httpServer((_, response) => setTimeout(() => response.end(), 20)),
      ({ port }) => probing(port, { degradedAfter: "10 millis" })
    )
  },
  waiting: Effect.map(silent, ({ port }) => probing(port))
})
