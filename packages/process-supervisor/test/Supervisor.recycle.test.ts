import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as ProcessSpec from "../src/ProcessSpec.ts"
import type * as Supervisor from "../src/Supervisor.ts"
import { agrees, eventually, eventsUntil, inline, pidOf, reaches, supervise, temporaryFolder } from "./support.ts"

type Service = Supervisor.Supervisor["Service"]

const idle = "setInterval(() => {}, 1e6)"

/** No restart at all would be borne. */
const none = { attempts: 0 } as const

/** So many times it is replaced for this reason; then it runs on, and none of it counts. */
const isReplaced = Effect.fnUntraced(function* (supervisor: Service, why: "Cron" | "MaxAge", times: number) {
  let ends = 0
  const events = yield* eventsUntil(supervisor, (event) => event._tag === "Spawned" && (ends += 1) > times)
  const life = ["Spawned", "Ready", "Exited", "Stopped", "RestartDecided"]
  assert.deepStrictEqual(
    events.map(({ _tag }) => _tag),
    [...Array.from({ length: times }, () => life).flat(), "Spawned"]
  )
  for (const event of events) {
    if (event._tag === "Exited") assert.deepInclude(event.exit, { _tag: "Recycled", why })
    if (event._tag === "RestartDecided") assert.deepInclude(event, { why: "Recycled", restarts: 0 })
  }
  return events
})

describe("recycle", { concurrent: true }, () => {
  it.live("at its age", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", idle, { maxAge: "1 second", restartPolicy: none })])
      const events = yield* isReplaced(supervisor, "MaxAge", 2)
      for (const event of events) {
        if (event._tag === "Exited") assert.isAtLeast(Duration.toMillis(event.ranFor), 1000)
      }
      yield* supervisor.stop("a")
      yield* agrees(supervisor)
    })
  )

  it.live("at the times of its cron expression, once at each", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", idle, { cron: "* * * * * *", restartPolicy: none })])
      const events = yield* isReplaced(supervisor, "Cron", 2)
      const times = events.filter((event) => event._tag === "Exited").map(({ at }) => Math.floor(at / 1000))
      assert.strictEqual(new Set(times).size, 2)
      yield* supervisor.stop("a")
      yield* agrees(supervisor)
    })
  )

  it.live("who is not to run is not started by it", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([
        inline("a", idle, { maxAge: "1 second", cron: "* * * * * *" }),
        inline("ended", "process.exit(0)", { cron: "* * * * * *", restartPolicy: { type: "temporary" } })
      ])
      yield* supervisor.stop("a")
      yield* Effect.sleep("1200 millis")
      assert.strictEqual((yield* supervisor.status("a")).state, "Stopped")
      assert.strictEqual((yield* supervisor.status("ended")).state, "Ended")
      yield* agrees(supervisor)
    })
  )
})

describe("watch", { concurrent: true }, () => {
  /** Changes a file again and again, as the watch may have to begin, until the process is another one. */
  const changesUntilReplaced = Effect.fnUntraced(function* (supervisor: Service, file: string) {
    const before = pidOf(yield* supervisor.status("a"))
    let change = 0
    return yield* eventually(
      "it is replaced",
      Effect.gen(function* () {
        Fs.writeFileSync(file, String((change += 1)))
        yield* Effect.sleep("200 millis")
        const status = yield* supervisor.status("a")
        return status.identity !== undefined && status.identity.pid !== before ? status : undefined
      })
    )
  })

  it.live("a changed file replaces it, an ignored one and its own log do not", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = (name: string) => Path.join(folder, name)
      Fs.writeFileSync(path(".gitignore"), "*.tmp\n")
      const supervisor = yield* supervise([
        inline("a", `setInterval(() => console.log("something to say"), 20)`, {
          cwd: folder,
          watch: { debounce: "50 millis" },
          log: path("a.log"),
          restartPolicy: none
        })
      ])
      yield* changesUntilReplaced(supervisor, path("source.js"))
      // The watch of the new one has begun, and what was changed for the old one is over.
      yield* Effect.sleep("500 millis")
      const settled = (yield* supervisor.status("a")).identity
      for (let count = 0; count < 5; count += 1) {
        Fs.writeFileSync(path("ignored.tmp"), String(count))
        yield* Effect.sleep("50 millis")
      }
      yield* Effect.sleep("300 millis")
      assert.isAbove(Fs.statSync(path("a.log")).size, 0)
      assert.deepStrictEqual((yield* supervisor.status("a")).identity, settled)
      yield* changesUntilReplaced(supervisor, path("source.js"))
      assert.strictEqual((yield* supervisor.status("a")).restarts, 0)
      yield* supervisor.stop("a")
      yield* agrees(supervisor)
    })
  )

  it.live("what is not ready yet is replaced as well, and the watch goes on over a reload", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "version")
      const program = `const Fs = require("node:fs"); if (Fs.existsSync("${file}")) Fs.writeSync(3, "\\n"); ${idle}`
      const supervisor = yield* supervise(
        [
          inline("a", program, {
            cwd: folder,
            watch: { debounce: "50 millis" },
            ready: "notify",
            startGrace: "1 minute",
            restartPolicy: none
          })
        ],
        { autoStart: false }
      )
      yield* supervisor.start("a")
      assert.strictEqual((yield* supervisor.status("a")).state, "Starting")
      yield* changesUntilReplaced(supervisor, file)
      yield* reaches(supervisor, "a", "Running")
      yield* Effect.sleep("500 millis")
      yield* supervisor.reload("a")
      yield* changesUntilReplaced(supervisor, file)
      assert.strictEqual((yield* reaches(supervisor, "a", "Running")).restarts, 0)
      yield* supervisor.stop("a")
      yield* agrees(supervisor)
    })
  )

  it.live("what was given up is started again when its files change, and what was stopped is not", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "mended")
      const program = `require("node:fs").existsSync("${file}") ? (() => { ${idle} })() : process.exit(1)`
      const supervisor = yield* supervise([
        inline("a", program, { cwd: folder, watch: { debounce: "50 millis" }, restartPolicy: none })
      ])
      yield* reaches(supervisor, "a", "Failed")
      yield* eventually(
        "it runs",
        Effect.gen(function* () {
          Fs.writeFileSync(file, String(Math.random()))
          yield* Effect.sleep("200 millis")
          return (yield* supervisor.status("a")).state === "Running" ? true : undefined
        })
      )
      yield* agrees(supervisor)
      yield* supervisor.stop("a")
      Fs.writeFileSync(file, "more")
      yield* Effect.sleep("400 millis")
      assert.strictEqual((yield* supervisor.status("a")).state, "Stopped")
      yield* agrees(supervisor)
    })
  )

  it.live("what could never be spawned is started when its program comes", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const command = Path.join(folder, "run.sh")
      const watch = { debounce: "50 millis" } as const
      const supervisor = yield* supervise([
        ProcessSpec.make({ name: "a", command, cwd: folder, watch, restartPolicy: none })
      ])
      yield* reaches(supervisor, "a", "Failed")
      yield* eventually(
        "it runs",
        Effect.gen(function* () {
          // Moved into its place, as what is open for writing cannot be run.
          Fs.writeFileSync(`${command}.part`, "#!/bin/sh\nexec sleep 600\n", { mode: 0o700 })
          Fs.renameSync(`${command}.part`, command)
          yield* Effect.sleep("200 millis")
          return (yield* supervisor.status("a")).state === "Running" ? true : undefined
        })
      )
      yield* agrees(supervisor)
    })
  )

  it.live("a change while it is being replaced is not missed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [source, loaded] = [Path.join(folder, "source"), Path.join(folder, "loaded.log")]
      Fs.writeFileSync(source, "0")
      Fs.writeFileSync(Path.join(folder, ".gitignore"), "*.log\n")
      // Loads its source at once, and takes its time to end.
      const program = `
        const Fs = require("node:fs")
        Fs.writeFileSync("${loaded}", Fs.readFileSync("${source}"))
        process.on("SIGTERM", () => setTimeout(() => process.exit(0), 100))
        ${idle}`
      const supervisor = yield* supervise([
        inline("a", program, { cwd: folder, watch: { debounce: "20 millis" }, restartPolicy: none })
      ])
      yield* changesUntilReplaced(supervisor, source)
      for (let version = 100; version < 130; version += 1) {
        Fs.writeFileSync(source, String(version))
        yield* Effect.sleep(`${10 + 7 * (version % 20)} millis`)
      }
      yield* eventually(
        "the last version runs",
        Effect.sync(() => (Fs.readFileSync(loaded, "utf8") === "129" ? true : undefined))
      )
      assert.strictEqual((yield* supervisor.status("a")).restarts, 0)
    })
  )
})
