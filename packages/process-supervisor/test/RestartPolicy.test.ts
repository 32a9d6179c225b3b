import { assert, describe, it } from "@effect/vitest"
import { OptionError } from "@nexobot/core/Options"
import { Exited, Signaled } from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

import * as RestartPolicy from "../src/RestartPolicy.ts"

const crash = new Exited({ code: 1 })
const briefly = Duration.millis(1)

/** Runs that take `ranFor` each, until the policy gives up or `most` restarts were granted. */
const replay = Effect.fnUntraced(function* (
  policy: RestartPolicy.RestartPolicy,
  ranFor: (run: number) => Duration.Duration,
  most: number
) {
  const driver = yield* RestartPolicy.driver(policy)
  const delays: Array<number> = []
  const restartedAt: Array<number> = []
  let now = 0
  while (restartedAt.length < most) {
    const run = ranFor(restartedAt.length)
    yield* TestClock.adjust(run)
    now += Duration.toMillis(run)
    const decision = yield* driver.decide(crash, run)
    if (decision._tag !== "Restart") return { delays, restartedAt, decision }
    yield* TestClock.adjust(decision.after)
    now += Duration.toMillis(decision.after)
    delays.push(Duration.toMillis(decision.after))
    restartedAt.push(now)
  }
  return { delays, restartedAt, decision: undefined }
})

describe("RestartPolicy", () => {
  it.effect("restarts at once first, then later and later up to a cap, jittered", () =>
    Effect.gen(function* () {
      const { delays } = yield* replay(RestartPolicy.make(), () => briefly, 10)
      assert.strictEqual(delays[0], 0)
      const nominal = [100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000]
      assert.lengthOf(delays, nominal.length + 1)
      for (const [index, expected] of nominal.entries()) {
        assert.isAtLeast(delays[index + 1] ?? 0, expected * 0.8)
        assert.isAtMost(delays[index + 1] ?? Infinity, expected * 1.2)
      }
      assert.notDeepEqual(delays.slice(1), nominal)
    })
  )

  it.effect("gives up a crash loop of 1.1 s by the default intensity", () =>
    Effect.gen(function* () {
      const { decision, restartedAt } = yield* replay(RestartPolicy.make(), () => Duration.millis(1100), 1000)
      assert.deepStrictEqual(decision, { _tag: "GiveUp", reason: "IntensityExceeded" })
      assert.lengthOf(restartedAt, 10)
    })
  )

  it.effect("limit and window change when it gives up", () =>
    Effect.gen(function* () {
      const schedule = Schedule.spaced("1 second")
      const three = RestartPolicy.make({ schedule, intensity: { limit: 3, window: "1 minute" } })
      assert.lengthOf((yield* replay(three, () => briefly, 100)).restartedAt, 3)
      const short = RestartPolicy.make({ schedule, intensity: { limit: 3, window: "2 seconds" } })
      assert.lengthOf((yield* replay(short, () => briefly, 100)).restartedAt, 100)
      const none = RestartPolicy.make({ intensity: { limit: 0, window: "1 second" } })
      assert.lengthOf((yield* replay(none, () => briefly, 100)).restartedAt, 0)
    })
  )

  it.effect("a stable run begins the schedule anew, a shorter one does not", () =>
    Effect.gen(function* () {
      const policy = RestartPolicy.make({
        schedule: Schedule.exponential("1 second"),
        stableAfter: "10 seconds",
        intensity: { limit: 100, window: "1 minute" }
      })
      const runs = [1, 1, 9.999, 1, 10, 1].map(Duration.seconds)
      const { delays } = yield* replay(policy, (run) => runs[run] ?? briefly, runs.length)
      assert.deepStrictEqual(delays, [1000, 2000, 4000, 8000, 1000, 2000])
    })
  )

  it.effect("the end of the schedule is an end of restarts", () =>
    Effect.gen(function* () {
      const { decision, restartedAt } = yield* replay(
        RestartPolicy.make({ schedule: Schedule.recurs(2) }),
        () => briefly,
        100
      )
      assert.deepStrictEqual(decision, { _tag: "GiveUp", reason: "ScheduleEnded" })
      assert.lengthOf(restartedAt, 2)
    })
  )

  it.effect("the schedule sees the exit", () =>
    Effect.gen(function* () {
      const schedule = Schedule.spaced("1 second").pipe(
        Schedule.setInputType<Exited | Signaled>(),
        Schedule.while(({ input }) => Effect.succeed(input._tag === "Signaled"))
      )
      const policy = RestartPolicy.make({ schedule: schedule as never })
      const driver = yield* RestartPolicy.driver(policy)
      const killed = new Signaled({ signal: "SIGKILL", by: "unknown" })
      assert.strictEqual((yield* driver.decide(killed, briefly))._tag, "Restart")
      assert.strictEqual((yield* driver.decide(crash, briefly))._tag, "GiveUp")
    })
  )

  it.effect("restart types", () =>
    Effect.gen(function* () {
      const fine = new Exited({ code: 0 })
      const killed = new Signaled({ signal: "SIGSEGV", by: "unknown" })
      const expected = {
        permanent: ["Restart", "Restart", "Restart"],
        transient: ["Done", "Restart", "Restart"],
        temporary: ["Done", "Done", "Done"]
      } as const
      for (const type of ["permanent", "transient", "temporary"] as const) {
        const driver = yield* RestartPolicy.driver(RestartPolicy.make({ type }))
        const decisions = yield* Effect.forEach([fine, crash, killed], (exit) => driver.decide(exit, briefly))
        assert.deepStrictEqual(
          decisions.map((decision) => decision._tag),
          [...expected[type]]
        )
      }
    })
  )

  it.effect.prop(
    "never more than `limit` restarts fall into any window",
    {
      runs: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 }))),
      delays: Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 }))),
      limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })),
      window: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 }))
    },
    ({ delays, limit, runs, window }) =>
      Effect.gen(function* () {
        const schedule = Schedule.fromStepWithMetadata(
          Effect.succeed((meta: Schedule.InputMetadata<unknown>) =>
            Effect.succeed<[number, Duration.Duration]>([
              meta.attempt,
              Duration.millis(delays[meta.attempt % delays.length] ?? 0)
            ])
          )
        )
        const policy = RestartPolicy.make({ schedule, intensity: { limit, window } })
        const { restartedAt } = yield* replay(policy, (run) => Duration.millis(runs[run] ?? 0), runs.length)
        for (const from of restartedAt) {
          assert.isAtMost(restartedAt.filter((at) => at >= from && at < from + window).length, limit)
        }
      })
  )

  it("refuses what cannot work, naming it", () => {
    const refused: ReadonlyArray<readonly [string, () => unknown]> = [
      ["intensity.limit", () => RestartPolicy.make({ intensity: { limit: -1, window: "1 second" } })],
      ["intensity.window", () => RestartPolicy.make({ intensity: { limit: 1, window: 0 } })],
      ["stableAfter", () => RestartPolicy.make({ stableAfter: "-1 seconds" })],
      ["stableAfter", () => RestartPolicy.make({ stableAfter: Duration.infinity })],
      ["type", () => RestartPolicy.make({ type: "always" as never })],
      ["schedule", () => RestartPolicy.make({ schedule: 5 as never })],
      ["restarts", () => RestartPolicy.make({ restarts: 5 } as never)],
      ["delays.initial", () => RestartPolicy.backoff({ initial: -1 })],
      ["delays.max", () => RestartPolicy.backoff({ initial: "2 seconds", max: "1 second" })],
      ["delays.factor", () => RestartPolicy.backoff({ factor: 0.5 })]
    ]
    for (const [option, attempt] of refused) {
      assert.throws(attempt, OptionError, `"${option}"`)
    }
  })
})
