import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as TestProcessTable from "../../testing/src/TestProcessTable.ts"
import * as Cookie from "../src/internal/cookie.ts"
import * as Tree from "../src/internal/tree.ts"

describe("tree", () => {
  it.live("a stop ends neither itself nor who is above it, whatever marks they bear", () =>
    Effect.gen(function* () {
      const other = yield* TestProcess.idle
      const dead = yield* TestProcess.deceased
      const table = yield* ProcessTable
      const sent: Array<number> = []
      const us = yield* TestProcess.identityOf(process.pid)
      const receipt = yield* Tree.sweep(
        undefined,
        { id: "kin", name: "web", supervisor: us },
        { grace: Duration.seconds(5), signals: ["SIGTERM"] }
      ).pipe(
        TestProcessTable.answering({
          variable: (pid, name) =>
            name === "NEXO_SUPERVISED" && [process.pid, process.ppid, other.pid].includes(pid)
              ? Effect.succeed(`kin/web/${dead.pid}.${dead.startTime}`)
              : table.variable(pid, name),
          kill: (pid, signal) =>
            Effect.suspend(() => {
              sent.push(pid)
              // A mistake must not end what runs this test.
              return pid === other.pid ? table.kill(pid, signal) : Effect.succeed(false)
            })
        })
      )
      assert.deepStrictEqual(receipt, { signalled: [other], escalated: [], survivors: [] })
      assert.deepStrictEqual([...new Set(sent)], [other.pid])
    })
  )

  it.live("who is started by a stop gets its last signal only, within what is left of the grace", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const at = (name: string) => JSON.stringify(Path.join(folder, name))
      const late = `
        const say = (text) => require("node:fs").appendFileSync(${at("late")}, text + " ")
        process.on("SIGINT", () => say("SIGINT"))
        process.on("SIGTERM", () => { say("SIGTERM"); process.exit() })
        setInterval(() => {}, 1e6)
        say("up")`
      const code = `
        const { spawn } = require("node:child_process")
        process.on("SIGINT", () => {
          spawn(process.execPath, ["-e", ${JSON.stringify(late)}], { detached: true, stdio: "ignore" })
          const isUp = () => require("node:fs").existsSync(${at("late")})
          setInterval(() => isUp() && process.exit(), 10)
        })
        require("node:fs").writeFileSync(${at("up")}, "")`
      const us = yield* TestProcess.identityOf(process.pid)
      const ours = { id: `late-${process.pid}`, name: "web", supervisor: us }
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          ChildProcess.spawn(process.execPath, ["-e", `${code}; setInterval(() => {}, 1e6)`], {
            detached: true,
            stdio: "ignore",
            env: { NEXO_SUPERVISED: Cookie.format(ours), NEXO_LIFE: "1" }
          })
        ),
        (one) => Effect.sync(() => one.pid !== undefined && one.kill("SIGKILL"))
      )
      yield* eventually(
        "it is up",
        Effect.sync(() => Fs.existsSync(Path.join(folder, "up")) || undefined)
      )
      const identity = yield* TestProcess.identityOf(child.pid)
      const receipt = yield* Tree.sweep(identity, ours, {
        grace: Duration.seconds(20),
        signals: ["SIGINT", "SIGTERM"]
      })
      assert.lengthOf(receipt.signalled, 2)
      assert.deepStrictEqual([receipt.escalated, receipt.survivors], [[], []])
      assert.strictEqual(Fs.readFileSync(Path.join(folder, "late"), "utf8"), "up SIGTERM ")
    })
  )

  it.live("the group of one that nobody reaps is ended, and that of who has its number since is not", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "pids")
      // Stopped, so that it does not reap the leader of the group.
      const code = `
        const { spawn } = require("node:child_process")
        const leader = spawn("sh", ["-c", "sleep 600 & echo $!"], { detached: true, stdio: ["ignore", "pipe", "ignore"] })
        leader.stdout.once("data", (text) => {
          require("node:fs").writeFileSync(${JSON.stringify(file)}, leader.pid + " " + text)
          process.kill(process.pid, "SIGSTOP")
        })`
      yield* TestProcess.start(process.execPath, "-e", code)
      const pids = eventually(
        "they are there",
        Effect.sync(
          () => (Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : "").match(/^(\d+) (\d+)\n/) ?? undefined
        )
      )
      const [, leader = 0, member = 0] = (yield* pids).map(Number)
      const left = yield* Effect.acquireRelease(TestProcess.identityOf(member), (one) =>
        Effect.orDie(ProcessIdentity.signal(one, "SIGKILL"))
      )
      const { pid, startTime } = yield* TestProcess.reaches(leader, "Z")
      const { bootId } = left
      yield* Tree.killGroup({ pid, bootId, startTime: startTime - 1 })
      assert.isTrue(yield* ProcessIdentity.isAlive(left))
      yield* Tree.killGroup({ pid, bootId, startTime })
      yield* eventually(
        "it is gone",
        Effect.map(ProcessIdentity.isAlive(left), (lives) => (lives ? undefined : true))
      )
    })
  )
})
