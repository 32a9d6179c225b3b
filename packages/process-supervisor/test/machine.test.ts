import { assert, describe, it } from "@effect/vitest"
import { Exited, LivenessFailed } from "@nexobot/core/ProcessExit"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

import * as Group from "../src/Group.ts"
import { expand } from "../src/internal/expand.ts"
import * as Machine from "../src/internal/machine.ts"
import { isWithin, type Link, linksOf, membersOf, type Plan } from "../src/internal/plan.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import type { RestartOptions } from "../src/RestartPolicy.ts"

const crash = new Exited({ code: 1 })
const fine = new Exited({ code: 0 })
const root = { strategy: "one_for_one", intensity: { limit: 3, window: Duration.minutes(5) } } as const

const spec = (name: string, dependsOn: ProcessSpec.SpecOptions["dependsOn"] = [], restartPolicy: RestartOptions = {}) =>
  ProcessSpec.make({
    name,
    command: "x",
    dependsOn,
    restartPolicy: { backoff: { initial: 10, max: 10, jitter: "none" }, ...restartPolicy }
  })

const planOf = (...members: ReadonlyArray<Group.Member>): Plan => expand(members, root).plan

/** A world that carries out orders when it is told to, and checks each of them. */
class World {
  readonly plan: Plan
  state: Machine.State
  now = 0
  readonly log: Array<string> = []
  /** Orders that are not carried out yet. */
  readonly open = new Map<string, "start" | "stop">()
  /** What runs, and whether it said that it is ready. */
  readonly alive = new Map<string, "spawned" | "ready">()
  readonly completed = new Set<string>()
  /** Who left something behind, and was not stopped without a rest since. */
  readonly haunted = new Set<string>()
  /** When the restart of a member was decided because it had ended, by the index of its group. */
  readonly borne = new Map<number, ReadonlyArray<number>>()

  constructor(plan: Plan) {
    this.plan = plan
    this.state = Machine.initial(plan)
  }

  tell(input: Machine.Input): void {
    const step = Machine.step(this.plan, this.state, input, { now: this.now, seed: 0.5 })
    this.state = step.state
    for (const decision of step.decisions) {
      const about =
        decision._tag === "Escalated" ? ` to ${decision.to}` : decision._tag === "GaveUp" ? ` ${decision.reason}` : ""
      this.log.push(`${decision.name} ${decision._tag}${about}`)
    }
    this.check(step.decisions)
    for (const order of step.orders) this.take(order)
  }

  private check(decisions: ReadonlyArray<Machine.Decision>): void {
    const escalated = decisions.flatMap((one) => (one._tag === "Escalated" ? [one.name] : []))
    assert.deepStrictEqual(escalated, [...new Set(escalated)], "escalated twice because of one thing")
    for (const decision of decisions) {
      if (decision._tag !== "RestartDecided" || decision.why !== "Exit") continue
      const group = this.plan.units.find((unit) => unit.name === decision.name)?.group ?? 0
      const bounds = this.plan.groups[group]
      if (bounds?.parent === undefined) continue
      const since = this.now - Duration.toMillis(bounds.intensity.window)
      const recent = [...(this.borne.get(group) ?? []), this.now].filter((at) => at > since)
      this.borne.set(group, recent)
      assert.isAtMost(recent.length, bounds.intensity.limit, `restarts in ${bounds.name}`)
    }
    // A group that is restarted as a whole counts anew, with those within it.
    for (const [index, { name }] of this.plan.groups.entries()) {
      if (!escalated.includes(name)) continue
      for (const within of this.plan.groups.keys()) if (isWithin(this.plan, within, index)) this.borne.delete(within)
    }
  }

  private take(order: Machine.Order): void {
    const { name } = order
    if (order._tag === "Stop") {
      assert.notStrictEqual(this.open.get(name), "stop", `${name} is stopped already`)
      // Whoever needs it and is to go as well has gone before.
      for (const other of linksOf(this.plan).get(name)?.after ?? []) {
        const unit = this.state.units.get(other)
        const goesToo = unit?.goal === "Down" || unit?.cycle !== undefined || this.open.get(other) === "stop"
        if (this.alive.has(name)) assert.isFalse(goesToo && this.alive.has(other), `${other} outlives ${name}`)
      }
      this.open.set(name, "stop")
      this.log.push(`stop ${name}`)
      return
    }
    assert.isFalse(this.alive.has(name), `${name} runs already`)
    assert.isFalse(this.open.has(name), `${name} has an order already`)
    assert.isFalse(this.haunted.has(name), `${name} would be there twice`)
    for (const dependency of this.plan.units.find((unit) => unit.name === name)?.dependsOn ?? []) {
      const as = this.alive.get(dependency.name)
      const done = this.completed.has(dependency.name)
      const there = { started: as !== undefined || done, ready: as === "ready" || done, completed: done }
      assert.isTrue(there[dependency.until], `${name} starts before ${dependency.name} is ${dependency.until}`)
    }
    this.open.set(name, "start")
    this.log.push(`start ${name}`)
  }

  /** Carries out the order for a process, if there is one. */
  answer(name: string, how: "spawn" | "fail" | "hold" | "survive" = "spawn"): void {
    const order = this.open.get(name)
    if (order === "stop") {
      this.open.delete(name)
      this.alive.delete(name)
      const survivors = how === "survive"
      if (survivors) this.haunted.add(name)
      else this.haunted.delete(name)
      this.tell({ _tag: "Stopped", name, survivors, ranFor: Duration.zero })
    } else if (order === "start" && how === "hold") {
      this.tell({ _tag: "Held", name })
    } else if (order === "start") {
      this.open.delete(name)
      this.completed.delete(name)
      if (how === "fail") return this.tell({ _tag: "Exited", name, exit: crash, ranFor: Duration.zero })
      this.alive.set(name, "spawned")
      this.tell({ _tag: "Spawned", name })
    }
  }

  ready(name: string): void {
    if (this.alive.get(name) !== "spawned" || this.open.has(name)) return
    this.alive.set(name, "ready")
    this.tell({ _tag: "Ready", name })
  }

  exit(name: string, exit = crash, ranFor = 0): void {
    if (!this.alive.has(name) || this.open.has(name)) return
    this.alive.delete(name)
    if (exit.code === 0) this.completed.add(name)
    this.tell({ _tag: "Exited", name, exit, ranFor: Duration.millis(ranFor) })
  }

  /** Time passes, all orders are carried out, and all that runs becomes ready, until nothing happens any more. */
  settle(): void {
    for (let round = 0; round < 500; round++) {
      for (const name of Array.from(this.open.keys())) this.answer(name)
      for (const name of Array.from(this.alive.keys())) this.ready(name)
      const due = Machine.nextDue(this.state, this.now)
      if (this.open.size > 0) continue
      if (due === undefined) return
      this.now = Math.max(this.now, due)
      this.tell({ _tag: "Tick" })
    }
    assert.fail(`it never comes to rest: ${JSON.stringify([...this.state.units])}`)
  }

  start(): this {
    this.tell({ _tag: "Start", names: this.plan.units.map((unit) => unit.name) })
    this.settle()
    this.log.length = 0
    return this
  }

  states(): Record<string, string> {
    return Object.fromEntries([...this.state.units].map(([name, unit]) => [name, unit.state]))
  }
}

const three = (strategy: Group.Strategy) =>
  new World(planOf(Group.make({ name: "g", strategy, members: [spec("a"), spec("b"), spec("c")] }), spec("d"))).start()

describe("strategies", () => {
  it("one_for_one: only who crashed", () => {
    const world = three("one_for_one")
    world.exit("b")
    world.settle()
    assert.deepStrictEqual(world.log, ["b RestartDecided", "start b"])
  })

  it("rest_for_one: it and the later ones, stopped from the last, started from the first, one after the other", () => {
    const world = three("rest_for_one")
    world.exit("b")
    world.settle()
    assert.deepStrictEqual(world.log, [
      "b RestartDecided",
      "c StopRequested",
      "stop c",
      "c RestartDecided",
      "c Blocked",
      "start b",
      "start c"
    ])
    assert.strictEqual(world.state.units.get("a")?.restarts, 0)
    assert.strictEqual(world.state.units.get("c")?.restarts, 1)
  })

  it("one_for_all: all of the group, and nobody starts before all have stopped", () => {
    const world = three("one_for_all")
    world.exit("b")
    world.answer("a")
    assert.deepStrictEqual(
      world.log.filter((line) => line.startsWith("start")),
      []
    )
    world.settle()
    const started = world.log.filter((line) => line.startsWith("start"))
    assert.sameMembers(started, ["start a", "start b", "start c"])
    assert.isAbove(world.log.indexOf(started[0] ?? ""), world.log.indexOf("stop c"))
  })

  it("who was stopped on request, or has ended well, is not taken along", () => {
    const world = new World(
      planOf(
        Group.make({
          name: "g",
          strategy: "one_for_all",
          members: [spec("a"), spec("b"), spec("once", [], { type: "transient" })]
        })
      )
    ).start()
    world.exit("once", fine)
    world.tell({ _tag: "Stop", names: ["a"] })
    world.settle()
    world.exit("b")
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Stopped", b: "Running", once: "Ended" })
  })
})

const all = (...members: ReadonlyArray<Group.Member>) =>
  new World(planOf(Group.make({ name: "g", strategy: "one_for_all", members }))).start()

describe("strategies, when more happens at once", () => {
  it("a temporary member ends with the others, and is not restarted", () => {
    const world = all(spec("a"), spec("once", [], { type: "temporary" }))
    world.exit("a")
    world.settle()
    assert.include(world.log, "stop once")
    assert.deepStrictEqual(world.states(), { a: "Running", once: "Stopped" })
  })

  it("who ends while it waits to be stopped with its group is restarted with it: that is no second failure", () => {
    const world = new World(
      planOf(
        Group.make({
          name: "g",
          strategy: "one_for_all",
          intensity: { limit: 1, window: "1 minute" },
          members: [spec("a"), spec("b", ["a"]), spec("c")]
        })
      )
    ).start()
    world.exit("c")
    // It waits for b.
    world.exit("a")
    world.settle()
    assert.notInclude(world.log.join(), "Escalated")
    assert.include(world.log, "stop a")
    assert.deepStrictEqual(world.states(), { a: "Running", b: "Running", c: "Running" })
  })

  it("who fails while its group is stopped for another is no second failure either", () => {
    const world = new World(
      planOf(
        Group.make({ name: "g", intensity: { limit: 0, window: "1 minute" }, members: [spec("a"), spec("b")] }),
        spec("d")
      )
    ).start()
    world.tell({ _tag: "Unfit", name: "b", exit: new LivenessFailed({ why: "no" }) })
    world.exit("a")
    world.settle()
    assert.strictEqual(world.log.filter((line) => line.includes("Escalated")).length, 1)
    assert.deepStrictEqual(world.states(), { a: "Running", b: "Running", d: "Running" })
  })

  it("a member that waits for its own restart keeps its delay, and is not counted twice", () => {
    const slow = { backoff: { initial: 500, max: 500, jitter: "none" } } as const
    const members = [spec("a"), spec("slow", [], slow)]
    const world = new World(planOf(Group.make({ name: "g", strategy: "rest_for_one", members }))).start()
    world.exit("slow")
    world.now += 100
    world.exit("a")
    world.now += 10
    world.tell({ _tag: "Tick" })
    world.answer("a")
    world.ready("a")
    assert.strictEqual(Machine.nextDue(world.state, world.now), 500)
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Running", slow: "Running" })
    assert.strictEqual(world.state.units.get("slow")?.restarts, 1)
  })

  it("who stops and is to start again is still waited for", () => {
    const world = all(spec("a"), spec("b"))
    world.exit("a")
    world.tell({ _tag: "Stop", names: ["b"] })
    world.tell({ _tag: "Start", names: ["b"] })
    world.now += 1000
    world.tell({ _tag: "Tick" })
    assert.notInclude(world.log, "start a")
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Running", b: "Running" })
  })

  it("a group counts what was decided, whatever the delays", () => {
    const late = { backoff: { initial: "10 minutes", max: "10 minutes" } } as const
    const world = new World(
      planOf(
        Group.make({
          name: "g",
          intensity: { limit: 2, window: "1 minute" },
          members: [spec("a"), spec("late", [], late)]
        })
      )
    ).start()
    world.exit("a")
    world.now += 10
    world.tell({ _tag: "Tick" })
    world.answer("a")
    world.ready("a")
    world.exit("late")
    assert.notInclude(world.log.join(), "Escalated")
    world.exit("a")
    assert.include(world.log.join(), "Escalated")
  })
})

const nested = (limit: number) =>
  planOf(
    Group.make({
      name: "outer",
      strategy: "one_for_all",
      intensity: { limit, window: "1 minute" },
      members: [
        spec("x"),
        Group.make({ name: "inner", intensity: { limit: 2, window: "1 minute" }, members: [spec("a"), spec("b")] })
      ]
    }),
    spec("other")
  )

describe("escalation", () => {
  it("a group beyond its intensity escalates once, and its parent restarts it by its own strategy", () => {
    const world = new World(nested(5)).start()
    for (let crashes = 0; crashes < 3; crashes++) {
      world.exit("a")
      if (crashes < 2) world.settle()
    }
    assert.deepStrictEqual(
      world.log.filter((line) => line.includes("Escalated")),
      ["inner Escalated to outer"]
    )
    world.settle()
    assert.deepStrictEqual(
      world.log.filter((line) => line.includes("Escalated")),
      ["inner Escalated to outer"]
    )
    assert.includeMembers(world.log, ["stop x", "stop b", "start x", "start a", "start b"])
    assert.notInclude(world.log, "stop other")
    assert.deepStrictEqual(new Set(Object.values(world.states())), new Set(["Running"]))
  })

  it("a parent beyond its own escalates too, up to the root, which gives the group up and keeps the others", () => {
    const world = new World(nested(0)).start()
    for (let round = 0; round < 40 && world.states()["a"] !== "Failed"; round++) {
      world.exit("a")
      world.settle()
    }
    assert.include(world.log, "outer Escalated to supervisor")
    assert.deepStrictEqual(world.states(), { x: "Failed", a: "Failed", b: "Failed", other: "Running" })
    assert.strictEqual(world.alive.size, 1)
  })

  it("a member whose own policy gave up is a failure of its group; at the root it is its own", () => {
    const doomed = spec("a", [], { attempts: 0 })
    const grouped = new World(planOf(Group.make({ name: "g", members: [doomed, spec("b")] }))).start()
    grouped.exit("a")
    assert.deepStrictEqual(grouped.log.slice(0, 2), ["a GaveUp AttemptsExhausted", "g Escalated to supervisor"])
    grouped.settle()
    assert.deepStrictEqual(grouped.states(), { a: "Running", b: "Running" })
    const alone = new World(planOf(doomed, spec("b"))).start()
    alone.exit("a")
    alone.settle()
    assert.deepStrictEqual(alone.states(), { a: "Failed", b: "Running" })
  })
})

/** The first failure is one too many. */
const doomed = (...members: ReadonlyArray<Group.Member>) =>
  new World(
    expand([Group.make({ name: "g", intensity: { limit: 0, window: "1 minute" }, members })], {
      strategy: "one_for_one",
      intensity: { limit: 0, window: Duration.minutes(5) }
    }).plan
  ).start()

describe("a group that gave up", () => {
  it("leaves what somebody had stopped as it is", () => {
    const world = doomed(spec("a"), spec("b"))
    world.tell({ _tag: "Stop", names: ["b"] })
    world.exit("a")
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Failed", b: "Stopped" })
  })

  it("looks for what a member left that ended by itself while it waited for others", () => {
    const world = doomed(spec("a"), spec("b"), spec("c", ["b"]))
    world.exit("a")
    world.exit("b")
    assert.include(world.log, "stop b")
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Failed", b: "Failed", c: "Failed" })
  })

  it("counts anew when it is restarted, with the groups within it", () => {
    const inner = Group.make({ name: "i", intensity: { limit: 1, window: "1 minute" }, members: [spec("a")] })
    const outer = Group.make({
      name: "o",
      intensity: { limit: 0, window: "1 minute" },
      members: [inner, spec("b", [], { attempts: 0 })]
    })
    const world = new World(planOf(outer)).start()
    world.exit("a")
    world.settle()
    world.exit("b")
    world.settle()
    world.log.length = 0
    world.exit("a")
    assert.deepStrictEqual(world.log, ["a RestartDecided"])
  })
})

const port = (name: string) => ProcessSpec.make({ name, command: "x", port: 5 })

describe("dependencies", () => {
  it("start in order, stop in reverse, in parallel where independent", () => {
    const world = new World(planOf(spec("app", ["db", "cache"]), spec("db"), spec("cache"), spec("web", ["app"])))
    world.tell({ _tag: "Start", names: ["app", "db", "cache", "web"] })
    assert.deepStrictEqual(world.log, ["app Blocked", "web Blocked", "start db", "start cache"])
    world.settle()
    world.log.length = 0
    world.tell({ _tag: "Stop", names: ["app", "db", "cache", "web"] })
    world.settle()
    assert.deepStrictEqual(
      world.log.filter((line) => line.startsWith("stop")),
      ["stop web", "stop app", "stop db", "stop cache"]
    )
  })

  it("completed means ended well; what failed for good has its dependants skipped, with those that depend on them", () => {
    const needs = [{ name: "migrate", until: "completed" }] as const
    const members = [spec("migrate", [], { type: "transient", attempts: 1 }), spec("app", needs), spec("web", ["app"])]
    const good = new World(planOf(...members))
    good.tell({ _tag: "Start", names: ["migrate", "app", "web"] })
    good.settle()
    assert.deepStrictEqual(good.states(), { migrate: "Running", app: "Blocked", web: "Blocked" })
    good.exit("migrate", fine)
    good.settle()
    assert.deepStrictEqual(good.states(), { migrate: "Ended", app: "Running", web: "Running" })

    const bad = new World(planOf(...members))
    bad.tell({ _tag: "Start", names: ["migrate", "app", "web"] })
    bad.settle()
    bad.exit("migrate")
    bad.settle()
    bad.exit("migrate")
    bad.settle()
    assert.deepStrictEqual(bad.states(), { migrate: "Failed", app: "Skipped", web: "Skipped" })
    // Whoever mends it need not name them all.
    bad.tell({ _tag: "Start", names: ["migrate"] })
    bad.settle()
    bad.exit("migrate", fine)
    bad.settle()
    assert.deepStrictEqual(bad.states(), { migrate: "Ended", app: "Running", web: "Running" })
  })

  it("a dependant that runs goes on when what it depends on crashes", () => {
    const world = new World(planOf(spec("db"), spec("app", ["db"]))).start()
    world.exit("db")
    world.settle()
    assert.deepStrictEqual(world.log, ["db RestartDecided", "start db"])
  })

  it("who stops is gone before what it needs is stopped, even if it is to start again", () => {
    const world = new World(planOf(spec("db"), spec("app", ["db"]))).start()
    world.tell({ _tag: "Stop", names: ["app"] })
    world.tell({ _tag: "Start", names: ["app"] })
    world.tell({ _tag: "Stop", names: ["db"] })
    assert.notInclude(world.log, "stop db")
    world.settle()
    assert.deepStrictEqual(world.states(), { db: "Stopped", app: "Blocked" })
  })

  it("nobody starts on what is about to be restarted", () => {
    const world = new World(planOf(spec("db"), spec("app", ["db"]), spec("late", ["db"]))).start()
    world.tell({ _tag: "Stop", names: ["late"] })
    world.settle()
    world.tell({ _tag: "Restart", names: ["db", "app"] })
    world.tell({ _tag: "Start", names: ["late"] })
    assert.strictEqual(world.states()["late"], "Blocked")
    world.settle()
    assert.deepStrictEqual(world.states(), { db: "Running", app: "Running", late: "Running" })
  })

  it("who was skipped goes on when what it needs comes, whoever else in its line has failed", () => {
    const line = Group.make({
      name: "g",
      strategy: "rest_for_one",
      members: [spec("first", [], { attempts: 0 }), spec("app", ["db"])]
    })
    const plan = expand([spec("db", [], { attempts: 0 }), line], {
      strategy: "one_for_one",
      intensity: { limit: 0, window: Duration.minutes(5) }
    }).plan
    const world = new World(plan)
    world.tell({ _tag: "Start", names: ["db"] })
    world.settle()
    world.exit("db")
    world.tell({ _tag: "Start", names: ["first", "app"] })
    world.settle()
    assert.deepStrictEqual(world.states(), { db: "Failed", first: "Running", app: "Skipped" })
    world.exit("first")
    assert.deepStrictEqual(world.states(), { db: "Failed", first: "Failed", app: "Failed" })
    world.tell({ _tag: "Start", names: ["app"] })
    world.settle()
    assert.strictEqual(world.states()["app"], "Skipped")
    world.tell({ _tag: "Start", names: ["db"] })
    world.settle()
    assert.deepStrictEqual(world.states(), { db: "Running", first: "Failed", app: "Running" })
  })

  it("cycles, unknown names, and taken names and ports are named", () => {
    assert.throws(() => planOf(spec("a", ["b"]), spec("b", ["c"]), spec("c", ["a"])), /a → b → c → a/)
    assert.throws(() => planOf(spec("a", ["nobody"])), /a\.dependsOn.*nobody.*one of a/)
    assert.throws(() => planOf(spec("a"), Group.make({ name: "a", members: [spec("b")] })), /name.*"a"/)
    assert.throws(() => planOf(port("a"), port("b")), /b\.port.*5.*a has this one/)
    // In line, each member waits for the ones before it.
    const line = Group.make({ name: "g", strategy: "rest_for_one", members: [spec("a", ["b"]), spec("b")] })
    assert.throws(() => planOf(line), /a → b → a/)
  })

  it("members are what was made by one of the two constructors", () => {
    for (const bad of [null, "a", { name: "a", command: "x" }]) {
      assert.throws(() => Group.make({ name: "g", members: [bad as never] }), /option "members\[0\]"/)
    }
  })

  it("a group as a dependency is each of its members; instances are told apart", () => {
    const workers = ProcessSpec.make({
      name: "w",
      command: "x",
      instances: 2,
      port: 80,
      env: { PORT: "90" },
      log: "/l"
    })
    const { groups, plan, specs } = expand([workers, spec("app", ["w"])], root)
    assert.deepStrictEqual(groups.get("w"), ["w:0", "w:1"])
    assert.deepStrictEqual(
      plan.units.at(-1)?.dependsOn.map(({ name }) => name),
      ["w:0", "w:1"]
    )
    const second = specs.get("w:1")
    assert.deepInclude(second, { port: 81, env: { NEXO_INSTANCE: "1", PORT: "91" } })
    assert.strictEqual(second?.log?.file, "/l.1")
  })
})

describe("requests", () => {
  it("a stop while it starts, and a start while it stops, end as asked last", () => {
    const world = new World(planOf(spec("a")))
    world.tell({ _tag: "Start", names: ["a"] })
    world.tell({ _tag: "Stop", names: ["a"] })
    world.tell({ _tag: "Start", names: ["a"] })
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Running" })
    world.tell({ _tag: "Restart", names: ["a"] })
    world.tell({ _tag: "Stop", names: ["a"] })
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Stopped" })
  })

  it("unfit is a failure that the policy decides about; recycled is not counted", () => {
    const world = new World(planOf(spec("a", [], { attempts: 1 }))).start()
    for (let round = 0; round < 5; round++) {
      world.tell({ _tag: "Recycle", name: "a", why: "MaxAge" })
      world.settle()
    }
    assert.deepInclude(world.state.units.get("a"), { state: "Running", restarts: 0 })
    for (let round = 0; round < 2; round++) {
      world.tell({ _tag: "Unfit", name: "a", exit: new LivenessFailed({ why: "no" }) })
      world.settle()
    }
    assert.deepInclude(world.state.units.get("a"), { state: "Failed", restarts: 1 })
  })

  it("a restart that waits for others is done, whatever becomes of the process meanwhile", () => {
    const meanwhile: ReadonlyArray<(world: World) => void> = [
      (world) => world.exit("db", fine),
      (world) => world.tell({ _tag: "Unfit", name: "db", exit: new LivenessFailed({ why: "no" }) }),
      (world) => world.tell({ _tag: "Recycle", name: "db", why: "Cron" })
    ]
    for (const happens of meanwhile) {
      const world = new World(planOf(spec("db", [], { type: "transient", attempts: 0 }), spec("app", ["db"]))).start()
      world.tell({ _tag: "Restart", names: ["db", "app"] })
      happens(world)
      world.settle()
      assert.deepStrictEqual(world.states(), { db: "Running", app: "Running" })
      assert.strictEqual(world.state.units.get("db")?.restarts, 0)
    }
  })

  it("what outlived a stop is looked for again before a start, by whomever it is wanted", () => {
    const world = new World(planOf(spec("a"), Group.make({ name: "g", members: [spec("b")] }))).start()
    for (const name of ["a", "b"]) {
      world.tell({ _tag: "Restart", names: [name] })
      world.answer(name, "survive")
    }
    // The group restarts its member, and does not give up at once.
    assert.deepStrictEqual(world.states(), { a: "Failed", b: "Stopping" })
    world.tell({ _tag: "Start", names: ["a"] })
    assert.deepStrictEqual(world.states(), { a: "Stopping", b: "Stopping" })
    world.settle()
    assert.deepStrictEqual(world.states(), { a: "Running", b: "Running" })
  })

  it("nothing is started beside what outlived SIGKILL", () => {
    const world = new World(planOf(spec("a"))).start()
    world.tell({ _tag: "Restart", names: ["a"] })
    world.tell({ _tag: "Stopped", name: "a", ranFor: Duration.zero, survivors: true })
    assert.deepStrictEqual(world.states(), { a: "Failed" })
  })
})

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))

const Happening = Schema.Struct({
  what: Schema.Literals([
    "answer",
    "answer",
    "answer",
    "fail",
    "hold",
    "survive",
    "late",
    "ready",
    "ready",
    "crash",
    "complete",
    "unfit",
    "recycle",
    "start",
    "stop",
    "restart",
    "restart all",
    "wait"
  ]),
  who: Index
})

const Shape = Schema.Struct({
  strategies: Schema.Array(Schema.Literals(["one_for_one", "one_for_all", "rest_for_one"])).check(
    Schema.isMinLength(3),
    Schema.isMaxLength(3)
  ),
  /** Of each unit: whether it is in the inner group, the outer one, or in none. */
  places: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 }))).check(
    Schema.isMinLength(6),
    Schema.isMaxLength(6)
  ),
  needs: Schema.Array(
    Schema.Struct({ from: Index, to: Index, until: Schema.Literals(["started", "ready", "completed"]) })
  ).check(Schema.isMaxLength(5)),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
  type: Schema.Literals(["permanent", "transient", "temporary"])
})

/** Six units, of which some depend on ones that come before them, so that there is no cycle. */
const planFrom = ({ limit, needs, places, strategies, type }: typeof Shape.Type, own: number): Plan => {
  const units = places.map((_, at) => {
    const dependsOn = needs
      .filter(({ from, to }) => from === at && to < from)
      .map(({ to, until }) => ({ name: `u${to}`, until }))
    return spec(`u${at}`, dependsOn, { type, intensity: { limit: own, window: "1 minute" } })
  })
  const at = (place: number) => units.filter((_, index) => places[index] === place)
  const intensity = { limit, window: "1 minute" } as const
  const [rootStrategy = "one_for_one", outerStrategy = "one_for_one", innerStrategy = "one_for_one"] = strategies
  const inner =
    at(0).length > 0 ? [Group.make({ name: "inner", strategy: innerStrategy, intensity, members: at(0) })] : []
  const outerMembers = [...inner, ...at(1)]
  const outer =
    outerMembers.length > 0
      ? [Group.make({ name: "outer", strategy: outerStrategy, intensity, members: outerMembers })]
      : []
  return expand([...outer, ...at(2)], { strategy: rootStrategy, intensity: { limit: 2, window: Duration.minutes(5) } })
    .plan
}

/** Links of a line may contradict dependencies: then there is no such plan. */
const possible = (shape: typeof Shape.Type, own = shape.limit + 1): Plan | undefined => {
  try {
    return planFrom(shape, own)
  } catch {
    return undefined
  }
}

const Wait = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40_000 }))

/**
 * What `supervisor.erl` does, without time and order: a failed child is counted, and restarted by the strategy; when there
 * were too many, the supervisor itself has failed, as a child of another one. Three things are ours: the root counts only
 * groups, what it gives up it keeps in mind instead of ending itself, and a group that is taken along counts on.
 */
class Erlang {
  readonly failed = new Set<string>()
  stopped: ReadonlyArray<string> = []
  private readonly plan: Plan
  private readonly counts: Array<ReadonlyArray<number>>

  constructor(plan: Plan) {
    this.plan = plan
    this.counts = plan.groups.map(() => [])
  }

  /** Who is started. */
  crash(name: string, now: number): ReadonlyArray<string> {
    const unit = this.plan.units.find((one) => one.name === name)
    const { restarted, lost } = this.childFailed(unit?.group ?? 0, [name], now, true)
    const gone = [...restarted, ...lost].filter((one) => one !== name && !this.failed.has(one))
    this.stopped = gone
    for (const one of lost) this.failed.add(one)
    return restarted.filter((one) => !this.failed.has(one))
  }

  private leaves(group: number): ReadonlyArray<string> {
    return this.plan.units.flatMap(({ group: of, name }) => {
      for (let at: number | undefined = of; at !== undefined; at = this.plan.groups[at]?.parent) {
        if (at === group) return [name]
      }
      return []
    })
  }

  private childFailed(
    group: number,
    child: ReadonlyArray<string>,
    now: number,
    isWorker: boolean
  ): { readonly restarted: ReadonlyArray<string>; readonly lost: ReadonlyArray<string> } {
    const { intensity, parent, strategy } = this.plan.groups[group] ?? assert.fail("no such group")
    const leaves = this.leaves(group)
    const end = Math.max(...child.map((name) => leaves.indexOf(name)))
    const concerned =
      strategy === "one_for_all" ? leaves : [...child, ...(strategy === "rest_for_one" ? leaves.slice(end + 1) : [])]
    if (parent === undefined && isWorker) return { restarted: concerned, lost: [] }
    const recent = (this.counts[group] ?? []).filter((at) => at > now - Duration.toMillis(intensity.window))
    this.counts[group] = [...recent, now]
    if (recent.length < intensity.limit) {
      // A child that is a supervisor begins anew.
      if (!isWorker) {
        for (const index of this.plan.groups.keys()) {
          const inside = this.leaves(index)
          if (index !== group && inside.every((name) => child.includes(name))) this.counts[index] = []
        }
      }
      return { restarted: concerned, lost: [] }
    }
    this.counts[group] = recent
    return parent === undefined ? { restarted: [], lost: concerned } : this.childFailed(parent, leaves, now, false)
  }
}

describe("the machine, whatever happens", () => {
  it.prop(
    "orders only what may be, comes to rest, and ends all when it is told to",
    { shape: Shape, adopted: Schema.Array(Index), history: Schema.Array(Happening).check(Schema.isMaxLength(60)) },
    ({ adopted, history, shape }) => {
      const plan = possible(shape)
      if (plan === undefined) return
      const names = plan.units.map(({ name }) => name)
      const world = new World(plan)
      for (const index of new Set(adopted)) {
        world.alive.set(`u${index}`, "ready")
        world.tell({ _tag: "Adopted", name: `u${index}`, restarts: 0 })
      }
      world.tell({ _tag: "Start", names })
      for (const { what, who } of history) {
        const name = `u${who}`
        switch (what) {
          case "answer":
            world.answer(name)
            break
          case "fail":
            world.answer(name, "fail")
            break
          case "hold":
            world.answer(name, "hold")
            break
          case "survive":
            world.answer(name, "survive")
            break
          case "late":
            // What was under way when its stop was ordered.
            if (world.open.get(name) !== "stop") break
            world.tell({ _tag: "Held", name })
            world.tell({ _tag: "Exited", name, exit: crash, ranFor: Duration.zero })
            world.tell({ _tag: "Unfit", name, exit: new LivenessFailed({ why: "no" }) })
            break
          case "ready":
            world.ready(name)
            break
          case "crash":
            world.exit(name)
            break
          case "complete":
            world.exit(name, fine, 20_000)
            break
          case "unfit":
            if (world.alive.has(name) && !world.open.has(name)) {
              world.tell({ _tag: "Unfit", name, exit: new LivenessFailed({ why: "no" }) })
            }
            break
          case "recycle":
            world.tell({ _tag: "Recycle", name, why: "Cron" })
            break
          case "start":
            world.tell({ _tag: "Start", names: [name] })
            break
          case "stop":
            world.tell({ _tag: "Stop", names: [name] })
            break
          case "restart":
            world.tell({ _tag: "Restart", names: [name] })
            break
          case "restart all":
            world.tell({ _tag: "Restart", names })
            break
          case "wait":
            world.now += 100
            world.tell({ _tag: "Tick" })
            break
        }
        // A process is where the machine thinks that it is.
        for (const [one, unit] of world.state.units) {
          if (unit.state === "Running") assert.isTrue(world.alive.has(one), `${one} does not run`)
          if (world.alive.has(one)) {
            assert.include(["Starting", "Running", "Stopping"], unit.state, `${one} runs and is ${unit.state}`)
          }
        }
      }
      world.settle()
      for (const [name, unit] of world.state.units) {
        assert.include(["Running", "Stopped", "Ended", "Failed", "Skipped", "Blocked"], unit.state, name)
        if (unit.state === "Running" || unit.state === "Blocked") assert.strictEqual(unit.goal, "Up")
        assert.isUndefined(unit.cycle)
        // Nobody waits for what is there, or will never come, and nobody gives up what may come.
        const before = linksOf(plan).get(name)?.before ?? []
        const stateOf = (link: Link) => world.state.units.get(link.name)?.state ?? ""
        const hasEndedBadly = (link: Link) => {
          const exit = world.state.units.get(link.name)?.lastExit
          return stateOf(link) === "Ended" && exit !== undefined && exit !== fine
        }
        const isLost = (link: Link) =>
          link.until !== "order" && (["Failed", "Skipped"].includes(stateOf(link)) || hasEndedBadly(link))
        if (unit.state === "Skipped") assert.isTrue(before.some(isLost), `${name} is skipped for no reason`)
        if (unit.state !== "Blocked" || world.open.has(name)) continue
        assert.isFalse(before.some(isLost), `${name} waits in vain`)
        const isMissing = (link: Link) =>
          link.until === "completed"
            ? stateOf(link) !== "Ended"
            : link.until === "order"
              ? stateOf(link) === "Blocked"
              : !["Running", "Ended"].includes(stateOf(link))
        assert.isTrue(before.some(isMissing), `${name} waits for nothing`)
      }
      world.tell({ _tag: "Stop", names })
      world.settle()
      assert.strictEqual(world.alive.size, 0)
      for (const unit of world.state.units.values()) assert.strictEqual(unit.state, "Stopped")
    },
    { arbitrary: { runs: 1500 } }
  )

  it.prop(
    "restarts whom Erlang/OTP would restart, and gives up when it would",
    { shape: Shape, crashes: Schema.Array(Schema.Struct({ who: Index, wait: Wait })).check(Schema.isMaxLength(25)) },
    ({ crashes, shape }) => {
      const plan = possible({ ...shape, needs: [], type: "permanent" }, 1000)
      if (plan === undefined) return
      const world = new World(plan).start()
      const erlang = new Erlang(plan)
      for (const { wait, who } of crashes) {
        const name = `u${who}`
        world.now += wait
        if (!world.alive.has(name)) continue
        const expected = erlang.crash(name, world.now)
        world.exit(name)
        world.settle()
        const started = world.log.flatMap((line) => (line.startsWith("start ") ? [line.slice(6)] : []))
        const stopped = world.log.flatMap((line) => (line.startsWith("stop ") ? [line.slice(5)] : []))
        world.log.length = 0
        assert.deepStrictEqual(new Set(started), new Set(expected))
        assert.deepStrictEqual(new Set(stopped), new Set(erlang.stopped))
        const failed = Object.entries(world.states()).flatMap(([one, state]) => (state === "Failed" ? [one] : []))
        assert.deepStrictEqual(new Set(failed), erlang.failed)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("members of a group are those within it", () => {
    const plan = planOf(
      Group.make({ name: "o", members: [Group.make({ name: "i", members: [spec("a")] }), spec("b")] })
    )
    assert.deepStrictEqual(
      membersOf(plan, 1).map(({ name }) => name),
      ["a", "b"]
    )
  })
})
