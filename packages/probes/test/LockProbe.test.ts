import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as ProcessFault from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { deceased, idle, reaches, start } from "@nexobot/testing/TestProcess"
import { answering } from "@nexobot/testing/TestProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as LockProbe from "../src/LockProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf } from "./support.ts"

const probing = (path: string, options: Partial<LockProbe.LockProbeOptions> = {}) =>
  LockProbe.make({ name: "lock", path, ...options })

const free = Effect.map(TestFolder.make, (folder) => Path.join(folder, "gateway.lock"))

/** As if it was last written so long ago. */
const backdate = (path: string, millis: number) => {
  const then = (Date.now() - millis) / 1000
  Fs.utimesSync(path, then, then)
}

/** An owner that has run for so long, whatever the kernel says. */
const aged = (pid: number, age: number | undefined) =>
  answering({
    usage: (asked) => Effect.succeed(asked === pid ? { age, cpu: 0, reaped: 0, memory: 0, waits: 0 } : undefined)
  })

/** A lock file with this content. */
const lock = (content: unknown) =>
  Effect.tap(free, (path) =>
    Effect.sync(() => Fs.writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content)))
  )

describe("LockProbe", () => {
  it.live("no lock is healthy", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* probing(yield* free).check, Verdict.healthy)
    })
  )

  it.live("a live owner's lock is healthy, with a start time and without", () =>
    Effect.gen(function* () {
      const owner = yield* idle
      assert.deepStrictEqual(yield* probing(yield* lock(owner)).check, Verdict.healthy)
      assert.deepStrictEqual(yield* probing(yield* lock({ pid: owner.pid, createdAt: "x" })).check, Verdict.healthy)
    })
  )

  it.live("a lock of a process that is gone is stale", () =>
    Effect.gen(function* () {
      const { pid } = yield* deceased
      const path = yield* lock({ pid, createdAt: "2026-01-01T00:00:00Z" })
      const proof = `no process ${pid} exists`
      assert.deepStrictEqual(
        yield* probing(path).check,
        Verdict.unhealthy(new LockProbe.Stale({ path, pid, proof }), [`${path} names process ${pid}: ${proof}`])
      )
    })
  )

  it.live("a lock whose pid belongs to somebody else by now is stale", () =>
    Effect.gen(function* () {
      const stranger = yield* ProcessFault.bystander
      const path = yield* free
      yield* ProcessFault.staleLock(path, stranger)
      const verdict = yield* probing(path).check
      assert.strictEqual(verdict._tag, "Unhealthy")
      assert.deepInclude(verdict, {
        signature: new LockProbe.Stale({ path, pid: stranger.pid, proof: proofOf(verdict) })
      })
      assert.include(proofOf(verdict), "later process")
    })
  )

  it.live("a lock that names nobody is unreadable: nothing is proven", () =>
    Effect.gen(function* () {
      for (const content of ["", "{", '{"pid":"12"}', "4711"]) {
        const path = yield* lock(content)
        const why = `${content.length} characters that name no owner`
        assert.deepStrictEqual(
          yield* probing(path).check,
          Verdict.unhealthy(new LockProbe.Unreadable({ path, why }), [`${path}: ${why}`])
        )
      }
    })
  )

  it.live("a live owner that has it for longer than it may: Held", () =>
    Effect.gen(function* () {
      const { pid, ...owner } = yield* idle
      const path = yield* lock({ pid, ...owner })
      backdate(path, 3_600_500)
      const check = (maxHeld: Duration.Input, age: number | undefined) =>
        aged(pid, age)(probing(path, { maxHeld }).check)
      assert.deepStrictEqual(
        yield* check("59 minutes", 3_600_000),
        Verdict.unhealthy(new LockProbe.Held({ path, pid, age: Duration.hours(1), maxHeld: Duration.minutes(59) }), [
          `${path} is held by process ${pid} for 1h`
        ])
      )
      assert.deepStrictEqual(yield* check("1 hour", 3_600_000), Verdict.healthy)
      assert.strictEqual(signatureOf(yield* check("59 minutes", undefined))._tag, "Lock/Held")
      assert.deepStrictEqual(yield* check("2 hours", undefined), Verdict.healthy)
      assert.deepStrictEqual(yield* probing(path).check, Verdict.healthy)
    })
  )

  it.live("an owner that runs for a moment has not held it for an hour, whatever the clock says", () =>
    Effect.gen(function* () {
      const path = yield* lock(yield* idle)
      for (const step of [3_600_000, -3_600_000]) {
        backdate(path, step)
        assert.deepStrictEqual(yield* probing(path, { maxHeld: "30 minutes" }).check, Verdict.healthy)
      }
    })
  )

  it.live("an owner that writes it again has it anew", () =>
    Effect.gen(function* () {
      const { pid, ...owner } = yield* idle
      const path = yield* lock({ pid, ...owner })
      assert.deepStrictEqual(yield* aged(pid, 7_200_000)(probing(path, { maxHeld: "1 hour" }).check), Verdict.healthy)
    })
  )

  it.live("a dead owner's lock is stale, however old it is", () =>
    Effect.gen(function* () {
      const path = yield* lock(yield* deceased)
      backdate(path, 3_600_000)
      assert.strictEqual(signatureOf(yield* probing(path, { maxHeld: "1 second" }).check)._tag, "Lock/Stale")
    })
  )

  it.live("an owner elsewhere, whose end nobody sees, has it for as long as the file is old", () =>
    Effect.gen(function* () {
      const path = yield* lock({ pid: 4711, host: "elsewhere", bootId: "another" })
      backdate(path, 3_600_000)
      const verdict = yield* probing(path, { maxHeld: "1 minute" }).check
      assert.strictEqual(signatureOf(verdict)._tag, "Lock/Held")
      assert.match(JSON.stringify(verdict), /held by process 4711 on another machine \(elsewhere\) for 1h/)
    })
  )

  it.live("what the file says of its owner is cut, and its secrets are not shown", () =>
    Effect.gen(function* () {
      const said = `password=hunter2 ${"x".repeat(50_000)}`
      const bootId = yield* Effect.flatMap(ProcessTable, (table) => table.bootId)
      const owners = [
        { pid: 4711, host: said, bootId: "another" },
        { pid: 4711, pidNamespace: said, bootId }
      ]
      for (const owner of owners) {
        const path = yield* lock(owner)
        backdate(path, 3_600_000)
        const verdict = JSON.stringify(yield* probing(path, { maxHeld: "1 minute" }).check)
        assert.include(verdict, "Lock/Held")
        assert.include(verdict, "password=<redacted>")
        assert.notInclude(verdict, "hunter2")
        assert.isBelow(verdict.length, 1000)
      }
    })
  )

  it.live("a file that is far too large is not read: it names nobody", () =>
    Effect.gen(function* () {
      const { pid } = yield* idle
      for (const size of [65_537, 4_000_000_000]) {
        const path = yield* lock({ pid })
        Fs.truncateSync(path, size)
        assert.deepStrictEqual(
          signatureOf(yield* probing(path).check),
          new LockProbe.Unreadable({ path, why: "more than 65536 bytes" })
        )
      }
      const path = yield* lock(JSON.stringify({ pid }).padEnd(65_536))
      assert.deepStrictEqual(yield* probing(path).check, Verdict.healthy)
    })
  )

  it.live("a pipe is not touched: who waits for its reader still does", () =>
    Effect.gen(function* () {
      const path = yield* free
      assert.strictEqual(ChildProcess.spawnSync("mkfifo", [path]).status, 0)
      const { pid } = yield* start("sh", "-c", 'echo hi >"$0"', path)
      yield* reaches(pid, "S")
      assert.deepStrictEqual(
        yield* probing(path).check,
        Verdict.inconclusive(`${path} cannot be used: it is a FIFO, not a file`)
      )
      assert.strictEqual(ChildProcess.spawnSync("timeout", ["10", "cat", path], { encoding: "utf8" }).stdout, "hi\n")
    })
  )

  it.live("one that is given back while it is looked at is healthy", () =>
    Effect.gen(function* () {
      const path = yield* lock(yield* idle)
      backdate(path, 3_600_000)
      const table = yield* ProcessTable
      const leaving = answering({
        stat: (pid) => Effect.tap(table.stat(pid), () => Effect.sync(() => Fs.rmSync(path)))
      })
      assert.deepStrictEqual(yield* leaving(probing(path, { maxHeld: "1 minute" }).check), Verdict.healthy)
    })
  )

  it("finds what its options ask for, and its type says so", () => {
    const bare = LockProbe.make({ name: "lock", path: "/x" })
    expectTypeOf<Probe.Signatures<typeof bare>>().toEqualTypeOf<LockProbe.Stale | LockProbe.Unreadable>()
    const timed = LockProbe.make({ name: "lock", path: "/x", maxHeld: "1 hour" })
    expectTypeOf<Probe.Signatures<typeof timed>>().toEqualTypeOf<
      LockProbe.Stale | LockProbe.Unreadable | LockProbe.Held
    >()
    assert.deepStrictEqual([bare.reports.length, timed.reports.length], [2, 3])
  })

  it.live("what cannot be read says nothing", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const verdict = yield* probing(folder).check
      assert.strictEqual(verdict._tag, "Inconclusive")
      assert.include(JSON.stringify(verdict), "EISDIR")
    })
  )

  it.live("the probe leaves the lock alone", () =>
    Effect.gen(function* () {
      const path = yield* lock(yield* deceased)
      const before = Fs.statSync(path, { bigint: true })
      yield* probing(path).check
      const { ino, mtimeNs } = Fs.statSync(path, { bigint: true })
      assert.deepStrictEqual([ino, mtimeNs], [before.ino, before.mtimeNs])
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), [Path.basename(path)])
    })
  )

  it("is judged while the component starts: a dead owner's lock may be why it cannot", () => {
    assert.deepInclude(probing("/run/lock"), { name: "lock", duringStartup: "judged", effects: "none" })
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ path: "" }, "path", ""],
      [{ path: 7 }, "path", 7],
      [{ maxHeld: 0 }, "maxHeld", 0],
      [{ timeout: 0 }, "timeout", 0],
      [{ file: 1 }, "file", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => probing("/run/lock", options))
      assert.deepStrictEqual([error.module, error.option, error.value], ["LockProbe", option, value])
    }
  })
})

const proofOf = (verdict: Verdict.Verdict<LockProbe.Found<LockProbe.LockProbeOptions>>): string =>
  "signature" in verdict && verdict.signature._tag === "Lock/Stale" ? verdict.signature.proof : ""

/** A live owner has it, and has not written it since 1970. */
const held = Effect.gen(function* () {
  const path = yield* lock({ pid: process.ppid })
  Fs.utimesSync(path, 0, 0)
  return probing(path, { maxHeld: "1 millis" })
})

probeContract<LockProbe.Found<LockProbe.LockProbeOptions>>("LockProbe", {
  situations: {
    Healthy: Effect.map(free, (path) => probing(path, { maxHeld: "1 hour" })),
    "Lock/Held": held,
    "Lock/Stale": Effect.map(Effect.flatMap(deceased, lock), (path) => probing(path)),
    "Lock/Unreadable": Effect.map(lock("?"), (path) => probing(path)),
    Inconclusive: Effect.map(TestFolder.make, (folder) => probing(folder))
  }
})
