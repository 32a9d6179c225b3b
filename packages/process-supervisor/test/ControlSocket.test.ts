import * as Http from "node:http"
import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Redaction from "@nexobot/core/Redaction"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import { connectSupervisor } from "../src/client.ts"
import * as ControlSocket from "../src/ControlSocket.ts"
import * as SupervisorEvent from "../src/SupervisorEvent.ts"
import * as Support from "./controlSupport.ts"

const setup = Effect.fnUntraced(function* (options: Support.FakeOptions = {}) {
  const folder = yield* TestFolder.make
  const fake = yield* Support.make(options)
  const { path } = yield* ControlSocket.serve(fake.supervised, folder)
  return { folder, fake, path, control: yield* ControlSocket.connect(path) }
})

const ready = (sequence: number) =>
  new SupervisorEvent.Ready({
    sequence,
    name: "backend",
    at: 1_700_000_000_000,
    monotonic: 5,
    identity: { pid: 1, startTime: 2, bootId: "boot" }
  })

/** Asks as any program would. */
const raw = (path: string, method: string, target: string, body?: string) =>
  Effect.callback<{ readonly status: number; readonly text: string }>((resume) => {
    const request = Http.request({ socketPath: path, method, path: target, agent: false }, (response) => {
      let text = ""
      response.on("data", (chunk) => (text += String(chunk)))
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, text })))
    })
    request.on("error", (cause) => resume(Effect.die(cause)))
    request.end(body)
  })

describe("ControlSocket", () => {
  it.live("says what the supervisor says, with all its types", () =>
    Effect.gen(function* () {
      const statuses = [
        Support.status("backend", { lastExit: new ProcessExit.Signaled({ signal: "SIGKILL", by: "unknown" }) }),
        Support.status("generator", { state: "Failed", identity: undefined, uptime: undefined, cpu: undefined })
      ]
      const { control } = yield* setup({ statuses, memoryLimits: new Map([["token service", 1024]]) })
      assert.deepStrictEqual(yield* control.list, statuses)
      assert.strictEqual(control.id, "codex")
      assert.strictEqual(control.pid, process.pid)
      assert.deepStrictEqual(control.memoryLimits, new Map([["token service", 1024]]))
    })
  )

  it.live("tells it what to do, by any name", () =>
    Effect.gen(function* () {
      const name = "a/b ?#%\u00e9"
      const { control, fake } = yield* setup({ statuses: [Support.status(name)] })
      yield* control.start(name)
      yield* control.restart(name)
      yield* control.reload(name)
      yield* control.signal(name, "SIGHUP")
      const receipt = yield* control.stop(name)
      assert.deepStrictEqual(
        fake.told.filter((one) => !one.endsWith("done")),
        [`start ${name}`, `restart ${name}`, `reload ${name}`, `signal SIGHUP ${name}`, `stop ${name}`]
      )
      assert.strictEqual(receipt.signalled[0]?.pid, 4242)
    })
  )

  it.live("its errors arrive as they are", () =>
    Effect.gen(function* () {
      const exit = new ProcessExit.ReadinessTimeout({ after: Duration.seconds(3) })
      const { control } = yield* setup({ failReloadWith: exit })
      const unknown = yield* Effect.flip(control.restart("backen"))
      assert.instanceOf(unknown, ProcessControl.ProcessControlError)
      assert.strictEqual(unknown.message, 'no process named "backen"; known are backend, frontend')
      const failed = yield* Effect.flip(control.reload("backend"))
      assert.deepStrictEqual(
        failed,
        new ProcessControl.ProcessControlError({
          process: "backend",
          reason: new ProcessControl.ReloadFailed({ exit })
        })
      )
      const noLogs = yield* Effect.flip(Stream.runDrain(control.logs("nobody")))
      assert.strictEqual(noLogs.message, 'no process named "nobody"; known are backend, frontend')
    })
  )

  it.live("events and log lines come as they happen, until they are not read any more", () =>
    Effect.gen(function* () {
      const { control, fake } = yield* setup()
      fake.emit(ready(1))
      fake.emit(ready(2))
      const events = yield* control.events.pipe(Stream.take(2), Stream.runCollect)
      assert.deepStrictEqual([...events], [ready(1), ready(2)])
      const reading = yield* control.logs("backend").pipe(Stream.take(2), Stream.runCollect, Effect.forkChild)
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      const text = "caf\u00e9 \u2028 \r \ud83d\ude00 {}"
      for (const one of [Support.line("frontend", "x"), Support.line("backend", text), Support.line("backend", "")]) {
        fake.log(one)
      }
      assert.deepStrictEqual(
        [...(yield* Fiber.join(reading))],
        [Support.line("backend", text), Support.line("backend", "")]
      )
      yield* eventually(
        "nobody reads",
        Effect.sync(() => (fake.readers() === 0 ? true : undefined))
      )
    })
  )

  it.live("a reader that is slow loses the oldest and is told how many; the others lose nothing", () =>
    Effect.gen(function* () {
      const { control, fake, path } = yield* setup()
      const count = 6000
      const text = "x".repeat(1000)
      const gate = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const slow = yield* control.logs().pipe(
        Stream.mapEffect((one) => Effect.as(Deferred.await(gate), one)),
        Stream.takeUntil((one) => one.text === "last"),
        Stream.runForEach((one) => Effect.sync(() => seen.push(one.text))),
        Effect.forkChild
      )
      let quick = 0
      yield* Effect.forkScoped(
        Effect.flatMap(ControlSocket.connect(path), (other) =>
          Stream.runForEach(other.logs(), () => Effect.sync(() => (quick += 1)))
        )
      )
      yield* eventually(
        "both read",
        Effect.sync(() => (fake.readers() === 2 ? true : undefined))
      )
      for (let sent = 0; sent < count; sent += 200) {
        for (let more = 0; more < 200; more += 1) fake.log(Support.line("backend", text))
        yield* eventually(
          "the quick one has all",
          Effect.sync(() => (quick === sent + 200 ? true : undefined))
        )
      }
      fake.log(Support.line("backend", "last"))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(slow)
      assert.isAbove(control.lost(), 0)
      assert.strictEqual(seen.length + control.lost(), count + 1)
    })
  )

  it.live("an action goes on when who asked for it hangs up", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { control, fake } = yield* setup({ onAction: Deferred.await(gate) })
      const asking = yield* Effect.forkChild(control.restart("backend"))
      yield* eventually(
        "it is told",
        Effect.sync(() => (fake.told.length === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(asking)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(
        "it is done",
        Effect.sync(() => (fake.told.includes("restart backend done") ? true : undefined))
      )
    })
  )

  it.live("no answer has a secret", () =>
    Effect.gen(function* () {
      const redactor = Redaction.make(["hunter2-secret"])
      const lastExit = new ProcessExit.LivenessFailed({ why: "asked with hunter2-secret" })
      const { control, path } = yield* Effect.provideService(
        setup({ statuses: [Support.status("backend", { lastExit })] }),
        Redaction.Redactor,
        redactor
      )
      const [one] = yield* control.list
      assert.deepStrictEqual(one?.lastExit, new ProcessExit.LivenessFailed({ why: `asked with ${Redaction.mask}` }))
      const { text } = yield* raw(path, "POST", "/processes/hunter2-secret/stop")
      assert.notInclude(text, "hunter2")
    })
  )
})

describe("connectSupervisor", () => {
  it.live("is the same with promises", () =>
    Effect.gen(function* () {
      const { fake, path } = yield* setup()
      yield* Effect.promise(async () => {
        const control = await connectSupervisor(path)
        assert.strictEqual(control.id, "codex")
        assert.lengthOf(await control.list(), 2)
        await control.restart("backend")
        assert.strictEqual((await control.stop("backend")).survivors.length, 0)
        const unknown: unknown = await control.start("nobody").catch((error: unknown) => error)
        assert.instanceOf(unknown, ProcessControl.ProcessControlError)
        fake.emit(ready(1))
        for await (const event of control.events()) {
          assert.deepStrictEqual(event, ready(1))
          break
        }
        const none: unknown = await connectSupervisor(`${path}.none`).catch((error: unknown) => error)
        assert.instanceOf(none, ControlSocket.ControlSocketError)
      })
    })
  )
})

describe("what is asked", () => {
  it.live("is refused when it makes no sense, and says why", () =>
    Effect.gen(function* () {
      const { fake, path } = yield* setup()
      const cases = [
        ["GET", "/", 404],
        ["GET", "/process", 404],
        ["GET", "/processes/backend", 404],
        ["GET", "/processes/backend/stop", 405],
        ["POST", "/processes", 405],
        ["DELETE", "/processes/backend/stop", 405],
        ["POST", "/processes/backend/kill", 404],
        ["POST", "/processes/backend/stop/now", 404],
        ["POST", "/processes/%zz/stop", 400],
        ["POST", "/processes//stop", 404],
        ["POST", "/processes/nobody/stop", 404],
        ["GET", "//", 400]
      ] as const
      for (const [method, target, expected] of cases) {
        const { status, text } = yield* raw(path, method, target)
        assert.strictEqual(status, expected, `${method} ${target}: ${text}`)
        assert.isString(JSON.parse(text).message)
      }
      const { text } = yield* raw(path, "GET", "/logs?process=nobody")
      assert.strictEqual(JSON.parse(text).failure.message, 'no process named "nobody"; known are backend, frontend')
      for (const body of [undefined, "", "[]", "{", '{"signal":9}', '{"signal":"SIGNONE"}', '{"signal":"kill"}']) {
        assert.strictEqual((yield* raw(path, "POST", "/processes/backend/signal", body)).status, 400, body)
      }
      assert.strictEqual((yield* raw(path, "POST", "/processes/backend/signal", "x".repeat(1e6))).status, 413)
      assert.deepStrictEqual(fake.told, [])
    })
  )

  it.live("may be no HTTP at all, and the next is answered", () =>
    Effect.gen(function* () {
      const { control, path } = yield* setup()
      const said = yield* Effect.callback<string>((resume) => {
        let text = ""
        const socket = Net.connect({ path }, () => socket.write("\u0000\u0016\u0003 no HTTP\r\n\r\n"))
        socket.on("data", (chunk) => (text += String(chunk)))
        socket.on("close", () => resume(Effect.succeed(text)))
        socket.on("error", () => {})
      })
      assert.include(said, "400 Bad Request")
      assert.lengthOf(yield* control.list, 2)
    })
  )
})
