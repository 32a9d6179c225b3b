import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as Notify from "../src/internal/app/notify.ts"
import { ask, endsClean, ready, run, type Running, until } from "./fixtures/app/support.ts"

const patient = { drain: "20 seconds" }
const often = { ...patient, heartbeat: "10 millis" }
const notify = (fd: number | string) => ({ NEXO_NOTIFY_FD: String(fd) })

/** It serves, and ends when asked. */
const works = Effect.fnUntraced(function* (
  app: Pick<Running, "errors" | "exit" | "hears" | "signal"> & { readonly port: number }
) {
  assert.strictEqual((yield* Effect.promise(() => ask(app.port, "/"))).body, "ok")
  yield* app.signal("SIGTERM")
  yield* endsClean(app, "SIGTERM")
})

const opened = (path: string, flags: string | number) =>
  Effect.acquireRelease(
    Effect.sync(() => Fs.openSync(path, flags)),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  )

const isOpen = (fd: number | string): boolean => {
  const environment: NodeJS.ProcessEnv = { ...notify(fd), OTHER: "1" }
  const notifier = Notify.take(environment)
  assert.deepStrictEqual(environment, { OTHER: "1" })
  return notifier.isOpen
}

describe("the descriptor", () => {
  it.live("ready is the first line, heartbeats follow, and then the end is told", () =>
    Effect.gen(function* () {
      const app = yield* run({ app: { options: often }, env: notify(3), more: ["pipe"] })
      const said = yield* app.hears("listening")
      // Its children must not speak in its name.
      assert.deepStrictEqual(said["environment"], [])
      assert.deepStrictEqual(app.told, [])
      yield* app.tell("ready")
      yield* until("heartbeats", () => app.told.length > 3)
      yield* app.signal("SIGTERM")
      yield* endsClean(app, "SIGTERM")
      yield* until("the end is told", () => app.told.includes("STOPPING=1"))
      assert.strictEqual(app.told[0], "READY=1")
      assert.deepStrictEqual(new Set(app.told.slice(1)), new Set(["WATCHDOG=1", "STOPPING=1"]))
      assert.deepStrictEqual(app.told.filter((line) => line === "STOPPING=1").length, 1)
    })
  )

  it.live("a blocked event loop sends no heartbeats", () =>
    Effect.gen(function* () {
      const app = yield* run({ app: { options: often }, env: notify(3), more: ["pipe"] })
      yield* app.tell("ready")
      yield* until("heartbeats", () => app.told.length > 3)
      yield* app.tell("block")
      yield* app.hears("blocking")
      const before = app.told.length
      yield* app.hears("unblocked")
      // It was blocked for a second, or 100 heartbeats; a few may have come late.
      assert.isBelow(app.told.length - before, 20)
      const after = app.told.length
      yield* until("heartbeats again", () => app.told.length > after + 3)
    })
  )

  it.live("a supervisor that is gone does not matter", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: often }, env: notify(3), more: ["pipe"] })
      yield* until("heartbeats", () => app.told.length > 3)
      const pipe = app.child.stdio[3]
      if (pipe instanceof Object && "destroy" in pipe) pipe.destroy()
      // Its event loop turns many times.
      for (let count = 0; count < 50; count += 1) yield* Effect.promise(() => ask(app.port, "/"))
      yield* works(app)
    })
  )

  it.live("a supervisor that does not read does not matter: what is full is not written", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "fifo")
      ChildProcess.execFileSync("mkfifo", [path])
      const full = yield* opened(path, Fs.constants.O_RDWR | Fs.constants.O_NONBLOCK)
      const page = Buffer.alloc(4096)
      const fill = Effect.try({ try: () => Fs.writeSync(full, page), catch: (error) => error })
      assert.deepInclude(yield* Effect.flip(Effect.forever(fill)), { code: "EAGAIN" })
      // A blocking one, as a supervisor gives it.
      const fd = yield* opened(path, Fs.constants.O_WRONLY)
      const app = yield* ready({ app: { options: often }, env: notify(3), more: [fd] })
      yield* works(app)
    })
  )

  it.live("a FIFO is written to as well", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "fifo")
      ChildProcess.execFileSync("mkfifo", [path])
      const reader = yield* opened(path, Fs.constants.O_RDWR | Fs.constants.O_NONBLOCK)
      const fd = yield* opened(path, Fs.constants.O_WRONLY)
      const app = yield* ready({ app: { options: patient }, env: notify(3), more: [fd] })
      const page = Buffer.alloc(100)
      assert.strictEqual(page.toString("utf8", 0, Fs.readSync(reader, page)), "READY=1\n")
      yield* works(app)
    })
  )

  it.live("a file is not written to", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "precious")
      Fs.writeFileSync(path, "precious")
      const fd = yield* opened(path, "r+")
      const app = yield* ready({ app: { options: often }, env: notify(3), more: [fd] })
      yield* works(app)
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "precious")
    })
  )

  // Without the descriptor Node has pipes of its own under these numbers.
  for (const value of [5, 13]) {
    it.live(`one of Node itself, ${value}, is not written to`, () =>
      Effect.gen(function* () {
        yield* works(yield* ready({ app: { options: often }, env: notify(value) }))
      })
    )
  }

  it("neither is any other that this process has both ends of", () => {
    const links = Fs.readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [{ fd, link: Fs.readlinkSync(`/proc/self/fd/${fd}`) }]
      } catch {
        return []
      }
    })
    const own = links.filter(({ fd, link }) => Number(fd) > 2 && links.filter((one) => one.link === link).length > 1)
    assert.isAbove(own.length, 2)
    for (const { fd } of own) assert.isFalse(isOpen(fd), fd)
  })

  it.live("nor a connection of a network", () =>
    Effect.gen(function* () {
      const server = Net.createServer()
      yield* Effect.addFinalizer(() => Effect.sync(() => void server.close()))
      yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
      const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
      assert.isAbove(handle.fd, 2)
      assert.isFalse(isOpen(handle.fd))
    })
  )

  for (const value of ["", "1", "-3", "three", "3 ", "0x3", "9999", "99999999999"]) {
    it(`"${value}" is nobody's`, () => assert.isFalse(isOpen(value)))
  }
})

describe("the IPC channel", () => {
  it.live("is told once that the app is ready, and PM2's message begins the drain", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: patient }, more: ["ipc"] })
      yield* app.tell("ready")
      yield* until("a message", () => app.messages.length > 0)
      app.child.send({ type: "shutdown" })
      app.child.send("shutdown")
      yield* endsClean(app, "Message")
      assert.deepStrictEqual(app.messages, ["ready"])
    })
  )

  it.live("its end is none of the app unless it was told so", () =>
    Effect.gen(function* () {
      const app = yield* run({ app: { options: patient }, more: ["ipc"] })
      const port = yield* app.port
      app.child.disconnect()
      yield* app.tell("ready")
      yield* until("it is disconnected", () => !app.child.connected)
      yield* works({ ...app, port })
    })
  )

  it.live("its end is the app's, if it was told so", () =>
    Effect.gen(function* () {
      const app = yield* ready({ app: { options: { ...patient, stopOnDisconnect: true } }, more: ["ipc"] })
      app.child.disconnect()
      yield* endsClean(app, "Disconnect")
    })
  )
})

describe("a program without servers", () => {
  it.live("ends by itself, whoever listens to it", () =>
    Effect.gen(function* () {
      const app = yield* run({ fixture: "worker.mjs", env: notify(3), more: ["pipe", "ipc"] })
      assert.strictEqual(yield* app.exit, 0)
      yield* until("it was ready", () => app.told.length > 0 && app.messages.length > 0)
      assert.strictEqual(app.told[0], "READY=1")
    })
  )

  it.live("needs no supervisor", () =>
    Effect.gen(function* () {
      const app = yield* run({ fixture: "worker.mjs" })
      assert.strictEqual(yield* app.exit, 0)
      assert.strictEqual(app.errors(), "")
    })
  )
})
