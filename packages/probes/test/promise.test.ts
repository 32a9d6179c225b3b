import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually } from "@nexobot/testing/Expect"
import { idle } from "@nexobot/testing/TestProcess"
import * as TestProcessControl from "@nexobot/testing/TestProcessControl"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

import * as HttpProbe from "../src/HttpProbe.ts"
import * as LockProbe from "../src/LockProbe.ts"
import * as ProcessProbe from "../src/ProcessProbe.ts"
import { check, type RunnerHandle, startRunner } from "../src/promise.ts"
import { httpServer, tcpServer } from "./support.ts"
import { type Ill, type Sick, sick, watchable } from "./watchable.ts"

class Greeting extends Context.Service<Greeting, string>()("Greeting") {}

const process = ProcessProbe.make({ name: "process", process: "web" })

const rejecting = (promise: Promise<unknown>) =>
  promise.then(
    () => "resolved",
    (cause: unknown) => cause
  )

const said = async (promise: Promise<unknown>) => String(await rejecting(promise))

const rejection = (promise: Promise<unknown>) => Effect.promise(() => rejecting(promise))

describe("check", () => {
  it.live("runs probes that need nothing", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((_, response) => response.writeHead(503).end())
      const url = `http://127.0.0.1:${port}/`
      const verdict = yield* Effect.promise(() => check(HttpProbe.make({ name: "web", url })))
      if (verdict._tag !== "Unhealthy") throw new Error(verdict._tag)
      assert.deepStrictEqual(verdict.signature, new HttpProbe.UnexpectedStatus({ url, status: 503 }))
      const path = "/nowhere/at/all"
      assert.deepStrictEqual(yield* Effect.promise(() => check(LockProbe.make({ name: "l", path }))), Verdict.healthy)
    })
  )

  it.live("takes services from the context, and does not compile without it", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const context = yield* Layer.build(TestProcessControl.readOnly({ web: { identity } }))
      assert.deepStrictEqual(yield* Effect.promise(() => check(process, { context })), Verdict.healthy)

      const types = () => {
        // @ts-expect-error the context is missing
        void check(process)
        // @ts-expect-error the context is missing
        void check(process, {})
        // @ts-expect-error this context lacks ProcessControl
        void check(process, { context: Context.make(Greeting, "hello") })
        // @ts-expect-error it needs nothing
        void check(LockProbe.make({ name: "lock", path: "/x" }), { context: 1 })
        const typed: Promise<Verdict.Verdict<LockProbe.Stale | LockProbe.Unreadable>> = check(
          LockProbe.make({ name: "lock", path: "/x" }),
          {}
        )
        const control: Context.Context<ProcessControl> = context
        return [typed, control]
      }
      assert.isFunction(types)
    })
  )

  it.live("an abortion ends it, closes the connection, and rejects with its reason", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(() => {})
      const probe = HttpProbe.make({ name: "web", url: `http://127.0.0.1:${server.port}/` })
      const abort = new AbortController()
      const running = check(probe, { signal: abort.signal })
      yield* eventually(
        "it is connected",
        Effect.sync(() => (server.accepted() === 1 ? true : undefined))
      )
      const reason = new Error("enough")
      abort.abort(reason)
      assert.strictEqual(yield* rejection(running), reason)
      yield* server.abandoned
      assert.strictEqual(yield* rejection(check(probe, { signal: AbortSignal.abort(reason) })), reason)
      assert.strictEqual(server.accepted(), 1)
    })
  )

  it.live("rejects with what a defective probe threw", () =>
    Effect.gen(function* () {
      const bug = new Error("a bug")
      const defective = Probe.make({ name: "defective", reports: [], check: Effect.die(bug) })
      assert.strictEqual(yield* rejection(check(defective)), bug)
    })
  )
})

const runnerTypes = () => {
  // @ts-expect-error the context is missing
  void startRunner({ watch: [{ probe: process }] })
  // @ts-expect-error the gate needs it, too
  void startRunner({ watch: [], connectivity: process })
  const { probe } = watchable("p")
  // @ts-expect-error it reports Ill, too
  const less: Promise<RunnerHandle<Sick>> = startRunner({ watch: [{ probe }] })
  return less
}

describe("startRunner", () => {
  it.live("watches until it is stopped; results, states and checks are plain", () =>
    Effect.promise(async () => {
      const subject = watchable("p")
      subject.act = sick
      await using runner: RunnerHandle<Sick | Ill> = await startRunner({
        watch: [{ probe: subject.probe, interval: 100, suspectInterval: 50, fall: 2 }]
      })
      const seen: Array<string> = []
      for await (const { status } of runner.results()) if (seen.push(status) === 3) break
      assert.deepStrictEqual(seen, ["Unknown", "Unhealthy", "Unhealthy"])
      assert.strictEqual(runner.state("p").status, "Unhealthy")
      assert.deepStrictEqual([...runner.states().keys()], ["p"])
      assert.strictEqual((await runner.check("p")).verdict._tag, "Unhealthy")
      await runner.stop()
      const made = subject.begun.length
      for await (const { name } of runner.results()) seen.push(name)
      // What was known stays known.
      assert.strictEqual(runner.state("p").status, "Unhealthy")
      await runner.check("p").then(
        () => assert.fail("it answered"),
        (error) => assert.strictEqual(String(error), "Error: the runner has stopped")
      )
      assert.strictEqual(subject.begun.length, made)
    })
  )

  it.live("refuses bad options and names with OptionError, and an aborted signal with its reason", () =>
    Effect.promise(async () => {
      const { probe } = watchable("p")
      assert.include(await said(startRunner({ watch: [{ probe, fall: 0 }] })), 'option "watch[0].fall" is 0')
      assert.include(await said(startRunner({ watch: [], every: 1 } as never)), 'option "every"')
      assert.include(await said(startRunner(undefined as never)), 'option "watch"')
      assert.include(await said(startRunner({ watch: [], signal: AbortSignal.abort("enough") })), "enough")
      assert.include(await said(startRunner({ watch: [], signal: 5 } as never)), 'option "signal" is 5')
      assert.include(await said(startRunner({ watch: [], context: 5 } as never)), 'option "context" is 5')
      await using runner = await startRunner({ watch: [{ probe }] })
      assert.include(await said(runner.check("q")), 'option "name" is "q"')
      assert.throws(() => runner.state("q"), 'option "name" is "q"')
    })
  )

  it.live("a check that goes on and on stops nothing else, and is given up", () =>
    Effect.promise(async () => {
      const [spins, other] = [watchable("spins"), watchable("other")]
      spins.act = Effect.forever(Effect.yieldNow)
      await using runner = await startRunner({
        watch: [
          { probe: spins.probe, interval: 300 },
          { probe: other.probe, interval: 50 }
        ]
      })
      for await (const { name } of runner.results()) if (name === "spins") break
      assert.strictEqual(runner.state("spins").last?.verdict._tag, "Inconclusive")
      assert.isAtLeast(other.begun.length, 2)
    })
  )

  it.live("stops at once if its signal is aborted while it begins", () =>
    Effect.promise(async () => {
      const abort = new AbortController()
      const subject = watchable("p")
      subject.act = Effect.never
      const starting = rejecting(startRunner({ watch: [{ probe: subject.probe }], signal: abort.signal }))
      abort.abort("enough")
      assert.strictEqual(await starting, "enough")
      assert.strictEqual(subject.inFlight(), 0)
    })
  )

  it.live("its signal stops it, a check's signal ends the wait for that check", () =>
    Effect.promise(async () => {
      const subject = watchable("p")
      subject.act = Effect.never
      const abort = new AbortController()
      const runner = await startRunner({ watch: [{ probe: subject.probe }], signal: abort.signal })
      const [waits, gone] = [new AbortController(), new AbortController()]
      const one = rejecting(runner.check("p", { signal: gone.signal }))
      const other = rejecting(runner.check("p", { signal: waits.signal }))
      gone.abort("I have to go")
      assert.strictEqual(await one, "I have to go")
      assert.strictEqual(subject.inFlight(), 1)
      abort.abort()
      assert.strictEqual(String(await other), "Error: the runner has stopped")
      await runner.stop()
      assert.strictEqual(subject.inFlight(), 0)
    })
  )

  it.live("takes services from the context, and does not compile without it", () =>
    Effect.gen(function* () {
      const identity = yield* idle
      const context = yield* Layer.build(TestProcessControl.readOnly({ web: { identity } }))
      yield* Effect.promise(async () => {
        await using runner = await startRunner({ watch: [{ probe: process }], context })
        assert.strictEqual((await runner.check("process")).status, "Healthy")
      })
      assert.isFunction(runnerTypes)
    })
  )
})
