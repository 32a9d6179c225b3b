import { assert, describe, it } from "@effect/vitest"
import type { ProcessSample } from "@nexobot/core/ProcessTable"
import * as Schema from "effect/Schema"

import * as Family from "../src/internal/sampler/family.ts"
import * as Load from "../src/internal/sampler/load.ts"
import * as Sustained from "../src/internal/sustained.ts"
import { sample } from "./samplerSupport.ts"

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const family = (...members: ReadonlyArray<ProcessSample>): Family.Family =>
  new Map(members.map((one) => [one.pid, one]))

describe("Family", () => {
  // Numbers that no test runner has.
  const first = 5_000_000
  const process = Schema.Struct({ parent: whole(0, 14), group: whole(0, 14), session: whole(0, 14) })

  it.prop("assigns whom a search from the root finds, and nobody else", [Schema.Array(process)], ([shapes]) => {
    const pid = (index: number) => first + (index % Math.max(1, shapes.length))
    const all = shapes.map(({ group, parent, session }, index) =>
      sample(first + index, {
        // The first two are roots: they lead what is theirs, and nobody of us is their parent.
        parent: index < 2 ? 1 : pid(parent),
        group: index < 2 ? first + index : pid(group),
        session: index < 2 ? first + index : pid(session)
      })
    )
    const roots = new Map([first, first + 1].map((root) => [root, root]))
    const owners = new Map(roots)
    Family.assign(owners, roots, family(...all))

    const reach = (root: number) => {
      const found = new Set([root])
      for (const member of found) {
        for (const one of all) {
          if (roots.has(one.pid)) continue
          if (one.parent === member || one.group === root || one.session === root) found.add(one.pid)
        }
      }
      return found
    }
    const [a, b] = [reach(first), reach(first + 1)]
    for (const { pid: one } of all) {
      const owner = owners.get(one)
      // With circles and shared groups somebody may be of both: then one of them has him.
      if (a.has(one) && b.has(one)) assert.isDefined(owner)
      else assert.strictEqual(owner, a.has(one) ? first : b.has(one) ? first + 1 : undefined)
    }
  })

  it("keeps only those who are still the same", () => {
    const before = family(sample(5), sample(6), sample(7))
    const after = Family.survivors(before, family(sample(5, { cpu: 9 }), sample(6, { startTime: 99 }), sample(8)))
    assert.deepStrictEqual([...after.values()], [sample(5, { cpu: 9 })])
  })

  it("counts the time of a member that ended once, whoever has it now", () => {
    const before = family(sample(5, { cpu: 100, reaped: 20 }), sample(6, { cpu: 500, reaped: 10 }))
    // It used 30 more before it ended, and its parent got all of it.
    assert.strictEqual(Family.spent(before, family(sample(5, { cpu: 110, reaped: 560 }))), 40)
    // Nobody asked for it: what the others used is certain.
    assert.strictEqual(Family.spent(before, family(sample(5, { cpu: 110, reaped: 20 }))), 10)
    assert.strictEqual(Family.spent(before, family()), 0)
  })
})

describe("Load", () => {
  it("is a mean over a second, in percent of a core", () => {
    const load = Load.make(() => 2000)
    assert.isUndefined(load.add(0, 77))
    assert.isUndefined(load.add(500, 500))
    assert.strictEqual(load.add(1000, 0), 50)
    assert.strictEqual(load.add(1500, 1000), 100)
    assert.strictEqual(load.add(2000, 0), 100)
    assert.strictEqual(load.add(3000, 0), 0)
  })

  it("says nothing of the time in which a machine slept, in either direction", () => {
    const load = Load.make(() => 2000)
    load.add(0, 0)
    assert.strictEqual(load.add(1000, 800), 80)
    assert.strictEqual(load.add(3_601_000, 0), 80)
    assert.strictEqual(load.add(3_601_500, 50_000), 80)
    assert.strictEqual(Load.make(() => 2000).add(5, 5), undefined)
  })

  it.prop(
    "is never negative, nor above what was used",
    [Schema.Array(Schema.Struct({ gap: whole(1, 5000), share: whole(0, 100) }))],
    ([looks]) => {
      const load = Load.make(() => 2000)
      let now = 0
      for (const { gap, share } of looks) {
        now += gap
        const percent = load.add(now, (gap * share) / 100)
        if (percent !== undefined) assert.isTrue(percent >= 0 && percent <= 100.0001, `${percent}`)
      }
    }
  )
})

describe("Sustained", () => {
  const rule: Sustained.Rule = { limit: 100, sustain: 1000, longestGap: 500 }

  /** The times at which it breaches. */
  const run = (looks: ReadonlyArray<readonly [at: number, value: number]>, of = rule) => {
    let state: Sustained.State
    return looks.flatMap(([at, value]) => {
      const step = Sustained.step(of, state, value, at)
      state = step.state
      return step.isBreached ? [at] : []
    })
  }

  it("breaches when it was above for the whole window", () => {
    assert.deepStrictEqual(
      run([
        [0, 101],
        [400, 101],
        [800, 101],
        [1000, 101]
      ]),
      [1000]
    )
    assert.deepStrictEqual(
      run([
        [0, 100],
        [400, 101],
        [800, 101],
        [1200, 101]
      ]),
      []
    )
  })

  it("a dip into the band below the limit goes on counting, but never decides", () => {
    assert.deepStrictEqual(
      run([
        [0, 101],
        [500, 95],
        [1000, 96],
        [1100, 101]
      ]),
      [1100]
    )
  })

  it("a dip below the band begins anew", () => {
    assert.deepStrictEqual(
      run([
        [0, 101],
        [500, 94],
        [600, 101],
        [1100, 101],
        [1599, 101],
        [1600, 101]
      ]),
      [1600]
    )
  })

  it("without a window the first look decides", () => {
    assert.deepStrictEqual(
      run(
        [
          [0, 100],
          [1, 100.1]
        ],
        { ...rule, sustain: 0 }
      ),
      [1]
    )
  })

  it("time in which nobody looked counts only in part", () => {
    assert.deepStrictEqual(
      run([
        [0, 101],
        [60_000, 101],
        [60_499, 101],
        [60_500, 101]
      ]),
      [60_500]
    )
  })

  it("a clock that goes back counts nothing", () => {
    assert.deepStrictEqual(
      run([
        [1000, 101],
        [0, 101],
        [500, 101],
        [999, 101]
      ]),
      []
    )
  })

  it.prop(
    "a breach has a window of looks behind it that are all at least in the band",
    [Schema.Array(Schema.Struct({ gap: whole(0, 700), value: whole(80, 120) }))],
    ([looks]) => {
      let now = 0
      let state: Sustained.State
      let since: number | undefined
      for (const { gap, value } of looks) {
        now += gap
        since = value < 95 ? undefined : (since ?? (value > 100 ? now : undefined))
        const step = Sustained.step(rule, state, value, now)
        state = step.state
        assert.strictEqual(state === undefined, since === undefined)
        if (step.isBreached) assert.isTrue(value > 100 && since !== undefined && now - since >= 1000)
      }
    }
  )
})
