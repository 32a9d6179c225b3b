import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import * as Machine from "../src/internal/circuit.ts"

const base: Machine.Settings = {
  consecutive: undefined,
  rate: undefined,
  slow: undefined,
  open: { delay: (attempt) => 512 * 2 ** Math.min(attempt, 3) },
  maxRetryAfter: 4096,
  resetAfter: 8192,
  trials: { calls: 1, successes: 1, lease: 640 },
  ramp: undefined
}

/** Shares of the ramp are exact in binary, so that the model may add them in another order. */
const variants: ReadonlyArray<Machine.Settings> = [
  { ...base, consecutive: { failures: 3, within: 640 } },
  { ...base, rate: { threshold: 0.5, minimumCalls: 4, window: 1280 } },
  {
    ...base,
    slow: { threshold: 0.5, minimumCalls: 3, window: 640, after: 1 },
    trials: { calls: 3, successes: 2, lease: 320 }
  },
  {
    ...base,
    consecutive: { failures: 4, within: 6400 },
    rate: { threshold: 0.75, minimumCalls: 2, window: 640 },
    slow: { threshold: 0.75, minimumCalls: 4, window: 1280, after: 1 },
    ramp: { duration: 1024, from: 0.5 },
    trials: { calls: 2, successes: 1, lease: 640 }
  }
]

interface Call {
  readonly id: number
  readonly epoch: number
  /** When its lease ends, for a trial. */
  readonly lease: number | undefined
}

const reached = (share: Machine.Share, bad: number, of: number) =>
  bad > 0 && of >= share.minimumCalls && bad / of >= share.threshold

const number = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

/** The breaker told from whole lists, with no ring, no counter and no ticket of its own. */
class Model {
  phase: "Closed" | "Open" | "HalfOpen" | "Isolated" = "Closed"
  trips = 0
  private epoch = 0
  private since = 0
  private until = 0
  private ramping = false
  private shares: Array<number> = []
  private passed = 0
  private outcomes: Array<{ readonly at: number; readonly bad: boolean; readonly slow: boolean }> = []
  private trials: Array<Call> = []
  private results: Array<boolean> = []
  private ids = 0
  private readonly settings: Machine.Settings
  constructor(settings: Machine.Settings) {
    this.settings = settings
  }
  private enter(phase: Model["phase"], now: number) {
    this.phase = phase
    this.epoch++
    this.since = now
    this.outcomes = []
    this.trials = []
    this.results = []
    this.shares = []
    this.passed = 0
    this.ramping = false
  }
  admit(now: number): Call | undefined {
    const { ramp, trials } = this.settings
    const call = { id: this.ids++, epoch: this.epoch, lease: undefined }
    if (this.phase === "Isolated") return undefined
    if (this.phase === "Closed") {
      if (!this.ramping || ramp === undefined || now - this.since >= ramp.duration) return call
      this.shares.push(ramp.from + (1 - ramp.from) * ((now - this.since) / ramp.duration))
      const due = this.shares.reduce((sum, share) => sum + share, 0)
      if (due < this.passed) return undefined
      this.passed++
      return call
    }
    if (this.phase === "Open") {
      if (now < this.until) return undefined
      this.enter("HalfOpen", now)
    }
    const running = this.trials.filter((trial) => now < (trial.lease ?? 0))
    if (this.results.length + running.length >= trials.calls) return undefined
    const trial = { ...call, epoch: this.epoch, lease: now + trials.lease }
    this.trials.push(trial)
    return trial
  }
  end(call: Call, outcome: "success" | "failure" | "ignored", slow: boolean, now: number, atLeast: number) {
    if (call.epoch !== this.epoch) return
    if (call.lease !== undefined) {
      this.trials = this.trials.filter((trial) => trial.id !== call.id)
      if (outcome === "ignored" || now >= call.lease) return
      this.results.push(outcome === "success" && !slow)
      const { calls, successes } = this.settings.trials
      const good = this.results.filter(Boolean).length
      if (good >= successes) {
        this.enter("Closed", now)
        this.ramping = this.settings.ramp !== undefined
      } else if (this.results.length - good > calls - successes) this.trip(now, atLeast)
      return
    }
    if (outcome === "ignored") return
    this.outcomes.push({ at: now, bad: outcome === "failure", slow })
    if ((outcome === "failure" || slow) && this.isOver(now)) this.trip(now, atLeast)
  }
  private isOver(now: number): boolean {
    const { consecutive, rate, slow } = this.settings
    const within = (share: Machine.Share) => {
      const width = share.window / 10
      return this.outcomes.filter(({ at }) => Math.floor(at / width) > Math.floor(now / width) - 10)
    }
    if (consecutive !== undefined) {
      const last = this.outcomes.slice(-consecutive.failures)
      const [first] = last
      if (
        first !== undefined &&
        last.length === consecutive.failures &&
        last.every(({ bad }) => bad) &&
        now - first.at <= consecutive.within
      ) {
        return true
      }
    }
    return (
      (rate !== undefined && reached(rate, within(rate).filter(({ bad }) => bad).length, within(rate).length)) ||
      (slow !== undefined && reached(slow, within(slow).filter((one) => one.slow).length, within(slow).length))
    )
  }
  private trip(now: number, atLeast: number) {
    if (this.phase === "Closed" && now - this.since >= this.settings.resetAfter) this.trips = 0
    this.enter("Open", now)
    this.until = now + Math.max(this.settings.open.delay(this.trips, 0), Math.min(atLeast, this.settings.maxRetryAfter))
    this.trips++
  }
  isolate(now: number) {
    if (this.phase !== "Isolated") this.enter("Isolated", now)
  }
  reset(now: number) {
    this.trips = 0
    this.enter("Closed", now)
  }
}

const shown = (phase: Machine.Phase) => (phase === "Ramping" ? "Closed" : phase)

const make = (settings: Machine.Settings) => {
  const moves: Array<string> = []
  const host: Machine.Host = {
    random: () => 0,
    released: () => undefined,
    changed: (circuit, from, why) => moves.push(`${from} > ${circuit.phase}: ${why}`)
  }
  return { circuit: new Machine.Circuit("it", settings, host, 0), moves }
}

describe("the circuit of one key", () => {
  const Commands = Schema.Array(Schema.Tuple([number(15), number(7)])).check(Schema.isMaxLength(200))

  it.effect.prop(
    "does what a model does that remembers everything",
    [Commands, number(variants.length - 1)],
    ([commands, variant]) =>
      Effect.sync(() => {
        const settings = variants[variant] ?? base
        const { circuit } = make(settings)
        const model = new Model(settings)
        const running: Array<readonly [ticket: number, call: Call]> = []
        let now = 0
        for (const [index, [kind, n]] of commands.entries()) {
          const where = `after command ${index} of ${JSON.stringify(commands)}, variant ${variant}`
          if (kind < 5) {
            const ticket = circuit.admit(now)
            const call = model.admit(now)
            assert.strictEqual(ticket !== Machine.refused, call !== undefined, where)
            if (call !== undefined) running.push([ticket, call])
          } else if (kind < 12) {
            const [[ticket, call] = []] = running.splice(n % Math.max(1, running.length), 1)
            if (ticket === undefined || call === undefined) continue
            const slow = settings.slow !== undefined && n % 3 === 0
            const atLeast = n === 7 ? 6000 : 0
            if (kind < 7) circuit.succeed(ticket, now, slow)
            else if (kind < 11) circuit.fail(ticket, now, slow, atLeast)
            else circuit.release(ticket)
            model.end(call, kind < 7 ? "success" : kind < 11 ? "failure" : "ignored", slow, now, atLeast)
          } else if (kind < 15) now += [64, 64, 128, 256, 512, 640, 1280, 8192][n] ?? 0
          else if (n === 0) {
            circuit.isolate(now)
            model.isolate(now)
          } else if (n < 3) {
            circuit.reset(now)
            model.reset(now)
          }
          assert.deepStrictEqual([shown(circuit.phase), circuit.trips], [model.phase, model.trips], where)
        }
      }),
    { arbitrary: { runs: 600, size: 200 } }
  )

  it("admits in the ramp exactly its share, evenly, of callers that come together", () => {
    const { circuit } = make({ ...base, consecutive: { failures: 1, within: 1 }, ramp: { duration: 1000, from: 0.1 } })
    circuit.fail(circuit.admit(0), 0, false, 0)
    circuit.succeed(circuit.admit(512), 512)
    assert.strictEqual(circuit.phase, "Ramping")
    const passed = (now: number) =>
      Array.from({ length: 1000 }, () => circuit.admit(now) !== Machine.refused).filter(Boolean).length
    assert.approximately(passed(512), 100, 1)
    assert.approximately(passed(1012), 550, 1)
    assert.strictEqual(passed(1512), 1000)
    assert.strictEqual(circuit.phase, "Closed")
  })

  it("says each move and why", () => {
    const { circuit, moves } = make({ ...base, rate: { threshold: 1, minimumCalls: 1, window: 1000 } })
    circuit.fail(circuit.admit(0), 0, false, 0)
    circuit.fail(circuit.admit(600), 600, false, 0)
    circuit.succeed(circuit.admit(2000), 2000)
    circuit.isolate(2001)
    circuit.isolate(2002)
    circuit.reset(2003)
    assert.deepStrictEqual(moves, [
      "Closed > Open: failure rate",
      "Open > HalfOpen: open time over",
      "HalfOpen > Open: trial",
      "Open > HalfOpen: open time over",
      "HalfOpen > Closed: trial",
      "Closed > Isolated: isolated",
      "Isolated > Closed: reset"
    ])
  })

  it("a backoff whose delay is no number keeps nothing open for ever", () => {
    const { circuit } = make({ ...base, consecutive: { failures: 1, within: 1 }, open: { delay: () => Number.NaN } })
    circuit.fail(circuit.admit(0), 0, false, 0)
    assert.strictEqual(circuit.phase, "Open")
    assert.notStrictEqual(circuit.admit(0), Machine.refused)
  })
})
