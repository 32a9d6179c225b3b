import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as ControlSocket from "../src/ControlSocket.ts"
import * as Support from "./controlSupport.ts"

const setup = Effect.fnUntraced(function* (options: Support.FakeOptions = {}) {
  const folder = yield* TestFolder.make
  const fake = yield* Support.make(options)
  const { path } = yield* ControlSocket.serve(fake.supervised, folder)
  return { folder, fake, path, control: yield* ControlSocket.connect(path) }
})

const refused = (serving: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.map(Effect.flip(serving), (error) => {
    assert.instanceOf(error, ControlSocket.ControlSocketError)
    return error
  })

const place = (path: string) => ({
  "not a socket": () => Fs.writeFileSync(path, "mine"),
  "a folder": () => Fs.mkdirSync(path),
  "a symbolic link": () => Fs.symlinkSync("/nowhere", path)
})

describe("the socket", () => {
  it.live("is this user's alone, in a folder that is made for it, and gone at the end", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* TestFolder.make, "state")
      const fake = yield* Support.make()
      const scope = yield* Scope.make()
      const { path } = yield* Scope.provide(ControlSocket.serve(fake.supervised, folder), scope)
      assert.strictEqual(path, Path.join(folder, "codex.sock"))
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
      assert.strictEqual(Fs.statSync(folder).mode & 0o777, 0o700)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    })
  )

  it.live("closes while somebody reads: the reader's stream ends", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const fake = yield* Support.make()
      const scope = yield* Scope.make()
      const { path } = yield* Scope.provide(ControlSocket.serve(fake.supervised, folder), scope)
      const control = yield* ControlSocket.connect(path)
      const reading = yield* Effect.forkChild(Stream.runDrain(control.logs()))
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(reading)
      assert.strictEqual((yield* Effect.flip(control.list)).reason._tag, "NotRunning")
    })
  )

  it.live("takes no more connections than it has file descriptors to spare for", () =>
    Effect.gen(function* () {
      const { control, path } = yield* setup()
      const sockets = yield* Effect.acquireRelease(
        Effect.sync(() => Array.from({ length: 80 }, () => Net.connect({ path }).on("error", () => {}))),
        (all) => Effect.sync(() => all.forEach((socket) => socket.destroy()))
      )
      const closed = new Set<Net.Socket>()
      for (const socket of sockets) socket.on("close", () => closed.add(socket)).resume()
      yield* eventually(
        "the others are turned away",
        Effect.sync(() => (closed.size >= 16 ? true : undefined))
      )
      assert.strictEqual(closed.size, 16)
      for (const socket of sockets) socket.destroy()
      yield* eventually(
        "it answers",
        Effect.orElseSucceed(control.list, () => undefined)
      )
    })
  )

  it.live("of a supervisor that was killed is replaced", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const path = ControlSocket.pathOf(folder, "codex")
      const code = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`
      yield* Effect.scoped(
        Effect.andThen(
          TestProcess.start(process.execPath, "-e", code),
          eventually(
            "it listens",
            Effect.sync(() => (Fs.existsSync(path) ? true : undefined))
          )
        )
      )
      assert.isTrue(Fs.lstatSync(path).isSocket())
      assert.strictEqual((yield* Effect.flip(ControlSocket.connect(path))).reason._tag, "NotRunning")
      const fake = yield* Support.make()
      yield* ControlSocket.serve(fake.supervised, folder)
      assert.lengthOf(yield* (yield* ControlSocket.connect(path)).list, 2)
    })
  )

  it.live("of one that lives is left alone, also by a program that takes no lock", () =>
    Effect.gen(function* () {
      const { control, fake, folder, path } = yield* setup()
      const again = yield* refused(ControlSocket.serve(fake.supervised, folder))
      assert.strictEqual(again.reason._tag, "Taken")
      assert.include(again.message, String(process.pid))
      assert.lengthOf(yield* control.list, 2)

      const other = yield* TestFolder.make
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const made = Net.createServer().listen(ControlSocket.pathOf(other, "codex"), () =>
            resume(Effect.succeed(made))
          )
        }),
        (made) => Effect.sync(() => made.close())
      )
      assert.strictEqual((yield* refused(ControlSocket.serve(fake.supervised, other))).reason._tag, "Taken")
      assert.isTrue(server.listening)
      assert.isTrue(Fs.existsSync(path))
    })
  )

  it.live("does not take the place of anything else", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make()
      for (const what of ["not a socket", "a folder", "a symbolic link"] as const) {
        const folder = yield* TestFolder.make
        const path = ControlSocket.pathOf(folder, "codex")
        place(path)[what]()
        const error = yield* Effect.scoped(refused(ControlSocket.serve(fake.supervised, folder)))
        assert.deepStrictEqual(error.reason, new ControlSocket.Foreign({ what }))
        assert.deepStrictEqual(Fs.readdirSync(folder), ["codex.sock"])
      }
    })
  )

  it.live("needs a path and a folder that will do", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make()
      const folder = yield* TestFolder.make
      const serve = (at: string) => refused(ControlSocket.serve(fake.supervised, at))
      const long = yield* serve(Path.join(folder, "x".repeat(100)))
      assert.strictEqual(long.reason._tag, "PathTooLong")
      assert.include(long.message, "107")
      const open = Path.join(folder, "open")
      Fs.mkdirSync(open)
      Fs.chmodSync(open, 0o777)
      assert.include((yield* serve(open)).message, "chmod 700")
      Fs.writeFileSync(Path.join(folder, "file"), "")
      assert.include((yield* serve(Path.join(folder, "file"))).message, "not a folder")
      assert.include((yield* serve(Path.join(folder, "no", "such"))).message, "ENOENT")
    })
  )

  it.live("is found by its folder, and those that were left behind are not", () =>
    Effect.gen(function* () {
      const { folder } = yield* setup()
      const second = yield* Support.make({ id: "another" })
      yield* ControlSocket.serve(second.supervised, folder)
      Fs.writeFileSync(Path.join(folder, "left.sock"), "")
      const { mute, running } = yield* ControlSocket.find(folder)
      assert.deepStrictEqual(
        running.map(({ id }) => id),
        ["another", "codex"]
      )
      assert.deepStrictEqual(mute, [])
      assert.deepStrictEqual((yield* ControlSocket.find(Path.join(folder, "none"))).running, [])
    })
  )

  it.effect("whose supervisor is stopped by a signal says so in time", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const path = ControlSocket.pathOf(folder, "codex")
      const code = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`
      const { pid } = yield* TestProcess.start(process.execPath, "-e", code)
      yield* TestClock.withLive(
        eventually(
          "it listens",
          Effect.sync(() => (Fs.existsSync(path) ? true : undefined))
        )
      )
      process.kill(pid, "SIGSTOP")
      const asking = yield* Effect.forkChild(Effect.flip(ControlSocket.connect(path)))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(asking)
      assert.strictEqual(error.reason._tag, "Unresponsive")
    })
  )

  it.live("that answers something else is not believed", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const path = ControlSocket.pathOf(folder, "codex")
      let text = "{}"
      yield* Effect.acquireRelease(
        Effect.callback<Http.Server>((resume) => {
          const server = Http.createServer((_, response) => void response.end(text))
          server.listen(path, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const why = Effect.map(Effect.flip(ControlSocket.connect(path)), (error) => {
        assert.strictEqual(error.reason._tag, "BadAnswer")
        return error.message
      })
      yield* why
      text = "<html>"
      yield* why
      text = JSON.stringify({ version: 2, id: "codex", pid: 1, memoryLimits: [] })
      assert.include(yield* why, "version 2")
    })
  )

  it("can be asked with curl", { skip: ChildProcess.spawnSync("curl", ["--version"]).status !== 0 }, () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const { path } = yield* setup()
          const said = yield* Effect.callback<string>((resume) => {
            ChildProcess.execFile("curl", ["-s", "--unix-socket", path, "http://control/processes"], (_, stdout) =>
              resume(Effect.succeed(stdout))
            )
          })
          assert.strictEqual(JSON.parse(said)[0].name, "backend")
        })
      )
    )
  )
})
