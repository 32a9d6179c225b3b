import * as Path from "node:path"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Probe from "@nexobot/core/Probe"
import { type ProcessUsage, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually, refusal } from "@nexobot/testing/Expect"
import { kill } from "@nexobot/testing/ProcessFault"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestMount from "@nexobot/testing/TestMount"
import { idle, reaches, start } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import { answering } from "@nexobot/testing/TestProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

import * as Heartbeat from "../src/Heartbeat.ts"
import * as ProcessProbe from "../src/ProcessProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { provided, signatureOf } from "./support.ts"

type Options = Partial<ProcessProbe.ProcessProbeOptions>

const probing = (web: TestProcessControl.Entry, options: Options) =>
  provided(ProcessProbe.make({ name: "process", process: "web", ...options }), TestProcessControl.readOnly({ web }))

const nameOf = (verdict: Verdict.Verdict<Verdict.Signature>) =>
  "signature" in verdict ? verdict.signature._tag : verdict._tag

type Found = ProcessProbe.Found<ProcessProbe.ProcessProbeOptions>

const finding = (tag: Found["_tag"], probe: Probe.Probe<Found>) =>
  eventually(
    `it finds ${tag}`,
    Effect.map(probe.check, (verdict) =>
      "signature" in verdict && verdict.signature._tag === tag ? verdict.signature : undefined
    )
  )

const ordinary: ProcessUsage = { age: 3_600_000, cpu: 0, reaped: 0, memory: 1_000_000, waits: 10 }

/** Tells this of processes, in place of the kernel; what is not said is ordinary. */
const telling = (usage: () => Partial<ProcessUsage>) =>
  answering({ usage: () => Effect.sync(() => ({ ...ordinary, ...usage() })) })

/** Node that runs this, as long as its parent is the process whose pid is the last argument. */
const below = (code: string) =>
  ["-e", `${code}; setInterval(() => process.ppid === Number(process.argv.at(-1)) || process.exit(), 20)`] as const

/** A shell with a Node below it that runs this. */
const parentOf = (code: string) => start("sh", "-c", '"$@" "$$" & wait', "sh", process.execPath, ...below(code))

/** It has so much more than it needs itself. */
const hog = "globalThis.own = Buffer.alloc(150_000_000, 1)"

describe("ProcessProbe: memory", () => {
  it.live("a process that has more than it may: MemoryHigh", () =>
    Effect.gen(function* () {
      const identity = yield* start(process.execPath, ...below(hog), `${process.pid}`)
      const signature = yield* finding("Process/MemoryHigh", probing({ identity }, { maxMemory: 150_000_000 }))
      assert.deepInclude(signature, { process: "web", pid: identity.pid, maxMemory: 150_000_000 })
      assert.isAbove(signature._tag === "Process/MemoryHigh" ? signature.memory : 0, 150_000_000)
      assert.deepStrictEqual(yield* probing({ identity }, { maxMemory: 2_000_000_000 }).check, Verdict.healthy)
    })
  )

  it.live("below it, another has it: MemoryHigh with its tree only", () =>
    Effect.gen(function* () {
      const identity = yield* parentOf(hog)
      yield* finding("Process/MemoryHigh", probing({ identity }, { maxMemory: 150_000_000, tree: true }))
      assert.deepStrictEqual(yield* probing({ identity }, { maxMemory: 150_000_000 }).check, Verdict.healthy)
    })
  )

  it.live("as much as it may is healthy, one byte more is not; what a tree shares is counted once", () =>
    Effect.gen(function* () {
      const identity = yield* parentOf("")
      const table = yield* ProcessTable
      yield* eventually(
        "its child is there",
        Effect.map(table.all, (all) => all.find(({ parent }) => parent === identity.pid))
      )
      const memory = { memory: 1000 }
      const check = (options: Options) =>
        Effect.map(
          answering({ proportionalMemory: () => Effect.succeed(600) })(
            telling(() => memory)(probing({ identity }, options).check)
          ),
          nameOf
        )
      assert.strictEqual(yield* check({ maxMemory: 1000 }), "Healthy")
      assert.strictEqual(yield* check({ maxMemory: 999 }), "Process/MemoryHigh")
      assert.strictEqual(yield* check({ maxMemory: 1200, tree: true }), "Healthy")
      assert.strictEqual(yield* check({ maxMemory: 1199, tree: true }), "Process/MemoryHigh")
    })
  )
})

/** Nobody may read what processes share. */
const hiding = answering({ proportionalMemory: () => Effect.succeed(undefined) })

describe("ProcessProbe: memory that may not be read", () => {
  it.live("of a tree whose members' shared memory is hidden, only too little can be told", () =>
    Effect.gen(function* () {
      const identity = yield* parentOf("")
      const { pid } = identity
      const table = yield* ProcessTable
      const child = yield* eventually(
        "its child is there",
        Effect.map(table.all, (all) => all.find(({ parent }) => parent === pid))
      )
      const check = (options: Options, hidden = true) => {
        const part = answering({
          proportionalMemory: (asked) => Effect.succeed(asked === child.pid && hidden ? undefined : 600)
        })
        return part(telling(() => ({ memory: 1000 }))(probing({ identity }, options).check))
      }
      const unknown = Verdict.inconclusive(`web (${pid}): what process ${child.pid} shares may not be read`)
      assert.deepStrictEqual(yield* check({ maxMemory: 1599, tree: true }), unknown)
      assert.deepStrictEqual(yield* check({ maxMemory: 1600, tree: true }), Verdict.healthy)
      assert.strictEqual(nameOf(yield* check({ maxMemory: 1199, tree: true }, false)), "Process/MemoryHigh")
      assert.strictEqual(nameOf(yield* check({ maxMemory: 999 })), "Process/MemoryHigh")
      // One that is there no more has none, and hides nothing.
      const gone = answering({
        usage: (asked) => Effect.succeed(asked === child.pid ? undefined : { ...ordinary, memory: 1000 })
      })
      const part = answering({
        proportionalMemory: (asked) => Effect.succeed(asked === child.pid ? undefined : 600)
      })
      const tree = probing({ identity }, { maxMemory: 599, tree: true })
      assert.strictEqual(nameOf(yield* part(gone(tree.check))), "Process/MemoryHigh")
    })
  )

  it.live("a single process has what is resident, though its tree was asked for", () =>
    Effect.gen(function* () {
      const probe = probing({ identity: yield* idle }, { maxMemory: 999, tree: true })
      assert.strictEqual(nameOf(yield* hiding(telling(() => ({ memory: 1000 }))(probe.check))), "Process/MemoryHigh")
    })
  )
})

describe("ProcessProbe: processors", () => {
  it.live("a busy loop: CpuHigh; a process that sleeps: healthy", () =>
    Effect.gen(function* () {
      const busy = probing({ identity: yield* start("sh", "-c", "while :; do :; done") }, { maxCpu: 0.03 })
      const lazy = probing({ identity: yield* idle }, { maxCpu: 0.03 })
      assert.deepStrictEqual(yield* Effect.all([busy.check, lazy.check]), [Verdict.healthy, Verdict.healthy])
      const signature = yield* finding("Process/CpuHigh", busy)
      assert.deepInclude(signature, { process: "web", maxCpu: 0.03 })
      assert.deepStrictEqual(yield* lazy.check, Verdict.healthy)
    })
  )

  it.live("what ended children have used counts for the tree only", () =>
    Effect.gen(function* () {
      const work = "while :; do dd if=/dev/zero of=/dev/null bs=1M count=100 status=none; done"
      const identity = yield* start("sh", "-c", work)
      const table = yield* ProcessTable
      const usage = yield* eventually(
        "children have ended",
        Effect.map(table.usage(identity.pid), (now) => (now !== undefined && now.reaped >= 100 ? now : undefined))
      )
      assert.isBelow(usage.cpu, usage.reaped)
    })
  )

  it.effect("by the time between looks: over a second at least, and the last figure until then", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      let used: Partial<ProcessUsage> = {}
      const probe = probing({ identity }, { maxCpu: 0.5 })
      const check = telling(() => used)(probe.check)
      const steps: ReadonlyArray<readonly [wait: Duration.Input, cpu: number, expected: string]> = [
        [0, 1000, "Healthy"],
        ["900 millis", 1900, "Healthy"],
        ["100 millis", 1500, "Healthy"],
        ["1 second", 2010, "Process/CpuHigh"],
        ["500 millis", 2010, "Process/CpuHigh"],
        ["500 millis", 2010, "Healthy"],
        // Less than before, as of a tree that has lost a member.
        ["2 seconds", 1000, "Healthy"],
        ["2 seconds", 2100, "Process/CpuHigh"]
      ]
      for (const [wait, cpu, expected] of steps) {
        yield* TestClock.adjust(wait)
        used = { cpu, reaped: cpu * 100 }
        assert.strictEqual(nameOf(yield* check), expected, `${cpu}`)
      }
      assert.deepStrictEqual(
        signatureOf(yield* check),
        new ProcessProbe.CpuHigh({ process: "web", pid: identity.pid, cores: 0.55, maxCpu: 0.5 })
      )
    })
  )

  it.effect("another process begins anew", () =>
    Effect.gen(function* () {
      const entry: { identity?: TestProcessControl.Entry["identity"] } = { identity: yield* idle }
      const probe = probing(entry, { maxCpu: 0.5 })
      const check = (cpu: number) => Effect.map(telling(() => ({ cpu }))(probe.check), nameOf)
      assert.strictEqual(yield* check(0), "Healthy")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* check(1000), "Process/CpuHigh")
      entry.identity = yield* idle
      assert.strictEqual(yield* check(5000), "Healthy")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* check(5100), "Healthy")
    })
  )
})

describe("ProcessProbe: waiting for a disk", () => {
  it.live.skipIf(TestMount.isHungMissing())("a process that a hung disk holds: StuckInDisk, by the second look", () =>
    Effect.gen(function* () {
      const { asked, holder, path } = yield* TestMount.hung
      const identity = yield* start("stat", "-f", path)
      yield* asked
      yield* kill(identity)
      yield* reaches(identity.pid, "D")
      const probe = probing({ identity }, { stuckAfter: "100 millis" })
      assert.deepStrictEqual(yield* probe.check, Verdict.healthy, "one look is none")
      const signature = yield* finding("Process/StuckInDisk", probe)
      const { stuck } = signature._tag === "Process/StuckInDisk" ? signature : { stuck: Duration.zero }
      assert.isAtLeast(Duration.toMillis(stuck), 100)
      yield* kill(holder)
    })
  )

  it.effect("one and the same wait, for as long as it was told; a busy process waits anew each time", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      let [state, waits] = ["D", 1]
      const table = yield* ProcessTable
      const stat = yield* table.stat(identity.pid)
      if (stat === undefined) return assert.fail("it is gone")
      const probe = probing({ identity }, { stuckAfter: "10 seconds" })
      const look = (after: Duration.Input, now: string, wait: number) =>
        Effect.gen(function* () {
          yield* TestClock.adjust(after)
          ;[state, waits] = [now, wait]
          const verdict = yield* answering({ stat: () => Effect.succeed({ ...stat, state }) })(
            telling(() => ({ waits }))(probe.check)
          )
          return nameOf(verdict)
        })
      assert.strictEqual(yield* look(0, "D", 1), "Healthy")
      assert.strictEqual(yield* look("9999 millis", "D", 1), "Healthy")
      assert.strictEqual(yield* look("1 millis", "D", 1), "Process/StuckInDisk")
      assert.strictEqual(yield* look(0, "D", 2), "Healthy", "it went on, and waits again")
      assert.strictEqual(yield* look("9 seconds", "S", 3), "Healthy")
      assert.strictEqual(yield* look("1 second", "D", 4), "Healthy")
      assert.strictEqual(yield* look("9 seconds", "D", 4), "Healthy")
      assert.strictEqual(yield* look("1 second", "D", 4), "Process/StuckInDisk")
    })
  )
})

const place = Effect.map(TestFolder.make, (folder) => Path.join(folder, "web.beat"))

const beating = (path: string, maxAge: Duration.Input = "1 minute"): Options => ({ heartbeat: { path, maxAge } })

/** A Node that beats, and blocks its event loop at SIGUSR2. */
const blockable = Effect.gen(function* () {
  const path = yield* place
  const module = JSON.stringify(import.meta.resolve("../src/Heartbeat.ts"))
  const code = `import(${module}).then(({ beat }) => {
    setInterval(() => void beat(process.argv[1]), 20)
    process.on("SIGUSR2", () => { for (;;); })
  })`
  return { identity: yield* start(process.execPath, "--no-warnings", "-e", code, path), path }
})

describe("ProcessProbe: the heartbeat", () => {
  it.live("a process that runs and whose event loop is blocked: EventLoopBlocked", () =>
    Effect.gen(function* () {
      const { identity, path } = yield* blockable
      const probe = probing({ identity }, beating(path, "700 millis"))
      yield* eventually(
        "it beats",
        Effect.map(Heartbeat.last(path).pipe(Effect.orDie), (beat) => beat)
      )
      yield* eventually(
        "it is healthy",
        Effect.map(probe.check, (verdict) => (verdict._tag === "Healthy" ? true : undefined))
      )
      process.kill(identity.pid, "SIGUSR2")
      const signature = yield* finding("Process/EventLoopBlocked", probe)
      assert.deepInclude(signature, { process: "web", pid: identity.pid, maxAge: Duration.millis(700) })
      for (const state of ["Starting", "Stopping"] as const) {
        const between = probing({ identity, state }, beating(path, "700 millis"))
        assert.deepStrictEqual(yield* between.check, Verdict.healthy, `never while it is ${state}`)
      }
    })
  )

  it.effect("an old beat is found, but not before the process is older than a beat may be", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const path = yield* place
      yield* Heartbeat.write(path)
      yield* TestClock.adjust("61 seconds")
      const check = (age: number | undefined, uptime?: Duration.Duration) =>
        telling(() => ({ age }))(probing({ identity, uptime }, beating(path)).check)
      assert.deepStrictEqual(yield* check(60_000), Verdict.healthy)
      const [age, maxAge] = [Duration.seconds(61), Duration.minutes(1)]
      const blocked = Verdict.unhealthy(
        new ProcessProbe.EventLoopBlocked({ process: "web", pid: identity.pid, age, maxAge }),
        [`web (${identity.pid}) runs, and its last heartbeat was 1m 1s ago`]
      )
      assert.deepStrictEqual(yield* check(60_001), blocked)
      // In some containers, only its supervisor knows how long it runs.
      assert.deepStrictEqual(yield* check(undefined, Duration.seconds(60)), Verdict.healthy)
      assert.deepStrictEqual(yield* check(undefined, Duration.seconds(61)), blocked)
      assert.deepStrictEqual(
        yield* check(undefined),
        Verdict.inconclusive(`web (${identity.pid}) has an old heartbeat, and nobody says how long it runs`)
      )
    })
  )

  it.live("a process that never beats: nothing is known of its event loop, and other things are", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const path = yield* place
      const check = (options: Options) =>
        telling(() => ({}))(probing({ identity }, { ...beating(path), ...options }).check)
      assert.deepStrictEqual(
        yield* check({}),
        Verdict.inconclusive(`web (${identity.pid}) has no heartbeat at ${path}`)
      )
      assert.strictEqual(nameOf(yield* check({ maxMemory: 1 })), "Process/MemoryHigh")
      const long = `/tmp/${"x".repeat(300)}`
      assert.deepStrictEqual(yield* check(beating(long)), Verdict.inconclusive(`${long}: ENAMETOOLONG`))
      assert.strictEqual(nameOf(yield* check({ ...beating(long), maxMemory: 1 })), "Process/MemoryHigh")
    })
  )
})

const question = (options: Options) => ProcessProbe.make({ name: "p", process: "web", ...options }).asks

describe("ProcessProbe.make", () => {
  it("asks the same as its like, unless it compares looks", () => {
    assert.isDefined(question({}))
    assert.isDefined(question({ maxMemory: 1, ...beating("/x") }))
    assert.isUndefined(question({ maxCpu: 1 }))
    assert.isUndefined(question({ stuckAfter: 1000 }))
    assert.strictEqual(ProcessProbe.make({ name: "p", process: "web" }).target, "process:web")
  })

  it("finds what its options ask for, and its type says so", () => {
    type Base = ProcessProbe.Gone | ProcessProbe.Zombie | ProcessProbe.Stopped | ProcessProbe.Restarted
    const bare = ProcessProbe.make({ name: "p", process: "web" })
    expectTypeOf<Probe.Signatures<typeof bare>>().toEqualTypeOf<Base>()
    const lean = ProcessProbe.make({ name: "p", process: "web", maxMemory: 1, tree: true })
    expectTypeOf<Probe.Signatures<typeof lean>>().toEqualTypeOf<Base | ProcessProbe.MemoryHigh>()
    const all = ProcessProbe.make({
      name: "p",
      process: "web",
      maxMemory: 1,
      maxCpu: 1,
      stuckAfter: 1,
      heartbeat: { path: "/x", maxAge: 1 }
    })
    expectTypeOf<Probe.Signatures<typeof all>>().toEqualTypeOf<Found>()
    assert.deepStrictEqual(
      [bare, lean, all].map((probe) => probe.reports.length),
      [4, 5, 8]
    )
    // @ts-expect-error no such option
    assert.throws(() => ProcessProbe.make({ name: "p", process: "web", memory: 1 }))
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ maxMemory: 0 }, "maxMemory"],
      [{ maxMemory: "1 GB" }, "maxMemory"],
      [{ maxCpu: 0 }, "maxCpu"],
      [{ stuckAfter: 0 }, "stuckAfter"],
      [{ tree: 1, maxCpu: 1 }, "tree"],
      [{ tree: true }, "tree"],
      [{ timeout: 1 }, "timeout"],
      [{ timeout: 0, heartbeat: { path: "/x", maxAge: 1 } }, "timeout"],
      [{ heartbeat: "/x" }, "heartbeat"],
      [{ heartbeat: { path: "", maxAge: 1 } }, "heartbeat.path"],
      [{ heartbeat: { path: "/x" } }, "heartbeat.maxAge"],
      [{ heartbeat: { path: "/x", maxAge: 1, every: 1 } }, "heartbeat.every"]
    ]
    for (const [options, option] of refused) {
      const error = refusal(() => probing({}, options))
      assert.deepStrictEqual([error.module, error.option], ["ProcessProbe", option])
    }
  })
})

/** With a kernel that tells what the situation needs. */
const told = (probe: Probe.Probe<Found>, usage: () => Partial<ProcessUsage>): Probe.Probe<Found> => ({
  ...probe,
  check: telling(usage)(probe.check)
})

const blocked = Effect.gen(function* () {
  const path = yield* place
  yield* Heartbeat.write(path)
  yield* Effect.sleep("5 millis")
  return told(probing({ identity: yield* idle }, beating(path, "1 millis")), () => ({}))
})

/** Looked at for the first time a second ago, or an hour. */
const busy = Effect.gen(function* () {
  let cpu = 0
  const probe = told(probing({ identity: yield* idle }, { maxCpu: 0.5 }), () => ({ cpu: (cpu += 1_000_000) }))
  yield* finding("Process/CpuHigh", probe)
  return probe
})

const stuck = Effect.gen(function* () {
  const identity = yield* idle
  const table = yield* ProcessTable
  const stat = yield* table.stat(identity.pid)
  const probe = probing({ identity }, { stuckAfter: "1 millis" })
  const check = answering({ stat: () => Effect.succeed(stat && { ...stat, state: "D" }) })(
    telling(() => ({}))(probe.check)
  )
  yield* finding("Process/StuckInDisk", { ...probe, check })
  return { ...probe, check }
})

type Vital = Exclude<Found, ProcessProbe.Restarted | ProcessProbe.Gone | ProcessProbe.Zombie | ProcessProbe.Stopped>

/** The others are in the suite of the probe without these options. */
const vital = <E, R>(situation: Effect.Effect<Probe.Probe<Found>, E, R>): Effect.Effect<Probe.Probe<Vital>, E, R> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  Effect.map(situation, (probe) => ({ ...probe, reports: probe.reports.slice(4) }) as never)

probeContract<Vital>("ProcessProbe, of what the process does,", {
  situations: {
    Healthy: vital(
      Effect.map(idle, (identity) => probing({ identity }, { maxMemory: 2e9, maxCpu: 50, stuckAfter: 1e9 }))
    ),
    "Process/MemoryHigh": vital(Effect.map(idle, (identity) => probing({ identity }, { maxMemory: 1 }))),
    "Process/EventLoopBlocked": vital(blocked),
    "Process/CpuHigh": vital(busy),
    "Process/StuckInDisk": vital(stuck),
    Inconclusive: vital(
      Effect.map(Effect.all([idle, place]), ([identity, path]) =>
        told(probing({ identity }, beating(path)), () => ({}))
      )
    )
  }
})
