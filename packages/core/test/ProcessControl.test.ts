import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

import type { Lifecycle } from "../src/Component.ts"
import * as ProcessControl from "../src/ProcessControl.ts"

const unused = () => Effect.die("not asked")

const controlling = (status: ProcessControl.ProcessControl["Service"]["status"]) =>
  ProcessControl.ProcessControl.of({
    list: Effect.succeed([]),
    status,
    tree: unused,
    restart: unused,
    stop: unused,
    signal: unused,
    ownership: unused
  })

const lifecycleWith = (status: ProcessControl.ProcessControl["Service"]["status"]) =>
  Effect.provideService(ProcessControl.lifecycle("web"), ProcessControl.ProcessControl, controlling(status))

const being = (state: ProcessControl.ProcessState) => (name: string) =>
  Effect.succeed<ProcessControl.ProcessStatus>({
    name,
    state,
    identity: undefined,
    uptime: undefined,
    restarts: 0,
    lastExit: undefined,
    startedBy: undefined,
    memory: undefined,
    cpu: undefined
  })

describe("ProcessControl.lifecycle", () => {
  const table: Readonly<Record<ProcessControl.ProcessState, Lifecycle>> = {
    Blocked: "Starting",
    Starting: "Starting",
    Waiting: "Starting",
    Stopping: "Stopped",
    Stopped: "Stopped",
    Ended: "Stopped",
    Running: "Running",
    // Its policy gave up: it should be running, so its probes are judged.
    Failed: "Running",
    Skipped: "Running"
  }
  for (const [state, lifecycle] of Object.entries(table)) {
    it.effect(`of a process that is ${state} is ${lifecycle}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* lifecycleWith(being(state as ProcessControl.ProcessState)), lifecycle)
      })
    )
  }

  it.effect("of a process that cannot be asked about is Running: its probes are judged", () =>
    Effect.gen(function* () {
      const reason = new ProcessControl.UnknownProcess({ known: [] })
      const status = () => Effect.fail(new ProcessControl.ProcessControlError({ process: "web", reason }))
      assert.strictEqual(yield* lifecycleWith(status), "Running")
    })
  )
})

describe("ProcessControlError", () => {
  const messages: ReadonlyArray<readonly [ProcessControl.ProcessControlError["reason"], string]> = [
    [new ProcessControl.UnknownProcess({ known: ["api", "db"] }), 'no process named "web"; known are api, db'],
    [new ProcessControl.UnknownProcess({ known: [] }), 'no process named "web"; known are none'],
    [new ProcessControl.NotRunning(), '"web" has no running process'],
    [new ProcessControl.Survivors({ pids: [4, 5] }), '"web" left processes that outlived SIGKILL: 4, 5'],
    [new ProcessControl.Unavailable({ why: "there is no /proc" }), '"web": there is no /proc']
  ]
  const codec = Schema.toCodecJson(ProcessControl.ProcessControlError)
  for (const [reason, message] of messages) {
    it(`says "${message}", also after a journey through JSON`, () => {
      const error = new ProcessControl.ProcessControlError({ process: "web", reason })
      assert.strictEqual(error.message, message)
      const wire: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error)))
      assert.strictEqual(Schema.decodeUnknownSync(codec)(wire).message, message)
    })
  }
})
