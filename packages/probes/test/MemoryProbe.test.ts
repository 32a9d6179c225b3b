import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"

import type { MemoryUse } from "../src/internal/memoryUse.ts"
import * as MemoryProbe from "../src/MemoryProbe.ts"
import { hybrid, inCgroup, machine, mebibyte, meminfo, pressure, unified } from "./hostSamples.ts"
import { probeContract } from "./ProbeContract.ts"
import { signatureOf, tagsOf, withoutDescriptors } from "./support.ts"

const probing = (options: Partial<MemoryProbe.MemoryProbeOptions> = {}) =>
  MemoryProbe.make({ name: "memory", ...options })

/** A share so small that what is looked at is always told. */
const telling = { degradedAt: 0.01, unhealthyAt: 1 }

/** What is in use of what, and where, on a machine with these files. */
const read = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>,
  options: Partial<MemoryProbe.MemoryProbeOptions> = {}
) {
  const { folder, seenBy } = yield* machine(files)
  const found = signatureOf(yield* seenBy(probing({ ...telling, ...options })).check)
  if (found._tag === "Memory/Pressure") return assert.fail("pressure")
  return [found.used / mebibyte, found.limit / mebibyte, found.source.slice(folder.length + 1)]
})

/** Most pages are those that somebody reads again and again. */
const idle = (pages: number): number => Math.floor(pages / 5)

/** Files of a cgroup of version 2: MiB in use, of these pages of files, and the limit. */
const limited = (folder: string, used: number, pages: number, limit: number | "max") => ({
  [`cgroup${folder}/memory.max`]: limit === "max" ? "max\n" : `${limit * mebibyte}\n`,
  [`cgroup${folder}/memory.current`]: `${used * mebibyte}\n`,
  [`cgroup${folder}/memory.stat`]: `anon 1\nfile 2\ninactive_anon 3\nactive_file ${
    (pages - idle(pages)) * mebibyte
  }\ninactive_file ${idle(pages) * mebibyte}\n`
})

/** The same of version 1. */
const limitedV1 = (folder: string, used: number, pages: number, limit: string) => ({
  [`cgroup/memory${folder}/memory.limit_in_bytes`]: `${limit}\n`,
  [`cgroup/memory${folder}/memory.usage_in_bytes`]: `${used * mebibyte}\n`,
  [`cgroup/memory${folder}/memory.stat`]: `inactive_file 7\nactive_file 7\ntotal_active_file ${
    (pages - idle(pages)) * mebibyte
  }\ntotal_inactive_file ${idle(pages) * mebibyte}\n`
})

const unlimitedV1 = "9223372036854771712"

const base = { "proc/meminfo": meminfo(300) }

describe("MemoryProbe", () => {
  it.live("the machine, where there are no cgroups, or none is limited", () =>
    Effect.gen(function* () {
      const ofMachine = [300, 1000, "proc/meminfo"]
      assert.deepStrictEqual(yield* read(base), ofMachine)
      const service = { ...base, ...unified, "proc/self/cgroup": "0::/system.slice/app.service\n" }
      assert.deepStrictEqual(yield* read(service), ofMachine)
      const free = {
        ...service,
        ...limited("/system.slice", 200, 0, "max"),
        ...limited("/system.slice/app.service", 100, 0, "max")
      }
      assert.deepStrictEqual(yield* read(free), ofMachine)
      // More than the machine has is no limit.
      const generous = { ...service, ...limited("/system.slice", 200, 0, 4000) }
      assert.deepStrictEqual(yield* read(generous), ofMachine)
      const old = { ...base, ...hybrid, "proc/self/cgroup": "4:memory:/user\n", ...limitedV1("", 50, 0, unlimitedV1) }
      assert.deepStrictEqual(yield* read(old), ofMachine)
    })
  )

  it.live("version 2: the limit of its cgroup, without pages of files, which can be had back", () =>
    Effect.gen(function* () {
      const files = {
        ...base,
        ...unified,
        "proc/self/cgroup": "0::/system.slice/app.service\n",
        ...limited("/system.slice", 200, 0, "max"),
        ...limited("/system.slice/app.service", 90, 20, 100)
      }
      assert.deepStrictEqual(yield* read(files), [70, 100, "cgroup/system.slice/app.service"])
      const cached = { ...files, ...limited("/system.slice/app.service", 99, 85, 100), "proc/meminfo": meminfo(50) }
      assert.deepStrictEqual(yield* read(cached), [14, 100, "cgroup/system.slice/app.service"])
    })
  )

  it.live("the machine is one of the limits: a full one is found from a cgroup that is half empty", () =>
    Effect.gen(function* () {
      const files = { ...base, ...unified, "proc/self/cgroup": "0::/app\n", ...limited("/app", 50, 0, 100) }
      assert.deepStrictEqual(yield* read({ ...files, "proc/meminfo": meminfo(499) }), [50, 100, "cgroup/app"])
      assert.deepStrictEqual(yield* read({ ...files, "proc/meminfo": meminfo(990) }), [990, 1000, "proc/meminfo"])
      // Its own pressure tells of it as well.
      const { folder, seenBy } = yield* machine({
        ...files,
        "proc/meminfo": meminfo(600),
        "cgroup/app/memory.pressure": pressure("30.00", "20.00")
      })
      const found = yield* seenBy(probing({ pressure: { some: 0.2, full: 0.1 } })).check
      const source = `${folder}/cgroup/app/memory.pressure`
      assert.deepInclude(signatureOf(found), { _tag: "Memory/Pressure", kind: "full", source })
      assert.deepInclude(found, {
        evidence: [
          "full tasks waited for memory 20.0 % of the time (avg10)",
          "some tasks waited for memory 30.0 % of the time (avg10)",
          `600 MiB of 1000 MiB in use (60.0 %), says ${folder}/proc/meminfo`
        ]
      })
    })
  )

  it.live("memory.high is a limit where it is below memory.max", () =>
    Effect.gen(function* () {
      const service = { ...base, ...unified, "proc/self/cgroup": "0::/app\n" }
      const high = (limit: number | "max", text: string) =>
        read({ ...service, ...limited("/app", 70, 0, limit), "cgroup/app/memory.high": text })
      assert.deepStrictEqual(yield* high(100, `${80 * mebibyte}\n`), [70, 80, "cgroup/app"])
      assert.deepStrictEqual(yield* high("max", `${80 * mebibyte}\n`), [70, 80, "cgroup/app"])
      assert.deepStrictEqual(yield* high(100, `${120 * mebibyte}\n`), [70, 100, "cgroup/app"])
      assert.deepStrictEqual(yield* high(100, "max\n"), [70, 100, "cgroup/app"])
    })
  )

  it.live("of nested limits the fullest counts, whoever filled it", () =>
    Effect.gen(function* () {
      const service = { ...base, ...unified, "proc/self/cgroup": "0::/a.slice/a-b.slice/app.service\n" }
      const parent = {
        ...service,
        ...limited("/a.slice", 190, 0, 200),
        ...limited("/a.slice/a-b.slice", 60, 0, "max"),
        ...limited("/a.slice/a-b.slice/app.service", 50, 0, 100)
      }
      assert.deepStrictEqual(yield* read(parent), [190, 200, "cgroup/a.slice"])
      const own = { ...parent, ...limited("/a.slice/a-b.slice/app.service", 99, 0, 100) }
      assert.deepStrictEqual(yield* read(own), [99, 100, "cgroup/a.slice/a-b.slice/app.service"])
    })
  )

  it.live("version 1, and both at once, where the controller is in version 1", () =>
    Effect.gen(function* () {
      const files = {
        ...base,
        ...hybrid,
        "proc/self/cgroup": [
          "12:cpu,cpuacct:/docker/abc",
          "4:memory:/docker/abc",
          "1:name=systemd:/docker/abc",
          "0::/docker/abc",
          ""
        ].join("\n"),
        ...limitedV1("", 500, 0, unlimitedV1),
        ...limitedV1("/docker", 400, 0, unlimitedV1),
        ...limitedV1("/docker/abc", 130, 50, String(100 * mebibyte)),
        // The same name in the unified hierarchy has nothing to do with it.
        "cgroup/unified/docker/abc/memory.max": `${mebibyte}\n`,
        "cgroup/unified/docker/abc/memory.current": `${mebibyte}\n`
      }
      assert.deepStrictEqual(yield* read(files), [80, 100, "cgroup/memory/docker/abc"])
    })
  )

  it.live("in a container only its own part is mounted, or is all that there is", () =>
    Effect.gen(function* () {
      const mounted = {
        ...base,
        "proc/self/cgroup": "4:memory:/docker/abc\n",
        "proc/self/mountinfo": "29 25 0:25 /docker/abc @/cgroup/memory ro,nosuid master:13 - cgroup cgroup rw,memory\n",
        ...limitedV1("", 80, 0, String(100 * mebibyte))
      }
      assert.deepStrictEqual(yield* read(mounted), [80, 100, "cgroup/memory"])
      const own = { ...base, ...unified, "proc/self/cgroup": "0::/\n", ...limited("", 80, 0, 100) }
      assert.deepStrictEqual(yield* read(own), [80, 100, "cgroup"])
      // Moved out of what its namespace shows: the limits there are not its own.
      const outside = { ...own, "proc/self/cgroup": "0::/../other\n", ...limited("/other", 80, 0, 100) }
      assert.deepStrictEqual(yield* read(outside), [300, 1000, "proc/meminfo"])
      // The same of what is mounted there.
      const above = {
        ...own,
        "proc/self/cgroup": "0::/app\n",
        "proc/self/mountinfo": "30 22 0:26 /../.. @/cgroup rw - cgroup2 cgroup2 rw\n",
        ...limited("/app", 80, 0, 100)
      }
      assert.deepStrictEqual(yield* read(above), [300, 1000, "proc/meminfo"])
    })
  )

  it.live("names with spaces, and files that are missing or strange", () =>
    Effect.gen(function* () {
      const spaced = {
        ...base,
        "proc/self/cgroup": "0::/my app\n",
        "proc/self/mountinfo": "30 22 0:26 / @/cgroup\\040two rw - cgroup2 cgroup2 rw\n",
        "cgroup two/my app/memory.max": `${100 * mebibyte}\n`,
        "cgroup two/my app/memory.current": `${80 * mebibyte}\n`
      }
      assert.deepStrictEqual(yield* read(spaced), [80, 100, "cgroup two/my app"])
      const service = { ...base, ...unified, "proc/self/cgroup": "nonsense\n0::/app\n" }
      for (const strange of ["", "0", "-1", "lots", "1e3"]) {
        const files = { ...service, ...limited("/app", 80, 0, "max"), "cgroup/app/memory.max": strange }
        assert.deepStrictEqual(yield* read(files), [300, 1000, "proc/meminfo"], strange)
      }
      for (const text of ["", "MemTotal: 1000 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "\0\0"]) {
        const { seenBy } = yield* machine({ "proc/meminfo": text })
        assert.strictEqual((yield* seenBy(probing()).check)._tag, "Inconclusive", JSON.stringify(text))
      }
      const { folder, seenBy } = yield* machine({})
      assert.deepStrictEqual(
        yield* seenBy(probing()).check,
        Verdict.inconclusive(`looking at the memory needs Linux's /proc; nothing tells of it in ${folder}/proc`)
      )
    })
  )

  it.live("whatever the files say, it is a verdict", () =>
    Effect.gen(function* () {
      const { seenBy, write } = yield* machine({})
      const good = {
        ...base,
        ...unified,
        "proc/self/cgroup": "0::/app\n",
        ...limited("/app", 50, 10, 100),
        "cgroup/app/memory.pressure": pressure("10.00", "1.00")
      }
      const probe = seenBy(probing({ pressure: { some: 0.5, full: 0.5 } }))
      let seed = 1
      const random = (below: number) => {
        seed = (seed * 48_271) % 2_147_483_647
        return seed % below
      }
      const found = new Set<string>()
      for (let round = 0; round < 200; round += 1) {
        write(good)
        for (const [name, text] of Object.entries(good)) {
          if (random(3) > 0) continue
          const [from, length] = [random(text.length + 1), random(20)]
          const noise =
            ["", "\0", "-", " 9999999999999999999999 ", "\n\n", ":", "max", "/../", "\u{1f600}"][random(9)] ?? ""
          write({ [name]: text.slice(0, from) + noise + text.slice(from + length) })
        }
        found.add((yield* probe.check)._tag)
      }
      assert.isTrue(found.has("Healthy") && found.has("Inconclusive"), [...found].join())
    })
  )

  it.live("degradedAt and unhealthyAt: 0.85 and 0.94 unless told", () =>
    Effect.gen(function* () {
      const { folder, seenBy, write } = yield* machine(base)
      const at = Effect.fnUntraced(function* (used: number, options: Partial<MemoryProbe.MemoryProbeOptions> = {}) {
        write({ "proc/meminfo": meminfo(used) })
        const verdict = yield* seenBy(probing(options)).check
        return "signature" in verdict ? `${verdict._tag} ${verdict.signature._tag}` : verdict._tag
      })
      assert.strictEqual(yield* at(850), "Healthy")
      assert.strictEqual(yield* at(860), "Degraded Memory/High")
      assert.strictEqual(yield* at(940), "Degraded Memory/High")
      assert.strictEqual(yield* at(950), "Unhealthy Memory/Critical")
      assert.strictEqual(yield* at(600, { degradedAt: 0.5 }), "Degraded Memory/High")
      assert.strictEqual(yield* at(600, { degradedAt: 0.5, unhealthyAt: 0.55 }), "Unhealthy Memory/Critical")
      write({ "proc/meminfo": meminfo(900) })
      const source = `${folder}/proc/meminfo`
      const high = { used: 900 * mebibyte, limit: 1000 * mebibyte, share: 0.9, source }
      assert.deepStrictEqual(
        yield* seenBy(probing()).check,
        Verdict.degraded(new MemoryProbe.High(high), [`900 MiB of 1000 MiB in use (90.0 %), says ${source}`])
      )
    })
  )

  it.live("pressure: of the machine, or of the cgroup that is looked at", () =>
    Effect.gen(function* () {
      const { folder, seenBy, write } = yield* machine({ ...base, "proc/pressure/memory": pressure("25.00", "4.50") })
      const found = (limit: MemoryProbe.PressureLimit) => seenBy(probing({ pressure: limit })).check
      const source = `${folder}/proc/pressure/memory`
      assert.deepStrictEqual(
        yield* found({ some: 0.2 }),
        Verdict.degraded(new MemoryProbe.Pressure({ kind: "some", window: "avg10", share: 0.25, limit: 0.2, source }), [
          "some tasks waited for memory 25.0 % of the time (avg10)",
          `300 MiB of 1000 MiB in use (30.0 %), says ${folder}/proc/meminfo`
        ])
      )
      assert.deepInclude(signatureOf(yield* found({ some: 0.2, full: 0.04 })), { kind: "full", share: 0.045 })
      assert.deepStrictEqual(yield* found({ some: 0.25 }), Verdict.healthy)
      assert.deepStrictEqual(yield* found({ some: 0.2, window: "avg60" }), Verdict.healthy)
      assert.deepInclude(signatureOf(yield* found({ some: 0.002, window: "avg300" })), { share: 0.0025 })
      // A cgroup that is limited has its own.
      write({ ...unified, "proc/self/cgroup": "0::/app\n", ...limited("/app", 10, 0, 100) })
      assert.strictEqual((yield* found({ some: 0.2 }))._tag, "Inconclusive")
      write({ "cgroup/app/memory.pressure": pressure("30.00", "0.00") })
      // What is known to be bad beats what is not known.
      const half = "some avg10=30.00 avg60=0.00 avg300=0.00 total=1\n"
      write({ "cgroup/app/memory.pressure": half })
      assert.strictEqual((yield* found({ some: 0.5, full: 0.5 }))._tag, "Inconclusive")
      assert.deepInclude(signatureOf(yield* found({ some: 0.2, full: 0.5 })), {
        share: 0.3,
        source: `${folder}/cgroup/app/memory.pressure`
      })
      // A kernel without it cannot hide what is worse.
      write({ "cgroup/app/memory.pressure": "", ...limited("/app", 99, 0, 100) })
      assert.strictEqual(signatureOf(yield* found({ some: 0.2 }))._tag, "Memory/Critical")
    })
  )

  it("has the signatures that its options can find, in its type and at run time", () => {
    const plain = MemoryProbe.make({ name: "memory" })
    expectTypeOf(plain).toEqualTypeOf<Probe.Probe<MemoryProbe.High | MemoryProbe.Critical>>()
    assert.deepStrictEqual(tagsOf(plain), ["Memory/High", "Memory/Critical"])
    const pressed = MemoryProbe.make({ name: "memory", pressure: { some: 0.2 } })
    expectTypeOf(pressed).toEqualTypeOf<Probe.Probe<MemoryProbe.High | MemoryProbe.Critical | MemoryProbe.Pressure>>()
    assert.deepStrictEqual(tagsOf(pressed), ["Memory/High", "Memory/Critical", "Memory/Pressure"])
  })

  it("says what it examines; equal options ask the same", () => {
    assert.deepInclude(probing(), { target: "host://memory", reach: "host", duringStartup: "judged" })
    const asks = (options: Partial<MemoryProbe.MemoryProbeOptions>) => Probe.question(probing(options))
    assert.isTrue(Equal.equals(asks({ pressure: { some: 0.2 } }), asks({ pressure: { some: 0.2 }, degradedAt: 0.85 })))
    assert.isFalse(Equal.equals(asks({}), asks({ unhealthyAt: 0.95 })))
  })

  it("refuses options that cannot work, and names them", () => {
    const empty = {}
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ degradedAt: 0 }, "degradedAt", 0],
      [{ degradedAt: 85 }, "degradedAt", 85],
      [{ degradedAt: NaN }, "degradedAt", NaN],
      [{ degradedAt: 0.94 }, "degradedAt", 0.94],
      [{ unhealthyAt: 1.1 }, "unhealthyAt", 1.1],
      [{ degradedAt: 0.9, unhealthyAt: 0.8 }, "degradedAt", 0.9],
      [{ pressure: empty }, "pressure", empty],
      [{ pressure: { some: 20 } }, "pressure.some", 20],
      [{ pressure: { full: 0 } }, "pressure.full", 0],
      [{ pressure: { some: 0.1, window: "avg5" } }, "pressure.window", "avg5"],
      [{ pressure: { any: 1 } }, "pressure.any", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => MemoryProbe.make({ name: "memory", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["MemoryProbe", option, value])
    }
  })
})

describe.skipIf(process.platform !== "linux")("MemoryProbe on this machine", () => {
  it.live("without a descriptor left, this process has the fault; the limits are not taken for none", () =>
    Effect.gen(function* () {
      const said = yield* withoutDescriptors(
        `
        import * as LoadProbe from "./src/LoadProbe.ts"
        import * as MemoryProbe from "./src/MemoryProbe.ts"
        const probes = [MemoryProbe.make({ name: "memory" }), LoadProbe.make({ name: "load" })]`,
        "probes.map(({ check }) => check)"
      )
      assert.deepStrictEqual(said, [
        Verdict.inconclusive("looking at the memory: this process has too many files open (EMFILE)"),
        Verdict.inconclusive("looking at the load: this process has too many files open (EMFILE)")
      ])
    })
  )

  it.live("finds memory in use", () =>
    Effect.gen(function* () {
      const found = signatureOf(yield* probing(telling).check)
      assert.isTrue("used" in found && found.used > 10 * mebibyte && found.used < found.limit, JSON.stringify(found))
    })
  )

  it.live("finds the limit of a real cgroup", () =>
    Effect.gen(function* () {
      const limit = 300 * mebibyte
      const ran = yield* inCgroup(
        "memory",
        { 1: ["memory.limit_in_bytes", String(limit)], 2: ["memory.max", String(limit)] },
        `
        import { memoryUses } from "./src/internal/memoryUse.ts"
        console.log(JSON.stringify(memoryUses("/proc")))`
      )
      if (ran === undefined) return
      const found: ReadonlyArray<MemoryUse> = JSON.parse(ran.said)
      assert.include(
        found.map((use) => `${use.limit} ${use.source}`),
        `${limit} ${ran.folder}`
      )
    })
  )
})

const filled = (used: number) => machine({ ...base, "proc/meminfo": meminfo(used) })

probeContract<MemoryProbe.Found<MemoryProbe.MemoryProbeOptions>>("MemoryProbe", {
  situations: {
    Healthy: Effect.map(filled(300), ({ seenBy }) => seenBy(probing())),
    "Memory/High": Effect.map(filled(900), ({ seenBy }) => seenBy(probing())),
    "Memory/Critical": Effect.map(filled(990), ({ seenBy }) => seenBy(probing())),
    "Memory/Pressure": Effect.map(
      machine({ ...base, "proc/pressure/memory": pressure("25.00", "0.00") }),
      ({ seenBy }) => seenBy(probing({ pressure: { some: 0.2 } }))
    ),
    Inconclusive: Effect.map(machine({}), ({ seenBy }) => seenBy(probing()))
  }
})
