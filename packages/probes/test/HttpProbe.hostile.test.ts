/** Answers that nobody should give: each becomes a verdict, and takes neither memory nor time without bound. */
import type * as Net from "node:net"
import * as Zlib from "node:zlib"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as HttpProbe from "../src/HttpProbe.ts"
import { httpServer, mutated, signatureOf, tcpServer } from "./support.ts"

const head = (...headers: ReadonlyArray<string>) => ["HTTP/1.1 200 OK", ...headers, "", ""].join("\r\n")

/** Sends these bytes when it is asked, and the last of them again and again if it is to be endless. */
const flooding = (begin: string, chunk: Buffer) =>
  Effect.gen(function* () {
    let sent = 0
    const server = yield* tcpServer((socket) => {
      const more = (): void => {
        while (!socket.destroyed) {
          sent += chunk.length
          if (!socket.write(chunk)) return
        }
      }
      socket.on("drain", more)
      socket.once("data", () => {
        socket.write(begin)
        more()
      })
    })
    return { ...server, sent: () => sent }
  })

const saying = (say: (socket: Net.Socket) => void) => tcpServer((socket) => socket.once("data", () => say(socket)))

const dripping = (begin: string, drop: string) =>
  saying((socket) => {
    socket.write(begin)
    const timer = setInterval(() => socket.write(drop), 20)
    socket.on("close", () => clearInterval(timer))
  })

const basis = (port: number) => ({ name: "web", url: `http://127.0.0.1:${port}/`, timeout: "10 seconds" }) as const
const plain = (port: number) => HttpProbe.make(basis(port))
const reading = (port: number) => HttpProbe.make({ ...basis(port), expectBody: "healthy" })

/** What fits into the buffers of two sockets, and more. */
const mebibytes = (count: number) => count * 1024 * 1024

describe("HttpProbe and hostile answers", () => {
  it.live("an endless body is read as far as maxBody", () =>
    Effect.gen(function* () {
      for (const framing of ["Content-Length: 99999999999", "Connection: close", "Transfer-Encoding: chunked"]) {
        const piece = Buffer.alloc(64 * 1024, "a")
        const chunked = Buffer.concat([Buffer.from("10000\r\n"), piece, Buffer.from("\r\n")])
        const server = yield* flooding(head(framing), framing.includes("chunked") ? chunked : piece)
        const found = signatureOf(yield* reading(server.port).check)
        assert.deepInclude(found, { _tag: "Http/UnexpectedBody", why: "is longer than 1048576 bytes" }, framing)
        yield* server.abandoned
        assert.isBelow(server.sent(), mebibytes(32))
      }
    })
  )

  it.live(
    "a head of 100 MB is not read to its end, nor are a hundred thousand headers, a reason, or chunk extensions",
    () =>
      Effect.gen(function* () {
        const many = Buffer.from("x-header: value\r\n".repeat(4096))
        const long = Buffer.alloc(64 * 1024, "a")
        const begins: ReadonlyArray<readonly [string, Buffer]> = [
          ["HTTP/1.1 200 OK\r\nx-long: ", long],
          ["HTTP/1.1 200 OK\r\n", many],
          ["HTTP/1.1 200 ", long],
          [`${head("Transfer-Encoding: chunked")}5;`, long],
          [`${head("Transfer-Encoding: chunked")}0\r\n`, many]
        ]
        for (const [begin, chunk] of begins) {
          const server = yield* flooding(begin, chunk)
          const verdict = yield* reading(server.port).check
          assert.strictEqual(signatureOf(verdict)._tag, "Http/Unreachable", begin)
          yield* server.abandoned
          assert.isBelow(server.sent(), mebibytes(32), begin)
        }
      })
  )

  it.live("endless informational answers end with the time", () =>
    Effect.gen(function* () {
      const server = yield* dripping("", "HTTP/1.1 103 Early Hints\r\n\r\n")
      const probe = HttpProbe.make({ ...basis(server.port), timeout: "300 millis" })
      assert.strictEqual(signatureOf(yield* probe.check)._tag, "Http/Timeout")
      yield* server.abandoned
    })
  )

  it.live("a slow loris, in the head or in the body, ends with the time", () =>
    Effect.gen(function* () {
      for (const begin of ["HTTP/1.1 200 OK\r\nx-long: ", head("Content-Length: 1000")]) {
        const server = yield* dripping(begin, "a")
        const probe = HttpProbe.make({ ...basis(server.port), expectBody: "healthy", timeout: "300 millis" })
        assert.strictEqual(signatureOf(yield* probe.check)._tag, "Http/Timeout")
        yield* server.abandoned
      }
    })
  )

  it.live("a compressed bomb stays compressed", () =>
    Effect.gen(function* () {
      const bomb = Zlib.gzipSync(Buffer.alloc(mebibytes(64)))
      const server = yield* httpServer((_, response) =>
        response.writeHead(200, { "content-encoding": "gzip" }).end(bomb)
      )
      const before = process.memoryUsage().rss
      for (const _ of [1, 2, 3, 4, 5]) {
        const found = signatureOf(yield* reading(server.port).check)
        assert.deepInclude(found, { _tag: "Http/UnexpectedBody", why: "is compressed: gzip" })
      }
      assert.isBelow(process.memoryUsage().rss - before, mebibytes(64))
    })
  )

  it.live("a body in pieces of one byte takes no more memory than another", () =>
    Effect.gen(function* () {
      const pieces = Buffer.from("1\r\na\r\n".repeat(600_000))
      const server = yield* saying((socket) => {
        socket.write(head("Transfer-Encoding: chunked"))
        socket.write(pieces)
        socket.end("0\r\n\r\n")
      })
      const before = process.memoryUsage().rss
      const probe = HttpProbe.make({ ...basis(server.port), expectBody: /^a{60}/, timeout: "30 seconds" })
      assert.strictEqual((yield* probe.check)._tag, "Healthy")
      assert.isBelow(process.memoryUsage().rss - before, mebibytes(160))
    })
  )

  it.live("odd statuses are statuses", () =>
    Effect.gen(function* () {
      for (const status of [999, 600, 101]) {
        const server = yield* saying((socket) =>
          socket.write(`HTTP/1.1 ${status} Odd\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n`)
        )
        const found = signatureOf(yield* plain(server.port).check)
        assert.deepInclude(found, { _tag: "Http/UnexpectedStatus", status })
        yield* server.abandoned
      }
    })
  )

  it.live("what is no HTTP/1 is Unreachable", () =>
    Effect.gen(function* () {
      const texts = [
        "<html>it works</html>\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 -1 OK\r\n\r\n",
        "HTTP/3.7 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        "\u0000\u0001\u0002\u0003",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
      ]
      for (const text of texts) {
        const server = yield* saying((socket) => socket.end(text))
        const verdict = yield* plain(server.port).check
        assert.strictEqual(signatureOf(verdict)._tag, "Http/Unreachable", text)
      }
    })
  )

  it.live("an answer that breaks off in the body is none when the body is looked at", () =>
    Effect.gen(function* () {
      const breaks: ReadonlyArray<readonly [string, (socket: Net.Socket) => void]> = [
        ["early close", (socket) => socket.end(`${head("Content-Length: 1000")}healthy`)],
        ["early close of chunks", (socket) => socket.end(`${head("Transfer-Encoding: chunked")}7\r\nhealthy\r\n`)],
        ["reset", (socket) => socket.write(`${head("Content-Length: 1000")}healthy`, () => socket.resetAndDestroy())],
        ["bad chunk", (socket) => socket.end(`${head("Transfer-Encoding: chunked")}zzz\r\nhealthy\r\n`)]
      ]
      for (const [what, say] of breaks) {
        const server = yield* saying(say)
        assert.strictEqual(signatureOf(yield* reading(server.port).check)._tag, "Http/Unreachable", what)
        yield* server.abandoned
      }
    })
  )

  it.live("a length that is too small cuts the body, and the rest is left alone", () =>
    Effect.gen(function* () {
      const server = yield* saying((socket) =>
        socket.write(`${head("Content-Length: 4")}healthy\r\n\r\nHTTP/1.1 500 No\r\n\r\n`)
      )
      const found = signatureOf(yield* reading(server.port).check)
      assert.deepInclude(found, { _tag: "Http/UnexpectedBody", why: 'does not contain "healthy"' })
      yield* server.abandoned
    })
  )

  it.live("an answer before the question counts as one", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => socket.write(`${head("Content-Length: 7")}healthy`))
      for (const _ of [1, 2, 3, 4, 5]) {
        assert.strictEqual((yield* reading(server.port).check)._tag, "Healthy")
      }
      const closing = yield* tcpServer((socket) => socket.end(`${head("Content-Length: 7")}healthy`))
      for (const _ of [1, 2, 3, 4, 5]) {
        assert.strictEqual((yield* reading(closing.port).check)._tag, "Healthy")
      }
    })
  )

  it.live("a server that accepts and closes at once is Unreachable, not slow", () =>
    Effect.gen(function* () {
      for (const close of [(socket: Net.Socket) => socket.resetAndDestroy(), (socket: Net.Socket) => socket.end()]) {
        const server = yield* tcpServer(close)
        for (const _ of [1, 2, 3, 4, 5]) {
          assert.strictEqual(signatureOf(yield* plain(server.port).check)._tag, "Http/Unreachable")
        }
        yield* server.abandoned
      }
    })
  )

  it.live("redirects that go round, or on and on, end; a location of many megabytes is no head", () =>
    Effect.gen(function* () {
      let count = 0
      const server = yield* httpServer((request, response) => {
        count += 1
        const location =
          request.url === "/" ? "/a" : request.url === "/a" ? "/b" : request.url === "/b" ? "/a" : `/on/${count}`
        response.writeHead(302, { location }).end()
      })
      assert.deepInclude(signatureOf(yield* plain(server.port).check), { _tag: "Http/UnexpectedStatus", status: 302 })
      assert.strictEqual(count, 3)
      const on = HttpProbe.make({ ...basis(server.port), url: `http://127.0.0.1:${server.port}/on/0` })
      assert.strictEqual(signatureOf(yield* on.check)._tag, "Http/UnexpectedStatus")
      assert.strictEqual(count, 3 + 11)
      const long = yield* flooding("HTTP/1.1 302 Found\r\nLocation: /", Buffer.alloc(64 * 1024, "a"))
      assert.strictEqual(signatureOf(yield* plain(long.port).check)._tag, "Http/Unreachable")
      yield* long.abandoned
    })
  )

  it.live("whatever the bytes, there is a verdict, and nothing is left", () =>
    Effect.gen(function* () {
      const body = '{"ok":true,"status":"live"}'
      const answers = [
        `${head("Content-Type: application/json", `Content-Length: ${body.length}`)}${body}`,
        `${head("Transfer-Encoding: chunked")}1b\r\n${body}\r\n0\r\n\r\n`,
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"
      ]
      let bytes: Buffer = Buffer.alloc(0)
      const server = yield* saying((socket) => socket.end(bytes))
      const expectBody = Schema.Struct({ ok: Schema.Boolean, status: Schema.String })
      const probe = HttpProbe.make({ ...basis(server.port), expectBody })
      const found = new Set<string>()
      for (let seed = 0; seed < 300; seed += 1) {
        bytes = mutated(Buffer.from(answers[seed % answers.length] ?? ""), seed)
        const verdict = yield* probe.check
        found.add("signature" in verdict ? verdict.signature._tag : verdict._tag)
      }
      const known = ["Healthy", "Http/Unreachable", "Http/UnexpectedStatus", "Http/UnexpectedBody"]
      assert.sameMembers([...found], known)
      yield* server.abandoned
    })
  )
})
