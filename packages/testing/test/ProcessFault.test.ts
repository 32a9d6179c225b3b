import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as OwnerLock from "@nexobot/core/OwnerLock"
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

import { eventually, patience } from "../src/Expect.ts"
import * as ProcessFault from "../src/ProcessFault.ts"
import * as TestFolder from "../src/TestFolder.ts"

const identityOf = (pid: number) => eventually(`process ${pid} is there`, ProcessIdentity.of(pid))

const isGone = (identity: ProcessIdentity.ProcessIdentity) =>
  eventually(
    `process ${identity.pid} ends`,
    Effect.map(ProcessIdentity.isAlive(identity), (alive) => (alive ? undefined : true))
  )

const reaches = (identity: ProcessIdentity.ProcessIdentity, isStopped: boolean) =>
  eventually(
    `process ${identity.pid} is ${isStopped ? "stopped" : "awake"}`,
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const stat = yield* table.stat(identity.pid)
      return stat !== undefined && (stat.state === "T") === isStopped ? true : undefined
    })
  )

interface Family {
  readonly port: number
  readonly parent: ProcessIdentity.ProcessIdentity
  readonly child: ProcessIdentity.ProcessIdentity
  readonly grandchild: ProcessIdentity.ProcessIdentity
  readonly all: ReadonlyArray<ProcessIdentity.ProcessIdentity>
}

/** A server, a child that shares its port and answers, and a grandchild; all are killed at the end by identity. */
const family = Effect.fnUntraced(function* (options: { readonly detached: boolean } = { detached: false }) {
  const path = fileURLToPath(new URL("fixtures/family.mjs", import.meta.url))
  const members: Array<ProcessIdentity.ProcessIdentity> = []
  const running = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, [path], {
        stdio: ["ignore", "pipe", "inherit"],
        detached: options.detached
      })
    ),
    (spawned) =>
      Effect.gen(function* () {
        spawned.kill("SIGKILL")
        yield* Effect.forEach(members, (one) => ProcessIdentity.signal(one, "SIGKILL"))
        yield* Effect.forEach(members, isGone)
      }).pipe(Effect.orDie)
  )
  const line = yield* Effect.callback<string>((resume) => {
    let text = ""
    running.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      if (text.endsWith("\n")) resume(Effect.succeed(text))
    })
  }).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die(new Error("it printed nothing")) }))
  const said = JSON.parse(line) as { readonly port: number; readonly pids: readonly [number, number, number] }
  const [parent, child, grandchild] = yield* Effect.all([
    identityOf(said.pids[0]),
    identityOf(said.pids[1]),
    identityOf(said.pids[2])
  ])
  const all = [parent, child, grandchild]
  members.push(...all)
  return { port: said.port, parent, child, grandchild, all } satisfies Family
})

/** Whether somebody accepts, and answers if so. */
const ask = (port: number, within: number) =>
  Effect.callback<"refused" | "silent" | "answers">((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    const end = (result: "refused" | "silent" | "answers") => {
      socket.destroy()
      resume(Effect.succeed(result))
    }
    socket.once("error", () => end("refused"))
    socket.once("data", () => end("answers"))
    socket.setTimeout(within, () => end("silent"))
    return Effect.sync(() => socket.destroy())
  })

describe("kill", () => {
  it.live("ends the process, and nothing else", () =>
    Effect.gen(function* () {
      const { child, grandchild, parent } = yield* family()
      yield* ProcessFault.kill(parent)
      yield* isGone(parent)
      assert.isTrue(yield* ProcessIdentity.isAlive(child))
      assert.isTrue(yield* ProcessIdentity.isAlive(grandchild))
    })
  )

  it.live("fails on one that is gone, and on whoever has its pid now", () =>
    Effect.gen(function* () {
      const { parent } = yield* family()
      const earlier = { ...parent, startTime: parent.startTime - 1 }
      const error = yield* Effect.flip(ProcessFault.kill(earlier))
      assert.strictEqual(error.message, `fault "kill" could not be made: process ${parent.pid} is gone`)
      assert.isTrue(yield* ProcessIdentity.isAlive(parent))
    })
  )
})

describe("freeze and thaw", () => {
  it.live("stop the whole tree, whose socket goes on accepting, and wake it", () =>
    Effect.gen(function* () {
      const { all, parent, port } = yield* family()
      assert.strictEqual(yield* ask(port, 20_000), "answers")
      yield* ProcessFault.freeze(parent)
      for (const one of all) yield* reaches(one, true)
      assert.strictEqual(yield* ask(port, 200), "silent")
      yield* ProcessFault.thaw(parent)
      for (const one of all) yield* reaches(one, false)
      assert.strictEqual(yield* ask(port, 20_000), "answers")
    })
  )

  it.live("leave alone what stands beside the tree", () =>
    Effect.gen(function* () {
      const { child, grandchild, parent } = yield* family()
      yield* ProcessFault.freeze(child)
      yield* reaches(child, true)
      yield* reaches(grandchild, true)
      yield* reaches(parent, false)
    })
  )

  it.live("catch the children of a process that has one after another", () =>
    Effect.gen(function* () {
      const code = `
        const { spawn } = require("node:child_process")
        let left = 40
        const next = () => {
          if (left-- === 0) return
          spawn("sleep", ["600"], { stdio: "ignore" }).once("spawn", () => setImmediate(next))
        }
        next()
        console.log("ready")
        setInterval(() => {}, 1_000_000)`
      const running = yield* Effect.acquireRelease(
        Effect.sync(() => ChildProcess.spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })),
        (spawned) => Effect.sync(() => spawned.kill("SIGKILL"))
      )
      yield* Effect.callback<void>((resume) => void running.stdout.once("data", () => resume(Effect.void)))
      const parent = yield* identityOf(running.pid ?? 0)
      yield* ProcessFault.freeze(parent)
      const table = yield* ProcessTable
      const tree = (yield* table.all).filter((stat) => stat.parent === parent.pid)
      const members = yield* Effect.forEach(tree, (stat) => identityOf(stat.pid))
      const awake = Effect.map(
        Effect.forEach([parent, ...members], ({ pid }) => table.stat(pid)),
        (stats) => (stats.some((stat) => stat !== undefined && stat.state !== "T") ? undefined : true)
      )
      yield* eventually("all are stopped", awake)
      const later = (yield* table.all).filter((stat) => stat.parent === parent.pid)
      yield* ProcessIdentity.terminate(yield* Effect.forEach(later, (stat) => identityOf(stat.pid)), { grace: 0 })
      assert.strictEqual(later.length, members.length)
    })
  )

  it.live("fail on one that is gone", () =>
    Effect.gen(function* () {
      const { parent } = yield* family()
      yield* ProcessFault.kill(parent)
      yield* isGone(parent)
      for (const fault of [ProcessFault.freeze, ProcessFault.thaw]) {
        assert.strictEqual((yield* Effect.flip(fault(parent)))._tag, "ProcessFaultError")
      }
    })
  )
})

describe("orphanHoldingPort", () => {
  for (const detached of [false, true]) {
    it.live(`leaves a child that holds the port and does nothing (parent detached: ${detached})`, () =>
      Effect.gen(function* () {
        const { child, parent, port } = yield* family({ detached })
        const orphans = yield* ProcessFault.orphanHoldingPort(parent, port)
        assert.deepStrictEqual(orphans, [child])
        yield* isGone(parent)
        yield* reaches(child, true)
        const found = yield* PortOwner.find(port)
        assert.deepStrictEqual(found, { listening: true, holders: [child], unseen: 0 })
        assert.strictEqual(yield* ask(port, 200), "silent")
      })
    )
  }

  it.live("does no harm where no child holds the port", () =>
    Effect.gen(function* () {
      const { all, child, parent, port } = yield* family()
      const error = yield* Effect.flip(ProcessFault.orphanHoldingPort(child, port))
      assert.include(error.message, `no child of process ${child.pid} holds port ${port}`)
      yield* Effect.flip(ProcessFault.orphanHoldingPort(parent, 1))
      for (const one of all) yield* reaches(one, false)
      assert.strictEqual(yield* ask(port, 20_000), "answers")
    })
  )
})

describe("bystander", () => {
  it.live("runs until the scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const bystander = yield* Scope.provide(ProcessFault.bystander, scope)
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
      yield* Scope.close(scope, Exit.void)
      yield* isGone(bystander)
    })
  )
})

describe("staleLock", () => {
  it.live("is stale although its pid is in use", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "x.lock")
      const stranger = yield* ProcessFault.bystander
      yield* ProcessFault.staleLock(path, stranger)
      const status = yield* OwnerLock.status(path)
      assert.strictEqual(status._tag === "Stale" ? status.owner.pid : status._tag, stranger.pid)
      yield* OwnerLock.clearStale(path)
      assert.isTrue(yield* ProcessIdentity.isAlive(stranger))
    })
  )

  it.live("fails where it cannot be written", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* TestFolder.make, "nowhere", "x.lock")
      const error = yield* Effect.flip(ProcessFault.staleLock(path, yield* ProcessFault.bystander))
      assert.match(error.message, /fault "stale lock" could not be made: .*ENOENT/)
    })
  )
})
