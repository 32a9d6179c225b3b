import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { descendants, ProcessTable } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"

import { eventually } from "../../testing/src/Expect.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import type { Tier } from "../src/Containment.ts"
import * as Containers from "../src/internal/containment/index.ts"
import * as Guardian from "../src/internal/guardian.ts"
import { ended, skipWithoutTier } from "./containment.ts"

const fixture = fileURLToPath(new URL("fixtures/guarded.ts", import.meta.url))
const exhausted = fileURLToPath(new URL("fixtures/exhausted.ts", import.meta.url))

type Identity = ProcessIdentity.ProcessIdentity

const Identities = Schema.fromJsonString(Schema.Record(Schema.String, ProcessIdentity.ProcessIdentity))

interface Shell {
  readonly name: string
  readonly line: string
  readonly tier?: Tier
  readonly survives?: boolean
}

const killAtEnd = (identity: Identity) =>
  Effect.addFinalizer(() => Effect.orDie(ProcessIdentity.signal(identity, "SIGKILL")))

const allGone = (identities: ReadonlyArray<Identity>) =>
  eventually(
    `all of ${identities.map((identity) => identity.pid).join(", ")} are gone`,
    Effect.map(Effect.filter(identities, ProcessIdentity.isAlive), (left) => (left.length === 0 ? true : undefined))
  )

/** That is the first thing that it does. */
const ignoresSigterm = (pid: number): boolean => {
  const [, mask = "0"] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return (BigInt(`0x${mask}`) & (1n << 14n)) !== 0n
}

let ids = 0

/** A process that supervises these shells, and dies or ends as it is told. */
const supervising = Effect.fnUntraced(function* (shells: ReadonlyArray<Shell>) {
  const folder = yield* TestFolder.make
  const id = `guarded-${process.pid}-${++ids}`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [fixture, id, folder, JSON.stringify(shells)], { stdio: ["ignore", "pipe", "inherit"] })
    ),
    (running) =>
      Effect.andThen(
        Effect.sync(() => running.pid !== undefined && running.kill("SIGKILL")),
        ended(running)
      )
  )
  const line = yield* Effect.callback<string>((resume) => {
    Readline.createInterface({ input: child.stdout }).once("line", (text) => resume(Effect.succeed(text)))
    child.once("exit", () => resume(Effect.die(new Error("it ended without a word"))))
  })
  const children = yield* Schema.decodeEffect(Identities)(line)
  yield* Effect.forEach(Object.values(children), killAtEnd, { discard: true })
  const end = Effect.fnUntraced(function* (signal: NodeJS.Signals) {
    assert.isTrue(child.kill(signal), "it had ended by itself")
    yield* ended(child)
  })
  const self = yield* TestProcess.identityOf(child.pid)
  const guardian = eventually(
    "there is a guardian",
    Effect.gen(function* () {
      const table = yield* ProcessTable
      for (const stat of yield* descendants(self.pid)) {
        if (!(yield* table.commandLine(stat.pid)).includes("nexo-guardian")) continue
        if (ignoresSigterm(stat.pid)) return yield* ProcessIdentity.of(stat.pid)
      }
      return undefined
    })
  )
  /** Who says its number in the file of a shell. */
  const said = Effect.fnUntraced(function* (name: string, count: number) {
    const pids = yield* eventually(
      `${name} has said ${count} numbers`,
      Effect.sync(() => {
        const file = Path.join(folder, name)
        const lines = Fs.existsSync(file) ? Fs.readFileSync(file, "utf8").trim().split("\n") : []
        return lines.length === count ? lines.map(Number) : undefined
      })
    )
    const identities = yield* Effect.forEach(pids, TestProcess.identityOf)
    yield* Effect.forEach(identities, killAtEnd, { discard: true })
    return identities
  })
  return { id, children, end, guardian, said }
})

const plain = 'echo $$ > "$1"; exec sleep 600'

/** What a shell does, and how many processes it says that it is. */
const kinds: ReadonlyArray<readonly [what: string, line: string, count: number]> = [
  ["a plain child", plain, 1],
  ["a shell and its child", 'sleep 600 & echo $! > "$1"; echo $$ >> "$1"; wait', 2],
  [
    "a grandchild that left by setsid and a double fork",
    `setsid sh -c 'sleep 600 & echo $! > "$1"' sh "$1"; echo $$ >> "$1"; exec sleep 600`,
    2
  ],
  [
    "children with a clean environment",
    `exec env -i sh -c 'sleep 600 & echo $! > "$1"; echo $$ >> "$1"; wait' sh "$1"`,
    2
  ],
  ["a group whose leader is gone", 'sleep 600 & echo $! > "$1"', 1]
]

/** Leaves group, session, parent and mark behind: only a tier of the kernel's own holds it. */
const fugitive = `setsid env -i sh -c 'sleep 600 & echo $! > "$1"' sh "$1"; echo $$ >> "$1"; exec sleep 600`

describe("acceptance(process-supervisor 9): the supervisor is killed with SIGKILL", () => {
  for (const [what, line, count] of kinds) {
    it.live(`acceptance(process-supervisor 9): ${what} is gone, and whoever is to survive lives on`, () =>
      Effect.gen(function* () {
        const shells = [
          { name: "doomed", line },
          { name: "kept", line, survives: true }
        ]
        const { end, guardian, said } = yield* supervising(shells)
        const [doomed, kept] = yield* Effect.all([said("doomed", count), said("kept", count)])
        const watcher = yield* guardian
        yield* end("SIGKILL")
        const before = performance.now()
        yield* allGone(doomed)
        // One second is promised, and measured where nothing else runs; here others may have the machine.
        assert.isBelow(performance.now() - before, 5000)
        yield* allGone([watcher])
        for (const identity of kept) assert.isTrue(yield* ProcessIdentity.isAlive(identity))
      })
    )
  }

  it.live("acceptance(process-supervisor 9): thirty children are gone", () =>
    Effect.gen(function* () {
      const shells = Array.from({ length: 30 }, (_, index) => ({ name: `app-${index}`, line: "exec sleep 600" }))
      const { children, end, guardian } = yield* supervising(shells)
      const watcher = yield* guardian
      yield* end("SIGKILL")
      const before = performance.now()
      yield* allGone([...Object.values(children), watcher])
      assert.isBelow(performance.now() - before, 5000)
    })
  )
})

for (const tier of ["cgroup", "pid-namespace"] as const) {
  describe.skipIf(await skipWithoutTier(tier))(`acceptance(process-supervisor 9): in a ${tier}`, () => {
    it.live("acceptance(process-supervisor 9): whoever left group, session, parent and mark behind is gone", () =>
      Effect.gen(function* () {
        const { children, end, guardian, id } = yield* supervising([{ name: "doomed", line: fugitive, tier }])
        const { doomed } = children
        assert.isDefined(doomed)
        const container = yield* eventually("it has entered", Containers.adopt(tier, doomed, { id, name: "doomed" }))
        const members = yield* eventually(
          "both sleep",
          Effect.gen(function* () {
            const table = yield* ProcessTable
            const all = yield* Effect.forEach(yield* container.members, table.stat)
            const sleeping = all.flatMap((stat) => (stat?.command === "sleep" ? [stat.pid] : []))
            return sleeping.length === 2 ? yield* Effect.forEach(sleeping, TestProcess.identityOf) : undefined
          })
        )
        yield* Effect.forEach(members, killAtEnd, { discard: true })
        const watcher = yield* guardian
        yield* end("SIGKILL")
        const before = performance.now()
        yield* allGone([doomed, ...members])
        assert.isBelow(performance.now() - before, 5000)
        yield* allGone([watcher])
        yield* container.release
      })
    )
  })
}

describe("the guardian", () => {
  it.live("is told everything again when it is killed", () =>
    Effect.gen(function* () {
      const { children, end, guardian } = yield* supervising([
        { name: "doomed", line: "exec env -i sleep 600" },
        { name: "kept", line: "exec sleep 600", survives: true }
      ])
      const first = yield* guardian
      yield* ProcessIdentity.signal(first, "SIGKILL")
      yield* allGone([first])
      const second = yield* guardian
      assert.notStrictEqual(second.pid, first.pid)
      yield* end("SIGKILL")
      const { doomed, kept } = children
      assert.isDefined(doomed)
      assert.isDefined(kept)
      yield* allGone([doomed, second])
      assert.isTrue(yield* ProcessIdentity.isAlive(kept))
    })
  )

  it.live("ignores what is sent to it by hand, and kills nobody when the supervisor ends in good order", () =>
    Effect.gen(function* () {
      const { children, end, guardian } = yield* supervising([{ name: "left", line: "exec sleep 600" }])
      const watcher = yield* guardian
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) yield* ProcessIdentity.signal(watcher, signal)
      assert.isTrue(yield* ProcessIdentity.isAlive(watcher))
      yield* end("SIGTERM")
      yield* allGone([watcher])
      for (const identity of Object.values(children)) assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("has nothing of the supervisor's open, is in a session of its own, and is small", () =>
    Effect.gen(function* () {
      const { children, guardian } = yield* supervising([{ name: "app", line: "exec sleep 600" }])
      const { pid } = yield* guardian
      // What whoever runs the tests left open for all is no more than any child has.
      const { pid: other } = yield* TestProcess.idle
      yield* eventually(
        "it has the same open",
        Effect.sync(() => {
          const [its, all] = [pid, other].map((one) => Fs.readdirSync(`/proc/${one}/fd`).join(" "))
          return its === all ? true : undefined
        })
      )
      const table = yield* ProcessTable
      assert.strictEqual((yield* table.stat(pid))?.session, pid)
      assert.isUndefined(yield* table.variable(pid, "NEXO_SUPERVISED"))
      const resident = /^VmRSS:\s*(\d+) kB$/m.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      assert.isAtMost(Number(resident), 2048)
      const app = children["app"]
      assert.isDefined(app)
      // With the supervisor's end of the pipe open in a child there would never be an end of it.
      assert.strictEqual((yield* table.sockets(app.pid)).size, 0)
    })
  )
})

const us = { pid: process.pid, startTime: 1 }

/**
 * Of a shell in the place of the guardian: writes down the names that it knows at its start, a line for each child that it
 * knows, and what it is told then, until the orderly end.
 */
const recordTo = (file: string) => `
{ printf ' %s \\n%s\\n' "$NEXO_GUARDIAN_SPARED" "$NEXO_GUARDIAN_CHILDREN"; sed -u '/^q$/q'; } > '${file}'
`

const longNames = (count: number) => Array.from({ length: count }, (_, index) => `${"name".repeat(20)}-${index}`)

/** Leads a group, and has nothing but these variables. */
const leader = (env: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sleep", ["600"], { detached: true, env, stdio: "ignore" })),
    (one) => Effect.sync(() => one.pid !== undefined && one.kill("SIGKILL"))
  ).pipe(Effect.flatMap(({ pid }) => TestProcess.identityOf(pid)))

const noisy = (options: Partial<Guardian.GuardianOptions>) =>
  Guardian.make({ id: `noisy-${process.pid}`, supervisor: us, survivors: () => [], ...options })

describe("a guardian of this process", () => {
  it.live("is not there before the first child, and starts when it can", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const shell = Path.join(folder, "sh")
      const child = yield* TestProcess.idle
      const guardian = yield* noisy({ shell: [shell] })
      assert.isUndefined(guardian.pid())
      guardian.add(child)
      guardian.update()
      guardian.remove(child)
      assert.isUndefined(guardian.pid())
      Fs.symlinkSync("/bin/sh", shell)
      const pid = yield* eventually(
        "it started",
        Effect.sync(() => guardian.pid())
      )
      assert.include(yield* (yield* ProcessTable).commandLine(pid), "nexo-guardian")
    })
  )

  it.live("is told who survives before whom it ends, and again only when that has changed", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const [recorder, heard] = [Path.join(folder, "recorder"), Path.join(folder, "heard")]
      Fs.writeFileSync(recorder, recordTo(heard))
      let survivors = ["a"]
      yield* Effect.scoped(
        Effect.gen(function* () {
          const guardian = yield* noisy({ shell: ["/bin/sh", recorder], survivors: () => survivors })
          const one = { pid: 1_000_001, startTime: 2, bootId: "" }
          guardian.add(one, "/a file")
          guardian.add({ ...one, pid: 1_000_002 })
          survivors = ["a", "b"]
          guardian.update()
          guardian.update()
          guardian.remove({ ...one, startTime: 3 })
          survivors = []
          guardian.add(one)
        })
      )
      assert.deepStrictEqual(Fs.readFileSync(heard, "utf8").split("\n"), [
        " a ",
        "1000001 2 /a file",
        "",
        "+ 1000002 2 ",
        "= a b",
        "- 1000001 3",
        "= ",
        "+ 1000001 2 ",
        "q",
        ""
      ])
    })
  )

  it.live("knows whom to end, and whom not, when the supervisor dies before it has said a word", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const deaf = Path.join(folder, "deaf")
      Fs.writeFileSync(deaf, 'exec /bin/sh "$@" < /dev/null')
      const id = `deaf-${process.pid}`
      const mark = (name: string) => ({ NEXO_SUPERVISED: `${id}/${name}/${us.pid}.${us.startTime}` })
      const [doomed, late, kept] = [yield* leader(), yield* leader(mark("late")), yield* leader(mark("kept"))]
      const guardian = yield* noisy({ id, shell: ["/bin/sh", deaf], survivors: () => ["kept"] })
      guardian.add(doomed)
      yield* allGone([doomed, late])
      assert.isTrue(yield* ProcessIdentity.isAlive(kept))
    })
  )

  it.live("is told of as many as there are, and is given no more at its start than it can be", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const [recorder, heard] = [Path.join(folder, "recorder"), Path.join(folder, "heard")]
      const count = 600
      for (const survivors of [longNames(10), longNames(1200)]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const guardian = yield* noisy({ shell: ["/bin/sh", recorder], survivors: () => survivors })
            const file = `/${"ä".repeat(100)}`
            for (let pid = 1; pid <= count; pid++)
              guardian.add({ pid: 1_000_000 + pid, startTime: 2, bootId: "" }, file)
            // It has ended, since there was no script, and is started with all of them.
            Fs.writeFileSync(recorder, recordTo(heard))
            yield* eventually(
              "it was told of all",
              Effect.sync(() => {
                const lines = Fs.existsSync(heard) ? Fs.readFileSync(heard, "utf8").split("\n") : []
                const told = new Set(lines.filter((line) => line.endsWith(file)).map((line) => line.replace("+ ", "")))
                return told.size === count && lines.some((line) => line.includes(` ${survivors.join(" ")}`))
                  ? true
                  : undefined
              })
            )
          })
        )
        Fs.rmSync(recorder)
        Fs.rmSync(heard)
      }
    })
  )

  it.live("does its work before the next supervisor with its id starts", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      const [slow, go] = [Path.join(folder, "slow"), Path.join(folder, "go")]
      Fs.writeFileSync(
        slow,
        `cat > '${folder}/input'; while [ ! -e '${go}' ]; do sleep 0.02; done; exec /bin/sh "$@" < '${folder}/input'`
      )
      const id = `slow-${process.pid}`
      const left = yield* leader()
      const watcher = yield* Effect.scoped(
        Effect.gen(function* () {
          const guardian = yield* noisy({ id, shell: ["/bin/sh", slow] })
          guardian.add(left)
          guardian.leave()
          return yield* TestProcess.identityOf(guardian.pid())
        })
      )
      assert.isTrue(yield* ProcessIdentity.isAlive(watcher))
      const next = yield* Effect.forkChild(noisy({ id }), { startImmediately: true })
      // One with another id is not concerned.
      yield* noisy({})
      assert.isUndefined(next.pollUnsafe())
      Fs.writeFileSync(go, "")
      yield* Fiber.join(next)
      assert.isFalse(yield* ProcessIdentity.isAlive(watcher))
      yield* allGone([left])
    })
  )

  it.live("starts later when there is no file descriptor for it", () =>
    Effect.gen(function* () {
      const limited = ["-c", 'ulimit -n 64; exec "$@"', "sh", process.execPath, exhausted]
      const said = yield* Effect.callback<string>((resume) => {
        execFile("/bin/sh", limited, (error, stdout, stderr) => {
          resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(stderr)))
        })
      })
      assert.include(said, JSON.stringify({ before: false, after: true }))
    })
  )

  it.live("ends what is left to it after its scope, and itself then", () =>
    Effect.gen(function* () {
      const [left, other] = [yield* leader(), yield* leader()]
      const watcher = yield* Effect.scoped(
        Effect.gen(function* () {
          const guardian = yield* noisy({})
          guardian.add(other)
          guardian.remove(other)
          guardian.add(left)
          guardian.leave()
          assert.isTrue(yield* ProcessIdentity.isAlive(left))
          return yield* TestProcess.identityOf(guardian.pid())
        })
      )
      yield* allGone([left, watcher])
      assert.isTrue(yield* ProcessIdentity.isAlive(other))
    })
  )

  it.live("is gone with its scope, also when it does not answer", () =>
    Effect.gen(function* () {
      const child = yield* TestProcess.idle
      const identity = yield* Effect.scoped(
        Effect.gen(function* () {
          const guardian = yield* noisy({})
          guardian.add(child)
          const watcher = yield* TestProcess.identityOf(guardian.pid())
          yield* ProcessIdentity.signal(watcher, "SIGSTOP")
          return watcher
        })
      )
      assert.isFalse(yield* ProcessIdentity.isAlive(identity))
      assert.isTrue(yield* ProcessIdentity.isAlive(child))
    })
  )
})
