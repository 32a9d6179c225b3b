import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { Redis } from "ioredis"

import * as TestRedis from "../../testing/src/TestRedis.ts"
import * as Backoff from "../src/Backoff.ts"
import * as RedisClient from "../src/RedisClient.ts"
import { reasonOf, RedisClientError } from "../src/RedisClientError.ts"
import { eventually, fewTurns, refusal, temporaryFolder } from "./support.ts"

const open = (options: RedisClient.RedisClientOptions) =>
  Effect.map(Layer.build(RedisClient.layer(options)), (context) => Context.get(context, RedisClient.RedisClient))

const at = (port: number, options: Omit<RedisClient.RedisClientOptions, "host" | "port"> = {}) =>
  open({ host: "127.0.0.1", port, ...options })

const ping = (client: RedisClient.RedisClient["Service"]) => RedisClient.call(client, (one) => one.ping())

/** The tag of the reason with which it fails. */
const reason = <A>(effect: Effect.Effect<A, RedisClientError>) =>
  Effect.map(Effect.result(effect), (result) => (Result.isFailure(result) ? result.failure.reason._tag : "Success"))

const back = (client: RedisClient.RedisClient["Service"]) =>
  eventually(
    "Redis answers",
    Effect.map(Effect.result(ping(client)), (result) => (Result.isSuccess(result) ? true : undefined))
  )

const sockets = () => process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|TLSWrap)$/.test(name)).length

describe("RedisClient options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["url", {}],
    ["host", { url: Redacted.make("redis://localhost"), host: "localhost" }],
    ["url", { url: Redacted.make("http://user:topsecret@localhost") }],
    ["url", { url: "redis://:topsecret@localhost" }],
    ["host", { host: "" }],
    ["host", { host: "redis://user:topsecret@localhost" }],
    ["host", { host: "topsecret@localhost" }],
    ["host", { host: "topsecret/0" }],
    ["host", { host: "topsecret localhost" }],
    ["sentinels.0.host", { sentinels: [{ host: "redis://:topsecret@a" }] }],
    ["cluster.1.host", { cluster: [{ host: "a" }, { host: "redis://:topsecret@a" }] }],
    ["sentinels", { sentinels: "redis://:topsecret@a" }],
    ["cluster", { cluster: "redis://:topsecret@a" }],
    ["cluster.0", { cluster: [null] }],
    ["cluster.0", { cluster: ["redis://:topsecret@a"] }],
    ["cluster.0.host", { cluster: [{}] }],
    ["commandTimeout", { host: "a", commandTimeout: "30 days" }],
    ["commandTimeout", { host: "a", commandTimeout: 2 ** 31 }],
    ["connectTimeout", { host: "a", connectTimeout: "30 days" }],
    ["tls", { host: "a", tls: null }],
    ["tls", { host: "a", tls: [] }],
    ["reconnect", { host: "a", reconnect: null }],
    ["reconnect", { host: "a", reconnect: "1 second" }],
    ["port", { host: "a", port: 0 }],
    ["port", { url: Redacted.make("redis://localhost"), port: 6379 }],
    ["sentinels", { sentinels: [] }],
    ["sentinels.0.host", { sentinels: [{ host: "" }] }],
    ["sentinels.0.name", { sentinels: [{ host: "a", name: "b" }] }],
    ["primary", { sentinels: [{ host: "a" }], primary: "" }],
    ["primary", { host: "a", primary: "b" }],
    ["cluster", { cluster: [] }],
    ["cluster.0.port", { cluster: [{ host: "a", port: 70_000 }] }],
    ["database", { cluster: [{ host: "a" }], database: 1 }],
    ["database", { host: "a", database: -1 }],
    ["username", { host: "a", username: "" }],
    ["password", { host: "a", password: "topsecret" }],
    ["commandTimeout", { host: "a", commandTimeout: 0 }],
    ["connectTimeout", { host: "a", connectTimeout: Duration.infinity }],
    ["maxRetriesPerRequest", { host: "a", maxRetriesPerRequest: 21 }],
    ["connectionName", { host: "a", connectionName: "" }],
    ["lazy", { host: "a", lazy: 1 }],
    ["offlineQueue", { host: "a", offlineQueue: "no" }],
    ["tls", { host: "a", tls: "yes" }],
    ["reconnect", { host: "a", reconnect: { initial: 1 } }],
    ["enableOfflineQueue", { host: "a", enableOfflineQueue: true }]
  ]
  for (const [option, options] of bad) {
    it(`refuses ${option} of ${Object.keys(options).join(", ")}`, () => {
      const error = refusal(() => RedisClient.layer(options))
      assert.deepStrictEqual([error.module, error.option], ["RedisClient", option])
      assert.notInclude(error.message + JSON.stringify(error.value), "topsecret")
    })
  }
})

const named = (name: string, message: string) => Object.assign(new Error(message), { name })

describe("reasons", () => {
  const table: ReadonlyArray<readonly [tag: string, cause: unknown]> = [
    ["AuthFailed", new Error("NOAUTH Authentication required.")],
    ["AuthFailed", new Error("WRONGPASS invalid username-password pair or user is disabled.")],
    ["AuthFailed", new Error("NOPERM this user has no permissions to run the 'set' command")],
    ["ReadOnly", new Error("READONLY You can't write against a read only replica.")],
    ["Loading", new Error("LOADING Redis is loading the dataset in memory")],
    ["TimedOut", new Error("Command timed out")],
    ["Unreachable", new Error("Connection is closed.")],
    ["Unreachable", new Error("CLUSTERDOWN Hash slot not served")],
    ["Unreachable", new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ["Unreachable", named("MaxRetriesPerRequestError", "Reached the max retries per request limit")],
    ["Unreachable", named("AbortError", "Command aborted due to connection close")],
    ["Unreachable", Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" })],
    [
      "AuthFailed",
      Object.assign(new Error("Failed to refresh slots cache."), { lastNodeError: new Error("NOAUTH no") })
    ],
    ["Other", new Error("WRONGTYPE Operation against a key holding the wrong kind of value")],
    ["Other", "no error"]
  ]
  for (const [tag, cause] of table) {
    it(`${cause instanceof Error ? cause.message : String(cause)} is ${tag}`, () => {
      assert.strictEqual(reasonOf(cause, Duration.seconds(1))._tag, tag)
    })
  }

  it("have the code and the command, and nothing that Redis repeats", () => {
    for (const [message, command, expected] of [
      ["ERR unknown command 'SETX', with args beginning with: 'topsecret' 'x'", "setx", "ERR in answer to SETX"],
      ["ERR Unknown option or number of arguments for CONFIG SET - 'topsecret'", "CONFIG", "ERR in answer to CONFIG"],
      ["WRONGTYPE Operation against topsecret", "get", "WRONGTYPE in answer to GET"],
      ["-MY_CODE topsecret", "eval", "MY_CODE in answer to EVAL"],
      ["topsecret", "evalsha", "an error in answer to EVALSHA"],
      ["ERR topsecret", undefined, "ERR"]
    ] as const) {
      const cause = named("ReplyError", message)
      if (command !== undefined) Object.assign(cause, { command: { name: command, args: ["topsecret"] } })
      const error = new RedisClientError({ reason: reasonOf(cause, Duration.seconds(1)) })
      assert.strictEqual(error.message, `Redis refused: ${expected}`)
      assert.notInclude(JSON.stringify(error), "topsecret")
    }
  })

  it("tell what to do", () => {
    const timedOut = new RedisClientError({ reason: reasonOf(new Error("Command timed out"), Duration.seconds(3)) })
    assert.match(timedOut.message, /within 3s: see whether it hangs/)
  })
})

describe.skipIf(TestRedis.isMissing())("RedisClient", () => {
  it.live("connects by url, user, database and name, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.makeWith("--user default off --user ann on >pass:w@rd ~* &* +@all".split(" "))
      const before = sockets()
      const scope = yield* Scope.make()
      const url = Redacted.make(`redis://ann:pass%3Aw%40rd@127.0.0.1:${server.port}/3`)
      const client = yield* open({ url, connectionName: "mine" }).pipe(Scope.provide(scope))
      assert.match(yield* RedisClient.call(client, (one) => one.client("INFO")), / name=mine .* db=3 .* user=ann /)
      assert.isAbove(sockets(), before)
      yield* Scope.close(scope, Exit.void)
      yield* fewTurns
      assert.strictEqual(sockets(), before)
    })
  )

  it.live("connects by host, user, password and database", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.makeWith("--user default off --user ann on >secret ~* +@all".split(" "))
      const client = yield* at(server.port, { username: "ann", password: Redacted.make("secret"), database: 2 })
      assert.match(yield* RedisClient.call(client, (one) => one.client("INFO")), / name=nexobot .* db=2 .* user=ann /)
    })
  )

  it.live("says that the password is wrong, without it", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.makeWith(["--requirepass", "right"])
      const lines: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const client = yield* at(server.port, { password: Redacted.make("topsecret") }).pipe(Effect.provide(logger))
      const result = yield* Effect.result(ping(client))
      const error = Result.isFailure(result) ? result.failure : assert.fail("it was let in")
      assert.strictEqual(error.reason._tag, "AuthFailed")
      assert.match(error.message, /WRONGPASS.*user name/)
      assert.notInclude(JSON.stringify([error, lines]) + String(error.stack), "topsecret")
      assert.lengthOf(lines, 1)
    })
  )

  it.live("finds the primary through sentinels", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const folder = yield* temporaryFolder
      const config = Path.join(folder, "sentinel.conf")
      Fs.writeFileSync(config, `sentinel monitor shop 127.0.0.1 ${server.port} 1\n`)
      const sentinel = yield* TestRedis.makeWith([config, "--sentinel"])
      const sentinels = [{ host: "127.0.0.1", port: sentinel.port }]
      const client = yield* open({ sentinels, primary: "shop" })
      yield* RedisClient.call(client, (one) => one.set("a", "b"))
      const direct = yield* at(server.port)
      assert.strictEqual(yield* RedisClient.call(direct, (one) => one.get("a")), "b")
    })
  )

  it.live("speaks to a cluster, and ends all of its sockets", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.makeWith("--cluster-enabled yes --cluster-announce-ip 127.0.0.1".split(" "))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const direct = yield* at(server.port)
          yield* RedisClient.call(direct, (one) => one.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383"))
          yield* eventually(
            "the cluster is up",
            RedisClient.call(direct, (one) => one.call("CLUSTER", "INFO")).pipe(
              Effect.map((info) => (String(info).includes("cluster_state:ok") ? true : undefined))
            )
          )
        })
      )
      const before = sockets()
      const scope = yield* Scope.make()
      const cluster = yield* open({ cluster: [{ host: "127.0.0.1", port: server.port }] }).pipe(Scope.provide(scope))
      yield* RedisClient.call(cluster, (one) => one.set("a", "b"))
      assert.strictEqual(yield* RedisClient.call(cluster, (one) => one.get("a")), "b")
      yield* server.freeze
      assert.strictEqual(yield* reason(ping(cluster)), "TimedOut")
      yield* server.thaw
      yield* Scope.close(scope, Exit.void)
      yield* eventually(
        "no socket is left",
        Effect.sync(() => (sockets() === before ? true : undefined))
      )
    })
  )

  it.live("asks for TLS, and says that there is none", () =>
    Effect.gen(function* () {
      const first = yield* Effect.callback<Buffer>((resume) => {
        const server = Net.createServer((socket) => {
          socket.on("error", () => undefined)
          socket.once("data", (data) => {
            socket.destroy()
            resume(Effect.succeed(data))
          })
        }).listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          running.push(Effect.runFork(Effect.scoped(Effect.andThen(at(port, { tls: true }), Effect.never))))
        })
        const running: Array<Fiber.Fiber<unknown>> = []
        return Effect.andThen(
          Fiber.interruptAll(running),
          Effect.sync(() => server.close())
        )
      }).pipe(Effect.timeout("20 seconds"))
      // A handshake record of TLS.
      assert.deepStrictEqual([...first.subarray(0, 2)], [22, 3])
    })
  )

  it.live("is built without Redis, fails at once, and is there when Redis is", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* server.kill
      const lines: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const client = yield* at(server.port).pipe(Effect.provide(logger))
      const result = yield* Effect.result(ping(client))
      const error = Result.isFailure(result) ? result.failure : assert.fail("it answered")
      assert.match(error.message, /cannot be reached \(connect ECONNREFUSED/)
      yield* server.restart
      yield* back(client)
      // An outage is two lines, however often it tried.
      assert.deepStrictEqual(
        lines.flat().map((line) => String(line).slice(0, 13)),
        ["Redis cannot ", "Redis is back"]
      )
    })
  )

  it.live("fails within the command timeout while Redis is frozen, then at once, and recovers", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* at(server.port, { commandTimeout: "100 millis" })
      yield* server.freeze
      assert.strictEqual(yield* reason(ping(client)), "TimedOut")
      // The connection is given up, so that commands do not pile up in it.
      yield* eventually(
        "calls are refused",
        Effect.map(reason(ping(client)), (tag) => (tag === "Unreachable" ? true : undefined))
      )
      yield* server.thaw
      yield* back(client)
    })
  )

  it.live("a command whose connection breaks fails, and is not sent again", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* at(server.port, { commandTimeout: "20 seconds" })
      yield* server.freeze
      const sent = yield* Effect.forkChild(reason(RedisClient.call(client, (one) => one.incr("count"))))
      yield* Effect.sleep("20 millis")
      yield* server.restart
      assert.strictEqual(yield* Fiber.join(sent), "Unreachable")
      yield* back(client)
      assert.isNull(yield* RedisClient.call(client, (one) => one.get("count")))
    })
  )

  it.live("maxRetriesPerRequest: the command is sent again", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* at(server.port, { commandTimeout: "20 seconds", maxRetriesPerRequest: 20 })
      yield* server.freeze
      const sent = yield* Effect.forkChild(RedisClient.call(client, (one) => one.incr("count")))
      yield* Effect.sleep("20 millis")
      yield* server.restart
      assert.strictEqual(yield* Fiber.join(sent), 1)
    })
  )

  it.live("offlineQueue: calls wait for Redis", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* server.kill
      const client = yield* at(server.port, {
        offlineQueue: true,
        commandTimeout: "20 seconds",
        maxRetriesPerRequest: 20
      })
      const waiting = yield* Effect.forkChild(ping(client))
      yield* server.restart
      assert.strictEqual(yield* Fiber.join(waiting), "PONG")
    })
  )

  it.live("reconnect: our delays are used", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* server.kill
      const client = yield* at(server.port, { reconnect: Backoff.constant("1 hour") })
      yield* server.restart
      assert.strictEqual(yield* reason(ping(client)), "Unreachable")
      assert.strictEqual(client.status, "reconnecting")
    })
  )

  it.live("lazy: no socket until the first call, which waits for the connection, as do calls beside it", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const before = sockets()
      const client = yield* at(server.port, { lazy: true })
      assert.strictEqual(sockets(), before)
      assert.deepStrictEqual(yield* Effect.all([ping(client), ping(client)], { concurrency: 2 }), ["PONG", "PONG"])
    })
  )

  it.live("lazy: a first call without Redis fails, and a later one works", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* server.kill
      const client = yield* at(server.port, { lazy: true })
      assert.strictEqual(yield* reason(ping(client)), "Unreachable")
      yield* server.restart
      yield* back(client)
    })
  )

  it.live("connectTimeout: gives up an address that accepts and says nothing", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      yield* server.freeze
      // The layer is there long before the server is.
      const client = yield* at(server.port, { connectTimeout: "50 millis", commandTimeout: "1 minute" })
      yield* server.thaw
      yield* back(client)
    })
  )

  it.live("closes while Redis is frozen, and while it is away", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const before = sockets()
      for (const trouble of [server.freeze, server.kill]) {
        const scope = yield* Scope.make()
        const client = yield* at(server.port).pipe(Scope.provide(scope))
        yield* trouble
        yield* Effect.forkChild(Effect.ignore(ping(client)))
        yield* Scope.close(scope, Exit.void)
        yield* fewTurns
        assert.strictEqual(sockets(), before)
        yield* server.restart
      }
    })
  )

  it.live("a caller that is interrupted gets away at once", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* at(server.port, { commandTimeout: "1 hour" })
      yield* server.freeze
      const waiting = yield* Effect.forkChild(ping(client))
      yield* Effect.sleep("10 millis")
      yield* Fiber.interrupt(waiting)
      yield* server.thaw
      yield* back(client)
    })
  )

  it.live("no reason repeats what Redis says of arguments", () =>
    Effect.gen(function* () {
      const client = yield* at((yield* TestRedis.make).port)
      const calls: ReadonlyArray<(one: RedisClient.RedisClient["Service"]) => Promise<unknown>> = [
        (one) => one.call("CONFIG", "SET", "topsecret", "a"),
        (one) => one.call("ACL", "SETUSER", "x", "topsecret"),
        (one) => one.eval("error(ARGV[1])", 0, "topsecret"),
        (one) => one.eval("return redis.error_reply('ERR ' .. ARGV[1])", 0, "topsecret")
      ]
      for (const run of calls) {
        const error = yield* Effect.flip(RedisClient.call(client, run))
        assert.match(error.message, /^Redis refused: (ERR|an error) in answer to (CONFIG|ACL|EVAL)$/)
        assert.notInclude(JSON.stringify(error) + String(error.stack), "topsecret")
      }
    })
  )

  it.live("many who watch one client share their listeners, and the outage is told once", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const own = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis({ port: server.port, host: "127.0.0.1", retryStrategy: () => 20 })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const listeners = () => own.listenerCount("error") + own.listenerCount("ready")
      const before = listeners()
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
      const scopes = yield* Effect.forEach(Array.from({ length: 12 }), () => Scope.make())
      yield* Effect.forEach(scopes, (scope) => Layer.buildWithScope(RedisClient.layerFrom(own), scope)).pipe(
        Effect.provide(logger)
      )
      assert.strictEqual(listeners(), before + 2)
      const [first, ...others] = scopes
      // Who came first has gone: another tells it.
      if (first !== undefined) yield* Scope.close(first, Exit.void)
      assert.strictEqual(listeners(), before + 2)
      yield* server.restart
      yield* eventually(
        "it is back",
        Effect.sync(() => (lines.some((line) => line.includes("is back")) ? true : undefined))
      )
      assert.lengthOf(
        lines.filter((line) => line.includes("is back")),
        1
      )
      yield* Effect.forEach(others, (scope) => Scope.close(scope, Exit.void))
      assert.strictEqual(listeners(), before)
    })
  )

  it.live("layerFrom uses a client and leaves it open, with no listener of ours", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const own = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis({ port: server.port, host: "127.0.0.1" })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const listeners = own.listenerCount("error") + own.listenerCount("ready")
      yield* Effect.provide(
        Effect.gen(function* () {
          assert.strictEqual(yield* RedisClient.use((client) => client.ping()), "PONG")
        }),
        RedisClient.layerFrom(own)
      )
      assert.strictEqual(own.listenerCount("error") + own.listenerCount("ready"), listeners)
      assert.strictEqual(yield* Effect.promise(() => own.ping()), "PONG")
      // A client without a timeout of its own does not wait for ever either.
      yield* server.freeze
      assert.strictEqual(yield* reason(ping(own)), "TimedOut")
    })
  )

  it.live("a replica says that it takes no writes", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.make
      const client = yield* at(server.port)
      yield* RedisClient.call(client, (one) => one.replicaof("127.0.0.1", 1))
      assert.strictEqual(yield* reason(RedisClient.call(client, (one) => one.set("a", "b"))), "ReadOnly")
    })
  )
})
