import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Redaction from "@nexobot/core/Redaction"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestCertificates from "@nexobot/testing/TestCertificates"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type WebSocket, WebSocketServer, type ServerOptions } from "ws"

import * as Connection from "../src/internal/httpConnection.ts"
import { talk } from "../src/internal/webSocketTalk.ts"
import * as WebSocketProbe from "../src/WebSocketProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { httpServer, mutated, serving, signatureOf, tcpServer } from "./support.ts"

const secret = "t0p/secret+value"

type Options = WebSocketProbe.WebSocketProbeOptions

const probing = (port: number, options: Partial<Options> = {}) =>
  WebSocketProbe.make({ name: "gateway", url: `ws://127.0.0.1:${port}/`, timeout: "10 seconds", ...options })

/** Nobody listens there. */
const freePort = TestPort.free(20_000, 32_000)

type OnConnection = (socket: WebSocket, request: Http.IncomingMessage) => void

/** Shakes hands, and then does as it is told. */
const speaking = (onConnection: OnConnection = () => {}, options: ServerOptions = {}, at?: Net.ListenOptions) => {
  const server = Http.createServer()
  new WebSocketServer({ server, ...options }).on("connection", (socket, request) => {
    socket.on("error", () => {})
    onConnection(socket, request)
  })
  return serving(server, at)
}

const saying = (...messages: ReadonlyArray<string | Uint8Array>) =>
  speaking((socket) => messages.forEach((message) => socket.send(message)))

/** Accepts, and never says a word. */
const silent = tcpServer(() => {})

/** As the gateway does: a challenge, then the answer to `connect`, or a close for a token that it does not like. */
const gateway = speaking((socket) => {
  socket.send(JSON.stringify({ type: "event", event: "connect.challenge", payload: { nonce: "n" } }))
  socket.on("message", (data) => {
    if ((Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)).includes(secret))
      socket.send(JSON.stringify({ type: "hello-ok", protocol: 3 }))
    else socket.close(1008, "gateway token mismatch")
  })
})

const Challenge = Schema.Struct({ type: Schema.Literal("event"), event: Schema.Literal("connect.challenge") })

const found = <S extends Verdict.Signature>(probe: Probe.Probe<S>) => Effect.map(probe.check, signatureOf)

const askingWith = (name: string, text: string) =>
  Probe.question(probing(80, { name, expect: /ok/, send: Redacted.make(text) }))

describe("WebSocketProbe", () => {
  it.live("a handshake is enough without expect", () =>
    Effect.gen(function* () {
      const server = yield* speaking()
      assert.deepStrictEqual(yield* probing(server.port).check, Verdict.healthy)
      yield* server.abandoned
    })
  )

  it.live("expect: what the server says first", () =>
    Effect.gen(function* () {
      const { port } = yield* gateway
      const url = `ws://127.0.0.1:${port}/`
      for (const expect of ["connect.challenge", /"nonce":"\w+"/g, Challenge]) {
        const probe = probing(port, { expect })
        for (const _ of [1, 2]) assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      }
      assert.deepStrictEqual(
        yield* probing(port, { expect: /hello/ }).check,
        Verdict.unhealthy(new WebSocketProbe.UnexpectedMessage({ url, why: "does not match /hello/" }), [
          `${url}: the message does not match /hello/`,
          'it begins: {"type":"event","event":"connect.challenge","payload":{"nonce":"n"}}'
        ])
      )
      const typed = yield* found(probing(port, { expect: Schema.Struct({ ok: Schema.Boolean }) }))
      assert.include("why" in typed ? typed.why : "", '["ok"]')
    })
  )

  it.live("send and messages: a token is right when the gateway says so, and wrong when it closes", () =>
    Effect.gen(function* () {
      const server = yield* gateway
      const url = `ws://127.0.0.1:${server.port}/`
      const connecting = (token: string) =>
        probing(server.port, {
          send: Redacted.make(JSON.stringify({ type: "connect", token })),
          expect: /"hello-ok"/,
          messages: 2
        })
      assert.deepStrictEqual(yield* connecting(secret).check, Verdict.healthy)
      const reason = "gateway token mismatch"
      assert.deepStrictEqual(
        yield* connecting("another").check,
        Verdict.unhealthy(new WebSocketProbe.Closed({ url, code: 1008, reason }), [`${url}: closed: 1008 ${reason}`])
      )
      yield* server.abandoned
    })
  )

  it.live("messages: one unless told", () =>
    Effect.gen(function* () {
      const { port } = yield* saying("one", "two", "three")
      assert.strictEqual((yield* found(probing(port, { expect: "two" })))._tag, "WebSocket/UnexpectedMessage")
      assert.strictEqual((yield* probing(port, { expect: "two", messages: 2 }).check)._tag, "Healthy")
      const third = yield* found(probing(port, { expect: "three", messages: 2 }))
      assert.deepInclude(third, { _tag: "WebSocket/UnexpectedMessage", why: 'does not contain "three"' })
    })
  )

  it.live("headers, origin, protocols and path are sent", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { port } = yield* speaking((socket, { headers, url }) => {
        const { authorization, origin, host } = headers
        seen.push({ authorization, origin, host, url, protocol: socket.protocol })
      })
      const probe = probing(port, {
        url: `ws://127.0.0.1:${port}/ws?v=3#top`,
        headers: { authorization: Redacted.make(`Bearer ${secret}`), host: "gateway.example" },
        origin: "https://shop.example",
        protocols: ["v2.chat", "v1.chat"]
      })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepStrictEqual(seen, [
        {
          authorization: `Bearer ${secret}`,
          origin: "https://shop.example",
          host: "gateway.example",
          url: "/ws?v=3",
          protocol: "v2.chat"
        }
      ])
      assert.notInclude(JSON.stringify(probe), secret)
    })
  )

  it.live("an answer that is no handshake is Refused with its status; no redirect is followed", () =>
    Effect.gen(function* () {
      for (const status of [200, 302, 401, 404, 503]) {
        const server = yield* httpServer((_, response) => response.writeHead(status, { location: "/other" }).end("no"))
        const url = `ws://127.0.0.1:${server.port}/`
        assert.deepStrictEqual(
          yield* probing(server.port).check,
          Verdict.unhealthy(new WebSocketProbe.Refused({ url, status }), [`${url}: status ${status}`])
        )
        assert.strictEqual(server.accepted(), 1)
        yield* server.abandoned
      }
    })
  )

  it.live("a 101 that does not keep the protocol is Refused as well, and says why", () =>
    Effect.gen(function* () {
      const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
      const answers: ReadonlyArray<readonly [string, string]> = [
        ["Upgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n", "Invalid Sec-WebSocket-Accept header"],
        ["Upgrade: websocket\r\n", "Invalid Sec-WebSocket-Accept header"],
        ["Upgrade: h2c\r\n", "Invalid Upgrade header"]
      ]
      for (const [headers, why] of answers) {
        const server = yield* tcpServer((socket) => socket.once("data", () => socket.write(`${head}${headers}\r\n`)))
        const verdict = yield* probing(server.port).check
        assert.deepInclude(signatureOf(verdict), { _tag: "WebSocket/Refused", status: 101 })
        assert.include(JSON.stringify(verdict), why)
        yield* server.abandoned
      }
      const { port } = yield* speaking()
      const other = yield* speaking(() => {}, { handleProtocols: () => false })
      assert.strictEqual((yield* probing(port, { protocols: ["v1"] }).check)._tag, "Healthy")
      assert.deepInclude(yield* found(probing(other.port, { protocols: ["v1"] })), { status: 101 })
    })
  )

  it.live("refused, reset and no HTTP are Unreachable with the code", () =>
    Effect.gen(function* () {
      const refused = yield* found(probing(yield* freePort))
      assert.deepInclude(refused, { _tag: "WebSocket/Unreachable", code: "ECONNREFUSED" })
      const resetting = yield* tcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()))
      assert.deepInclude(yield* found(probing(resetting.port)), { _tag: "WebSocket/Unreachable", code: "ECONNRESET" })
      for (const close of [(socket: Net.Socket) => socket.resetAndDestroy(), (socket: Net.Socket) => socket.end()]) {
        const closing = yield* tcpServer(close)
        for (const _ of [1, 2, 3]) {
          assert.strictEqual((yield* found(probing(closing.port)))._tag, "WebSocket/Unreachable")
        }
      }
      const nonsense = yield* tcpServer((socket) => socket.end("-ERR wrong protocol\r\n"))
      assert.strictEqual((yield* found(probing(nonsense.port)))._tag, "WebSocket/Unreachable")
    })
  )

  it.live("timeout: connected or not, before the handshake or after it", () =>
    Effect.gen(function* () {
      const after = Duration.millis(500)
      const frozen = yield* silent
      const url = `ws://127.0.0.1:${frozen.port}/`
      assert.deepStrictEqual(
        yield* probing(frozen.port, { timeout: after }).check,
        Verdict.unhealthy(new WebSocketProbe.Timeout({ url, after, connected: true }), [
          `${url}: connected, no answer in time`
        ])
      )
      yield* frozen.abandoned
      const mute = yield* speaking()
      const waiting = yield* found(probing(mute.port, { expect: "hello", timeout: after }))
      assert.deepInclude(waiting, { _tag: "WebSocket/Timeout", connected: true })
      yield* mute.abandoned
    })
  )

  it.live("degradedAfter: as expected, and late", () =>
    Effect.gen(function* () {
      const { port } = yield* speaking((socket) => setTimeout(() => socket.send("hello"), 60))
      const options = { expect: "hello", timeout: "20 seconds" } as const
      const verdict = yield* probing(port, { ...options, degradedAfter: "50 millis" }).check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.strictEqual(signatureOf(verdict)._tag, "WebSocket/Slow")
      assert.strictEqual((yield* probing(port, { ...options, degradedAfter: "15 seconds" }).check)._tag, "Healthy")
      const late = yield* found(probing(port, { ...options, expect: "bye", degradedAfter: "50 millis" }))
      assert.strictEqual(late._tag, "WebSocket/UnexpectedMessage")
    })
  )

  it.live("an interruption cuts the connection, during the handshake and after it", () =>
    Effect.gen(function* () {
      for (const making of [silent, speaking()]) {
        const server = yield* making
        const fiber = yield* Effect.forkChild(probing(server.port, { expect: "hello" }).check)
        yield* eventually(
          "it is connected",
          Effect.sync(() => (server.accepted() === 1 ? true : undefined))
        )
        yield* Fiber.interrupt(fiber)
        yield* server.abandoned
      }
    })
  )

  it.live("it says no goodbye and waits for none", () =>
    Effect.gen(function* () {
      let handshakes = 0
      // A server that never answers a close frame, and never ends its side by itself.
      const server = yield* speaking((socket) => {
        handshakes += 1
        socket.send("hello")
        socket.pause()
      })
      for (const _ of [1, 2, 3]) {
        assert.strictEqual((yield* probing(server.port, { expect: "hello" }).check)._tag, "Healthy")
      }
      yield* server.abandoned
      assert.strictEqual(handshakes, 3)
    })
  )

  it.live("a secret in a reason or a message is not shown, nor are control characters", () =>
    Effect.gen(function* () {
      const closing = yield* speaking((socket) => socket.close(4001, `no such token: ${secret}\n`))
      const other = yield* saying(`\u001b[31m{"got":"${secret}"}${"a".repeat(5000)}`)
      for (const { port } of [closing, other]) {
        const checked = probing(port, { expect: "hello" }).check
        const verdict = yield* Effect.provideService(checked, Redaction.Redactor, Redaction.make([secret]))
        const text = JSON.stringify(verdict)
        for (const hidden of [secret, "\\u001b", "\\n"]) assert.notInclude(text, hidden)
        assert.isBelow(text.length, 700)
      }
      const asking = yield* speaking()
      const { target } = probing(1, { url: `ws://127.0.0.1:${asking.port}/ws?token=${secret}` })
      assert.strictEqual(target, `ws://127.0.0.1:${asking.port}/ws`)
    })
  )

  it.live("what was sent and a secret header are not shown when they come back", () =>
    Effect.gen(function* () {
      const echoing = yield* speaking((socket, { headers }) =>
        socket.on("message", () => socket.close(4001, `no ${String(headers["x-key"])} ${secret}`))
      )
      const options = { expect: "hello", send: Redacted.make(secret), headers: { "x-key": Redacted.make("k3y-k3y") } }
      const text = JSON.stringify(yield* probing(echoing.port, options).check)
      assert.include(text, "4001")
      for (const hidden of [secret, "k3y-k3y"]) assert.notInclude(text, hidden)
    })
  )

  it.live("socketPath: connects there", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "gateway.sock")
      const probe = WebSocketProbe.make({ name: "gateway", url: "ws://gateway/", socketPath: path })
      assert.deepInclude(yield* found(probe), { _tag: "WebSocket/Unreachable", code: "ENOENT" })
      yield* speaking(() => {}, {}, { path })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.deepInclude(probe, { target: `unix:${path} ws://gateway/`, reach: "host" })
    })
  )

  it("who asks the same is known by it, whatever the name", () => {
    assert.isTrue(Equal.equals(askingWith("a", "x"), askingWith("b", "x")))
    assert.isFalse(Equal.equals(askingWith("a", "x"), askingWith("a", "y")))
    const protocols: [string] = ["v1"]
    const one = probing(80, { protocols })
    protocols[0] = "v2"
    assert.isFalse(Equal.equals(Probe.question(one), Probe.question(probing(80, { protocols }))))
    assert.isTrue(Equal.equals(Probe.question(one), Probe.question(probing(80, { protocols: ["v1"] }))))
  })

  it("refuses options that cannot work, and names them", () => {
    const expect = "hello"
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ url: "http://example.com/" }, "url", "http://example.com/"],
      [{ url: "example.com" }, "url", "example.com"],
      [{ headers: { "Sec-WebSocket-Key": "x" } }, "headers", "Sec-WebSocket-Key"],
      [{ headers: { Origin: "https://a.example" } }, "headers", "Origin"],
      [{ headers: { Upgrade: "h2c" } }, "headers", "Upgrade"],
      [{ origin: "shop.example" }, "origin", "shop.example"],
      [{ origin: "https://shop.example/" }, "origin", "https://shop.example/"],
      [{ protocols: [] }, "protocols", []],
      [{ protocols: ["a b"] }, "protocols", "a b"],
      [{ protocols: ["a", "a"] }, "protocols", "a"],
      [{ expect: "" }, "expect", ""],
      [{ expect: 42 }, "expect", 42],
      [{ send: "hello" }, "send", "given"],
      [{ expect, send: "" }, "send", "string"],
      [{ messages: 2 }, "messages", 2],
      [{ expect, messages: 21 }, "messages", 21],
      [{ expect, messages: 0 }, "messages", 0],
      [{ timeout: 0 }, "timeout", 0],
      [{ degradedAfter: "10 seconds" }, "degradedAfter", "10 seconds"],
      [{ ca: "x" }, "ca", "given"],
      [{ dnsServers: [] }, "dnsServers", []],
      [{ perMessageDeflate: true }, "perMessageDeflate", true]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => WebSocketProbe.make({ name: "gateway", url: "ws://localhost/", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["WebSocketProbe", option, value])
    }
    const credentials = refusal(() => WebSocketProbe.make({ name: "gateway", url: `ws://me:${secret}@localhost/` }))
    assert.notInclude(`${credentials.message} ${String(credentials.value)}`, secret)
  })

  it("the type says what its options can find, and no more", () => {
    const basis = { name: "gateway", url: "ws://127.0.0.1/" } as const
    type Minimal = WebSocketProbe.Unreachable | WebSocketProbe.Timeout | WebSocketProbe.Refused
    const minimal = WebSocketProbe.make(basis)
    expectTypeOf<Probe.Signatures<typeof minimal>>().toEqualTypeOf<Minimal>()
    assert.deepStrictEqual(minimal.reports.map(Verdict.tagOf), [
      "WebSocket/Unreachable",
      "WebSocket/Timeout",
      "WebSocket/Refused"
    ])
    const expecting = WebSocketProbe.make({ ...basis, expect: Challenge })
    expectTypeOf<Exclude<Probe.Signatures<typeof expecting>, Minimal>>().toEqualTypeOf<
      WebSocketProbe.Closed | WebSocketProbe.UnexpectedMessage
    >()
    assert.deepStrictEqual(expecting.reports.map(Verdict.tagOf).slice(3), [
      "WebSocket/Closed",
      "WebSocket/UnexpectedMessage"
    ])
    const slow = WebSocketProbe.make({ ...basis, degradedAfter: "1 second" })
    expectTypeOf<Exclude<Probe.Signatures<typeof slow>, Minimal>>().toEqualTypeOf<WebSocketProbe.Slow>()
    assert.deepStrictEqual(slow.reports.map(Verdict.tagOf).slice(3), ["WebSocket/Slow"])
    // @ts-expect-error a misspelt option
    assert.throws(() => WebSocketProbe.make({ ...basis, expects: "hello" }))
  })
})

/** The first bytes of a frame, as a server sends it. */
const frame = (opcode: number, payload: Buffer, isLast = true): Buffer => {
  const first = (isLast ? 0x80 : 0) | opcode
  if (payload.length < 126) return Buffer.concat([Buffer.from([first, payload.length]), payload])
  const head = Buffer.alloc(10)
  head.set([first, 127])
  head.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([head, payload])
}

/** Shakes hands properly, and then sends these bytes again and again. */
const flooding = (...pieces: ReadonlyArray<Buffer>) =>
  Effect.gen(function* () {
    let sent = 0
    const [begin = Buffer.alloc(0), more = begin] = pieces
    const server = yield* speaking((client, { socket }) => {
      client.pause()
      const go = (): void => {
        while (!socket.destroyed) {
          sent += more.length
          if (!socket.write(more)) return
        }
      }
      socket.on("drain", go)
      socket.write(begin)
      go()
    })
    return { ...server, sent: () => sent }
  })

describe("WebSocketProbe and hostile servers", () => {
  const most = 32 * 1024 * 1024

  it.live("endless fragments and messages without end are cut at 1 MiB", () =>
    Effect.gen(function* () {
      const chunk = Buffer.alloc(60_000, "a")
      const huge = frame(1, chunk)
      huge.writeBigUInt64BE(2n ** 40n, 2)
      const floods = [
        [frame(1, chunk, false), frame(0, chunk, false)],
        [huge, chunk],
        [
          frame(1, Buffer.from("a"), false),
          Buffer.concat(Array.from({ length: 5000 }, () => frame(0, Buffer.from("a"), false)))
        ]
      ]
      for (const pieces of floods) {
        const server = yield* flooding(...pieces)
        const signature = yield* found(probing(server.port, { expect: "hello" }))
        assert.strictEqual(signature._tag, "WebSocket/Closed")
        assert.include([1008, 1009], "code" in signature ? signature.code : 0)
        yield* server.abandoned
        assert.isBelow(server.sent(), most)
      }
    })
  )

  it.live("endless messages are as many as asked for", () =>
    Effect.gen(function* () {
      const server = yield* flooding(frame(1, Buffer.alloc(60_000, "a")))
      const signature = yield* found(probing(server.port, { expect: "hello", messages: 20 }))
      assert.strictEqual(signature._tag, "WebSocket/UnexpectedMessage")
      yield* server.abandoned
      assert.isBelow(server.sent(), most)
    })
  )

  it.live("messages that nobody takes are not kept beyond those asked for", () =>
    Effect.gen(function* () {
      const server = yield* flooding(frame(1, Buffer.alloc(60_000, "a")))
      const url = new URL(`ws://127.0.0.1:${server.port}/`)
      const to = { host: "127.0.0.1", port: server.port, tls: undefined, socketPath: undefined, dnsServers: undefined }
      const socket = yield* Connection.open({ ...to, timeout: Duration.seconds(10) }, Connection.unseen())
      const settings = { url, protocols: [], headers: {}, origin: undefined, send: undefined, messages: 3 }
      const events = yield* talk(socket, settings)
      yield* server.abandoned
      const tags = (yield* Queue.takeAll(events)).map(({ _tag }) => _tag)
      assert.deepStrictEqual(tags, ["Opened", "Message", "Message", "Message", "Closed"])
    })
  )

  it.live("pings without end, which nobody reads the answers to, end", () =>
    Effect.gen(function* () {
      const server = yield* flooding(Buffer.concat(Array.from({ length: 500 }, () => frame(9, Buffer.alloc(125)))))
      const before = process.memoryUsage().rss
      const signature = yield* found(probing(server.port, { expect: "hello", timeout: "500 millis" }))
      assert.include(["WebSocket/Closed", "WebSocket/Timeout"], signature._tag)
      yield* server.abandoned
      assert.isBelow(process.memoryUsage().rss - before, 4 * most)
    })
  )

  it.live("frames that do not keep the protocol end it: 1002, and 1007 for invalid UTF-8", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [Buffer, number]> = [
        [Buffer.from([0x83, 0x00]), 1002],
        [Buffer.from([0xc1, 0x01, 0x61]), 1002],
        [Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x61]), 1002],
        [frame(1, Buffer.from([0xff, 0xfe])), 1007],
        [Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), 1002]
      ]
      for (const [bytes, code] of cases) {
        const server = yield* speaking((_, { socket }) => socket.write(bytes))
        assert.deepInclude(yield* found(probing(server.port, { expect: "hello" })), { _tag: "WebSocket/Closed", code })
        yield* server.abandoned
      }
    })
  )

  it.live("whatever the bytes, there is a verdict, and nothing is left", () =>
    Effect.gen(function* () {
      const frames = [
        frame(1, Buffer.from('{"hello":"you"}')),
        Buffer.concat([
          frame(9, Buffer.from("ping")),
          frame(1, Buffer.from("hel"), false),
          frame(0, Buffer.from("lo"))
        ]),
        frame(8, Buffer.concat([Buffer.from([0x03, 0xf0]), Buffer.from("gateway token mismatch")]))
      ]
      let bytes: Buffer = Buffer.alloc(0)
      const server = yield* speaking((_, { socket }) => socket.end(bytes))
      const probe = probing(server.port, { expect: "hello" })
      const verdicts = new Set<string>()
      for (let seed = 0; seed < 300; seed += 1) {
        bytes = mutated(frames[seed % frames.length] ?? bytes, seed)
        const verdict = yield* probe.check
        verdicts.add("signature" in verdict ? verdict.signature._tag : verdict._tag)
      }
      assert.sameMembers([...verdicts], ["Healthy", "WebSocket/Closed", "WebSocket/UnexpectedMessage"])
      yield* server.abandoned
    })
  )

  it.live("a connection that ends or breaks without a close frame is Closed with 1006", () =>
    Effect.gen(function* () {
      const endings = [
        (socket: Net.Socket) => socket.destroy(),
        (socket: Net.Socket) => socket.resetAndDestroy(),
        (socket: Net.Socket) => socket.end(Buffer.from([0x81, 0x7e, 0x01]))
      ]
      for (const ending of endings) {
        const server = yield* speaking((_, { socket }) => void ending(socket))
        const signature = yield* found(probing(server.port, { expect: "hello" }))
        assert.deepInclude(signature, { _tag: "WebSocket/Closed", code: 1006 })
      }
    })
  )

  it.live("a server that says goodbye and stays is not waited for", () =>
    Effect.gen(function* () {
      const asleep: Array<WebSocket> = []
      const server = yield* speaking((client, { socket }) => {
        // It does not see our answer, and so does not end the connection.
        client.pause()
        asleep.push(client)
        socket.write(frame(8, Buffer.from([0x03, 0xf0])))
      })
      const signature = yield* found(probing(server.port, { expect: "hello", timeout: "15 seconds" }))
      assert.deepInclude(signature, { _tag: "WebSocket/Closed", code: 1008, reason: "" })
      for (const client of asleep) client.resume()
      yield* server.abandoned
    })
  )

  it.live("a slow loris and an endless head in the handshake are bounded", () =>
    Effect.gen(function* () {
      const loris = yield* tcpServer((socket) => {
        const timer = setInterval(() => socket.write("H"), 20)
        socket.on("close", () => clearInterval(timer))
        socket.write("HTTP/1.1 101 Switching Protocols\r\nx-long: ")
      })
      const waited = yield* found(probing(loris.port, { timeout: "500 millis" }))
      assert.deepInclude(waited, { _tag: "WebSocket/Timeout", connected: true })
      let sent = 0
      const endless = yield* tcpServer((socket) => {
        const go = (): void => {
          while (!socket.destroyed) {
            sent += 65_536
            if (!socket.write(Buffer.alloc(65_536, "a"))) return
          }
        }
        socket.on("drain", go)
        socket.once("data", () => {
          socket.write("HTTP/1.1 101 Switching Protocols\r\nx-long: ")
          go()
        })
      })
      assert.strictEqual((yield* found(probing(endless.port)))._tag, "WebSocket/Unreachable")
      yield* endless.abandoned
      assert.isBelow(sent, most)
    })
  )
})

describe.skipIf(TestDnsmasq.isMissing())("WebSocketProbe and names", () => {
  it.live("asks for the address anew each time, and says where it was", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const dns = yield* TestDnsmasq.make({ hosts: { "gateway.test": "127.0.0.2" } })
      const url = `ws://gateway.test:${port}/`
      const probe = WebSocketProbe.make({ name: "gateway", url, dnsServers: [dns.server], timeout: "10 seconds" })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new WebSocketProbe.Unreachable({ url, code: "ECONNREFUSED" }), [
          `${url}: ECONNREFUSED`,
          "not connected, resolved 127.0.0.2",
          `127.0.0.2:${port}: ECONNREFUSED`
        ])
      )
      yield* speaking(() => {}, {}, { host: "127.0.0.3", port })
      yield* dns.setHosts({ "gateway.test": "127.0.0.3" })
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.healthyWith([`connected 127.0.0.3:${port}, resolved 127.0.0.3`])
      )
    })
  )
})

describe.skipIf(TestCertificates.isMissing())("WebSocketProbe and certificates", () => {
  it.live("wss: only whom it trusts", () =>
    Effect.gen(function* () {
      const { leaf, root, sent } = yield* TestCertificates.chain()
      const https = Https.createServer({ cert: sent, key: leaf.key }).on("tlsClientError", () => {})
      new WebSocketServer({ server: https }).on("connection", (socket) => socket.on("error", () => {}))
      const server = yield* serving(https)
      const url = `wss://127.0.0.1:${server.port}/`
      const stranger = WebSocketProbe.make({ name: "gateway", url, timeout: "10 seconds" })
      assert.strictEqual((yield* found(stranger))._tag, "WebSocket/Unreachable")
      const known = WebSocketProbe.make({ name: "gateway", url, ca: root.pem, timeout: "10 seconds" })
      assert.deepStrictEqual(yield* known.check, Verdict.healthy)
      yield* server.abandoned
    })
  )
})

probeContract<WebSocketProbe.Found<Options>>("WebSocketProbe", {
  situations: {
    Healthy: Effect.map(saying("hello"), ({ port }) => probing(port, { expect: "hello" })),
    Inconclusive: Effect.succeed(WebSocketProbe.make({ name: "nowhere", url: "ws://255.255.255.255/" })),
    "WebSocket/Unreachable": Effect.map(freePort, (port) => probing(port)),
    "WebSocket/Timeout": Effect.map(silent, ({ port }) => probing(port, { timeout: "30 millis" })),
    "WebSocket/Refused": Effect.map(
      httpServer((_, response) => response.writeHead(404).end()),
      ({ port }) => probing(port)
    ),
    "WebSocket/Closed": Effect.map(
      speaking((socket) => socket.close(1008, "gateway token mismatch")),
      ({ port }) => probing(port, { expect: "hello" })
    ),
    "WebSocket/UnexpectedMessage": Effect.map(saying("hello"), ({ port }) => probing(port, { expect: "bye" })),
    "WebSocket/Slow": Effect.map(
      speaking((socket) => setTimeout(() => socket.send("hello"), 20)),
      ({ port }) => probing(port, { expect: "hello", degradedAfter: "10 millis" })
    )
  },
  waiting: Effect.map(silent, ({ port }) => probing(port, { expect: "hello" }))
})
