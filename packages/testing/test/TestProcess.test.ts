import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it, vi } from "@effect/vitest"
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

import { eventually } from "../src/Expect.ts"
import * as TestFolder from "../src/TestFolder.ts"
import * as TestProcess from "../src/TestProcess.ts"

const pidsOf = ({ holders }: PortOwner.PortHolders) => holders.map(({ pid }) => pid)

const accepts = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

const isGone = (identity: ProcessIdentity.ProcessIdentity) =>
  eventually(
    `process ${identity.pid} ends`,
    Effect.map(ProcessIdentity.isAlive(identity), (alive) => (alive ? undefined : true))
  )

describe("start", () => {
  it.live("runs a program until the scope closes, however much it says", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const table = yield* ProcessTable
      const talker = yield* Scope.provide(TestProcess.start("sh", "-c", "seq 100000; exec sleep 600"), scope)
      yield* eventually(
        "it has said it all",
        Effect.map(table.commandLine(talker.pid), (line) => (line === "sleep 600" ? true : undefined))
      )
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* ProcessIdentity.isAlive(talker))
    })
  )

  it.live("dies of a program that is not there, and signals nobody", () =>
    Effect.gen(function* () {
      const kill = vi.spyOn(ChildProcess.ChildProcess.prototype, "kill")
      const exit = yield* Effect.exit(Effect.scoped(TestProcess.start("/no/such/program")))
      assert.include(String(exit), "no process undefined")
      assert.deepStrictEqual(kill.mock.calls, [])
      kill.mockRestore()
    })
  )
})

describe("deceased and zombie", () => {
  it.live("one is gone, the other still in the table, and neither is alive", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const deceased = yield* TestProcess.deceased
      assert.isUndefined(yield* table.stat(deceased.pid))
      const zombie = yield* TestProcess.zombie
      assert.deepInclude(yield* table.stat(zombie.pid), { state: "Z", startTime: zombie.startTime })
      for (const one of [deceased, zombie]) assert.isFalse(yield* ProcessIdentity.isAlive(one))
    })
  )
})

describe("reaches", () => {
  it.live("waits for the state", () =>
    Effect.gen(function* () {
      const idle = yield* TestProcess.idle
      yield* ProcessIdentity.signal(idle, "SIGSTOP")
      assert.deepInclude(yield* TestProcess.reaches(idle.pid, "T"), { pid: idle.pid, startTime: idle.startTime })
    })
  )
})

describe("listener", () => {
  it.live("listens until the scope closes, with others on the same port", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(
        Effect.gen(function* () {
          const one = yield* TestProcess.listener()
          const two = yield* TestProcess.listener({ port: one.port })
          assert.isUndefined(one.child)
          assert.sameMembers(pidsOf(yield* PortOwner.find(one.port)), [one.identity.pid, two.identity.pid])
          assert.isTrue(yield* Effect.scoped(accepts(one.port)))
          return one.port
        })
      )
      assert.isFalse((yield* PortOwner.find(port)).listening)
    })
  )

  it.live("shared: a child has the socket too, and ends with the scope", () =>
    Effect.gen(function* () {
      const { child, port } = yield* Effect.scoped(
        Effect.gen(function* () {
          const shared = yield* TestProcess.listener({ shared: true })
          const { holders, unseen } = yield* PortOwner.find(shared.port)
          assert.sameDeepMembers([...holders], [shared.identity, shared.child])
          assert.strictEqual(unseen, 0)
          return shared
        })
      )
      assert.isDefined(child)
      yield* isGone(child)
      assert.isFalse((yield* PortOwner.find(port)).listening)
    })
  )

  it.live("SIGTERM does nothing, or lets it say farewell", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "farewell")
      const stubborn = yield* TestProcess.listener()
      const polite = yield* TestProcess.listener({ farewell: { file, millis: 1 } })
      for (const { identity } of [stubborn, polite]) yield* ProcessIdentity.signal(identity, "SIGTERM")
      yield* isGone(polite.identity)
      assert.strictEqual(Fs.readFileSync(file, "utf8"), "bye")
      assert.isTrue(yield* ProcessIdentity.isAlive(stubborn.identity))
    })
  )
})
