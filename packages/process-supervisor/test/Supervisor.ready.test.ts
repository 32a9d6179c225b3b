import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type * as ProcessSpec from "../src/ProcessSpec.ts"
import {
  agrees,
  carriers,
  eventually,
  eventsUntil,
  inline,
  reaches,
  supervise,
  temporaryFolder,
  textOf
} from "./support.ts"

type Ready = "spawned" | "notify" | "message" | RegExp

const never = Probe.make({ name: "never", reports: [], check: Effect.succeed(Verdict.inconclusive("never")) })

const idle = "setInterval(() => {}, 1e6)"

const descriptors = () => Fs.readdirSync("/proc/self/fd").length

/** For programs: says something, goes on when the test has made the file `gate`. */
const gated = (folder: string, first: string, second: string) => `
  const Fs = require("node:fs")
  ${first}
  Fs.writeFileSync("${folder}/said", "first")
  const timer = setInterval(() => {
    if (!Fs.existsSync("${folder}/gate")) return
    clearInterval(timer)
    ${second}
  }, 10)
  ${idle}`

/** It is not ready by the first thing that it does, and by the second it is. */
const becomesReady = Effect.fnUntraced(function* (ready: Ready, first: string, second: string) {
  const folder = yield* temporaryFolder
  const spec = inline("a", gated(folder, first, second), { ready, startGrace: "1 minute" })
  const supervisor = yield* supervise([spec], { autoStart: false })
  yield* supervisor.start("a")
  yield* textOf(Path.join(folder, "said"))
  // Whatever it said is read by now, or with what follows.
  yield* Effect.sleep("50 millis")
  assert.strictEqual((yield* supervisor.status("a")).state, "Starting")
  Fs.writeFileSync(Path.join(folder, "gate"), "")
  yield* reaches(supervisor, "a", "Running")
  yield* agrees(supervisor)
  yield* supervisor.stop("a")
  const events = yield* eventsUntil(supervisor, (event) => event._tag === "Stopped")
  assert.lengthOf(
    events.filter((event) => event._tag === "Ready"),
    1
  )
  yield* agrees(supervisor)
})

describe("ready", () => {
  it.live("notify: by the end of the first line on the descriptor; another one changes nothing", () =>
    becomesReady("notify", `Fs.writeSync(3, "rea")`, `Fs.writeSync(3, "dy\\n"); Fs.writeSync(3, "READY=1\\nready\\n")`)
  )

  it.live("message: by that word alone; another one changes nothing", () =>
    becomesReady(
      "message",
      `process.send("hello"); process.send({ ready: true }); process.send(null)`,
      `process.send("ready"); process.send("ready")`
    )
  )

  it.live("a line of stdout that comes in pieces, also for a pattern that remembers where it was", () =>
    becomesReady(
      /^listening on \d+ 🦞$/g,
      `Fs.writeSync(1, "not listening on 1 🦞\\nlistening on "); Fs.writeSync(2, "80 🦞\\n")`,
      `Fs.writeSync(1, Buffer.from("80 🦞").subarray(0, 4)); setTimeout(() => Fs.writeSync(1, Buffer.concat([Buffer.from("80 🦞").subarray(4), Buffer.from("\\nlistening on 80 🦞\\n")])), 50)`
    )
  )

  it.live("a line of stderr", () =>
    becomesReady(/ready/, `Fs.writeSync(2, "rea\\ndy\\nnot read")`, `Fs.writeSync(2, "y\\n")`)
  )

  it.live("only who is to use the descriptor is told of it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const program = (name: string) => `
        const Fs = require("node:fs")
        const has = (fd) => { try { return Fs.fstatSync(fd).isSocket() || Fs.fstatSync(fd).isFIFO() } catch { return false } }
        const { NEXO_NOTIFY_FD } = process.env
        Fs.writeFileSync("${folder}/${name}.part", JSON.stringify({ fd: NEXO_NOTIFY_FD, isOpen: has(Number(NEXO_NOTIFY_FD)) }))
        Fs.renameSync("${folder}/${name}.part", "${folder}/${name}")
        ${idle}`
      const heartbeat = { heartbeat: "1 hour" } as const
      const cases: Record<string, readonly [Partial<ProcessSpec.SpecOptions>, boolean]> = {
        spawned: [{}, false],
        message: [{ ready: "message" }, false],
        line: [{ ready: /x/ }, false],
        notify: [{ ready: "notify" }, true],
        heartbeat: [{ liveness: heartbeat }, true],
        both: [{ ready: "message", liveness: heartbeat }, true]
      }
      const specs = Object.entries(cases).map(([name, [options]]) => inline(name, program(name), options))
      const supervisor = yield* supervise(specs, { autoStart: false })
      yield* Effect.forEach(specs, ({ name }) => supervisor.start(name), { discard: true })
      for (const [name, [, isTold]] of Object.entries(cases)) {
        const expected = isTold ? { fd: "3", isOpen: true } : { isOpen: false }
        assert.deepStrictEqual(JSON.parse(yield* textOf(Path.join(folder, name))), expected, name)
      }
    })
  )

  it.live("a child of the app has not got the descriptor, and cannot speak for it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const spawned = `require("node:child_process").spawnSync("sh", ["-c", "echo ready >&3"], { stdio: "inherit" })`
      const program = gated(
        folder,
        `Fs.writeFileSync("${folder}/code", String(${spawned}.status))`,
        `Fs.writeSync(3, "\\n")`
      )
      const supervisor = yield* supervise([inline("a", program, { ready: "notify" })], { autoStart: false })
      yield* supervisor.start("a")
      assert.notStrictEqual(yield* textOf(Path.join(folder, "code")), "0")
      assert.strictEqual((yield* supervisor.status("a")).state, "Starting")
      Fs.writeFileSync(Path.join(folder, "gate"), "")
      yield* reaches(supervisor, "a", "Running")
    })
  )

  it.live("a grandchild that kept the descriptor does not keep ours open when the child is gone", () =>
    Effect.gen(function* () {
      // `sh` passes it on, and `setsid` leaves the group, which ends with the child.
      const program = `
        require("node:child_process").spawn("setsid", ["sh", "-c", "echo ready >&3; exec sleep 30"], { stdio: ["ignore", "ignore", "ignore", 3] })
        setTimeout(() => process.exit(1), 200)`
      const supervisor = yield* supervise([
        inline("a", program, { ready: "notify", restartPolicy: { type: "temporary" } })
      ])
      yield* reaches(supervisor, "a", "Ended")
      const held = descriptors()
      for (let life = 0; life < 4; life += 1) {
        yield* supervisor.start("a")
        yield* reaches(supervisor, "a", "Ended")
      }
      // Some may still have been open at the first look: fewer than four.
      yield* eventually(
        "no more are open",
        Effect.sync(() => (descriptors() <= held ? true : undefined))
      )
      assert.isAbove((yield* carriers(`${supervisor.id}/a`)).length, 3)
      yield* supervisor.stop("a")
    })
  )

  for (const [what, unit] of [
    ["lines", "\\n"],
    ["a line that never ends", "x"]
  ]) {
    it.live(`100 MB of ${what} on the descriptor are read, and not kept`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const program = `
          const Fs = require("node:fs")
          const chunk = Buffer.alloc(1_000_000, "${unit}")
          for (let count = 0; count < 100; count += 1) for (let at = 0; at < chunk.length;) at += Fs.writeSync(3, chunk, at)
          Fs.writeFileSync("${folder}/done", "done")
          Fs.writeSync(3, "\\n")
          ${idle}`
        const before = process.memoryUsage().rss
        const supervisor = yield* supervise([inline("a", program, { ready: "notify", startGrace: "1 minute" })])
        yield* textOf(Path.join(folder, "done"))
        assert.isBelow(process.memoryUsage().rss - before, 80_000_000)
        yield* reaches(supervisor, "a", "Running")
        yield* agrees(supervisor)
      })
    )
  }
})

describe("in time", () => {
  it.live("whoever is not ready within its grace has failed, however it was to say so", () =>
    Effect.gen(function* () {
      const options = { startGrace: "200 millis", restartPolicy: { type: "temporary" } } as const
      const chatter = `process.send?.("hello"); console.log("almost"); ${idle}`
      const supervisor = yield* supervise([
        inline("notify", chatter, { ...options, ready: "notify" }),
        inline("message", chatter, { ...options, ready: "message" }),
        inline("line", chatter, { ...options, ready: /ready/ }),
        inline("probe", chatter, { ...options, ready: never }),
        inline("good", `console.log("ready"); ${idle}`, { ready: /ready/ })
      ])
      for (const name of ["notify", "message", "line", "probe"]) {
        const { lastExit } = yield* reaches(supervisor, name, "Ended")
        assert.strictEqual(lastExit?._tag, "ReadinessTimeout", name)
      }
      assert.strictEqual((yield* supervisor.status("good")).state, "Running")
      yield* agrees(supervisor)
      yield* supervisor.stop("good")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Stopped" && event.name === "good")
      assert.deepStrictEqual(
        events.filter((event) => event._tag === "Ready").map((event) => event.name),
        ["good"]
      )
    })
  )

  it.live("whoever says that it is ready and ends sooner than it must run was never ready", () =>
    Effect.gen(function* () {
      const options = { minUptime: "1 minute", restartPolicy: { type: "temporary" } } as const
      const supervisor = yield* supervise([
        inline("spawned", "setTimeout(() => process.exit(3), 100)", options),
        inline("notify", `require("node:fs").writeSync(3, "\\n"); setTimeout(() => process.exit(3), 100)`, {
          ...options,
          ready: "notify"
        })
      ])
      for (const name of ["spawned", "notify"]) {
        const { lastExit } = yield* reaches(supervisor, name, "Ended")
        assert.deepInclude(lastExit, { _tag: "Exited", code: 3 })
      }
      yield* agrees(supervisor)
      yield* supervisor.stop("spawned")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Stopped")
      assert.notInclude(
        events.map((event) => event._tag),
        "Ready"
      )
    })
  )

  it.live("ready no sooner than it has run so long", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", idle, { minUptime: "400 millis", startGrace: "1 millis" })])
      const status = yield* reaches(supervisor, "a", "Running")
      assert.isAtLeast(Duration.toMillis(status.uptime ?? Duration.zero), 400)
      yield* agrees(supervisor)
    })
  )
})
