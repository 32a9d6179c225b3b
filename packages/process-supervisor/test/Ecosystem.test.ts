import * as Fs from "node:fs"
import * as Path from "node:path"

import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

import { refusal } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as Ecosystem from "../src/Ecosystem.ts"
import { names } from "../src/internal/ecosystem/fields.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { fixture } from "./support.ts"

/** A folder with scripts, and one app of the file that is written there. */
const read = Effect.fnUntraced(function* (app: object, options: Ecosystem.EcosystemOptions = {}) {
  const folder = yield* scripts
  // JSON is YAML, too, for which no process is needed.
  const file = Path.join(folder, "ecosystem.yaml")
  Fs.writeFileSync(file, JSON.stringify({ apps: [app] }))
  const ecosystem = yield* Ecosystem.read(file, options)
  const { apps, defaults, report, selfWatching } = ecosystem
  const outcomes = Object.fromEntries(report.map(({ field, outcome }) => [field, outcome]))
  return { ecosystem, folder, app: apps[0], apps, report, outcomes, defaults, selfWatching }
})

const scripts = Effect.tap(TestFolder.make, (folder) =>
  Effect.sync(() => {
    const write = (name: string, text: string, mode = 0o644) =>
      Fs.writeFileSync(Path.join(folder, name), text, { mode })
    for (const name of ["a.js", "a.py", "a.ts", "plain", "start.sh"]) write(name, "")
    write("run", "#!/bin/sh\n", 0o755)
    write("quiet", "#!/usr/bin/env -S bash -e\n")
    write("node-tool", "#!/usr/bin/env node\n", 0o755)
    write("binary", "\x7fELF\0\0", 0o755)
    write("dev.sh", "#!/bin/sh\nexport A=1\nexec tsx watch src/index.ts\n")
    Fs.mkdirSync(Path.join(folder, "app"))
    write("app/b.js", "")
  })
)

describe("Ecosystem", () => {
  it.effect("acceptance(process-supervisor 16): each field of PM2 is reported as mapped, changed or refused", () =>
    Effect.gen(function* () {
      const { apps, report } = yield* Ecosystem.read(fixture("ecosystem/acceptance.config.cjs"))
      const rows = report.map(({ field, outcome, to }) => [field, outcome, to])
      expect(rows).toEqual([
        ["name", "mapped", "name"],
        ["script", "mapped", "command, args"],
        ["args", "mapped", "args"],
        ["instances", "changed", "instances: 2"],
        ["env", "mapped", "env (3 variables)"],
        ["max_memory_restart", "changed", "memory.limit"],
        ["autorestart", "mapped", "restartPolicy.type: permanent"],
        ["restart_delay", "mapped", "restartPolicy.backoff"],
        ["max_restarts", "changed", "restartPolicy.attempts, restartPolicy.intensity"],
        ["min_uptime", "changed", "minUptime, restartPolicy.stableAfter"],
        ["kill_timeout", "mapped", "stopGrace"],
        ["wait_ready", "changed", 'ready: "message"'],
        ["cron_restart", "mapped", "cron"],
        ["watch", "changed", "watch.paths"],
        ["deploy", "refused", undefined]
      ])
      expect(report.every(({ outcome, why }) => outcome === "mapped" || (why ?? "").length > 10)).toBe(true)
      const [app] = apps
      expect(app).toMatchObject({
        name: "api",
        command: process.execPath,
        args: [fixture("ecosystem/app/server.js"), "--verbose", "--title", "two words"],
        cwd: fixture("ecosystem"),
        instances: 2,
        port: 4100,
        ready: "message",
        minUptime: 10_000,
        stopSignal: "SIGINT",
        stopGrace: 3000,
        memory: { limit: 1024 ** 3, sustain: "5 seconds" },
        cron: "0 4 * * *",
        restartPolicy: {
          type: "permanent",
          backoff: { initial: 5000, factor: 1, max: 5000, jitter: "none" },
          attempts: 10,
          intensity: { limit: 10, window: 300_000 },
          stableAfter: 10_000
        },
        watch: { ignore: [".*"] }
      })
      expect(app?.env["NODE_ENV"]).toBe("production")
      // No value of a variable is in the report; what looks like a secret is in no printed option either.
      expect(Redacted.isRedacted(app?.env["API_TOKEN"])).toBe(true)
      expect(JSON.stringify({ apps, report })).not.toContain("hunter2")
    })
  )

  it.effect("says something of every field that PM2 knows, in every app", () =>
    Effect.gen(function* () {
      expect(names).toEqual(pm2Fields)
      const everything = {
        ...Object.fromEntries(
          "vizion autostart treekill pmx automation windowsHide force write trace v8 event_loop_inspector deep_monitoring disable_trace filter_env time execute_command append_env_to_name source_map_support disable_source_map_support merge_logs disable_logs shutdown_with_message wait_ready autorestart watch"
            .split(" ")
            .map((name) => [name, true])
        ),
        ...Object.fromEntries(
          "restart_delay exp_backoff_restart_delay kill_timeout listen_timeout watch_delay min_uptime max_restarts kill_retry_time instances port"
            .split(" ")
            .map((name) => [name, 2000])
        ),
        instances: 1,
        stop_exit_codes: [0],
        script: "a.js",
        name: "all",
        name_prefix: "x",
        namespace: "x",
        install_url: "x",
        cwd: ".",
        args: "a",
        exec_interpreter: "node",
        node_args: "--no-warnings",
        out_file: "out.log",
        error_file: "err.log",
        log_file: "all.log",
        log_type: "json",
        log_date_format: "YYYY",
        env: { A: 1 },
        max_memory_restart: "1G",
        pid_file: "x.pid",
        cron_restart: "0 0 * * *",
        ignore_watch: ["x"],
        watch_options: { usePolling: true },
        exec_mode: "cluster",
        post_update: ["x"],
        increment_var: "PORT",
        instance_var: "X",
        username: "x",
        uid: "root",
        gid: "root",
        io: {}
      }
      expect(Object.keys(everything).toSorted()).toEqual(pm2Fields.toSorted())
      const { report } = yield* read(everything)
      expect(report.map(({ field }) => field)).toEqual(Object.keys(everything))
      for (const { why } of report) expect(why).not.toBe("it has no meaning here")
    })
  )

  it.effect("takes PM2's other names for a field, and says when there are two, or none", () =>
    Effect.gen(function* () {
      const { app, outcomes } = yield* read({
        exec: "a.js",
        interpreter: "node",
        interpreter_args: "--no-warnings",
        maxMemoryRestart: "300M",
        cron: "0 0 * * *",
        killTimeout: "5000",
        kill_timeout: 7000,
        out: "/dev/null",
        error: "NULL",
        autorestarts: true,
        exp_backoff_restart_delay: null
      })
      expect(app).toMatchObject({ name: "a", memory: { limit: 300 * 1024 ** 2 }, stopGrace: 7000, cron: "0 0 * * *" })
      expect(app?.log).toBeUndefined()
      expect(app?.args[0]).toBe("--no-warnings")
      expect(outcomes).toMatchObject({ killTimeout: "refused", kill_timeout: "mapped", autorestarts: "refused" })
    })
  )

  it.effect("specifications are made of its apps", () =>
    Effect.gen(function* () {
      const { ecosystem } = yield* read({
        script: "a.js",
        name: "my app",
        max_restarts: 0,
        restart_delay: 0,
        min_uptime: 100
      })
      expect(Ecosystem.specs(ecosystem)).toMatchObject([{ name: "my-app", restartPolicy: { attempts: 0 } }])
    })
  )

  it.effect("finds what runs a script as PM2 does, or says where it does not", () =>
    Effect.gen(function* () {
      const run = Effect.fnUntraced(function* (app: object) {
        const { app: made, folder, report } = yield* read(app)
        // Not whatever is called `node` on the path, which may be a shell in between.
        const command = made?.command === process.execPath ? "node" : made?.command
        const line = [command, ...(made?.args ?? [])].join(" ").replaceAll(`${folder}/`, "@")
        return [line, report.find(({ field }) => ["script", "command", "cmd"].includes(field))?.outcome]
      })
      expect(yield* run({ script: "a.js", args: ["x y", 3] })).toEqual(["node @a.js x y 3", "mapped"])
      expect(yield* run({ script: "./a.js", node_args: ["--no-warnings"] })).toEqual([
        "node --no-warnings @a.js",
        "mapped"
      ])
      expect(yield* run({ script: "a.js", source_map_support: true })).toEqual([
        "node --enable-source-maps @a.js",
        "mapped"
      ])
      expect(yield* run({ script: "start.sh" })).toEqual(["bash @start.sh", "mapped"])
      expect(yield* run({ script: "b.js", cwd: "app" })).toEqual(["node @app/b.js", "mapped"])
      expect(yield* run({ script: "binary" })).toEqual(["@binary", "mapped"])
      expect(yield* run({ script: "plain" })).toEqual(["node @plain", "mapped"])
      expect(yield* run({ script: "run" })).toEqual(["@run", "changed"])
      expect(yield* run({ script: "quiet" })).toEqual(["bash -e @quiet", "changed"])
      expect(yield* run({ script: "node-tool" })).toEqual(["@node-tool", "mapped"])
      expect(yield* run({ script: "node-tool", node_args: "--inspect" })).toEqual([
        "node --inspect @node-tool",
        "mapped"
      ])
      expect(yield* run({ script: "run", interpreter: "none" })).toEqual(["@run", "mapped"])
      expect(yield* run({ script: "start.sh", interpreter: "/bin/sh" })).toEqual(["/bin/sh @start.sh", "mapped"])
      expect(yield* run({ script: "npm", args: "start" })).toEqual(["npm start", "mapped"])
      expect(yield* run({ cmd: "sleep 5 && true" })).toEqual(["bash -c sleep 5 && true", "mapped"])
      expect(yield* run({ script: "a.js", interpreter: "node@18" })).toEqual(["node @a.js", "mapped"])
    })
  )

  it.effect("tells apps that watch files by themselves, and what to run instead", () =>
    Effect.gen(function* () {
      const { report, selfWatching } = yield* read({ name: "backend", script: "./dev.sh" })
      expect(selfWatching).toEqual([
        { app: "backend", watcher: "tsx watch", where: "dev.sh line 3", replacement: "tsx src/index.ts" }
      ])
      expect(report.find(({ field }) => field === "script")?.why).toContain("run tsx src/index.ts instead")
    })
  )

  it.effect("restarts, and stops restarting, as the file says", () =>
    Effect.gen(function* () {
      const none = yield* read({ script: "a.js" })
      const intensity = { limit: 10, window: 60_000 }
      expect(none.app?.restartPolicy).toEqual({ type: "permanent", intensity })
      expect(none.defaults.map(({ field }) => field)).toEqual(
        expect.arrayContaining(["restart_delay", "max_restarts", "kill_timeout", "filter_env", "out_file", "cwd"])
      )
      expect(none.defaults.every(({ why }) => why !== undefined)).toBe(true)
      expect(yield* policyOf({ autorestart: false })).toEqual({ type: "temporary", intensity })
      expect(yield* policyOf({ stop_exit_codes: [0, 143] })).toMatchObject({ type: "transient", normalCodes: [0, 143] })
      expect(yield* policyOf({ stop_exit_codes: 3, autorestart: false })).toEqual({ type: "temporary", intensity })
      expect(yield* policyOf({ exp_backoff_restart_delay: 100, restart_delay: 5 })).toEqual({
        type: "permanent",
        backoff: { initial: 100, factor: 1.5, max: 15_000, jitter: "none" },
        intensity: { limit: 10, window: 320_000 },
        stableAfter: 30_000
      })
      expect((yield* policyOf({ restart_delay: 60_000 }))?.intensity).toEqual({ limit: 10, window: 1_220_000 })
      expect(yield* policyOf({ max_restarts: 3 })).toMatchObject({
        attempts: 3,
        intensity: { limit: 3, window: 60_000 }
      })
      expect(yield* policyOf({ min_uptime: "1h" })).toMatchObject({ attempts: 16, stableAfter: 3_600_000 })
    })
  )

  it.effect("ports, instances and what tells them apart", () =>
    Effect.gen(function* () {
      const one = yield* read({ script: "a.js", env: { PORT: 3000 }, exec_mode: "cluster" })
      expect(one.app).toMatchObject({ port: 3000, env: { NODE_APP_INSTANCE: "0", PORT: "3000" } })
      expect(one.outcomes["exec_mode"]).toBe("changed")
      const given = yield* read({ script: "a.js", env: { PORT: 1 }, port: "3001", instances: "1", exec_mode: "fork" })
      expect(given.app).toMatchObject({ port: 3001, env: { PORT: "3001" } })
      expect(given.outcomes).toMatchObject({ exec_mode: "mapped", instances: "mapped" })
      const most = yield* read({ script: "a.js", instances: "max" })
      const cores = most.app?.instances ?? 1
      expect((yield* read({ script: "a.js", instances: 0 })).app?.instances ?? 1).toBe(cores)
      expect((yield* read({ script: "a.js", instances: -1 })).app?.instances ?? 1).toBe(Math.max(1, cores - 1))
      expect((yield* read({ script: "start.sh", instances: 3 })).outcomes["instances"]).toBe("mapped")
    })
  )

  it.effect("environments, what is inherited, and the user", () =>
    Effect.gen(function* () {
      const env = {
        A: 1,
        B: true,
        C: { d: [1] },
        D: null,
        DATABASE_URL: "postgres://u:hunter2@h/db",
        NODE_ENV: "development"
      }
      const app = { script: "a.js", env, env_production: { NODE_ENV: "production", E: "e" }, env_test: {} }
      const plain = yield* read(app)
      expect(plain.app?.env).toMatchObject({ A: "1", B: "true", C: '{"d":[1]}', NODE_ENV: "development" })
      expect(plain.app?.env).not.toHaveProperty("D")
      expect(Redacted.isRedacted(plain.app?.env["DATABASE_URL"])).toBe(true)
      const production = yield* read(app, { env: "production", inheritEnv: ["SSH_AUTH_SOCK"] })
      expect(production.app?.env).toMatchObject({ A: "1", NODE_ENV: "production", E: "e" })
      expect(production.app?.inheritEnv).toContain("SSH_AUTH_SOCK")
      expect((yield* read(app, { env: "staging" })).outcomes["env_staging"]).toBe("refused")
      expect((yield* read({ ...app, append_env_to_name: true }, { env: "production" })).app?.name).toBe("a-production")
      expect((yield* read({ script: "a.js", filter_env: ["LC_", "HOME"] })).app?.inheritEnv).toEqual([
        "PATH",
        "USER",
        "LANG",
        "TZ",
        "TMPDIR"
      ])
      const root = yield* read({ script: "a.js", user: "root", gid: 0 })
      expect(root.app).toMatchObject({ uid: 0, gid: 0, env: { HOME: "/root" } })
      const python = yield* read({ script: "a.py" })
      expect(python.app?.env).toMatchObject({ PYTHONUNBUFFERED: "1" })
    })
  )

  it.effect("output, readiness, stops and what is left out", () =>
    Effect.gen(function* () {
      const logs = (app: object) =>
        Effect.map(read({ script: "a.js", ...app }), ({ app: made, folder }) => {
          const text = JSON.stringify(made?.log ?? null).replaceAll(`${folder}/`, "")
          return JSON.parse(text) as unknown
        })
      expect(yield* logs({})).toBeNull()
      expect(yield* logs({ out_file: "logs/o.log", error_file: "logs/e.log" })).toEqual({
        file: "logs/o.log",
        errorFile: "logs/e.log"
      })
      expect(yield* logs({ log_file: "a.log", time: true })).toEqual({ file: "a.log", format: "prefixed" })
      expect(yield* logs({ out_file: "a.log", error_file: "a.log", log_type: "json" })).toEqual({
        file: "a.log",
        format: "json"
      })
      expect(yield* logs({ out_file: "/dev/null", error_file: "e.log" })).toEqual({ file: "e.log" })
      expect(yield* logs({ out_file: "a.log", disable_logs: true })).toBeNull()

      const ready = yield* read({ script: "a.js", wait_ready: true, listen_timeout: 8000, shutdown_with_message: true })
      expect(ready.app).toMatchObject({ ready: "message", startGrace: 8000 })
      expect(ready.outcomes).toMatchObject({ listen_timeout: "changed", shutdown_with_message: "refused" })
      const off = yield* read({
        script: "a.js",
        wait_ready: false,
        cron_restart: "0",
        treekill: false,
        watch: false,
        ignore_watch: ["x"]
      })
      expect(off.app).not.toHaveProperty("ready")
      expect(off.app).not.toHaveProperty("cron")
      expect(off.app).not.toHaveProperty("watch")
      expect(off.outcomes).toMatchObject({ wait_ready: "mapped", treekill: "refused", watch: "mapped" })
      const later = yield* read({ script: "a.js", autostart: false })
      expect(later.apps).toEqual([])
      expect(later.outcomes["autostart"]).toBe("changed")
    })
  )

  it.effect("watches what PM2 would, and leaves out what a .gitignore line can say", () =>
    Effect.gen(function* () {
      const watch = (app: object) =>
        Effect.map(read({ script: "a.js", watch: true, ...app }), ({ app: made }) => made?.watch)
      expect(yield* watch({})).toEqual({ ignore: [".*"] })
      expect(yield* watch({ watch: ["src", "lib/**/*.js", "*.json"], watch_delay: 1000 })).toEqual({
        paths: ["src", "lib", "."],
        ignore: [".*"],
        debounce: 1000
      })
      const ignore_watch = ["node_modules", "./logs", "**/*.md", "[\\/\\\\]\\.", "^a$", "(a|b)"]
      expect(yield* watch({ ignore_watch })).toEqual({ ignore: ["node_modules", "/logs", "**/*.md", ".*"] })
      expect((yield* read({ script: "a.js", watch: "src", ignore_watch: ["(a|b)"] })).outcomes["ignore_watch"]).toBe(
        "refused"
      )
    })
  )

  it.effect("wrong values name the app, the field and what is expected", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [object, string]> = [
        [{ script: 3 }, "script"],
        [{}, "script"],
        [{ script: "serve" }, "script"],
        [{ script: "a.js", max_memory_restart: "1GB" }, "max_memory_restart"],
        [{ script: "a.js", max_memory_restart: "1K" }, "memory.limit"],
        [{ script: "a.js", restart_delay: "soon" }, "restart_delay"],
        [{ script: "a.js", min_uptime: "10 s" }, "min_uptime"],
        [{ script: "a.js", max_restarts: -1 }, "max_restarts"],
        [{ script: "a.js", max_restarts: 1.5 }, "max_restarts"],
        [{ script: "a.js", autorestart: "false" }, "autorestart"],
        [{ script: "a.js", instances: "many" }, "instances"],
        [{ script: "a.js", instances: 1000 }, "instances"],
        [{ script: "a.js", port: 70_000 }, "port"],
        [{ script: "a.js", cron: "every day" }, "cron"],
        [{ script: "a.js", exec_mode: "threads" }, "exec_mode"],
        [{ script: "a.js", stop_exit_codes: [700] }, "stop_exit_codes"],
        [{ script: "a.js", env: "A=1" }, "env"],
        [{ script: "a.js", env: { "A=B": 1 } }, "env"],
        [{ script: "a.js", env: { NEXO_SUPERVISED: "x" } }, "env.NEXO_SUPERVISED"],
        [{ script: "a.js", user: "nobody-has-this-name" }, "user"]
      ]
      for (const [app, field] of wrong) {
        const error = yield* Effect.flip(read({ name: "web", ...app }))
        expect(error.reason, JSON.stringify(app)).toMatchObject({ _tag: "Invalid", app: "web", field })
        expect(error.message).toContain(`"${field}" of web is `)
      }
      const odd = yield* Effect.flip(read({ name: "web", script: "x", gid: 1, env: { PATH: "a\0b" } }))
      expect(odd.reason).toMatchObject({ _tag: "Invalid", app: "web" })
      const secret = yield* Effect.flip(read({ name: "web", script: "a.js", args: { password: "hunter2" } }))
      expect(secret.message).not.toContain("hunter2")
    })
  )

  it.live("what is not there keeps its own app from starting, and is found before anything starts", () =>
    Effect.gen(function* () {
      const long = "x".repeat(300)
      const missing: ReadonlyArray<readonly [object, string, string]> = [
        [{ script: "missing.js", args: "--verbose" }, "command", "missing.js does not exist"],
        [{ script: "a.js", cwd: "missing" }, "cwd", "missing does not exist"],
        [{ script: "a.js", cwd: long }, "cwd", "ENAMETOOLONG"],
        [{ script: "a.js", interpreter: "no-such-program" }, "command", "no-such-program is in none of"],
        [{ script: "a.js", interpreter: "./no-such-program" }, "command", "no-such-program does not exist"],
        [{ script: long }, "command", "ENAMETOOLONG"],
        [{ script: "/proc/self/mem" }, "command", "no permission to execute"]
      ]
      for (const [app, field, text] of missing) {
        const { ecosystem, report } = yield* read({ name: "web", ...app })
        const found = yield* Supervisor.problems(Ecosystem.specs(ecosystem))
        expect(
          found.map(({ field: where, process }) => [process, where]),
          JSON.stringify(app)
        ).toEqual([["web", field]])
        expect(found[0]?.message).toContain(text)
        expect(report.every(({ outcome, why }) => outcome === "mapped" || why !== undefined)).toBe(true)
      }
    })
  )

  it("refuses options that cannot be meant", () => {
    expect(refusal(() => Ecosystem.read("")).option).toBe("path")
    // @ts-expect-error misspelt
    expect(refusal(() => Ecosystem.read("x", { environment: "x" })).option).toBe("environment")
    expect(refusal(() => Ecosystem.read("x", { env: "a b" })).option).toBe("env")
    expect(refusal(() => Ecosystem.read("x", { timeout: 1 })).option).toBe("timeout")
    expect(refusal(() => Ecosystem.read("x", { inheritEnv: [""] })).option).toBe("inheritEnv[0]")
  })
})

const policyOf = (app: object) => Effect.map(read({ script: "a.js", ...app }), ({ app: made }) => made?.restartPolicy)

/** The keys of `lib/API/schema.json` of PM2 7.0.3, without the pattern for `env_*`. */
const pm2Fields: ReadonlyArray<string> =
  `script name name_prefix filter_env namespace install_url cwd args exec_interpreter node_args out_file error_file log_file
  disable_logs log_type log_date_format time env max_memory_restart pid_file restart_delay exp_backoff_restart_delay
  source_map_support disable_source_map_support wait_ready instances kill_timeout shutdown_with_message listen_timeout
  cron_restart merge_logs vizion autostart autorestart stop_exit_codes watch_delay watch ignore_watch watch_options
  min_uptime max_restarts execute_command exec_mode force append_env_to_name post_update trace disable_trace v8
  event_loop_inspector deep_monitoring increment_var instance_var pmx automation treekill port username uid gid
  windowsHide kill_retry_time write io`.split(/\s+/)
