import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { ProcessTable, type ProcessSample, Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as TestProcessTable from "../../testing/src/TestProcessTable.ts"
import * as Sampler from "../src/internal/sampler.ts"
import * as ResourceLimits from "../src/ResourceLimits.ts"
import { appetite, child, megabyte, sample, told } from "./samplerSupport.ts"

const memory = (limit: string, sustain: "5 seconds" | "0 seconds" | "200 millis"): ResourceLimits.Limits => ({
  memory: ResourceLimits.memory({ limit, sustain }),
  cpu: undefined
})

const unbreached = (): never => assert.fail("no limit was to be breached")

const quick = Sampler.make({ interval: "30 millis", everybody: "60 millis" })

const usageOf = (sampler: Sampler.Sampler, what: string, fits: (usage: Sampler.Usage) => boolean) =>
  eventually(
    what,
    Effect.sync(() => {
      const usage = sampler.usage("app")
      return fits(usage) ? usage : undefined
    })
  )

const atLeast = (megabytes: number) => (usage: Sampler.Usage) => (usage.memory ?? 0) >= megabytes * megabyte

/** Time passes in small steps, and in each of them whoever is due gets his turn. */
const pass = (millis: number) =>
  Effect.gen(function* () {
    for (let step = 0; step < millis; step += 50) {
      yield* TestClock.adjust("50 millis")
      yield* TestClock.withLive(Effect.sleep(0))
    }
  })

describe("sampler", () => {
  it.live("counts the whole tree: what a shell started, too", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const code = "const b = Buffer.alloc(90 * 1048576, 1); setInterval(() => b.length, 1e6)"
      const { identity } = yield* child(
        "sh",
        "-c",
        `sh -c '"$0" -e "$1"; true' "$0" "$1"; true`,
        process.execPath,
        code
      )
      sampler.watch("app", identity, undefined, unbreached)
      const { processes } = yield* usageOf(sampler, "the grandchild's memory is there", atLeast(90))
      assert.strictEqual(processes, 3)
    })
  )

  it.effect("acceptance(process-supervisor 14): a 200 ms memory spike with a 5 s sustain window is no breach", () =>
    Effect.gen(function* () {
      const app = yield* TestClock.withLive(appetite)
      const sampler = yield* Sampler.make()
      const { breaches, onBreach } = told()
      sampler.watch("app", app.identity, memory("150 MB", "5 seconds"), onBreach)
      yield* pass(1000)
      assert.isBelow(sampler.usage("app").memory ?? Infinity, 150 * megabyte)

      yield* app.tell("take 150")
      // Up to a look, and 200 ms from there.
      while ((sampler.usage("app").memory ?? 0) < 150 * megabyte) yield* pass(50)
      yield* pass(200)
      yield* app.tell("free")
      yield* pass(12_000)
      assert.isBelow(sampler.usage("app").memory ?? Infinity, 150 * megabyte)
      assert.deepStrictEqual(breaches, [])

      // What stays above is one, once, when the window is over.
      yield* app.tell("take 150")
      while ((sampler.usage("app").memory ?? 0) < 150 * megabyte) yield* pass(50)
      yield* pass(4900)
      assert.deepStrictEqual(breaches, [])
      yield* pass(200)
      assert.strictEqual(breaches.length, 1)
      yield* pass(12_000)
      assert.strictEqual(breaches.length, 1)
      const [breach] = breaches
      assert.strictEqual(breach?._tag, "MemoryLimit")
      assert.strictEqual(breach?.limit, 150 * megabyte)
      assert.isAbove(breach?.used ?? 0, 150 * megabyte)
    })
  )

  it.effect("a breach is noticed within three quarters of a second, and told when the window is over", () =>
    Effect.gen(function* () {
      const app = yield* TestClock.withLive(appetite)
      const sampler = yield* Sampler.make()
      const { breaches, onBreach } = told()
      sampler.watch("app", app.identity, memory("120 MB", "200 millis"), onBreach)
      yield* pass(1600)
      yield* app.tell("take 150")
      yield* pass(1000)
      assert.strictEqual(breaches.length, 1)
    })
  )

  it.live("memory that processes share counts once near the limit", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const { breaches, onBreach } = told()
      // Six processes that share 40 MB, for which each has a page table of its own.
      const fork = '$| = 1; $x = "a" x (40 << 20); for (1 .. 5) { last if !fork } print "up\\n"; sleep 600'
      const app = yield* child("perl", "-e", fork)
      for (let up = 0; up < 6; up++) yield* app.next
      const before = yield* Effect.gen(function* () {
        sampler.watch("app", app.identity, undefined, onBreach)
        return yield* usageOf(sampler, "its sum is there", ({ processes }) => processes === 6)
      })
      assert.isAbove(before.memory ?? 0, 200 * megabyte)

      sampler.watch("app", app.identity, memory("150 MB", "0 seconds"), onBreach)
      const after = yield* usageOf(sampler, "it was looked at", ({ processes }) => processes === 6)
      assert.isBelow(after.memory ?? Infinity, 120 * megabyte)
      assert.deepStrictEqual(breaches, [])
    })
  )

  it.live("processor time of the tree is told in percent of a core, and limited", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const { breaches, onBreach } = told()
      const app = yield* appetite
      const limits = { memory: undefined, cpu: ResourceLimits.cpu({ limit: 5, sustain: "100 millis" }) }
      sampler.watch("app", app.identity, limits, onBreach)
      yield* app.tell("burn")
      const { cpu = 0 } = yield* usageOf(sampler, "it is busy", (usage) => (usage.cpu ?? 0) > 5)
      assert.isAtMost(cpu, 400)
      yield* eventually(
        "the breach",
        Effect.sync(() => breaches[0])
      )
      yield* app.tell("rest")
      yield* usageOf(sampler, "it is idle", (usage) => (usage.cpu ?? Infinity) < 3)
      assert.deepStrictEqual(
        breaches.map(({ _tag, limit }) => [_tag, limit]),
        [["CpuLimit", 5]]
      )
    })
  )

  it.live("processor time of those who ended is not lost", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      // Each of them lives for a moment only, and the shell itself does next to nothing.
      const app = yield* child("sh", "-c", "while :; do perl -e 'for (1 .. 1000000) { $x++ }'; done")
      sampler.watch("app", app.identity, { memory: undefined, cpu: ResourceLimits.cpu({ limit: 5000 }) }, unbreached)
      yield* usageOf(sampler, "it is busy", (usage) => (usage.cpu ?? 0) > 5)
    })
  )

  it.live("whoever belonged to a tree stays in its accounts, whatever becomes of his parents", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const app = yield* child("sh", "-c", "(setsid sh -c 'echo $$; exec sleep 600' & read go); exec sleep 601")
      const pid = Number(yield* app.next)
      const escaped = yield* TestProcess.identityOf(pid)
      yield* Effect.addFinalizer(() => Effect.orDie(ProcessIdentity.signal(escaped, "SIGKILL")))
      sampler.watch("app", app.identity, undefined, unbreached)
      yield* usageOf(sampler, "all are there", ({ processes }) => processes === 3)
      // The shell between them ends; the last one's parent is now whoever takes orphans.
      yield* Effect.race(app.tell("go"), Effect.sleep("100 millis"))
      yield* usageOf(sampler, "two are left", ({ processes }) => processes === 2)
    })
  )

  it.live("those that the shell names belong to it", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const app = yield* child("sleep", "600")
      const other = yield* child("sleep", "601")
      sampler.watch("app", app.identity, undefined, unbreached, { members: () => [other.identity.pid, 2 ** 22] })
      yield* usageOf(sampler, "both are there", ({ processes }) => processes === 2)
    })
  )

  it.live("who has the pid of a child that is gone is a stranger: nothing is known, nothing is decided", () =>
    Effect.gen(function* () {
      const sampler = yield* quick
      const app = yield* appetite
      const earlier = { ...app.identity, startTime: app.identity.startTime - 1 }
      sampler.watch("app", earlier, memory("1 MB", "0 seconds"), unbreached)
      sampler.watch("other", app.identity, undefined, unbreached)
      yield* eventually(
        "it was looked at",
        Effect.sync(() => sampler.usage("other").memory)
      )
      assert.deepStrictEqual(sampler.usage("app"), {
        memory: undefined,
        cpu: undefined,
        processes: 0
      })
      assert.deepStrictEqual(sampler.usage("nobody"), sampler.usage("app"))
    })
  )

  it.effect("reads nothing while nothing is watched, and little of what has no limit", () =>
    Effect.gen(function* () {
      const app = yield* TestClock.withLive(child("sleep", "600"))
      let lists = 0
      const pids = Effect.sync(() => {
        lists += 1
        return [app.identity.pid]
      })
      const counting = TestProcessTable.answering({ pids })
      const sampler = yield* counting(Sampler.make())
      yield* pass(20_000)
      const idle = lists
      assert.isAtMost(idle, 2)
      const end = sampler.watch("app", app.identity, undefined, unbreached)
      yield* pass(20_000)
      const unlimited = lists - idle
      assert.isAtLeast(unlimited, 4)
      assert.isAtMost(unlimited, 7)
      end()
      yield* pass(5000)
      const ended = lists
      yield* pass(20_000)
      assert.strictEqual(lists, ended)
      assert.isUndefined(sampler.usage("app").memory)
    })
  )

  /** A table with just these in it. */
  const peopled = Effect.gen(function* () {
    let all: ReadonlyArray<ProcessSample> = []
    const sampler = yield* TestProcessTable.answering({
      pids: Effect.sync(() => all.map(({ pid }) => pid)),
      samples: (pids) => Effect.sync(() => all.filter(({ pid }) => [...pids].includes(pid)))
    })(Sampler.make())
    return { sampler, people: (...now: ReadonlyArray<ProcessSample>) => void (all = now) }
  })

  const root = { pid: 5_000_000, startTime: 5_000_000, bootId: "boot" }

  it.effect("what a newcomer has used since the last look counts", () =>
    Effect.gen(function* () {
      const { people, sampler } = yield* peopled
      const limits = { memory: undefined, cpu: ResourceLimits.cpu({ limit: 5000 }) }
      people(sample(root.pid))
      sampler.watch("app", root, limits, unbreached)
      yield* pass(3000)
      assert.strictEqual(sampler.usage("app").cpu, 0)
      people(sample(root.pid), sample(root.pid + 1, { parent: root.pid, cpu: 1500 }))
      yield* pass(750)
      assert.strictEqual(sampler.usage("app").cpu, 100)
    })
  )

  it.effect("who has the pid of a member that is gone does not bring his children along", () =>
    Effect.gen(function* () {
      const { people, sampler } = yield* peopled
      const app = sample(root.pid)
      people(app, sample(root.pid + 1, { parent: root.pid }))
      sampler.watch("app", root, memory("1 GB", "5 seconds"), unbreached)
      yield* pass(3000)
      assert.strictEqual(sampler.usage("app").processes, 2)
      people(app, sample(root.pid + 1, { startTime: 99 }), sample(root.pid + 2, { parent: root.pid + 1 }))
      yield* pass(6000)
      assert.strictEqual(sampler.usage("app").processes, 1)
    })
  )

  it.effect("looks at all of them in the same moments, whenever each was started", () =>
    Effect.gen(function* () {
      const linux = yield* ProcessTable
      let lists = 0
      const pids = Effect.suspend(() => {
        lists += 1
        return linux.pids
      })
      const sampler = yield* TestProcessTable.answering({ pids })(Sampler.make())
      for (const name of ["a", "b", "c", "d"]) {
        const { identity } = yield* TestClock.withLive(child("sleep", "600"))
        sampler.watch(name, identity, memory("1 GB", "5 seconds"), unbreached)
        yield* pass(100)
      }
      const before = lists
      yield* pass(7500)
      // Ten for all of them, and some more for everybody else.
      assert.isAtMost(lists - before, 15)
    })
  )

  it.live("goes on after a time in which nothing could be read, and a callback that failed", () =>
    Effect.gen(function* () {
      const linux = yield* ProcessTable
      const app = yield* appetite
      let isBroken = false
      const failing = new Unsupported({ feature: "listing processes", platform: "linux", code: "EMFILE" })
      const pids = Effect.suspend(() => (isBroken ? Effect.fail(failing) : linux.pids))
      let failed = 0
      const sampler = yield* TestProcessTable.answering({ pids })(quick)
      sampler.watch("bad", app.identity, memory("1 MB", "0 seconds"), () => {
        failed += 1
        throw new Error("a callback that fails, as this test wants")
      })
      sampler.watch("app", app.identity, memory("150 MB", "0 seconds"), () => {})
      yield* usageOf(sampler, "it was looked at", atLeast(1))
      assert.strictEqual(failed, 1)
      isBroken = true
      yield* app.tell("take 100")
      yield* Effect.sleep("100 millis")
      assert.isFalse(atLeast(100)(sampler.usage("app")))
      isBroken = false
      yield* usageOf(sampler, "it is looked at again", atLeast(100))
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("is refused where there is no list of processes", () =>
    Effect.gen(function* () {
      const error = new Unsupported({ feature: "listing processes", platform: "plan9" })
      const refused = yield* Effect.flip(TestProcessTable.answering({ pids: Effect.fail(error) })(Sampler.make()))
      assert.strictEqual(refused, error)
    })
  )
})
