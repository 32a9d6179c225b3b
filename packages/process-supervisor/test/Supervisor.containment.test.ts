import { assert, describe, it } from "@effect/vitest"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as Containment from "../src/Containment.ts"
import * as Containers from "../src/internal/containment/index.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { named, skipWithoutTier } from "./containment.ts"
import { gone, stack, type Plain } from "./stack.ts"
import { carriers, eventually, eventsUntil, identityOf, pidOf, reaches, supervise } from "./support.ts"

let markers = 0

/** Seconds that nobody else sleeps. */
const marker = () => `7${process.pid}.${++markers}`

const atLeast = (count: number, words: string) =>
  eventually(
    `${count} have ${words}`,
    Effect.map(named(words, true), (pids) => (pids.length >= count ? pids : undefined))
  )

/** Two hundred processes in a second, each of which leaves group, session, parent and environment. */
const bomb = (words: string) =>
  `i=0; while [ $i -lt 200 ]; do i=$((i+1)); setsid env -i sh -c 'sleep ${words} &'; sleep 0.005; done; wait`

const temporary = { restartPolicy: { type: "temporary" } } as const

const containedIn =
  (containment: Containment.Tier) =>
  (name: string, script: string, options: Plain = {}) =>
    ProcessSpec.make({
      name,
      containment,
      command: "/bin/sh",
      args: ["-c", script],
      stopGrace: "1 second",
      ...options
    })

for (const tier of ["cgroup", "pid-namespace"] as const) {
  const contained = containedIn(tier)
  describe.skipIf(await skipWithoutTier(tier))(`a process in a ${tier}`, () => {
    it.live("leaves nothing when it is stopped, killed or replaced, whoever left its group and its environment", () =>
      Effect.gen(function* () {
        const words = marker()
        const bystander = yield* TestProcess.idle
        const script = `setsid env -i sh -c 'sleep ${words} &'; exec sleep 600`
        const supervisor = yield* supervise([contained("a", script)])
        const [event] = yield* eventsUntil(supervisor, ({ _tag }) => _tag === "Spawned")
        assert.deepInclude(event, { containment: tier })
        const [first = 0] = yield* atLeast(1, `sleep ${words}`)
        const { survivors } = yield* supervisor.stop("a")
        assert.deepStrictEqual([survivors, yield* named(words)], [[], []])
        yield* supervisor.start("a")
        const [second = 0] = yield* atLeast(1, `sleep ${words}`)
        assert.notStrictEqual(second, first)
        const child = yield* identityOf(pidOf(yield* supervisor.status("a")))
        yield* ProcessIdentity.signal(child, "SIGKILL")
        yield* reaches(supervisor, "a", "Running", ({ restarts }) => restarts === 1)
        yield* eventually(
          "what the killed one had left is gone, and the new one has its own",
          Effect.map(named(`sleep ${words}`, true), (pids) =>
            pids.length === 1 && !pids.includes(second) ? true : undefined
          )
        )
        assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
      })
    )

    it.live("is ended with all that a fork bomb has let off", () =>
      Effect.gen(function* () {
        const words = marker()
        const supervisor = yield* supervise([contained("bomb", bomb(words), { stopGrace: "50 millis" })])
        yield* atLeast(40, `sleep ${words}`)
        const { survivors } = yield* supervisor.stop("bomb")
        assert.deepStrictEqual([survivors, yield* named(words)], [[], []])
        assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      })
    )

    it.live("hears SIGTERM, drains, and its exit is told as it was", () =>
      Effect.gen(function* () {
        // Its code would be another one if it got the signal twice.
        const drains =
          'let code = 4; process.on("SIGTERM", () => { code += 1; setTimeout(() => process.exit(code), 100) }); setInterval(() => {}, 1e6)'
        const supervisor = yield* supervise([
          contained("drains", `exec "${process.execPath}" -e '${drains}; console.log("up")'`, {
            ready: /^up$/,
            stopGrace: "20 seconds"
          }),
          contained("seven", "exit 7", temporary),
          contained("killed", "exec sleep 600", temporary),
          contained("missing", "exec nothing-of-this-name", temporary)
        ])
        const { escalated } = yield* supervisor.stop("drains")
        assert.deepStrictEqual(escalated, [])
        const { lastExit } = yield* supervisor.status("drains")
        assert.deepInclude(lastExit, { _tag: "StopRequested", by: "request", code: 5 })
        const seven = yield* reaches(supervisor, "seven", "Ended")
        assert.deepInclude(seven.lastExit, { _tag: "Exited", code: 7 })
        assert.deepInclude((yield* reaches(supervisor, "missing", "Ended")).lastExit, { _tag: "Exited", code: 127 })
        yield* eventually(
          "it can be signalled",
          supervisor.signal("killed", "SIGKILL").pipe(
            Effect.as(true),
            Effect.catch(() => Effect.undefined)
          )
        )
        const killed = yield* reaches(supervisor, "killed", "Ended")
        assert.deepInclude(killed.lastExit, { _tag: "Signaled", signal: "SIGKILL", by: "us" })
      })
    )

    it.live("is gone within moments after kill -9 of its supervisor, with all that hid from it", () =>
      Effect.gen(function* () {
        const words = marker()
        const id = `contained-${process.pid}-${tier}`
        const script = `setsid env -i sh -c 'sleep ${words} &'; exec sleep ${words}`
        yield* Effect.addFinalizer(() => Containers.removeLeft(id))
        const { crash } = yield* stack({
          id,
          processes: [{ name: "a", command: "/bin/sh", args: ["-c", script], containment: tier }]
        })
        yield* atLeast(2, `sleep ${words}`)
        yield* crash
        yield* gone(id)
        yield* eventually(
          "nobody is left",
          Effect.map(named(words), (pids) => (pids.length === 0 ? true : undefined))
        )
      })
    )
  })
}

describe.skipIf(process.getuid?.() !== 0)("a tier that is not to be had", () => {
  it.live("fails the start of what asks for it, says why, and keeps nobody else", () =>
    Effect.gen(function* () {
      const id = `unavailable-${process.pid}`
      const command = { command: "sleep", args: ["600"] }
      const processes = Containment.tiers.map((tier) => ({ name: tier, ...command, containment: tier }))
      const { children, said } = yield* stack({ id, processes }, { uid: 65_534, gid: 65_534, cwd: "/" })
      assert.deepStrictEqual(
        Object.entries(children).flatMap(([name, child]) => (child === undefined ? [] : [name])),
        ["group"]
      )
      for (const [tier, words] of [
        ["cgroup", "Delegate=yes"],
        ["pid-namespace", "CAP_SYS_ADMIN"]
      ] as const) {
        const failure = yield* eventually(
          `${tier} has failed`,
          Effect.sync(() => said.find((line) => line.includes(`"name":"${tier}"`) && line.includes("SpawnFailed")))
        )
        assert.include(failure, "CONTAINMENT")
        assert.include(failure, `process \\"${tier}\\", containment`)
        assert.include(failure, words)
      }
    })
  )

  it.live("is told before anything starts", () =>
    Effect.gen(function* () {
      const available = yield* Containment.available
      const specs = Containment.tiers.map((tier) =>
        ProcessSpec.make({ name: tier, command: "sleep", containment: tier })
      )
      const problems = yield* Supervisor.problems(specs)
      assert.deepStrictEqual(
        problems.map(({ field, process: name }) => [field, name]),
        available.flatMap((one) => (one.available ? [] : [["containment", one.tier]]))
      )
    })
  )
})
