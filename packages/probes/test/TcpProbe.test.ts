import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { reaches, start } from "@nexobot/testing/TestProcess"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as TcpProbe from "../src/TcpProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, signal, signatureOf, tcpServer } from "./support.ts"

const probing = (port: number, options: Partial<TcpProbe.TcpProbeOptions> = {}) =>
  TcpProbe.make({ name: "tcp", port, timeout: "10 seconds", ...options })

const ping = { send: "PING\r\n", expect: /^\+PONG/ }

/** Answers whatever it is asked with these pieces, one after the other. */
const answering = (...pieces: ReadonlyArray<string | Buffer>) =>
  tcpServer((socket) => {
    socket.setNoDelay(true)
    socket.once("data", () => {
      const next = (index: number): void => {
        const piece = pieces[index]
        if (piece === undefined) return
        socket.write(piece)
        setTimeout(() => next(index + 1), 10)
      }
      next(0)
    })
  })

const silent = tcpServer(() => {})

describe("TcpProbe", () => {
  it.live("connects, and that is all without send and expect", () =>
    Effect.gen(function* () {
      let received = ""
      const server = yield* tcpServer((socket) => socket.on("data", (data) => (received += String(data))))
      assert.deepStrictEqual(yield* probing(server.port).check, Verdict.healthy)
      yield* server.abandoned
      assert.strictEqual(server.accepted(), 1)
      assert.strictEqual(received, "")
    })
  )

  it.live("send without expect: all of it arrives, and no reply is waited for", () =>
    Effect.gen(function* () {
      let received = 0
      const server = yield* tcpServer((socket) => socket.on("data", (data) => (received += data.length)))
      const send = "a".repeat(3_000_000)
      assert.deepStrictEqual(yield* probing(server.port, { send }).check, Verdict.healthy)
      yield* server.abandoned
      assert.strictEqual(received, send.length)
    })
  )

  it.live("expect without send: who speaks first is judged", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => socket.write("220 mail.example ready\r\n"))
      assert.deepStrictEqual(yield* probing(server.port, { expect: /^220 / }).check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* probing(server.port, { expect: /^250 / }).check,
        Verdict.unhealthy(
          new TcpProbe.UnexpectedReply({ host: "127.0.0.1", port: server.port, reply: "220 mail.example ready" }),
          [`127.0.0.1:${server.port} replied 220 mail.example ready`]
        )
      )
      yield* server.abandoned
    })
  )

  it.live("refused is Unreachable with the system's code; host: another one is asked", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      assert.deepStrictEqual(
        yield* probing(port).check,
        Verdict.unhealthy(new TcpProbe.Unreachable({ host: "127.0.0.1", port, code: "ECONNREFUSED" }), [
          `127.0.0.1:${port}: ECONNREFUSED`
        ])
      )
      const server = yield* silent
      const elsewhere = signatureOf(yield* probing(server.port, { host: "127.0.0.2" }).check)
      assert.deepInclude(elsewhere, { _tag: "Tcp/Unreachable", host: "127.0.0.2", code: "ECONNREFUSED" })
      assert.deepStrictEqual(yield* probing(server.port, { host: "localhost" }).check, Verdict.healthy)
    })
  )

  it.live("timeout: connected and no reply", () =>
    Effect.gen(function* () {
      const server = yield* silent
      assert.deepStrictEqual(
        yield* probing(server.port, { ...ping, timeout: "200 millis" }).check,
        Verdict.unhealthy(
          new TcpProbe.Timeout({ host: "127.0.0.1", port: server.port, after: Duration.millis(200), connected: true }),
          [`127.0.0.1:${server.port}: connected, no reply in time`]
        )
      )
      yield* server.abandoned
    })
  )

  it.live("a reply in many pieces is put together, also within a character", () =>
    Effect.gen(function* () {
      const text = Buffer.from("+PöNG\r\n")
      const server = yield* answering(...Array.from(text, (_, index) => text.subarray(index, index + 1)))
      assert.deepStrictEqual(yield* probing(server.port, { ...ping, expect: /^\+PöNG$/ }).check, Verdict.healthy)
    })
  )

  it.live("only the first line counts", () =>
    Effect.gen(function* () {
      const server = yield* answering("-LOADING\r\n+PONG\r\n")
      assert.deepInclude(signatureOf(yield* probing(server.port, { ...ping, expect: /PONG/ }).check), {
        reply: "-LOADING"
      })
    })
  )

  it.live("an endless reply without a line end is cut, judged, and shown only in part", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => {
        const more = (): void => {
          while (!socket.destroyed && socket.write("a".repeat(1000)));
        }
        socket.on("drain", more)
        more()
      })
      const found = signatureOf(yield* probing(server.port, ping).check)
      assert.deepInclude(found, { _tag: "Tcp/UnexpectedReply", reply: "a".repeat(200) })
      assert.strictEqual((yield* probing(server.port, { expect: /^a{1000}/ }).check)._tag, "Healthy")
      yield* server.abandoned
    })
  )

  it.live("global and sticky expressions are not changed and match each time; sticky ones at the start only", () =>
    Effect.gen(function* () {
      const server = yield* answering("+PONG\r\n")
      for (const expect of [/PONG/g, /\+PONG/y, /\+PONG/gy]) {
        const probe = probing(server.port, { ...ping, expect })
        for (const _ of [1, 2, 3]) assert.strictEqual((yield* probe.check)._tag, "Healthy", String(expect))
        assert.strictEqual(expect.lastIndex, 0)
      }
      assert.strictEqual((yield* probing(server.port, { ...ping, expect: /PONG/y }).check)._tag, "Unhealthy")
    })
  )

  it.live("a server that closes without a reply, or resets, is Unreachable; a last line without an end is judged", () =>
    Effect.gen(function* () {
      const closing = yield* tcpServer((socket) => socket.end())
      assert.deepInclude(signatureOf(yield* probing(closing.port, ping).check), {
        _tag: "Tcp/Unreachable",
        code: "closed without a reply"
      })
      const resetting = yield* tcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()))
      assert.deepInclude(signatureOf(yield* probing(resetting.port, ping).check), { code: "ECONNRESET" })
      const unfinished = yield* tcpServer((socket) => socket.once("data", () => socket.end("+PONG")))
      assert.deepStrictEqual(yield* probing(unfinished.port, ping).check, Verdict.healthy)
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* silent
      const fiber = yield* Effect.forkChild(probing(server.port, ping).check)
      yield* eventually(
        "it is connected",
        Effect.sync(() => (server.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* server.abandoned
    })
  )

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ port: 0 }, "port", 0],
      [{ port: 65536 }, "port", 65536],
      [{ port: "80" }, "port", "80"],
      [{ host: "" }, "host", ""],
      [{ send: 42 }, "send", 42],
      [{ expect: "+PONG" }, "expect", "+PONG"],
      [{ timeout: -1 }, "timeout", -1],
      [{ timeout: 0 }, "timeout", 0],
      [{ retries: 3 }, "retries", 3]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => TcpProbe.make({ name: "tcp", port: 80, ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["TcpProbe", option, value])
    }
  })
})

describe.skipIf(Binary.skipWithout("redis-server", "apt-get install redis-server"))("TcpProbe and Redis", () => {
  const redis = Effect.gen(function* () {
    const folder = yield* TestFolder.make
    const port = yield* freePort
    // prettier-ignore
    const identity = yield* start(
      Binary.find("redis-server") ?? "redis-server",
      "--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""
    )
    const ready = Effect.map(probing(port, ping).check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
    yield* eventually("redis answers", ready)
    return { identity, port }
  })

  it.live("a stopped one accepts and does not reply; a continued one is healthy again; an ended one refuses", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* redis
      assert.deepInclude(signatureOf(yield* probing(port, { ...ping, send: "NONSENSE\r\n" }).check), {
        _tag: "Tcp/UnexpectedReply"
      })
      yield* signal(identity, "SIGSTOP")
      yield* reaches(identity.pid, "T")
      assert.deepStrictEqual(yield* probing(port).check, Verdict.healthy)
      const stopped = signatureOf(yield* probing(port, { ...ping, timeout: "300 millis" }).check)
      assert.deepInclude(stopped, { _tag: "Tcp/Timeout", connected: true })
      yield* signal(identity, "SIGCONT")
      assert.deepStrictEqual(yield* probing(port, ping).check, Verdict.healthy)
      yield* signal(identity, "SIGKILL")
      yield* eventually(
        "nobody listens",
        Effect.map(probing(port, ping).check, (verdict) =>
          "signature" in verdict && verdict.signature._tag === "Tcp/Unreachable" ? true : undefined
        )
      )
    })
  )
})

probeContract<TcpProbe.Unreachable | TcpProbe.Timeout | TcpProbe.UnexpectedReply>("TcpProbe", {
  situations: {
    Healthy: Effect.map(answering("+PONG\r\n"), ({ port }) => probing(port, ping)),
    "Tcp/Unreachable": Effect.map(freePort, (port) => probing(port, ping)),
    "Tcp/Timeout": Effect.map(silent, ({ port }) => probing(port, { ...ping, timeout: "100 millis" })),
    "Tcp/UnexpectedReply": Effect.map(answering("-ERR\r\n"), ({ port }) => probing(port, ping))
  },
  waiting: Effect.map(silent, ({ port }) => probing(port, ping))
})
