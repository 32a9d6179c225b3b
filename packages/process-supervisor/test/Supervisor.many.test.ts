import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import * as Binary from "../../testing/src/Binary.ts"
import * as Group from "../src/Group.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import { gone, guardians, run, stack, type Plain } from "./stack.ts"
import { carriers, eventually, identityOf, node, pidOf, supervise, temporaryFolder, textOf } from "./support.ts"

/** What this process has open, and who listens to it. */
const held = () => ({
  descriptors: Fs.readdirSync("/proc/self/fd").length,
  listeners: process.eventNames().reduce((all, name) => all + process.listenerCount(name), 0),
  resources: process
    .getActiveResourcesInfo()
    .filter((name) => ["PipeWrap", "ProcessWrap", "TCPServerWrap", "FSReqCallback"].includes(name)).length
})

const sleeps = (name: string, options: Plain = {}) =>
  ProcessSpec.make({ name, command: "sleep", args: ["600"], ...options })

describe("a hundred at once", () => {
  it.live("start and stop, and nothing of them stays open", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const log = Path.join(folder, "out.log")
      const all = (instances: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const supervisor = yield* supervise([sleeps("many", { instances, log }), sleeps("a"), sleeps("b")])
            assert.lengthOf(yield* carriers(supervisor.id), instances + 2)
            assert.isTrue((yield* supervisor.list).every(({ state }) => state === "Running"))
            const { escalated, signalled, survivors } = yield* supervisor.stop("many")
            assert.deepStrictEqual([signalled.length, escalated, survivors], [instances, [], []])
            assert.lengthOf(yield* carriers(supervisor.id), 2)
            yield* supervisor.start("many")
            return supervisor.id
          })
        )
      // Whatever is opened once and for all.
      yield* all(2)
      const before = held()
      const id = yield* all(98)
      assert.deepStrictEqual(yield* carriers(id), [])
      assert.deepStrictEqual(yield* guardians(id), [])
      yield* eventually(
        "all is closed",
        Effect.sync(() => {
          const now = held()
          return now.descriptors <= before.descriptors && now.resources <= before.resources ? true : undefined
        })
      )
      assert.strictEqual(held().listeners, before.listeners)
    })
  )
})

describe("a group", () => {
  it.live("says of each of its members who has outlived its stop", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const kept = new Set<number>()
      const immortal = Object.assign({}, table, {
        kill: (pid: number, signal: NodeJS.Signals) => (kept.has(pid) ? Effect.succeed(true) : table.kill(pid, signal))
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const members = [sleeps("a", { stopGrace: 0 }), sleeps("b", { stopGrace: 0 })]
          const supervisor = yield* supervise([Group.make({ name: "both", members })])
          const stuck = pidOf(yield* supervisor.status("a"))
          kept.add(stuck)
          const error = yield* Effect.flip(supervisor.stop("both"))
          kept.clear()
          assert.deepInclude(error.reason, { _tag: "Survivors", pids: [stuck] })
          assert.strictEqual((yield* supervisor.status("b")).state, "Stopped")
        })
      ).pipe(Effect.provideService(ProcessTable, immortal))
    })
  )
})

const policy = {
  backoff: { initial: "20 millis", max: "20 millis", jitter: "none" },
  intensity: { limit: 100_000, window: "1 minute" }
} as const

describe.skipIf(Binary.skipWithout("prlimit", "apt-get install util-linux"))("without a free descriptor", () => {
  it.live("a start fails with the system's code, is tried again by the policy, and leaves nobody behind", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, `descriptors-${process.pid}`]
      const { crash, pid, said } = yield* stack({
        id,
        stateFolder: folder,
        processes: [
          { name: "a", ...run("idle.mjs"), log: Path.join(folder, "a.log"), restartPolicy: policy },
          { name: "b", ...run("idle.mjs"), restartPolicy: policy },
          { name: "c", command: "sleep", args: ["600"], restartPolicy: policy, onSupervisorDeath: "survive" }
        ]
      })
      const limit = (most: string) =>
        ChildProcess.execFileSync("prlimit", ["--pid", String(pid), `--nofile=${most}`], { stdio: "ignore" })
      const [, hard = ""] = /^Max open files +\S+ +(\S+)/m.exec(Fs.readFileSync(`/proc/${pid}/limits`, "utf8")) ?? []
      const failures = () => said.filter((line) => line.includes('"EMFILE"')).length
      const living = Effect.map(carriers(`${id}/`), (pids) => (pids.length === 3 ? pids : undefined))
      // From where nothing can be opened to where everything can, and each step on the way.
      for (let most = 18; most < 42; most += 2) {
        const before = yield* eventually("all three run", living)
        const failed = failures()
        limit(`${most}:`)
        for (const one of before) yield* ProcessIdentity.signal(yield* identityOf(one), "SIGKILL")
        yield* eventually(
          "all run, or one could not be started",
          Effect.map(carriers(`${id}/`), (pids) => {
            const renewed = pids.length === 3 && pids.every((one) => !before.includes(one))
            return failures() > failed + 2 || renewed ? true : undefined
          })
        )
        limit(`${hard}:`)
        yield* eventually("all three run again", living)
      }
      assert.isAbove(failures(), 0)
      assert.notInclude(said.join("\n"), '"DEFECT"')
      // Not one was started that nobody knows of.
      yield* Effect.sleep("200 millis")
      assert.lengthOf(yield* carriers(`${id}/`), 3)
      yield* crash
      yield* eventually(
        "only who survives is there",
        Effect.map(carriers(`${id}/`), (pids) => (pids.length === 1 ? true : undefined))
      )
    })
  )

  it.live("an orderly end leaves nobody either: its guardian finds whom it cannot look for", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, `blind-${process.pid}`]
      const file = Path.join(folder, "pids")
      const drained = Path.join(folder, "drained")
      const drains = `trap 'echo bye > ${drained}; exit 0' TERM; echo up > ${drained}.up; while :; do sleep 0.01; done`
      const { close, pid } = yield* stack({
        id,
        processes: [
          { name: "tree", ...run("tree.mjs", file), stopGrace: "200 millis" },
          { name: "drains", command: "/bin/sh", args: ["-c", drains] }
        ]
      })
      yield* textOf(file)
      yield* textOf(`${drained}.up`)
      assert.isAtLeast((yield* carriers(`${id}/`)).length, 4)
      ChildProcess.execFileSync("prlimit", ["--pid", String(pid), "--nofile=16:"])
      assert.strictEqual(yield* close, 0)
      yield* gone(id)
      assert.strictEqual(Fs.readFileSync(drained, "utf8"), "bye\n")
      yield* eventually(
        "its guardian has ended",
        Effect.map(guardians(id), (pids) => (pids.length === 0 ? true : undefined))
      )
    })
  )
})

describe("a start that is interrupted", () => {
  const never = Probe.make({ name: "never", reports: [], check: Effect.succeed(Verdict.inconclusive("never")) })

  it.live("at any moment leaves no process, no guardian, no lock and nothing open", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, `interrupted-${process.pid}`]
      const members = [
        node("a", ["idle.mjs"], { log: Path.join(folder, "a.log") }),
        sleeps("survives", { onSupervisorDeath: "survive" }),
        sleeps("waits", { dependsOn: ["a"] }),
        sleeps("many", { instances: 5 }),
        ProcessSpec.make({ name: "never", command: "sleep", args: ["600"], ready: never, startGrace: "1 hour" }),
        ProcessSpec.make({ name: "held", command: "sleep", args: ["600"], prerequisites: [never] }),
        sleeps("last", { dependsOn: ["never"] })
      ]
      const build = Effect.scoped(Effect.andThen(supervise(members, { id, stateFolder: folder }), Effect.never))
      let baseline: ReturnType<typeof held> | undefined
      for (let moment = 0; moment <= 20; moment++) {
        const starting = yield* Effect.forkChild(build, { startImmediately: true })
        yield* Effect.sleep(Duration.millis(moment * 4))
        yield* Fiber.interrupt(starting)
        assert.deepStrictEqual([yield* carriers(`${id}/`), yield* guardians(id)], [[], []], `after ${moment * 4} ms`)
        assert.isFalse(Fs.existsSync(Path.join(folder, `${id}.lock`)), `after ${moment * 4} ms`)
        baseline ??= held()
      }
      const before = baseline
      assert.isDefined(before)
      yield* eventually(
        "all is closed",
        Effect.sync(() => (held().descriptors <= before.descriptors ? true : undefined))
      )
      assert.strictEqual(held().listeners, before.listeners)
      yield* gone(id)
    })
  )
})
