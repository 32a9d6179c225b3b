/** The runner on real time, with real servers and a check that really hangs. */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as Probe from "@nexobot/core/Probe"
import * as Verdict from "@nexobot/core/Verdict"
import { eventually } from "@nexobot/testing/Expect"
import * as TestFolder from "@nexobot/testing/TestFolder"
import * as TestRedis from "@nexobot/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import * as Runner from "../src/Runner.ts"
import * as TcpProbe from "../src/TcpProbe.ts"
import { tcpServer } from "./support.ts"

const connections = `EVAL "return tonumber(redis.call('INFO','stats'):match('total_connections_received:(%d+)'))" 0`

/** How many results each probe has had, and how many of each kind. */
const counted = (runner: Runner.Runner) =>
  Effect.gen(function* () {
    const counts = new Map<string, number>()
    yield* Effect.forkScoped(
      Stream.runForEach(runner.results, ({ name, verdict }) =>
        Effect.sync(() => {
          for (const key of [name, `${name}: ${verdict._tag}`]) counts.set(key, (counts.get(key) ?? 0) + 1)
        })
      ),
      { startImmediately: true }
    )
    return counts
  })

const until = (what: string, holds: () => boolean) =>
  eventually(
    what,
    Effect.sync(() => (holds() ? true : undefined))
  )

/** Who reads it sees its end. */
const written = (fifo: string) =>
  eventually(
    "somebody reads",
    Effect.try(() => {
      Fs.closeSync(Fs.openSync(fifo, Fs.constants.O_WRONLY | Fs.constants.O_NONBLOCK))
      return true
    }).pipe(Effect.orElseSucceed(() => undefined))
  )

describe("the runner, live", () => {
  it.live("acceptance(core-and-probes 14): a read that hangs in the kernel: once, and the others are on time", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const fifo = Path.join(folder, "fifo")
      ChildProcess.execFileSync("mkfifo", [fifo])
      let reads = 0
      const scope = yield* Scope.make()
      // As a statfs of a dead mount: no interruption ends it, and it holds a thread.
      const hangs = Probe.make({
        name: "hangs",
        reports: [],
        check: Effect.uninterruptible(
          Effect.promise(async () => {
            reads += 1
            await Fs.promises.readFile(fifo)
            return Verdict.healthy
          })
        )
      })
      const server = yield* tcpServer(() => {})
      const names = Array.from({ length: 20 }, (_, index) => `tcp ${index}`)
      const others = names.map((name) => TcpProbe.make({ name, port: server.port, timeout: "200 millis" }))
      // Different targets, so that each has checks of its own.
      const watched = [hangs, ...others].map((probe, index) => ({
        probe: Object.assign({}, probe, { target: `${index}` }),
        interval: "200 millis" as const
      }))
      const runner = yield* Runner.make({ watch: watched }).pipe(Scope.provide(scope))
      const counts = yield* counted(runner)
      yield* until("each of the others was checked 10 times", () =>
        names.every((name) => (counts.get(`${name}: Healthy`) ?? 0) >= 10)
      )
      assert.strictEqual(reads, 1)
      assert.deepStrictEqual([counts.get("hangs"), counts.get("hangs: Inconclusive")], [1, 1])
      assert.isTrue((yield* runner.state("hangs")).overdue)
      // Somebody writes, at last.
      yield* written(fifo)
      yield* until("it is checked again", () => reads === 2)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* written(fifo)
      yield* Fiber.join(closing)
      yield* server.abandoned
      assert.strictEqual(reads, 2)
    })
  )

  it.live("closing it leaves no connection, no timer and no check", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(() => {})
      const scope = yield* Scope.make()
      yield* Runner.make({
        watch: Array.from({ length: 50 }, (_, index) => ({
          probe: TcpProbe.make({
            name: `${index}`,
            port: server.port,
            expect: "never",
            timeout: `${9000 + index} millis`
          })
        })).map(({ probe }) => ({ probe: { ...probe, target: probe.name } }))
      }).pipe(Scope.provide(scope))
      yield* until("all are connected", () => server.accepted() === 50)
      yield* Scope.close(scope, Exit.void)
      yield* server.abandoned
      assert.strictEqual(server.accepted(), 50)
    })
  )

  it.live.skipIf(TestRedis.isMissing())(
    "five probes of one database ask it once an interval, and all have its answer",
    () =>
      Effect.gen(function* () {
        const redis = yield* TestRedis.make
        const names = ["api", "worker", "web", "cron", "console"]
        const before = Number((yield* redis.ask(connections)).slice(1))
        const scope = yield* Scope.make()
        const runner = yield* Runner.make({
          watch: names.map((name, index) => ({
            // Each part of the stack makes its probe for itself.
            probe: TcpProbe.make({
              name,
              port: redis.port,
              send: "PING\r\n",
              expect: /^\+PONG/,
              timeout: "250 millis"
            }),
            interval: `${250 + index * 100} millis` as const
          }))
        }).pipe(Scope.provide(scope))
        const counts = yield* counted(runner)
        yield* until("there are 10 answers", () => (counts.get("api: Healthy") ?? 0) >= 10)
        yield* Scope.close(scope, Exit.void)
        const each = counts.get("api") ?? 0
        for (const name of names) assert.strictEqual(counts.get(name), each)
        const made = Number((yield* redis.ask(connections)).slice(1)) - before
        // And this question, and a check that was under way at the end.
        assert.isAtLeast(made, each)
        assert.isAtMost(made, each + 2)
      })
  )
})
