import * as Http from "node:http"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { eventually } from "../../testing/src/Expect.ts"
import { ask, clean, connect, endsClean, ready, refuses, run, type Running, until } from "./fixtures/app/support.ts"

const patient = { drain: "20 seconds" }

const reportOf = (running: Pick<Running, "hears">) => Effect.map(running.hears("drained"), ({ report }) => report)

const status = (port: number, path: string) => Effect.promise(() => ask(port, path).then((answer) => answer.status))

describe("readiness and liveness", () => {
  it.live("503 until it is ready, 200 then, 503 from the signal on; alive all the time", () =>
    Effect.gen(function* () {
      const app = yield* run({ app: { options: { ...patient, readinessDelay: "10 seconds" } } })
      const port = yield* app.port
      assert.deepStrictEqual(yield* Effect.promise(() => ask(port, "/readyz")), {
        status: 503,
        body: "starting",
        connection: "close"
      })
      assert.strictEqual(yield* status(port, "/healthz?verbose"), 200)
      yield* app.tell("ready")
      yield* eventually(
        "it is ready",
        Effect.map(status(port, "/readyz"), (code) => (code === 200 ? true : undefined))
      )
      yield* app.signal("SIGTERM")
      yield* app.hears("draining")
      // The delay is for balancers: whoever comes all the same is served.
      const answers = yield* Effect.promise(() =>
        Promise.all(["/readyz", "/healthz", "/"].map((one) => ask(port, one)))
      )
      assert.deepStrictEqual(
        answers.map((answer) => [answer.status, answer.body]),
        [
          [503, "draining"],
          [200, "draining"],
          [200, "ok"]
        ]
      )
    })
  )
})

const isOver = (connection: { readonly isOver: () => boolean }) => until("the connection ends", connection.isOver)

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: app\r\n\r\n`

describe("requests under way", () => {
  it.live("100 keep-alive connections with held answers: each is answered, and told that the connection ends", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient } })
      const agent = new Http.Agent({ keepAlive: true, maxSockets: 200 })
      const all = (path: string) => Promise.all(Array.from({ length: 100 }, () => ask(app.port, path, { agent })))
      const first = yield* Effect.promise(() => all("/"))
      assert.isTrue(first.every(({ connection }) => connection === "keep-alive"))
      const answers = all("/held")
      yield* app.hears("held", 100)
      yield* app.signal("SIGTERM")
      yield* app.hears("draining")
      yield* refuses(app.port)
      yield* app.tell("release")
      const got = yield* Effect.promise(() => answers)
      assert.isTrue(got.every(({ body, connection }) => body === "late" && connection === "close"))
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live(
    "an answer whose head was sent before is sent to its end, the connection closed, and only then the pool",
    () =>
      Effect.gen(function* () {
        const app = yield* ready({ app: { options: { drain: "4 seconds", idle: "10 millis" }, pools: ["ok"] } })
        const agent = new Http.Agent({ keepAlive: true })
        const idle = yield* connect(app.port)
        const answer = ask(app.port, "/stream", { agent })
        yield* app.hears("held")
        yield* app.signal("SIGINT")
        yield* refuses(app.port)
        // So late that nobody looks for idle ones again, and before Node would close it, after 5 seconds.
        yield* isOver(idle)
        // Its answer may need the pool.
        assert.isUndefined(app.said.find(({ event }) => event === "closing"))
        yield* app.tell("release")
        assert.deepStrictEqual(yield* Effect.promise(() => answer), {
          status: 200,
          body: "first,last",
          connection: "keep-alive"
        })
        yield* endsClean(app, "SIGINT")
      })
  )

  it.live("uploads arrive whole", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient } })
      const agent = new Http.Agent({ keepAlive: true })
      const half = "x".repeat(100_000)
      const uploads = Array.from({ length: 20 }, () => {
        const request = Http.request({ host: "127.0.0.1", port: app.port, path: "/upload", method: "POST", agent })
        const answer = new Promise<string>((resolve, reject) => {
          request.on("error", reject).on("response", (response) => {
            let body = ""
            response.on("data", (data) => (body += String(data))).on("end", () => resolve(body))
          })
        })
        request.write(half)
        return { request, answer }
      })
      yield* app.hears("uploading", 20)
      yield* app.signal("SIGTERM")
      yield* refuses(app.port)
      for (const { request } of uploads) request.end(half)
      const sizes = yield* Effect.promise(() => Promise.all(uploads.map(({ answer }) => answer)))
      assert.deepStrictEqual(new Set(sizes), new Set(["200000"]))
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("pipelined requests are all answered: only the last answer says that the connection ends", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient } })
      const client = yield* connect(app.port)
      client.socket.write(get("/held") + get("/held"))
      yield* app.hears("held", 2)
      yield* app.signal("SIGTERM")
      yield* refuses(app.port)
      client.socket.write(get("/held"))
      yield* app.hears("held", 3)
      yield* app.tell("release")
      yield* isOver(client)
      const answers = client.got().split("HTTP/1.1 200 OK").slice(1)
      assert.deepStrictEqual(
        answers.map((answer) => /^connection: close\r$/im.test(answer)),
        [false, false, true]
      )
      yield* endsClean(app, "SIGTERM")
    })
  )
})

describe("connections without a request", () => {
  it.live("do not hold up the end: neither one that never had a request, nor one that waits for the next", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient } })
      const fresh = yield* connect(app.port)
      const used = yield* connect(app.port)
      used.socket.write(get("/"))
      yield* until("an answer", () => used.got().endsWith("ok"))
      yield* app.signal("SIGTERM")
      yield* isOver(fresh)
      yield* isOver(used)
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("a request that was on its way is answered", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: { ...patient, idle: "10 seconds" } } })
      const client = yield* connect(app.port)
      yield* app.signal("SIGTERM")
      yield* refuses(app.port)
      client.socket.write(get("/"))
      yield* isOver(client)
      assert.match(client.got(), /^connection: close\r$/im)
      assert.match(client.got(), /ok$/)
      yield* endsClean(app, "SIGTERM")
    })
  )

  it.live("half a request counts as one", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient } })
      const slow = yield* connect(app.port)
      slow.socket.write(get("/").slice(0, 20))
      // When this one is answered, the other's first bytes have been read.
      yield* Effect.promise(() => ask(app.port, "/"))
      const idle = yield* connect(app.port)
      yield* app.signal("SIGTERM")
      yield* isOver(idle)
      slow.socket.write(get("/").slice(20))
      yield* isOver(slow)
      assert.match(slow.got(), /ok$/)
      yield* endsClean(app, "SIGTERM")
    })
  )
})

describe("the end", () => {
  it.live("what is not done in time is cut off: 124", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: { drain: "200 millis" }, pools: ["ok"] } })
      const answer = ask(app.port, "/held").then(
        () => "answered",
        () => "cut off"
      )
      yield* app.hears("held")
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* Effect.promise(() => answer), "cut off")
      assert.strictEqual(yield* app.exit, 124)
      assert.deepStrictEqual(yield* reportOf(app), { reason: "SIGTERM", cut: 1, notClosed: [], exitCode: 124 })
      assert.strictEqual(app.errors(), "supervised: 1 connections were cut off\n")
      assert.strictEqual(app.said.filter(({ event }) => event === "closing").length, 1)
    })
  )

  it.live("a second signal ends it at once", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: { ...patient, readinessDelay: "20 seconds" }, pools: ["ok"] } })
      yield* app.signal("SIGTERM")
      yield* app.hears("draining")
      yield* app.signal("SIGINT")
      assert.strictEqual(yield* app.exit, 130)
      assert.isUndefined(app.said.find(({ event }) => event === "closing"))
    })
  )

  it.live("asked again and again, in whatever way, it drains once and closes once", () =>
    Effect.gen(function* () {
      const app = yield* ready({
        app: { options: { ...patient, exit: false, idle: "500 millis" }, pools: ["ok", "ok"] },
        more: ["ipc"]
      })
      yield* connect(app.port)
      yield* app.tell("drain")
      yield* app.hears("draining")
      yield* app.tell("drain")
      yield* app.signal("SIGTERM")
      app.child.send("shutdown")
      yield* app.tell("drain")
      const { report } = yield* app.hears("returned", 3)
      assert.deepStrictEqual(report, clean("Call"))
      assert.deepStrictEqual(
        app.said.filter(({ event }) => event === "closing").map(({ index }) => index),
        [0, 1]
      )
    })
  )

  it.live("a drain before it is ready works too, and a late `ready` does not undo it", () =>
    Effect.gen(function* () {
      const app = yield* run({ app: { options: { ...patient, readinessDelay: "500 millis" } } })
      const port = yield* app.port
      yield* app.signal("SIGTERM")
      yield* app.hears("draining")
      yield* app.tell("ready")
      assert.strictEqual((yield* Effect.promise(() => ask(port, "/readyz"))).body, "draining")
      yield* endsClean(app, "SIGTERM")
    })
  )
})

describe("pools", () => {
  it.live("are closed in order, each once and within its bound, whatever becomes of the others", () =>
    Effect.gen(function* () {
      const app = yield* ready({
        app: { options: { ...patient, closeTimeout: "200 millis" }, pools: ["ok", "hang", "fail", "ok"] }
      })
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 124)
      assert.deepStrictEqual(
        app.said.filter(({ event }) => event === "closing").map(({ index }) => index),
        [0, 1, 2, 3]
      )
      // The error had a password in it.
      assert.strictEqual(app.errors(), "supervised: close[1] did not close in time; close[2] failed to close\n")
    })
  )

  it.live("one that fails makes the exit code 1", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient, pools: ["fail"] } })
      yield* app.signal("SIGTERM")
      assert.strictEqual(yield* app.exit, 1)
    })
  )
})

describe("an uncaught exception", () => {
  for (const when of ["while it works", "while it drains"]) {
    it.live(`${when} ends the app as any other`, () =>
      Effect.gen(function* () {
        const app = yield* ready({ app: { options: { ...patient, readinessDelay: "20 seconds" }, pools: ["ok"] } })
        if (when === "while it drains") {
          yield* app.signal("SIGTERM")
          yield* app.hears("draining")
        }
        yield* app.tell("throw")
        assert.strictEqual(yield* app.exit, 1)
        assert.match(app.errors(), /a bug of the app/)
        assert.isUndefined(app.said.find(({ event }) => event === "drained"))
      })
    )
  }
})
