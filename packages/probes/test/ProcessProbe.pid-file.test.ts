import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import { deceased, idle, reaches, start, zombie } from "@nexobot/testing/TestProcess"
import { answering } from "@nexobot/testing/TestProcessTable"
import * as Effect from "effect/Effect"

import * as ProcessProbe from "../src/ProcessProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { signal, signatureOf } from "./support.ts"

type Options = Partial<ProcessProbe.PidFileOptions>

const probing = (pidFile: string, options: Options = {}) =>
  ProcessProbe.makePidFile({ name: "daemon", pidFile, ...options })

const place = Effect.map(TestFolder.make, (folder) => Path.join(folder, "daemon.pid"))

/** A pid file with this content. */
const file = (content: string | number) =>
  Effect.tap(place, (path) => Effect.sync(() => Fs.writeFileSync(path, `${content}`)))

/** A pid file of this process, with a line end. */
const fileOf = ({ pid }: { readonly pid: number }) => file(`${pid}\n`)

const gone = (path: string, why: string) =>
  Verdict.unhealthy(new ProcessProbe.Gone({ process: path }), [`${path}: ${why}`])

const stopped = Effect.gen(function* () {
  const identity = yield* idle
  yield* signal(identity, "SIGSTOP")
  yield* reaches(identity.pid, "T")
  return identity
})

describe("ProcessProbe.makePidFile", () => {
  it.live("a process that runs is healthy, however its file is written", () =>
    Effect.gen(function* () {
      const { pid } = yield* idle
      for (const content of [pid, `${pid}\n`, ` ${pid} \r\n`, `${pid}\n/var/lib/postgresql\n1700000000\n5432\n`]) {
        assert.deepStrictEqual(yield* probing(yield* file(content)).check, Verdict.healthy)
      }
    })
  )

  it.live("without its file, or without the process: Gone", () =>
    Effect.gen(function* () {
      const path = yield* place
      assert.deepStrictEqual(yield* probing(path).check, gone(path, `${path} is not there`))
      const { pid } = yield* deceased
      const old = yield* file(pid)
      assert.deepStrictEqual(yield* probing(old).check, gone(old, `no process ${pid} exists`))
    })
  )

  it.live("its pid was given to somebody who started after the file was written: Gone", () =>
    Effect.gen(function* () {
      const { pid } = yield* idle
      const path = yield* file(pid)
      const past = Date.now() / 1000 - 3600
      Fs.utimesSync(path, past, past)
      assert.deepStrictEqual(yield* probing(path).check, gone(path, `pid ${pid} belongs to a later process, sleep`))
    })
  )

  it.live("where nobody knows how long the process runs, its pid is not taken for another's", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(yield* idle)
      Fs.utimesSync(path, 0, 0)
      const check = answering({ usage: () => Effect.succeed(undefined) })(probing(path).check)
      assert.deepStrictEqual(yield* check, Verdict.healthy)
    })
  )

  it.live("a program that was named is known by it alone, whatever the clock says", () =>
    Effect.gen(function* () {
      const { pid } = yield* idle
      const path = yield* file(pid)
      Fs.utimesSync(path, 0, 0)
      for (const program of [/^sleep 600$/, "sleep", /SLEEP/giy]) {
        const probe = probing(path, { program })
        assert.deepStrictEqual(yield* probe.check, Verdict.healthy)
        assert.deepStrictEqual(yield* probe.check, Verdict.healthy, "an expression that remembers is asked anew")
      }
      assert.deepStrictEqual(
        yield* probing(path, { program: "postgres" }).check,
        gone(path, `pid ${pid} belongs to another program, sleep`)
      )
      const nameless = answering({ commandLine: () => Effect.succeed("") })
      assert.deepStrictEqual(yield* nameless(probing(path, { program: "^sleep$" }).check), Verdict.healthy)
    })
  )

  it.live("a zombie and a stopped one are found as such", () =>
    Effect.gen(function* () {
      const dead = yield* zombie
      const path = yield* fileOf(dead)
      assert.deepStrictEqual(
        yield* probing(path).check,
        Verdict.unhealthy(new ProcessProbe.Zombie({ process: path, pid: dead.pid }), [
          `${path} (${dead.pid}) ended, and nobody has noticed`
        ])
      )
      assert.strictEqual(signatureOf(yield* probing(yield* fileOf(yield* stopped)).check)._tag, "Process/Stopped")
    })
  )

  it.live("one that a debugger holds is stopped as well", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const table = yield* ProcessTable
      const traced = answering({
        stat: (pid) => Effect.map(table.stat(pid), (stat) => stat && { ...stat, state: "t" })
      })
      const verdict = yield* traced(probing(yield* fileOf(identity)).check)
      assert.strictEqual(signatureOf(verdict)._tag, "Process/Stopped")
    })
  )

  it.live("of a long command line, the beginning is looked at", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(yield* idle)
      const found = (commandLine: string) =>
        Effect.map(
          answering({ commandLine: () => Effect.succeed(commandLine) })(probing(path, { program: "needle" }).check),
          ({ _tag }) => _tag
        )
      assert.strictEqual(yield* found(`${"x".repeat(8186)}needle`), "Healthy")
      assert.strictEqual(yield* found(`${"x".repeat(8187)}needle`), "Unhealthy")
    })
  )

  it.live("what it does is looked at, too", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(yield* idle)
      assert.strictEqual(signatureOf(yield* probing(path, { maxMemory: 1 }).check)._tag, "Process/MemoryHigh")
      assert.deepStrictEqual(
        yield* probing(path, { maxMemory: 2_000_000_000, tree: true, maxCpu: 50 }).check,
        Verdict.healthy
      )
    })
  )

  it.live("a file that names no process says nothing", () =>
    Effect.gen(function* () {
      for (const content of ["", "\n", "0", "-1", "12a", "pid=12", "99999999999999", "x".repeat(4000)]) {
        const path = yield* file(content)
        assert.deepStrictEqual(yield* probing(path).check, Verdict.inconclusive(`${path} names no process`), content)
      }
    })
  )

  it.live("nor does one that cannot be read: a folder, a pipe, one that is far too long", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const pipe = Path.join(folder, "pipe")
      assert.strictEqual(ChildProcess.spawnSync("mkfifo", [pipe]).status, 0)
      const { pid } = yield* start("sh", "-c", 'echo hi >"$0"', pipe)
      yield* reaches(pid, "S")
      for (const path of [folder, pipe, yield* file("1".repeat(5000))]) {
        assert.strictEqual((yield* probing(path).check)._tag, "Inconclusive")
      }
      // The pipe was not even touched: who waits for its reader still does.
      assert.strictEqual(ChildProcess.spawnSync("timeout", ["10", "cat", pipe], { encoding: "utf8" }).stdout, "hi\n")
    })
  )

  it("says what it looks at", () => {
    const probe = probing("/run/daemon.pid")
    assert.deepInclude(probe, { target: "file:///run/daemon.pid", effects: "none", duringStartup: "held" })
    assert.isDefined(probe.asks)
    assert.isUndefined(probing("/run/daemon.pid", { maxCpu: 1 }).asks)
  })

  it("finds what its options ask for, and its type says so", () => {
    type Base = ProcessProbe.Gone | ProcessProbe.Zombie | ProcessProbe.Stopped
    const bare = ProcessProbe.makePidFile({ name: "p", pidFile: "/x" })
    expectTypeOf<Probe.Signatures<typeof bare>>().toEqualTypeOf<Base>()
    expectTypeOf<Probe.Services<typeof bare>>().toEqualTypeOf<never>()
    const busy = ProcessProbe.makePidFile({ name: "p", pidFile: "/x", maxCpu: 1 })
    expectTypeOf<Probe.Signatures<typeof busy>>().toEqualTypeOf<Base | ProcessProbe.CpuHigh>()
    assert.deepStrictEqual([bare.reports.length, busy.reports.length], [3, 4])
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ pidFile: "" }, "pidFile"],
      [{ program: "(" }, "program"],
      [{ maxCpu: -1 }, "maxCpu"],
      [{ timeout: 0 }, "timeout"],
      [{ settle: 1 }, "settle"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => probing("/x", options))
      assert.deepStrictEqual([error.module, error.option], ["ProcessProbe", option])
    }
  })
})

probeContract<ProcessProbe.Gone | ProcessProbe.Zombie | ProcessProbe.Stopped>("ProcessProbe.makePidFile", {
  situations: {
    Healthy: Effect.map(Effect.flatMap(idle, fileOf), (pidFile) => ProcessProbe.makePidFile({ name: "p", pidFile })),
    "Process/Gone": Effect.map(place, (pidFile) => ProcessProbe.makePidFile({ name: "p", pidFile })),
    "Process/Zombie": Effect.map(Effect.flatMap(zombie, fileOf), (pidFile) =>
      ProcessProbe.makePidFile({ name: "p", pidFile })
    ),
    "Process/Stopped": Effect.map(Effect.flatMap(stopped, fileOf), (pidFile) =>
      ProcessProbe.makePidFile({ name: "p", pidFile })
    ),
    Inconclusive: Effect.map(TestFolder.make, (pidFile) => ProcessProbe.makePidFile({ name: "p", pidFile }))
  },
  waiting: Effect.map(Effect.flatMap(zombie, fileOf), (pidFile) => ProcessProbe.makePidFile({ name: "p", pidFile }))
})
