import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"

import * as RestartPolicy from "../src/RestartPolicy.ts"
import { fixture, identityOf, node, pidOf, reaches, supervise } from "./support.ts"

const lastPid = "/proc/sys/kernel/ns_last_pid"

/** Whether the kernel lets us choose the next pid: root in most containers and virtual machines. */
const canChoosePids = (() => {
  try {
    Fs.closeSync(Fs.openSync(lastPid, "w"))
    return true
  } catch {
    return false
  }
})()

const end = (child: ChildProcess) => Effect.sync(() => child.kill("SIGKILL"))

/** A process of ours, but not of the supervisor, that has this very pid; others may be faster, so try again. */
const strangerWith = (pid: number) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      for (let attempt = 0; attempt < 200; attempt++) {
        Fs.writeFileSync(lastPid, String(pid - 1))
        const child = spawn(process.execPath, [fixture("idle.mjs")], { detached: true, stdio: "ignore" })
        if (child.pid === pid) return child
        yield* end(child)
      }
      return yield* Effect.die(new Error(`pid ${pid} could not be had`))
    }),
    end
  )

describe("a pid that somebody else has now", () => {
  it.live.runIf(canChoosePids)(
    "acceptance(process-supervisor 8): a reused pid, no signal is sent to the stranger",
    () =>
      Effect.gen(function* () {
        const supervisor = yield* supervise([
          node("a", ["idle.mjs"], { restartPolicy: RestartPolicy.make({ type: "temporary" }) })
        ])
        const before = (yield* supervisor.status("a")).identity
        assert.isDefined(before)
        process.kill(before.pid, "SIGKILL")
        yield* reaches(supervisor, "a", "Ended")

        yield* strangerWith(before.pid)
        const stranger = yield* identityOf(before.pid)
        assert.deepStrictEqual(yield* supervisor.ownership(stranger), { _tag: "Foreign" })
        assert.deepStrictEqual(yield* supervisor.ownership(before), { _tag: "Foreign" })
        assert.deepStrictEqual(yield* supervisor.tree("a"), [])
        assert.strictEqual((yield* Effect.flip(supervisor.signal("a", "SIGKILL"))).reason._tag, "NotRunning")
        assert.deepStrictEqual((yield* supervisor.stop("a")).signalled, [])
        yield* supervisor.restart("a")
        assert.lengthOf((yield* supervisor.stop("a")).signalled, 1)
        assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
      })
  )

  it.live("gets no signal even while the supervisor still believes in its child", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const signalled: Array<number> = []
      let reused: number | undefined
      // As if the child's pid belonged to a later process.
      const later = Object.assign({}, table, {
        stat: (pid: number) =>
          Effect.map(table.stat(pid), (stat) =>
            stat !== undefined && pid === reused ? { ...stat, startTime: stat.startTime + 1 } : stat
          ),
        all: Effect.map(table.all, (all) =>
          all.map((stat) => (stat.pid === reused ? { ...stat, startTime: stat.startTime + 1 } : stat))
        ),
        variable: (pid: number, name: string) => (pid === reused ? Effect.undefined : table.variable(pid, name)),
        kill: (pid: number, signal: NodeJS.Signals) => {
          signalled.push(pid)
          return table.kill(pid, signal)
        }
      })
      const supervisor = yield* Effect.provideService(supervise([node("a", ["idle.mjs"])]), ProcessTable, later)
      const pid = pidOf(yield* supervisor.status("a"))
      reused = pid
      assert.strictEqual((yield* Effect.flip(supervisor.signal("a", "SIGTERM"))).reason._tag, "NotRunning")
      yield* supervisor.stop("a")
      assert.deepStrictEqual(signalled, [])
      process.kill(pid, "SIGKILL")
    })
  )
})
