import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { refusal } from "../../testing/src/Expect.ts"
import * as TestMount from "../../testing/src/TestMount.ts"
import * as Group from "../src/Group.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import { type ProcessOptions, startSupervisor } from "../src/promise.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { run } from "./stack.ts"
import { eventsUntil, supervise, temporaryFolder } from "./support.ts"

const idle = run("idle.mjs")

/** Each is wrong in one way, which the message is to name. */
const bad = (folder: string): ReadonlyArray<readonly [ProcessOptions, field: string, code: string, words: string]> => {
  const missing = Path.join(folder, "missing")
  const text = Path.join(folder, "plain.txt")
  Fs.writeFileSync(text, "A B\n", { mode: 0o600 })
  return [
    [{ name: "path", command: missing }, "command", "ENOENT", missing],
    [{ name: "word", command: "no-such-program" }, "command", "ENOENT", "PATH"],
    [{ name: "text", command: text }, "command", "EACCES", text],
    [{ name: "folder", command: folder }, "command", "EACCES", folder],
    [{ ...idle, name: "cwd", cwd: missing }, "cwd", "ENOENT", missing],
    [{ ...idle, name: "cwd-file", cwd: text }, "cwd", "ENOTDIR", text],
    [{ ...idle, name: "env-missing", envFile: missing }, "envFile", "EINVAL", missing],
    [{ ...idle, name: "env-text", envFile: text }, "envFile", "EINVAL", "line 1"],
    [{ ...idle, name: "log", log: Path.join(missing, "deep", "out.log") }, "log.file", "ENOENT", missing],
    [{ ...idle, name: "log-folder", log: folder }, "log.file", "EACCES", folder],
    [
      { ...idle, name: "log-error", log: { file: Path.join(folder, "ok.log"), errorFile: Path.dirname(folder) } },
      "log.errorFile",
      "EACCES",
      Path.dirname(folder)
    ]
  ]
}

const makeSpec = (options: ProcessOptions) => ProcessSpec.make(options as ProcessSpec.SpecOptions)

describe("what cannot work on this machine", () => {
  it.live("is told of all of them at once, before anything starts, with process and field", () =>
    Effect.gen(function* () {
      const cases = bad(yield* temporaryFolder)
      const good = makeSpec({ ...idle, name: "good" })
      const problems = yield* Supervisor.problems([good, ...cases.map(([options]) => makeSpec(options))])
      assert.deepStrictEqual(
        problems.map((problem) => [problem.process, problem.field, problem.code]),
        cases.map(([{ name }, field, code]) => [name, field, code])
      )
      for (const [index, problem] of problems.entries()) {
        const [options, field, , words = ""] = cases[index] ?? []
        assert.include(problem.message, `process "${options?.name}", ${field}: `)
        assert.include(problem.message, words)
      }
      assert.deepStrictEqual(yield* Supervisor.problems([good]), [])
    })
  )

  it.live("fails that process for good, and keeps no other; it starts when it is put right", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const cases = bad(folder)
      const supervisor = yield* supervise([
        makeSpec({ ...idle, name: "first" }),
        ...cases.map(([options]) => makeSpec(options)),
        makeSpec({ ...idle, name: "last" })
      ])
      for (const name of ["first", "last"]) assert.strictEqual((yield* supervisor.status(name)).state, "Running")
      for (const [{ name }, field, code, words] of cases) {
        const { lastExit, restarts, state } = yield* supervisor.status(name)
        assert.deepStrictEqual([state, restarts], ["Failed", 0], name)
        assert.deepInclude(lastExit, { _tag: "SpawnFailed", code })
        const error = yield* Effect.flip(supervisor.start(name))
        assert.strictEqual(error.process, name)
        assert.strictEqual(error.reason._tag, "Unavailable")
        for (const part of [`process "${name}", ${field}: `, words]) assert.include(error.message, part)
      }
      const events = yield* eventsUntil(supervisor, ({ _tag, name }) => _tag === "GaveUp" && name === "log-error")
      assert.deepStrictEqual(events.flatMap((event) => (event._tag === "Spawned" ? [event.name] : [])).toSorted(), [
        "first",
        "last"
      ])
      Fs.mkdirSync(Path.join(folder, "missing"))
      yield* supervisor.start("cwd")
      assert.strictEqual((yield* supervisor.status("cwd")).state, "Running")
    })
  )

  it.live.skipIf(TestMount.isMissing())("is a folder for logs that cannot be written", () =>
    Effect.gen(function* () {
      const { path } = yield* TestMount.tmpfs({ readOnly: true })
      const log = Path.join(path, "out.log")
      const supervisor = yield* supervise([
        makeSpec({ ...idle, name: "logs", log }),
        makeSpec({ ...idle, name: "good" })
      ])
      assert.strictEqual((yield* supervisor.status("good")).state, "Running")
      assert.deepInclude((yield* supervisor.status("logs")).lastExit, { _tag: "SpawnFailed", code: "EROFS" })
      const error = yield* Effect.flip(supervisor.start("logs"))
      for (const words of ['process "logs", log.file', path, "write"]) assert.include(error.message, words)
    })
  )

  it.live("is a state folder that cannot be one: then nothing starts at all", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "file")
      Fs.writeFileSync(file, "")
      const started = Path.join(folder, "started")
      const touch = makeSpec({ name: "touch", command: "touch", args: [started] })
      for (const stateFolder of [file, Path.join(folder, "not", "there"), "/proc/nexo"]) {
        const error = yield* Effect.flip(Effect.scoped(supervise([touch], { id: "state", stateFolder })))
        assert.strictEqual(error._tag === "StateFileError" && error.reason._tag, "Unusable")
        assert.include(error.message, stateFolder)
      }
      assert.isFalse(Fs.existsSync(started))
    })
  )
})

const spec = (name: string, options: Partial<ProcessOptions> = {}) => makeSpec({ ...idle, name, ...options })

describe("what contradicts itself", () => {
  it("is refused as a whole, and named", () => {
    const cases: ReadonlyArray<
      readonly [members: ReadonlyArray<Group.Member>, option: string, words: ReadonlyArray<string>]
    > = [
      [[spec("twin"), spec("twin")], "name", ["twin"]],
      [[spec("twin"), Group.make({ name: "twin", members: [spec("a")] })], "name", ["twin"]],
      [[spec("many", { instances: 2 }), spec("many:1")], "name", ["many:1"]],
      [[spec("a", { dependsOn: ["b"] })], "a.dependsOn", ["b", "one of a"]],
      [[spec("a", { dependsOn: ["a"] })], "dependsOn", ["a"]],
      [
        [spec("a", { dependsOn: ["c"] }), spec("b", { dependsOn: ["a"] }), spec("c", { dependsOn: ["b"] })],
        "dependsOn",
        ["a", "b", "c"]
      ],
      [[spec("a", { port: 20_004 }), spec("b", { port: 20_004 })], "b.port", ["20004", "a has this one"]],
      [
        [spec("a", { log: "/tmp/../tmp/a.log" }), spec("b", { log: { file: "/tmp/b.log", errorFile: "/tmp/a.log" } })],
        "b.log.errorFile",
        ["/tmp/a.log", "a has this one"]
      ]
    ]
    for (const [members, option, words] of cases) {
      for (const make of [() => Supervisor.layer(members), () => Supervisor.problems(members)]) {
        const error = refusal(make)
        assert.strictEqual(error.module, "Supervisor")
        assert.include(error.option, option)
        for (const word of words) assert.include(error.message, word)
      }
    }
  })

  it("is refused of the supervisor's own options, too", () => {
    for (const [options, option] of [
      [{ id: "a/b" }, "id"],
      [{ stateFolder: "/tmp" }, "id"],
      [{ id: "a", stateFolder: "" }, "stateFolder"],
      [{ autoStart: "yes" }, "autoStart"],
      [{ strategy: "all" }, "strategy"],
      [{ intensity: { limit: -1, window: "1 second" } }, "intensity.limit"],
      [{ statefolder: "/tmp" }, "statefolder"]
    ] as const) {
      const error = refusal(() => Supervisor.layer([], options as Supervisor.SupervisorOptions))
      assert.include(error.option, option)
    }
  })
})

const rejection = (make: () => Promise<unknown>) =>
  Effect.promise(() =>
    make().then(
      () => Promise.reject(new Error("it did not reject")),
      (cause: unknown) => cause
    )
  )

describe("the Promise face", () => {
  it.live("starts the good ones, and rejects for a bad one with its process and field", () =>
    Effect.gen(function* () {
      const cases = bad(yield* temporaryFolder)
      const supervisor = yield* Effect.acquireRelease(
        Effect.promise(() =>
          startSupervisor({ processes: [{ ...idle, name: "good" }, ...cases.map(([options]) => options)] })
        ),
        (running) => Effect.promise(running.close)
      )
      assert.strictEqual((yield* Effect.promise(() => supervisor.status("good"))).state, "Running")
      for (const [{ name }, field, code, words] of cases) {
        const { lastExit } = yield* Effect.promise(() => supervisor.status(name))
        assert.deepInclude(lastExit, { _tag: "SpawnFailed", code })
        const error = yield* rejection(() => supervisor.start(name))
        assert.deepInclude(error, { _tag: "ProcessControlError", process: name })
        assert.instanceOf(error, Error)
        for (const part of [`process "${name}", ${field}: `, words]) {
          assert.include(error instanceof Error ? error.message : "", part)
        }
      }
    })
  )

  it.live("rejects what contradicts itself, and a state folder that cannot be one", () =>
    Effect.gen(function* () {
      const twin = { ...idle, name: "twin" }
      const twins = yield* rejection(() => startSupervisor({ processes: [twin, twin] }))
      assert.deepInclude(twins, { _tag: "OptionError", module: "Supervisor", option: "name", value: "twin" })
      const state = yield* rejection(() => startSupervisor({ id: "a", stateFolder: "/proc/nexo", processes: [twin] }))
      assert.deepInclude(state, { _tag: "StateFileError", id: "a" })
    })
  )
})
