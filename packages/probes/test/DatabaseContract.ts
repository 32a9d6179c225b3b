/** What every adapter of the port `Database` promises. A suite for one adapter is one call. */
import type * as Net from "node:net"

import { afterAll, assert, describe, it } from "@effect/vitest"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestCertificates from "@nexobot/testing/TestCertificates"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"

import type * as Database from "../src/Database.ts"
import type { Tls } from "../src/internal/databaseTls.ts"
import { tcpServer } from "./support.ts"

/** What `TestPostgres` and `TestMariaDb` have in common. */
export interface Server {
  readonly port: number
  readonly url: string
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly start: Effect.Effect<void>
  readonly ready: Effect.Effect<void>
  readonly sql: (statements: string) => Effect.Effect<string>
}

export interface Subject<S extends Server> {
  readonly module: string
  /** With this password. */
  readonly server: (options: {
    readonly password: string
    readonly tls?: { readonly certificate: string; readonly key: string }
  }) => Effect.Effect<S, never, Scope.Scope>
  readonly make: (options: { readonly url: string | Redacted.Redacted; readonly tls?: Tls }) => Database.Database
  readonly scheme: string
  /** Takes a minute. */
  readonly slow: string
  /** Has 100 rows of a million characters. */
  readonly huge: string
  /** Asks for what the columns `a` and `b` are to be: a text and a whole number. */
  readonly echo: string
  /** Columns `big`, `decimal`, `moment` and `nothing`. */
  readonly values: string
  readonly moment: RegExp
  /** Column `encrypted`: 1 if the session is. */
  readonly encrypted: string
  /** How many clients are connected, of whom the one who asks is one. */
  readonly connected: string
  readonly unknownTable: string
  /** A URL by way of the unix socket. */
  readonly unix: (server: S, password: string) => string
}

/** One for all tests of a file. */
export const shared = <A>(make: Effect.Effect<A, never, Scope.Scope>): Effect.Effect<A> => {
  const scope = Scope.makeUnsafe()
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runSync(Effect.cached(Scope.provide(make, scope)))
}

/** Asks once. */
export const ask = (database: Database.Database, sql: string, ...parameters: ReadonlyArray<string | number>) =>
  Effect.scoped(Effect.flatMap(database.connect, (session) => session.query(sql, parameters)))

/** Writes for ever, as fast as it is read. */
const flooding = (piece: () => Buffer) => (socket: Net.Socket) => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece()));
  }
  socket.on("drain", more)
  more()
}

/** Bytes that look random, and are the same each time: a linear congruential generator. */
const noise = (seed: number, length: number): Buffer => {
  let state = seed
  return Buffer.from(
    Array.from({ length }, () => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
      return state >> 16
    })
  )
}

const http = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"

/** Whoever answers there, it is no database. The first ten are of each kind. */
export const strangers: Readonly<Record<string, (socket: Net.Socket) => void>> = {
  "a server of HTTP": (socket) => socket.end(http),
  "one that closes": (socket) => socket.end(),
  "one that resets": (socket) => socket.resetAndDestroy(),
  ...Object.fromEntries(
    Array.from({ length: 4 }, (_, less) => [
      `one that says ${less + 1} bytes and closes`,
      (socket: Net.Socket) => socket.end(Buffer.alloc(less + 1, 1))
    ])
  ),
  "endless zeros": flooding(() => Buffer.alloc(65_536)),
  "endless letters": flooding(() => Buffer.alloc(65_536, "a")),
  ...Object.fromEntries(
    Array.from({ length: 20 }, (_, seed) => {
      const bytes = noise(seed, 4099)
      return [`endless noise ${seed}`, flooding(() => bytes)]
    })
  )
}

const password = "s3cr/et @x'\\"

const promptly =
  (what: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.timed(effect), ([took, result]) => {
      assert.isBelow(Duration.toSeconds(took), 4, what)
      return result
    })

export const databaseContract = <S extends Server>(subject: Subject<S>): void => {
  const { make, module, scheme } = subject
  const withoutTls = TestCertificates.isMissing()
  const chain = shared(TestCertificates.chain({ leaf: { names: ["DNS:localhost"] } }))
  const server = shared(
    withoutTls
      ? subject.server({ password })
      : Effect.flatMap(chain, ({ leaf, sent }) =>
          subject.server({ password, tls: { certificate: sent, key: leaf.key } })
        )
  )
  const other = (url: string, change: (url: URL) => void) => {
    const changed = new URL(url)
    change(changed)
    return make({ url: changed.href })
  }
  const reasonOf = (database: Database.Database, sql = "SELECT 1") =>
    Effect.map(Effect.flip(ask(database, sql)), (error) => {
      // Neither as it is nor as it stands in the URL.
      for (const secret of [password, encodeURIComponent(password), "wrong-password"]) {
        assert.notInclude(JSON.stringify(error) + error.message + String(error.stack), secret)
      }
      assert.strictEqual(error.target, database.target)
      return error.reason
    })

  describe(`${module} keeps the contract of databases`, () => {
    it.live("answers in rows by column: numbers, texts, nothing; what a number cannot hold is a text", () =>
      Effect.gen(function* () {
        const { url } = yield* server
        const database = make({ url: Redacted.make(url) })
        assert.deepStrictEqual(yield* ask(database, "SELECT 1 AS one, 'ä' AS two"), [{ one: 1, two: "ä" }])
        assert.deepStrictEqual(yield* ask(database, "SELECT 1 AS one WHERE 1 = 0"), [])
        const text = 'it\'s "quoted" \\ ?; $1 --'
        assert.deepStrictEqual(yield* ask(database, subject.echo, text, -7), [{ a: text, b: -7 }])
        const [row] = yield* ask(database, subject.values)
        assert.deepInclude(row, { big: "9007199254740993", decimal: "1.50", nothing: null })
        assert.match(String(row?.["moment"]), subject.moment)
      })
    )

    it.live("a statement that is refused says so, and the session goes on", () =>
      Effect.gen(function* () {
        const { url } = yield* server
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* make({ url }).connect
            const { reason } = yield* Effect.flip(session.query("SELECT * FROM nowhere"))
            assert.deepInclude(reason, { _tag: "QueryFailed", code: subject.unknownTable })
            assert.deepStrictEqual(yield* session.query("SELECT 2 AS two"), [{ two: 2 }])
          })
        )
      })
    )

    it.live("an answer of more than 64 MB ends the session", () =>
      Effect.gen(function* () {
        const { url } = yield* server
        assert.deepInclude(yield* reasonOf(make({ url }), subject.huge), { _tag: "Unreachable", code: "EMSGSIZE" })
      })
    )

    it.live("every session is a connection of its own, which is gone with the scope", () =>
      Effect.gen(function* () {
        const { sql, url } = yield* server
        const database = make({ url })
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.all([database.connect, database.connect])
            assert.strictEqual(yield* sql(subject.connected), "3")
          })
        )
        yield* eventually(
          "the sessions are gone",
          Effect.map(sql(subject.connected), (count) => (count === "1" ? true : undefined))
        )
      })
    )

    it.live("tells apart who may not and who is not there, without the password", () =>
      Effect.gen(function* () {
        const { port, url } = yield* server
        const wrong = other(url, (changed) => (changed.password = "wrong-password"))
        assert.strictEqual((yield* reasonOf(wrong))._tag, "AccessDenied")
        assert.strictEqual(
          (yield* reasonOf(other(url, (changed) => (changed.username = "nobody"))))._tag,
          "AccessDenied"
        )
        const elsewhere = make({ url }).withDatabase("nowhere")
        assert.strictEqual(elsewhere.target, `${scheme}://127.0.0.1:${port}/nowhere`)
        assert.strictEqual((yield* reasonOf(elsewhere))._tag, "AccessDenied")
        const dead = other(url, (changed) => (changed.port = "1"))
        assert.deepInclude(yield* reasonOf(dead), { _tag: "Unreachable", code: "ECONNREFUSED" })
        const nameless = other(url, (changed) => (changed.hostname = "nowhere.invalid"))
        assert.strictEqual((yield* reasonOf(nameless))._tag, "Unreachable")
        assert.strictEqual(nameless.reach, "network")
      })
    )

    it.live("by way of the unix socket", () =>
      Effect.gen(function* () {
        const running = yield* server
        const database = make({ url: subject.unix(running, encodeURIComponent(password)) })
        assert.strictEqual(database.reach, "host")
        assert.deepStrictEqual(yield* ask(database, "SELECT 1 AS one"), [{ one: 1 }])
      })
    )

    it.live("waits for nobody: interrupted while it connects or asks, or closed, and the server is frozen", () =>
      Effect.gen(function* () {
        const { freeze, thaw, url } = yield* server
        const database = make({ url })
        const soon = Effect.timeoutOption("100 millis")
        yield* promptly("a slow query")(soon(ask(database, subject.slow)))
        yield* promptly("closing")(Effect.scoped(Effect.andThen(database.connect, freeze)))
        yield* promptly("connecting")(soon(ask(database, "SELECT 1")))
        yield* thaw
        const frozenThen = Effect.flatMap(database.connect, (session) =>
          Effect.andThen(freeze, soon(session.query("SELECT 1")))
        )
        yield* promptly("asking")(Effect.scoped(frozenThen))
        yield* thaw
        assert.deepStrictEqual(yield* ask(database, "SELECT 1 AS one"), [{ one: 1 }])
      })
    )

    it.live("a server that dies ends the session; until it is back it is unreachable or not ready", () =>
      Effect.gen(function* () {
        const { kill, ready, start, url } = yield* server
        const database = make({ url })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* database.connect
            const asking = yield* Effect.forkChild(Effect.flip(session.query(subject.slow)), { startImmediately: true })
            yield* kill
            const { reason } = yield* Fiber.join(asking)
            assert.strictEqual(reason._tag, "Unreachable")
            const { reason: afterwards } = yield* Effect.flip(session.query("SELECT 1"))
            assert.strictEqual(afterwards._tag, "Unreachable")
            assert.notInclude(JSON.stringify(afterwards), "does not speak")
          })
        )
        yield* start
        const seen = new Set<string>()
        yield* eventually(
          "it is back",
          Effect.match(ask(database, "SELECT 1"), {
            onSuccess: () => true,
            onFailure: ({ reason }) => void seen.add(reason._tag)
          })
        )
        yield* ready
        for (const tag of seen) assert.include(["Unreachable", "NotReady"], tag)
      })
    )

    it.live.skipIf(withoutTls)("over TLS, if it can trust the server and its name", () =>
      Effect.gen(function* () {
        const ca = (yield* chain).root.pem
        const running = yield* server
        const url = running.url.replace("127.0.0.1", "localhost")
        yield* promptly("closing")(
          Effect.scoped(
            Effect.gen(function* () {
              const { query } = yield* make({ url, tls: { ca } }).connect
              assert.deepStrictEqual(yield* query(subject.encrypted), [{ encrypted: 1 }])
              yield* running.freeze
              assert.isTrue(Option.isNone(yield* Effect.timeoutOption(query("SELECT 1"), "100 millis")))
            })
          )
        )
        yield* running.thaw
        const unverified = make({ url: running.url, tls: { verify: false } })
        assert.deepStrictEqual(yield* ask(unverified, subject.encrypted), [{ encrypted: 1 }])
        // Nobody knows the authority; the certificate is for another name.
        assert.strictEqual((yield* reasonOf(make({ url, tls: true })))._tag, "Unreachable")
        const misnamed = make({ url: url.replace("localhost", "other.localhost"), tls: { ca } })
        assert.strictEqual((yield* reasonOf(misnamed))._tag, "Unreachable")
      })
    )

    for (const [name, stranger] of Object.entries(strangers)) {
      it.live(`${name} is unreachable, at once`, () =>
        Effect.gen(function* () {
          const { abandoned, port } = yield* tcpServer(stranger)
          const database = make({ url: `${scheme}://user:${encodeURIComponent(password)}@127.0.0.1:${port}/shop` })
          // Noise may announce a message that is longer than all that is read before the login.
          assert.strictEqual((yield* promptly(name)(reasonOf(database)))._tag, "Unreachable")
          yield* abandoned
        })
      )
    }

    it("shows where it is and no more; is equal to another of the same options, and to no other", () => {
      const url = `${scheme}://user:${encodeURIComponent(password)}@db.example:1234/shop`
      const database = make({ url })
      assert.strictEqual(database.target, `${scheme}://db.example:1234/shop`)
      assert.strictEqual(database.reach, "network")
      assert.strictEqual(make({ url: `${scheme}://user@[::1]:1234` }).target, `${scheme}://[::1]:1234`)
      assert.strictEqual(make({ url: `${scheme}://user@localhost/x` }).reach, "host")
      assert.isTrue(Equal.equals(database.identity, make({ url: Redacted.make(url) }).identity))
      for (const differs of [url.replace("shop", "shed"), url.replace("s3cr", "s4cr"), url.replace("user", "me")]) {
        assert.isFalse(Equal.equals(database.identity, make({ url: differs }).identity), differs)
      }
      assert.isFalse(Equal.equals(database.identity, database.withDatabase("shed").identity))
      assert.notInclude(JSON.stringify(database), "s3cr")
    })

    it("refuses a URL that cannot work, and shows nothing of it", () => {
      const urls: ReadonlyArray<unknown> = [
        "",
        42,
        undefined,
        "http://user:secret@127.0.0.1/x",
        `${scheme}://127.0.0.1/shop`,
        `${scheme}://:secret@127.0.0.1/shop`,
        `${scheme}://user:secret@127.0.0.1:0/shop`,
        `${scheme}://user:secret@127.0.0.1:99999/shop`,
        `${scheme}://user:secret@/shop`,
        `${scheme}://user:sec/ret@127.0.0.1/shop`,
        `${scheme}://user:secret#x@127.0.0.1/shop`,
        `${scheme}://user:12/secret@127.0.0.1/shop`,
        `${scheme}://user:s@sec/ret@127.0.0.1/shop`,
        `${scheme}://user:s@sec!/ret@127.0.0.1/shop`,
        `${scheme}://user:%zzsecret@127.0.0.1/shop`,
        `${scheme}://user:secret@127.0.0.1/shop?misspelt=secret`
      ]
      for (const url of urls) {
        const error = refusal(() => make({ url: url as string })) // oxlint-disable-line typescript/no-unsafe-type-assertion
        assert.deepStrictEqual([error.module, error.option], [module, "url"], String(url))
        assert.notMatch(error.message + JSON.stringify(error), /sec|ret@/)
      }
      const misspelt = { url: `${scheme}://user@localhost`, pasword: "secret" }
      const error = refusal(() => make(misspelt))
      assert.strictEqual(error.option, "pasword")
      assert.notInclude(error.message + JSON.stringify(error), "secret")
    })
  })
}
