import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Remediator from "@nexobot/core/Remediator"
import { refusal } from "@nexobot/testing/Expect"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { listener } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as TestProcessTable from "@nexobot/testing/TestProcessTable"
import * as Effect from "effect/Effect"

import * as FreePort from "../src/FreePort.ts"
import { remediatorContract } from "./RemediatorContract.ts"
import { counting, freeze, isListened } from "./support.ts"

type Identity = ProcessIdentity.ProcessIdentity

const remedy = FreePort.make({ grace: "100 millis" })
const refused = (why: string) => Remediator.refused("free-port", why)

/** The supervised process "web", whose child and whose orphans these are. */
const controlOf = (orphans: ReadonlyArray<Identity>, identity?: Identity) =>
  TestProcessControl.make({ web: { orphans, ...(identity === undefined ? {} : { identity }) } })

/** Tries both halves and shows that neither signals anybody. */
const refusesBoth = Effect.fnUntraced(function* (
  port: number,
  { context }: Effect.Success<ReturnType<typeof TestProcessControl.make>>,
  why: string
) {
  const { sent, table } = yield* counting
  for (const half of [remedy.precondition({ port }), remedy.apply({ port })]) {
    assert.deepStrictEqual(yield* Effect.flip(Effect.provideContext(table(half), context)), refused(why))
  }
  assert.deepStrictEqual(sent, [])
})

describe("FreePort", () => {
  it.live("ends the orphans that hold the port, stopped ones and stubborn ones too, and nobody else", () =>
    Effect.gen(function* () {
      const bystander = yield* ProcessFault.bystander
      const first = yield* listener()
      const { port } = first
      const second = yield* listener({ port })
      const elsewhere = yield* listener()
      yield* freeze(second.identity)
      const { context } = yield* controlOf([first.identity, second.identity, elsewhere.identity])

      yield* Effect.provideContext(Effect.andThen(remedy.precondition({ port }), remedy.apply({ port })), context)

      assert.isFalse(yield* isListened(port))
      assert.isFalse(yield* ProcessIdentity.isAlive(first.identity))
      assert.isFalse(yield* ProcessIdentity.isAlive(second.identity))
      // Ours, left behind, and no obstacle.
      assert.isTrue(yield* ProcessIdentity.isAlive(elsewhere.identity))
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
    })
  )

  it.live("grace: who ends on SIGTERM may do so in order", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* TestFolder.make, "farewell")
      for (const [grace, millis, expected] of [
        ["20 seconds", 50, true],
        ["50 millis", 20_000, false]
      ] as const) {
        const { identity, port } = yield* listener({ farewell: { file, millis } })
        const { context } = yield* controlOf([identity])
        yield* Effect.provideContext(FreePort.make({ grace }).apply({ port }), context)
        assert.strictEqual(Fs.existsSync(file), expected)
        Fs.rmSync(file, { force: true })
      }
    })
  )

  it.live("a stranger on the port is not signalled: refused, and it survives", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      yield* refusesBoth(port, yield* controlOf([]), `port ${port} is held by process ${identity.pid} of somebody else`)
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("a stranger on another address is no obstacle, and is left alone", () =>
    Effect.gen(function* () {
      const orphan = yield* listener()
      const { port } = orphan
      const stranger = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer()
          server.listen(port, "127.0.0.2", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const { context } = yield* controlOf([orphan.identity])
      const why = `port ${port} is held by process ${process.pid} of somebody else`
      assert.deepStrictEqual(
        yield* Effect.flip(Effect.provideContext(remedy.precondition({ port }), context)),
        refused(why)
      )
      const place = { port, address: "127.0.0.1" }
      yield* Effect.provideContext(Effect.andThen(remedy.precondition(place), remedy.apply(place)), context)
      assert.isFalse(yield* ProcessIdentity.isAlive(orphan.identity))
      assert.isTrue(stranger.listening)
    })
  )

  it.live("a stranger beside an orphan: neither is signalled", () =>
    Effect.gen(function* () {
      const orphan = yield* listener()
      const { port } = orphan
      const stranger = yield* listener({ port })
      const why = `port ${port} is held by process ${stranger.identity.pid} of somebody else`
      yield* refusesBoth(port, yield* controlOf([orphan.identity]), why)
      for (const { identity } of [orphan, stranger]) assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("a stranger who comes after the precondition is not signalled", () =>
    Effect.gen(function* () {
      const orphan = yield* listener()
      const { port } = orphan
      const { context } = yield* controlOf([orphan.identity])
      yield* Effect.provideContext(remedy.precondition({ port }), context)
      const stranger = yield* listener({ port })
      const error = yield* Effect.flip(Effect.provideContext(remedy.apply({ port }), context))
      assert.strictEqual(error.reason._tag, "Refused")
      for (const { identity } of [orphan, stranger]) assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("a supervised process that runs is not signalled", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const why = `port ${port} is held by process ${identity.pid} of web, which is running`
      yield* refusesBoth(port, yield* controlOf([], identity), why)
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("a holder that cannot be seen: refused, and the orphan beside it is left alone", () =>
    Effect.gen(function* () {
      const orphan = yield* listener()
      const { port } = orphan
      const hidden = yield* listener({ port })
      const table = yield* ProcessTable
      const sockets = (pid: number) =>
        pid === hidden.identity.pid ? Effect.succeed(new Set<string>()) : table.sockets(pid)
      const why = `port ${port} is held by a process that cannot be seen`
      yield* TestProcessTable.answering({ sockets })(refusesBoth(port, yield* controlOf([orphan.identity]), why))
      for (const { identity } of [orphan, hidden]) assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("a port that is free already needs nothing", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(Effect.map(listener(), (gone) => gone.port))
      const { context } = yield* controlOf([])
      const { sent, table } = yield* counting
      yield* Effect.provideContext(
        table(Effect.andThen(remedy.precondition({ port }), remedy.apply({ port }))),
        context
      )
      assert.deepStrictEqual(sent, [])
    })
  )

  it.live("an orphan that outlives it is a failure", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const { context } = yield* controlOf([identity])
      const deaf = TestProcessTable.answering({ kill: () => Effect.succeed(false) })
      assert.deepStrictEqual(
        yield* Effect.flip(deaf(Effect.provideContext(remedy.apply({ port }), context))),
        Remediator.failed("free-port", `port ${port}: ${identity.pid} could not be ended`)
      )
    })
  )

  it.live("a socket that stays open when all are gone is a failure", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* listener()
      const { context } = yield* controlOf([identity])
      const table = yield* ProcessTable
      const sockets = yield* table.listening(port)
      const stuck = TestProcessTable.answering({ listening: () => Effect.succeed(sockets) })
      assert.deepStrictEqual(
        yield* Effect.flip(stuck(Effect.provideContext(remedy.apply({ port }), context))),
        Remediator.failed("free-port", `port ${port} is still held, and nobody is seen to hold it`)
      )
    })
  )

  it("refuses options that cannot work, and names them", () => {
    const cases: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ grace: -1 }, "grace", -1],
      [{ grace: Infinity }, "grace", Infinity],
      [{ force: true }, "force", true]
    ]
    for (const [options, option, value] of cases) {
      const error = refusal(() => FreePort.make(options))
      assert.deepStrictEqual([error.module, error.option, error.value], ["FreePort", option, value])
    }
  })

  it("touches processes, for good, with our own rights", () => {
    assert.deepInclude(remedy, { id: "free-port", blastRadius: "process", reversible: false, privilege: "own-user" })
  })
})

const situation = (whose: "orphan" | "current" | "stranger") =>
  Effect.gen(function* () {
    const { identity, port } = yield* listener()
    const { context } = yield* whose === "current"
      ? controlOf([], identity)
      : controlOf(whose === "orphan" ? [identity] : [])
    return {
      signature: { port },
      context,
      // Without its state: it may run or sleep as it likes.
      world: () => Fs.readFileSync(`/proc/${identity.pid}/stat`, "utf8").split(" ").toSpliced(2, 1).slice(0, 5)
    }
  })

remediatorContract("FreePort", {
  remediator: remedy,
  accepted: situation("orphan"),
  refused: { "a stranger holds the port": situation("stranger"), "it runs": situation("current") },
  failing: Effect.map(situation("orphan"), (one) => ({
    ...one,
    sabotage: TestProcessTable.answering({ kill: () => Effect.succeed(false) })
  }))
})
