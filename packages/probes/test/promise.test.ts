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
import { check } from "../src/promise.ts"
import { httpServer, tcpServer } from "./support.ts"

class Greeting extends Context.Service<Greeting, string>()("Greeting") {}

const process = ProcessProbe.make({ name: "process", process: "web" })

const rejection = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => "resolved",
      (cause: unknown) => cause
    )
  )

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
