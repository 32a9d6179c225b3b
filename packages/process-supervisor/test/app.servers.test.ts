import * as Http2 from "node:http2"
import * as Https from "node:https"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestCertificates from "../../testing/src/TestCertificates.ts"
import { ask, connect, endsClean, refuses, run, until } from "./fixtures/app/support.ts"

const patient = { drain: "20 seconds" }

const listening = Effect.fnUntraced(function* (kind: string, more: object = {}) {
  const app = yield* run({ app: { kind, options: patient, ...more } })
  return { ...app, port: yield* app.port }
})

/** A session with one request on it. */
const session = (url: string, options: Http2.SecureClientSessionOptions = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = Http2.connect(url, options)
      const seen = { goaway: false, closed: false }
      client.on("goaway", () => (seen.goaway = true))
      client.on("close", () => (seen.closed = true))
      client.on("error", () => {})
      const get = (path: string) =>
        new Promise<string>((resolve, reject) => {
          let body = ""
          const stream = client.request({ ":path": path })
          stream.setEncoding("utf8")
          stream.on("data", (data) => (body += String(data)))
          stream.on("end", () => resolve(body)).on("error", reject)
        })
      return { client, seen, get }
    }),
    ({ client }) => Effect.sync(() => client.destroy())
  )

const askTls = (port: number, path: string, ca: string, agent: Https.Agent) =>
  new Promise<string>((resolve, reject) => {
    Https.get({ host: "127.0.0.1", port, path, ca, agent }, (response) => {
      let body = ""
      response.on("data", (data) => (body += String(data)))
      response.on("end", () => resolve(`${body} ${response.headers.connection}`)).on("error", reject)
    }).on("error", reject)
  })

/** The global client of Node. */
const webSocket = (port: number, path = "/") =>
  Effect.acquireRelease(
    Effect.callback<{ readonly socket: WebSocket; readonly end: () => string | undefined }>((resume) => {
      let end: string | undefined
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`)
      socket.addEventListener("close", ({ code, wasClean }) => (end = `${code} ${wasClean ? "clean" : "broken"}`))
      socket.addEventListener("open", () => resume(Effect.succeed({ socket, end: () => end })))
    }),
    ({ socket }) => Effect.sync(() => socket.close())
  )

const asked = (port: number, protocol: string) =>
  Effect.tap(connect(port), ({ socket }) =>
    Effect.sync(() =>
      socket.write(`GET / HTTP/1.1\r\nhost: app\r\nconnection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`)
    )
  )

describe("HTTP/2", () => {
  it.live("a session is asked to end, its streams are answered, and it is closed", () =>
    Effect.gen(function* () {
      const app = yield* listening("http2")
      const { get, seen } = yield* session(`http://127.0.0.1:${app.port}`)
      const held = get("/held")
      yield* app.hears("held")
      yield* app.signal("SIGTERM")
      yield* until("it is asked to end", () => seen.goaway)
      assert.isFalse(seen.closed)
      yield* app.tell("release")
      assert.strictEqual(yield* Effect.promise(() => held), "late")
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("a session without streams does not hold up the end, and 50 streams are all answered", () =>
    Effect.gen(function* () {
      const app = yield* listening("http2")
      const url = `http://127.0.0.1:${app.port}`
      const [busy, idle] = [yield* session(url), yield* session(url)]
      assert.strictEqual(yield* Effect.promise(() => idle.get("/")), "ok")
      const all = Promise.all(Array.from({ length: 50 }, () => busy.get("/held")))
      yield* app.hears("held", 50)
      yield* app.signal("SIGTERM")
      yield* until("the idle session ends", () => idle.seen.closed)
      yield* app.tell("release")
      assert.deepStrictEqual(new Set(yield* Effect.promise(() => all)), new Set(["late"]))
      yield* endsClean(app, "SIGTERM")
    })
  )
})

describe.skipIf(TestCertificates.isMissing())("TLS", () => {
  const secured = Effect.fnUntraced(function* (kind: string) {
    const tls = yield* TestCertificates.make({ subject: "localhost", names: ["DNS:localhost", "IP:127.0.0.1"] })
    const app = yield* listening(kind, { tls })
    return { ...app, tls }
  })

  it.live("HTTPS: held answers are sent; an idle connection, and one in the middle of its handshake, end", () =>
    Effect.gen(function* () {
      const app = yield* secured("https")
      const agent = new Https.Agent({ keepAlive: true })
      assert.strictEqual(yield* Effect.promise(() => askTls(app.port, "/", app.tls.pem, agent)), "ok keep-alive")
      const shaking = yield* connect(app.port)
      const held = askTls(app.port, "/held", app.tls.pem, new Https.Agent({ keepAlive: true }))
      yield* app.hears("held")
      yield* app.signal("SIGTERM")
      yield* until("the connection without a handshake ends", shaking.isOver)
      yield* app.tell("release")
      assert.strictEqual(yield* Effect.promise(() => held), "late close")
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("HTTP/2 over TLS, with an HTTP/1 client beside it", () =>
    Effect.gen(function* () {
      const app = yield* secured("https2")
      const { get, seen } = yield* session(`https://127.0.0.1:${app.port}`, { ca: app.tls.pem })
      const held = get("/held")
      yield* app.hears("held", 1)
      const agent = new Https.Agent({ keepAlive: true, ALPNProtocols: ["http/1.1"] })
      const old = askTls(app.port, "/held", app.tls.pem, agent)
      yield* app.hears("held", 2)
      yield* app.signal("SIGTERM")
      yield* until("it is asked to end", () => seen.goaway)
      yield* app.tell("release")
      assert.deepStrictEqual(yield* Effect.promise(() => Promise.all([held, old])), ["late", "late close"])
      yield* endsClean(app, "SIGTERM")
    })
  )
})

describe("net", () => {
  it.live("a connection of an unknown protocol is left to the app", () =>
    Effect.gen(function* () {
      const app = yield* listening("net")
      const client = yield* connect(app.port)
      client.socket.write("hello")
      yield* app.hears("held")
      yield* app.signal("SIGTERM")
      yield* app.hears("draining")
      yield* app.tell("release")
      yield* until("the connection ends", client.isOver)
      assert.strictEqual(client.got(), "hello")
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("and destroyed when the time is over", () =>
    Effect.gen(function* () {
      const app = yield* listening("net", { options: { drain: "200 millis" } })
      yield* connect(app.port)
      yield* app.hears("connected")
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 124)
    })
  )
})

it.live("several servers are drained together", () =>
  Effect.gen(function* () {
    const app = yield* listening("http", { kind: ["http", "http", "net"] })
    const { ports } = yield* app.hears("listening")
    const [one = 0, other = 0, raw = 0] = Array.isArray(ports) ? ports.map(Number) : []
    const answers = Promise.all([one, other].map((port) => ask(port, "/held")))
    yield* app.hears("held", 2)
    const client = yield* connect(raw)
    client.socket.write("hello")
    yield* app.hears("held", 3)
    yield* app.signal("SIGTERM")
    for (const port of [one, other, raw]) yield* refuses(port)
    yield* app.tell("release")
    assert.deepStrictEqual(
      (yield* Effect.promise(() => answers)).map(({ body }) => body),
      ["late", "late"]
    )
    yield* endsClean(app, "SIGTERM")
  })
)

describe("upgraded connections", () => {
  it.live("a WebSocket is closed with 1001", () =>
    Effect.gen(function* () {
      const app = yield* listening("http")
      const clients = [yield* webSocket(app.port), yield* webSocket(app.port)]
      yield* app.hears("upgraded", 2)
      yield* app.signal("SIGTERM")
      for (const { end } of clients) yield* until("it is closed", () => end() !== undefined)
      assert.deepStrictEqual(
        clients.map(({ end }) => end()),
        ["1001 clean", "1001 clean"]
      )
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("one that does not end is destroyed when the time is over", () =>
    Effect.gen(function* () {
      const app = yield* listening("http", { options: { drain: "300 millis" } })
      yield* webSocket(app.port, "/deaf")
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 124)
      assert.deepInclude((yield* app.hears("drained"))["report"], { cut: 1 })
    })
  )

  it.live("each WebSocket is told once; nothing is written to another protocol, nor before the app has agreed", () =>
    Effect.gen(function* () {
      const app = yield* listening("http", { options: { drain: "300 millis" } })
      const [known, later] = [yield* asked(app.port, "echo"), yield* asked(app.port, "later")]
      const slow = yield* asked(app.port, "websocket")
      yield* app.hears("upgraded", 3)
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 124)
      // One frame, of four bytes.
      assert.match(slow.got(), /^HTTP\/1\.1 101 [^\0]*\r\n\r\n[^\r\n]{4}$/)
      assert.match(known.got(), /^HTTP\/1\.1 101 [^\0]*\r\n\r\n$/)
      assert.strictEqual(later.got(), "")
    })
  )

  it.live("a server that upgrades nothing takes such a request for any other", () =>
    Effect.gen(function* () {
      const app = yield* listening("http", { kind: ["http", "net"] })
      const headers = { connection: "upgrade", upgrade: "websocket" }
      assert.strictEqual((yield* Effect.promise(() => ask(app.port, "/", { headers }))).body, "ok")
      yield* app.signal("SIGTERM")
      yield* endsClean(app, "SIGTERM")
    })
  )
})
