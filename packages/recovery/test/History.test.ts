import { assert, describe, it } from "@effect/vitest"
import { History, type Journal } from "@nexobot/recovery"

const opened = (tag: string): Journal.JournalEntry => ({
  _tag: "Opened",
  probe: "probe",
  signature: { _tag: tag },
  evidence: [],
  diagnosis: `rule: ${tag}`,
  degraded: false
})
const intent = (rung: string): Journal.JournalEntry => ({
  _tag: "Intent",
  rung,
  index: 0,
  tag: "T",
  attempt: 1,
  fence: 1
})
const resolved = (took: number, by?: string): Journal.JournalEntry => ({
  _tag: "Resolved",
  took,
  ...(by === undefined ? {} : { by })
})
let seq = 0
const fold = (records: ReadonlyArray<readonly [component: string, entry: Journal.JournalEntry]>) =>
  records
    .map(([component, entry]): Journal.JournalRecord => ({
      v: 1,
      seq: ++seq,
      at: "2026-01-01T00:00:00.000Z",
      component,
      entry
    }))
    .reduce(History.next, History.empty)

describe("History", () => {
  it("nothing happened: every figure is defined", () => {
    assert.deepStrictEqual(History.statistics(History.empty), {
      totalRecoveries: 0,
      successRate: 0,
      avgRecoveryTime: 0,
      mostCommonError: "",
      mostProblematicComponent: ""
    })
  })

  it("has the five figures of healed and escalated incidents", () => {
    const history = fold([
      ["gateway", opened("Http/Timeout")],
      ["gateway", intent("restart")],
      ["gateway", { _tag: "Applied", rung: "restart" }],
      ["gateway", resolved(2000, "restart")],
      ["gateway", opened("Http/Timeout")],
      ["gateway", intent("restart")],
      ["gateway", { _tag: "Failed", rung: "restart", why: "it broke" }],
      ["gateway", intent("reinstall")],
      ["gateway", { _tag: "Applied", rung: "reinstall" }],
      ["gateway", resolved(6000, "reinstall")],
      ["redis", opened("Tcp/Unreachable")],
      ["redis", { _tag: "Escalated", reason: "no rung" }],
      ["redis", resolved(9000)]
    ])
    assert.deepStrictEqual(History.statistics(history), {
      totalRecoveries: 3,
      successRate: 2 / 3,
      avgRecoveryTime: 4,
      mostCommonError: "Http/Timeout",
      mostProblematicComponent: "gateway"
    })
    assert.deepStrictEqual(
      history.log.map(({ action, component, success }) => [component, action, success]),
      [
        ["gateway", "restart", true],
        ["gateway", "restart: it broke", false],
        ["gateway", "reinstall", true],
        ["redis", "escalate: no rung", false],
        ["redis", "none: healthy again", true]
      ]
    )
    assert.deepInclude(history.log[0], { error: "Http/Timeout", diagnosis: "rule: Http/Timeout" })
  })

  it("a rung that no probe confirmed is logged as not verified", () => {
    const { log } = fold([
      ["a", opened("T")],
      ["a", intent("first")],
      ["a", { _tag: "Applied", rung: "first" }],
      ["a", { _tag: "Refused", rung: "second", why: "not now" }],
      ["a", { _tag: "Escalated", reason: "no rung is left" }]
    ])
    assert.deepStrictEqual(
      log.map(({ action, success }) => [action, success]),
      [
        ["first: not verified", false],
        ["second: refused, not now", false],
        ["escalate: no rung is left", false]
      ]
    )
  })

  it("what was only observed is in the log, and counts as error, not as recovery", () => {
    const observed = { ...opened("Process/Restarted"), _tag: "Observed", degraded: true } as Journal.JournalEntry
    const history = fold([
      ["a", observed],
      ["a", { _tag: "Cleared", probe: "probe", tag: "Process/Restarted" }]
    ])
    assert.deepInclude(History.statistics(history), { totalRecoveries: 0, mostCommonError: "Process/Restarted" })
    assert.deepInclude(history.log[0], { action: "observe", success: true })
  })

  it("an incident that a stop on request ended is neither healed nor escalated", () => {
    const history = fold([
      ["a", opened("T")],
      ["a", { _tag: "Withdrawn" }]
    ])
    assert.deepInclude(History.statistics(history), { totalRecoveries: 0, successRate: 0 })
    assert.deepInclude(history.log[0], { action: "none: stopped on request", success: false })
  })

  it("keeps the last 100 entries of the log", () => {
    const history = fold(
      Array.from({ length: 150 }, (_, index) => ["a", { _tag: "Escalated", reason: String(index) }] as const)
    )
    assert.strictEqual(history.log.length, History.logLimit)
    assert.strictEqual(history.log.at(-1)?.action, "escalate: 149")
  })
})
