import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as Group from "../src/Group.ts"
import type { SupervisorEvent } from "../src/SupervisorEvent.ts"
import * as SupervisorState from "../src/SupervisorState.ts"
import { carriers, eventsUntil, node, pidOf, reaches, supervise, temporaryFolder, textOf } from "./support.ts"

const told = (events: ReadonlyArray<SupervisorEvent>, ...tags: ReadonlyArray<SupervisorEvent["_tag"]>) =>
  events.filter((event) => tags.includes(event._tag)).map((event) => `${event.name} ${event._tag}`)

describe("groups", () => {
  it.live(
    "acceptance(process-supervisor 5): rest_for_one, the middle one crashes: it and the later ones restart, in order",
    () =>
      Effect.gen(function* () {
        const supervisor = yield* supervise([
          Group.make({
            name: "line",
            strategy: "rest_for_one",
            members: [node("a", ["idle.mjs"]), node("b", ["idle.mjs"]), node("c", ["idle.mjs"])]
          })
        ])
        const before = yield* supervisor.list
        process.kill(pidOf(yield* supervisor.status("b")), "SIGKILL")
        yield* reaches(supervisor, "c", "Running", ({ restarts }) => restarts === 1)
        const after = yield* supervisor.list
        assert.deepStrictEqual(
          after.map(({ restarts }) => restarts),
          [0, 1, 1]
        )
        assert.deepStrictEqual(after[0]?.identity, before[0]?.identity)
        const events = yield* eventsUntil(
          supervisor,
          (event) => event._tag === "Ready" && event.name === "c" && event.sequence > 9
        )
        assert.deepStrictEqual(told(events, "Spawned", "Ready", "Stopped").slice(6), [
          "c Stopped",
          "b Spawned",
          "b Ready",
          "c Spawned",
          "c Ready"
        ])
        assert.lengthOf(yield* carriers(supervisor.id), 3)
      })
  )

  it.live(
    "acceptance(process-supervisor 6): intensity exceeded in a child group, the parent group escalates once",
    () =>
      Effect.gen(function* () {
        const crashing = node("crashing", ["exit.mjs", "1"], { restartPolicy: { backoff: { initial: 1, max: 1 } } })
        const supervisor = yield* supervise(
          [
            Group.make({
              name: "outer",
              strategy: "one_for_all",
              intensity: { limit: 0, window: "1 minute" },
              members: [
                node("sibling", ["idle.mjs"]),
                Group.make({ name: "inner", intensity: { limit: 2, window: "1 minute" }, members: [crashing] })
              ]
            }),
            node("other", ["idle.mjs"])
          ],
          { intensity: { limit: 0, window: "1 minute" } }
        )
        const events = yield* eventsUntil(supervisor, (event) => event._tag === "GaveUp" && event.name === "sibling")
        assert.deepStrictEqual(
          events.flatMap((event) => (event._tag === "Escalated" ? [`${event.name} → ${event.to}`] : [])),
          ["inner → outer", "outer → supervisor"]
        )
        yield* reaches(supervisor, "crashing", "Failed")
        yield* reaches(supervisor, "sibling", "Failed")
        assert.deepInclude((yield* supervisor.status("sibling")).lastExit, { _tag: "StopRequested", by: "group" })
        assert.strictEqual((yield* supervisor.status("other")).state, "Running")
        assert.lengthOf(yield* carriers(supervisor.id), 1)
      })
  )

  it.live(
    "acceptance(process-supervisor 4): a dependency fails permanently: its dependants are Skipped, with the cause",
    () =>
      Effect.gen(function* () {
        const supervisor = yield* supervise([
          node("migrate", ["exit.mjs", "3"], { restartPolicy: { attempts: 0 } }),
          node("app", ["idle.mjs"], { dependsOn: [{ name: "migrate", until: "completed" }] }),
          node("web", ["idle.mjs"], { dependsOn: ["app"] }),
          node("alone", ["idle.mjs"])
        ])
        const events = yield* eventsUntil(supervisor, (event) => event._tag === "Skipped" && event.name === "web")
        const skipped = events.flatMap((event) => (event._tag === "Skipped" ? [event] : []))
        assert.deepInclude(skipped[0], { name: "app", because: "migrate" })
        assert.deepInclude(skipped[0]?.exit, { _tag: "Exited", code: 3 })
        assert.deepInclude(skipped[1], { name: "web", because: "app" })
        assert.deepStrictEqual(
          (yield* supervisor.list).map(({ state }) => state),
          ["Failed", "Skipped", "Skipped", "Running"]
        )
        const error = yield* Effect.flip(supervisor.start("app"))
        assert.strictEqual(error.reason._tag, "Unavailable")
      })
  )

  it.live("a group can be named where a process can: stopped, started, restarted as one, with one receipt", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        Group.make({ name: "g", members: [node("a", ["idle.mjs"]), node("w", ["idle.mjs"], { instances: 2 })] })
      ])
      const receipt = yield* supervisor.stop("g")
      assert.lengthOf(receipt.signalled, 3)
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      yield* supervisor.start("w")
      assert.deepStrictEqual(
        (yield* supervisor.list).map(({ name, state }) => `${name} ${state}`),
        ["a Stopped", "w:0 Running", "w:1 Running"]
      )
      yield* supervisor.restart("g")
      assert.lengthOf(yield* carriers(supervisor.id), 3)
    })
  )

  it.live("instances have names, ports and log files of their own", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = Path.join(folder, "log")
      const script =
        "process.stdout.write([process.env.PORT, process.env.NEXO_INSTANCE].join(' ')); setInterval(() => {}, 1000)"
      const spec = { ...node("w", ["idle.mjs"], { instances: 3, env: { PORT: "4000" }, log }), args: ["-e", script] }
      yield* supervise([spec])
      for (const index of [0, 1, 2]) {
        assert.strictEqual(yield* textOf(`${log}.${index}`), `${4000 + index} ${index}`)
      }
    })
  )

  it.live("independent ones start and stop at the same time", () =>
    Effect.gen(function* () {
      const up = new Set<string>()
      // Each becomes ready only when the other one has been started, too.
      const both = (name: string) =>
        Probe.make({
          name: "both",
          reports: [],
          check: Effect.sync(() => (up.add(name).size === 2 ? Verdict.healthy : Verdict.inconclusive("not yet")))
        })
      const supervisor = yield* supervise([
        node("a", ["idle.mjs"], { ready: both("a") }),
        node("b", ["idle.mjs"], { ready: both("b") })
      ])
      assert.deepStrictEqual(
        (yield* supervisor.list).map(({ state }) => state),
        ["Running", "Running"]
      )
    })
  )
})

describe("prerequisites", () => {
  it.live("nothing is spawned before they hold; the event says what is missing, and others are not kept waiting", () =>
    Effect.gen(function* () {
      let docker = false
      const prerequisite = Probe.make({
        name: "docker",
        reports: [],
        check: Effect.sync(() => (docker ? Verdict.healthy : Verdict.inconclusive("no daemon")))
      })
      const supervisor = yield* supervise([
        node("needs", ["idle.mjs"], { prerequisites: [prerequisite] }),
        node("other", ["idle.mjs"])
      ])
      assert.strictEqual((yield* supervisor.status("needs")).state, "Blocked")
      assert.strictEqual((yield* supervisor.status("other")).state, "Running")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "WaitingFor")
      assert.deepInclude(events.at(-1), { name: "needs", probe: "docker", why: "no daemon" })
      docker = true
      yield* reaches(supervisor, "needs", "Running")
      docker = false
      yield* supervisor.restart("needs")
      assert.strictEqual((yield* supervisor.status("needs")).state, "Blocked")
      // A stop does not wait for them either.
      yield* supervisor.stop("needs")
      assert.deepStrictEqual(
        (yield* supervisor.list).map(({ state }) => state),
        ["Stopped", "Running"]
      )
    })
  )

  it.live("one that never answers does not hold: the event says so, and others are not kept waiting", () =>
    Effect.gen(function* () {
      const silent = Probe.make({ name: "silent", reports: [], timeout: "100 millis", check: Effect.never })
      const supervisor = yield* supervise([
        node("needs", ["idle.mjs"], { prerequisites: [silent] }),
        node("other", ["idle.mjs"])
      ])
      assert.strictEqual((yield* supervisor.status("needs")).state, "Blocked")
      assert.strictEqual((yield* supervisor.status("other")).state, "Running")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "WaitingFor")
      assert.deepInclude(events.at(-1), { name: "needs", probe: "silent", why: "no answer" })
    })
  )
})

describe("the journal", () => {
  it.live("from it the state of every process can be rebuilt at any time it is at rest", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        Group.make({ name: "g", strategy: "one_for_all", members: [node("a", ["idle.mjs"]), node("b", ["idle.mjs"])] }),
        node("fails", ["exit.mjs", "1"], { restartPolicy: { attempts: 1 } }),
        node("done", ["exit.mjs", "0"], { restartPolicy: { type: "transient" } }),
        node("after", ["idle.mjs"], { dependsOn: ["fails"] })
      ])
      const check = Effect.fnUntraced(function* (last: (event: SupervisorEvent) => boolean) {
        const events = yield* eventsUntil(supervisor, last)
        const rebuilt = events.reduce(SupervisorState.apply, SupervisorState.empty)
        for (const { identity, lastExit, name, restarts, startedBy, state } of yield* supervisor.list) {
          assert.deepStrictEqual(rebuilt.get(name), { identity, lastExit, restarts, startedBy, state }, name)
        }
        return events.length
      })
      yield* reaches(supervisor, "fails", "Failed")
      yield* reaches(supervisor, "done", "Ended")
      yield* check((event) => event._tag === "GaveUp")
      process.kill(pidOf(yield* supervisor.status("a")), "SIGKILL")
      yield* reaches(supervisor, "b", "Running", ({ restarts }) => restarts === 1)
      const length = yield* check((event) => event._tag === "Ready" && event.name === "b" && event.sequence > 20)
      const waiting = yield* Effect.forkChild(
        eventsUntil(supervisor, (event) => event.sequence > length && event._tag === "Stopped")
      )
      yield* supervisor.stop("a")
      const last = (yield* Fiber.join(waiting)).length
      yield* check((event) => event.sequence === last)
    })
  )
})
