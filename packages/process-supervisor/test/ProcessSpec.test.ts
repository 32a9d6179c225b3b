import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import { OptionError } from "@nexobot/core/Options"
import * as Cron from "effect/Cron"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

import * as ProcessSpec from "../src/ProcessSpec.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { eventually, identityOf, node, reaches, supervise, temporaryFolder, textOf } from "./support.ts"

const Environment = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

describe("ProcessSpec", () => {
  it("refuses what cannot work, naming it", () => {
    const good: ProcessSpec.SpecOptions = { name: "a", command: "/bin/true" }
    const refused: ReadonlyArray<readonly [string, object]> = [
      ["name", { name: "" }],
      ["name", { name: "a/b" }],
      ["command", { command: "" }],
      ["command", { command: "a\0b" }],
      ["args[1]", { args: ["fine", "a\0b"] }],
      ["cwd", { cwd: "" }],
      ["env.A", { env: { A: 5 } }],
      ["env.A", { env: { A: Redacted.make("sec\0ret") } }],
      ["env", { env: { "A=B": "c" } }],
      ["env.NEXO_SUPERVISED", { env: { NEXO_SUPERVISED: "x/y" } }],
      ["env", { env: ["A=B"] }],
      ["env", { env: "A=sec\0ret" }],
      ["envFile", { envFile: "a\0b" }],
      ["dependsOn", { dependsOn: "db" }],
      ["dependsOn[0]", { dependsOn: [null] }],
      ["prerequisites", { prerequisites: "db" }],
      ["uid", { uid: 2 ** 32 - 1 }],
      ["inheritEnv[0]", { inheritEnv: [""] }],
      ["stopGrace", { stopGrace: "-1 seconds" }],
      ["stopSignal", { stopSignal: "SIGNOPE" }],
      ["startGrace", { startGrace: "soon" }],
      ["ready", { ready: 5 }],
      ["ready", { onSupervisorDeath: "survive", ready: "notify" }],
      ["liveness.heartbeat", { onSupervisorDeath: "survive", liveness: { heartbeat: "1 second" } }],
      ["file", { log: "" }],
      ["cron", { cron: "often" }],
      // It never comes.
      ["cron", { cron: "0 0 30 2 *" }],
      ["restart", { restart: "always" }]
    ]
    assert.strictEqual(ProcessSpec.make(good).name, "a")
    for (const [option, bad] of refused) {
      const attempt = () => ProcessSpec.make({ ...good, ...bad })
      assert.throws(attempt, OptionError, `option "${option}"`)
      assert.throws(attempt, /^((?!sec\0ret).)*$/s)
    }
  })

  it("a cron expression is one of this machine's time zone, also after its clock has changed", () => {
    const before = process.env["TZ"]
    try {
      process.env["TZ"] = "Europe/Warsaw"
      const { cron } = ProcessSpec.make({ name: "a", command: "/bin/true", cron: "0 4 * * *" })
      const after = (time: string) => (cron === undefined ? "" : Cron.next(cron, new Date(time)).toISOString())
      assert.strictEqual(after("2026-01-10T20:00:00Z"), "2026-01-11T03:00:00.000Z")
      assert.strictEqual(after("2026-07-10T20:00:00Z"), "2026-07-11T02:00:00.000Z")
      assert.strictEqual(after("2026-03-28T20:00:00Z"), "2026-03-29T02:00:00.000Z")
      assert.strictEqual(after("2026-10-24T20:00:00Z"), "2026-10-25T03:00:00.000Z")
    } finally {
      if (before === undefined) delete process.env["TZ"]
      else process.env["TZ"] = before
    }
  })

  it("a supervisor refuses two processes of one name, a bad id, and unknown options", () => {
    const spec = ProcessSpec.make({ name: "a", command: "/bin/true" })
    assert.throws(() => Supervisor.layer([spec, spec]), OptionError, `option "name" is "a"`)
    assert.throws(() => Supervisor.layer([spec], { id: "a/b" }), OptionError, `option "id" is "a/b"`)
    assert.throws(() => Supervisor.layer([spec], { ids: "a" } as never), OptionError, `option "ids"`)
    assert.throws(() => Supervisor.layer([spec], { autoStart: "no" } as never), OptionError, `option "autoStart"`)
  })

  it.live("a child gets the named variables of the parent, its own, and the cookie: no secret by accident", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["SUPERVISOR_TEST_SECRET"] = "not for children"
          process.env["SUPERVISOR_TEST_NAMED"] = "named"
        }),
        () =>
          Effect.sync(() => {
            delete process.env["SUPERVISOR_TEST_SECRET"]
            delete process.env["SUPERVISOR_TEST_NAMED"]
          })
      )
      const usual = Path.join(folder, "usual")
      const named = Path.join(folder, "named")
      const env = { PLAIN: "plain", TOKEN: Redacted.make("t0ken") }
      const supervisor = yield* supervise([
        node("usual", ["env.mjs", usual], { env }),
        node("named", ["env.mjs", named], { inheritEnv: ["SUPERVISOR_TEST_NAMED"] })
      ])
      const { startTime } = yield* identityOf(process.pid)
      const cookieOf = (name: string) => `${supervisor.id}/${name}/${process.pid}.${startTime}`
      const decode = Schema.decodeUnknownEffect(Environment)
      const usualEnv = yield* decode(yield* textOf(usual))
      assert.deepInclude(usualEnv, { PLAIN: "plain", TOKEN: "t0ken", NEXO_SUPERVISED: cookieOf("usual") })
      assert.strictEqual(usualEnv["PATH"], process.env["PATH"])
      const allowed = new Set([...ProcessSpec.defaultInheritEnv, "PLAIN", "TOKEN", "NEXO_SUPERVISED", "NEXO_LIFE"])
      assert.deepStrictEqual(
        Object.keys(usualEnv).filter((name) => !allowed.has(name)),
        []
      )
      assert.deepStrictEqual(yield* decode(yield* textOf(named)), {
        SUPERVISOR_TEST_NAMED: "named",
        NEXO_SUPERVISED: cookieOf("named"),
        NEXO_LIFE: "1"
      })
    })
  )

  it.live("the log files have every byte, of every life, mode 0600", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = { file: Path.join(folder, "out"), errorFile: Path.join(folder, "err") }
      const supervisor = yield* supervise([node("a", ["output.mjs"], { log, restartPolicy: { type: "temporary" } })])
      yield* reaches(supervisor, "a", "Ended")
      yield* supervisor.restart("a")
      yield* reaches(supervisor, "a", "Ended")
      const out = Buffer.concat([
        Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
        Buffer.from("no newline at the end")
      ])
      const err = Buffer.from("zażółć gęślą jaźń 🦞\r\n")
      for (const [file, once] of [
        [log.file, out],
        [log.errorFile, err]
      ] as const) {
        const twice = Buffer.concat([once, once])
        yield* eventually(
          "all is written",
          Effect.sync(() => (Fs.readFileSync(file).equals(twice) ? true : undefined))
        )
        assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
      }
      const stats = yield* supervisor.logStats("a")
      assert.strictEqual(stats.written.bytes, 2 * (out.length + err.length))
    })
  )

  it.live("cwd is the child's working directory", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* supervise([node("a", ["ready.mjs", "here", "0"], { cwd: folder })])
      yield* textOf(Path.join(folder, "here"))
    })
  )
})
