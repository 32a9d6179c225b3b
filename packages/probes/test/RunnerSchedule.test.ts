/** What holds of the schedule whatever the checks do, and of its parts. */
import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

import * as Agenda from "../src/internal/agenda.ts"
import * as Grid from "../src/internal/grid.ts"
import * as Runner from "../src/Runner.ts"
import { healthy, ill, sick, watchable, type Watchable } from "./watchable.ts"

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
const drawing = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

describe("whatever the checks do", () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it.effect(`no target is checked twice at once, who asks is answered, and nothing stays stuck (${seed})`, () =>
      Effect.gen(function* () {
        const draw = drawing(seed)
        const pick = <A>(...of: readonly [A, ...ReadonlyArray<A>]): A => of[Math.floor(draw() * of.length)] ?? of[0]
        const act = (): Watchable["act"] => {
          const verdict = pick<Watchable["act"]>(
            healthy,
            healthy,
            sick,
            ill,
            Effect.succeed(Verdict.inconclusive("?")),
            Effect.die("bug")
          )
          const pause = pick(0, 0, 5, 200, 900, 4000, Infinity)
          if (pause === 0) return verdict
          const waits = pause === Infinity ? Effect.never : Effect.sleep(pause)
          const held = draw() < 0.2 && pause !== Infinity ? Effect.uninterruptible(waits) : waits
          return Effect.andThen(held, verdict)
        }
        const inFlight = new Map<string, number>()
        const twice: Array<string> = []
        const interval = 1000
        const jitter = pick(0, 0.1, 0.5)
        const subjects = Array.from({ length: 12 }, (_, index) => {
          const target = pick(`t${index}`, `t${index}`, "shared")
          const question = draw() < 0.3 ? pick("a", "b") : undefined
          const self = watchable(`p${index}`, { target, ...(question === undefined ? {} : { question }) })
          self.act = Effect.suspend(() => {
            const now = (inFlight.get(target) ?? 0) + 1
            inFlight.set(target, now)
            if (now > 1) twice.push(target)
            return Effect.ensuring(
              act(),
              Effect.sync(() => inFlight.set(target, now - 1))
            )
          })
          return { self, target }
        })
        const runner = yield* Runner.make({
          watch: subjects.map(({ self }) => ({ probe: self.probe, interval, timeout: 600, fall: 2 })),
          jitter,
          concurrency: 4,
          budget: { cost: 8, per: "4 seconds" }
        })
        const seen: Array<Runner.Result> = []
        yield* Effect.forkScoped(
          Stream.runForEach(runner.results, (result) => Effect.sync(() => seen.push(result))),
          { startImmediately: true }
        )
        let asked = 0
        let answered = 0
        for (let second = 0; second < 300; second++) {
          yield* TestClock.adjust(100 + Math.floor(draw() * 1900))
          if (draw() < 0.3) {
            asked += 1
            const answer = Effect.map(runner.check(pick("p0", "p1", "p2")), () => (answered += 1))
            yield* Effect.forkScoped(answer, { startImmediately: true })
          }
        }
        assert.isAbove(asked, 50)
        const total = subjects.reduce((sum, { self }) => sum + self.begun.length, 0)
        assert.isAbove(total, 500)
        assert.deepStrictEqual(twice, [])
        for (const { self } of subjects) assert.isTrue(seen.some(({ name }) => name === self.probe.name))
        for (const { self } of subjects) self.act = healthy
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(answered, asked)
        const states = [...(yield* runner.states).values()]
        // All recover: nothing is stuck in a queue or in flight.
        assert.deepStrictEqual(
          states.filter(({ overdue, status }) => overdue || status !== "Healthy").map(({ name }) => name),
          []
        )
      }).pipe(Effect.provideService(Random.Random, { nextDoubleUnsafe: drawing(seed), nextIntUnsafe: drawing(seed) }))
    )
  }
})

describe("grid", () => {
  it("places: each once, in order, within jitter and slot of where it belongs, for a thousand rounds", () => {
    for (const seed of Array.from({ length: 200 }, (_, index) => index)) {
      const draw = drawing(seed)
      const interval = 10 + draw() * 100_000
      const slot = Math.min(500, interval / 10) * draw() + 0.001
      const grid: Grid.Grid = { interval, slot, jitter: draw() / 2, origin: draw() * interval }
      let place = Grid.placeAfter(grid, 0, undefined)
      for (let round = 0; round < 1000; round++) {
        const time = Grid.timeOf(grid, place, draw())
        const next = Grid.placeAfter(grid, time, place)
        const isNear = Math.abs(time - (grid.origin + place * interval)) <= interval * grid.jitter + slot + 1e-6
        // Two assertions for each of so many would take longer than all the rest.
        if (!isNear || next !== place + 1) assert.fail(`seed ${seed}, place ${place}: ${time}, then ${next}`)
        place = next
      }
    }
  })

  it("what came late leaves out what has passed; what came between waits for half an interval", () => {
    const grid: Grid.Grid = { interval: 1000, slot: 1, jitter: 0.1, origin: 0 }
    assert.strictEqual(Grid.placeAfter(grid, 5900, 5), 6)
    assert.strictEqual(Grid.placeAfter(grid, 9100, 5), 10)
    assert.strictEqual(Grid.placeAfter(grid, 5400, undefined), 6)
    assert.strictEqual(Grid.placeAfter(grid, 5600, undefined), 7)
  })

  it("grids are spread evenly, and few turns wake alone", () => {
    const phases = Array.from({ length: 1000 }, (_, index) => Grid.phase(index, 0.3)).toSorted((a, b) => a - b)
    for (const [index, phase] of phases.entries()) assert.isBelow((phases[index + 1] ?? 1.0001) - phase, 0.003)
    assert.closeTo(Grid.slotOf(Array.from({ length: 10_000 }, () => 5000)), 5, 0.001)
    assert.strictEqual(Grid.slotOf(Array.from({ length: 100 }, () => 5000)), 500)
    assert.strictEqual(Grid.slotOf([1000]), 100)
    assert.strictEqual(Grid.firstTurn(100, 10_000, 5000), 50)
    assert.strictEqual(Grid.firstTurn(100, 1000, 5000), 100)
    assert.strictEqual(Grid.firstTurn(100, 1000, 10), 1)
  })
})

describe("agenda", () => {
  it.effect("does everything once, in order and when it is due, whatever is moved or taken away", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const agenda = Agenda.make(yield* Effect.context(), clock)
      const draw = drawing(7)
      const done: Array<{ readonly index: number; readonly at: number }> = []
      const due = new Map<number, number>()
      const entries = Array.from({ length: 500 }, (_, index) =>
        Agenda.entry(() => {
          done.push({ index, at: agenda.now() })
          assert.strictEqual(entries[index]?.index, -1)
        })
      )
      for (let step = 0; step < 5000; step++) {
        const index = Math.floor(draw() * entries.length)
        const one = entries[index]
        if (one === undefined) continue
        if (draw() < 0.3) {
          agenda.clear(one)
          due.delete(index)
        } else {
          const at = Math.floor(draw() * 10_000)
          agenda.set(one, at)
          due.set(index, at)
        }
      }
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual(done.length, due.size)
      for (const { at, index } of done) assert.isAtMost(Math.abs(at - (due.get(index) ?? 0)), 30)
      const first = entries[0] ?? Agenda.entry(() => {})
      agenda.set(first, agenda.now() + 100)
      agenda.reset()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(done.length, due.size)
      agenda.set(first, agenda.now())
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(done.length, due.size + 1)
    })
  )

  it.effect("keeps to the monotonic clock, whatever the wall clock does", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const stopped: Clock.Clock = {
        currentTimeMillisUnsafe: () => 0,
        currentTimeMillis: Effect.succeed(0),
        currentTimeNanosUnsafe: () => 0n,
        currentTimeNanos: Effect.succeed(0n),
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      const agenda = Agenda.make(yield* Effect.context(), stopped)
      const done: Array<number> = []
      const every = Agenda.entry(() => {
        done.push(agenda.now())
        agenda.set(every, agenda.now() + 1000)
      })
      const start = agenda.now()
      agenda.set(every, start + 1000)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(
        done.map((at) => at - start),
        [1000, 2000, 3000]
      )
    })
  )

  it.effect("what throws is logged, and stops nothing else", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ cause }) => logged.push(Cause.pretty(cause)))
      yield* Effect.gen(function* () {
        const agenda = Agenda.make(yield* Effect.context(), yield* Clock.Clock)
        const done: Array<number> = []
        for (const at of [1, 2, 3]) {
          const turn = Agenda.entry(() => {
            done.push(at)
            if (at === 2) throw new Error("it is broken")
          })
          agenda.set(turn, at)
        }
        yield* TestClock.adjust("10 millis")
        assert.deepStrictEqual(done, [1, 2, 3])
        const later = Agenda.entry(() => done.push(4))
        agenda.set(later, agenda.now() + 5)
        yield* TestClock.adjust("10 millis")
        assert.deepStrictEqual(done, [1, 2, 3, 4])
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.strictEqual(logged.length, 1)
      assert.include(logged[0], "it is broken")
    })
  )

  it.effect("many at once are done in turns", () =>
    Effect.gen(function* () {
      const agenda = Agenda.make(yield* Effect.context(), yield* Clock.Clock)
      let done = 0
      for (let index = 0; index < 1000; index++)
        agenda.set(
          Agenda.entry(() => (done += 1)),
          10
        )
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(done, 100)
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(done, 1000)
    })
  )
})
