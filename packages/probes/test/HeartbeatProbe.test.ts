import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { reaches, start } from "@nexobot/testing/TestProcess"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

import * as Heartbeat from "../src/Heartbeat.ts"
import * as HeartbeatProbe from "../src/HeartbeatProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const place = Effect.map(TestFolder.make, (folder) => Path.join(folder, "app.beat"))

const probing = (path: string, options: Partial<HeartbeatProbe.HeartbeatProbeOptions> = {}) =>
  HeartbeatProbe.make({ name: "beat", path, maxAge: "1 minute", ...options })

/** A file that was touched at this time. */
const touched = (path: string, millis: number) => {
  Fs.closeSync(Fs.openSync(path, "a"))
  Fs.utimesSync(path, millis / 1000, millis / 1000)
}

describe("HeartbeatProbe", () => {
  it.effect("late from one moment to the next, and healthy with the next beat", () =>
    Effect.gen(function* () {
      const path = yield* place
      const probe = probing(path)
      yield* Heartbeat.write(path)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* TestClock.adjust("1 millis")
      const age = Duration.millis(60_001)
      assert.deepStrictEqual(
        yield* probe.check,
        Verdict.unhealthy(new HeartbeatProbe.Late({ path, age, maxAge: Duration.minutes(1) }), [
          `${path}: the last beat was 1m 1ms ago`
        ])
      )
      yield* Heartbeat.write(path)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it.effect("what somebody else touches is as old as its time", () =>
    Effect.gen(function* () {
      const path = yield* place
      yield* TestClock.setTime(10_000_000_000)
      touched(path, 10_000_000_000 - 60_000)
      assert.deepStrictEqual(yield* probing(path).check, Verdict.healthy)
      touched(path, 10_000_000_000 - 61_000)
      assert.strictEqual(signatureOf(yield* probing(path).check)._tag, "Heartbeat/Late")
    })
  )

  it.effect("a file of the future, as the clock was set back, is as old as it is known", () =>
    Effect.gen(function* () {
      const path = yield* place
      const probe = probing(path)
      yield* TestClock.setTime(10_000_000_000)
      touched(path, 10_003_600_000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(signatureOf(yield* probe.check)._tag, "Heartbeat/Late")
      touched(path, 10_003_700_000)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
    })
  )

  it.effect("no file: nothing is known until the grace is over; then Missing", () =>
    Effect.gen(function* () {
      const path = yield* place
      const waiting = Verdict.inconclusive(`${path}: no beat yet`)
      const missing = Verdict.unhealthy(new HeartbeatProbe.Missing({ path }), [`${path} is not there`])
      const [probe, patient] = [probing(path), probing(path, { grace: "2 minutes" })]
      assert.deepStrictEqual(yield* Effect.all([probe.check, patient.check]), [waiting, waiting])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Effect.all([probe.check, patient.check]), [missing, waiting])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Effect.all([probe.check, patient.check]), [missing, missing])
      assert.deepStrictEqual(yield* probing(path, { grace: 0 }).check, missing)
    })
  )

  it.effect("a file that was there and is not any more is Missing at once", () =>
    Effect.gen(function* () {
      const path = yield* place
      const probe = probing(path)
      yield* Heartbeat.write(path)
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
      Fs.rmSync(path)
      assert.strictEqual(signatureOf(yield* probe.check)._tag, "Heartbeat/Missing")
    })
  )

  it.live("an event loop that is blocked is found late, though its process runs", () =>
    Effect.gen(function* () {
      const path = yield* place
      const module = JSON.stringify(import.meta.resolve("../src/Heartbeat.ts"))
      const code = `import(${module}).then(({ beat }) => {
        setInterval(() => void beat(process.argv[1]), 20)
        process.on("SIGUSR2", () => { for (;;); })
      })`
      const { pid } = yield* start(process.execPath, "--no-warnings", "-e", code, path)
      const probe = probing(path, { maxAge: "500 millis", grace: 0 })
      const reaching = (tag: string) =>
        eventually(
          tag,
          Effect.map(probe.check, (verdict) =>
            ("signature" in verdict ? verdict.signature._tag : verdict._tag) === tag ? verdict : undefined
          )
        )
      yield* reaching("Healthy")
      process.kill(pid, "SIGUSR2")
      yield* reaching("Heartbeat/Late")
    })
  )

  it.live("what cannot be read says nothing", () =>
    Effect.gen(function* () {
      const path = `/tmp/${"x".repeat(300)}`
      assert.deepStrictEqual(yield* probing(path).check, Verdict.inconclusive(`${path}: ENAMETOOLONG`))
    })
  )

  it.live("a folder, and a pipe, which is not even touched, are no heartbeat", () =>
    Effect.gen(function* () {
      const path = yield* place
      const folder = Path.dirname(path)
      assert.deepStrictEqual(yield* probing(folder).check, Verdict.inconclusive(`${folder}: EISDIR`))
      assert.strictEqual(ChildProcess.spawnSync("mkfifo", [path]).status, 0)
      const { pid } = yield* start("sh", "-c", 'echo hi >"$0"', path)
      yield* reaches(pid, "S")
      assert.deepStrictEqual(yield* probing(path).check, Verdict.inconclusive(`${path}: ENOTFILE`))
      assert.strictEqual(ChildProcess.spawnSync("timeout", ["10", "cat", path], { encoding: "utf8" }).stdout, "hi\n")
    })
  )

  it("says what it looks at, and asks for itself, as it remembers", () => {
    const probe = probing("/run/app.beat")
    assert.deepInclude(probe, { target: "file:///run/app.beat", reach: "host", effects: "none", duringStartup: "held" })
    assert.isUndefined(probe.asks)
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ path: "" }, "path"],
      [{ maxAge: 0 }, "maxAge"],
      [{ maxAge: undefined }, "maxAge"],
      [{ grace: -1 }, "grace"],
      [{ timeout: 0 }, "timeout"],
      [{ every: 1 }, "every"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => probing("/x", options))
      assert.deepStrictEqual([error.module, error.option], ["HeartbeatProbe", option])
    }
  })
})

probeContract<HeartbeatProbe.Missing | HeartbeatProbe.Late>("HeartbeatProbe", {
  situations: {
    Healthy: Effect.map(Effect.tap(place, Heartbeat.write), (path) => probing(path)),
    "Heartbeat/Missing": Effect.map(place, (path) => probing(path, { grace: 0 })),
    "Heartbeat/Late": Effect.map(
      Effect.tap(place, (path) => Effect.sync(() => touched(path, 0))),
      (path) => probing(path)
    ),
    Inconclusive: Effect.map(place, (path) => probing(path))
  }
})
