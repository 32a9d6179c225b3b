import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

import * as Metrics from "../src/internal/metrics.ts"

/** The series of a supervisor, as `name{labels}` and value; those of the other tests are not in its registry. */
const series = Effect.map(Metric.snapshot, (snapshots) =>
  snapshots
    .map(({ attributes, id, state, type }) => {
      const labels = Object.entries(attributes ?? {}).filter(([label]) => label !== "supervisor" && label !== "process")
      const value = "count" in state ? state.count : "value" in state ? state.value : undefined
      return `${id}{${labels.map((label) => label.join("=")).join(",")}} ${type} ${String(value)}`
    })
    .toSorted()
)

const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())

describe("metrics", () => {
  it.effect("each series has its value, and gauges go with the process", () =>
    alone(
      Effect.gen(function* () {
        let used: Metrics.Used = { memory: undefined, cpu: undefined, uptimeSeconds: undefined }
        const metrics = Metrics.make("main", "backend", yield* Effect.context(), () => used)
        metrics.state("Starting")
        metrics.state("Running")
        metrics.restarted("Exited")
        metrics.restarted("MemoryLimit")
        metrics.restarted("Exited")
        assert.include(yield* series, "nexobot_supervisor_memory_bytes{} Gauge 0")
        used = { memory: 5, cpu: 1.5, uptimeSeconds: 60 }
        metrics.logged("written", 100)
        metrics.logged("written", 20)
        metrics.logged("dropped", 0)
        metrics.spawned(0.002)
        assert.deepStrictEqual(yield* series, [
          "nexobot_supervisor_cpu_percent{} Gauge 1.5",
          "nexobot_supervisor_log_bytes{outcome=written} Counter 120",
          "nexobot_supervisor_memory_bytes{} Gauge 5",
          "nexobot_supervisor_restarts{exit=Exited} Counter 2",
          "nexobot_supervisor_restarts{exit=MemoryLimit} Counter 1",
          "nexobot_supervisor_spawn_seconds{} Histogram 1",
          "nexobot_supervisor_state{state=Running} Gauge 1",
          "nexobot_supervisor_state{state=Starting} Gauge 0",
          "nexobot_supervisor_uptime_seconds{} Gauge 60"
        ])
        metrics.close()
        assert.deepStrictEqual(
          (yield* series).map((one) => one.split("{")[0]),
          [
            "nexobot_supervisor_log_bytes",
            "nexobot_supervisor_restarts",
            "nexobot_supervisor_restarts",
            "nexobot_supervisor_spawn_seconds"
          ]
        )
      })
    )
  )

  it.effect("two processes, and two supervisors, have series of their own", () =>
    alone(
      Effect.gen(function* () {
        const context = yield* Effect.context()
        for (const [supervisor, process] of [
          ["a", "x"],
          ["a", "y"],
          ["b", "x"]
        ] as const) {
          const none = { memory: undefined, cpu: undefined, uptimeSeconds: undefined }
          const metrics = Metrics.make(supervisor, process, context, () => none)
          metrics.restarted("Exited")
          metrics.close()
        }
        const snapshots = yield* Metric.snapshot
        assert.deepStrictEqual(
          snapshots.map(({ attributes }) => `${attributes?.["supervisor"]}/${attributes?.["process"]}`).toSorted(),
          ["a/x", "a/y", "b/x"]
        )
      })
    )
  )
})
