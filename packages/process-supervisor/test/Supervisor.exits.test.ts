import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import * as ProcessSpec from "../src/ProcessSpec.ts"
import * as RestartPolicy from "../src/RestartPolicy.ts"
import { eventsUntil, node, pidOf, reaches, supervise, temporaryFolder } from "./support.ts"

const once = RestartPolicy.make({ type: "temporary" })

const lastExitOf = Effect.fnUntraced(function* (spec: ProcessSpec.ProcessSpec) {
  const supervisor = yield* supervise([spec])
  return (yield* reaches(supervisor, spec.name, "Ended")).lastExit
})

describe("typed exits", () => {
  it.live("an exit code", () =>
    Effect.gen(function* () {
      const exit = yield* lastExitOf(node("a", ["exit.mjs", "7"], { restartPolicy: once }))
      assert.deepInclude(exit, { _tag: "Exited", code: 7 })
    })
  )

  it.live("a signal from somebody else is unknown", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"], { restartPolicy: once })])
      process.kill(pidOf(yield* supervisor.status("a")), "SIGKILL")
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.deepInclude(lastExit, { _tag: "Signaled", signal: "SIGKILL", by: "unknown" })
    })
  )

  it.live("a signal that we sent is ours", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"], { restartPolicy: once })])
      yield* supervisor.signal("a", "SIGTERM")
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.deepInclude(lastExit, { _tag: "Signaled", signal: "SIGTERM", by: "us" })
      const error = yield* Effect.flip(supervisor.signal("a", "SIGTERM"))
      assert.strictEqual(error.reason._tag, "NotRunning")
    })
  )

  it.live("acceptance(process-supervisor 2): V8 heap abort is Signaled(SIGABRT), never code 0", () =>
    Effect.gen(function* () {
      const { args, command } = node("a", ["heap.mjs"])
      const exit = yield* lastExitOf(
        ProcessSpec.make({
          name: "a",
          command,
          args: ["--max-old-space-size=16", ...args],
          restartPolicy: once
        })
      )
      assert.deepInclude(exit, { _tag: "Signaled", signal: "SIGABRT", by: "unknown" })
    })
  )

  it.live("what cannot be spawned says why, is Failed at once, and does not keep the others", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const notExecutable = Path.join(folder, "plain.txt")
      Fs.writeFileSync(notExecutable, "", { mode: 0o600 })
      const missing = Path.join(folder, "missing")
      const cases = [
        [ProcessSpec.make({ name: "command", command: missing }), "ENOENT", missing],
        [ProcessSpec.make({ name: "not-executable", command: notExecutable }), "EACCES", notExecutable],
        [node("cwd", ["idle.mjs"], { cwd: missing }), "ENOENT", missing],
        [
          ProcessSpec.make({ name: "env-file", command: process.execPath, envFile: missing }),
          "EINVAL",
          `${missing} does not exist: make it, or leave envFile out`
        ]
      ] as const
      const supervisor = yield* supervise([...cases.map(([spec]) => spec), node("good", ["idle.mjs"])])
      for (const [{ name }, code, words] of cases) {
        const status = yield* supervisor.status(name)
        assert.strictEqual(status.state, "Failed", name)
        assert.deepInclude(status.lastExit, { _tag: "SpawnFailed", code })
        assert.include(status.lastExit?._tag === "SpawnFailed" ? status.lastExit.command : "", words)
        const error = yield* Effect.flip(supervisor.restart(name))
        assert.strictEqual(error.reason._tag, "Unavailable")
        assert.include(error.message, code)
      }
      assert.strictEqual((yield* supervisor.status("good")).state, "Running")
    })
  )

  it.live("events tell cause, decision and outcome, in order", () =>
    Effect.gen(function* () {
      const restartPolicy = RestartPolicy.make({ intensity: { limit: 1, window: "1 minute" } })
      const supervisor = yield* supervise([node("a", ["exit.mjs", "3"], { restartPolicy })])
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "GaveUp")
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Spawned", "Ready", "Exited", "RestartDecided", "Spawned", "Ready", "Exited", "GaveUp"]
      )
      assert.deepStrictEqual(
        events.map((event) => event.sequence),
        [1, 2, 3, 4, 5, 6, 7, 8]
      )
      assert.deepInclude(events[0], { name: "a", startedBy: "request", restarts: 0 })
      assert.deepInclude(events[4], { name: "a", startedBy: "policy", restarts: 1 })
      assert.deepInclude(events[7], { reason: "IntensityExceeded" })
      const times = events.map((event) => event.monotonic)
      assert.deepStrictEqual(
        times,
        times.toSorted((a, b) => a - b)
      )
    })
  )
})
