import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Verdict from "@nexobot/core/Verdict"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import { refusal } from "../../testing/src/Expect.ts"
import * as ProcessFault from "../../testing/src/ProcessFault.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as StateFile from "../src/internal/stateFile.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { gone, guardians, run, stack } from "./stack.ts"
import { carriers, eventually, identityOf, node, supervise, temporaryFolder, textOf } from "./support.ts"
import { earlier, freshId, nextLife, survivor } from "./survivalSupport.ts"

describe("acceptance(process-supervisor 9): the supervisor is killed with SIGKILL", () => {
  it.live(
    "acceptance(process-supervisor 9): of plain ones, shells, trees, escapees and twenty more nothing is left",
    () =>
      Effect.gen(function* () {
        const id = freshId()
        const folder = yield* temporaryFolder
        const file = Path.join(folder, "pids")
        const { crash } = yield* stack({
          id,
          processes: [
            { name: "plain", ...run("idle.mjs") },
            { name: "stubborn", ...run("stubborn.mjs", Path.join(folder, "stubborn")) },
            { name: "shell", command: "/bin/sh", args: ["-c", "sleep 600 & setsid sleep 600 & sleep 600"] },
            { name: "tree", ...run("tree.mjs", file) },
            { name: "many", command: "sleep", args: ["600"], instances: 20 }
          ]
        })
        yield* textOf(file)
        yield* textOf(Path.join(folder, "stubborn"))
        assert.isAtLeast((yield* carriers(`${id}/`)).length, 20 + 2 + 4 + 3)
        const before = yield* Clock.monotonicTimeNanos
        yield* crash
        yield* gone(id)
        const took = Number((yield* Clock.monotonicTimeNanos) - before) / 1e6
        if (process.env["NEXO_FIGURES"] !== undefined)
          process.stderr.write(`no survivors after ${took.toFixed(0)} ms\n`)
        assert.isBelow(took, 10_000)
        yield* eventually(
          "its guardian has ended",
          Effect.map(guardians(id), (pids) => (pids.length === 0 ? true : undefined))
        )
      })
  )

  it.live("a guardian that was killed is replaced, and the new one knows everybody", () =>
    Effect.gen(function* () {
      const id = freshId()
      const { crash } = yield* stack({
        id,
        processes: [
          { name: "a", ...run("idle.mjs") },
          { name: "b", ...run("idle.mjs") }
        ]
      })
      const [first = 0] = yield* guardians(id)
      yield* ProcessIdentity.signal(yield* identityOf(first), "SIGKILL")
      yield* eventually(
        "there is another guardian",
        Effect.map(guardians(id), (pids) => (pids.length === 1 && pids[0] !== first ? true : undefined))
      )
      assert.lengthOf(yield* carriers(`${id}/`), 2)
      yield* crash
      yield* gone(id)
    })
  )

  it.live("no guardian is left after an orderly end, nor when the scope closes during the start", () =>
    Effect.gen(function* () {
      const id = freshId()
      const { close } = yield* stack({ id, processes: [{ name: "a", ...run("idle.mjs") }] })
      assert.lengthOf(yield* guardians(id), 1)
      assert.strictEqual(yield* close, 0)
      assert.deepStrictEqual([yield* guardians(id), yield* carriers(`${id}/`)], [[], []])

      const never = Probe.make({ name: "never", reports: [], check: Effect.succeed(Verdict.inconclusive("never")) })
      const starting = yield* Effect.forkChild(
        Effect.scoped(supervise([node("a", ["idle.mjs"], { ready: never, startGrace: "1 hour" })], { id }))
      )
      yield* eventually(
        "it is guarded",
        Effect.map(guardians(id), (pids) => (pids.length === 1 ? true : undefined))
      )
      yield* Fiber.interrupt(starting)
      assert.deepStrictEqual([yield* guardians(id), yield* carriers(`${id}/`)], [[], []])
    })
  )
})

describe("alone", () => {
  it.live("a second one with the same folder and id is refused while the first lives, and touches nothing", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, file, keep, pid } = yield* earlier(folder, id)
      const before = yield* carriers(`${id}/`)
      const error = yield* Effect.flip(Effect.scoped(nextLife(folder, id, file)))
      assert.strictEqual(error._tag === "StateFileError" && error.reason._tag, "Held")
      assert.include(error.message, `as process ${pid}`)
      assert.sameMembers([...(yield* carriers(`${id}/`))], [...before])
      yield* crash
      const supervisor = yield* nextLife(folder, id, file)
      assert.deepStrictEqual((yield* supervisor.status("keep")).identity, keep)
      const self = yield* Effect.flip(Effect.scoped(nextLife(folder, id, file)))
      assert.include(self.message, `as process ${process.pid}`)
    })
  )

  it.live("acceptance(process-supervisor 10): a stale lock from a previous boot is taken over", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const { crash, file, keep } = yield* earlier(folder, id)
      yield* crash
      const lock = Path.join(folder, `${id}.lock`)
      // Its pid may be anybody's by now: here somebody's who lives.
      const stranger = yield* TestProcess.idle
      Fs.writeFileSync(lock, JSON.stringify({ ...stranger, bootId: "00000000-0000-0000-0000-000000000000" }))
      const supervisor = yield* nextLife(folder, id, file)
      assert.deepStrictEqual((yield* supervisor.status("keep")).identity, keep)
      assert.include(Fs.readFileSync(lock, "utf8"), `${process.pid}`)
      assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
    })
  )

  it.live("children of a previous boot are nobody's: whoever has their pids now is left alone", () =>
    Effect.gen(function* () {
      const [folder, id] = [yield* temporaryFolder, freshId()]
      const bystander = yield* ProcessFault.bystander
      const identity = { ...bystander, bootId: "00000000-0000-0000-0000-000000000000" }
      const child = { identity, spec: "", restarts: 0, life: 1, since: 0 }
      const children = [
        { ...child, name: "keep", mode: "survive" as const },
        { ...child, name: "dies", mode: "die" as const }
      ]
      Fs.writeFileSync(Path.join(folder, `${id}.state.json`), StateFile.encode({ id, children }), { mode: 0o600 })
      const supervisor = yield* supervise([node("keep", ["idle.mjs"], survivor)], { id, stateFolder: folder })
      assert.deepInclude(yield* supervisor.status("keep"), { state: "Running", restarts: 0 })
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
      yield* supervisor.stop("keep")
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
    })
  )
})

const refused = (options: Parameters<typeof node>[2]) =>
  refusal(() => node("a", ["idle.mjs"], { ...survivor, ...options })).option

describe("what can survive", () => {
  it("has no channel to its supervisor, and a folder in which it is remembered", () => {
    assert.strictEqual(refused({ liveness: { heartbeat: "1 second" } }), "liveness.heartbeat")
    for (const ready of ["notify", "message", /up/] as const) assert.strictEqual(refused({ ready }), "ready")
    const spec = node("a", ["idle.mjs"], survivor)
    assert.strictEqual(refusal(() => Supervisor.layer([spec])).option, "stateFolder")
    assert.strictEqual(refusal(() => Supervisor.layer([spec], { stateFolder: "/tmp" })).option, "id")
  })
})
