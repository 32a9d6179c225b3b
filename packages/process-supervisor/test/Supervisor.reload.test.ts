import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

import * as TestPort from "../../testing/src/TestPort.ts"
import * as Group from "../src/Group.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import type * as Supervisor from "../src/Supervisor.ts"
import type { SupervisorEvent } from "../src/SupervisorEvent.ts"
import { skipWithoutTier } from "./containment.ts"
import {
  agrees,
  carriers,
  eventually,
  eventsUntil,
  identityOf,
  inline,
  node,
  pidOf,
  reaches,
  supervise,
  temporaryFolder,
  textOf
} from "./support.ts"

type Service = Supervisor.Supervisor["Service"]

const idle = "setInterval(() => {}, 1e6)"
const good = `require("node:fs").writeSync(3, "\\n"); ${idle}`
const patient = { ready: "notify", startGrace: "1 minute" } as const

/** An app whose program is what `version` was given last, and which is ready when it says so on its descriptor. */
const versioned = Effect.fnUntraced(function* (
  first: string = good,
  options: Omit<ProcessSpec.SpecOptions, "name" | "command"> = {}
) {
  const folder = yield* temporaryFolder
  const file = Path.join(folder, "app.cjs")
  const version = (code: string, mode = 0o700) =>
    Effect.sync(() => {
      Fs.writeFileSync(`${file}.part`, `#!${process.execPath}\n${code}`, { mode })
      Fs.renameSync(`${file}.part`, file)
    })
  yield* version(first)
  const all: ProcessSpec.SpecOptions = { ...patient, stopGrace: "2 seconds", ...options, name: "a", command: file }
  const supervisor = yield* supervise([ProcessSpec.make(all)])
  return { folder, supervisor, version, before: yield* reaches(supervisor, "a", "Running") }
})

/** Starts one in its group, and one that leaves it. */
const parent = (folder: string) => `
  const { spawn } = require("node:child_process")
  const near = spawn("sleep", ["1000"])
  const far = spawn("setsid", ["sh", "-c", "sleep 1000 & echo $! > ${folder}/far." + process.pid], { stdio: "ignore" })
  far.on("exit", () => {
    require("node:fs").appendFileSync("${folder}/near." + process.pid, String(near.pid))
    ${good}
  })`

/** For programs of `versioned`: does something once the test has made the file `name`. */
const when = (name: string, code: string) => `
  const timer = setInterval(() => {
    if (!require("node:fs").existsSync(__dirname + "/${name}")) return
    clearInterval(timer)
    ${code}
  }, 10)`

const drainsUntil = (name: string) => `process.on("SIGTERM", () => { ${when(name, "process.exit(0)")} }); ${good}`

const isGone = (identity: ProcessIdentity.ProcessIdentity) =>
  eventually(
    `${identity.pid} is gone`,
    Effect.map(ProcessIdentity.isAlive(identity), (isAlive) => (isAlive ? undefined : true))
  )

const tagsOf = (events: ReadonlyArray<SupervisorEvent>) => events.map(({ _tag }) => _tag)

/** All that was told, up to a stop that this asks for. */
const journalOf = Effect.fnUntraced(function* (supervisor: Service, name = "a") {
  yield* supervisor.stop(name)
  yield* agrees(supervisor)
  return yield* eventsUntil(supervisor, (event) => event._tag === "Stopped" && event.name === name)
})

/** It begins, and a new one runs beside the old one, which is not ready yet. */
const beginReload = Effect.fnUntraced(function* (supervisor: Service) {
  const reload = yield* Effect.forkChild(Effect.exit(supervisor.reload("a")), { startImmediately: true })
  yield* eventsUntil(supervisor, (event) => event._tag === "Reloading")
  return reload
})

const reasonOf = <A>(exit: Exit.Exit<A, { readonly reason: { readonly _tag: string } }>) =>
  Effect.map(Effect.flip(exit), ({ reason }) => reason)

describe("reload", () => {
  for (const [what, code, mode, expected] of [
    ["exits at once", "process.exit(7)", 0o700, { _tag: "Exited", code: 7 }],
    ["aborts", "process.abort()", 0o700, { _tag: "Signaled", signal: "SIGABRT" }],
    ["is never ready", idle, 0o700, { _tag: "ReadinessTimeout" }],
    ["cannot be spawned", good, 0o600, { _tag: "SpawnFailed", code: "EACCES" }]
  ] as const) {
    it.live(`acceptance(process-supervisor 15): a new version that ${what}: the old one serves, ReloadFailed`, () =>
      Effect.gen(function* () {
        const { before, supervisor, version } = yield* versioned(good, { startGrace: "500 millis" })
        yield* version(code, mode)
        const reason = yield* reasonOf(yield* Effect.exit(supervisor.reload("a")))
        assert.strictEqual(reason._tag, "ReloadFailed")
        if ("exit" in reason && typeof reason.exit === "object") assert.deepInclude(reason.exit, expected)
        const after = yield* supervisor.status("a")
        assert.deepInclude(after, { state: "Running", restarts: 0, identity: before.identity, lastExit: undefined })
        assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [pidOf(before)])
        yield* agrees(supervisor)
        const begun = expected._tag === "SpawnFailed" ? [] : ["Reloading"]
        assert.deepStrictEqual(tagsOf(yield* journalOf(supervisor)).slice(0, -3), [
          "Spawned",
          "Ready",
          ...begun,
          "ReloadFailed"
        ])
      })
    )
  }

  it.live("no request fails while an app is replaced under load, again and again", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 30_000)
      const supervisor = yield* supervise([
        node("a", ["supervised.mjs", "100"], { ready: "notify", port, stopGrace: "10 seconds", startGrace: "1 minute" })
      ])
      const agent = new Http.Agent({ keepAlive: true, maxSockets: 10 })
      const failures: Array<string> = []
      const answers = new Set<string>()
      const over = new AbortController()
      const ask = () =>
        new Promise<void>((resolve) => {
          const failed = (error: Error) => {
            failures.push(error.message)
            resolve()
          }
          const request = Http.get({ port, host: "127.0.0.1", agent }, (response) => {
            let body = ""
            response.setEncoding("utf8")
            response.on("data", (data: string) => (body += data))
            response.on("end", () => {
              if (response.statusCode !== 200) failures.push(`${response.statusCode}`)
              answers.add(body)
              resolve()
            })
            response.on("error", failed)
          })
          request.on("error", failed)
        })
      const clients = yield* Effect.forkChild(
        Effect.promise(() =>
          Promise.all(
            Array.from({ length: 10 }, async () => {
              while (!over.signal.aborted) await ask()
            })
          )
        )
      )
      const pids = [pidOf(yield* supervisor.status("a"))]
      for (let count = 0; count < 3; count += 1) {
        yield* supervisor.reload("a")
        const pid = pidOf(yield* supervisor.status("a"))
        assert.notInclude(pids, pid)
        // The old one is gone as soon as the reload is over.
        assert.isUndefined(yield* ProcessIdentity.of(pids.at(-1) ?? 0))
        pids.push(pid)
        yield* eventually(
          "the new one is asked",
          Effect.sync(() => (answers.has(String(pid)) ? true : undefined))
        )
      }
      over.abort()
      yield* Fiber.join(clients)
      agent.destroy()
      assert.deepStrictEqual(failures, [])
      assert.strictEqual(answers.size, 4)
      assert.deepInclude(yield* supervisor.status("a"), { state: "Running", restarts: 0, startedBy: "request" })
      yield* agrees(supervisor)
      const events = yield* journalOf(supervisor)
      const once = ["Reloading", "Reloaded", "Exited"]
      assert.deepStrictEqual(tagsOf(events), [
        "Spawned",
        "Ready",
        ...once,
        ...once,
        ...once,
        "StopRequested",
        "Exited",
        "Stopped"
      ])
      assert.deepInclude(events.find((event) => event._tag === "Exited")?.exit, { _tag: "Recycled", why: "Reload" })
    })
  )

  it.live("what does not run is not reloaded, and nothing is started", () =>
    Effect.gen(function* () {
      const supervisor = yield* supervise([inline("a", good, patient)], { autoStart: false })
      const { reason } = yield* Effect.flip(supervisor.reload("a"))
      assert.strictEqual(reason._tag, "NotRunning")
      yield* supervisor.start("a")
      yield* supervisor.stop("a")
      assert.strictEqual((yield* Effect.flip(supervisor.reload("a"))).reason._tag, "NotRunning")
      assert.strictEqual((yield* Effect.flip(supervisor.reload("b"))).reason._tag, "UnknownProcess")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      yield* agrees(supervisor)
    })
  )

  it.live("the new one of what was not ready yet makes it ready", () =>
    Effect.gen(function* () {
      const { before, supervisor, version } = yield* versioned(good)
      yield* version(idle)
      process.kill(pidOf(before), "SIGKILL")
      const starting = yield* reaches(supervisor, "a", "Starting", ({ restarts }) => restarts === 1)
      yield* version(good)
      yield* supervisor.reload("a")
      const after = yield* supervisor.status("a")
      assert.notStrictEqual(pidOf(after), pidOf(starting))
      assert.deepInclude(after, { state: "Running", restarts: 1 })
      yield* agrees(supervisor)
    })
  )

  it.live("a line of the old one does not make the new one ready", () =>
    Effect.gen(function* () {
      const talks = `setInterval(() => console.log("ready"), 20)`
      const { before, supervisor, version } = yield* versioned(talks, { ready: /ready/, startGrace: "300 millis" })
      yield* version(idle)
      assert.strictEqual((yield* Effect.flip(supervisor.reload("a"))).reason._tag, "ReloadFailed")
      assert.deepInclude(yield* supervisor.status("a"), { state: "Running", identity: before.identity })
    })
  )

  it.live("what the old one had started goes with it, what the new one starts stays", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { before, supervisor } = yield* versioned(parent(folder))
      yield* supervisor.reload("a")
      const after = yield* supervisor.status("a")
      const childrenOf = Effect.fnUntraced(function* (pid: number) {
        return [Number(yield* textOf(`${folder}/near.${pid}`)), Number(yield* textOf(`${folder}/far.${pid}`))]
      })
      for (const pid of yield* childrenOf(pidOf(before))) assert.isUndefined(yield* ProcessIdentity.of(pid))
      const left = yield* childrenOf(pidOf(after))
      for (const pid of left) assert.isDefined(yield* ProcessIdentity.of(pid))
      assert.sameMembers([...(yield* carriers(`${supervisor.id}/a`))], [pidOf(after), ...left])
      yield* journalOf(supervisor)
      assert.deepStrictEqual(yield* carriers(`${supervisor.id}/a`), [])
    })
  )

  it.live("what a new one that failed had started without our environment goes with it", () =>
    Effect.gen(function* () {
      const { folder, supervisor, version } = yield* versioned()
      yield* version(`
        const child = require("node:child_process").spawn("sleep", ["1000"], { env: {}, stdio: "ignore" })
        require("node:fs").writeFileSync("${folder}/child", String(child.pid))
        const timer = setInterval(() => require("node:fs").existsSync("${folder}/gate") && process.exit(1), 10)`)
      const reload = yield* beginReload(supervisor)
      const child = yield* identityOf(Number(yield* textOf(`${folder}/child`)))
      yield* Effect.addFinalizer(() => Effect.ignore(ProcessIdentity.signal(child, "SIGKILL")))
      Fs.writeFileSync(`${folder}/gate`, "")
      assert.strictEqual((yield* reasonOf(yield* Fiber.join(reload)))._tag, "ReloadFailed")
      yield* isGone(child)
    })
  )

  it.live("both are its own meanwhile: the new one before it is ready, and the old one while it drains", () =>
    Effect.gen(function* () {
      const { folder, supervisor, version } = yield* versioned(drainsUntil("drained"))
      yield* version(`${when("ready", good)}; ${idle}`)
      const reload = yield* beginReload(supervisor)
      const pids = yield* carriers(supervisor.id)
      assert.lengthOf(pids, 2)
      const owned = Effect.forEach(pids, (pid) => Effect.flatMap(identityOf(pid), supervisor.ownership))
      const current = { _tag: "Current", process: "a" } as const
      assert.deepStrictEqual(yield* owned, [current, current])
      Fs.writeFileSync(`${folder}/ready`, "")
      yield* eventsUntil(supervisor, (event) => event._tag === "Reloaded")
      assert.deepStrictEqual(yield* owned, [current, current])
      Fs.writeFileSync(`${folder}/drained`, "")
      yield* Fiber.join(reload)
    })
  )

  it.live("members of a group are reloaded one after the other", () =>
    Effect.gen(function* () {
      const names = ["x", "y", "z"]
      const members = names.map((name) => inline(name, good, patient))
      const supervisor = yield* supervise([Group.make({ name: "all", members })])
      yield* supervisor.reload("all")
      yield* supervisor.stop("all")
      const events = yield* eventsUntil(supervisor, (event) => event._tag === "StopRequested")
      assert.deepStrictEqual(
        events.slice(6, -1).map(({ _tag, name }) => `${name} ${_tag}`),
        names.flatMap((name) => [`${name} Reloading`, `${name} Reloaded`, `${name} Exited`])
      )
      yield* agrees(supervisor)
    })
  )
})

describe("in the middle of a reload", () => {
  it.live("the old one dies: the new one takes its place when it is ready, and the true end is told", () =>
    Effect.gen(function* () {
      const { before, folder, supervisor, version } = yield* versioned()
      yield* version(`const timer = setInterval(() => {
        if (!require("node:fs").existsSync("${folder}/gate")) return
        clearInterval(timer); ${good} }, 10)`)
      const reload = yield* beginReload(supervisor)
      process.kill(pidOf(before), "SIGKILL")
      yield* eventually(
        "it is gone",
        Effect.map(ProcessIdentity.of(pidOf(before)), (found) => (found === undefined ? true : undefined))
      )
      Fs.writeFileSync(`${folder}/gate`, "")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(reload)))
      assert.deepInclude(yield* supervisor.status("a"), { state: "Running", restarts: 0 })
      yield* agrees(supervisor)
      const events = yield* journalOf(supervisor)
      assert.deepInclude(events.find((event) => event._tag === "Exited")?.exit, { _tag: "Signaled", signal: "SIGKILL" })
    })
  )

  it.live("both die: ReloadFailed, and then it is restarted by its policy", () =>
    Effect.gen(function* () {
      const { before, folder, supervisor, version } = yield* versioned()
      yield* version(`
        const Fs = require("node:fs")
        const isMended = () => Fs.existsSync("${folder}/gate")
        if (isMended()) { ${good} } else {
          Fs.writeFileSync("${folder}/up", "up")
          setInterval(() => isMended() && process.exit(1), 10)
        }`)
      const reload = yield* beginReload(supervisor)
      process.kill(pidOf(before), "SIGKILL")
      yield* eventually(
        "it is gone",
        Effect.map(ProcessIdentity.of(pidOf(before)), (found) => (found === undefined ? true : undefined))
      )
      yield* textOf(`${folder}/up`)
      Fs.writeFileSync(`${folder}/gate`, "")
      assert.strictEqual((yield* reasonOf(yield* Fiber.join(reload)))._tag, "ReloadFailed")
      const after = yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
      assert.deepInclude(after.lastExit, { _tag: "Signaled", signal: "SIGKILL" })
      yield* agrees(supervisor)
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(after)])
    })
  )

  it.live("the new one dies right after it took the place: it is restarted before the old one has drained", () =>
    Effect.gen(function* () {
      const drains = `process.on("SIGTERM", () => setTimeout(() => process.exit(0), 1500)); ${good}`
      const { supervisor, version } = yield* versioned(drains, { stopGrace: "10 seconds" })
      yield* version(good)
      const reload = yield* Effect.forkChild(supervisor.reload("a"), { startImmediately: true })
      yield* eventsUntil(supervisor, (event) => event._tag === "Reloaded")
      process.kill(pidOf(yield* supervisor.status("a")), "SIGKILL")
      const after = yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
      assert.lengthOf(yield* carriers(supervisor.id), 2)
      yield* Fiber.join(reload)
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(after)])
      assert.strictEqual((yield* supervisor.status("a")).identity, after.identity)
      yield* agrees(supervisor)
    })
  )

  it.live("the restart of the new one does not take the port from the old one that drains", () =>
    Effect.gen(function* () {
      const port = yield* TestPort.free(20_000, 30_000)
      const listens = `require("node:net").createServer().listen(${port}, "127.0.0.1", () => { ${drainsUntil("drained")} })`
      const { before, folder, supervisor, version } = yield* versioned(listens, { port, stopGrace: "1 minute" })
      // It does not need the port, which is looked at before it is started all the same.
      yield* version(good)
      const reload = yield* Effect.forkChild(supervisor.reload("a"), { startImmediately: true })
      yield* eventsUntil(supervisor, (event) => event._tag === "Reloaded")
      process.kill(pidOf(yield* supervisor.status("a")), "SIGKILL")
      yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
      assert.include(yield* carriers(supervisor.id), pidOf(before))
      Fs.writeFileSync(`${folder}/drained`, "")
      yield* Fiber.join(reload)
      yield* agrees(supervisor)
    })
  )

  it.live("a stop ends both; the reload says so, and its journal has an end", () =>
    Effect.gen(function* () {
      const { supervisor, version } = yield* versioned()
      yield* version(idle)
      const reload = yield* beginReload(supervisor)
      const events = yield* journalOf(supervisor)
      assert.strictEqual((yield* reasonOf(yield* Fiber.join(reload)))._tag, "Unavailable")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      const tags = ["Reloading", "StopRequested", "ReloadFailed", "Exited", "Stopped"]
      assert.deepStrictEqual(tagsOf(events), ["Spawned", "Ready", ...tags])
    })
  )

  it.live("a restart wins: one process runs afterwards", () =>
    Effect.gen(function* () {
      const { before, folder, supervisor, version } = yield* versioned()
      yield* version(`require("node:fs").existsSync("${folder}/gate") ? (() => { ${good} })() : (() => { ${idle} })()`)
      const reload = yield* beginReload(supervisor)
      Fs.writeFileSync(`${folder}/gate`, "")
      yield* supervisor.restart("a")
      assert.strictEqual((yield* reasonOf(yield* Fiber.join(reload)))._tag, "Unavailable")
      const after = yield* reaches(supervisor, "a", "Running")
      assert.notStrictEqual(pidOf(after), pidOf(before))
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(after)])
      yield* agrees(supervisor)
    })
  )

  it.live("the supervisor closes: nothing is left", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { supervisor, version } = yield* Scope.provide(versioned(), scope)
      yield* version(idle)
      yield* beginReload(supervisor)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
    })
  )

  it.live("another reload waits for its turn, also when nobody waits for the first one any more", () =>
    Effect.gen(function* () {
      const slow = `setTimeout(() => { ${good} }, 300)`
      const { supervisor } = yield* versioned(slow)
      const first = yield* beginReload(supervisor)
      yield* Fiber.interrupt(first)
      yield* Effect.all([supervisor.reload("a"), supervisor.reload("a")], { concurrency: "unbounded" })
      const after = yield* supervisor.status("a")
      assert.deepStrictEqual(yield* carriers(supervisor.id), [pidOf(after)])
      yield* agrees(supervisor)
      const events = yield* journalOf(supervisor)
      const once = ["Reloading", "Reloaded", "Exited"]
      assert.deepStrictEqual(tagsOf(events).slice(2, -3), [...once, ...once, ...once])
    })
  )

  it.live("a stop ends those that wait for their turn as well", () =>
    Effect.gen(function* () {
      const { supervisor, version } = yield* versioned()
      yield* version(idle)
      const first = yield* beginReload(supervisor)
      const second = yield* Effect.forkChild(Effect.exit(supervisor.reload("a")), { startImmediately: true })
      yield* supervisor.stop("a")
      for (const reload of [first, second]) {
        assert.strictEqual((yield* reasonOf(yield* Fiber.join(reload)))._tag, "Unavailable")
      }
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      yield* agrees(supervisor)
    })
  )
})

for (const containment of ["cgroup", "pid-namespace"] as const) {
  describe.skipIf(await skipWithoutTier(containment))(`reload in a ${containment}`, () => {
    for (const ready of ["notify", "message"] as const) {
      it.live(`the new one says that it is ready by ${ready} and takes the place; each may drain`, () =>
        Effect.gen(function* () {
          const say = ready === "notify" ? `require("node:fs").writeSync(3, "\\n")` : `process.send("ready")`
          const drain = `process.on("SIGTERM", () => setTimeout(() => process.exit(5), 100))`
          const supervisor = yield* supervise([
            inline("a", `${drain}; ${say}; ${idle}`, { ready, containment, startGrace: "1 minute" })
          ])
          const before = yield* reaches(supervisor, "a", "Running")
          yield* supervisor.reload("a")
          const after = yield* supervisor.status("a")
          assert.notStrictEqual(pidOf(after), pidOf(before))
          assert.include(yield* carriers(supervisor.id), pidOf(after))
          assert.isUndefined(yield* ProcessIdentity.of(pidOf(before)))
          yield* agrees(supervisor)
          yield* supervisor.stop("a")
          assert.deepStrictEqual(yield* carriers(supervisor.id), [])
          assert.deepInclude((yield* supervisor.status("a")).lastExit, { _tag: "StopRequested", code: 5 })
          yield* agrees(supervisor)
        })
      )
    }
  })
}
