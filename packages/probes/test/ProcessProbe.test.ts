import { assert, describe, it } from "@effect/vitest"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import { ProcessTable } from "@nexobot/core/ProcessTable"
import * as Verdict from "@nexobot/core/Verdict"
import { refusal } from "@nexobot/testing/Expect"
import { deceased, idle, reaches, zombie } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import { answering } from "@nexobot/testing/TestProcessTable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import * as ProcessProbe from "../src/ProcessProbe.ts"
import { probeContract } from "./ProbeContract.ts"
import { provided, signal, signatureOf } from "./support.ts"

/** Without those of the other suite, so that the type has what these find. */
type Options = Partial<Pick<ProcessProbe.ProcessProbeOptions, "process" | "settle">>

const probing = (web: TestProcessControl.Entry | (() => TestProcessControl.Entry), options: Options = {}) =>
  provided(
    ProcessProbe.make({ name: "process", process: "web", ...options }),
    TestProcessControl.readOnly({
      get web() {
        return typeof web === "function" ? web() : web
      }
    })
  )

const crash = new ProcessExit.Exited({ code: 1 })

const stopped = Effect.gen(function* () {
  const identity = yield* idle
  yield* signal(identity, "SIGSTOP")
  yield* reaches(identity.pid, "T")
  return identity
})

describe("ProcessProbe", () => {
  it.live("a process that runs is healthy, and so is one that starts", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      assert.deepStrictEqual(yield* probing({ identity }).check, Verdict.healthy)
      assert.deepStrictEqual(yield* probing({ identity, state: "Starting" }).check, Verdict.healthy)
    })
  )

  it.live("SIGSTOP: Stopped, while it starts too; SIGCONT: healthy again", () =>
    Effect.gen(function* () {
      const identity = yield* stopped
      const { pid } = identity
      for (const state of ["Running", "Starting"] as const) {
        assert.deepStrictEqual(
          yield* probing({ identity, state }).check,
          Verdict.unhealthy(new ProcessProbe.Stopped({ process: "web", pid }), [`web (${pid}) is stopped`])
        )
      }
      yield* signal(identity, "SIGCONT")
      yield* reaches(pid, "S")
      assert.deepStrictEqual(yield* probing({ identity }).check, Verdict.healthy)
    })
  )

  it.live("it ended and its supervisor does not notice: Zombie, whether or not the kernel still lists it", () =>
    Effect.gen(function* () {
      for (const identity of [yield* zombie, yield* deceased]) {
        const { pid } = identity
        assert.deepStrictEqual(
          yield* probing({ identity }).check,
          Verdict.unhealthy(new ProcessProbe.Zombie({ process: "web", pid }), [
            `web (${pid}) ended, and nobody has noticed`
          ])
        )
      }
    })
  )

  it.live("a debugger holds it: Stopped", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const table = yield* ProcessTable
      const traced = answering({
        stat: (pid) => Effect.map(table.stat(pid), (stat) => stat && { ...stat, state: "t" })
      })
      const verdict = yield* traced(probing({ identity }).check)
      assert.strictEqual(signatureOf(verdict)._tag, "Process/Stopped")
    })
  )

  it.live("its pid belongs to somebody else by now: Zombie", () =>
    Effect.gen(function* () {
      const stranger = yield* idle
      const identity = { ...stranger, startTime: stranger.startTime - 1 }
      assert.strictEqual(signatureOf(yield* probing({ identity }).check)._tag, "Process/Zombie")
    })
  )

  it.live("it ended a moment ago, and its supervisor notices: no Zombie", () =>
    Effect.gen(function* () {
      const identity = yield* zombie
      let looks = 0
      const noticing = () => {
        looks += 1
        return looks === 1 ? { identity } : { state: "Waiting" as const, lastExit: crash }
      }
      assert.deepStrictEqual(
        yield* probing(noticing).check,
        Verdict.inconclusive("web is waiting; it exited with code 1")
      )
    })
  )

  it.live("nobody starts it any more: Gone, with its last exit", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* probing({ state: "Failed", lastExit: crash }).check,
        Verdict.unhealthy(new ProcessProbe.Gone({ process: "web", lastExit: crash }), [
          "web is failed: it exited with code 1"
        ])
      )
      for (const state of ["Ended", "Stopped"] as const) {
        assert.deepStrictEqual(
          yield* probing({ state }).check,
          Verdict.unhealthy(new ProcessProbe.Gone({ process: "web" }), [`web is ${state.toLowerCase()}: it never ran`])
        )
      }
    })
  )

  it.live("without a child, states that pass by themselves say nothing", () =>
    Effect.gen(function* () {
      for (const state of ["Waiting", "Starting", "Stopping"] as const) {
        const verdict = yield* probing({ state }).check
        assert.deepStrictEqual(verdict, Verdict.inconclusive(`web is ${state.toLowerCase()}; it never ran`))
      }
    })
  )

  it.live("put back by its policy: Restarted, for as long as settle says", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const put = { identity, lastExit: crash, restarts: 3, startedBy: "policy" } as const
      const restarted = Verdict.degraded(new ProcessProbe.Restarted({ process: "web", restarts: 3, exit: crash }), [
        "web: it exited with code 1; its supervisor put it back"
      ])
      const after = (uptime: Duration.Input, options?: Options) =>
        probing({ ...put, uptime: Duration.fromInputUnsafe(uptime) }, options).check
      assert.deepStrictEqual(yield* after("4999 millis"), restarted)
      assert.deepStrictEqual(yield* after("5 seconds"), Verdict.healthy)
      assert.deepStrictEqual(yield* after("59 seconds", { settle: "1 minute" }), restarted)
      assert.deepStrictEqual(yield* after("1 millis", { settle: 0 }), Verdict.healthy)
    })
  )

  it.live("started on request: not Restarted", () =>
    Effect.gen(function* () {
      const young = { identity: yield* idle, lastExit: crash, restarts: 1, uptime: Duration.zero }
      assert.deepStrictEqual(yield* probing({ ...young, startedBy: "request" }).check, Verdict.healthy)
      assert.deepStrictEqual(yield* probing(young).check, Verdict.healthy)
    })
  )

  it.live("stopped is worse than just restarted", () =>
    Effect.gen(function* () {
      const identity = yield* stopped
      const young = { identity, lastExit: crash, restarts: 1, uptime: Duration.zero, startedBy: "policy" } as const
      assert.strictEqual(signatureOf(yield* probing(young).check)._tag, "Process/Stopped")
    })
  )

  it.live("an unknown process says nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* probing({}, { process: "nobody" }).check,
        Verdict.inconclusive('no process named "nobody"; known are web')
      )
    })
  )

  it.live("only looks: the process is the same afterwards", () =>
    Effect.gen(function* () {
      const identity = yield* stopped
      yield* probing({ identity }).check
      const table = yield* ProcessTable
      assert.deepInclude(yield* table.stat(identity.pid), { state: "T", startTime: identity.startTime })
    })
  )

  it("is judged while the component starts", () => {
    const probe = ProcessProbe.make({ name: "process", process: "web" })
    assert.deepInclude(probe, { name: "process", duringStartup: "judged", effects: "none" })
  })

  it("refuses options that cannot work, and names them", () => {
    const refused: ReadonlyArray<readonly [object, string, unknown]> = [
      [{ process: "" }, "process", ""],
      [{ settle: -1 }, "settle", -1],
      [{ settle: "soon" }, "settle", "soon"],
      [{ pid: 1 }, "pid", 1]
    ]
    for (const [options, option, value] of refused) {
      const error = refusal(() => ProcessProbe.make({ name: "process", process: "web", ...options }))
      assert.deepStrictEqual([error.module, error.option, error.value], ["ProcessProbe", option, value])
    }
  })
})

type Found = ProcessProbe.Gone | ProcessProbe.Zombie | ProcessProbe.Stopped | ProcessProbe.Restarted

probeContract<Found>("ProcessProbe", {
  situations: {
    Healthy: Effect.map(idle, (identity) => probing({ identity })),
    "Process/Gone": Effect.succeed(probing({ state: "Failed", lastExit: crash })),
    "Process/Zombie": Effect.map(zombie, (identity) => probing({ identity })),
    "Process/Stopped": Effect.map(stopped, (identity) => probing({ identity })),
    "Process/Restarted": Effect.map(idle, (identity) =>
      probing({ identity, lastExit: crash, restarts: 1, uptime: Duration.zero, startedBy: "policy" })
    ),
    Inconclusive: Effect.succeed(probing({ state: "Waiting" }))
  },
  waiting: Effect.map(zombie, (identity) => probing({ identity }))
})
