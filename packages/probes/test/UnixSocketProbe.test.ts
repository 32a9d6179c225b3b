import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { reaches, start } from "@nexobot/testing/TestProcess"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"

import * as HttpProbe from "../src/HttpProbe.ts"
import * as UnixSocketProbe from "../src/UnixSocketProbe.ts"
import * as WebSocketProbe from "../src/WebSocketProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signal, signatureOf, tagsOf, tcpServer } from "./support.ts"

const probing = (path: string, options: Partial<UnixSocketProbe.UnixSocketProbeOptions> = {}) =>
  UnixSocketProbe.make({ name: "socket", path, timeout: "10 seconds", ...options })

const ping = { send: "PING\r\n", expect: /^\+PONG/ }

const newPath = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.sock"))

const serving = Effect.fnUntraced(function* (onConnection: (socket: Net.Socket) => void) {
  const path = yield* newPath
  return { path, ...(yield* tcpServer(onConnection, { path })) }
})

const silent = serving(() => {})

const answering = (text: string, after = 0) =>
  serving((socket) => socket.once("data", () => setTimeout(() => socket.write(text), after)))

/** A socket whose listener was killed: its file stays. */
const leftBehind = Effect.gen(function* () {
  const path = yield* newPath
  yield* Effect.scoped(
    Effect.gen(function* () {
      yield* start(process.execPath, "-e", `require("node:net").createServer().listen(${JSON.stringify(path)})`)
      yield* eventually(
        "it listens",
        Effect.map(probing(path).check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
      )
    })
  )
  return path
})

describe("UnixSocketProbe", () => {
  it.live("connects, and holds a conversation if told", () =>
    Effect.gen(function* () {
      const quiet = yield* silent
      assert.deepStrictEqual(yield* probing(quiet.path).check, Verdict.healthy)
      yield* quiet.abandoned
      assert.strictEqual(quiet.accepted(), 1)
      const server = yield* answering("+PONG\r\n")
      assert.deepStrictEqual(yield* probing(server.path, ping).check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* probing(server.path, { ...ping, expect: "^-ERR" }).check,
        Verdict.unhealthy(new UnixSocketProbe.UnexpectedReply({ path: server.path, reply: "+PONG" }), [
          `${server.path}: replied +PONG`
        ])
      )
      yield* server.abandoned
    })
  )

  it.live("tells what is missing from what was left behind, and from what is no socket", () =>
    Effect.gen(function* () {
      const path = yield* newPath
      assert.deepStrictEqual(
        yield* probing(path).check,
        Verdict.unhealthy(new UnixSocketProbe.Missing({ path }), [`${path} is not there`])
      )
      const stale = yield* leftBehind
      assert.isTrue(Fs.existsSync(stale))
      const refused = new UnixSocketProbe.Unreachable({ path: stale, code: "ECONNREFUSED" })
      assert.deepStrictEqual(yield* probing(stale).check, Verdict.unhealthy(refused, [`${stale}: ECONNREFUSED`]))
      Fs.writeFileSync(path, "")
      assert.deepInclude(signatureOf(yield* probing(path).check), { _tag: "UnixSocket/Unreachable" })
      assert.deepInclude(signatureOf(yield* probing(Path.join(path, "below")).check), { code: "ENOTDIR" })
    })
  )

  it.live("a server that closes without a reply is Unreachable; one that is late, Timeout", () =>
    Effect.gen(function* () {
      const closing = yield* serving((socket) => socket.end())
      assert.deepInclude(signatureOf(yield* probing(closing.path, { expect: /./ }).check), {
        _tag: "UnixSocket/Unreachable",
        code: "closed without a reply"
      })
      const { path } = yield* silent
      assert.deepStrictEqual(
        yield* probing(path, { ...ping, timeout: 100 }).check,
        Verdict.unhealthy(new UnixSocketProbe.Timeout({ path, after: Duration.millis(100) }), [
          `${path}: connected, no reply in time`
        ])
      )
    })
  )

  it.live("degradedAfter: slower is degraded", () =>
    Effect.gen(function* () {
      const { path } = yield* answering("+PONG\r\n", 20)
      const verdict = yield* probing(path, { ...ping, degradedAfter: "1 millis" }).check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.deepInclude(signatureOf(verdict), { _tag: "UnixSocket/Slow", path })
      assert.deepStrictEqual(yield* probing(path, { ...ping, degradedAfter: "9 seconds" }).check, Verdict.healthy)
    })
  )

  it.live("a frozen listener accepts until its queue is full, and is Unreachable then", () =>
    Effect.gen(function* () {
      const path = yield* newPath
      const code = `require("node:net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 })`
      const identity = yield* start(process.execPath, "-e", code)
      yield* eventually(
        "it listens",
        Effect.map(probing(path).check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
      )
      yield* signal(identity, "SIGSTOP")
      yield* reaches(identity.pid, "T")
      yield* Effect.acquireRelease(
        Effect.sync(() => Array.from({ length: 5 }, () => Net.connect(path).on("error", () => {}))),
        (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
      )
      const full = yield* eventually(
        "its queue is full",
        Effect.map(probing(path, { timeout: 500 }).check, (verdict) =>
          verdict._tag === "Healthy" ? undefined : signatureOf(verdict)
        )
      )
      assert.deepInclude(full, { _tag: "UnixSocket/Unreachable", code: "EAGAIN" })
      const at = { name: "app", socketPath: path, timeout: "2 seconds" } as const
      for (const probe of [
        HttpProbe.make({ ...at, url: "http://app/" }),
        WebSocketProbe.make({ ...at, url: "ws://app/" })
      ]) {
        const verdict: Verdict.Verdict<Verdict.Signature> = yield* probe.check
        assert.propertyVal(signatureOf(verdict), "code", "EAGAIN")
      }
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* silent
      const fiber = yield* Effect.forkChild(probing(server.path, ping).check)
      yield* eventually(
        "it is connected",
        Effect.sync(() => (server.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* server.abandoned
    })
  )

  it.live.skipIf(process.platform !== "linux")("a socket without a file is asked by its name", () =>
    Effect.gen(function* () {
      const path = `\0nexobot-test-${process.pid}`
      yield* tcpServer(() => {}, { path })
      const probe = probing(path)
      assert.strictEqual(probe.target, `unix://@nexobot-test-${process.pid}`)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it("has the signatures that its options can find, in its type and at run time", () => {
    const plain = UnixSocketProbe.make({ name: "socket", path: "/run/app.sock" })
    type Base = UnixSocketProbe.Missing | UnixSocketProbe.Unreachable | UnixSocketProbe.Timeout
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<Base>>()
    assert.deepStrictEqual(tagsOf(plain), ["UnixSocket/Missing", "UnixSocket/Unreachable", "UnixSocket/Timeout"])
    const all = UnixSocketProbe.make({ name: "socket", path: "/run/app.sock", expect: /./, degradedAfter: 100 })
    expectTypeOf(all).toEqualTypeOf<Probe.Probe<Base | UnixSocketProbe.UnexpectedReply | UnixSocketProbe.Slow>>()
    assert.deepStrictEqual(tagsOf(all).slice(3), ["UnixSocket/UnexpectedReply", "UnixSocket/Slow"])
  })

  it("says what it examines; equal options ask the same", () => {
    assert.deepInclude(probing("/run/app.sock"), { target: "unix:///run/app.sock", reach: "host" })
    const asks = (options: object) => Probe.question(probing("/run/app.sock", options))
    assert.isTrue(Equal.equals(asks(ping), asks({ ...ping })))
    assert.isFalse(Equal.equals(asks(ping), asks({})))
    if (process.platform !== "linux") return
    // A name without a file is shown as a file that begins so.
    const [nameless, file] = [probing("\0app"), probing("@app")]
    assert.strictEqual(nameless.target, file.target)
    assert.isFalse(Equal.equals(Probe.question(nameless), Probe.question(file)))
  })

  it("refuses options that cannot work, and names them", () => {
    const long = `/${"a".repeat(107)}`
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ path: "" }, "path", ""],
      [{ path: 42 }, "path", 42],
      [{ path: long }, "path", long],
      [{ path: "/run/a\0b" }, "path", "/run/a\0b"],
      [{ send: 42 }, "send", 42],
      [{ expect: "(" }, "expect", "("],
      [{ timeout: 0 }, "timeout", 0],
      [{ degradedAfter: "5 seconds" }, "degradedAfter", "5 seconds"],
      [{ host: "127.0.0.1" }, "host", "127.0.0.1"]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => UnixSocketProbe.make({ name: "socket", path: "/run/app.sock", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["UnixSocketProbe", option])
      if (option !== "host") assert.strictEqual(error.value, value)
    }
  })
})

describe.skipIf(Binary.skipWithout("redis-server", "apt-get install redis-server"))("UnixSocketProbe and Redis", () => {
  it.live("a stopped one accepts and does not reply; a continued one is healthy again; an ended one is gone", () =>
    Effect.gen(function* () {
      const path = yield* newPath
      const program = Binary.find("redis-server") ?? "redis-server"
      const identity = yield* start(program, "--port", "0", "--unixsocket", path, "--save", "")
      const becomes = (tag: string) =>
        eventually(
          tag,
          Effect.map(probing(path, ping).check, (verdict) =>
            ("signature" in verdict ? verdict.signature._tag : verdict._tag) === tag ? true : undefined
          )
        )
      yield* becomes("Healthy")
      yield* signal(identity, "SIGSTOP")
      yield* reaches(identity.pid, "T")
      assert.deepStrictEqual(yield* probing(path).check, Verdict.healthy)
      assert.deepInclude(signatureOf(yield* probing(path, { ...ping, timeout: 200 }).check), {
        _tag: "UnixSocket/Timeout"
      })
      yield* signal(identity, "SIGCONT")
      yield* becomes("Healthy")
      yield* signal(identity, "SIGTERM")
      yield* becomes("UnixSocket/Missing")
    })
  )
})

probeContract<UnixSocketProbe.Found<UnixSocketProbe.UnixSocketProbeOptions>>("UnixSocketProbe", {
  situations: {
    Healthy: Effect.map(answering("+PONG\r\n"), ({ path }) => probing(path, ping)),
    "UnixSocket/Missing": Effect.map(newPath, (path) => probing(path)),
    "UnixSocket/Unreachable": Effect.map(leftBehind, (path) => probing(path)),
    "UnixSocket/Timeout": Effect.map(silent, ({ path }) => probing(path, { ...ping, timeout: 50 })),
    "UnixSocket/UnexpectedReply": Effect.map(answering("-ERR\r\n"), ({ path }) => probing(path, ping)),
    "UnixSocket/Slow": Effect.map(answering("+PONG\r\n", 20), ({ path }) =>
      probing(path, { ...ping, degradedAfter: "1 millis" })
    )
  },
  waiting: Effect.map(silent, ({ path }) => probing(path, ping))
})
