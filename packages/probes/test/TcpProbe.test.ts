import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestBlackhole from "@nexobot/testing/TestBlackhole"
import * as TestDnsmasq from "@nexobot/testing/TestDnsmasq"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import { reaches, start } from "@nexobot/testing/TestProcess"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"

import * as TcpProbe from "../src/TcpProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, inNamespaces, signal, signatureOf, tagsOf, tcpServer } from "./support.ts"

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
          [`127.0.0.1:${server.port}: replied 220 mail.example ready`]
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

  it.live("a reply that is no UTF-8, has control characters or a secret is shown without them", () =>
    Effect.gen(function* () {
      const server = yield* answering(Buffer.from([0xff, 0x1b, 0x5b, 0x41]), " password=hunter2 \t\u0007 end\r\n")
      const { reply } = yield* Effect.map(probing(server.port, ping).check, (verdict) => {
        const signature = signatureOf(verdict)
        return "reply" in signature ? signature : assert.fail(signature._tag)
      })
      assert.match(reply, /^\ufffd \[A password=\S+ end$/)
      assert.notInclude(reply, "hunter2")
    })
  )

  it.live("degradedAfter: slower is degraded, also by a name; an unexpected reply stays that", () =>
    Effect.gen(function* () {
      const server = yield* answering("+PO", "NG\r\n")
      const slow = { ...ping, degradedAfter: "1 millis" } as const
      const verdict = yield* probing(server.port, slow).check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.deepInclude(signatureOf(verdict), { _tag: "Tcp/Slow", degradedAfter: Duration.millis(1) })
      assert.strictEqual((yield* probing(server.port, { ...slow, host: "localhost" }).check)._tag, "Degraded")
      const quick = yield* probing(server.port, { ...ping, degradedAfter: "9 seconds" }).check
      assert.deepStrictEqual(quick, Verdict.healthy)
      const wrong = yield* probing(server.port, { ...slow, expect: "^-ERR" }).check
      assert.deepInclude(signatureOf(wrong), { _tag: "Tcp/UnexpectedReply", reply: "+PONG" })
    })
  )

  it.live("a reply that drips, and never ends its line, is a Timeout", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => {
        const drip = setInterval(() => socket.write("a"), 10)
        socket.on("close", () => clearInterval(drip))
      })
      const found = signatureOf(yield* probing(server.port, { ...ping, timeout: 200 }).check)
      assert.deepInclude(found, { _tag: "Tcp/Timeout", connected: true })
      yield* server.abandoned
    })
  )

  it.live("a fault of this machine is Inconclusive", () =>
    Effect.gen(function* () {
      // Nobody can connect to all at once, and nothing is sent.
      const verdict = yield* probing(9, { host: "255.255.255.255" }).check
      assert.strictEqual(verdict._tag, "Inconclusive", JSON.stringify(verdict))
    })
  )

  it.effect("timeout: on the clock of the program", () =>
    Effect.gen(function* () {
      const server = yield* silent
      const fiber = yield* Effect.forkChild(probing(server.port, { ...ping, timeout: "1 hour" }).check)
      yield* TestClock.withLive(
        eventually(
          "it is connected",
          Effect.sync(() => (server.accepted() === 1 ? true : undefined))
        )
      )
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(signatureOf(yield* Fiber.join(fiber)), { _tag: "Tcp/Timeout" })
      yield* TestClock.withLive(server.abandoned)
    })
  )

  it.live("a name is healthy with the address that was connected", () =>
    Effect.gen(function* () {
      const server = yield* silent
      assert.deepStrictEqual(
        yield* probing(server.port, { host: "localhost" }).check,
        Verdict.healthyWith([`connected 127.0.0.1:${server.port}`])
      )
    })
  )

  it.live("a port that is nobody's does not answer for connecting to itself", () =>
    Effect.gen(function* () {
      // Clients get the ports 40000 and 40001 there.
      const ports = "echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range"
      const ended = yield* inNamespaces(
        "-rn",
        ["ip link set lo up", ports],
        `
        import * as Effect from "effect/Effect"
        import * as TcpProbe from "./src/TcpProbe.ts"
        const { check } = TcpProbe.make({ name: "tcp", port: 40000 })
        const found = await Effect.runPromise(Effect.all(Array.from({ length: 20 }, () => check)))
        console.log([...new Set(found.map((verdict) => verdict.signature?.code ?? verdict._tag))].join())`
      )
      if (ended === undefined) return
      assert.strictEqual(ended, "ECONNREFUSED\n")
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

  it("has the signatures that its options can find, in its type and at run time", () => {
    const plain = TcpProbe.make({ name: "tcp", port: 80 })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<TcpProbe.Unreachable | TcpProbe.Timeout>>()
    assert.deepStrictEqual(tagsOf(plain), ["Tcp/Unreachable", "Tcp/Timeout"])
    const talking = TcpProbe.make({ name: "tcp", port: 80, expect: /./ })
    expectTypeOf(talking).toEqualTypeOf<
      Probe.Probe<TcpProbe.Unreachable | TcpProbe.Timeout | TcpProbe.UnexpectedReply>
    >()
    assert.deepStrictEqual(tagsOf(talking), ["Tcp/Unreachable", "Tcp/Timeout", "Tcp/UnexpectedReply"])
    const measured = TcpProbe.make({ name: "tcp", port: 80, degradedAfter: "1 second" })
    expectTypeOf(measured).toEqualTypeOf<Probe.Probe<TcpProbe.Unreachable | TcpProbe.Timeout | TcpProbe.Slow>>()
    assert.deepStrictEqual(tagsOf(measured), ["Tcp/Unreachable", "Tcp/Timeout", "Tcp/Slow"])
    // @ts-expect-error a misspelt option
    assert.throws(() => TcpProbe.make({ name: "tcp", port: 80, degradeAfter: "1 second" }))
  })

  it("says what it examines, and how far away; equal options ask the same", () => {
    assert.deepInclude(probing(80), { target: "tcp://127.0.0.1:80", reach: "host" })
    assert.deepInclude(probing(80, { host: "::1" }), { target: "tcp://[::1]:80", reach: "host" })
    assert.deepInclude(probing(80, { host: "app.test" }), { target: "tcp://app.test:80", reach: "network" })
    const asks = (options: Partial<TcpProbe.TcpProbeOptions>) => Probe.question(probing(80, options))
    assert.isTrue(Equal.equals(asks(ping), asks({ ...ping, expect: /^\+PONG/ })))
    for (const other of [{}, { send: "PING\r\n" }, { ...ping, expect: /^\+PONG/i }, { ...ping, timeout: 7 }]) {
      assert.isFalse(Equal.equals(asks(ping), asks(other)))
    }
  })

  it("refuses options that cannot work, and names them", () => {
    const servers = ["127.0.0.1"]
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ port: 0 }, "port", 0],
      [{ port: 65536 }, "port", 65536],
      [{ port: "80" }, "port", "80"],
      [{ host: "" }, "host", ""],
      [{ host: "[::1]" }, "host", "[::1]"],
      [{ host: "tcp://127.0.0.1" }, "host", "tcp://127.0.0.1"],
      [{ send: 42 }, "send", 42],
      [{ expect: "(" }, "expect", "("],
      [{ expect: 42 }, "expect", 42],
      [{ timeout: -1 }, "timeout", -1],
      [{ timeout: 0 }, "timeout", 0],
      [{ degradedAfter: 0 }, "degradedAfter", 0],
      [{ timeout: 1000, degradedAfter: 1000 }, "degradedAfter", 1000],
      [{ host: "app.test", dnsServers: ["dns.test"] }, "dnsServers", "dns.test"],
      [{ dnsServers: servers }, "dnsServers", servers],
      [{ retries: 3 }, "retries", 3]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => TcpProbe.make({ name: "tcp", port: 80, ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["TcpProbe", option, value])
    }
  })
})

describe.skipIf(TestDnsmasq.isMissing())("TcpProbe and names", () => {
  it.live("acceptance(core-and-probes 12): the address behind a name changes and the old host drops packets", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(22_000, 32_000)
      yield* TestBlackhole.make("127.0.0.3", port)
      const server = yield* tcpServer((socket) => socket.write("+PONG\r\n"), { host: "127.0.0.2", port })
      const dns = yield* TestDnsmasq.make({ hosts: { "app.test": "127.0.0.3" } })
      const named = { host: "app.test", dnsServers: [dns.server] }
      const before = yield* probing(port, { ...named, timeout: 300 }).check
      assert.deepInclude(signatureOf(before), { _tag: "Tcp/Timeout", connected: false })
      assert.deepInclude(before, {
        evidence: [`app.test:${port}: no connection in time`, "resolved 127.0.0.3"]
      })
      yield* dns.setHosts({ "app.test": "127.0.0.2" })
      assert.deepStrictEqual(yield* probing(port, named).check, Verdict.healthyWith([`connected 127.0.0.2:${port}`]))
      // Of several addresses one that answers is enough; dnsmasq puts another first each time.
      yield* dns.setHosts({ "app.test": ["127.0.0.3", "127.0.0.2"] })
      const either = probing(port, { ...named, ...ping, timeout: "10 seconds" }).check
      for (const _ of [1, 2]) {
        assert.deepStrictEqual(yield* either, Verdict.healthyWith([`connected 127.0.0.2:${port}`]))
      }
      yield* server.abandoned
      // Both hosts are there, and nobody listens.
      yield* dns.setHosts({ "app.test": ["127.0.0.4", "127.0.0.5"] })
      const refused = yield* probing(port, named).check
      assert.deepInclude(signatureOf(refused), { _tag: "Tcp/Unreachable", code: "ECONNREFUSED" })
      assert.deepInclude(refused, {
        evidence: [`app.test:${port}: ECONNREFUSED`, "resolved 127.0.0.4, 127.0.0.5"]
      })
    })
  )

  it.live(
    "a name that is unknown, or that nobody resolves, is Unreachable with the code; a silent server a Timeout",
    () =>
      Effect.gen(function* () {
        const dns = yield* TestDnsmasq.make({ hosts: { "app.test": "127.0.0.2" } })
        const asking = (host: string, timeout = 10_000) => probing(9, { host, timeout, dnsServers: [dns.server] }).check
        for (const [host, code] of [
          ["other.test", "ENOTFOUND"],
          ["elsewhere.example", "EREFUSED"]
        ] as const) {
          const verdict = yield* asking(host)
          assert.deepStrictEqual(
            verdict,
            Verdict.unhealthy(new TcpProbe.Unreachable({ host, port: 9, code }), [
              `${host}:9: ${code}`,
              "its name was not resolved"
            ])
          )
        }
        yield* dns.freeze
        const late = yield* asking("app.test", 200)
        assert.deepInclude(signatureOf(late), { _tag: "Tcp/Timeout", connected: false })
        assert.deepInclude(late, { evidence: ["app.test:9: no connection in time", "its name was not resolved"] })
      })
  )
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

probeContract<TcpProbe.Found<TcpProbe.TcpProbeOptions>>("TcpProbe", {
  situations: {
    Healthy: Effect.map(answering("+PONG\r\n"), ({ port }) => probing(port, ping)),
    "Tcp/Unreachable": Effect.map(freePort, (port) => probing(port, ping)),
    "Tcp/Timeout": Effect.map(silent, ({ port }) => probing(port, { ...ping, timeout: "50 millis" })),
    "Tcp/UnexpectedReply": Effect.map(answering("-ERR\r\n"), ({ port }) => probing(port, ping)),
    "Tcp/Slow": Effect.map(answering("+PO", "NG\r\n"), ({ port }) =>
      probing(port, { ...ping, degradedAfter: "1 millis" })
    )
  },
  waiting: Effect.map(silent, ({ port }) => probing(port, ping))
})
