import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Tls from "node:tls"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Binary from "@nexobot/testing/Binary"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestPort from "@nexobot/testing/TestPort"
import * as TestRedis from "@nexobot/testing/TestRedis"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import { expectTypeOf } from "vitest"

import { codeOfConnection } from "../src/internal/redisConversation.ts"
import * as RedisProbe from "../src/RedisProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { freePort, httpServer, signatureOf, tcpServer } from "./support.ts"

const secret = "t0p/secret+value"
const patience = { name: "redis", timeout: "10 seconds" } as const

const at = ({ port }: { readonly port: number }) => RedisProbe.make({ ...patience, port })
const target = ({ port }: { readonly port: number }) => `redis://127.0.0.1:${port}/0`

const found = <S extends Verdict.Signature>(probe: Probe.Probe<S>) => Effect.map(probe.check, signatureOf)

/** Says this to whatever it is asked. */
const saying = (text: string | Buffer, after = 0) =>
  tcpServer((socket) => socket.once("data", () => setTimeout(() => socket.write(text), after)))

const failedWith = (code: string) => Object.assign(new Error(code), { code })

/** Of both, the write and the read. */
const done = ":0\r\n:0\r\n"

const info = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`

/** Accepts, and never says a word. */
const silent = tcpServer(() => {})

/** Its snapshots fail, and so it refuses writes. */
const misconfigured = Effect.gen(function* () {
  const redis = yield* TestRedis.make
  yield* redis.ask('CONFIG SET save "3600 1"')
  // Root may write into any folder: so there is none.
  yield* Effect.sync(() => Fs.rmSync(redis.folder, { recursive: true }))
  yield* redis.ask("BGSAVE")
  yield* eventually(
    "the snapshot has failed",
    Effect.map(redis.ask("SET a b"), (answer) => (answer.startsWith("-MISCONF") ? true : undefined))
  )
  return redis
})

/** As many connections as there may be, until the scope closes. */
const holding = (port: number, count: number) =>
  Effect.acquireRelease(
    Effect.sync(() => Array.from({ length: count }, () => Net.connect(port, "127.0.0.1").on("error", () => undefined))),
    (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )

/** Nobody gets in any more. */
const crowded = Effect.gen(function* () {
  const redis = yield* TestRedis.makeWith(["--maxclients", "10"])
  yield* holding(redis.port, 10)
  yield* eventually(
    "all are taken",
    Effect.map(redis.ask("PING"), (answer) => (answer.startsWith("-ERR max") ? true : undefined))
  )
  return redis
})

const full = Effect.gen(function* () {
  const redis = yield* TestRedis.make
  yield* redis.ask("CONFIG SET maxmemory 1mb")
  return redis
})

/** A script that goes on until the scope closes. */
const busy = Effect.gen(function* () {
  const redis = yield* TestRedis.makeWith(["--busy-reply-threshold", "10"])
  const [socket] = yield* holding(redis.port, 1)
  socket?.write('EVAL "while true do end" 0\r\n')
  yield* eventually(
    "it is busy",
    Effect.map(redis.ask("PING"), (answer) => (answer.startsWith("-BUSY") ? true : undefined))
  )
  return redis
})

/** Its primary is gone. */
const orphaned = Effect.gen(function* () {
  // Unless told it waits five seconds for more of them.
  const primary = yield* TestRedis.makeWith(["--repl-diskless-sync-delay", "0"])
  const replica = yield* TestRedis.makeReplica(primary)
  yield* primary.kill
  const probe = RedisProbe.make({ ...patience, port: replica.port, role: "replica" })
  yield* eventually(
    "the link is down",
    Effect.map(probe.check, ({ _tag }) => (_tag === "Unhealthy" ? true : undefined))
  )
  return { primary, replica, probe }
})

/** It has lost its primary, and does not answer without it. */
const stale = Effect.tap(orphaned, ({ replica }) => replica.ask("CONFIG SET replica-serve-stale-data no"))

/** With a certificate of its own, for localhost and 127.0.0.1. */
const withTls = Effect.gen(function* () {
  const folder = yield* TestFolder.make
  const [key, certificate] = ["key.pem", "certificate.pem"].map((name) => Path.join(folder, name))
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
  yield* Effect.sync(() =>
    ChildProcess.execFileSync("openssl", [...request, ...names, "-keyout", `${key}`, "-out", `${certificate}`], {
      stdio: "ignore"
    })
  )
  const tlsPort = yield* TestPort.free(22_000, 32_000)
  const files = ["--tls-cert-file", `${certificate}`, "--tls-key-file", `${key}`, "--tls-auth-clients", "no"]
  const redis = yield* TestRedis.makeWith(["--tls-port", `${tlsPort}`, ...files])
  return { redis, tlsPort, ca: Fs.readFileSync(`${certificate}`) }
})

/** What a primary says whose replica has been silent for a minute. */
const lagging = info("role:master\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=60\r\n")

const always = new Set<string>([
  "Redis/Unreachable",
  "Redis/Timeout",
  "Redis/AccessDenied",
  "Redis/Loading",
  "Redis/Busy",
  "Redis/TooManyClients",
  "Redis/WritesRefused",
  "Redis/ReadsRefused",
  "Redis/MemoryHigh",
  "Redis/SaveFailing"
])

/** Beside those that it always has. */
const tags = (probe: Probe.Any) => probe.reports.map((one) => Verdict.tagOf(one)).filter((tag) => !always.has(tag))

const asked = (options: Omit<RedisProbe.RedisProbeOptions, "name">) =>
  Probe.question(RedisProbe.make({ name: "b", ...options }))

describe("RedisProbe", () => {
  it.live("who is not there is Unreachable, and so is who is no Redis", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      assert.deepStrictEqual(
        yield* at({ port }).check,
        Verdict.unhealthy(new RedisProbe.Unreachable({ target: target({ port }), code: "ECONNREFUSED" }), [
          `${target({ port })}: ECONNREFUSED`
        ])
      )
      const web = yield* httpServer((_, response) => response.end("hello"))
      assert.deepInclude(yield* found(at(web)), { _tag: "Redis/Unreachable", code: "no Redis answers there" })
      const closing = yield* tcpServer((socket) => socket.end())
      assert.deepInclude(yield* found(at(closing)), { _tag: "Redis/Unreachable", code: "closed without an answer" })
      const resetting = yield* tcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()))
      assert.deepInclude(yield* found(at(resetting)), { _tag: "Redis/Unreachable", code: "ECONNRESET" })
      const agreeing = yield* saying("+OK\r\n".repeat(3))
      assert.deepInclude(yield* found(at(agreeing)), { code: "no Redis with data answers there" })
    })
  )

  it.live("hostile answers are bounded: endless, huge, pushed, cut", () =>
    Effect.gen(function* () {
      const endless = yield* tcpServer((socket) => {
        const more = (): void => {
          while (!socket.destroyed && socket.write("+".repeat(1000)));
        }
        socket.on("drain", more)
        more()
      })
      // The last of these ends a program that asks with ioredis 6.
      const answers = ["$999999999999\r\n", `$9999999\r\n${"a".repeat(1e6)}`, "*3\r\n+a\r\n", ">1\r\n_\r\n"]
      for (const server of [endless, ...(yield* Effect.forEach(answers, (answer) => saying(answer)))]) {
        assert.deepInclude(yield* found(at(server)), { _tag: "Redis/Unreachable", code: "no Redis answers there" })
        yield* server.abandoned
      }
      const trickling = yield* tcpServer((socket) => {
        const timer = setInterval(() => socket.write("+"), 10)
        socket.on("close", () => clearInterval(timer))
      })
      const impatient = RedisProbe.make({ name: "redis", port: trickling.port, timeout: "500 millis" })
      assert.deepInclude(yield* found(impatient), { _tag: "Redis/Timeout", connected: true })
      yield* trickling.abandoned
    })
  )

  it.live("an INFO of strange bytes is bounded, and is judged by what makes sense in it", () =>
    Effect.gen(function* () {
      const noise = Buffer.alloc(500_000, 0xff).toString("latin1")
      const server = yield* saying(`${info(`role:master\r\nmaxclients:x\r\nmaxmemory:-1\r\n${noise}`)}${done}`)
      assert.deepStrictEqual(yield* at(server).check, Verdict.healthy)
    })
  )

  it.live("maxReplicaLag: a replica that has been silent for longer is degraded", () =>
    Effect.gen(function* () {
      const { port } = yield* saying(`${lagging}${done}`)
      const options = { ...patience, port, role: "primary" } as const
      assert.deepStrictEqual(
        yield* RedisProbe.make({ ...options, maxReplicaLag: "59 seconds" }).check,
        Verdict.degraded(
          new RedisProbe.ReplicaLag({ target: target({ port }), replica: "10.0.0.2:6379", lag: Duration.minutes(1) }),
          [`${target({ port })}: replica 10.0.0.2:6379 is 1m behind`]
        )
      )
      assert.deepStrictEqual(yield* RedisProbe.make({ ...options, maxReplicaLag: "60 seconds" }).check, Verdict.healthy)
      assert.deepStrictEqual(yield* RedisProbe.make(options).check, Verdict.healthy)
      const heard = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n"
      const silentFor = yield* saying(`${info(`${heard}master_last_io_seconds_ago:60\r\n`)}${done}`)
      const replica = { ...patience, port: silentFor.port, role: "replica" } as const
      assert.deepStrictEqual(
        signatureOf(yield* RedisProbe.make({ ...replica, maxReplicaLag: "59 seconds" }).check),
        new RedisProbe.ReplicaLag({
          target: target(silentFor),
          replica: `127.0.0.1:${silentFor.port}`,
          lag: Duration.minutes(1)
        })
      )
      assert.deepStrictEqual(yield* RedisProbe.make({ ...replica, maxReplicaLag: "60 seconds" }).check, Verdict.healthy)
    })
  )

  it.live("degradedAfter: who answers later is slow", () =>
    Effect.gen(function* () {
      const server = yield* saying(`${info("role:master\r\n")}${done}`, 50)
      const slow = signatureOf(
        yield* RedisProbe.make({ ...patience, port: server.port, degradedAfter: "10 millis" }).check
      )
      assert.strictEqual(slow._tag, "Redis/Slow")
      const fine = RedisProbe.make({ ...patience, port: server.port, degradedAfter: "9 seconds" })
      assert.deepStrictEqual(yield* fine.check, Verdict.healthy)
    })
  )

  it.live("refusals: of the user's rights, of what it does not know, and of writes", () =>
    Effect.gen(function* () {
      const told = info("role:master\r\n")
      const noReads = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
      const cases: ReadonlyArray<readonly [string, string]> = [
        ["-NOPERM no\r\n".repeat(3), "Inconclusive"],
        [`-ERR unknown command 'INFO'\r\n${done}`, "Inconclusive"],
        [`${told}-NOPERM no\r\n-NOPERM no\r\n`, "Healthy"],
        [`${told}-MOVED 1 10.0.0.1:6379\r\n-MOVED 1 10.0.0.1:6379\r\n`, "Healthy"],
        [`${told}-ERR unknown command 'SETRANGE'\r\n-WRONGTYPE no\r\n`, "Healthy"],
        // It has just become a replica.
        [`${told}-READONLY You can't write against a read only replica.\r\n:0\r\n`, "Healthy"],
        [`${told}-CLUSTERDOWN The cluster is down\r\n:0\r\n`, "Redis/WritesRefused"],
        [
          `${told}-CLUSTERDOWN The cluster is down\r\n`.concat("-CLUSTERDOWN The cluster is down\r\n"),
          "Redis/ReadsRefused"
        ],
        [`${told}-NOREPLICAS Not enough good replicas to write.\r\n:0\r\n`, "Redis/WritesRefused"],
        [`${told}-BUSY Redis is busy\r\n-BUSY Redis is busy\r\n`, "Redis/Busy"],
        [`${told}:0\r\n-BUSY Redis is busy\r\n`, "Redis/Busy"],
        // It began after INFO.
        [`${told}-LOADING Redis is loading the dataset in memory\r\n:0\r\n`, "Redis/Loading"],
        [`${told}:0\r\n-LOADING Redis is loading the dataset in memory\r\n`, "Redis/Loading"],
        [`${told}${noReads}:0\r\n`, "Redis/ReadsRefused"],
        [`${info("role:slave\r\n")}-READONLY no\r\n:0\r\n`, "Healthy"],
        [`${info("role:slave\r\n")}-OOM no\r\n:0\r\n`, "Healthy"],
        [`${info("role:slave\r\n")}${noReads.repeat(2)}`, "Redis/ReadsRefused"]
      ]
      for (const [said, expected] of cases) {
        const verdict = yield* at(yield* saying(said)).check
        assert.strictEqual("signature" in verdict ? verdict.signature._tag : verdict._tag, expected, said)
      }
      const protectedMode = yield* tcpServer((socket) => socket.end("-DENIED Redis is running in protected mode\r\n"))
      assert.deepInclude(yield* found(at(protectedMode)), { _tag: "Redis/AccessDenied", code: "DENIED" })
    })
  )

  it.live("a user or a password in a message that repeats them is not shown", () =>
    Effect.gen(function* () {
      const server = yield* saying(`-ERR unknown command 'AUTH', with args beginning with: '${secret}'\r\n`.repeat(4))
      const probe = RedisProbe.make({ ...patience, port: server.port, password: Redacted.make(secret) })
      const verdict = yield* probe.check
      assert.deepInclude(signatureOf(verdict), { _tag: "Redis/AccessDenied", code: "ERR" })
      assert.notInclude(JSON.stringify([verdict, probe]), secret)
      const shouted = Redacted.make("HUNTER_TWO")
      const loud = yield* saying(`-HUNTER_TWO\r\n${info("role:master\r\n")}-HUNTER_TWO\r\n-HUNTER_TWO\r\n`)
      const greeted = yield* RedisProbe.make({ ...patience, port: loud.port, password: shouted }).check
      assert.strictEqual(signatureOf(greeted)._tag, "Redis/AccessDenied")
      assert.notInclude(JSON.stringify(greeted), "HUNTER_TWO")
    })
  )

  it.live("codes and addresses that others tell are bounded and redacted", () =>
    Effect.gen(function* () {
      const long = yield* saying(`${info("role:master\r\n")}-${"A".repeat(4000)}\r\n:0\r\n`)
      assert.deepStrictEqual(yield* at(long).check, Verdict.healthy, "no code of Redis")
      const address = "password=hunter2hunter2"
      const replica = yield* saying(
        `${info(`role:master\r\nslave0:ip=${address},port=${"1".repeat(9000)},state=online,lag=60\r\n`)}${done}`
      )
      const options = { ...patience, port: replica.port, role: "primary", maxReplicaLag: "1 second" } as const
      const late = yield* RedisProbe.make(options).check
      assert.strictEqual(signatureOf(late)._tag, "Redis/ReplicaLag")
      const primary = yield* saying(`${info(`role:slave\r\nmaster_host:${address}\r\nmaster_port:1\r\n`)}${done}`)
      const asPrimary = yield* RedisProbe.make({ ...patience, port: primary.port, role: "primary" }).check
      const asReplica = yield* RedisProbe.make({ ...patience, port: primary.port, role: "replica" }).check
      for (const verdict of [late, asPrimary, asReplica]) {
        assert.notInclude(JSON.stringify(verdict), "hunter2")
        assert.isBelow(JSON.stringify(verdict).length, 1000)
      }
    })
  )

  it.live("who denies access and closes the connection denies access", () =>
    Effect.gen(function* () {
      const password = Redacted.make("wrong")
      const asking = (said: string) =>
        Effect.flatMap(
          tcpServer((socket) => socket.once("data", () => socket.end(said))),
          ({ port }) => RedisProbe.make({ ...patience, port, password }).check
        )
      const denied = signatureOf(yield* asking("-WRONGPASS invalid username-password pair\r\n"))
      assert.deepInclude(denied, { _tag: "Redis/AccessDenied", code: "WRONGPASS" })
      assert.strictEqual(signatureOf(yield* asking("-ERR no backend\r\n"))._tag, "Redis/Unreachable")
    })
  )

  it("of several addresses, one that tells of the other side counts", () => {
    const all = (...codes: ReadonlyArray<string>) =>
      codeOfConnection(Object.assign(new AggregateError(codes.map(failedWith)), { code: codes[0] }))
    assert.strictEqual(all("EADDRNOTAVAIL", "ECONNREFUSED"), "ECONNREFUSED")
    assert.strictEqual(all("ENETUNREACH", "EADDRNOTAVAIL"), "ENETUNREACH")
    assert.strictEqual(codeOfConnection(failedWith("ECONNRESET")), "ECONNRESET")
  })

  it.live("tls: where the connection stands and no handshake comes, it is connected", () =>
    Effect.gen(function* () {
      const { port } = yield* silent
      const probe = RedisProbe.make({ name: "redis", port, tls: true, timeout: "300 millis" })
      assert.deepInclude(yield* found(probe), { _tag: "Redis/Timeout", connected: true })
    })
  )

  it.live("tls: what only the connection refuses makes the check inconclusive", () =>
    Effect.gen(function* () {
      const { port } = yield* silent
      const probe = RedisProbe.make({ ...patience, port, tls: true })
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const before = Tls.DEFAULT_MIN_VERSION
          Reflect.set(process.getBuiltinModule("node:tls"), "DEFAULT_MIN_VERSION", "TLSv9")
          return before
        }),
        (before) => Effect.sync(() => Reflect.set(process.getBuiltinModule("node:tls"), "DEFAULT_MIN_VERSION", before))
      )
      const reason = `rediss://127.0.0.1:${port}/0 cannot be asked: ERR_TLS_INVALID_PROTOCOL_VERSION`
      assert.deepStrictEqual(yield* probe.check, Verdict.inconclusive(reason))
    })
  )

  it.live("an interruption closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* silent
      const fiber = yield* Effect.forkChild(at(server).check)
      yield* eventually(
        "it is connected",
        Effect.sync(() => (server.accepted() === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(fiber)
      yield* server.abandoned
    })
  )

  it("says what it looks at, without user and password; equal options ask the same", () => {
    const url = `redis://user:${encodeURIComponent(secret)}@redis.example:6380/2`
    const probe = RedisProbe.make({ name: "a", url })
    assert.deepInclude(probe, { name: "a", target: "redis://redis.example:6380/2", reach: "network", effects: "none" })
    assert.notInclude(JSON.stringify(probe), secret)
    assert.deepInclude(RedisProbe.make({ name: "a", url: "rediss://[::1]" }), {
      target: "rediss://[::1]:6379/0",
      reach: "host"
    })
    assert.deepInclude(RedisProbe.make({ name: "a" }), { target: "redis://127.0.0.1:6379/0", reach: "host" })
    const parts = {
      host: "redis.example",
      port: 6380,
      database: 2,
      username: "user",
      password: Redacted.make(secret)
    } as const
    assert.isTrue(Equal.equals(Probe.question(probe), asked(parts)))
    assert.isTrue(Equal.equals(asked({ url: Redacted.make(url) }), asked(parts)))
    assert.isFalse(Equal.equals(asked({ ...parts, password: Redacted.make("other") }), asked(parts)))
    assert.isFalse(Equal.equals(asked({ ...parts, role: "primary" }), asked(parts)))
    const ca = Buffer.from(Tls.rootCertificates[0] ?? "")
    const trusting = (tls: RedisProbe.RedisTlsOptions) => asked({ ...parts, tls })
    const before = trusting({ ca })
    assert.isTrue(Equal.equals(before, trusting({ ca: Buffer.from(ca) })))
    ca.fill(0x0a)
    assert.isTrue(Equal.equals(before, trusting({ ca: Buffer.from(Tls.rootCertificates[0] ?? "") })))
    assert.isFalse(Equal.equals(before, trusting({})))
    assert.isFalse(
      Equal.equals(
        trusting({ checkServerIdentity: () => undefined }),
        trusting({ checkServerIdentity: () => undefined })
      )
    )
  })

  it("has the signatures of its options, in its type and at run time", () => {
    const plain = RedisProbe.make({ name: "a" })
    expectTypeOf<Probe.Signatures<typeof plain>["_tag"]>().toEqualTypeOf<Always>()
    assert.deepStrictEqual(tags(plain), [])
    const primary = RedisProbe.make({ name: "a", role: "primary", degradedAfter: "1 second" })
    expectTypeOf<Probe.Signatures<typeof primary>["_tag"]>().toEqualTypeOf<Always | "Redis/ReadOnly" | "Redis/Slow">()
    assert.deepStrictEqual(tags(primary), ["Redis/ReadOnly", "Redis/Slow"])
    const replica = RedisProbe.make({ name: "a", role: "replica", maxReplicaLag: "30 seconds" })
    expectTypeOf<Probe.Signatures<typeof replica>["_tag"]>().toEqualTypeOf<
      Always | "Redis/NotReplica" | "Redis/ReplicaLinkDown" | "Redis/ReplicaLag"
    >()
    assert.deepStrictEqual(tags(replica), ["Redis/NotReplica", "Redis/ReplicaLinkDown", "Redis/ReplicaLag"])
    const options: RedisProbe.RedisProbeOptions = { name: "a" }
    const any = RedisProbe.make(options)
    expectTypeOf<Probe.Signatures<typeof any>>().toEqualTypeOf<RedisProbe.Found<RedisProbe.RedisProbeOptions>>()
    // @ts-expect-error a misspelt option
    assert.strictEqual(refusal(() => RedisProbe.make({ name: "a", rolle: "primary" })).option, "rolle")
  })

  it("refuses options that cannot work, names them, and shows no secret", () => {
    const password = Redacted.make(secret)
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ url: `http://user:${secret}@example.com/` }, "url"],
      [{ url: `redis://user:${secret}@example.com/` }, "url"],
      [{ url: "redis://example.com/zero" }, "url"],
      [{ url: "redis://example.com/?db=1" }, "url"],
      [{ url: "redis://user@example.com" }, "url"],
      [{ url: "redis://" }, "url"],
      [{ url: Redacted.make(42) }, "url"],
      [{ url: "redis://example.com", host: "b" }, "host"],
      [{ url: "redis://example.com", password }, "password"],
      [{ url: "redis://example.com", tls: true }, "tls"],
      [{ url: "rediss://example.com", tls: false }, "tls"],
      [{ host: `user:${secret}@b` }, "host"],
      [{ port: 0 }, "port"],
      [{ username: "me" }, "username"],
      [{ username: "", password }, "username"],
      [{ password: secret }, "password"],
      [{ database: -1 }, "database"],
      [{ tls: "yes" }, "tls"],
      [{ tls: null }, "tls"],
      [{ tls: { key: secret } }, "tls"],
      [{ tls: { minVersion: "TLSv9" } }, "tls"],
      [{ tls: { caa: "x" } }, "tls.caa"],
      [{ tls: { path: "/run/other.sock" } }, "tls.path"],
      [{ tls: { secureContext: Tls.createSecureContext() } }, "tls.secureContext"],
      [{ tls: { servername: 1 } }, "tls.servername"],
      [{ tls: { rejectUnauthorized: "no" } }, "tls.rejectUnauthorized"],
      [{ tls: { checkServerIdentity: true } }, "tls.checkServerIdentity"],
      [{ role: "master" }, "role"],
      [{ maxReplicaLag: "5 seconds" }, "maxReplicaLag"],
      [{ maxReplicaLag: 1, role: "primary" }, "maxReplicaLag"],
      [{ memoryAt: 90 }, "memoryAt"],
      [{ memoryAt: 0 }, "memoryAt"],
      [{ clientsAt: Number.NaN }, "clientsAt"],
      [{ timeout: 0 }, "timeout"],
      [{ timeout: "1 second", degradedAfter: "1 second" }, "degradedAfter"],
      [{ retries: 3 }, "retries"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => RedisProbe.make({ name: "redis", ...options }))
      assert.deepStrictEqual([error.module, error.option], ["RedisProbe", option], JSON.stringify(options))
      if (["url", "password", "tls"].includes(option))
        assert.notInclude(`${error.message} ${String(error.value)}`, secret)
    }
    assert.strictEqual(refusal(() => RedisProbe.make({ name: "" })).option, "name")
  })
})

describe.skipIf(TestRedis.isMissing())("RedisProbe and Redis", () => {
  it.live("a primary is healthy; asking changes nothing there", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.make
      yield* redis.ask("SET nexobot:probe kept")
      const probe = RedisProbe.make({ ...patience, port: redis.port, role: "primary" })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.strictEqual(yield* redis.ask("STRLEN nexobot:probe"), ":4")
      yield* redis.ask("DEL nexobot:probe")
      yield* redis.ask("SAVE")
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      assert.strictEqual(yield* redis.ask("DBSIZE"), ":0")
      // How many changes there were since it was saved.
      const changes = `EVAL "return tonumber(string.match(redis.call('INFO'), 'changes_since_last_save:(%d+)'))" 0`
      assert.strictEqual(yield* redis.ask(changes), ":0")
    })
  )

  it.live("frozen, thawed, killed", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.make
      yield* redis.freeze
      const impatient = RedisProbe.make({ name: "redis", port: redis.port, timeout: "300 millis" })
      assert.deepStrictEqual(
        signatureOf(yield* impatient.check),
        new RedisProbe.Timeout({ target: target(redis), after: Duration.millis(300), connected: true })
      )
      yield* redis.thaw
      assert.deepStrictEqual(yield* at(redis).check, Verdict.healthy)
      yield* redis.kill
      assert.deepInclude(yield* found(at(redis)), { _tag: "Redis/Unreachable", code: "ECONNREFUSED" })
    })
  )

  it.live("one that cannot save refuses writes; who may not write sees that it does not save", () =>
    Effect.gen(function* () {
      const redis = yield* misconfigured
      const verdict = yield* at(redis).check
      assert.deepStrictEqual(
        verdict,
        Verdict.unhealthy(new RedisProbe.WritesRefused({ target: target(redis), code: "MISCONF" }), [
          `${target(redis)}: refuses writes (MISCONF); what could not be saved: snapshot`
        ])
      )
      yield* redis.ask("ACL SETUSER reader on >pass ~* +@all -@write")
      const reader = { username: "reader", password: Redacted.make("pass") } as const
      const seen = signatureOf(yield* RedisProbe.make({ ...patience, port: redis.port, ...reader }).check)
      assert.deepInclude(seen, { _tag: "Redis/SaveFailing", what: "snapshot" })
      yield* redis.ask("CONFIG SET stop-writes-on-bgsave-error no")
      assert.strictEqual((yield* found(at(redis)))._tag, "Redis/SaveFailing")
    })
  )

  it.live("too few replicas: it refuses writes", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.make
      yield* redis.ask("CONFIG SET min-replicas-to-write 1")
      assert.deepInclude(yield* found(at(redis)), { _tag: "Redis/WritesRefused", code: "NOREPLICAS" })
    })
  )

  it.live("memoryAt: high is degraded, full is unhealthy, and one that evicts is a cache", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.make
      yield* redis.ask("CONFIG SET maxmemory 20mb")
      assert.deepStrictEqual(yield* at(redis).check, Verdict.healthy)
      const low = RedisProbe.make({ ...patience, port: redis.port, memoryAt: 0.01 })
      const verdict = yield* low.check
      assert.strictEqual(verdict._tag, "Degraded")
      assert.deepInclude(signatureOf(verdict), { _tag: "Redis/MemoryHigh", max: 20 * 1024 * 1024 })
      yield* redis.ask("CONFIG SET maxmemory 1kb")
      const refusing = yield* at(redis).check
      assert.strictEqual(refusing._tag, "Unhealthy")
      assert.deepInclude(signatureOf(refusing), { _tag: "Redis/MemoryHigh", max: 1024 })
      yield* redis.ask("CONFIG SET maxmemory-policy allkeys-lru")
      yield* redis.ask("CONFIG SET maxmemory 20mb")
      assert.deepStrictEqual(yield* low.check, Verdict.healthy)
    })
  )

  it.live("clientsAt: nearly all taken is degraded, all taken is unhealthy", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.makeWith(["--maxclients", "10"])
      assert.deepStrictEqual(yield* at(redis).check, Verdict.healthy)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* holding(redis.port, 8)
          // It learns a little late that the connection of the check before is closed.
          const nearly = new RedisProbe.TooManyClients({ target: target(redis), clients: 9, max: 10 })
          const expected = Verdict.degraded(nearly, [`${target(redis)}: 9 of 10 connections are taken`])
          yield* eventually(
            "nearly all are taken",
            Effect.map(at(redis).check, (verdict) => (Equal.equals(verdict, expected) ? true : undefined))
          )
          const patient = RedisProbe.make({ ...patience, port: redis.port, clientsAt: 1 })
          yield* eventually(
            "these are not too many",
            Effect.map(patient.check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
          )
        })
      )
      const all = yield* crowded
      const verdict = yield* at(all).check
      assert.deepStrictEqual(
        verdict,
        Verdict.unhealthy(new RedisProbe.TooManyClients({ target: target(all) }), [
          `${target(all)}: has no connection left (maxclients)`
        ])
      )
    })
  )

  it.live("users: without a password, with a wrong one, without the right to ask", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.makeWith(["--requirepass", "right"])
      const { port } = redis
      const asUser = (username: string, password: string) =>
        RedisProbe.make({ ...patience, port, username, password: Redacted.make(password) })
      assert.deepInclude(yield* found(at(redis)), { _tag: "Redis/AccessDenied", code: "NOAUTH" })
      const wrong = RedisProbe.make({ ...patience, port, password: Redacted.make(secret) })
      assert.deepInclude(yield* found(wrong), { _tag: "Redis/AccessDenied", code: "WRONGPASS" })
      const inUrl = RedisProbe.make({ ...patience, url: Redacted.make(`redis://default:right@127.0.0.1:${port}/3`) })
      assert.deepStrictEqual(yield* inUrl.check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* RedisProbe.make({ ...patience, url: `redis://:right@127.0.0.1:${port}` }).check,
        Verdict.healthy
      )
      const open = yield* TestRedis.makeWith([])
      yield* open.ask("ACL SETUSER deaf on >pass ~* +@all -info")
      const options = { ...patience, port: open.port } as const
      const deaf = RedisProbe.make({ ...options, username: "deaf", password: Redacted.make("pass") })
      assert.deepStrictEqual(
        yield* deaf.check,
        Verdict.inconclusive(`${target(open)}: its user may not run INFO (NOPERM)`)
      )
      // Nobody asked for it.
      const eager = RedisProbe.make({ ...options, password: Redacted.make("pass") })
      assert.deepStrictEqual(yield* eager.check, Verdict.healthy)
      assert.strictEqual((yield* found(asUser("nobody", "right")))._tag, "Redis/AccessDenied")
    })
  )

  it.live("database: one that it does not have makes the check inconclusive", () =>
    Effect.gen(function* () {
      const { port } = yield* TestRedis.make
      assert.deepStrictEqual(
        yield* RedisProbe.make({ ...patience, port, database: 99 }).check,
        Verdict.inconclusive(`redis://127.0.0.1:${port}/99: does not give database 99 (ERR)`)
      )
    })
  )

  it.live("role: a replica is no primary, a primary no replica, and without its primary it is sick", () =>
    Effect.gen(function* () {
      const { primary, probe, replica } = yield* orphaned
      const down = yield* found(probe)
      assert.deepInclude(down, { _tag: "Redis/ReplicaLinkDown", primary: `127.0.0.1:${primary.port}`, syncing: false })
      const expecting = (port: number, role: "primary" | "replica") => RedisProbe.make({ ...patience, port, role })
      assert.deepInclude(yield* found(expecting(replica.port, "primary")), {
        _tag: "Redis/ReadOnly",
        primary: `127.0.0.1:${primary.port}`
      })
      assert.deepStrictEqual(yield* at(replica).check, Verdict.healthy, "nobody said what it should be")
      yield* replica.ask("CONFIG SET replica-serve-stale-data no")
      assert.deepInclude(yield* found(at(replica)), { _tag: "Redis/ReadsRefused", code: "MASTERDOWN" })
      assert.strictEqual((yield* found(probe))._tag, "Redis/ReplicaLinkDown", "that says more")
      yield* primary.restart
      yield* eventually(
        "it follows again",
        Effect.map(probe.check, ({ _tag }) => (_tag === "Healthy" ? true : undefined))
      )
      assert.strictEqual((yield* found(expecting(primary.port, "replica")))._tag, "Redis/NotReplica")
      const lag = { ...patience, port: replica.port, role: "replica", maxReplicaLag: "1 hour" } as const
      assert.deepStrictEqual(yield* RedisProbe.make(lag).check, Verdict.healthy)
    })
  )

  it.live("one that loads says how far it is", () =>
    Effect.gen(function* () {
      const redis = yield* TestRedis.makeLoading
      const loading = yield* found(at(redis))
      assert.strictEqual(loading._tag, "Redis/Loading")
      assert.isTrue(loading._tag === "Redis/Loading" && loading.loaded !== undefined && loading.loaded < 1)
    })
  )

  it.live("tls: talks to a TLS port, and trusts whom it is told to", () =>
    Effect.gen(function* () {
      const { ca, redis, tlsPort } = yield* withTls
      const url = `rediss://localhost:${tlsPort}`
      assert.deepStrictEqual(yield* RedisProbe.make({ ...patience, url, tls: { ca } }).check, Verdict.healthy)
      const host = { ...patience, host: "127.0.0.1", port: tlsPort, tls: { ca } }
      assert.deepStrictEqual(yield* RedisProbe.make(host).check, Verdict.healthy)
      const strange = yield* found(RedisProbe.make({ ...patience, url }))
      assert.deepInclude(strange, { _tag: "Redis/Unreachable", code: "DEPTH_ZERO_SELF_SIGNED_CERT" })
      // It takes the handshake for the beginning of a command.
      const plain = { name: "redis", port: redis.port, tls: true, timeout: "300 millis" } as const
      assert.deepInclude(yield* found(RedisProbe.make(plain)), { _tag: "Redis/Timeout", connected: true })
    })
  )
})

type Always =
  | "Redis/Unreachable"
  | "Redis/Timeout"
  | "Redis/AccessDenied"
  | "Redis/Loading"
  | "Redis/Busy"
  | "Redis/TooManyClients"
  | "Redis/WritesRefused"
  | "Redis/ReadsRefused"
  | "Redis/MemoryHigh"
  | "Redis/SaveFailing"

if (Binary.find("redis-server") !== undefined) {
  probeContract<RedisProbe.Found<RedisProbe.RedisProbeOptions>>("RedisProbe", {
    situations: {
      Healthy: Effect.map(TestRedis.make, at),
      Inconclusive: Effect.map(saying("-NOPERM no\r\n".repeat(3)), at),
      "Redis/Unreachable": Effect.map(freePort, (port) => at({ port })),
      "Redis/Timeout": Effect.map(silent, ({ port }) => RedisProbe.make({ name: "redis", port, timeout: "20 millis" })),
      "Redis/AccessDenied": Effect.map(TestRedis.makeWith(["--requirepass", "secret"]), at),
      "Redis/Loading": Effect.map(TestRedis.makeLoading, at),
      "Redis/Busy": Effect.map(busy, at),
      "Redis/TooManyClients": Effect.map(crowded, at),
      "Redis/WritesRefused": Effect.map(misconfigured, at),
      "Redis/ReadsRefused": Effect.map(stale, ({ replica }) => at(replica)),
      "Redis/MemoryHigh": Effect.map(full, at),
      "Redis/SaveFailing": Effect.map(
        Effect.tap(misconfigured, (redis) => redis.ask("CONFIG SET stop-writes-on-bgsave-error no")),
        at
      ),
      "Redis/ReadOnly": Effect.gen(function* () {
        const { port } = yield* TestRedis.makeReplica(yield* TestRedis.make)
        return RedisProbe.make({ ...patience, port, role: "primary" })
      }),
      "Redis/NotReplica": Effect.map(TestRedis.make, ({ port }) =>
        RedisProbe.make({ ...patience, port, role: "replica" })
      ),
      "Redis/ReplicaLinkDown": Effect.map(orphaned, ({ probe }) => probe),
      "Redis/ReplicaLag": Effect.map(saying(`${lagging}${done}`), ({ port }) =>
        RedisProbe.make({ ...patience, port, role: "primary", maxReplicaLag: "30 seconds" })
      ),
      "Redis/Slow": Effect.map(saying(`${info("role:master\r\n")}${done}`, 10), ({ port }) =>
        RedisProbe.make({ ...patience, port, degradedAfter: "1 millis" })
      )
    },
    waiting: Effect.map(silent, at)
  })
}
