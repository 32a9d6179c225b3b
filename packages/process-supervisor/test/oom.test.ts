import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as ProcessExit from "@nexobot/core/ProcessExit"
import * as Effect from "effect/Effect"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as Oom from "../src/internal/oom.ts"

/** Where the memory controller is, in either version, and can be used by us; what names its limit there. */
const places = [
  { folder: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes" },
  { folder: "/sys/fs/cgroup", limit: "memory.max" }
]

const name = `nexo-oom-test-${process.pid}`

const isMade = ({ folder, limit }: (typeof places)[number]): boolean => {
  const path = Path.join(folder, name)
  try {
    Fs.mkdirSync(path)
    return Fs.existsSync(Path.join(path, limit))
  } catch {
    return false
  } finally {
    if (Fs.existsSync(path)) Fs.rmdirSync(path)
  }
}

const place = places.find(isMade)
if (place === undefined) process.stderr.write("skipped: no control group with a memory limit can be made here\n")

/** A group for one test, with 40 MB of memory. */
const group = Effect.acquireRelease(
  Effect.sync(() => {
    if (place === undefined) throw new Error("these tests are skipped")
    const path = Path.join(place.folder, name)
    Fs.mkdirSync(path)
    Fs.writeFileSync(Path.join(path, place.limit), String(40 * 1_048_576))
    return path
  }),
  (path) =>
    eventually(
      "the group is empty",
      Effect.sync(() => {
        try {
          Fs.rmdirSync(path)
          return true
        } catch {
          return undefined
        }
      })
    )
)

/** A child in the group, which takes 200 MB when told. */
const hungry = Effect.fnUntraced(function* (path: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn("sh", ["-c", `read go; exec perl -e '$x = "a" x (200 << 20); sleep 600'`], {
        stdio: ["pipe", "ignore", "ignore"]
      })
    ),
    (running) =>
      Effect.sync(
        () =>
          running.pid !== undefined &&
          running.exitCode === null &&
          running.signalCode === null &&
          running.kill("SIGKILL")
      )
  )
  const identity = yield* TestProcess.identityOf(child.pid)
  Fs.writeFileSync(Path.join(path, "cgroup.procs"), String(identity.pid))
  const end = Effect.callback<ProcessExit.ProcessExit>((resume) => {
    child.once("exit", (code, signal) =>
      resume(
        Effect.succeed(
          signal === null
            ? new ProcessExit.Exited({ code: code ?? 0 })
            : new ProcessExit.Signaled({ signal, by: "unknown" })
        )
      )
    )
  })
  return {
    identity,
    child,
    end,
    eat: Effect.andThen(
      Effect.sync(() => child.stdin.write("go\n")),
      end
    )
  }
})

const killed = new ProcessExit.Signaled({ signal: "SIGKILL", by: "unknown" })
const nowhere: Oom.Snapshot = { file: undefined, isShared: true }

describe.skipIf(place === undefined)("oom", () => {
  afterEach(() => vi.restoreAllMocks())

  it.live("a child that the kernel kills in a group of its own is OomKilled, with proof", () =>
    Effect.gen(function* () {
      const running = yield* hungry(yield* group)
      const snapshot = Oom.before(running.identity)
      assert.isFalse(snapshot.isShared)
      const exit = yield* running.eat
      assert.deepStrictEqual(exit, killed)
      assert.deepStrictEqual(yield* Oom.verdict(snapshot, exit), new ProcessExit.OomKilled({ countedIn: "cgroup" }))
      // The same kill is nobody else's.
      assert.isUndefined(yield* Oom.verdict(snapshot, exit))
      assert.isUndefined(yield* Oom.verdict(nowhere, exit))
    })
  )

  it.live("a SIGKILL by somebody else is none, whoever was killed on the machine meanwhile", () =>
    Effect.gen(function* () {
      const path = yield* group
      const victim = yield* hungry(path)
      const own = yield* TestProcess.idle
      const snapshot = Oom.before(own)
      assert.isTrue(snapshot.isShared)
      Oom.before(victim.identity)
      yield* victim.eat
      // Where our own group counts, it tells that it was somebody else; else the machine makes it likely.
      const expected = snapshot.file === undefined ? new ProcessExit.OomKilled({ countedIn: "machine" }) : undefined
      assert.deepStrictEqual(yield* Oom.verdict(snapshot, killed), expected)
    })
  )

  it.live("a kill in a group that others share, or that only the machine counts, is likely", () =>
    Effect.gen(function* () {
      const path = yield* group
      const first = yield* hungry(path)
      const { file } = Oom.before(first.identity)
      yield* first.eat
      const likely = new ProcessExit.OomKilled({ countedIn: "machine" })
      assert.deepStrictEqual(yield* Oom.verdict({ file, isShared: true }, killed), likely)
      const second = yield* hungry(path)
      yield* second.eat
      assert.deepStrictEqual(yield* Oom.verdict(nowhere, killed), likely)
    })
  )

  it.live("what was counted before the last seconds of its life was not it", () =>
    Effect.gen(function* () {
      const path = yield* group
      const first = yield* hungry(path)
      const { file, isShared } = Oom.before(first.identity)
      yield* first.eat
      const now = performance.now()
      const clock = vi.spyOn(performance, "now")
      clock.mockReturnValue(now + 4000)
      Oom.look()
      clock.mockReturnValue(now + 8000)
      assert.isUndefined(yield* Oom.verdict({ file, isShared }, killed))
      assert.isUndefined(yield* Oom.verdict(nowhere, killed))
    })
  )

  it.live("only a SIGKILL that is not ours, or 137, is asked about; a group of its own answers first", () =>
    Effect.gen(function* () {
      const one = Effect.succeed(1)
      const cgroup = new ProcessExit.OomKilled({ countedIn: "cgroup" })
      assert.deepStrictEqual(yield* Oom.verdict(nowhere, killed, one), cgroup)
      // What npm and shells say when it was the process that they had started.
      const told = new ProcessExit.Exited({ code: 137 })
      assert.deepStrictEqual(yield* Oom.verdict(nowhere, told, one), cgroup)
      for (const exit of [killed, told]) {
        assert.isUndefined(yield* Oom.verdict(nowhere, exit, Effect.succeed(0)))
      }
      for (const other of [
        new ProcessExit.Exited({ code: 9 }),
        new ProcessExit.Signaled({ signal: "SIGKILL", by: "us" }),
        new ProcessExit.Signaled({ signal: "SIGTERM", by: "unknown" })
      ]) {
        assert.isUndefined(yield* Oom.verdict(nowhere, other, one))
      }
    })
  )

  it.live("a group that is gone counts nothing", () =>
    Effect.gen(function* () {
      const snapshot = yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* hungry(yield* group)
          const before = Oom.before(running.identity)
          running.child.kill("SIGKILL")
          yield* running.end
          return before
        })
      )
      Oom.look()
      assert.isUndefined(yield* Oom.verdict(snapshot, killed))
    })
  )
})
