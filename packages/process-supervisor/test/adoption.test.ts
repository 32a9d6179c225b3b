import * as Fs from "node:fs"
import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import { type ProcessStat, ProcessTable, Unsupported } from "@nexobot/core/ProcessTable"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"

import { eventually } from "../../testing/src/Expect.ts"
import * as ProcessFault from "../../testing/src/ProcessFault.ts"
import * as TestFolder from "../../testing/src/TestFolder.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as TestProcessTable from "../../testing/src/TestProcessTable.ts"
import * as Adoption from "../src/internal/adoption.ts"
import * as StateFile from "../src/internal/stateFile.ts"
import { type Child, stateful } from "./stateSupport.ts"

const id = "adoption-stack"

const child = (label: string, more: Partial<Child> = {}): Child => ({
  label,
  name: label,
  life: 1,
  mode: "survive",
  spec: "now",
  cookie: true,
  script: "exec sleep 600",
  ...more
})

/** With a child in its group, and one that has left it and lost its parent. */
const busy = "sleep 600 & (setsid sleep 600 &) ; while :; do echo tick; sleep 0.05; done"

const specs = new Map(
  ["web", "scrubbed", "changed", "die", "forgotten"].map((name) => [name, { mode: "survive", spec: "now" } as const])
)

const us = Effect.map(TestProcess.identityOf(process.pid), (supervisor): Adoption.Us => ({ id, supervisor, specs }))

const find = (earlier: ReadonlyArray<StateFile.Remembered>) =>
  Effect.flatMap(us, (supervisor) => Adoption.find(earlier, supervisor))

const entry = (
  identity: ProcessIdentity.ProcessIdentity,
  more: Partial<StateFile.Remembered> = {}
): StateFile.Remembered => ({
  name: "web",
  identity,
  mode: "survive",
  spec: "now",
  restarts: 0,
  life: 1,
  since: 0,
  ...more
})

const pids = (all: Iterable<{ readonly identity: ProcessIdentity.ProcessIdentity } | undefined>) =>
  [...all].map((one) => one?.identity.pid ?? 0)

const endAll = ({ end }: Pick<Adoption.Found, "end">) =>
  ProcessIdentity.terminate(
    end.map(({ identity }) => identity),
    { grace: "1 second" }
  )

const small = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** One process of a made-up table, and what is remembered of it. */
const MadeUp = Schema.Struct({
  /** Of one of those before it; -1 is the first process, and -2 the supervisor that looks. */
  parent: small(-2, 8),
  leads: Schema.Boolean,
  startTime: small(1, 5),
  cookie: Schema.Literals(["none", "dead supervisor", "living supervisor", "other id"]),
  life: small(1, 2),
  name: Schema.Literals(["web", "die", "unknown"]),
  remembered: Schema.Literals(["no", "right", "other start", "other boot"]),
  mode: Schema.Literals(["die", "survive"]),
  spec: Schema.Literals(["now", "before"])
})

const statOf = (pid: number, parent: number, startTime: number, group = pid): ProcessStat => ({
  pid,
  parent,
  startTime,
  group,
  session: group,
  state: "S",
  threads: 1,
  command: "made-up"
})

/** pid 2 looks; pid 3 is a supervisor that lives, and pid 4 was one. */
const tableOf = (madeUp: ReadonlyArray<typeof MadeUp.Type>) => {
  const stats = [statOf(1, 0, 0), statOf(2, 1, 9), statOf(3, 1, 1)]
  for (const [index, { leads, parent, startTime }] of madeUp.entries()) {
    const above = parent >= 0 && parent < index ? stats[parent + 3] : stats[parent === -2 ? 1 : 0]
    // A group may be led by who is gone.
    stats.push(statOf(10 + index, above?.pid ?? 1, startTime, leads ? 10 + index : (above?.group ?? 1)))
  }
  const texts = { none: undefined, "dead supervisor": "4.4", "living supervisor": "3.1", "other id": "4.4" }
  const variable = (pid: number, name: string) =>
    Effect.sync(() => {
      const one = madeUp[pid - 10]
      if (one === undefined || one.cookie === "none") return undefined
      if (name !== "NEXO_SUPERVISED") return String(one.life)
      return `${one.cookie === "other id" ? "other" : id}/${one.name}/${texts[one.cookie]}`
    })
  return {
    stats,
    answers: {
      all: Effect.succeed(stats),
      stat: (pid: number) => Effect.succeed(stats.find((one) => one.pid === pid)),
      bootId: Effect.succeed("boot"),
      variable
    }
  }
}

describe("Adoption", () => {
  it.live("after kill -9 of the supervisor, the next life finds who is adopted and who is ended", () =>
    Effect.gen(function* () {
      const folder = yield* TestFolder.make
      // Whatever becomes of the test: all of them, once their supervisor is dead.
      yield* Effect.addFinalizer(() => Effect.orDie(Effect.flatMap(find([]), endAll)))
      const { crash, started } = yield* stateful(folder, id, [
        child("old", { name: "web", life: 1 }),
        child("web", { life: 2, script: busy }),
        child("scrubbed", { cookie: false }),
        child("changed", { spec: "before" }),
        child("die", { mode: "die", script: "sleep 600 & exec sleep 600" }),
        child("forgotten"),
        // It ended up between its spawn and the write of the state file.
        { label: "unwritten", name: "web", life: 3, mode: "survive", cookie: true, script: "exec sleep 600" },
        { label: "stranger", name: "web", life: 3, mode: "survive", cookie: false, script: "exec sleep 600" }
      ])
      const identityOf = (label: string) => started[label] ?? { pid: 0, startTime: 0, bootId: "" }
      const path = Path.join(folder, "web.log")
      yield* eventually(
        "the app writes",
        Effect.sync(() => (Fs.readFileSync(path, "utf8").length > 0 ? true : undefined))
      )

      // As long as it lives they are its own, whatever anybody remembers.
      const remembered = Object.values(started).map((identity) => entry(identity))
      const living = yield* find(remembered.filter(({ identity }) => identity.pid !== identityOf("stranger").pid))
      assert.deepStrictEqual(living.end, [])
      assert.deepStrictEqual(pids(living.adopt), [identityOf("scrubbed").pid])

      yield* crash
      const { earlier } = yield* StateFile.open(folder, id)
      assert.lengthOf(earlier, 6)
      const others = new Map([...specs].filter(([name]) => name !== "forgotten"))
      const { adopt, end, gone } = yield* Adoption.find(earlier, { ...(yield* us), specs: others })
      assert.deepStrictEqual(
        adopt.map(({ identity, life, restarts }) => [identity, life, restarts]),
        [
          [identityOf("web"), 2, 3],
          [identityOf("scrubbed"), 1, 3]
        ]
      )
      assert.deepStrictEqual(gone, [])
      const ended = new Map(end.map(({ identity, name }) => [identity.pid, name]))
      for (const [label, name] of [
        ["old", "web"],
        ["changed", "changed"],
        ["die", "die"],
        ["forgotten", "forgotten"],
        ["unwritten", "web"]
      ] as const) {
        assert.strictEqual(ended.get(identityOf(label).pid), name, label)
      }
      // With what is below them, and nobody else: the web's own three are let alone.
      assert.lengthOf(end, 6)
      assert.isFalse(ended.has(identityOf("stranger").pid))

      yield* endAll({ end })
      const written = Fs.statSync(path).size
      yield* eventually(
        "the adopted one still writes",
        Effect.sync(() => (Fs.statSync(path).size > written ? true : undefined))
      )
      const again = yield* find(earlier)
      assert.deepStrictEqual(pids(again.adopt), [identityOf("web").pid, identityOf("scrubbed").pid])
      assert.deepStrictEqual(again.end, [])
      assert.lengthOf(again.gone, 4)

      // Nobody's child here; and its end is noticed.
      const watch = yield* Effect.forkChild(Adoption.watchExit(identityOf("web")))
      yield* ProcessFault.kill(identityOf("web"))
      yield* Fiber.join(watch)
      assert.isFalse(yield* ProcessIdentity.isAlive(identityOf("web")))
      // What it has left bears the cookie, and is nobody's family any more.
      const rest = yield* find(earlier)
      assert.isAtLeast(rest.end.length, 2)
      yield* endAll(rest)
      assert.deepStrictEqual((yield* find(earlier)).end, [])
    })
  )

  it.live("a pid that a stranger has now, and another boot: nobody is adopted, nobody ended", () =>
    Effect.gen(function* () {
      const stranger = yield* TestProcess.idle
      const untouched = { adopt: [], end: [] }
      const check = Effect.fnUntraced(function* (one: StateFile.Remembered) {
        const { adopt, end, gone } = yield* find([one, { ...one, name: "die", mode: "die" }])
        assert.deepStrictEqual({ adopt, end }, untouched)
        assert.lengthOf(gone, 2)
      })
      yield* check(entry({ ...stranger, startTime: stranger.startTime - 1 }))
      yield* check(entry({ ...stranger, bootId: "an-earlier-boot" }))
      yield* check(entry(yield* TestProcess.deceased))
      yield* check(entry(yield* TestProcess.zombie))
      const table = yield* ProcessTable
      const later = Effect.map(table.all, (all) =>
        all.map((stat) => (stat.pid === stranger.pid ? { ...stat, startTime: stat.startTime + 1 } : stat))
      )
      yield* check(entry(stranger)).pipe(TestProcessTable.answering({ all: later }))
      yield* check(entry(stranger)).pipe(TestProcessTable.answering({ bootId: Effect.succeed("a-later-boot") }))
      // A machine that hides its boot id proves nothing.
      yield* check(entry({ ...stranger, bootId: "" })).pipe(TestProcessTable.answering({ bootId: Effect.succeed("") }))
      assert.deepStrictEqual(pids((yield* find([entry(stranger)])).adopt), [stranger.pid])
    })
  )

  it.live(
    "ends neither itself nor who is above it, nor its own helpers, where it was started by what it looks for",
    () =>
      Effect.gen(function* () {
        const helper = yield* TestProcess.idle
        const other = yield* TestProcess.idle
        const dead = yield* TestProcess.deceased
        const table = yield* ProcessTable
        const variable = (pid: number, name: string) =>
          name === "NEXO_SUPERVISED" && [process.pid, process.ppid, helper.pid, other.pid].includes(pid)
            ? Effect.succeed(`${id}/${pid === other.pid ? "die" : "web"}/${dead.pid}.${dead.startTime}`)
            : table.variable(pid, name)
        const { end } = yield* find([entry(yield* TestProcess.identityOf(process.ppid))]).pipe(
          TestProcessTable.answering({ variable })
        )
        assert.deepStrictEqual(end, [{ name: "die", identity: other }])
      })
  )

  it.effect.prop(
    "whatever there is: only who is ours is ended, nobody both ended and adopted, one of a name adopted",
    { madeUp: Schema.Array(MadeUp).check(Schema.isMaxLength(9)) },
    ({ madeUp }) =>
      Effect.gen(function* () {
        const { answers, stats } = tableOf(madeUp)
        const earlier = madeUp.flatMap(({ life, mode, name, remembered, spec, startTime }, index) =>
          remembered === "no"
            ? []
            : [
                entry(
                  {
                    pid: 10 + index,
                    startTime: remembered === "other start" ? startTime + 1 : startTime,
                    bootId: remembered === "other boot" ? "before" : "boot"
                  },
                  { life, mode, name, spec }
                )
              ]
        )
        const supervisor = { pid: 2, startTime: 9 }
        const { adopt, end, gone } = yield* Adoption.find(earlier, { id, supervisor, specs }).pipe(
          TestProcessTable.answering(answers)
        )
        const adopted = new Set(pids(adopt))
        const ended = new Set(pids(end))
        assert.strictEqual(new Set(adopt.map(({ name }) => name)).size, adopt.length)
        assert.strictEqual(ended.size, end.length)
        for (const { identity, mode, name, spec } of adopt) {
          const real = madeUp[identity.pid - 10]
          assert.isFalse(ended.has(identity.pid))
          assert.deepStrictEqual([real?.remembered, mode, spec], ["right", "survive", "now"])
          assert.isTrue(specs.has(name))
          assert.notInclude(["living supervisor", "other id"], real?.cookie)
        }
        const isOurs = (pid: number): boolean => {
          const one = madeUp[pid - 10]
          if (one === undefined) return false
          const isRemembered = one.remembered === "right" && (one.cookie === "none" || one.cookie === "dead supervisor")
          return isRemembered || one.cookie === "dead supervisor"
        }
        for (const { identity } of end) {
          const stat = stats.find((other) => other.pid === identity.pid)
          assert.deepStrictEqual([stat?.startTime, identity.bootId], [identity.startTime, "boot"])
          assert.notInclude(["living supervisor", "other id"], madeUp[identity.pid - 10]?.cookie)
          // Itself, somebody above it, or the leader of its group.
          const above = [stat, stat]
          for (let at = stat; at !== undefined; at = stats.find((other) => other.pid === at?.parent)) {
            above.push(
              at,
              stats.find((other) => other.pid === at?.group)
            )
          }
          assert.isTrue(
            above.some((one) => isOurs(one?.pid ?? 0)),
            `${identity.pid} is nobody of ours`
          )
        }
        // Each that is remembered is one of them, at most.
        for (const { identity } of gone) assert.isFalse(adopted.has(identity.pid))
      })
  )

  it("the hash tells another program, and not the order or the values of variables", () => {
    const spec = { command: "node", args: ["a", "b"], cwd: undefined, env: ["A", "B"] }
    const hash = Adoption.hashOf(spec)
    assert.match(hash, /^[0-9a-f]{32}$/)
    assert.strictEqual(Adoption.hashOf({ ...spec, env: ["B", "A", "A"] }), hash)
    for (const other of [
      { ...spec, command: "bun" },
      { ...spec, args: ["ab"] },
      { ...spec, args: ["b", "a"] },
      { ...spec, cwd: "/" },
      { ...spec, env: ["A"] },
      { ...spec, inheritEnv: ["A"] },
      { ...spec, log: { file: "a" } },
      { ...spec, log: { file: "a", errorFile: "b" } }
    ]) {
      assert.notStrictEqual(Adoption.hashOf(other), hash)
    }
    // What a relative one means depends on where the supervisor was started.
    const folder = process.cwd()
    const log = { file: `${folder}/a` }
    assert.strictEqual(Adoption.hashOf({ ...spec, cwd: folder }), hash)
    assert.strictEqual(Adoption.hashOf({ ...spec, log }), Adoption.hashOf({ ...spec, log: { file: "a" } }))
  })
})

describe("watchExit", () => {
  it.live("ends at once for a zombie, for who is gone, and for a pid that somebody else has", () =>
    Effect.gen(function* () {
      const stranger = yield* TestProcess.idle
      yield* Adoption.watchExit(yield* TestProcess.zombie)
      yield* Adoption.watchExit(yield* TestProcess.deceased)
      yield* Adoption.watchExit({ ...stranger, startTime: stranger.startTime - 1 })
    })
  )

  it.live("goes on while it lives, is stopped, or cannot be read; and notices a pid that was given anew", () =>
    Effect.gen(function* () {
      const identity = yield* TestProcess.idle
      const table = yield* ProcessTable
      const real = yield* table.stat(identity.pid)
      assert.isDefined(real)
      let now: "same" | "unreadable" | "reused" = "same"
      const stat = (pid: number) =>
        now === "unreadable"
          ? Effect.fail(new Unsupported({ feature: "reading a process", platform: "linux", code: "EMFILE" }))
          : Effect.map(table.stat(pid), (one) =>
              one !== undefined && now === "reused" ? { ...one, startTime: one.startTime + 1 } : one
            )
      const watch = yield* Effect.forkChild(Adoption.watchExit(identity).pipe(TestProcessTable.answering({ stat })))
      yield* ProcessIdentity.signal(identity, "SIGSTOP")
      assert.isTrue(
        yield* Effect.map(Effect.timeoutOption(Fiber.await(watch), "100 millis"), ({ _tag }) => _tag === "None")
      )
      now = "unreadable"
      assert.isTrue(
        yield* Effect.map(Effect.timeoutOption(Fiber.await(watch), "1200 millis"), ({ _tag }) => _tag === "None")
      )
      now = "reused"
      yield* Fiber.join(watch)
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )
})
