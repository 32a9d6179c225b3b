import { assert, describe, it } from "@effect/vitest"
import * as Verdict from "@nexobot/core/Verdict"
import { Loop, Policy } from "@nexobot/recovery"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import { Down, Locked, Slow } from "./fixtures/signatures.ts"

const policy = Policy.make({
  period: 1000,
  fastPeriod: 100,
  slowPeriod: 5000,
  fall: 2,
  rise: 1,
  stable: 500,
  within: 3000,
  attempts: 3,
  resetAfter: 60_000
})
const answers: Record<string, Loop.Answer> = {
  "Test/Locked": { _tag: "Rungs", ids: ["unlock"] },
  "Test/Down": { _tag: "Rungs", ids: ["restart", "reinstall"] },
  "Test/Slow": { _tag: "Observation", reason: "worth knowing" }
}
const definition: Loop.Definition = {
  policy,
  probes: [
    { name: "lock", duringStartup: "judged" },
    { name: "answers", duringStartup: "held" }
  ],
  answer: (tag) => answers[tag] ?? { _tag: "Escalation", reason: "unknown" }
}

const down = Verdict.unhealthy(new Down({ port: 1 }), ["no answer"])
const locked = Verdict.unhealthy(new Locked({ path: "/lock" }))
const slow = Verdict.degraded(new Slow({ millis: 9 }))
const broken = Verdict.inconclusive("broken")
const { healthy } = Verdict

type Verdicts = readonly [Verdict.Verdict<Verdict.Signature>, Verdict.Verdict<Verdict.Signature>]
const checked = (verdicts: Verdicts, more: Partial<Loop.Event & { _tag: "Checked" }> = {}): Loop.Event => ({
  _tag: "Checked",
  lifecycle: "Running",
  verdicts,
  ...more
})

/** Runs events, each `every` milliseconds after the one before. */
const play = (events: ReadonlyArray<Loop.Event>, from = Loop.initial(definition), every = 100) => {
  let state = from
  let now = 0
  const journal: Array<Loop.Entry> = []
  const steps = events.map((event) => {
    const step = Loop.step(definition, state, event, (now += every))
    state = step.state
    journal.push(...step.journal)
    return step
  })
  const last = steps.at(-1)
  if (last === undefined) throw new Error("no events")
  return { state, journal, next: last.next, tags: journal.map((entry) => entry._tag) }
}
const ready: Loop.Event = { _tag: "Ready", fence: 7 }
const applied: Loop.Event = { _tag: "Applied" }
const failed: Loop.Event = { _tag: "Failed", why: "it broke" }
const refused: Loop.Event = { _tag: "Refused", why: "not now" }
const repeat = <A>(times: number, value: A): ReadonlyArray<A> => Array.from({ length: times }, () => value)

describe("Loop", () => {
  it("opens after `fall` bad checks, acts, and resolves only after `stable` good ones", () => {
    assert.deepStrictEqual(play([checked([healthy, down])]).tags, [])
    const opened = play(repeat(2, checked([healthy, down])))
    assert.deepStrictEqual(opened.tags, ["Opened"])
    assert.deepInclude(opened.next, { _tag: "Prepare", rung: 0 })
    const acting = play([ready], opened.state)
    assert.deepStrictEqual(acting.journal, [
      { _tag: "Intent", rung: "restart", index: 0, tag: "Test/Down", attempt: 1, fence: 7 }
    ])
    assert.deepInclude(acting.next, { _tag: "Apply", rung: 0 })
    const verifying = play([applied, ...repeat(5, checked([healthy, healthy]))], acting.state)
    assert.deepStrictEqual(verifying.tags, ["Applied"])
    const done = play([applied, ...repeat(6, checked([healthy, healthy]))], acting.state)
    assert.deepStrictEqual(done.tags, ["Applied", "Resolved"])
    assert.strictEqual(done.state.phase._tag, "Watching")
    assert.strictEqual(done.state.attempts, 1)
  })

  it("treats the cause before the symptom", () => {
    const { journal } = play(repeat(2, checked([locked, down])))
    assert.deepInclude(journal[0], { _tag: "Opened", diagnosis: "rule: lock reports Test/Locked; runbook: unlock" })
  })

  it("holds symptoms while the component starts, and judges causes", () => {
    const starting = { lifecycle: "Starting" } as const
    assert.deepStrictEqual(play(repeat(9, checked([healthy, down], starting))).tags, [])
    assert.deepStrictEqual(play(repeat(2, checked([locked, down], starting))).tags, ["Opened"])
  })

  it("never acts on a broken probe", () => {
    const { state, tags } = play(repeat(50, checked([broken, broken])))
    assert.deepStrictEqual(tags, [])
    assert.strictEqual(state.phase._tag, "Watching")
  })

  it("climbs when a rung fails, with what the probe reports then", () => {
    const opened = play(repeat(2, checked([healthy, down]))).state
    const failing = play([ready, failed], opened)
    assert.deepStrictEqual(failing.tags, ["Intent", "Failed"])
    assert.deepStrictEqual(failing.next, { _tag: "Check", after: policy.fastPeriod })
    const elsewhere = Verdict.unhealthy(new Down({ port: 2 }))
    assert.deepStrictEqual(play([checked([healthy, elsewhere])], failing.state).next, {
      _tag: "Prepare",
      signature: new Down({ port: 2 }),
      rung: 1
    })
    assert.deepStrictEqual(play([checked([healthy, healthy])], failing.state).tags, ["Resolved"])
  })

  it("climbs when a rung's effect does not show within the time", () => {
    const opened = play(repeat(2, checked([healthy, down]))).state
    const late = play([ready, applied, ...repeat(30, checked([healthy, down]))], opened)
    assert.deepStrictEqual(late.tags, ["Intent", "Applied"])
    assert.deepInclude(late.next, { _tag: "Prepare", rung: 1 })
  })

  it("never climbs on what is not known, observed, or over", () => {
    const verifying = play([...repeat(2, checked([healthy, down])), ready, applied]).state
    const watched = Verdict.unhealthy(new Slow({ millis: 1 }))
    const histories: ReadonlyArray<ReadonlyArray<Verdicts>> = [
      repeat(100, [broken, broken]),
      repeat(100, [broken, healthy]),
      [...repeat(28, [healthy, healthy] as const), ...repeat(100, [healthy, broken] as const)],
      repeat(3, [watched, healthy])
    ]
    for (const history of histories) {
      const { next, state } = play(
        history.map((verdicts) => checked(verdicts)),
        verifying
      )
      assert.strictEqual(next._tag, "Check")
      assert.strictEqual(state.attempts, 1)
    }
    const observedOnly = play(repeat(10, checked([watched, healthy])), verifying)
    assert.include(observedOnly.tags, "Resolved")
  })

  it("does not act on a component whose latest check is good, however many it takes to count as healthy", () => {
    const patient: Loop.Definition = { ...definition, policy: { ...policy, health: { fall: 2, rise: 3 } } }
    const run = (events: ReadonlyArray<Loop.Event>) => {
      let state = Loop.initial(patient)
      const steps = events.map((event, index) => {
        const step = Loop.step(patient, state, event, (index + 1) * 100)
        state = step.state
        return step
      })
      return steps.map((step) => step.next._tag)
    }
    const bad = repeat(2, checked([healthy, down]))
    assert.deepStrictEqual(run([...bad, refused, refused, checked([healthy, healthy])]).at(-1), "Check")
    const asked = checked([healthy, healthy], { requested: true })
    const escalated = [...bad, ready, failed, bad[0] ?? asked, ready, failed]
    assert.deepStrictEqual(run([...escalated, asked]).at(-1), "Check")
  })

  it("tells two probes apart that report the same tag", () => {
    const other = Verdict.unhealthy(new Down({ port: 2 }))
    const opened = play(repeat(2, checked([other, down])))
    assert.deepInclude(opened.next, { _tag: "Prepare", signature: other.signature, rung: 0 })
    const healed = play([ready, applied, ...repeat(2, checked([healthy, down]))], opened.state)
    assert.deepStrictEqual(healed.tags, ["Intent", "Applied", "Opened"])
    assert.deepInclude(healed.next, { _tag: "Prepare", signature: down.signature, rung: 0 })
  })

  it("goes on from the same rung after it was blocked", () => {
    const second = play([...repeat(2, checked([healthy, down])), ready, failed, checked([healthy, down])])
    assert.deepInclude(second.next, { _tag: "Prepare", rung: 1 })
    const blocked = play([{ _tag: "Blocked" }, checked([healthy, down])], second.state)
    assert.deepInclude(blocked.next, { _tag: "Prepare", rung: 1 })
    assert.strictEqual(blocked.state.attempts, 1)
  })

  it("waits for a slow boot after a rung, and judges it when the boot is over", () => {
    const verifying = play([...repeat(2, checked([healthy, down])), ready, applied]).state
    const booting = play(repeat(100, checked([healthy, down], { lifecycle: "Starting" })), verifying)
    assert.deepStrictEqual(booting.tags, [])
    assert.strictEqual(booting.state.phase._tag, "Verifying")
    const late = play([checked([healthy, down])], booting.state, 20_000)
    assert.deepInclude(late.next, { _tag: "Prepare", rung: 1 })
    const stuck = play(repeat(40, checked([locked, down], { lifecycle: "Starting" })), verifying)
    assert.deepInclude(stuck.journal[0], { _tag: "Opened" })
  })

  it("escalates once when the ladder ends, watches slowly, and resolves when health comes back", () => {
    const opened = play(repeat(2, checked([healthy, down]))).state
    const escalated = play([ready, failed, checked([healthy, down]), ready, failed], opened)
    assert.deepStrictEqual(escalated.tags, ["Intent", "Failed", "Intent", "Failed", "Escalated"])
    assert.deepStrictEqual(escalated.next, { _tag: "Check", after: policy.slowPeriod })
    const waiting = play(repeat(20, checked([healthy, down])), escalated.state)
    assert.deepStrictEqual(waiting.tags, [])
    assert.deepStrictEqual(play([checked([healthy, healthy])], waiting.state).tags, ["Resolved"])
  })

  it("looks again for a while when every rung was refused, and then escalates", () => {
    const opened = play(repeat(2, checked([healthy, down]))).state
    const again = play([refused, refused], opened)
    assert.deepStrictEqual(again.tags, ["Refused", "Refused"])
    assert.deepStrictEqual(again.next, { _tag: "Check", after: policy.period })
    assert.strictEqual(again.state.attempts, 0)
    const later = play([checked([healthy, down]), refused, refused], again.state, 3000)
    assert.deepStrictEqual(later.tags, ["Refused", "Refused", "Escalated"])
  })

  it("a new signature gets its own ladder, also from an escalation", () => {
    const escalated = play([
      ...repeat(2, checked([healthy, down])),
      ready,
      failed,
      checked([healthy, down]),
      ready,
      failed
    ]).state
    const other = play(repeat(2, checked([locked, down])), escalated)
    assert.deepStrictEqual(other.tags, ["Opened"])
    assert.deepInclude(other.next, { _tag: "Prepare", rung: 0 })
  })

  it("counts attempts before acting and gives them back only after lasting health", () => {
    const cycle = [...repeat(2, checked([healthy, down])), ready, applied, ...repeat(7, checked([healthy, healthy]))]
    const thrice = play([...cycle, ...cycle, ...cycle])
    assert.strictEqual(thrice.state.attempts, 3)
    assert.include(play(repeat(2, checked([healthy, down])), thrice.state).tags, "Escalated")
    const rested = play([checked([healthy, healthy])], thrice.state, 70_000)
    assert.strictEqual(rested.state.attempts, 0)
    assert.deepStrictEqual(rested.tags, ["Stable"])
  })

  it("a request counts the first bad check, and gives an escalated component a new chance", () => {
    const { next, tags } = play([checked([healthy, down], { requested: true })])
    assert.deepStrictEqual(tags, ["Opened"])
    assert.strictEqual(next._tag, "Prepare")
    const tired = { ...Loop.initial(definition), attempts: 2 }
    assert.strictEqual(play([checked([healthy, healthy], { requested: true })], tired).state.attempts, 2)
    const escalated = play([
      ...repeat(2, checked([healthy, down])),
      ready,
      failed,
      checked([healthy, down]),
      ready,
      failed
    ]).state
    const asked = play([checked([healthy, down], { requested: true })], escalated)
    assert.deepStrictEqual(asked.tags, ["Requested"])
    assert.strictEqual(asked.next._tag, "Prepare")
    assert.strictEqual(asked.state.attempts, 0)
  })

  it("leaves a stopped component alone, also in the middle of an incident", () => {
    const opened = play(repeat(2, checked([healthy, down]))).state
    const stopped = play([{ _tag: "Blocked" }, ...repeat(9, checked([down, down], { lifecycle: "Stopped" }))], opened)
    assert.deepStrictEqual(stopped.tags, ["Withdrawn"])
    assert.strictEqual(stopped.state.incident, undefined)
  })

  it("records what is observed once, and that it is over", () => {
    const { tags } = play([checked([healthy, slow]), checked([healthy, slow]), checked([healthy, healthy])])
    assert.deepStrictEqual(tags, ["Observed", "Cleared"])
  })

  it("counts nothing when the intent could not be journalled", () => {
    const blocked = play([...repeat(2, checked([healthy, down])), ready, { _tag: "Blocked" }])
    assert.strictEqual(blocked.state.attempts, 0)
    assert.strictEqual(blocked.next._tag, "Check")
    assert.isFalse(blocked.state.incident?.attempted)
  })

  it("what is observed is over only when a check says so", () => {
    const seen = play([checked([healthy, slow])]).state
    assert.deepStrictEqual(play(repeat(5, checked([healthy, broken])), seen).tags, [])
    assert.deepStrictEqual(play([checked([healthy, healthy])], seen).tags, ["Cleared"])
  })

  const Verdicts = Schema.Literals(["healthy", "down", "locked", "slow", "broken"])
  const verdictOf = { healthy, down, locked, slow, broken } as const
  const History = Schema.Array(
    Schema.Struct({
      first: Verdicts,
      second: Verdicts,
      lifecycle: Schema.Literals(["Running", "Running", "Running", "Starting", "Stopped"]),
      requested: Schema.Literals([false, false, false, false, true]),
      outcome: Schema.Literals(["Applied", "Applied", "Failed", "Refused", "Blocked"])
    })
  )

  it.effect.prop("keeps its invariants through any history", [History], ([history]) =>
    Effect.sync(() => {
      let state = Loop.initial(definition)
      let now = 0
      let intents = 0
      let running = false
      let goodSince: number | undefined
      let next: Loop.Command = { _tag: "Check", after: 0 }
      for (const choice of history) {
        now += next._tag === "Check" ? next.after : 1
        const verdicts = [verdictOf[choice.first], verdictOf[choice.second]] as const
        let event: Loop.Event
        if (next._tag === "Check") {
          const good = verdicts.every((v) => v._tag === "Healthy" || v._tag === "Degraded")
          goodSince = good && choice.lifecycle !== "Stopped" ? (goodSince ?? now) : undefined
          event = checked(verdicts, { lifecycle: choice.lifecycle, requested: choice.requested })
        } else if (next._tag === "Prepare") {
          event =
            choice.outcome === "Refused"
              ? refused
              : choice.outcome === "Blocked"
                ? { _tag: "Blocked" }
                : { _tag: "Ready", fence: now }
        } else {
          event = choice.outcome === "Failed" ? failed : applied
        }
        const before: Loop.State = state
        const step = Loop.step(definition, state, event, now)
        state = step.state
        next = step.next
        for (const entry of step.journal) {
          switch (entry._tag) {
            case "Intent":
              assert.isFalse(running, "one rung at a time")
              assert.strictEqual(entry.attempt, before.attempts + 1)
              assert.isAtMost(entry.attempt, policy.attempts)
              running = true
              intents += 1
              break
            case "Applied":
            case "Failed":
              assert.isTrue(running, `${entry._tag} without an intent`)
              running = false
              goodSince = undefined
              break
            case "Resolved":
              assert.isDefined(before.incident)
              if (entry.by !== undefined) {
                assert.strictEqual(before.phase._tag, "Verifying")
                assert.isAtLeast(now - (goodSince ?? now), policy.stable)
              }
              break
            case "Opened":
              assert.notStrictEqual(choice.lifecycle, "Stopped")
          }
        }
        if (event._tag === "Checked" && next._tag === "Prepare") {
          assert.isTrue(
            verdicts.some((one) => one._tag === "Unhealthy"),
            "acts on what the latest check says"
          )
        }
        // To act is to have journalled the intent in the same step.
        assert.strictEqual(next._tag === "Apply", step.journal.at(-1)?._tag === "Intent")
        assert.strictEqual(state.phase._tag === "Applying", next._tag === "Apply")
        if (state.phase._tag !== "Watching") assert.isDefined(state.incident)
        assert.isAtMost(state.attempts, policy.attempts)
        if (choice.lifecycle === "Stopped" && event._tag === "Checked") assert.strictEqual(next._tag, "Check")
      }
      if (history.every((choice) => choice.first === "broken" && choice.second === "broken")) {
        assert.strictEqual(intents, 0)
      }
    })
  )
})
