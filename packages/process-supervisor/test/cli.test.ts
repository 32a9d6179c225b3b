import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { PassThrough } from "node:stream"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessControl from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import { main } from "../src/cli.ts"
import * as ControlSocket from "../src/ControlSocket.ts"
import * as Output from "../src/internal/cli/output.ts"
import { width } from "../src/internal/terminal/text.ts"
import * as SupervisorEvent from "../src/SupervisorEvent.ts"
import * as Support from "./controlSupport.ts"

const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url))
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** What a command says that runs in this process. */
const say = (...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const texts = { out: "", err: "" }
    stdout.on("data", (chunk) => (texts.out += String(chunk)))
    stderr.on("data", (chunk) => (texts.err += String(chunk)))
    void main(args, cli, Output.make(stdout, stderr)).then((code) =>
      setImmediate(() => resume(Effect.succeed({ code, ...texts })))
    )
  })

/** The command as a process of its own; killed at the end, if it is still there. */
const spawn = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {}
) {
  const texts = { out: "", err: "" }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, [cli, ...args], { ...options, env: { ...process.env, ...options.env } })
    ),
    (made) =>
      Effect.callback<void>((resume) => {
        if (made.pid === undefined || made.exitCode !== null || made.signalCode !== null) return resume(Effect.void)
        made.once("exit", () => resume(Effect.void))
        made.kill("SIGKILL")
      })
  )
  child.stdout.on("data", (chunk) => (texts.out += String(chunk)))
  child.stderr.on("data", (chunk) => (texts.err += String(chunk)))
  const code = yield* Effect.forkChild(
    Effect.callback<number | string>((resume) => {
      child.once("close", (exit, signal) => resume(Effect.succeed(exit ?? String(signal))))
    }),
    { startImmediately: true }
  )
  return {
    child,
    texts,
    code: Fiber.join(code),
    says: (text: string) =>
      eventually(
        `it says ${text}`,
        Effect.sync(() => (texts.out.includes(text) ? true : undefined))
      )
  }
})

const served = Effect.fnUntraced(function* (options: Support.FakeOptions = {}) {
  const folder = yield* TestFolder.make
  const fake = yield* Support.make(options)
  yield* ControlSocket.serve(fake.supervised, folder)
  return { fake, state: ["--state", folder] as const, folder }
})

const statuses = [
  Support.status("backend", { lastExit: new ProcessExit.Signaled({ signal: "SIGABRT", by: "unknown" }), restarts: 12 }),
  Support.status("a-process-with-quite-a-long-name", {
    state: "Failed",
    identity: undefined,
    uptime: undefined,
    memory: undefined,
    cpu: undefined
  })
]

describe("against a running supervisor", () => {
  it.live("status is a table of at most 80 columns, and JSON", () =>
    Effect.gen(function* () {
      const { state } = yield* served({ statuses })
      const { code, out } = yield* say("status", ...state)
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(out.split("\n"), [
        "NAME                  STATE     PID  UPTIME  RESTARTS   CPU  MEMORY  LAST EXIT",
        "backend               running  4242   2m 5s        12  13 %   50 MB  SIGABRT",
        "a-process-with-quit…  failed      -       -         0     -       -  -",
        ""
      ])
      const one = yield* say("status", "backend", "--json", ...state)
      const value = JSON.parse(one.out)
      assert.strictEqual(value.id, "codex")
      assert.deepStrictEqual(value.processes[0].lastExit, { _tag: "Signaled", signal: "SIGABRT", by: "unknown" })
      assert.lengthOf(value.processes, 1)
    })
  )

  it.live("actions are done, one after the other; the first that fails leaves the others to be done", () =>
    Effect.gen(function* () {
      const { fake, state } = yield* served()
      assert.strictEqual((yield* say("restart", "backend", ...state)).out, "backend: restarted\n")
      const { code, err, out } = yield* say("stop", "nobody", "frontend", ...state)
      assert.strictEqual(code, 1)
      assert.strictEqual(err, 'nexo-supervisor: no process named "nobody"; known are backend, frontend\n')
      assert.strictEqual(out, "frontend: stopped\n")
      yield* say("reload", "--all", ...state)
      const last = yield* say("stop", "backend", "--json", ...state)
      assert.strictEqual(JSON.parse(last.out).receipt.signalled[0].pid, 4242)
      assert.deepStrictEqual(
        fake.told.filter((one) => !one.endsWith("done")),
        ["restart backend", "stop frontend", "reload backend", "reload frontend", "stop backend"]
      )
    })
  )

  it.live("stop --all is one request, each after those that depend on it, and says what came of it", () =>
    Effect.gen(function* () {
      const { fake, state } = yield* served({ onAction: Effect.yieldNow })
      const { code, out } = yield* say("stop", "--all", ...state)
      assert.strictEqual(code, 0)
      assert.strictEqual(out, "stopped: 2 processes told to end, 0 of them killed; nothing is left\n")
      // At once, and without a better order the latter first.
      assert.deepStrictEqual(fake.told, ["stop frontend", "stop backend", "stop frontend done", "stop backend done"])
      const reason = new ProcessControl.Survivors({ pids: [77] })
      const stuck = yield* served({
        onAction: Effect.fail(new ProcessControl.ProcessControlError({ process: "backend", reason }))
      })
      const left = yield* say("stop", "--all", ...stuck.state)
      assert.strictEqual(left.code, 1)
      assert.include(left.err, "outlived SIGKILL: 77")
      assert.include(left.out, "not all of them are gone")
      const asJson = JSON.parse((yield* say("stop", "--all", "--json", ...state)).out)
      assert.deepStrictEqual(asJson, { stopped: { signalled: 2, escalated: 0, survivors: [] } })
    })
  )

  it.live("starts do not wait for each other; instances are found by the name of all", () =>
    Effect.gen(function* () {
      const both = yield* Latch.make()
      let begun = 0
      const onAction = Effect.suspend(() => ((begun += 1) === 2 ? both.open : Effect.void)).pipe(
        Effect.andThen(both.await)
      )
      const { state } = yield* served({ onAction, statuses: [Support.status("web:0"), Support.status("web:1")] })
      assert.strictEqual((yield* say("start", "--all", ...state)).code, 0)
      const { out } = yield* say("status", "web", ...state)
      assert.include(out, "web:0")
      assert.include(out, "web:1")
      assert.strictEqual((yield* say("status", "we", ...state)).code, 1)
    })
  )

  it.live("a command without one says what to do", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const { code, err } = yield* say("status", "--state", folder)
      assert.strictEqual(code, 1)
      assert.include(err, "nexo-supervisor run <file>")
      assert.include((yield* say("status", "--state", folder, "--id", "x")).err, "x.sock")
      const wrong = yield* say("bogus")
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.err, "--help")
    })
  )

  it.live("of several one is chosen by its id", () =>
    Effect.gen(function* () {
      const { folder, state } = yield* served()
      const second = yield* Support.make({ id: "second", statuses: [Support.status("other")] })
      yield* ControlSocket.serve(second.supervised, folder)
      assert.include((yield* say("status", ...state)).err, "codex, second. Say which one: --id ID")
      assert.include((yield* say("status", "--id", "second", ...state)).out, "other")
    })
  )

  it.live("logs and events are lines that tell the terminal nothing", () =>
    Effect.gen(function* () {
      const { fake, state } = yield* served({ statuses: [Support.status("backend"), Support.status("other")] })
      const logs = yield* spawn(["logs", "backend", ...state])
      const asJson = yield* spawn(["logs", "--json", ...state])
      const events = yield* spawn(["events", ...state])
      yield* eventually(
        "both read",
        Effect.sync(() => (fake.readers() === 2 ? true : undefined))
      )
      fake.log(Support.line("other", "not seen"))
      fake.log(Support.line("backend", "one \u001b[31mred\u001b[0m \u001b]0;owned\u0007\ntwo"))
      fake.emit(
        new SupervisorEvent.Exited({
          sequence: 1,
          name: "backend",
          at: 1_700_000_000_000,
          monotonic: 1,
          exit: new ProcessExit.Exited({ code: 3 }),
          identity: undefined,
          ranFor: Duration.seconds(5)
        })
      )
      yield* logs.says("backend | one red \nbackend | two\n")
      yield* asJson.says("\\u001b[31mred")
      assert.notInclude(logs.texts.out, "not seen")
      yield* events.says("backend        exited with code 3")
    })
  )

  it.live("logs to a reader that has read enough end", () =>
    Effect.gen(function* () {
      const { fake, state } = yield* served()
      const logs = yield* spawn(["logs", ...state])
      yield* eventually(
        "it reads",
        Effect.sync(() => (fake.readers() === 1 ? true : undefined))
      )
      logs.child.stdout.destroy()
      for (let index = 0; index < 3; index += 1) {
        fake.log(Support.line("backend", "x"))
        yield* Effect.sleep("20 millis")
      }
      assert.strictEqual(yield* logs.code, 0)
    })
  )

  it.live("monit without a terminal says what to ask instead", () =>
    Effect.gen(function* () {
      const { state } = yield* served()
      const { code, err } = yield* say("monit", ...state)
      assert.strictEqual(code, 1)
      assert.include(err, "nexo-supervisor status")
    })
  )
})

const config = (folder: string, processes: string): string => {
  const file = Path.join(folder, "nexo.config.mjs")
  Fs.writeFileSync(file, `const node = process.execPath\nexport default { id: "shop", processes: ${processes} }\n`)
  return file
}

const idle = (name: string) =>
  `{ name: ${JSON.stringify(name)}, command: node, args: [${JSON.stringify(fixture("idle.mjs"))}] }`

const on = (name: string, ...others: ReadonlyArray<string>) =>
  idle(name).replace("{", `{ dependsOn: ${JSON.stringify(others)},`)

/** Whom stops and exits were of, in order, in events as JSON. */
const ends = (text: string) => {
  const events: ReadonlyArray<{ _tag: string; name: string }> = text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
  return events.filter(({ _tag }) => _tag === "Exited" || _tag === "StopRequested").map((one) => one.name)
}

describe("run", () => {
  it.live("starts, tells what happens, can be asked, and stops all at the first signal", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = config(folder, `[${idle("backend")}, ${idle("frontend")}]`)
      const state = ["--state", Path.join(folder, "state")] as const
      const run = yield* spawn(["run", file, ...state])
      yield* run.says("frontend       ready")
      yield* run.says("backend        ready")
      const { out } = yield* say("status", "--json", ...state)
      const pids: ReadonlyArray<number> = JSON.parse(out).processes.map(
        (one: { identity: { pid: number } }) => one.identity.pid
      )
      assert.lengthOf(pids, 2)
      const again = yield* say("run", file, ...state)
      assert.strictEqual(again.code, 1)
      assert.include(again.err, String(run.child.pid))
      run.child.kill("SIGTERM")
      assert.strictEqual(yield* run.code, 0)
      assert.include(run.texts.out, "nothing is left")
      assert.strictEqual(run.texts.err, "")
      for (const pid of pids) assert.isFalse(Fs.existsSync(`/proc/${pid}`), String(pid))
      assert.isFalse(Fs.existsSync(Path.join(folder, "state", "shop.sock")))
    })
  )

  it.live("shows what they write when it is asked to", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const args = JSON.stringify(["-e", "console.log('why it ends'); process.exitCode = 7"])
      const app = `{ name: "crashing", command: node, args: ${args}, restartPolicy: { type: "temporary" } }`
      const file = config(folder, `[${app}]`)
      const run = yield* spawn(["run", file, "--logs", "--state", Path.join(folder, "state")])
      yield* run.says("crashing | why it ends")
      run.child.kill("SIGTERM")
      assert.strictEqual(yield* run.code, 0)
    })
  )

  it.live("runs only what is asked for, and says it as JSON", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = config(
        folder,
        `[${idle("backend")}, { name: "web", members: [${idle("frontend")}, ${idle("worker")}] }]`
      )
      const state = ["--state", Path.join(folder, "state")] as const
      const run = yield* spawn(["run", file, "--only", "worker", "--json", ...state])
      yield* run.says('"_tag":"Ready"')
      run.child.kill("SIGINT")
      assert.strictEqual(yield* run.code, 0)
      const lines = run.texts.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.deepStrictEqual(lines.pop(), { stopped: { signalled: 1, escalated: 0, survivors: [] } })
      assert.deepStrictEqual([...new Set(lines.map(({ name }) => name))], ["worker"])
      assert.include(
        (yield* say("run", file, "--only", "nobody", ...state)).err,
        "known are backend, web, frontend, worker"
      )
    })
  )

  it.live("says what cannot be started before anything is, and starts the others", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      Fs.mkdirSync(Path.join(folder, "app"))
      Fs.writeFileSync(Path.join(folder, "app", "dev.sh"), "#!/bin/sh\nexec tsx watch src/index.ts\n", { mode: 0o755 })
      const state = ["--state", Path.join(folder, "state")] as const
      const bad = `{ name: "bad", command: "no-such-program" }`
      const waits = `{ name: "waits", command: node, dependsOn: ["bad"] }`
      const watches = `{ name: "watches", command: "./dev.sh", cwd: "app", instances: 2 }`
      const nobody = yield* spawn(["run", config(folder, `[${bad}, ${waits}]`), ...state])
      assert.strictEqual(yield* nobody.code, 1)
      assert.include(nobody.texts.err, 'process "bad", command: no-such-program is in none of')
      assert.include(nobody.texts.err, "none of them can be started")
      assert.isFalse(Fs.existsSync(Path.join(folder, "state", "shop.sock.lock")))

      const file = config(folder, `[${waits}, ${bad}, ${idle("good")}, ${watches}]`)
      const checked = yield* say("check", file)
      assert.strictEqual(checked.code, 1)
      assert.include(checked.out, "5 to run: bad, waits, good, watches:0, watches:1")
      assert.include(checked.out.replaceAll("\n", " "), "no-such-program is in none of")
      const { problems, selfWatching } = JSON.parse((yield* say("check", file, "--json")).out)
      assert.deepInclude(problems[0], { process: "bad", field: "command" })
      assert.deepInclude(selfWatching[0], { app: "watches", watcher: "tsx watch", where: "dev.sh line 2" })

      // Its relative folder is found from anywhere.
      const run = yield* spawn(["run", file, ...state], { cwd: "/" })
      yield* run.says("good           ready")
      yield* eventually(
        "it warns",
        Effect.sync(() =>
          run.texts.err.includes("not started: bad") && run.texts.err.includes("warn: watches: tsx watch")
            ? true
            : undefined
        )
      )
      assert.include(run.texts.err, "waits cannot start before that")
      assert.isBelow(run.texts.err.indexOf("no-such-program is in none of"), run.texts.err.indexOf("not started: bad"))
      const { out } = yield* say("status", "--json", ...state)
      const states = JSON.parse(out).processes.map((one: { name: string; state: string }) => [one.name, one.state])
      assert.deepInclude(states, ["bad", "Stopped"])
      assert.deepInclude(states, ["waits", "Blocked"])
      assert.deepInclude(states, ["good", "Running"])
      run.child.kill("SIGTERM")
      assert.strictEqual(yield* run.code, 0)
    })
  )

  it.live("a place in line is no dependency: who comes after one that cannot be started starts", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const line = `[{ name: "bad", command: "no-such-program" }, ${idle("good")}], strategy: "rest_for_one"`
      const run = yield* spawn(["run", config(folder, line), "--state", Path.join(folder, "state")])
      yield* run.says("good           ready")
      run.child.kill("SIGTERM")
      assert.strictEqual(yield* run.code, 0)
      assert.notInclude(run.texts.err, "cannot start before that")
    })
  )

  it.live("stops each after those that depend on it, whatever the order in the file", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const state = ["--state", Path.join(folder, "state")] as const
      const run = yield* spawn([
        "run",
        config(folder, `[${on("a")}, ${on("b", "a")}, ${on("c", "b", "d")}, ${on("d", "a")}]`),
        "--json",
        ...state
      ])
      const ready = (count: number) =>
        eventually(
          `${count} are ready`,
          Effect.sync(() => (run.texts.out.match(/"Ready"/g)?.length === count ? true : undefined))
        )
      yield* ready(4)
      assert.strictEqual((yield* say("stop", "--all", ...state)).code, 0)
      yield* eventually(
        "all of that is printed",
        Effect.sync(() => (ends(run.texts.out).length === 8 ? true : undefined))
      )
      const first = ends(run.texts.out)
      assert.deepStrictEqual(first.slice(0, 2), ["c", "c"])
      assert.deepStrictEqual(first.slice(2, 6).toSorted(), ["b", "b", "d", "d"])
      assert.deepStrictEqual(first.slice(6), ["a", "a"])
      assert.strictEqual((yield* say("start", "--all", ...state)).code, 0)
      yield* ready(8)
      run.child.kill("SIGINT")
      assert.strictEqual(yield* run.code, 0)
      const second = ends(run.texts.out).slice(8)
      assert.deepStrictEqual(second.slice(0, 2), ["c", "c"])
      assert.deepStrictEqual(second.slice(6), ["a", "a"])
    })
  )

  it.live("a signal while the file is evaluated leaves nothing of it", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const pid = Path.join(folder, "pid")
      Fs.writeFileSync(
        Path.join(folder, "ecosystem.config.cjs"),
        `require("node:fs").writeFileSync(${JSON.stringify(pid)}, String(process.pid)); for (;;) {}`
      )
      for (const command of ["run", "check"]) {
        Fs.rmSync(pid, { force: true })
        const run = yield* spawn([command, Path.join(folder, "ecosystem.config.cjs")])
        const evaluator = yield* eventually(
          "it is evaluated",
          Effect.sync(() => (Fs.existsSync(pid) ? Fs.readFileSync(pid, "utf8") || undefined : undefined))
        )
        run.child.kill("SIGINT")
        assert.strictEqual(yield* run.code, 1)
        assert.include(run.texts.err, "SIGINT: nothing was started")
        yield* eventually(
          "it is gone",
          Effect.sync(() => (Fs.existsSync(`/proc/${evaluator}`) ? undefined : true))
        )
      }
    })
  )

  it.live("a file of PM2's finds the variables that are named", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, "ecosystem.config.cjs")
      Fs.writeFileSync(
        file,
        'module.exports = { apps: [{ name: "a" + (process.env.NEXO_TEST ?? ""), script: "x.js" }] }'
      )
      Fs.writeFileSync(Path.join(folder, "x.js"), "")
      const check = yield* spawn(["check", file, "--inherit", "NEXO_TEST"], { env: { NEXO_TEST: "42" } })
      assert.strictEqual(yield* check.code, 0)
      assert.include(check.texts.out, "1 to run: a42")
    })
  )

  it.live("of a bad file starts nothing and says why", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const state = ["--state", Path.join(folder, "state")] as const
      const refused = Effect.fnUntraced(function* (file: string) {
        const { code, err } = yield* say("run", file, ...state)
        assert.strictEqual(code, 1)
        assert.include(err, file)
        return err
      })
      assert.include(yield* refused(Path.join(folder, "none.config.js")), "not there")
      const marker = Path.join(folder, "started")
      const touch = `{ name: "first", command: "touch", args: [${JSON.stringify(marker)}] }`
      assert.include(yield* refused(config(folder, `[${touch}, { name: "bad", comand: "x" }]`)), "comand")
      assert.isFalse(Fs.existsSync(marker))
      Fs.writeFileSync(Path.join(folder, "ecosystem.config.cjs"), "module.exports = {")
      assert.include(yield* refused(Path.join(folder, "ecosystem.config.cjs")), "Unexpected")
      Fs.writeFileSync(Path.join(folder, "nexo.config.js"), "export default []")
      assert.include(yield* refused(Path.join(folder, "nexo.config.js")), "processes")
    })
  )

  it.live("goes on when nobody reads what it writes", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = config(folder, `[${idle("backend")}]`)
      const state = ["--state", Path.join(folder, "state")] as const
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const path = Path.join(folder, "full")
          ChildProcess.execFileSync("mkfifo", [path])
          const fifo = Fs.openSync(path, Fs.constants.O_RDWR)
          const filling = Fs.openSync(path, Fs.constants.O_WRONLY | Fs.constants.O_NONBLOCK)
          assert.throws(() => {
            for (;;) Fs.writeSync(filling, Buffer.alloc(4096))
          }, /EAGAIN/)
          Fs.closeSync(filling)
          // Its stdout is full from the beginning: a write that blocks would be its end.
          const made = ChildProcess.spawn(process.execPath, [cli, "run", file, ...state], {
            stdio: ["ignore", fifo, "ignore"]
          })
          return { made, fifo }
        }),
        ({ fifo, made }) =>
          Effect.sync(() => {
            if (made.pid !== undefined && made.exitCode === null && made.signalCode === null) made.kill("SIGKILL")
            Fs.closeSync(fifo)
          })
      ).pipe(Effect.map(({ made }) => made))
      const exited = yield* Effect.forkChild(
        Effect.callback<number | null>((resume) => void child.once("exit", (code) => resume(Effect.succeed(code)))),
        { startImmediately: true }
      )
      const control = yield* eventually(
        "it answers",
        Effect.orElseSucceed(
          ControlSocket.connect(ControlSocket.pathOf(Path.join(folder, "state"), "shop")),
          () => undefined
        )
      )
      yield* eventually(
        "it runs",
        Effect.map(control.list, ([one]) => (one?.state === "Running" ? true : undefined))
      )
      yield* control.restart("backend")
      child.kill("SIGTERM")
      assert.strictEqual(yield* Fiber.join(exited), 0)
    })
  )
})

describe("the command", () => {
  it.live("is found behind a link, as npm makes one, and says when it cannot be", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const link = Path.join(folder, "nexo-supervisor")
      Fs.symlinkSync(cli, link)
      const { status, stdout } = ChildProcess.spawnSync(process.execPath, [link, "--help"], { encoding: "utf8" })
      assert.strictEqual(status, 0)
      assert.include(stdout, "Usage: nexo-supervisor")
      // Options for Node.js would need `env -S`, which BusyBox has not.
      assert.strictEqual(Fs.readFileSync(cli, "utf8").split("\n")[0], "#!/usr/bin/env node")
    })
  )
})

describe("check", () => {
  it.live("of a file of PM2 says what became of each field, and starts nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const file = Path.join(folder, "ecosystem.config.cjs")
      Fs.writeFileSync(Path.join(folder, "server.js"), "")
      Fs.writeFileSync(
        file,
        `module.exports = { apps: [{ name: "api", script: "server.js", max_memory_restart: "1G", watch: false }], deploy: {} }`
      )
      const { code, out } = yield* say("check", file)
      assert.strictEqual(code, 0)
      assert.match(out, /api +max_memory_restart +changed/)
      assert.include(out, "1 to run: api")
      for (const line of out.split("\n")) assert.isAtMost(width(line), 80)
      const value = JSON.parse((yield* say("check", file, "--json")).out)
      assert.deepStrictEqual(value.processes, ["api"])
      assert.isAtLeast(value.report.length, 4)
    })
  )

  it.live("of a file of our own says what no supervisor would take", () =>
    Effect.gen(function* () {
      for (const [processes, text] of [
        [`[${idle("twice")}, ${idle("twice")}]`, "twice"],
        [`[{ name: "a", command: node, dependsOn: ["b"] }, { name: "b", command: node, dependsOn: ["a"] }]`, "a → b"],
        [`[${idle("a")}], intensity: { limit: -1, window: 1 }`, "intensity.limit"]
      ] as const) {
        // A module is loaded once.
        const folder = yield* TestFolder.make
        const { code, err } = yield* say("check", config(folder, processes))
        assert.strictEqual(code, 1)
        assert.include(err, text)
        assert.include(err, "nexo.config.mjs")
      }
    })
  )

  it.live("starts nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const { code, out } = yield* say("check", config(folder, `[${idle("backend")}]`))
      assert.strictEqual(code, 0)
      assert.strictEqual(out, "1 to run: backend\n")
    })
  )
})
