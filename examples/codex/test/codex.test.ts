import { describe, expect, it } from "@effect/vitest"
import { ProcessControl } from "@nexobot/core/ProcessControl"
import { eventually } from "@nexobot/testing/Expect"
import * as TestPort from "@nexobot/testing/TestPort"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

import * as Stack from "../src/stack.ts"

const get = (port: number, path = "/") =>
  Effect.tryPromise(() =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2000) }).then((answer) => answer.text())
  )

const answer = (port: number, expected: string, path?: string) =>
  eventually(
    `${port} answers ${expected}`,
    Effect.orElseSucceed(
      Effect.map(get(port, path), (text) => (text.includes(expected) ? text : undefined)),
      () => undefined
    )
  )

const refuses = (port: number) =>
  eventually(`${port} refuses`, Effect.match(get(port), { onSuccess: () => undefined, onFailure: () => true }))

/** Free ports, by the variables that the file asks for. */
const ports = Effect.gen(function* () {
  const [backend, frontend, generator] = [
    yield* TestPort.free(20_000, 22_000),
    yield* TestPort.free(22_000, 24_000),
    yield* TestPort.free(24_000, 26_000)
  ]
  const names = { BACKEND_PORT: backend, FRONTEND_PORT: frontend, GENERATOR_PORT: generator }
  yield* Effect.acquireRelease(
    Effect.sync(() => Object.assign(process.env, names)),
    () =>
      Effect.sync(() => {
        for (const name of Object.keys(names)) delete process.env[name]
      })
  )
  return { backend, frontend, generator }
})

describe("CODEX", () => {
  it.live("has three apps, and says what became of every field", () =>
    Effect.gen(function* () {
      const ecosystem = yield* Stack.read
      expect(ecosystem.apps.map(({ memory, name, port }) => [name, port, memory?.limit])).toEqual([
        ["codex-backend", 3004, 1024 ** 3],
        ["codex-frontend", 3000, 2 * 1024 ** 3],
        ["codex-generator", 3002, undefined]
      ])
      for (const { restartPolicy } of ecosystem.apps) {
        expect(restartPolicy).toEqual({
          type: "permanent",
          backoff: { initial: 5000, factor: 1, max: 5000, jitter: "none" },
          attempts: 10,
          intensity: { limit: 10, window: 300_000 },
          stableAfter: 10_000
        })
      }
      expect(ecosystem.selfWatching).toEqual([])
      expect(ecosystem.report.filter(({ outcome }) => outcome === "refused")).toEqual([])
      expect(Stack.table(ecosystem)).toContain("codex-generator   restart_delay")
    })
  )

  it.live("runs, restarts what ended after 5 s, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { backend, frontend, generator } = yield* ports
      const scope = yield* Scope.fork(yield* Effect.scope)
      const context = yield* Layer.buildWithScope(Stack.layer, scope)
      yield* answer(backend, "healthy")
      yield* answer(generator, "generated: music", "/?topic=music")
      yield* answer(frontend, "backend: up")
      const before = yield* answer(backend, "backend", "/health")
      yield* Effect.ignore(get(backend, "/crash"))
      yield* answer(frontend, "backend: down")
      const after = yield* answer(backend, "backend", "/health")
      expect(after).not.toBe(before)
      const control = yield* Effect.provideContext(ProcessControl, context)
      const status = yield* control.status("codex-backend")
      expect(status).toMatchObject({ name: "codex-backend", restarts: 1 })
      yield* Scope.close(scope, Exit.void)
      for (const port of [backend, frontend, generator]) yield* refuses(port)
    })
  )
})
