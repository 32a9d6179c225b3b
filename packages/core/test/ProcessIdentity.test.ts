import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as ProcessIdentity from "../src/ProcessIdentity.ts"
import { ProcessTable } from "../src/ProcessTable.ts"
import { child, eventually, exitOf, idle, stateOf, tableWith, zombie } from "./support.ts"

const stubborn = `process.on("SIGTERM", () => {}); ${idle}`

const pids = (all: ReadonlyArray<ProcessIdentity.ProcessIdentity>) => all.map(({ pid }) => pid)

describe("ProcessIdentity", () => {
  it.live("names a process, and only as long as it lives", () =>
    Effect.gen(function* () {
      const running = yield* child(idle)
      const { identity } = running
      assert.strictEqual(identity.pid, running.process.pid)
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
      running.process.kill("SIGKILL")
      yield* exitOf(running)
      assert.isFalse(yield* ProcessIdentity.isAlive(identity))
      assert.isUndefined(yield* ProcessIdentity.of(identity.pid))
      assert.isFalse(yield* ProcessIdentity.signal(identity, "SIGTERM"))
    })
  )

  it.live("does not take a zombie for a process", () =>
    Effect.gen(function* () {
      const pid = yield* zombie
      assert.isTrue(process.kill(pid, 0))
      assert.isUndefined(yield* ProcessIdentity.of(pid))
    })
  )

  it.live("never signals whoever has the pid, if it is not the one that was named", () =>
    Effect.gen(function* () {
      const running = yield* child(idle)
      const { identity } = running
      for (const other of [
        { ...identity, startTime: identity.startTime - 1 },
        { ...identity, startTime: identity.startTime + 1 },
        { ...identity, bootId: "00000000-0000-0000-0000-000000000000" }
      ]) {
        assert.isFalse(ProcessIdentity.equals(identity, other))
        assert.isFalse(yield* ProcessIdentity.isAlive(other))
        assert.isFalse(yield* ProcessIdentity.signal(other, "SIGKILL"))
        const receipt = yield* ProcessIdentity.terminate([other], { grace: "10 seconds" })
        assert.deepStrictEqual(receipt, { signalled: [], escalated: [], survivors: [] })
      }
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
      assert.isTrue(yield* ProcessIdentity.signal(identity, "SIGTERM"))
      assert.strictEqual(yield* exitOf(running), "SIGTERM")
    })
  )

  it.effect("asks the table for no signal when the pid has gone to another", () =>
    Effect.gen(function* () {
      const sent: Array<number> = []
      const identity = { pid: 7, startTime: 10, bootId: "b" }
      const at = (startTime: number, state = "S") =>
        ProcessIdentity.signal(identity, "SIGKILL").pipe(
          Effect.provideServiceEffect(
            ProcessTable,
            tableWith({
              bootId: Effect.succeed("b"),
              stat: (pid) =>
                Effect.succeed({ pid, startTime, state, parent: 1, group: 1, session: 1, threads: 1, command: "x" }),
              kill: (pid) => Effect.sync(() => sent.push(pid) > 0)
            })
          )
        )
      assert.isFalse(yield* at(11))
      assert.isFalse(yield* at(10, "Z"))
      assert.deepStrictEqual(sent, [])
      assert.isTrue(yield* at(10))
      assert.deepStrictEqual(sent, [7])
    })
  )

  it("goes through JSON", () => {
    const identity = { pid: 7, startTime: 10, bootId: "b" }
    const codec = Schema.toCodecJson(ProcessIdentity.ProcessIdentity)
    const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(codec)(identity)))
    assert.isTrue(ProcessIdentity.equals(Schema.decodeUnknownSync(codec)(wire), identity))
  })
})

describe("terminate", () => {
  it.live("asks first, and needs no more of who listens", () =>
    Effect.gen(function* () {
      const running = yield* child(idle)
      const receipt = yield* ProcessIdentity.terminate([running.identity], { grace: "20 seconds" })
      assert.deepStrictEqual(receipt, { signalled: [running.identity], escalated: [], survivors: [] })
      assert.strictEqual(yield* exitOf(running), "SIGTERM")
    })
  )

  it.live("sends the signal that was asked for", () =>
    Effect.gen(function* () {
      const running = yield* child(`process.on("SIGINT", () => process.exit(7)); ${idle}`)
      yield* ProcessIdentity.terminate([running.identity], { grace: "20 seconds", signals: ["SIGINT"] })
      assert.strictEqual(yield* exitOf(running), 7)
    })
  )

  it.live("kills who ignores it, and says so", () =>
    Effect.gen(function* () {
      const [deaf, kind] = [yield* child(stubborn), yield* child(idle)]
      const receipt = yield* ProcessIdentity.terminate([deaf.identity, kind.identity], { grace: "500 millis" })
      assert.deepStrictEqual(pids(receipt.signalled), [deaf.identity.pid, kind.identity.pid])
      assert.deepStrictEqual(receipt.survivors, [])
      assert.include(pids(receipt.escalated), deaf.identity.pid)
      assert.strictEqual(yield* exitOf(deaf), "SIGKILL")
      yield* exitOf(kind)
    })
  )

  it.live("wakes one that is stopped, so that it can end in order", () =>
    Effect.gen(function* () {
      const running = yield* child(`process.on("SIGTERM", () => process.exit(3)); ${idle}`)
      yield* ProcessIdentity.signal(running.identity, "SIGSTOP")
      yield* eventually(
        "it is stopped",
        Effect.sync(() => (stateOf(running.identity.pid) === "T" ? true : undefined))
      )
      const receipt = yield* ProcessIdentity.terminate([running.identity], { grace: "20 seconds" })
      assert.deepStrictEqual([receipt.escalated, receipt.survivors], [[], []])
      assert.strictEqual(yield* exitOf(running), 3)
    })
  )

  it.live("counts a zombie as gone", () =>
    Effect.gen(function* () {
      // Its parent never reaps it.
      const parent = yield* child(`
        import { spawn } from "node:child_process"
        import { writeSync } from "node:fs"
        const child = spawn("sleep", ["1000"], { stdio: "ignore" })
        writeSync(1, child.pid + "\\n")
        for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
      `)
      const identity = yield* eventually("the child", ProcessIdentity.of(Number(parent.line)))
      const receipt = yield* ProcessIdentity.terminate([identity], { grace: "20 seconds" })
      assert.deepStrictEqual(receipt, { signalled: [identity], escalated: [], survivors: [] })
      assert.strictEqual(stateOf(identity.pid), "Z")
    })
  )

  it.effect("counts one that may not be signalled as a survivor", () =>
    Effect.gen(function* () {
      const theirs = { pid: 7, startTime: 10, bootId: "b" }
      const receipt = yield* ProcessIdentity.terminate([theirs], { grace: 0 }).pipe(
        Effect.provideServiceEffect(
          ProcessTable,
          tableWith({
            bootId: Effect.succeed("b"),
            stat: (pid) =>
              Effect.succeed({
                pid,
                startTime: 10,
                state: "S",
                parent: 1,
                group: 1,
                session: 1,
                threads: 1,
                command: "x"
              }),
            kill: () => Effect.succeed(false)
          })
        )
      )
      assert.deepStrictEqual(receipt, { signalled: [], escalated: [], survivors: [theirs] })
    })
  )

  it.live("has nothing to say about nobody", () =>
    Effect.gen(function* () {
      const receipt = yield* ProcessIdentity.terminate([], { grace: "20 seconds" })
      assert.deepStrictEqual(receipt, { signalled: [], escalated: [], survivors: [] })
    })
  )
})
