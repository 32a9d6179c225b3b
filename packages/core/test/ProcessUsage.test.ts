import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

import { fieldsOf, parseProportional, parseUsage, parseUse } from "../src/internal/processUsage.ts"
import { ProcessTable } from "../src/ProcessTable.ts"
import { child, eventually, idle } from "./support.ts"

/** A line of `/proc/PID/stat` with processor times and a start time, in ticks. */
const stat = (utime: number, stime: number, cutime: number, cstime: number, start: number) =>
  `7 (a ) (b) S 1 7 7 0 -1 4194304 0 0 0 0 ${utime} ${stime} ${cutime} ${cstime} 20 0 1 0 ${start} 0 0 18446744073709551615`

const status =
  "Name:\ta\nVmHWM:\t  99 kB\nVmRSS:\t   12 kB\nvoluntary_ctxt_switches:\t34\nnonvoluntary_ctxt_switches:\t5\n"

const ageAt = (uptime: string) => parseUsage({ stat: stat(0, 0, 0, 0, 500), status, uptime }).age

describe("parseUsage", () => {
  it("reads times in ticks and memory in kilobytes", () => {
    assert.deepStrictEqual(parseUsage({ stat: stat(1, 2, 30, 40, 500), status, uptime: "7.25 3.00\n" }), {
      age: 2250,
      cpu: 30,
      reaped: 700,
      memory: 12_288,
      waits: 34
    })
  })

  it("knows no age where the uptime is not that of the machine", () => {
    assert.strictEqual(ageAt("4.99 0"), 0)
    assert.isUndefined(ageAt("3.99 0"))
    assert.isUndefined(ageAt(""))
  })

  it("a process that has no memory any more has none", () => {
    assert.deepInclude(parseUsage({ stat: stat(0, 0, 0, 0, 0), status: "Name:\ta\n", uptime: "1 1" }), {
      memory: 0,
      waits: 0
    })
  })
})

describe("parseUse", () => {
  it("reads times and pages of a stat alone", () => {
    const used = parseUse(fieldsOf(stat(1, 2, 30, 40, 500).replace(" 0 0 1844", " 0 3 1844")))
    assert.deepInclude(used, { cpu: 30, reaped: 700 })
    // Pages of this machine.
    assert.isTrue([3 * 4096, 3 * 16_384, 3 * 65_536].includes(used.memory))
  })
})

describe("parseProportional", () => {
  it("reads the sum, and nothing like it", () => {
    assert.strictEqual(parseProportional("55d-7ff [rollup]\nRss: 100 kB\nPss_Anon: 5 kB\nPss:    3 kB\n"), 3072)
    assert.isUndefined(parseProportional(""))
  })
})

describe("ProcessTable", () => {
  it.live("reads what a process uses", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const { identity } = yield* child(idle)
      const own = yield* eventually("it is up", table.usage(identity.pid))
      const memory = yield* table.proportionalMemory(identity.pid)
      assert.isAbove(own.memory, 1_000_000)
      assert.isAbove(memory ?? 0, 1_000_000)
      assert.isAtMost(memory ?? Infinity, (yield* eventually("it is up", table.usage(identity.pid))).memory)
      assert.isBelow(own.age ?? Infinity, 60_000)
      const runner = yield* eventually("this process", table.usage(process.pid))
      // Both measure the same, one in ticks.
      const { system, user } = process.cpuUsage()
      assert.isAtMost(runner.cpu, (system + user) / 1000 + 20)
      assert.isAbove(runner.cpu, 0)
    })
  )

  it.live("reads many at once, as one by one, and leaves out who is not there", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const { identity } = yield* child(idle)
      const pids = yield* table.pids
      assert.includeMembers([...pids], [process.pid, identity.pid])
      const samples = yield* table.samples([identity.pid, 2 ** 22 + 1, process.pid])
      assert.deepStrictEqual(
        samples.map(({ pid }) => pid),
        [identity.pid, process.pid]
      )
      const [sample] = samples
      const { state: _, threads: __, ...same } = yield* eventually("it is up", table.stat(identity.pid))
      assert.deepInclude(sample, same)
      assert.isAbove(sample?.memory ?? 0, 1_000_000)
      const usage = yield* eventually("it is up", table.usage(identity.pid))
      assert.isAtMost(sample?.cpu ?? Infinity, usage.cpu)
      // Two files, of which neither is exact, and a process that has just been started.
      assert.isTrue(Math.abs(usage.memory - (sample?.memory ?? 0)) < 0.5 * usage.memory)
    })
  )

  it.live("knows nothing of a process that is not there", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      assert.isUndefined(yield* table.usage(2 ** 22 + 1))
      assert.isUndefined(yield* table.proportionalMemory(2 ** 22 + 1))
    })
  )
})
