import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import * as Binary from "../../testing/src/Binary.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import { gone, stack } from "./stack.ts"
import { eventsUntil, node, reaches, supervise, temporaryFolder, textOf } from "./support.ts"

const Environment = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

/** What a process was started with, without what the supervisor sets for itself. */
const environmentOf = Effect.fnUntraced(function* (file: string) {
  const all = yield* Schema.decodeEffect(Environment)(yield* textOf(file))
  return Object.fromEntries(Object.entries(all).filter(([name]) => !["NEXO_SUPERVISED", "NEXO_LIFE"].includes(name)))
})

const secret = "hunter2-and-some-more"

describe("the environment of a process", () => {
  it.live(
    "is what it inherits by name, its file, its port, and its own, of which each has the last word over those before",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const [file, envFile] = [Path.join(folder, "out"), Path.join(folder, ".env")]
        Fs.writeFileSync(envFile, `# of the file\nPASSWORD="${secret}"\nBOTH=file\nexport INHERITED=file\nPORT=1\n`)
        process.env["INHERITED"] = "supervisor"
        process.env["PLAIN_INHERITED"] = "supervisor"
        process.env["NOT_NAMED"] = "supervisor"
        const supervisor = yield* supervise([
          node("a", ["env.mjs", file], {
            envFile,
            port: 20_003,
            env: { BOTH: "own", OWN: Redacted.make(secret) },
            inheritEnv: ["INHERITED", "PLAIN_INHERITED", "NOT_SET"]
          })
        ])
        assert.deepStrictEqual(yield* environmentOf(file), {
          INHERITED: "file",
          PLAIN_INHERITED: "supervisor",
          PASSWORD: secret,
          BOTH: "own",
          OWN: secret,
          PORT: "20003",
          NEXO_REUSE_PORT: "1"
        })
        // It is read at each start.
        Fs.writeFileSync(envFile, "BOTH=file\nNEW=1\n")
        Fs.rmSync(file)
        yield* supervisor.restart("a")
        assert.deepStrictEqual(yield* environmentOf(file), {
          PLAIN_INHERITED: "supervisor",
          INHERITED: "supervisor",
          BOTH: "own",
          NEW: "1",
          OWN: secret,
          PORT: "20003",
          NEXO_REUSE_PORT: "1"
        })
      })
  )

  it.live("without anything told is what finds programs and speaks the language, and nothing else", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* temporaryFolder, "out")
      yield* supervise([node("a", ["env.mjs", file])])
      const names = Object.keys(yield* environmentOf(file))
      assert.deepStrictEqual(
        names.filter((name) => !ProcessSpec.defaultInheritEnv.includes(name)),
        []
      )
      assert.include(names, "PATH")
    })
  )

  it.live("has no file: the start says which, the others run, and it starts when the file is there", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [file, envFile] = [Path.join(folder, "out"), Path.join(folder, ".env")]
      const supervisor = yield* supervise([node("a", ["env.mjs", file], { envFile }), node("b", ["idle.mjs"])])
      assert.strictEqual((yield* supervisor.status("b")).state, "Running")
      const { lastExit, state } = yield* supervisor.status("a")
      assert.strictEqual(state, "Failed")
      assert.strictEqual(lastExit?._tag, "SpawnFailed")
      const error = yield* Effect.flip(supervisor.start("a"))
      for (const words of ['process "a", envFile', envFile]) assert.include(error.message, words)
      Fs.writeFileSync(envFile, `ONE=1\n${secret}\n`)
      const unparsable = yield* Effect.flip(supervisor.start("a"))
      assert.include(unparsable.message, "line 2")
      assert.notInclude(unparsable.message, secret)
      Fs.writeFileSync(envFile, "ONE=1\n")
      yield* supervisor.start("a")
      assert.include(yield* environmentOf(file), { ONE: "1" })
      yield* reaches(supervisor, "a", "Running")
    })
  )
})

describe("a secret", () => {
  it.live("is in no event, status, error, statistic, state file or command line", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [file, envFile] = [Path.join(folder, "out"), Path.join(folder, ".env")]
      Fs.writeFileSync(envFile, `FROM_FILE=${secret}\n`)
      const env = { OWN: Redacted.make(secret) }
      const id = `secret-${process.pid}`
      const restartPolicy = { attempts: 1 }
      const supervisor = yield* supervise(
        [
          node("a", ["env.mjs", file], { env, envFile, onSupervisorDeath: "survive" }),
          node("fails", ["exit.mjs", "1"], { env, envFile, restartPolicy }),
          node("missing", ["idle.mjs"], { env, envFile, cwd: Path.join(folder, "missing") }),
          ProcessSpec.make({ name: "contained", command: "true", env, containment: "cgroup", restartPolicy })
        ],
        { id, stateFolder: Path.join(folder, "state") }
      )
      assert.include(yield* environmentOf(file), { OWN: secret, FROM_FILE: secret })
      const events = yield* eventsUntil(supervisor, ({ _tag, name }) => _tag === "GaveUp" && name === "fails")
      const errors = [yield* Effect.flip(supervisor.start("missing")), yield* Effect.flip(supervisor.status("none"))]
      const stats = yield* supervisor.logStats("a")
      yield* supervisor.restart("a")
      const shown = [
        JSON.stringify([events, yield* supervisor.list, errors, stats]),
        ...errors.map((error) => `${error.message}${error.stack}`),
        ...Fs.readdirSync(Path.join(folder, "state"), { withFileTypes: true }).flatMap((entry) =>
          entry.isFile() ? [Fs.readFileSync(Path.join(folder, "state", entry.name), "latin1")] : []
        )
      ]
      for (const text of shown) {
        for (const form of [secret, Buffer.from(secret).toString("base64"), Buffer.from(secret).toString("hex")]) {
          assert.notInclude(text, form)
        }
      }
    })
  )
})

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot || Binary.skipWithout("setpriv", "apt-get install util-linux"))("another user", () => {
  it.live("runs it with his rights and no group of ours, and its log is written all the same", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = Path.join(folder, "out.log")
      const id = `user-${process.pid}`
      const nobody = { command: "/bin/sh", cwd: "/", uid: 65_534, gid: 65_534 }
      const { close, children } = yield* stack(
        {
          id,
          processes: [
            { ...nobody, name: "user", args: ["-c", "id -u; id -g; id -G; exec sleep 600"], log: file },
            // It may not look into a folder that is ours alone.
            { ...nobody, name: "refused", args: ["-c", "exec sleep 600"], cwd: folder }
          ]
        },
        { prefix: ["setpriv", "--groups=1,2,3"] }
      )
      assert.strictEqual(yield* textOf(file), "65534\n65534\n65534\n")
      assert.isDefined(children["user"])
      assert.isUndefined(children["refused"])
      assert.strictEqual(Fs.statSync(file).uid, 0)
      assert.strictEqual(yield* close, 0)
      yield* gone(id)
    })
  )
})
