import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Readiness from "../src/Readiness.ts"
import { refusal } from "./support.ts"

const policy = Readiness.make({ grace: "10 seconds", drain: "5 seconds" })

const answers = (self: Readiness.Readiness, now: number, by = policy) => {
  const live = Readiness.liveness(by, self, now)
  const ready = Readiness.readiness(by, self, now)
  return [live.status, ready.status, ready.body]
}

const started = Readiness.starting(1000)

describe("what the endpoints answer", () => {
  it("starting: alive, not ready", () => {
    assert.deepStrictEqual(answers(started, 1000), [200, 503, "starting"])
    assert.deepStrictEqual(answers(started, 10_999), [200, 503, "starting"])
  })

  it("a start that takes longer than the grace hangs: it should be restarted", () => {
    assert.deepStrictEqual(answers(started, 11_000), [503, 503, "overdue"])
    assert.deepStrictEqual(answers(started, 11_000, Readiness.make({ grace: "1 minute" })), [200, 503, "starting"])
  })

  it("ready: alive and ready, for ever", () => {
    const ready = Readiness.ready(started, 2000)
    assert.deepStrictEqual(answers(ready, 2000), [200, 200, "ready"])
    assert.deepStrictEqual(answers(ready, 1e12), [200, 200, "ready"])
  })

  it("draining: alive, not ready, until it takes too long", () => {
    const draining = Readiness.draining(Readiness.ready(started, 2000), 20_000)
    assert.deepStrictEqual(answers(draining, 20_000), [200, 503, "draining"])
    assert.deepStrictEqual(answers(draining, 24_999), [200, 503, "draining"])
    assert.deepStrictEqual(answers(draining, 25_000), [503, 503, "overdue"])
    assert.deepStrictEqual(answers(draining, 25_000, Readiness.make({ drain: "1 minute" })), [200, 503, "draining"])
  })

  it("stopped: neither", () => {
    assert.deepStrictEqual(answers(Readiness.stopped(started, 2000), 2000), [503, 503, "stopped"])
  })
})

describe("the phases", () => {
  it("a success does not make ready what drains or is stopped", () => {
    const draining = Readiness.draining(started, 2000)
    assert.strictEqual(Readiness.ready(draining, 3000), draining)
    const stopped = Readiness.stopped(draining, 3000)
    assert.strictEqual(Readiness.ready(stopped, 4000), stopped)
  })

  it("asking again to drain buys no time, nor does it wake what is stopped", () => {
    const draining = Readiness.draining(started, 2000)
    assert.strictEqual(Readiness.draining(draining, 3000), draining)
    const stopped = Readiness.stopped(draining, 3000)
    assert.strictEqual(Readiness.draining(stopped, 4000), stopped)
    assert.strictEqual(Readiness.stopped(stopped, 5000), stopped)
  })
})

describe("the excuse", () => {
  it("lasts for the grace, or until the first success", () => {
    assert.strictEqual(Readiness.excuse(policy, started, 10_999), "Starting")
    assert.isUndefined(Readiness.excuse(policy, started, 11_000))
    assert.isUndefined(Readiness.excuse(policy, Readiness.ready(started, 2000), 2000))
  })

  it("lasts for the whole grace, if told", () => {
    const whole = Readiness.make({ grace: "10 seconds", untilSuccess: false })
    const ready = Readiness.ready(started, 2000)
    assert.strictEqual(Readiness.excuse(whole, ready, 10_999), "Starting")
    assert.isUndefined(Readiness.excuse(whole, ready, 11_000))
    // It has worked: it is ready all the same.
    assert.deepStrictEqual(answers(ready, 3000, whole), [200, 200, "ready"])
  })

  it("lasts while it may drain, and for ever once it is stopped", () => {
    const draining = Readiness.draining(started, 20_000)
    assert.strictEqual(Readiness.excuse(policy, draining, 24_999), "Draining")
    assert.isUndefined(Readiness.excuse(policy, draining, 25_000))
    assert.strictEqual(Readiness.excuse(policy, Readiness.stopped(draining, 21_000), 1e12), "Stopped")
  })

  it("is none with a grace of nothing", () => {
    assert.isUndefined(Readiness.excuse(Readiness.make({ grace: 0 }), started, 1000))
  })

  it("is 30 seconds for both unless told", () => {
    assert.deepStrictEqual(Readiness.make(), { grace: 30_000, untilSuccess: true, drain: 30_000 })
  })
})

describe("options", () => {
  const bad: ReadonlyArray<readonly [option: string, options: object]> = [
    ["grace", { grace: -1 }],
    ["grace", { grace: "soon" }],
    ["drain", { drain: Infinity }],
    ["untilSuccess", { untilSuccess: "yes" }],
    ["graceful", { graceful: 1 }]
  ]
  for (const [option, options] of bad) {
    it(`${JSON.stringify(options)} is refused`, () => {
      const error = refusal(() => Readiness.make(options))
      assert.deepStrictEqual([error.module, error.option], ["Readiness", option])
    })
  }
})

const transitions = { ready: Readiness.ready, draining: Readiness.draining, stopped: Readiness.stopped }

const Moves = Schema.Array(
  Schema.Tuple([
    Schema.Literals(["ready", "draining", "stopped"]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9000 }))
  ])
).check(Schema.isMaxLength(12))

it.effect.prop(
  "any history only goes forward, and whatever may work is alive",
  [Moves],
  ([moves]) =>
    Effect.sync(() => {
      const order: ReadonlyArray<Readiness.Phase> = ["Starting", "Ready", "Draining", "Stopped"]
      let self = started
      let now = 1000
      for (const [move, pause] of moves) {
        now += pause
        const before = self
        self = transitions[move](self, now)
        assert.isAtLeast(order.indexOf(self.phase), order.indexOf(before.phase))
        assert.isAtLeast(self.since, before.since)
        const [live, ready] = answers(self, now)
        if (ready === 200) assert.strictEqual(live, 200)
        // Excused, it must not be restarted; nobody restarts what was stopped on request.
        if (self.phase !== "Stopped" && Readiness.excuse(policy, self, now) !== undefined) assert.strictEqual(live, 200)
      }
    }),
  { arbitrary: { runs: 200 } }
)
