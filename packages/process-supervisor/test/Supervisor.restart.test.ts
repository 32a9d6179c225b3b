import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Backoff from "@nexobot/core/Backoff"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"

import * as TestProcessTable from "../../testing/src/TestProcessTable.ts"
import * as RestartPolicy from "../src/RestartPolicy.ts"
import { carriers, eventually, eventsUntil, node, pidOf, reaches, supervise, temporaryFolder } from "./support.ts"

const fileExists = (path: string) =>
  Probe.make({
    name: "file",
    reports: [],
    check: Effect.sync(() => (Fs.existsSync(path) ? Verdict.healthy : Verdict.inconclusive("not yet")))
  })

const policy = (type: RestartPolicy.RestartType) =>
  RestartPolicy.make({ type, intensity: { limit: 1, window: "1 minute" } })

describe("restarts", { concurrent: true }, () => {
  it.live("after kill -9 there is a new process of the same name", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"])])
      const before = yield* supervisor.status("a")
      assert.deepInclude(before, { state: "Running", restarts: 0, startedBy: "request", lastExit: undefined })
      process.kill(pidOf(before), "SIGKILL")
      const after = yield* reaches(supervisor, "a", "Running", (status) => status.restarts === 1)
      assert.notStrictEqual(pidOf(after), pidOf(before))
      assert.strictEqual(after.startedBy, "policy")
      assert.isBelow(Duration.toMillis(after.uptime ?? Duration.infinity), 20_000)
      assert.throws(() => process.kill(pidOf(before), 0))
    })
  )

  it.live("acceptance(process-supervisor 1): exit 1 after 1.1 s, for ever, is given up by the intensity window", () =>
    Effect.gen(function* () {
      const restartPolicy = RestartPolicy.make({ intensity: { limit: 3, window: "1 minute" } })
      const supervisor = yield* supervise([node("a", ["exit.mjs", "1", "1100"], { restartPolicy })])
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "GaveUp")
      assert.lengthOf(
        events.filter((event) => event._tag === "Spawned"),
        4
      )
      assert.deepInclude(events.at(-1), { reason: "IntensityExceeded" })
      const status = yield* supervisor.status("a")
      assert.deepInclude(status, { state: "Failed", restarts: 3, identity: undefined, startedBy: undefined })
      assert.deepInclude(status.lastExit, { _tag: "Exited", code: 1 })
    })
  )

  it.live("restart revives what was given up, with a fresh policy", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const restartPolicy = RestartPolicy.make({
        backoff: { initial: 1, max: 1, jitter: "none" },
        intensity: { limit: 2, window: "1 minute" }
      })
      const supervisor = yield* supervise([node("a", ["exit.mjs", "1"], { restartPolicy, cwd: folder })])
      assert.strictEqual((yield* reaches(supervisor, "a", "Failed")).restarts, 2)
      yield* supervisor.restart("a")
      assert.strictEqual((yield* reaches(supervisor, "a", "Failed")).restarts, 4)
      yield* supervisor.start("a")
      assert.strictEqual((yield* reaches(supervisor, "a", "Failed")).restarts, 6)
    })
  )

  it.live("transient ends at code 0 and restarts after others; temporary never restarts", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        node("fine", ["exit.mjs", "0"], { restartPolicy: policy("transient") }),
        node("bad", ["exit.mjs", "1"], { restartPolicy: policy("transient") }),
        node("temporary", ["exit.mjs", "1"], { restartPolicy: policy("temporary") }),
        node("permanent", ["exit.mjs", "0"], { restartPolicy: policy("permanent") })
      ])
      assert.strictEqual((yield* reaches(supervisor, "fine", "Ended")).restarts, 0)
      assert.strictEqual((yield* reaches(supervisor, "bad", "Failed")).restarts, 1)
      assert.strictEqual((yield* reaches(supervisor, "temporary", "Ended")).restarts, 0)
      assert.strictEqual((yield* reaches(supervisor, "permanent", "Failed")).restarts, 1)
    })
  )

  it.live("waits for the delay of its schedule; a stop ends the wait", () =>
    Effect.gen(function* () {
      const restartPolicy = RestartPolicy.make({ backoff: Backoff.constant("1 hour") })
      const supervisor = yield* supervise([node("a", ["exit.mjs", "1"], { restartPolicy, startGrace: "1 millis" })])
      const waiting = yield* reaches(supervisor, "a", "Waiting")
      assert.strictEqual(waiting.identity, undefined)
      assert.deepStrictEqual(yield* supervisor.stop("a"), { signalled: [], escalated: [], survivors: [] })
      assert.strictEqual((yield* supervisor.status("a")).state, "Stopped")
      assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [])
    })
  )

  it.live("a start of what waits for its restart is answered at once, as that is on its way", () =>
    Effect.gen(function* () {
      const restartPolicy = RestartPolicy.make({ backoff: Backoff.constant("1 hour") })
      const supervisor = yield* supervise([node("a", ["exit.mjs", "1"], { restartPolicy, startGrace: "1 millis" })])
      yield* reaches(supervisor, "a", "Waiting")
      assert.isTrue(Option.isSome(yield* Effect.timeoutOption(supervisor.start("a"), "10 seconds")))
      assert.strictEqual((yield* supervisor.status("a")).state, "Waiting")
    })
  )

  it.live("restart on request replaces the child and counts no policy restart", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([node("a", ["idle.mjs"])])
      const before = yield* supervisor.status("a")
      // Requests for one process take turns.
      yield* Effect.all([supervisor.restart("a"), supervisor.restart("a")], { concurrency: "unbounded" })
      const after = yield* supervisor.status("a")
      assert.notStrictEqual(pidOf(after), pidOf(before))
      assert.deepInclude(after, { restarts: 0, startedBy: "request", state: "Running" })
      assert.deepInclude(after.lastExit, { _tag: "StopRequested", by: "request", signal: "SIGTERM" })
      assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [pidOf(after)])
    })
  )
})

/** For a moment, it can say nothing of these processes. */
const forgetful = Effect.fnUntraced(function* () {
  const table = yield* ProcessTable
  const unsupported = new Unsupported({ feature: "reading a process", platform: "linux", code: "EMFILE" })
  let isForgotten: ((pid: number) => boolean) | undefined
  return {
    answers: TestProcessTable.answering({
      stat: (pid) => Effect.suspend(() => (isForgotten?.(pid) === true ? Effect.fail(unsupported) : table.stat(pid)))
    }),
    forget: (pids?: (pid: number) => boolean) => Effect.sync(() => void (isForgotten = pids))
  }
})

describe("while the table of processes cannot be read", { concurrent: true }, () => {
  it.live("no child is left that nobody knows of, and a later start is a good one", () =>
    Effect.gen(function* () {
      const { answers, forget } = yield* forgetful()
      const restartPolicy = { attempts: 0 }
      const supervisor = yield* answers(supervise([node("a", ["idle.mjs"], { restartPolicy })], { autoStart: false }))
      yield* forget((pid) => pid !== process.pid)
      yield* Effect.flip(supervisor.start("a"))
      yield* forget()
      assert.deepInclude((yield* reaches(supervisor, "a", "Failed")).lastExit, { _tag: "SpawnFailed", code: "DEFECT" })
      yield* eventually(
        "the child is gone",
        Effect.map(carriers(supervisor.id), (pids) => (pids.length === 0 ? true : undefined))
      )
      yield* supervisor.start("a")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(yield* supervisor.status("a"))])
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("an end is told and answered by the policy, though what is left of it is not found", () =>
    Effect.gen(function* () {
      const { answers, forget } = yield* forgetful()
      const supervisor = yield* answers(supervise([node("a", ["idle.mjs"])]))
      const before = pidOf(yield* supervisor.status("a"))
      yield* forget((pid) => pid === before)
      process.kill(before, "SIGKILL")
      const after = yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
      assert.deepInclude(after.lastExit, { _tag: "Signaled", signal: "SIGKILL" })
      yield* forget()
    }).pipe(Effect.provide(Logger.layer([])))
  )
})

describe("readiness", { concurrent: true }, () => {
  it.live("a process is Starting until its probe is healthy", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "ready")
      const supervisor = yield* supervise([node("a", ["ready.mjs", file, "200"], { ready: fileExists(file) })], {
        autoStart: false
      })
      assert.strictEqual((yield* supervisor.status("a")).state, "Stopped")
      yield* supervisor.start("a")
      assert.strictEqual((yield* supervisor.status("a")).state, "Starting")
      yield* reaches(supervisor, "a", "Running")
      assert.isTrue(Fs.existsSync(file))
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Ready")
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Spawned", "Ready"]
      )
    })
  )

  it.live("who depends on another one starts when that is ready", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "ready")
      const supervisor = yield* supervise([
        node("first", ["ready.mjs", file, "200"], { ready: fileExists(file) }),
        node("second", ["idle.mjs"], { dependsOn: ["first"] })
      ])
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Ready" && event.name === "second")
      assert.deepStrictEqual(
        events.map((event) => `${event.name} ${event._tag}`),
        ["second Blocked", "first Spawned", "first Ready", "second Spawned", "second Ready"]
      )
    })
  )

  it.live("acceptance(process-supervisor 3): never ready is ReadinessTimeout, never reported ready", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        node("a", ["idle.mjs"], {
          ready: fileExists("/nonexistent/file"),
          startGrace: "200 millis",
          restartPolicy: { attempts: 1 }
        })
      ])
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "GaveUp")
      const oneLife = ["Spawned", "Unfit", "Exited", "Stopped"]
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        [...oneLife, "RestartDecided", ...oneLife, "GaveUp"]
      )
      for (const event of events) {
        if (event._tag === "Exited") assert.strictEqual(event.exit._tag, "ReadinessTimeout")
      }
      const status = yield* supervisor.status("a")
      assert.deepInclude(status, { state: "Failed", identity: undefined })
      assert.strictEqual(status.lastExit?._tag, "ReadinessTimeout")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
    })
  )

  it.live("a probe that dies says nothing; it gets the services that the layer was given", () =>
    Effect.gen(function* () {
      class Asked extends Context.Service<Asked, { readonly times: () => void }>()("test/Asked") {}
      let asked = 0
      const dies = Probe.make({
        name: "dies",
        reports: [],
        check: Asked.use((service) => Effect.sync(service.times)).pipe(Effect.andThen(Effect.die("a bug")))
      })
      const supervisor = yield* supervise([
        node("a", ["idle.mjs"], { ready: dies, startGrace: "200 millis", restartPolicy: { type: "temporary" } })
      ]).pipe(Effect.provideService(Asked, { times: () => (asked += 1) }))
      assert.isAbove(asked, 1)
      assert.strictEqual((yield* reaches(supervisor, "a", "Ended")).lastExit?._tag, "ReadinessTimeout")
    })
  )

  it.live("a probe that cannot be interrupted delays neither restart nor stop", () =>
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const slow = Probe.make({
        name: "slow",
        reports: [],
        check: Effect.uninterruptible(Effect.as(gate.await, Verdict.healthy))
      })
      const supervisor = yield* supervise([node("a", ["idle.mjs"], { ready: slow })], { autoStart: false })
      // It answers when all is over.
      yield* Effect.addFinalizer(() => gate.open)
      yield* supervisor.start("a")
      process.kill(pidOf(yield* supervisor.status("a")), "SIGKILL")
      yield* reaches(supervisor, "a", "Starting", (status) => status.restarts === 1)
      yield* supervisor.stop("a")
    })
  )

  it.live("lifecycle follows the state", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise(
        [
          node("runs", ["idle.mjs"]),
          node("starts", ["idle.mjs"], { ready: fileExists("/nonexistent/file"), startGrace: "1 hour" })
        ],
        { autoStart: false }
      )
      const lifecycle = (name: string) =>
        Effect.provideService(ProcessControl.lifecycle(name), ProcessControl.ProcessControl, supervisor)
      assert.strictEqual(yield* lifecycle("runs"), "Stopped")
      yield* supervisor.start("runs")
      yield* supervisor.start("starts")
      assert.strictEqual(yield* lifecycle("runs"), "Running")
      assert.strictEqual(yield* lifecycle("starts"), "Starting")
    })
  )
})
