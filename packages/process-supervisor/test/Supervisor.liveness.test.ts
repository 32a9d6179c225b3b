import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { agrees, eventsUntil, inline, node, pidOf, reaches, supervise } from "./support.ts"

/** Lines on the descriptor every so many milliseconds. */
const beats = (millis: number) =>
  `const beat = () => require("node:fs").writeSync(3, "alive\\n"); beat(); setInterval(beat, ${millis})`
const idle = "setInterval(() => {}, 1e6)"
const once = { type: "temporary" } as const

/** Holds up this process, with its supervisor, as a long computation does. */
const block = (millis: number) =>
  Effect.sync(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
  })

class Broken extends Schema.TaggedClass<Broken>("test/Broken")("Broken", {}) {}

type Answer = "bad" | "good" | "late" | "vague" | "dies"

/** A probe that answers as it is told, in turn, and from then on well. */
const answering = (answers: ReadonlyArray<Answer>, delay: Duration.Input = 0) => {
  let asked = 0
  const signature = new Broken()
  const verdictOf = (answer: Answer): Effect.Effect<Verdict.Verdict<Broken>> => {
    switch (answer) {
      case "bad":
        return Effect.succeed(Verdict.unhealthy(signature))
      case "good":
        return Effect.succeed(Verdict.healthy)
      case "late":
        return Effect.never
      case "vague":
        return Effect.succeed(Verdict.inconclusive("who knows"))
      case "dies":
        return Effect.die("a bug of the probe")
    }
  }
  const probe = Probe.make({
    name: "answering",
    reports: [Broken],
    check: Effect.suspend(() => Effect.delay(verdictOf(answers[asked++] ?? "good"), delay))
  })
  return { probe, asked: () => asked }
}

describe("heartbeat", () => {
  it.live("what is stopped by SIGSTOP is replaced when its heartbeats are missed, and the restart counts", () =>
    Effect.gen(function* () {
      const liveness = { heartbeat: "3 seconds" } as const
      const supervisor = yield* supervise([
        inline("lines", beats(500), { ready: "notify", liveness }),
        node("app", ["supervised.mjs"], { ready: "notify", liveness }),
        node("message", ["supervised.mjs"], { ready: "message", liveness })
      ])
      const names = ["lines", "app", "message"]
      const before = yield* Effect.forEach(names, supervisor.status)
      for (const status of before) process.kill(pidOf(status), "SIGSTOP")
      const begin = performance.now()
      for (const status of before) {
        const after = yield* reaches(supervisor, status.name, "Running", ({ restarts }) => restarts === 1)
        assert.notStrictEqual(pidOf(after), pidOf(status))
        assert.deepInclude(after.lastExit, { _tag: "LivenessFailed", why: "no heartbeat for 3s" })
        assert.isUndefined(yield* ProcessIdentity.of(pidOf(status)))
      }
      // Measured on two idle cores: 3.2 s.
      assert.isBelow(performance.now() - begin, 15_000)
      yield* agrees(supervisor)
    })
  )

  it.live("an event loop that stands still is replaced, and what cannot drain is killed", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        node("a", ["supervised.mjs", "0", "freeze"], {
          ready: "notify",
          liveness: { heartbeat: "1 second" },
          stopGrace: "200 millis",
          restartPolicy: once
        })
      ])
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.strictEqual(lastExit?._tag, "LivenessFailed")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "Ended")
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Spawned", "Ready", "Unfit", "Exited", "Stopped", "Ended"]
      )
      yield* agrees(supervisor)
    })
  )

  it.live("whoever never sends one has the time of a start, and then failed", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        inline("a", idle, { liveness: { heartbeat: "100 millis" }, startGrace: "600 millis", restartPolicy: once }),
        // Nothing of its grace is left when it is ready; from then on it has a time of its own.
        inline("b", `setTimeout(() => { ${beats(50)} }, 300)`, {
          liveness: { heartbeat: "2 seconds" },
          startGrace: "1 millis"
        })
      ])
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.deepInclude(lastExit, { _tag: "LivenessFailed", why: "it never sent a heartbeat" })
      const [, , exited] = yield* eventsUntil(supervisor, (event) => event._tag === "Exited").pipe(
        Effect.map((events) => events.filter(({ name }) => name === "a")),
        Effect.map(([spawned, ready, unfit, end]) => [spawned, ready, end ?? unfit])
      )
      assert.strictEqual(exited?._tag, "Exited")
      if (exited?._tag === "Exited") assert.isAtLeast(Duration.toMillis(exited.ranFor), 599)
      assert.deepInclude(yield* supervisor.status("b"), { state: "Running", restarts: 0 })
      yield* agrees(supervisor)
    })
  )

  it.live("a supervisor that was held up itself finds nobody dead, late or not ready who is fine", () =>
    Effect.gen(function* () {
      const { probe } = answering([], "20 millis")
      const restartPolicy = once
      const supervisor = yield* supervise(
        [
          inline("beats", beats(100), { liveness: { heartbeat: "700 millis" }, restartPolicy }),
          node("app", ["supervised.mjs"], { ready: "message", liveness: { heartbeat: "700 millis" }, restartPolicy }),
          inline("answers", idle, {
            liveness: { probe, interval: "10 millis", timeout: "200 millis", failures: 1 },
            restartPolicy
          }),
          inline("starts", `setTimeout(() => require("node:fs").writeSync(3, "\\n"), 800); ${idle}`, {
            ready: "notify",
            startGrace: "2 seconds",
            restartPolicy
          })
        ],
        { autoStart: false }
      )
      const names = ["beats", "app", "answers", "starts"]
      yield* Effect.forEach(names.slice(0, 3), supervisor.start, { discard: true })
      yield* reaches(supervisor, "app", "Running")
      yield* supervisor.start("starts")
      yield* block(3000)
      // All that is late by then is decided.
      yield* Effect.sleep("1 second")
      for (const name of names)
        assert.deepInclude(yield* supervisor.status(name), { state: "Running", restarts: 0 }, name)
      yield* agrees(supervisor)
    })
  )
})

describe("probe", () => {
  it.live(
    "so many failures in a row are its end: an answer begins anew, and one that says nothing does not count",
    () =>
      Effect.gen(function* () {
        const { asked, probe } = answering(["bad", "late", "good", "bad", "vague", "dies", "late", "vague", "bad"])
        const supervisor = yield* supervise([
          inline("a", idle, { liveness: { probe, interval: "20 millis", timeout: "50 millis", failures: 3 } })
        ])
        const { lastExit } = yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
        assert.deepInclude(lastExit, { _tag: "LivenessFailed", why: "answering: Broken" })
        assert.isAtLeast(asked(), 9)
        const events = yield* eventsUntil(supervisor, (event) => event._tag === "Spawned" && event.restarts === 1)
        assert.lengthOf(
          events.filter((event) => event._tag === "Unfit"),
          1
        )
        yield* agrees(supervisor)
      })
  )

  it.live("no answer in time is a failure that says so", () =>
    Effect.gen(function* () {
      const { asked, probe } = answering(["late", "late"])
      const supervisor = yield* supervise([
        inline("a", idle, {
          liveness: { probe, interval: "10 millis", timeout: "30 millis", failures: 2 },
          restartPolicy: once
        })
      ])
      const { lastExit } = yield* reaches(supervisor, "a", "Ended")
      assert.deepInclude(lastExit, { _tag: "LivenessFailed", why: "answering: no answer within 30ms" })
      assert.strictEqual(asked(), 2)
      yield* agrees(supervisor)
    })
  )

  it.live("nobody is asked before the process is ready, nor after it has ended", () =>
    Effect.gen(function* () {
      const { asked, probe } = answering([])
      const supervisor = yield* supervise(
        [
          inline("a", `setTimeout(() => require("node:fs").writeSync(3, "\\n"), 300); ${idle}`, {
            ready: "notify",
            liveness: { probe, interval: "10 millis" }
          })
        ],
        { autoStart: false }
      )
      yield* supervisor.start("a")
      yield* Effect.sleep("100 millis")
      assert.strictEqual((yield* supervisor.status("a")).state, "Starting")
      assert.strictEqual(asked(), 0)
      yield* reaches(supervisor, "a", "Running")
      yield* Effect.sleep("100 millis")
      assert.isAbove(asked(), 0)
      yield* supervisor.stop("a")
      const after = asked()
      yield* Effect.sleep("100 millis")
      assert.strictEqual(asked(), after)
      yield* agrees(supervisor)
    })
  )
})
