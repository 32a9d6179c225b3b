import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type * as Supervisor from "../src/Supervisor.ts"
import {
  agrees,
  eventually,
  eventsUntil,
  inline,
  node,
  pidOf,
  reaches,
  supervise,
  temporaryFolder,
  textOf
} from "./support.ts"

type Service = Supervisor.Supervisor["Service"]

const megabyte = 1_048_576
const idle = "setInterval(() => {}, 1e6)"

/** It was above its limit, could drain, and was restarted. */
const isReplaced = Effect.fnUntraced(function* (supervisor: Service, tag: "CpuLimit" | "MemoryLimit", folder: string) {
  const { lastExit } = yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
  assert.strictEqual(Fs.readFileSync(Path.join(folder, "drained"), "utf8"), "yes")
  yield* agrees(supervisor)
  const events = yield* eventsUntil(supervisor, (event) => event._tag === "Spawned" && event.restarts === 1)
  assert.deepStrictEqual(
    events.map(({ _tag }) => _tag),
    ["Spawned", "Ready", "Unfit", "Exited", "Stopped", "RestartDecided", "Spawned"]
  )
  assert.deepInclude(events[5], { why: "Exit", restarts: 1 })
  assert.strictEqual(lastExit?._tag, tag)
  if (lastExit?._tag !== "CpuLimit" && lastExit?._tag !== "MemoryLimit") return
  assert.isAbove(lastExit.used, lastExit.limit)
})

/** Writes down each signal, and ends as it is told by one of them. */
const hears = (file: string, ends: string) => `
  const Fs = require("node:fs")
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"]) {
    process.on(signal, () => { Fs.appendFileSync("${file}", signal + "\\n"); if (signal === "${ends}") process.exit(5) })
  }
  Fs.writeSync(3, "\\n")
  ${idle}`

describe("memory", { concurrent: true }, () => {
  it.live("acceptance(process-supervisor 14): a 200 ms memory spike with a 5 s sustain window is no restart", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const supervisor = yield* supervise([
        node("a", ["hungry.mjs", folder, "take:200", "wait:200", "free"], {
          memory: { limit: "150 MB", sustain: "5 seconds" }
        })
      ])
      const { identity } = yield* supervisor.status("a")
      yield* textOf(Path.join(folder, "done"))
      const end = performance.now() + 6500
      yield* eventually(
        "it is small again",
        Effect.map(supervisor.status("a"), ({ memory = Infinity }) => (memory < 150 * megabyte ? true : undefined))
      )
      while (performance.now() < end) yield* Effect.sleep("100 millis")
      assert.deepInclude(yield* supervisor.status("a"), { state: "Running", restarts: 0, identity })
      yield* agrees(supervisor)
    })
  )

  it.live("above its limit for longer than it may: it may drain, and is restarted", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const supervisor = yield* supervise([
        node("a", ["hungry.mjs", folder, "take:200"], {
          memory: { limit: "150 MB", sustain: "500 millis" },
          stopGrace: "10 seconds"
        })
      ])
      yield* isReplaced(supervisor, "MemoryLimit", folder)
    })
  )

  it.live("what counts is the whole tree", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const supervisor = yield* supervise([
        node("a", ["hungry.mjs", folder, "child:120", "child:120"], {
          memory: { limit: "200 MB", sustain: 0 },
          stopGrace: "10 seconds"
        })
      ])
      yield* isReplaced(supervisor, "MemoryLimit", folder)
      assert.lengthOf(yield* supervisor.tree("a"), 1)
    })
  )

  it.live("a Node child with a limit gives up its heap below it: SIGABRT, and no machine that swaps", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        node("a", ["heap.mjs"], {
          memory: { limit: "100 MB", sustain: "1 hour" },
          restartPolicy: { type: "temporary" }
        })
      ])
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.deepInclude(lastExit, { _tag: "Signaled", signal: "SIGABRT", by: "unknown" })
      yield* agrees(supervisor)
    })
  )
})

describe("cpu", { concurrent: true }, () => {
  it.live("above its limit for longer than it may: it may drain, and is restarted", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      // Low enough for a machine that is busy with something else.
      const supervisor = yield* supervise([
        node("a", ["hungry.mjs", folder, "burn"], { cpu: { limit: 10, sustain: "1 second" }, stopGrace: "10 seconds" })
      ])
      yield* isReplaced(supervisor, "CpuLimit", folder)
    })
  )
})

describe("status", { concurrent: true }, () => {
  it.live("shows what a process uses, with a limit or without, and nothing of one that does not run", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        inline("limited", idle, { memory: { limit: "1 GB" } }),
        inline("free", idle),
        inline("off", "process.exit(0)", { restartPolicy: { type: "temporary" } })
      ])
      for (const name of ["limited", "free"]) {
        const { cpu, memory } = yield* eventually(
          "both are measured",
          Effect.map(supervisor.status(name), (status) =>
            status.memory !== undefined && status.cpu !== undefined
              ? { memory: status.memory, cpu: status.cpu }
              : undefined
          )
        )
        assert.isAbove(memory, 10 * megabyte)
        assert.isBelow(memory, 500 * megabyte)
        assert.isAtLeast(cpu, 0)
      }
      assert.deepInclude(yield* reaches(supervisor, "off", "Ended"), { memory: undefined, cpu: undefined })
      yield* supervisor.stop("limited")
      assert.deepInclude(yield* supervisor.status("limited"), { memory: undefined, cpu: undefined })
      assert.deepStrictEqual([...supervisor.memoryLimits], [["limited", 1024 * megabyte]])
      yield* agrees(supervisor)
    })
  )
})

describe("stop signals", { concurrent: true }, () => {
  const stopSignal = ["SIGINT", "SIGHUP", "SIGTERM"] as const
  const options = { stopSignal, ready: "notify", stopGrace: "300 millis" } as const

  it.live("are sent in turn, each after its grace, until it ends; how it ended is in the exit", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = (name: string) => Path.join(folder, name)
      const supervisor = yield* supervise([
        inline("first", hears(file("first"), "SIGINT"), options),
        inline("last", hears(file("last"), "SIGTERM"), options),
        inline("never", hears(file("never"), ""), options),
        inline("dies", `require("node:fs").writeSync(3, "\\n"); ${idle}`, options)
      ])
      const pid = pidOf(yield* supervisor.status("never"))
      const expected = {
        first: [1, { code: 5 }],
        last: [3, { code: 5 }],
        never: [3, { signal: "SIGKILL" }],
        dies: [0, { signal: "SIGINT" }]
      } as const
      for (const [name, [heard, end]] of Object.entries(expected)) {
        const { escalated } = yield* supervisor.stop(name)
        assert.deepStrictEqual(
          escalated.map((one) => one.pid),
          name === "never" ? [pid] : []
        )
        if (heard > 0) assert.strictEqual(yield* textOf(file(name)), `${stopSignal.slice(0, heard).join("\n")}\n`, name)
        assert.deepInclude(
          (yield* supervisor.status(name)).lastExit,
          { _tag: "StopRequested", by: "request", ...end },
          name
        )
      }
      yield* agrees(supervisor)
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Stopped" && event.name === "dies")
      const between = (name: string) => {
        const [from, to] = ["StopRequested", "Exited"].map((tag) =>
          events.find((event) => event.name === name && event._tag === tag)
        )
        return (to?.monotonic ?? 0) - (from?.monotonic ?? 0)
      }
      assert.isAtLeast(between("last"), 600)
      assert.isAtLeast(between("never"), 900)
      for (const event of events) if (event._tag === "Exited") assert.isTrue(Duration.isPositive(event.ranFor))
    })
  )
})
