import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"

import { describe, expect, it } from "@effect/vitest"
import * as Redaction from "@nexobot/core/Redaction"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as Ecosystem from "../src/Ecosystem.ts"
import { names } from "../src/internal/ecosystem/fields.ts"
import { translate } from "../src/internal/ecosystem/translate.ts"
import { fixture } from "./support.ts"

const execFile = promisify(ChildProcess.execFile)

/** Writes an ecosystem file, beside which there is a script, and reads it. */
const read = Effect.fnUntraced(function* (name: string, text: string, options: Ecosystem.EcosystemOptions = {}) {
  const folder = yield* TestFolder.make
  Fs.writeFileSync(Path.join(folder, "a.js"), "")
  Fs.writeFileSync(Path.join(folder, name), text)
  return yield* Ecosystem.read(Path.join(folder, name), options)
})

const app = '{ name: "web", script: "a.js" }'

const gone = (numbers: string) =>
  eventually(
    "they are gone",
    Effect.sync(() => (numbers.split(" ").every((pid) => isGone(Number(pid))) ? true : undefined))
  )

/** What is wrong with apps. */
const reasonOf = (...apps: ReadonlyArray<object>) =>
  Effect.map(Effect.flip(translate("/e.cjs", { apps }, { env: undefined, inheritEnv: [] })), ({ reason }) => reason)

describe("Ecosystem files", () => {
  it.live.each<readonly [string, string]>([
    ["ecosystem.config.cjs", `module.exports = { apps: [${app}] }`],
    ["ecosystem.config.js", `module.exports = { apps: ${app} }`],
    ["ecosystem.config.js", `export default { apps: [${app}] }`],
    ["ecosystem.config.mjs", `export const apps = [${app}]`],
    ["ecosystem.config.mjs", `export default async () => ({ apps: [${app}] })`],
    ["ecosystem.config.cjs", `module.exports = () => Promise.resolve([${app}])`],
    ["ecosystem.config.cjs", `module.exports = ${app}`],
    ["ecosystem.config.cjs", `module.exports = { pm2: [${app}] }`],
    ["ecosystem.config.cjs", `exports.__esModule = true; exports.default = { apps: [${app}] }`],
    ["ecosystem.config.cjs", `module.exports = Promise.resolve({ apps: [${app}] })`],
    ["ecosystem.config.ts", `const a: { name: string } = ${app}\nexport default { apps: [a] } satisfies object`],
    ["ecosystem.config.cts", `const a: object = ${app}\nmodule.exports = { apps: [a] }`],
    ["ecosystem.config.mts", `export default { apps: [${app} as object] }`],
    ["ecosystem.config.json", `{ "apps": [{ "name": "web", "script": "a.js" }] }`],
    ["ecosystem.json", `{\n  // PM2 takes comments\n  "apps": [${app},],\n}`],
    ["ecosystem.yaml", `apps:\n  - name: web\n    script: a.js\n`],
    ["process.yml", `apps:\n  - name: web\n    script: a.js\n`]
  ])("%s: %s", ([name, text]) =>
    Effect.gen(function* () {
      const { apps, file } = yield* read(name, text)
      expect(apps.map((one) => [one.name, one.cwd])).toEqual([["web", Path.dirname(file)]])
    })
  )

  it.live("finds few variables, and those that are named", () =>
    Effect.gen(function* () {
      const text = `module.exports = { apps: [{ name: Object.keys(process.env).sort().join("."), script: "a.js" }] }`
      process.env["ECOSYSTEM_TEST_SECRET"] = "hunter2"
      const few = (yield* read("a.cjs", text)).apps[0]?.name.split(".") ?? []
      const allowed = new Set(["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "NODE_ENV"])
      expect(few.filter((name) => !allowed.has(name))).toEqual([])
      expect(few).toContain("PATH")
      const more = yield* read("a.cjs", text, { inheritEnv: ["ECOSYSTEM_TEST_SECRET"] })
      delete process.env["ECOSYSTEM_TEST_SECRET"]
      expect(more.apps[0]?.name).toContain("ECOSYSTEM_TEST_SECRET")
    })
  )

  it.live("may print, and have in it what is no data", () =>
    Effect.gen(function* () {
      const text = `console.log("{}"); console.error("x".repeat(1e6)); process.stdout.write("}")
        const env = { BIG: 10n, HUGE: 2n ** 70n, WHEN: new Date(0), NONE: undefined }
        module.exports = { apps: [{ name: "web", script: "a.js", env, watch: true, ignore_watch: [/node_modules/, /a|b/], f: () => 1 }] }`
      const { apps, report } = yield* read("a.cjs", text)
      expect(apps[0]).toMatchObject({
        env: { BIG: "10", HUGE: String(2n ** 70n), WHEN: "1970-01-01T00:00:00.000Z" },
        watch: { ignore: ["node_modules"] }
      })
      expect(report.find(({ field }) => field === "f")).toMatchObject({ outcome: "refused", value: "a function" })
      const wrong = yield* Effect.flip(read("a.cjs", `module.exports = { apps: [{ script: () => "a.js" }] }`))
      expect(wrong.reason).toMatchObject({ _tag: "Invalid", app: "apps[0]", field: "script", value: "a function" })
      const env = yield* Effect.flip(
        read("a.cjs", `module.exports = { apps: [{ script: "a.js", env: { A: () => 1 } }] }`)
      )
      expect(env.reason).toMatchObject({ _tag: "Invalid", app: "a", field: "env" })
    })
  )

  it.live.each<readonly [string, string, number | undefined, number | undefined]>([
    ["a.mjs", "export default {\n  apps: [ oops oops ]\n}", 2, 16],
    ["a.cjs", "module.exports = {\n\n  apps: [ {{ ]\n}", 3, 12],
    ["a.cjs", "module.exports = {\n  apps: [{ script: process.env.NOT_THERE.x }] }", 2, undefined],
    ["a.json", '{\n  "apps": [\n    { "script": oops oops }] }', 3, 22],
    ["a.ts", "enum A { x }\nexport default {}", 1, 1],
    ["a.cjs", "require('./missing.cjs')", 1, 1],
    ["a.cjs", "throw 'a text'", undefined, undefined],
    ["a.cjs", "module.exports = { apps: [] }; module.exports.apps.push(module.exports)", undefined, undefined],
    ["a.yaml", "apps:\n  - name: web\n  script: [", undefined, undefined]
  ])("says where it is wrong, %s: %s", ([name, text, line, column]) =>
    Effect.gen(function* () {
      const { file, message, reason } = yield* Effect.flip(read(name, text))
      expect(reason._tag).toBe("Unparsable")
      if (line !== undefined) expect(reason).toMatchObject({ line })
      if (column !== undefined) expect(reason).toMatchObject({ column })
      expect(message.startsWith(file)).toBe(true)
    })
  )

  it.live("shows no secret in what a file throws", () =>
    Effect.gen(function* () {
      const text = `throw new Error("cannot connect with hunter2-known and token=hunter2-shaped, Bearer abcdefghijklmnop")`
      const error = yield* Effect.flip(read("a.cjs", text)).pipe(
        Effect.provideService(Redaction.Redactor, Redaction.make(["hunter2-known"]))
      )
      expect(error.message).toContain("cannot connect")
      for (const secret of ["hunter2", "abcdefghijklmnop"])
        expect(JSON.stringify(error) + error.message).not.toContain(secret)
    })
  )

  it.effect("is killed with all that it started when it is not done in time, or not wanted any more", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, "a.cjs")
      const text = `const { spawn } = require("node:child_process")
        const child = spawn("sleep", ["1000"], { stdio: "ignore" })
        require("node:fs").writeFileSync(__dirname + "/pids.new", process.pid + " " + child.pid)
        require("node:fs").renameSync(__dirname + "/pids.new", __dirname + "/pids")
        for (;;) {}`
      Fs.writeFileSync(file, text)
      const pids = Effect.sync(() =>
        Fs.existsSync(`${folder}/pids`) ? Fs.readFileSync(`${folder}/pids`, "utf8") : undefined
      )
      const late = yield* Effect.forkScoped(Effect.flip(Ecosystem.read(file, { timeout: "1 hour" })))
      const first = yield* TestClock.withLive(eventually("it runs", pids))
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(late)
      expect(error.reason._tag).toBe("Timeout")
      expect(error.message).toContain("1h")
      yield* TestClock.withLive(gone(first))
      Fs.rmSync(`${folder}/pids`)
      const unwanted = yield* Effect.forkScoped(Ecosystem.read(file))
      const second = yield* TestClock.withLive(eventually("it runs again", pids))
      yield* Fiber.interrupt(unwanted)
      yield* TestClock.withLive(gone(second))
    })
  )

  it.live("what a file leaves behind that ends its own process is gone", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const text = `const { spawn } = require("node:child_process")
        const child = spawn("sleep", ["1000"], { stdio: "ignore" })
        require("node:fs").writeFileSync(__dirname + "/pids", String(child.pid))
        process.exit(3)`
      Fs.writeFileSync(Path.join(folder, "a.cjs"), text)
      const error = yield* Effect.flip(Ecosystem.read(Path.join(folder, "a.cjs")))
      expect(error.message).toContain("exit code 3")
      yield* gone(Fs.readFileSync(Path.join(folder, "pids"), "utf8"))
    })
  )

  it.live("what a file leaves behind at its end is gone", () =>
    Effect.gen(function* () {
      const text = `const { spawn } = require("node:child_process")
        setInterval(() => {}, 1000)
        const child = spawn("sleep", ["1000"], { stdio: "inherit" })
        module.exports = { apps: [{ name: String(child.pid), script: "a.js" }] }`
      const { apps } = yield* read("a.cjs", text)
      const pid = Number(apps[0]?.name)
      expect(pid).toBeGreaterThan(1)
      yield* eventually(
        "it is gone",
        Effect.sync(() => (isGone(pid) ? true : undefined))
      )
    })
  )

  it.live.each<readonly [string, string, string]>([
    ["a.cjs", "process.exit(3)", "exit code 3"],
    ["a.cjs", "process.kill(process.pid, 'SIGKILL')", "SIGKILL"],
    ["a.cjs", `module.exports = { apps: [{ script: "x".repeat(2e6) }] }`, "larger than 1 MB"],
    ["a.cjs", `//${"x".repeat(2e6)}`, "larger than 1 MB"],
    ["a.txt", "apps", "ends with none of"]
  ])("no answer: %s", ([name, text, why]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read(name, text))
      expect(error.reason._tag).toBe("Unreadable")
      expect(error.message).toContain(why)
    })
  )

  it.live("without a file descriptor there is a typed error, too", () =>
    Effect.gen(function* () {
      const script = fixture("ecosystem/no-descriptors.ts")
      const command = `ulimit -n 100 && exec "$0" "$@"`
      const args = ["-c", command, process.execPath, script, fixture("ecosystem/acceptance.config.cjs")]
      const printed = yield* Effect.promise(() => execFile("sh", args, { timeout: 20_000 }))
      expect(JSON.parse(printed.stdout)).toMatchObject({
        tag: "Unreadable",
        message: expect.stringContaining("EMFILE")
      })
    })
  )

  it.live("no file, a folder, no apps", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const missing = yield* Effect.flip(Ecosystem.read(Path.join(folder, "a.cjs")))
      expect(missing.reason._tag).toBe("NotFound")
      Fs.mkdirSync(Path.join(folder, "b.cjs"))
      expect((yield* Effect.flip(Ecosystem.read(Path.join(folder, "b.cjs")))).reason._tag).toBe("Unreadable")
      for (const text of [
        "",
        "module.exports = 3",
        "module.exports = { apps: [] }",
        "module.exports = { deploy: {} }"
      ]) {
        expect((yield* Effect.flip(read("a.cjs", text))).reason._tag).toBe("NoApps")
      }
    })
  )

  it.effect("two apps with the same name or port", () =>
    Effect.gen(function* () {
      const script = "sh"
      expect(yield* reasonOf({ name: "a", script }, { name: "b", script }, { name: "a", script })).toMatchObject({
        _tag: "Duplicate",
        field: "name",
        value: "a",
        apps: ["a (apps[0])", "a (apps[2])"]
      })
      expect(
        yield* reasonOf({ name: "a", script, port: 3001 }, { name: "b", script, env: { PORT: "3001" } })
      ).toMatchObject({
        _tag: "Duplicate",
        field: "port",
        value: "3001"
      })
      expect(
        yield* reasonOf({ name: "a", script, port: 3000, instances: 3 }, { name: "b", script, port: 3002 })
      ).toMatchObject({ field: "port", value: "3002" })
      expect(yield* reasonOf({ name: "a", script }, 3 as unknown as object)).toMatchObject({
        _tag: "Invalid",
        app: "apps[1]"
      })
    })
  )

  const Value = Schema.Union([
    Schema.Json,
    Schema.Literals(["sh", "1G", "10s", "0 4 * * *", "max", "cluster", "src", "/dev/null", true, false, 0, 1, 3000])
  ])
  const App = Schema.Record(Schema.Literals([...names, "env_production"]).pipe(Schema.optionalKey), Value)

  it.effect.prop(
    "whatever stands in the fields, there is an answer or a typed error",
    { app: App },
    ({ app: fields }) =>
      Effect.gen(function* () {
        const content = { apps: [Object.assign({ script: "sh" }, fields)] }
        const result = yield* Effect.result(translate("/e.cjs", content, { env: "production", inheritEnv: [] }))
        if (result._tag === "Failure") expect(result.failure._tag).toBe("EcosystemError")
        else
          expect(result.success.report.map(({ field }) => field)).toEqual(expect.arrayContaining(Object.keys(fields)))
      })
  )
})

const isGone = (pid: number): boolean => {
  try {
    return /^State:\s+[ZX]/m.test(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return true
  }
}
