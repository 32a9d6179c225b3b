import * as Os from "node:os"

import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"

import * as LoadProbe from "../src/LoadProbe.ts"
import { hybrid, inCgroup, machine, pressure, unified } from "./hostSamples.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf, tagsOf } from "./support.ts"

const probing = (options: Partial<LoadProbe.LoadProbeOptions> = {}) => LoadProbe.make({ name: "load", ...options })

/** Four CPUs, one of which was taken out. */
const stat = [
  "cpu  1 2 3 4 5 6 7 0 0 0",
  ...[0, 1, 3, 10].map((cpu) => `cpu${cpu} 1 2 3 4 5 6 7 0 0 0`),
  "intr 1 2 3",
  "ctxt 1",
  "processes 3",
  ""
].join("\n")

const base = { "proc/loadavg": "12.00 6.00 3.00 2/345 6789\n", "proc/stat": stat }

/** The load and the CPUs that were found on a machine with these files. */
const read = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>,
  options: Partial<LoadProbe.LoadProbeOptions> = {}
) {
  const { seenBy } = yield* machine(files)
  const found = signatureOf(yield* seenBy(probing({ degradedAt: 0.01, ...options })).check)
  return found._tag === "Load/High" ? [found.load, found.cpus, found.perCpu] : assert.fail("pressure")
})

describe("LoadProbe", () => {
  it.live("window: of five minutes unless told; all CPUs that are online", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* read(base), [6, 4, 1.5])
      assert.deepStrictEqual(yield* read(base, { window: "1m" }), [12, 4, 3])
      assert.deepStrictEqual(yield* read(base, { window: "15m" }), [3, 4, 0.75])
    })
  )

  it.live("degradedAt: 2 for each CPU unless told", () =>
    Effect.gen(function* () {
      const { folder, seenBy } = yield* machine(base)
      assert.deepStrictEqual(yield* seenBy(probing()).check, Verdict.healthy)
      assert.deepStrictEqual(yield* seenBy(probing({ degradedAt: 1.5 })).check, Verdict.healthy)
      assert.deepStrictEqual(
        yield* seenBy(probing({ window: "1m" })).check,
        Verdict.degraded(new LoadProbe.High({ load: 12, cpus: 4, perCpu: 3, window: "1m" }), [
          `load 12 (1m) on 4 CPUs, says ${folder}/proc/stat`
        ])
      )
    })
  )

  it.live("a quota of its own makes the machine's load no higher, in both versions", () =>
    Effect.gen(function* () {
      const service = {
        ...base,
        ...unified,
        "proc/self/cgroup": "0::/a.slice/app.service\n",
        "cgroup/a.slice/cpu.max": "150000 100000\n",
        "cgroup/a.slice/app.service/cpu.max": "25000 50000\n"
      }
      assert.deepStrictEqual(yield* read(service), [6, 4, 1.5])
      const old = {
        ...base,
        ...hybrid,
        "proc/self/cgroup": "3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
        "cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000\n",
        "cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"
      }
      assert.deepStrictEqual(yield* read(old), [6, 4, 1.5])
    })
  )

  it.live("pressure is that of the smallest quota around it; of version 1, and without a quota, the machine's", () =>
    Effect.gen(function* () {
      const told = pressure("90.00", "0.00")
      const sourceOf = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
        const { folder, seenBy } = yield* machine({ ...base, "proc/pressure/cpu": told, ...files })
        const found = signatureOf(yield* seenBy(probing({ pressure: { cpu: { some: 0.5 } } })).check)
        return "source" in found ? found.source.slice(folder.length + 1) : assert.fail("load")
      })
      const service = {
        ...unified,
        "proc/self/cgroup": "0::/a.slice/app.service\n",
        "cgroup/a.slice/cpu.max": "150000 100000\n",
        "cgroup/a.slice/cpu.pressure": told,
        "cgroup/a.slice/app.service/cpu.max": "max 100000\n",
        "cgroup/a.slice/app.service/cpu.pressure": told
      }
      assert.strictEqual(yield* sourceOf(service), "cgroup/a.slice/cpu.pressure")
      const both = { ...service, "cgroup/a.slice/app.service/cpu.max": "25000 50000\n" }
      assert.strictEqual(yield* sourceOf(both), "cgroup/a.slice/app.service/cpu.pressure")
      for (const none of ["800000 100000\n", "", "0 0\n", "max\n", "100000\n", "-1 100000\n", "much 1\n"]) {
        const files = { ...service, "cgroup/a.slice/cpu.max": none }
        assert.strictEqual(yield* sourceOf(files), "proc/pressure/cpu", none)
      }
      const old = {
        ...hybrid,
        "proc/self/cgroup": "3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
        "cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000\n",
        "cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"
      }
      assert.strictEqual(yield* sourceOf(old), "proc/pressure/cpu")
    })
  )

  it.live("all that is found is named, the first decides", () =>
    Effect.gen(function* () {
      const { folder, seenBy, write } = yield* machine({
        ...base,
        "proc/pressure/cpu": pressure("60.00", "20.00"),
        "proc/pressure/io": pressure("10.00", "8.00")
      })
      const probe = seenBy(
        probing({ window: "1m", pressure: { cpu: { some: 0.5, full: 0.1 }, io: { some: 0.05, full: 0.9 } } })
      )
      const found = yield* probe.check
      assert.deepInclude(signatureOf(found), { _tag: "Load/Pressure", resource: "cpu", kind: "full" })
      const says = `load 12 (1m) on 4 CPUs, says ${folder}/proc/stat`
      const io = "some tasks waited for io 10.0 % of the time (avg10)"
      assert.deepInclude(found, {
        evidence: [
          "full tasks waited for cpu 20.0 % of the time (avg10)",
          "some tasks waited for cpu 60.0 % of the time (avg10)",
          io,
          says
        ]
      })
      write({ "proc/pressure/cpu": "" })
      const untold = `the kernel does not tell of the pressure asked for in ${folder}/proc/pressure/cpu`
      assert.deepInclude(yield* probe.check, { evidence: [io, says, untold] })
      write({ "proc/pressure/io": pressure("1.00", "1.00") })
      assert.deepInclude(yield* probe.check, { _tag: "Degraded", evidence: [says, untold] })
      write({ "proc/loadavg": "1.00 1.00 1.00 2/345 6789\n" })
      assert.deepStrictEqual(yield* probe.check, Verdict.inconclusive(untold))
    })
  )

  it.live("pressure: of the CPU and of input and output, of the machine or of the cgroup with the quota", () =>
    Effect.gen(function* () {
      const { folder, seenBy, write } = yield* machine({
        ...base,
        "proc/pressure/cpu": pressure("60.00", "0.00"),
        "proc/pressure/io": pressure("10.00", "8.00")
      })
      const found = (limits: NonNullable<LoadProbe.LoadProbeOptions["pressure"]>) =>
        seenBy(probing({ pressure: limits })).check
      const source = `${folder}/proc/pressure/cpu`
      assert.deepStrictEqual(
        yield* found({ cpu: { some: 0.5 } }),
        Verdict.degraded(
          new LoadProbe.Pressure({ resource: "cpu", kind: "some", window: "avg10", share: 0.6, limit: 0.5, source }),
          ["some tasks waited for cpu 60.0 % of the time (avg10)", `load 6 (5m) on 4 CPUs, says ${folder}/proc/stat`]
        )
      )
      assert.deepInclude(signatureOf(yield* found({ cpu: { some: 0.7 }, io: { full: 0.05 } })), {
        resource: "io",
        kind: "full",
        share: 0.08
      })
      assert.deepStrictEqual(yield* found({ cpu: { some: 0.6 }, io: { full: 0.08 } }), Verdict.healthy)
      write({ ...unified, "proc/self/cgroup": "0::/app\n", "cgroup/app/cpu.max": "300000 100000\n" })
      assert.deepStrictEqual(
        yield* found({ cpu: { some: 0.5 } }),
        Verdict.inconclusive(`the kernel does not tell of the pressure asked for in ${folder}/cgroup/app/cpu.pressure`)
      )
      // Older kernels have no line `full` there.
      write({ "cgroup/app/cpu.pressure": "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n" })
      assert.strictEqual((yield* found({ cpu: { some: 0.5 } }))._tag, "Healthy")
      assert.strictEqual((yield* found({ cpu: { full: 0.5 } }))._tag, "Inconclusive")
      assert.deepInclude(signatureOf(yield* found({ cpu: { full: 0.5, some: 0.005 } })), { kind: "some", share: 0.01 })
      // What is known to be bad beats what is not known.
      write({ "cgroup/app/io.pressure": pressure("90.00", "0.00") })
      assert.strictEqual((yield* found({ cpu: { full: 0.5 }, io: { some: 0.5 } }))._tag, "Degraded")
    })
  )

  it.live("without a load or CPUs it knows nothing", () =>
    Effect.gen(function* () {
      const strange: ReadonlyArray<Readonly<Record<string, string>>> = [
        {},
        { "proc/loadavg": base["proc/loadavg"] },
        { "proc/stat": stat },
        { ...base, "proc/loadavg": "" },
        { ...base, "proc/loadavg": "a b c" },
        { ...base, "proc/stat": "cpu  1 2 3\n" }
      ]
      for (const files of strange) {
        const { folder, seenBy } = yield* machine(files)
        assert.deepStrictEqual(
          yield* seenBy(probing()).check,
          Verdict.inconclusive(`looking at the load needs Linux's /proc; nothing tells of it in ${folder}/proc`)
        )
      }
    })
  )

  it("has the signatures that its options can find, in its type and at run time", () => {
    const plain = LoadProbe.make({ name: "load" })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<LoadProbe.High>>()
    assert.deepStrictEqual(tagsOf(plain), ["Load/High"])
    const pressed = LoadProbe.make({ name: "load", pressure: { io: { full: 0.1 } } })
    expectTypeOf(pressed).toEqualTypeOf<Probe.Probe<LoadProbe.High | LoadProbe.Pressure>>()
    assert.deepStrictEqual(tagsOf(pressed), ["Load/High", "Load/Pressure"])
  })

  it("says what it examines; equal options ask the same", () => {
    assert.deepInclude(probing(), { target: "host://load", reach: "host", duringStartup: "held" })
    const asks = (options: Partial<LoadProbe.LoadProbeOptions>) => Probe.question(probing(options))
    assert.isTrue(Equal.equals(asks({ pressure: { cpu: { some: 0.2 } } }), asks({ pressure: { cpu: { some: 0.2 } } })))
    assert.isFalse(Equal.equals(asks({}), asks({ window: "1m" })))
  })

  it("refuses options that cannot work, and names them", () => {
    const empty = {}
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ degradedAt: 0 }, "degradedAt", 0],
      [{ degradedAt: Infinity }, "degradedAt", Infinity],
      [{ window: "10m" }, "window", "10m"],
      [{ pressure: empty }, "pressure", empty],
      [{ pressure: { cpu: empty } }, "pressure.cpu", empty],
      [{ pressure: { io: { some: 2 } } }, "pressure.io.some", 2],
      [{ pressure: { memory: 1 } }, "pressure.memory", 1],
      [{ unhealthyAt: 1 }, "unhealthyAt", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => LoadProbe.make({ name: "load", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["LoadProbe", option, value])
    }
  })
})

describe.skipIf(process.platform !== "linux")("LoadProbe on this machine", () => {
  it.live("finds the load and the CPUs", () =>
    Effect.gen(function* () {
      const verdict = yield* probing({ degradedAt: 0.01, window: "15m" }).check
      // A machine may have had nothing to do.
      if (verdict._tag === "Healthy") return
      const found = signatureOf(verdict)
      assert.isTrue("cpus" in found && found.cpus === Os.cpus().length && found.load > 0, JSON.stringify(found))
    })
  )

  it.live("finds the quota of a real cgroup", () =>
    Effect.gen(function* () {
      const ran = yield* inCgroup(
        "cpu",
        { 1: ["cpu.cfs_quota_us", "50000"], 2: ["cpu.max", "50000 100000"] },
        `
        import { loadOf } from "./src/internal/cpuLoad.ts"
        console.log(JSON.stringify(loadOf("/proc")))`
      )
      if (ran === undefined) return
      // Of cgroups of version 1 the kernel tells no pressure.
      const own = `${ran.folder}/cpu.pressure`
      const found: unknown = JSON.parse(ran.said)
      assert.nestedPropertyVal(found, "pressure.cpu", ran.version === 2 ? own : "/proc/pressure/cpu")
      assert.propertyVal(found, "cpus", Os.cpus().length)
    })
  )
})

probeContract<LoadProbe.Found<LoadProbe.LoadProbeOptions>>("LoadProbe", {
  situations: {
    Healthy: Effect.map(machine(base), ({ seenBy }) => seenBy(probing())),
    "Load/High": Effect.map(machine(base), ({ seenBy }) => seenBy(probing({ window: "1m" }))),
    "Load/Pressure": Effect.map(machine({ ...base, "proc/pressure/io": pressure("25.00", "0.00") }), ({ seenBy }) =>
      seenBy(probing({ pressure: { io: { some: 0.2 } } }))
    ),
    Inconclusive: Effect.map(machine({}), ({ seenBy }) => seenBy(probing()))
  }
})
