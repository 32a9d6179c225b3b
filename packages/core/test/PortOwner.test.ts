import * as Net from "node:net"

import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import * as PortOwner from "../src/PortOwner.ts"
import { ProcessTable } from "../src/ProcessTable.ts"
import { cannotBeNobody, child, fixture, lookAsNobody, tableWith } from "./support.ts"

const listenOn = (host: string, port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server, Error>((resume) => {
      const server = Net.createServer()
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(port, host, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

const listen = (host: string) => listenOn(host, 0)

const portOf = (server: Net.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A server and its child that share a port. */
const family = Effect.fnUntraced(function* (host: string) {
  const parent = yield* child([fixture("family.mjs"), host])
  const said = JSON.parse(parent.line) as { readonly port: number; readonly child: number }
  return { port: said.port, pids: [parent.identity.pid, said.child].toSorted((a, b) => a - b) }
})

const pidsOf = ({ holders }: PortOwner.PortHolders) => holders.map(({ pid }) => pid).toSorted((a, b) => a - b)

/** Whoever comes first. */
const conflicts = (a: string, b: string) => {
  assert.strictEqual(PortOwner.conflicts(a, b), PortOwner.conflicts(b, a))
  return PortOwner.conflicts(a, b)
}

describe("PortOwner.find", () => {
  it.live("finds nobody on a port that is free", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(Effect.map(listen("127.0.0.1"), portOf))
      assert.deepStrictEqual(yield* PortOwner.find(port), { listening: false, holders: [], unseen: 0 })
    })
  )

  for (const host of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
    it.live(`finds who listens on ${host}`, () =>
      Effect.gen(function* () {
        const found = yield* PortOwner.find(portOf(yield* listen(host)))
        assert.isTrue(found.listening)
        assert.deepStrictEqual([pidsOf(found), found.unseen], [[process.pid], 0])
      })
    )
  }

  it.live("with an address, finds only who is in the way there", () =>
    Effect.gen(function* () {
      const port = portOf(yield* listen("127.0.0.1"))
      const pids = (address: string) => Effect.map(PortOwner.find(port, { address }), pidsOf)
      for (const address of ["127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::"]) {
        assert.deepStrictEqual(yield* pids(address), [process.pid], address)
      }
      for (const address of ["127.0.0.2", "10.0.0.5", "::1"]) {
        assert.deepStrictEqual(yield* PortOwner.find(port, { address }), { listening: false, holders: [], unseen: 0 })
      }
    })
  )

  it.live("the kernel agrees on what is in the way", () =>
    Effect.gen(function* () {
      const addresses = ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "::1", "::ffff:0.0.0.0"]
      for (const held of addresses) {
        for (const wanted of addresses) {
          const refused = yield* Effect.scoped(
            Effect.gen(function* () {
              const port = portOf(yield* listen(held))
              return Exit.isFailure(yield* Effect.exit(listenOn(wanted, port)))
            })
          )
          assert.strictEqual(PortOwner.conflicts(held, wanted), refused, `${held} and ${wanted}`)
        }
      }
    })
  )

  it("every address of both families is in the way of all; every IPv4 address not of IPv6", () => {
    for (const other of ["::", "0.0.0.0", "127.0.0.1", "::1", "fe80::1"]) {
      assert.isTrue(conflicts("::", other), other)
      assert.isTrue(conflicts("0:0:0:0:0:0:0:0", other), other)
    }
    for (const other of ["::1", "fe80::1"]) assert.isFalse(conflicts("0.0.0.0", other), other)
    assert.isTrue(conflicts("::1", "0:0:0:0:0:0:0:1"))
    assert.isTrue(conflicts("FE80::1%eth0", "fe80:0::1"))
    assert.isFalse(conflicts("::1", "::2"))
  })

  it.live("does not take who is connected for who listens", () =>
    Effect.gen(function* () {
      const server = yield* listen("127.0.0.1")
      const socket = yield* Effect.acquireRelease(
        Effect.callback<Net.Socket>((resume) => {
          const made: Net.Socket = Net.connect(portOf(server), "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) => Effect.sync(() => made.destroy())
      )
      const found = yield* PortOwner.find(socket.localPort ?? 0)
      assert.deepStrictEqual(found, { listening: false, holders: [], unseen: 0 })
    })
  )

  for (const host of ["127.0.0.1", "::1"]) {
    it.live(`finds a parent and a child that share a listener on ${host}`, () =>
      Effect.gen(function* () {
        const { pids, port } = yield* family(host)
        const found = yield* PortOwner.find(port)
        assert.deepStrictEqual([pidsOf(found), found.unseen], [pids, 0])
      })
    )
  }

  it.live("looks at nobody else when those who are expected hold every listener", () =>
    Effect.gen(function* () {
      const real = yield* ProcessTable
      const looked: Array<number> = []
      const find = (port: number, expected: ReadonlyArray<number>) =>
        PortOwner.find(port, { expected }).pipe(
          Effect.provideServiceEffect(
            ProcessTable,
            tableWith({ sockets: (pid) => Effect.suspend(() => (looked.push(pid), real.sockets(pid))) })
          )
        )
      const port = portOf(yield* listen("127.0.0.1"))
      assert.deepStrictEqual(pidsOf(yield* find(port, [process.pid, process.pid])), [process.pid])
      assert.deepStrictEqual(looked.splice(0), [process.pid], "nor twice at the same")
      // And at everybody when they do not.
      assert.deepStrictEqual(pidsOf(yield* find(port, [process.ppid])), [process.pid])
      assert.isAbove(looked.length, 1)
      assert.strictEqual(looked.filter((pid) => pid === process.ppid).length, 1)
    })
  )

  it.live("without others, looks at nobody but those who are expected", () =>
    Effect.gen(function* () {
      const port = portOf(yield* listen("127.0.0.1"))
      const find = (expected: ReadonlyArray<number>) =>
        PortOwner.find(port, { expected, others: false }).pipe(
          Effect.provideServiceEffect(ProcessTable, tableWith({ all: Effect.die(new Error("looked at everybody")) }))
        )
      const found = yield* find([process.ppid, process.pid])
      assert.deepStrictEqual([pidsOf(found), found.unseen], [[process.pid], 0])
      assert.deepStrictEqual(yield* find([process.ppid]), { listening: true, holders: [], unseen: 1 })
    })
  )

  it.effect("counts listeners whose holder cannot be seen", () =>
    Effect.gen(function* () {
      const stat = { parent: 1, group: 1, session: 1, state: "S", threads: 1, startTime: 1, command: "x" }
      const found = yield* PortOwner.find(80).pipe(
        Effect.provideServiceEffect(
          ProcessTable,
          tableWith({
            bootId: Effect.succeed("b"),
            listening: (port) =>
              Effect.succeed([
                { protocol: "tcp", address: "127.0.0.1", port, inode: "1" },
                { protocol: "tcp", address: "::", port, inode: "2" }
              ]),
            all: Effect.succeed([
              { ...stat, pid: 7 },
              { ...stat, pid: 8, state: "Z" }
            ]),
            stat: (pid) => Effect.succeed({ ...stat, pid }),
            sockets: (pid) => Effect.succeed(new Set(pid === 7 ? ["1"] : ["2"]))
          })
        )
      )
      assert.deepStrictEqual(found, {
        listening: true,
        holders: [{ pid: 7, startTime: 1, bootId: "b" }],
        unseen: 1
      })
    })
  )

  it.live.skipIf(cannotBeNobody())("says that another user's listener is there", () =>
    Effect.gen(function* () {
      const port = portOf(yield* listen("127.0.0.1"))
      const { value } = lookAsNobody("PortOwner", `module.find(${port})`)
      assert.deepStrictEqual(value, { listening: true, holders: [], unseen: 1 })
    })
  )
})
