import { type ChildProcess, spawn } from "node:child_process"
import * as Readline from "node:readline"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Supervisor from "../src/Supervisor.ts"
import { fixture, node, supervise, temporaryFolder } from "./support.ts"

const Identities = Schema.fromJsonString(
  Schema.Struct({ a: ProcessIdentity.ProcessIdentity, gone: ProcessIdentity.ProcessIdentity })
)

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** Another process that supervises "a" and "gone" with this id, until it is killed. */
const another = Effect.fnUntraced(function* (id: string) {
  const folder = yield* temporaryFolder
  let children: typeof Identities.Type | undefined
  // After its supervisor, which would start them anew.
  yield* Effect.addFinalizer(() =>
    Effect.forEach(Object.values(children ?? {}), (one) => Effect.orDie(ProcessIdentity.signal(one, "SIGKILL")))
  )
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [fixture("supervise.ts"), id, folder, "a", "gone"], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (running) =>
      Effect.andThen(
        Effect.sync(() => running.kill("SIGKILL")),
        ended(running)
      )
  )
  const line = yield* Effect.callback<string>((resume) => {
    Readline.createInterface({ input: child.stdout }).once("line", (text) => resume(Effect.succeed(text)))
    child.once("exit", () => resume(Effect.die(new Error("it ended without a word"))))
  })
  children = yield* Schema.decodeEffect(Identities)(line)
  const crash = Effect.andThen(
    Effect.sync(() => child.kill("SIGKILL")),
    ended(child)
  )
  return { pid: child.pid ?? 0, children, crash }
})

describe("two supervisors with the same id", () => {
  it.live("leave each other's children alone as long as both live", () =>
    Effect.gen(function* () {
      const id = "both-alive"
      const { children } = yield* another(id)
      const ours = yield* supervise([node("a", ["idle.mjs"])], { id })
      for (const child of Object.values(children)) {
        assert.deepStrictEqual(yield* ours.ownership(child), { _tag: "Foreign" })
        assert.isFalse(yield* Supervisor.isLeftBehind(id, child))
      }
      assert.lengthOf(yield* ours.tree("a"), 1)
      yield* ours.restart("a")
      const { signalled } = yield* ours.stop("a")
      assert.lengthOf(signalled, 1)
      for (const child of Object.values(children)) assert.isTrue(yield* ProcessIdentity.isAlive(child))
    })
  )

  it.live("after its kill -9 the children of one are the other's orphans, swept by a stop of that name", () =>
    Effect.gen(function* () {
      const id = "one-killed"
      const { children, crash } = yield* another(id)
      const ours = yield* supervise([node("a", ["idle.mjs"])], { id })
      const stranger = yield* supervise([node("a", ["idle.mjs"])])
      yield* crash
      for (const [name, child] of Object.entries(children)) {
        assert.deepStrictEqual(yield* ours.ownership(child), { _tag: "Orphan", process: name })
        assert.deepStrictEqual(yield* stranger.ownership(child), { _tag: "Foreign" })
        assert.isTrue(yield* Supervisor.isLeftBehind(id, child))
        for (const other of ["one", "one-killed-2", stranger.id]) {
          assert.isFalse(yield* Supervisor.isLeftBehind(other, child))
        }
      }
      // Its start has swept nothing; its stop ends everybody of that name, and nobody else.
      assert.isTrue(yield* ProcessIdentity.isAlive(children.a))
      yield* stranger.stop("a")
      assert.isTrue(yield* ProcessIdentity.isAlive(children.a))
      const { identity } = yield* ours.status("a")
      assert.isDefined(identity)
      const { signalled } = yield* ours.stop("a")
      assert.sameDeepMembers([...signalled], [identity, children.a])
      assert.isFalse(yield* ProcessIdentity.isAlive(children.a))
      assert.isTrue(yield* ProcessIdentity.isAlive(children.gone))
      assert.isFalse(yield* Supervisor.isLeftBehind(id, children.a))
    })
  )

  it.live("dead is who is proven dead: a zombie, or a pid that somebody else has now; not one that is hidden", () =>
    Effect.gen(function* () {
      const id = "proof"
      const { children, pid } = yield* another(id)
      const table = yield* ProcessTable
      const real = yield* table.stat(pid)
      assert.isDefined(real)
      const cases = [
        [Effect.succeed({ ...real, state: "Z", threads: 1 }), true],
        [Effect.succeed({ ...real, startTime: real.startTime + 1 }), true],
        [Effect.fail(new Unsupported({ feature: "reading a process", platform: "linux" })), false],
        [Effect.succeed(real), false]
      ] as const
      for (const [stat, dead] of cases) {
        const different = Object.assign({}, table, {
          stat: (asked: number) => (asked === pid ? stat : table.stat(asked))
        })
        const found = Effect.gen(function* () {
          const ours = yield* supervise([], { id })
          return [yield* ours.ownership(children.a), yield* Supervisor.isLeftBehind(id, children.a)]
        })
        assert.deepStrictEqual(yield* Effect.scoped(Effect.provideService(found, ProcessTable, different)), [
          dead ? { _tag: "Orphan", process: "a" } : { _tag: "Foreign" },
          dead
        ])
      }
    })
  )

  it.live("nobody has left us behind, nor what bears no cookie or our own", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const ours = yield* supervise([node("a", ["idle.mjs"])])
      const { identity } = yield* ours.status("a")
      assert.isDefined(identity)
      assert.isFalse(yield* Supervisor.isLeftBehind(ours.id, identity))
      assert.isFalse(yield* Supervisor.isLeftBehind(ours.id, { ...identity, startTime: identity.startTime + 1 }))
      const self = yield* ProcessIdentity.of(process.pid)
      assert.isDefined(self)
      const marked = Object.assign({}, table, { variable: () => Effect.succeed(`${ours.id}/a/${process.pid}.1`) })
      const left = (one: ProcessIdentity.ProcessIdentity) =>
        Effect.provideService(Supervisor.isLeftBehind(ours.id, one), ProcessTable, marked)
      assert.deepStrictEqual([yield* left(self), yield* left(identity)], [false, true])
      assert.isFalse(yield* Supervisor.isLeftBehind(ours.id, self))
    })
  )
})
