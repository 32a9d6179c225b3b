import * as ChildProcess from "node:child_process"
import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import type { Ownership } from "@nexobot/core/ProcessControl"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

import { eventually } from "../../testing/src/Expect.ts"
import * as ProcessFault from "../../testing/src/ProcessFault.ts"
import * as TestPort from "../../testing/src/TestPort.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as TestProcessTable from "../../testing/src/TestProcessTable.ts"
import * as Cookie from "../src/internal/cookie.ts"
import { claim, type Claim } from "../src/internal/portClaim.ts"

const id = "port-claim"
const foreign: Ownership = { _tag: "Foreign" }
const orphan: Ownership = { _tag: "Orphan", process: "web" }
const current = (process: string): Ownership => ({ _tag: "Current", process })

const freePort = TestPort.free(20_000, 30_000)

/** By what the cookie says, as a supervisor that has no child yet. */
const byCookie = (identity: ProcessIdentity.ProcessIdentity): Effect.Effect<Ownership> =>
  Effect.gen(function* () {
    const cookie = yield* Cookie.of(identity.pid)
    return cookie?.id === id && (yield* Cookie.isAbandoned(cookie)) ? { _tag: "Orphan", process: cookie.name } : foreign
  })

type Owned = ReadonlyArray<readonly [identity: ProcessIdentity.ProcessIdentity | undefined, ownership: Ownership]>

/** Whoever is not in the list is foreign: what is above a process of the test is the test. */
const ask = (port: number, owned: Owned = [], more: Partial<Claim> = {}) => {
  const byPid = new Map(owned.map(([identity, ownership]) => [identity?.pid, ownership]))
  const ownership = ({ pid }: ProcessIdentity.ProcessIdentity) => Effect.sync(() => byPid.get(pid) ?? foreign)
  return claim({ port, process: "web", ownership, ...more })
}

/** What keeps the port listening until the scope closes, in a process of its own with this environment. */
const listening = Effect.fnUntraced(function* (port: number, env: Record<string, string>, script = "") {
  const code = `${script}
    require("node:net").createServer().listen(${port}, "127.0.0.1")`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => ChildProcess.spawn(process.execPath, ["-e", code], { env, stdio: "ignore", detached: true })),
    (one) => Effect.sync(() => void (one.pid !== undefined && one.exitCode === null && one.kill("SIGKILL")))
  )
  const identity = yield* TestProcess.identityOf(child.pid)
  yield* eventually(
    `somebody listens on ${port}`,
    Effect.map(connects(port), (does) => does || undefined)
  )
  return identity
})

const connects = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.once("connect", () => (socket.destroy(), resume(Effect.succeed(true))))
    socket.once("error", () => resume(Effect.succeed(false)))
  })

/** Everybody is foreign, and this one is gone before it is said. */
const endingFirst =
  (ending: ProcessIdentity.ProcessIdentity) =>
  (one: ProcessIdentity.ProcessIdentity): Effect.Effect<Ownership> =>
    one.pid !== ending.pid
      ? Effect.succeed(foreign)
      : ProcessFault.kill(one).pipe(
          Effect.andThen(
            eventually(
              "it is gone",
              Effect.map(ProcessIdentity.isAlive(one), (alive) => (alive ? undefined : true))
            )
          ),
          Effect.as(foreign),
          Effect.orElseSucceed(() => foreign)
        )

describe("portClaim", () => {
  it.live("a free port is had, and nobody is looked at for it", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const unread = Effect.die(new Error("the table was read"))
      for (const address of [undefined, "127.0.0.1", "::1", "localhost", "0.0.0.0"]) {
        yield* ask(port, [], { address }).pipe(TestProcessTable.answering({ listening: () => unread, all: unread }))
      }
      assert.isFalse(yield* connects(port))
    })
  )

  it.live("acceptance(process-supervisor 11): a port held by our own orphan is freed by its verified identity", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const dead = yield* TestProcess.deceased
      const bystander = yield* ProcessFault.bystander
      const orphaned = yield* listening(port, {
        NEXO_SUPERVISED: Cookie.format({ id, name: "web", supervisor: dead })
      })
      yield* claim({ port, process: "web", ownership: byCookie })
      assert.isFalse(yield* ProcessIdentity.isAlive(orphaned))
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
      yield* listening(port, {})
    })
  )

  it.live("an orphan that does not hear SIGTERM, and one that shares the socket with a child, are ended too", () =>
    Effect.gen(function* () {
      const { child, identity, port } = yield* TestProcess.listener({ shared: true })
      const owned = [[identity, orphan] as const, [child, orphan] as const]
      yield* ask(port, owned, { grace: "50 millis" })
      assert.isDefined(child)
      assert.isFalse(yield* ProcessIdentity.isAlive(identity))
      assert.isFalse(yield* ProcessIdentity.isAlive(child))
    })
  )

  it.live("one that watches over the holder is ended with it, or it would put it back", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const code = `const start = () => require("node:child_process")
        .spawn(process.execPath, ["-e", "require('node:net').createServer().listen(${port}, '127.0.0.1')"], { stdio: "ignore" })
        .once("exit", start)
      start()`
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => ChildProcess.spawn(process.execPath, ["-e", code], { stdio: "ignore", detached: true })),
        ({ pid }) =>
          Effect.sync(() => {
            if (pid === undefined) return
            try {
              process.kill(-pid, "SIGKILL")
            } catch {
              // Nobody is left of the group.
            }
          })
      )
      const watcher = yield* TestProcess.identityOf(child.pid)
      yield* eventually(
        "it listens",
        Effect.map(connects(port), (does) => does || undefined)
      )
      const table = yield* ProcessTable
      const group = (yield* table.all).filter((stat) => stat.group === watcher.pid)
      yield* ask(
        port,
        group.map((stat) => [{ ...watcher, ...stat }, orphan] as const)
      )
      assert.isFalse(yield* ProcessIdentity.isAlive(watcher))
      assert.isFalse(yield* connects(port))
    })
  )

  it.live("a stranger, or a running child of another name, is named and not touched; its secrets are not shown", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const stranger = yield* listening(port, {}, "/* --token=abcdefghijklmnop */")
      for (const whose of [foreign, current("worker")]) {
        const held = yield* Effect.flip(ask(port, [[stranger, whose]]))
        assert.strictEqual(held.pid, stranger.pid)
        assert.strictEqual(held.port, port)
        assert.include(held.command ?? "", "-e")
        assert.notInclude(held.command ?? "", "abcdefghijklmnop")
        assert.include(ProcessExit.describe(held), `port ${port} is held by process ${stranger.pid} (`)
      }
      assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
      // Its own child is in nobody's way: it is being replaced.
      yield* ask(port, [[stranger, current("web")]])
    })
  )

  it.live("nobody is ended where a stranger holds the port as well", () =>
    Effect.gen(function* () {
      const first = yield* TestProcess.listener()
      const second = yield* TestProcess.listener({ port: first.port })
      const held = yield* Effect.flip(ask(first.port, [[first.identity, orphan]], { grace: "50 millis" }))
      assert.strictEqual(held.pid, second.identity.pid)
      assert.isTrue(yield* ProcessIdentity.isAlive(first.identity))
    })
  )

  it.live("who listens on another address is not in the way", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      yield* listening(port, {})
      yield* ask(port, [], { address: "127.0.0.2" })
      for (const address of ["127.0.0.1", "0.0.0.0", "::", undefined]) {
        assert.isDefined((yield* Effect.flip(ask(port, [], { address }))).pid)
      }
    })
  )

  it.live(
    "a socket whose owner cannot be seen is held by nobody known, after a moment for one that is just ending",
    () =>
      Effect.gen(function* () {
        const port = yield* freePort
        const holder = yield* listening(port, {})
        const hidden = TestProcessTable.answering({ sockets: () => Effect.succeed(new Set<string>()) })
        assert.deepStrictEqual(
          yield* Effect.flip(hidden(ask(port, [[holder, orphan]]))),
          new ProcessExit.PortHeld({ port })
        )
        // It lets go while it is looked at.
        const ending = yield* TestProcess.listener()
        const waiting = yield* Effect.forkChild(hidden(ask(ending.port)))
        yield* ProcessFault.kill(ending.identity)
        yield* Fiber.join(waiting)
      })
  )

  it.live("who has ended between the look and the judgement is nobody's", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* TestProcess.listener()
      yield* claim({ port, process: "web", ownership: endingFirst(identity) })
    })
  )

  it.live("when one has ended meanwhile it is looked again, and who held the port with it is found", () =>
    Effect.gen(function* () {
      const { child, identity, port } = yield* TestProcess.listener({ shared: true })
      const table = yield* ProcessTable
      let looks = 0
      const held = yield* Effect.flip(
        TestProcessTable.answering({
          sockets: (pid) =>
            pid === child?.pid && looks++ === 0 ? Effect.succeed(new Set<string>()) : table.sockets(pid)
        })(claim({ port, process: "web", ownership: endingFirst(identity) }))
      )
      assert.strictEqual(held.pid, child?.pid)
    })
  )

  it.live("connections that are ending do not hold it, nor does a connection that only bears the number", () =>
    Effect.gen(function* () {
      // The side that closes first waits, in TIME_WAIT.
      const server = yield* Effect.callback<Net.Server>((resume) => {
        const one = Net.createServer((socket) => socket.end())
        one.listen(0, "127.0.0.1", () => resume(Effect.succeed(one)))
      })
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      yield* Effect.callback<void>((resume) => {
        Net.connect(port, "127.0.0.1")
          .resume()
          .once("close", () => resume(Effect.void))
      })
      yield* Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      yield* ask(port)

      const { port: peer } = yield* TestProcess.listener()
      const local = yield* freePort
      const socket = yield* Effect.acquireRelease(
        Effect.callback<Net.Socket>((resume) => {
          const one = Net.connect({ port: peer, host: "127.0.0.1", localPort: local })
          one.once("connect", () => resume(Effect.succeed(one)))
        }),
        (one) => Effect.sync(() => void one.destroy())
      )
      assert.strictEqual(socket.localPort, local)
      yield* ask(local)
    })
  )

  it.live("where the table cannot be read a held port is still held, and an unknown one is tried", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const holder = yield* listening(port, {})
      const unsupported = Effect.fail(new Unsupported({ feature: "finding the owner of a port", platform: "other" }))
      const blind = TestProcessTable.answering({ listening: () => unsupported })
      assert.deepStrictEqual(
        yield* Effect.flip(blind(ask(port, [[holder, orphan]]))),
        new ProcessExit.PortHeld({ port })
      )
      // Not an address of this machine.
      yield* blind(ask(port, [], { address: "192.0.2.1" }))
    })
  )

  it.live("neither itself nor who is above it is ended, whatever is said of them", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const one = Net.createServer()
          one.listen(0, "127.0.0.1", () => resume(Effect.succeed(one)))
        }),
        (one) => Effect.sync(() => void one.close())
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const self = yield* TestProcess.identityOf(process.pid)
      const signalled: Array<number> = []
      const kill = (pid: number) => Effect.sync(() => signalled.push(pid) > 0)
      const guarded = TestProcessTable.answering({ kill })
      const held = yield* Effect.flip(guarded(ask(port, [[self, orphan]])))
      assert.strictEqual(held.pid, process.pid)

      const child = yield* TestProcess.listener()
      const parent = yield* TestProcess.identityOf(process.ppid)
      const owned = [child.identity, self, parent].map((one) => [one, orphan] as const)
      yield* Effect.flip(guarded(ask(child.port, owned, { grace: "10 millis" })))
      assert.deepStrictEqual([...new Set(signalled)], [child.identity.pid])
    })
  )

  it.live("an orphan that survives SIGKILL holds it", () =>
    Effect.gen(function* () {
      const { identity, port } = yield* TestProcess.listener()
      const immortal = TestProcessTable.answering({ kill: () => Effect.succeed(true) })
      const held = yield* Effect.flip(immortal(ask(port, [[identity, orphan]], { grace: "10 millis" })))
      assert.strictEqual(held.pid, identity.pid)
    })
  )
})
