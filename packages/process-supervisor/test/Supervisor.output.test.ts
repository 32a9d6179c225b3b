import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { mask } from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

import * as Group from "../src/Group.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import type { Plain } from "./stack.ts"
import { eventually, reaches, supervise, temporaryFolder } from "./support.ts"

const secret = "hunter2-and-some-more"

/** Writes a text each time that it gets SIGUSR2. */
const speaker = (name: string, text: string, options: Plain = {}) => {
  const speak = `process.on("SIGUSR2", () => process.stdout.write(${JSON.stringify(text)}))`
  return ProcessSpec.make({
    name,
    command: process.execPath,
    args: ["-e", `${speak}; setInterval(() => {}, 1e6); console.log("up")`],
    ready: /^up$/,
    ...options
  })
}

describe("logs", () => {
  it.live("come as lines without secrets, while the file has every byte", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "a.log")
      // It was given one secret, says another one's, and one that only looks like it.
      const text = `mine ${secret}\nits other-secret-of-b\nAuthorization: Bearer abcdefghijklmnop\nplain żółć\n`
      const supervisor = yield* supervise([
        speaker("a", text, { env: { MINE: Redacted.make(secret) }, log: file }),
        speaker("b", "of b\n", { env: { OTHER: Redacted.make("other-secret-of-b") } })
      ])
      const lines = yield* supervisor
        .logs("a")
        .pipe(Stream.take(8), Stream.runCollect, Effect.forkChild({ startImmediately: true }))
      yield* supervisor.signal("b", "SIGUSR2")
      yield* supervisor.signal("a", "SIGUSR2")
      yield* eventually(
        "the first time is in the file",
        Effect.sync(() => Fs.readFileSync(file, "utf8").includes("plain") || undefined)
      )
      yield* supervisor.signal("a", "SIGUSR2")
      const shown = (yield* Fiber.join(lines)).map((line) => line.text)
      const once = [`mine ${mask}`, `its ${mask}`, `Authorization: Bearer ${mask}`, "plain żółć"]
      assert.deepStrictEqual(
        shown.map((line) => (line.startsWith("Authorization") ? once[2] : line)),
        [...once, ...once]
      )
      for (const word of [secret, "other-secret", "abcdefghij"]) assert.notInclude(shown.join("\n"), word)
      yield* eventually(
        "both times are in the file, byte by byte",
        Effect.sync(() => Fs.readFileSync(file, "utf8") === `up\n${text}${text}` || undefined)
      )
    })
  )

  it.live("hide what its file says since its latest start, and still what it said before", () =>
    Effect.gen(function* () {
      const envFile = Path.join(yield* temporaryFolder, ".env")
      const isGiven = (key: string) => Effect.sync(() => Fs.writeFileSync(envFile, `API_KEY=${key}\n`))
      const says = `console.log("keys", "first-topaz-harbour", process.env.API_KEY)`
      yield* isGiven("first-topaz-harbour")
      const supervisor = yield* supervise([
        ProcessSpec.make({
          name: "a",
          command: process.execPath,
          args: ["-e", `process.on("SIGUSR2", () => ${says}); setInterval(() => {}, 1e6); console.log("up")`],
          ready: /^up$/,
          envFile
        })
      ])
      yield* isGiven("second-emerald-lagoon")
      yield* supervisor.restart("a")
      yield* reaches(supervisor, "a", "Running")
      const said: Array<string> = []
      const listen = Stream.runForEach(supervisor.logs("a"), ({ text }) => Effect.sync(() => void said.push(text)))
      yield* Effect.forkChild(listen, { startImmediately: true })
      // Again until it is heard: who has just begun to listen may miss the first.
      const line = yield* eventually(
        "it has spoken",
        Effect.map(supervisor.signal("a", "SIGUSR2"), () => said.find((text) => text !== "up"))
      )
      assert.strictEqual(line, `keys ${mask} ${mask}`)
    })
  )

  it.live("are those of a process, of each member of a group, or of all; and end with the supervisor", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const open = yield* Effect.scoped(
        Effect.gen(function* () {
          const supervisor = yield* supervise([
            Group.make({ name: "both", members: [speaker("a", "of a\n"), speaker("b", "of b\n")] }),
            speaker("c", "of c\n", { log: Path.join(folder, "c.log") })
          ])
          const of = (process?: string) =>
            supervisor.logs(process).pipe(Stream.runCollect, Effect.forkDetach({ startImmediately: true }))
          const all = { both: yield* of("both"), c: yield* of("c"), all: yield* of() }
          for (const name of ["a", "b", "c"]) yield* supervisor.signal(name, "SIGUSR2")
          yield* eventually(
            "all have spoken",
            Effect.map(
              Effect.forEach(["a", "b", "c"], supervisor.logStats),
              (stats) => stats.every(({ received }) => received === "up\nof a\n".length) || undefined
            )
          )
          const error = yield* Effect.flip(Stream.runDrain(supervisor.logs("nobody")))
          assert.strictEqual(error.reason._tag, "UnknownProcess")
          return all
        })
      )
      const texts = (fiber: typeof open.all) =>
        Effect.map(Fiber.join(fiber), (lines) => lines.map(({ process, text }) => `${process}: ${text}`).toSorted())
      assert.deepStrictEqual(yield* texts(open.both), ["a: of a", "b: of b"])
      assert.deepStrictEqual(yield* texts(open.c), ["c: of c"])
      assert.deepStrictEqual(yield* texts(open.all), ["a: of a", "b: of b", "c: of c"])
    })
  )

  it.live("have the last words of what is stopped when the supervisor ends, to the last byte", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "last.log")
      const bye = `process.on("SIGTERM", () => process.stdout.write("x".repeat(3_000_000) + "bye", () => process.exit(0)))`
      const last = ProcessSpec.make({
        name: "last",
        command: process.execPath,
        args: ["-e", `${bye}; setInterval(() => {}, 1e6); console.log("up")`],
        ready: /^up$/,
        log: file
      })
      yield* Effect.scoped(supervise([last]))
      assert.strictEqual(Fs.statSync(file).size, "up\n".length + 3_000_000 + "bye".length)
    })
  )

  it.live("account for every byte after a burst, of a process that has ended", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "burst.log")
      const [count, length] = [20_000, 1000]
      const burst = `const line = "x".repeat(${length - 1}) + "\\n"
        let left = ${count}
        const write = () => { while (left > 0) { left -= 1; if (!process.stdout.write(line)) return } }
        process.stdout.on("drain", write); write()`
      const supervisor = yield* supervise([
        ProcessSpec.make({
          name: "burst",
          command: process.execPath,
          args: ["-e", burst],
          restartPolicy: { type: "temporary" },
          log: { file, rotate: { size: "4 MB", keep: 10, gzip: false } }
        })
      ])
      yield* reaches(supervisor, "burst", "Ended")
      const stats = yield* eventually(
        "all of it has been read and written",
        Effect.map(supervisor.logStats("burst"), (now) => (now.waiting === 0 && now.received > 0 ? now : undefined))
      )
      assert.deepInclude(stats, { received: count * length, lastError: undefined })
      assert.strictEqual(stats.written.bytes + stats.dropped.bytes + stats.filtered.bytes, stats.received)
      assert.deepStrictEqual(stats.dropped, { bytes: 0, lines: 0 })
      const sizes = Fs.readdirSync(folder).map((name) => Fs.statSync(Path.join(folder, name)).size)
      assert.strictEqual(
        sizes.reduce((sum, size) => sum + size, 0),
        count * length
      )
      assert.isAtLeast(stats.rotations, 4)
    })
  )
})
