import { PassThrough } from "node:stream"
import { stripVTControlCharacters } from "node:util"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as ControlSocket from "../src/ControlSocket.ts"
import { bar, frame } from "../src/internal/monit/frame.ts"
import * as Model from "../src/internal/monit/model.ts"
import { width } from "../src/internal/terminal/text.ts"
import { monit, MonitError, type Terminal } from "../src/monit.ts"
import * as SupervisorEvent from "../src/SupervisorEvent.ts"
import * as Support from "./controlSupport.ts"

const limit = new Map([["backend", 100 * 1_048_576]])

const statuses = [
  Support.status("backend", { restarts: 3, lastExit: new ProcessExit.Signaled({ signal: "SIGKILL", by: "unknown" }) }),
  Support.status("frontend", { memory: 30 * 1_048_576, cpu: 0, uptime: Duration.hours(50) }),
  Support.status("generator", {
    state: "Failed",
    identity: undefined,
    uptime: undefined,
    memory: undefined,
    cpu: undefined,
    lastExit: new ProcessExit.Exited({ code: 1 })
  })
]

const picture = (model: Model.Model, columns: number, rows: number): ReadonlyArray<string> =>
  frame(model, { columns, rows }).map((line) => line.map(({ text }) => text).join(""))

const model = Model.withProcesses(Model.empty("codex", limit), statuses)

/** A terminal that can be looked at and typed into. */
const terminal = (columns = 80, rows = 20) => {
  let written = ""
  let isRaw = false
  const stdout = Object.assign(new PassThrough(), { columns, rows, isTTY: true })
  stdout.on("data", (chunk) => (written += String(chunk)))
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (mode: boolean) => {
      isRaw = mode
      return stdin
    },
    ref: () => stdin,
    unref: () => stdin
  })
  return {
    streams: { stdin, stdout } as unknown as Terminal,
    type: (text: string) => void stdin.write(text),
    isRaw: () => isRaw,
    written: () => written,
    /** What it shows after the latest clearing. */
    shows: (text: string) =>
      Effect.sync(() => (stripVTControlCharacters(written.slice(-8000)).includes(text) ? true : undefined)),
    forget: () => void (written = "")
  }
}

describe("the picture", () => {
  it("has a row for each process, and the lines of the selected one", () => {
    const withLines = Model.withLogs(model, [
      Support.line("backend", "listening on 3004\nsecond"),
      Support.line("frontend", "not seen")
    ])
    const lines = picture(withLines, 80, 12)
    assert.lengthOf(lines, 12)
    assert.include(lines[0], "codex")
    assert.include(lines[0], "2 running, 1 failed")
    assert.match(lines[1] ?? "", /NAME +STATE +PID +UPTIME +↻ CPU +MEMORY +LAST EXIT/)
    assert.match(lines[2] ?? "", /^▸ backend +running +4242 +2m 5s +3 .*13 % .*50 MB +SIGKILL/)
    assert.match(lines[3] ?? "", /^ {2}frontend +running +4242 +2d 2h +0 .*0 % .*30 MB +- /)
    assert.match(lines[4] ?? "", /^ {2}generator +failed +- +- +0 .*- .*- +code 1/)
    assert.match(lines[5] ?? "", /^── backend ─+$/)
    assert.include(lines[6], "listening on 3004")
    assert.include(lines[7], "second")
    assert.include(lines[11], "r restart")
    assert.notInclude(lines.join(), "not seen")
  })

  it("shows memory against its limit, else against the largest", () => {
    const lines = picture(model, 120, 12)
    assert.include(lines[2], "50 MB / 100 MB")
    assert.match(lines[2] ?? "", /█████ +50 MB/)
    assert.notInclude(lines[3], "/")
  })

  it("keeps the latest 200 lines of each process, of both kinds", () => {
    const identity = { pid: 4242, startTime: 99, bootId: "boot" }
    const event = (sequence: number) =>
      new SupervisorEvent.Ready({ sequence, name: "backend", at: 0, monotonic: 0, identity })
    const lines = Array.from({ length: 300 }, (_, index) => Support.line("backend", String(index)))
    const full = lines.reduce((before, _, index) => Model.withEvent(before, event(index)), Model.withLogs(model, lines))
    assert.lengthOf(full.lines.get("backend") ?? [], 200)
    assert.strictEqual(full.lines.get("backend")?.at(0)?.kind, "event")
  })

  it("fits any terminal", () => {
    const wide = Model.withProcesses(model, [
      ...statuses,
      Support.status("\u6f22\u5b57".repeat(20)),
      Support.status("")
    ])
    const full = Model.withLogs(wide, [
      ...Array.from({ length: 300 }, (_, index) => Support.line("backend", String(index))),
      Support.line("backend", `${"\u{1f600}".repeat(300)} ${"x".repeat(5000)}`)
    ])
    for (const columns of [1, 2, 10, 20, 40, 79, 80, 81, 109, 110, 200, 500]) {
      for (const rows of [0, 1, 2, 4, 5, 6, 10, 24, 60]) {
        const lines = picture(full, columns, rows)
        assert.lengthOf(lines, rows)
        for (const line of lines) assert.isAtMost(width(line), columns, `${columns}x${rows}: ${line}`)
      }
    }
  })

  it("of more processes than rows is a part with the selected one", () => {
    const many = Model.withProcesses(
      model,
      Array.from({ length: 50 }, (_, index) => Support.status(`app-${index}`))
    )
    const lines = picture(Model.move(many, 30), 80, 20)
    assert.isTrue(lines.some((line) => line.startsWith("▸ app-30")))
    assert.include(lines[0], "of 50")
    assert.isTrue(picture(Model.move(many, 100), 80, 20).some((line) => line.startsWith("▸ app-49")))
  })

  it("tells the terminal nothing that a program wrote or is named", () => {
    const evil = "\u001b[2J\u001b]0;owned\u0007a\u009b31mb\u0000\r\u202e\u001b]52;c;aGk=\u001b\\c"
    const bad = Model.withProcesses(Model.empty(evil, new Map()), [Support.status(evil)])
    const withAll = Model.withEvent(
      Model.withLogs(bad, [Support.line(evil, evil)]),
      new SupervisorEvent.WaitingFor({ sequence: 1, name: evil, at: 1, monotonic: 1, probe: evil, why: evil })
    )
    const text = picture({ ...withAll, message: { text: evil, isBad: true } }, 120, 20).join("\n")
    assert.notMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u)
    assert.notInclude(text, "owned")
    assert.include(text, "abc")
  })

  it("keeps the selection where it was", () => {
    const second = Model.move(model, 1)
    assert.strictEqual(second.selected, "frontend")
    assert.strictEqual(Model.withProcesses(second, statuses.toReversed()).selected, "frontend")
    assert.strictEqual(
      Model.withProcesses(
        second,
        [statuses[0], statuses[2]].flatMap((one) => one ?? [])
      ).selected,
      "generator"
    )
    assert.strictEqual(Model.withProcesses(second, []).selected, undefined)
    assert.strictEqual(Model.move(model, -5).selected, "backend")
  })

  it("bars are as long as what they show", () => {
    assert.strictEqual(bar(0, 5), "     ")
    assert.strictEqual(bar(0.5, 4), "██  ")
    assert.strictEqual(bar(1, 5), "█████")
    assert.strictEqual(bar(7, 5), "█████")
    assert.strictEqual(bar(0.0001, 5), "▏    ")
    assert.strictEqual(bar(Number.NaN, 3), "   ")
  })

  it.prop(
    "a bar always has its width",
    [Schema.Finite, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))],
    ([share, columns]) => {
      assert.strictEqual(width(bar(share, columns)), columns)
    }
  )
})

describe("monit", () => {
  it.live("draws, follows, and does what keys say", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make({ statuses, memoryLimits: limit })
      const { forget, shows, streams, type, written } = terminal()
      const running = yield* Effect.forkChild(Effect.scoped(monit(fake.supervised, streams)))
      yield* eventually("it shows the processes", shows("generator"))
      assert.include(written(), "\u001b[?1049h")
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      fake.log(Support.line("backend", "hello from backend"))
      yield* eventually("it shows the line", shows("hello from backend"))
      type("r")
      yield* eventually("it is restarted", shows("backend: restarted"))
      forget()
      type("\u001b[B")
      yield* eventually("frontend is selected", shows("▸ frontend"))
      assert.notInclude(written(), "hello from backend")
      type("l")
      yield* eventually("it is reloaded", shows("frontend: replaced by a new one"))
      type("s")
      yield* eventually("it is stopped", shows("frontend: stopped"))
      type("\u001b[B")
      yield* eventually("generator is selected", shows("▸ generator"))
      type("s")
      yield* eventually("it is started", shows("generator: started"))
      assert.deepStrictEqual(
        fake.told.filter((one) => !one.endsWith("done")),
        ["restart backend", "reload frontend", "stop frontend", "start generator"]
      )
      fake.set([Support.status("other")])
      yield* eventually("it follows", shows("▸ other"))
      type("q")
      assert.strictEqual(yield* Fiber.join(running), "Quit")
      assert.include(written(), "\u001b[?1049l")
      assert.strictEqual(fake.readers(), 0)
    })
  )

  it.live("s starts what is at rest, and stops all else", () =>
    Effect.gen(function* () {
      const states = ["Stopped", "Ended", "Failed", "Skipped", "Blocked", "Waiting", "Starting"] as const
      const fake = yield* Support.make({ statuses: states.map((state) => Support.status(state, { state })) })
      const { shows, streams, type } = terminal()
      const running = yield* Effect.forkChild(Effect.scoped(monit(fake.supervised, streams)))
      for (const [index, state] of states.entries()) {
        yield* eventually(`${state} is selected`, shows(`▸ ${state}`))
        type("s")
        yield* eventually(`${state} is told`, shows(`${state}: ${index < 4 ? "started" : "stopped"}`))
        type("j")
      }
      // Pasted: nothing of it is a command.
      type("srl")
      fake.log(Support.line("Starting", "after it"))
      yield* eventually("it goes on", shows("after it"))
      assert.lengthOf(
        fake.told.filter((one) => one.endsWith("done")),
        states.length
      )
      // Held down.
      type("kkjjkkq")
      assert.strictEqual(yield* Fiber.join(running), "Quit")
    })
  )

  it.live("works over the socket, and ends with the supervisor", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const fake = yield* Support.make({ statuses, failReloadWith: new ProcessExit.Exited({ code: 7 }) })
      const { shows, streams, type } = terminal(100, 24)
      const running = yield* Effect.scoped(
        Effect.gen(function* () {
          const { path } = yield* ControlSocket.serve(fake.supervised, folder)
          const control = yield* ControlSocket.connect(path)
          const made = yield* Effect.forkDetach(Effect.exit(Effect.scoped(monit(control, streams))))
          yield* eventually("it shows the processes", shows("generator"))
          type("l")
          yield* eventually("it says why", shows("the new one exited with code 7"))
          return made
        })
      )
      const error = yield* Effect.flip(Effect.flatten(Fiber.join(running)))
      assert.instanceOf(error, ControlSocket.ControlSocketError)
      assert.include(error.message, "no supervisor runs")
    })
  )

  it.live("Ctrl-C ends it, and says that it did", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make({ statuses })
      const { shows, streams, type } = terminal()
      const running = yield* Effect.forkChild(Effect.scoped(monit(fake.supervised, streams)))
      yield* eventually("it shows the processes", shows("generator"))
      type("\u0003")
      assert.strictEqual(yield* Fiber.join(running), "Interrupted")
    })
  )

  it.live("draws at most four times a second while lines pour in, and knows how to give up on them", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make({ statuses })
      const { shows, streams, type, written, forget, isRaw } = terminal()
      const running = yield* Effect.forkChild(Effect.scoped(monit(fake.supervised, streams)))
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      forget()
      const began = performance.now()
      for (let index = 0; index < 50; index += 1) {
        for (let more = 0; more < 100; more += 1) fake.log(Support.line("backend", `line ${index}.${more}`))
        yield* Effect.sleep("10 millis")
      }
      const seconds = (performance.now() - began) / 1000
      const frames = written().split("NAME").length - 1
      assert.isAtMost(frames, Math.ceil(seconds * 4) + 2)
      yield* eventually("it goes on", shows("line "))
      assert.isTrue(isRaw())
      for (let more = 0; more < 100; more += 1) fake.log(Support.line("backend", "x"))
      type("q")
      yield* Fiber.join(running)
      assert.isFalse(isRaw())
      assert.strictEqual(streams.stdin.listenerCount("readable"), 0)
    })
  )

  it.live("needs a terminal", () =>
    Effect.gen(function* () {
      const fake = yield* Support.make()
      const stdout = Object.assign(new PassThrough(), { isTTY: false })
      const streams = { ...terminal().streams, stdout } as unknown as Terminal
      const error = yield* Effect.flip(Effect.scoped(monit(fake.supervised, streams)))
      assert.instanceOf(error, MonitError)
      assert.include(error.message, "status")
    })
  )
})
