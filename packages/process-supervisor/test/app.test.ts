import * as Http from "node:http"
import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { refusal } from "../../testing/src/Expect.ts"
import { AppError, supervised } from "../src/app.ts"
import * as Listen from "../src/internal/app/listen.ts"
import * as Options from "../src/internal/app/options.ts"
import { ask } from "./fixtures/app/support.ts"

const closePool = () => {}

describe("options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["server", { server: [] }],
    ["servers", { servers: {} }],
    ["servers[1]", { servers: [Net.createServer(), {}] }],
    ["close", { close: () => {} }],
    ["close[0]", { close: [{ shut: () => {} }] }],
    ["close[1]", { close: [() => {}, "redis://user:secret@host"] }],
    ["heartbeat", { heartbeat: 1 }],
    ["drain", { drain: "soon" }],
    ["readinessDelay", { readinessDelay: -1 }],
    ["idle", { idle: Infinity }],
    ["closeTimeout", { closeTimeout: Number.NaN }],
    ["startGrace", { startGrace: "-1 second" }],
    ["paths.ready", { paths: { ready: "/" } }],
    ["paths.readiness", { paths: { readiness: "readyz" } }],
    ["paths.liveness", { paths: { liveness: "/healthz?full" } }],
    ["signals", { signals: "SIGTERM" }],
    ["signals[1]", { signals: ["SIGTERM", "SIGKILL"] }],
    ["stopOnDisconnect", { stopOnDisconnect: 1 }],
    ["upgraded", { upgraded: "1001" }],
    ["onDrained", { onDrained: true }],
    ["exit", { exit: 0 }]
  ]
  for (const [option, options] of bad) {
    it(`${option} is refused: ${JSON.stringify(options)?.slice(0, 60)}`, () => {
      const listeners = process.listenerCount("SIGTERM")
      const error = refusal(() => supervised(options))
      assert.deepStrictEqual([error.module, error.option], ["supervised", option])
      // Nothing has been begun.
      assert.strictEqual(process.listenerCount("SIGTERM"), listeners)
    })
  }

  it("have these defaults", () => {
    const { closers, onDrained: _onDrained, servers, upgraded: _upgraded, ...others } = Options.make()
    assert.deepStrictEqual([closers, servers], [[], []])
    assert.deepStrictEqual(others, {
      heartbeat: 1000,
      drain: 3000,
      readinessDelay: 0,
      closeTimeout: 1000,
      idle: 100,
      readiness: { grace: 30_000, untilSuccess: true, drain: 3000 },
      paths: { readiness: "/readyz", liveness: "/healthz" },
      signals: ["SIGTERM", "SIGINT"],
      stopOnDisconnect: false,
      exit: true
    })
  })

  it("a drain is overdue when all its bounds are over", () => {
    const { readiness } = Options.make({ drain: 10, readinessDelay: 5, closeTimeout: 3, close: [() => {}, () => {}] })
    assert.strictEqual(readiness.drain, 21)
  })

  it.effect.prop(
    "of a client, the way that waits is taken",
    [
      Schema.Array(Schema.Literals(["quit", "close", "end", "$disconnect", "disconnect", "destroy"])).check(
        Schema.isNonEmpty()
      )
    ],
    ([names]) =>
      Effect.sync(() => {
        const called: Array<string> = []
        const client = Object.fromEntries(names.map((name) => [name, () => called.push(name)]))
        const [closer] = Options.make({ close: [client as never] }).closers
        closer?.close()
        const order = ["quit", "close", "end", "$disconnect", "disconnect", "destroy"]
        assert.deepStrictEqual(called, [order.find((name) => names.includes(name as "quit"))])
      }),
    { arbitrary: { runs: 50 } }
  )

  it("a client is named by its class, a function by its name", () => {
    class Redis {
      quit() {}
    }
    const { closers } = Options.make({ close: [new Redis(), closePool, { end: () => {} }] })
    assert.deepStrictEqual(
      closers.map(({ name }) => name),
      ["close[0] (Redis)", "close[1] (closePool)", "close[2]"]
    )
  })
})

/** In this process, which goes on. */
const here = (options: object = {}) => supervised({ signals: [], exit: false, ...options })

const closing = (server: Net.Server) => Effect.addFinalizer(() => Effect.sync(() => void server.close()))

const refused = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => assert.fail("it listens"),
      (error: unknown) => (error instanceof AppError ? error : assert.fail(String(error)))
    )
  )

describe("listen", () => {
  it.live("says which port it got, and which it cannot have", () =>
    Effect.gen(function* () {
      const [one, other] = [Net.createServer(), Net.createServer()]
      yield* closing(one)
      const app = here()
      const { port } = yield* Effect.promise(() => app.listen(one, { port: 0, host: "127.0.0.1" }))
      assert.isAbove(port, 0)
      const held = yield* refused(app.listen(other, { port, host: "127.0.0.1" }))
      assert.deepStrictEqual(held.reason, { _tag: "PortHeld", port, reusePort: false })
      assert.strictEqual(
        held.message,
        `supervised: port ${port} is held by another process: stop that one, or listen on another port`
      )
      const shared = yield* refused(Listen.listen(other, { port, host: "127.0.0.1" }, true))
      assert.match(shared.message, /does not share it/)
      const twice = yield* refused(app.listen(one, { port: 0, host: "127.0.0.1" }))
      assert.deepStrictEqual(twice.reason, { _tag: "NotListening", port: 0, code: "ERR_SERVER_ALREADY_LISTEN" })
      const nowhere = yield* refused(app.listen(other, { port: 0, host: "192.0.2.1" }))
      assert.deepStrictEqual(nowhere.reason, { _tag: "NotListening", port: 0, code: "EADDRNOTAVAIL" })
      // Nothing is left on a server by what failed.
      assert.strictEqual(other.listenerCount("error") + other.listenerCount("listening"), 0)
    })
  )

  it.live("two share a port if the environment says so; it is taken out", () =>
    Effect.gen(function* () {
      const servers = [Net.createServer(), Net.createServer()]
      const environment: NodeJS.ProcessEnv = { NEXO_REUSE_PORT: "1" }
      const reusePort = Listen.takeReusePort(environment)
      assert.deepStrictEqual([reusePort, environment], [true, {}])
      let port = 0
      for (const server of servers) {
        yield* closing(server)
        port = (yield* Effect.promise(() => Listen.listen(server, { port, host: "127.0.0.1" }, reusePort))).port
      }
      assert.isTrue(servers.every(({ listening }) => listening))
    })
  )

  it.live("a system that cannot share ports is named", () =>
    Effect.gen(function* () {
      // As libuv answers there.
      class Unsupported extends Net.Server {
        override listen(): this {
          process.nextTick(() => this.emit("error", Object.assign(new Error("listen ENOTSUP"), { code: "ENOTSUP" })))
          return this
        }
      }
      const error = yield* refused(Listen.listen(new Unsupported(), { port: 3000 }, true))
      assert.deepStrictEqual(error.reason, { _tag: "ReusePortUnsupported", port: 3000, platform: process.platform })
    })
  )

  it("its options are checked at once", () => {
    const app = here()
    for (const [option, options] of [
      ["listen.port", { port: 65_536 }],
      ["listen.port", { port: "3000" }],
      ["listen.host", { port: 1, host: "http://x" }],
      ["listen.path", { port: 1, path: "/x" }]
    ] as const) {
      assert.strictEqual(refusal(() => app.listen(Net.createServer(), options as never)).option, option)
    }
    assert.strictEqual(refusal(() => app.listen({} as never, { port: 0 })).option, "listen")
  })
})

describe("in a process that goes on", () => {
  it.live("leaves no listener behind, and drains servers that listened before it", () =>
    Effect.gen(function* () {
      const before = process.eventNames().map((name) => [name, process.listenerCount(name)])
      const server = Http.createServer((_request, response) => response.end("ok"))
      const { port } = yield* Effect.promise(() => Listen.listen(server, { port: 0, host: "127.0.0.1" }, false))
      const agent = new Http.Agent({ keepAlive: true })
      yield* Effect.promise(() => ask(port, "/", { agent }))
      const app = supervised({ servers: [server], exit: false, drain: "20 seconds" })
      assert.strictEqual(process.listenerCount("SIGTERM"), 1 + Number(new Map(before as never).get("SIGTERM") ?? 0))
      const report = yield* Effect.promise(() => app.drain())
      assert.deepStrictEqual(report, { reason: "Call", cut: 0, notClosed: [], exitCode: 0 })
      assert.strictEqual(app.phase, "Stopped")
      assert.isFalse(server.listening)
      assert.deepStrictEqual(
        process.eventNames().map((name) => [name, process.listenerCount(name)]),
        before
      )
    })
  )

  it.live("a server that never listened is drained at once", () =>
    Effect.gen(function* () {
      const app = here({ servers: [Http.createServer(), Net.createServer()], drain: "20 seconds" })
      assert.strictEqual((yield* Effect.promise(() => app.drain())).exitCode, 0)
    })
  )
})
