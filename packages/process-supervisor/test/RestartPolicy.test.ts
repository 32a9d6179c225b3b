import { assert, describe, it } from "@effect/vitest"
import * as Backoff from "@nexobot/core/Backoff"
import { OptionError } from "@nexobot/core/Options"
import { AdoptedUnknown, Exited, MemoryLimit, Signaled } from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

import * as RestartPolicy from "../src/RestartPolicy.ts"

const crash = new Exited({ code: 1 })
const briefly = Duration.millis(1)
const everySecond = Backoff.constant("1 second")
const shrinking: Backoff.Backoff = { delay: (attempt) => (attempt === 0 ? 11_000 : 0) }

/** Runs that take `ranFor` each, until the policy gives up or `most` restarts were granted. */
const replay = (
  policy: RestartPolicy.RestartPolicy,
  ranFor: (run: number) => Duration.Duration,
  most: number,
  seed: (run: number) => number = () => 0.5
) => {
  const delays: Array<number> = []
  const restartedAt: Array<number> = []
  let memory = RestartPolicy.fresh
  let now = 0
  while (restartedAt.length < most) {
    const run = restartedAt.length
    now += Duration.toMillis(ranFor(run))
    const end = { exit: crash, ranFor: ranFor(run), now, seed: seed(run) }
    const { decision, memory: next } = RestartPolicy.decide(policy, memory, end)
    memory = next
    if (decision._tag !== "Restart") return { delays, restartedAt, decision }
    now += Duration.toMillis(decision.after)
    delays.push(Duration.toMillis(decision.after))
    restartedAt.push(now)
  }
  return { delays, restartedAt, decision: undefined }
}

const restartsWith = (limit: number, window: Duration.Input) =>
  replay(RestartPolicy.make({ backoff: everySecond, intensity: { limit, window } }), () => briefly, 100).restartedAt

describe("RestartPolicy", () => {
  it("restarts at once first, then later and later up to a cap, half of it at random", () => {
    const policy = RestartPolicy.make()
    const nominal = [100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000]
    assert.deepStrictEqual(
      replay(
        policy,
        () => briefly,
        10,
        () => 0
      ).delays,
      [0, ...nominal.map((one) => one / 2)]
    )
    const late = replay(
      policy,
      () => briefly,
      10,
      () => 0.999
    ).delays
    for (const [index, expected] of nominal.entries()) assert.closeTo(late[index + 1] ?? 0, expected, expected / 100)
  })

  it("gives up a crash loop of 1.1 s by the default intensity", () => {
    const { decision, restartedAt } = replay(RestartPolicy.make(), () => Duration.millis(1100), 1000)
    assert.deepStrictEqual(decision, { _tag: "GiveUp", reason: "IntensityExceeded" })
    assert.lengthOf(restartedAt, 10)
  })

  it("limit and window change when it gives up", () => {
    assert.lengthOf(restartsWith(3, "1 minute"), 3)
    assert.lengthOf(restartsWith(3, "2 seconds"), 100)
    assert.lengthOf(restartsWith(0, "1 second"), 0)
  })

  it("a stable run begins delays and attempts anew, a shorter one does not", () => {
    const runs = [1, 1, 9.999, 1, 10, 1].map(Duration.seconds)
    const options = {
      backoff: { initial: "1 second", max: "1 hour", jitter: "none" },
      stableAfter: "10 seconds",
      intensity: { limit: 100, window: "1 minute" }
    } as const
    const { delays } = replay(RestartPolicy.make(options), (run) => runs[run] ?? briefly, runs.length)
    assert.deepStrictEqual(delays, [1000, 2000, 4000, 8000, 1000, 2000])
    const twice = RestartPolicy.make({ ...options, attempts: 2 })
    const bounded = replay(twice, (run) => (run === 1 ? Duration.seconds(10) : briefly), 100)
    assert.deepStrictEqual(bounded.decision, { _tag: "GiveUp", reason: "AttemptsExhausted" })
    assert.lengthOf(bounded.restartedAt, 3)
    assert.lengthOf(replay(RestartPolicy.make({ attempts: 0 }), () => briefly, 100).restartedAt, 0)
  })

  it("the window counts restarts, not decisions: a delay beyond it is counted when it is over", () => {
    const policy = RestartPolicy.make({
      backoff: { delay: (attempt) => 5000 - attempt * 1000 },
      intensity: { limit: 2, window: "3 seconds" }
    })
    const { restartedAt } = replay(policy, () => briefly, 5)
    for (const [index, at] of restartedAt.entries()) assert.isAbove((restartedAt[index + 2] ?? Infinity) - at, 3000)
  })

  it("types and normal codes say which exits are an end", () => {
    const exits = [
      new Exited({ code: 0 }),
      crash,
      new Exited({ code: 143 }),
      new Signaled({ signal: "SIGTERM", by: "unknown" }),
      new MemoryLimit({ limit: 1, used: 2 }),
      new AdoptedUnknown({})
    ]
    const decided = (options: RestartPolicy.RestartOptions) =>
      exits.map((exit) => {
        const end = { exit, ranFor: briefly, now: 0, seed: 0 }
        return RestartPolicy.decide(RestartPolicy.make(options), RestartPolicy.fresh, end).decision._tag
      })
    const restarted = exits.map(() => "Restart")
    assert.deepStrictEqual(decided({}), restarted)
    assert.deepStrictEqual(
      decided({ type: "temporary" }),
      exits.map(() => "Done")
    )
    assert.deepStrictEqual(decided({ type: "transient" }), ["Done", ...restarted.slice(1)])
    const [, , ...others] = restarted
    assert.deepStrictEqual(decided({ type: "transient", normalCodes: [1] }), ["Restart", "Done", ...others])
    assert.deepStrictEqual(decided({ normalCodes: [1] }), restarted)
  })

  it("the window counts restarts when they come: delays that shrink do not make room for more", () => {
    const policy = RestartPolicy.make({ backoff: shrinking, intensity: { limit: 2, window: "10 seconds" } })
    let memory = RestartPolicy.fresh
    const decisions = [0, 11_000, 11_000].map((now) => {
      const decided = RestartPolicy.decide(policy, memory, { exit: crash, ranFor: Duration.zero, now, seed: 0 })
      memory = decided.memory
      return decided.decision._tag
    })
    assert.deepStrictEqual(decisions, ["Restart", "Restart", "GiveUp"])
  })

  it("what it returns can be given as options", () => {
    const policy = RestartPolicy.make({ type: "transient", attempts: 3, backoff: everySecond })
    assert.deepStrictEqual(RestartPolicy.make(policy), policy)
  })

  it.prop(
    "never more restarts within a window than allowed, whatever the runs and the seeds",
    {
      limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
      runs: Schema.Array(
        Schema.Struct({
          ranFor: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20_000 })),
          seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99 }))
        })
      )
    },
    ({ limit, runs }) => {
      const policy = RestartPolicy.make({ intensity: { limit, window: "10 seconds" } })
      const { restartedAt } = replay(
        policy,
        (run) => Duration.millis(runs[run]?.ranFor ?? 0),
        runs.length,
        (run) => (runs[run]?.seed ?? 0) / 100
      )
      for (const [index, at] of restartedAt.entries()) {
        const later = restartedAt[index + limit]
        if (later !== undefined) assert.isAtLeast(later - at, 10_000)
      }
    }
  )

  it("refuses what cannot work, naming it", () => {
    const refused: ReadonlyArray<readonly [string, unknown]> = [
      ["type", { type: "always" }],
      ["backoff", { backoff: 5 }],
      ["initial", { backoff: { initial: -1 } }],
      ["attempts", { attempts: -1 }],
      ["attempts", { attempts: 1.5 }],
      ["intensity.limit", { intensity: { limit: -1, window: 1 } }],
      ["intensity.window", { intensity: { limit: 1, window: 0 } }],
      ["intensity.per", { intensity: { limit: 1, window: 1, per: 1 } }],
      ["stableAfter", { stableAfter: "soon" }],
      ["normalCodes", { normalCodes: 0 }],
      ["normalCodes[1]", { normalCodes: [0, 256] }],
      ["schedule", { schedule: 1 }]
    ]
    for (const [option, options] of refused) {
      const attempt = () => RestartPolicy.make(options as never)
      assert.throws(attempt, OptionError, `option "${option}"`)
    }
  })
})
