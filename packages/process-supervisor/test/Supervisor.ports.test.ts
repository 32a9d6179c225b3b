import * as Path from "node:path"

import { assert, describe, it } from "@effect/vitest"
import * as PortOwner from "@nexobot/core/PortOwner"
import * as ProcessIdentity from "@nexobot/core/ProcessIdentity"
import * as Effect from "effect/Effect"

import { refusal } from "../../testing/src/Expect.ts"
import * as ProcessFault from "../../testing/src/ProcessFault.ts"
import * as TestPort from "../../testing/src/TestPort.ts"
import * as TestProcess from "../../testing/src/TestProcess.ts"
import * as ProcessSpec from "../src/ProcessSpec.ts"
import * as Supervisor from "../src/Supervisor.ts"
import { stack, type Plain } from "./stack.ts"
import { carriers, eventsUntil, node, pidOf, reaches, supervise, temporaryFolder, textOf } from "./support.ts"

const freePort = TestPort.free(20_000, 32_000)

let ids = 0
const freshId = () => `ports-${process.pid}-${++ids}`

/** Listens on `PORT`, and says so in a file. */
const server = `require("node:net").createServer().listen(Number(process.env.PORT), "127.0.0.1", () =>
  require("node:fs").writeFileSync(process.argv[1], String(process.pid)))`

const listens = (name: string, port: number, file: string, options: Plain = {}) =>
  ProcessSpec.make({ name, port, command: process.execPath, args: ["-e", server, file], ...options })

const holderOf = (port: number) =>
  Effect.map(PortOwner.find(port), (found) => (found.listening ? found.holders.map(({ pid }) => pid) : []))

describe("a port that a process is to have", () => {
  it.live("acceptance(process-supervisor 11): is freed of our own orphan, and the start succeeds", () =>
    Effect.gen(function* () {
      const [folder, id, port] = [yield* temporaryFolder, freshId(), yield* freePort]
      const bystander = yield* ProcessFault.bystander
      const file = Path.join(folder, "first")
      // In a session of its own and without a parent, so that whoever ends the process does not find it.
      const script = `setsid "$0" -e '${server}' "$1" & exec sleep 600`
      const first = yield* stack({
        id,
        processes: [{ name: "web", port, command: "/bin/sh", args: ["-c", script, process.execPath, file] }]
      })
      const orphan = yield* TestProcess.identityOf(Number(yield* textOf(file)))
      yield* first.crashUnguarded
      assert.deepStrictEqual(yield* holderOf(port), [orphan.pid])

      const supervisor = yield* supervise([listens("web", port, Path.join(folder, "second"))], { id })
      assert.strictEqual((yield* supervisor.status("web")).state, "Running")
      yield* textOf(Path.join(folder, "second"))
      assert.deepStrictEqual(yield* holderOf(port), [pidOf(yield* supervisor.status("web"))])
      assert.isFalse(yield* ProcessIdentity.isAlive(orphan))
      assert.isTrue(yield* ProcessIdentity.isAlive(bystander))
    })
  )

  it.live("is freed of what an escaped grandchild of its own earlier life holds after a crash", () =>
    Effect.gen(function* () {
      const [folder, port] = [yield* temporaryFolder, yield* freePort]
      const file = Path.join(folder, "pid")
      const script = `if mkdir "$2"; then setsid "$0" -e '${server}' "$1" & sleep 600; else exec "$0" -e '${server}' "$1.again"; fi`
      const spec = ProcessSpec.make({
        name: "web",
        port,
        command: "/bin/sh",
        args: ["-c", script, process.execPath, file, Path.join(folder, "once")]
      })
      const supervisor = yield* supervise([spec])
      const escaped = yield* TestProcess.identityOf(Number(yield* textOf(file)))
      const shell = pidOf(yield* supervisor.status("web"))
      process.kill(shell, "SIGKILL")
      const again = Number(yield* textOf(`${file}.again`))
      assert.deepStrictEqual(yield* holderOf(port), [again])
      assert.isFalse(yield* ProcessIdentity.isAlive(escaped))
      assert.strictEqual(pidOf(yield* supervisor.status("web")), again)
    })
  )

  it.live("of a stranger is PortHeld, tried again by the policy, and had when he goes; he is left alone", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { identity, port } = yield* TestProcess.listener()
      const restartPolicy = {
        backoff: { initial: "50 millis", max: "50 millis" },
        intensity: { limit: 10_000, window: "1 minute" }
      } as const
      const supervisor = yield* supervise([
        listens("web", port, Path.join(folder, "up"), { restartPolicy }),
        node("other", ["idle.mjs"])
      ])
      assert.strictEqual((yield* supervisor.status("other")).state, "Running")
      const held = yield* eventsUntil(supervisor, ({ _tag, name }) => _tag === "RestartDecided" && name === "web")
      const exit = held.flatMap((event) => (event._tag === "Exited" && event.name === "web" ? [event.exit] : []))[0]
      assert.deepInclude(exit, { _tag: "PortHeld", port, pid: identity.pid })
      const { lastExit } = yield* supervisor.status("web")
      assert.deepInclude(lastExit, { _tag: "PortHeld", port, pid: identity.pid })
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
      yield* ProcessIdentity.signal(identity, "SIGKILL")
      yield* reaches(supervisor, "web", "Running")
      yield* textOf(Path.join(folder, "up"))
      assert.deepStrictEqual(yield* holderOf(port), [pidOf(yield* supervisor.status("web"))])
    })
  )

  it.live("held by a stranger fails a start on request at once, and says by whom", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { identity, port } = yield* TestProcess.listener()
      const supervisor = yield* supervise(
        [listens("web", port, Path.join(folder, "up"), { restartPolicy: { type: "temporary" } })],
        { autoStart: false }
      )
      const error = yield* Effect.flip(supervisor.start("web"))
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.include(error.message, String(port))
      assert.include(error.message, String(identity.pid))
      assert.deepStrictEqual(yield* carriers(supervisor.id), [])
      assert.isTrue(yield* ProcessIdentity.isAlive(identity))
    })
  )

  it.live("counts up with the instances, each of which gets its own and its number", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const port = yield* freePort
      const supervisor = yield* supervise([
        ProcessSpec.make({
          name: "web",
          port,
          instances: 3,
          command: "/bin/sh",
          args: ["-c", `echo "$PORT $NEXO_INSTANCE" > "${folder}/$NEXO_INSTANCE"; exec sleep 600`]
        })
      ])
      for (const index of [0, 1, 2]) {
        assert.strictEqual(yield* textOf(Path.join(folder, String(index))), `${port + index} ${index}\n`)
      }
      assert.sameMembers(
        (yield* supervisor.list).map(({ name }) => name),
        ["web:0", "web:1", "web:2"]
      )
    })
  )

  it("is of one process only", () => {
    const two = [listens("a", 20_001, "x"), listens("b", 20_001, "x")]
    const error = refusal(() => Supervisor.layer(two))
    assert.deepInclude(error, { module: "Supervisor", option: "b.port", value: 20_001 })
    assert.include(error.message, "a has this one")
    // Those of instances count up, into another's or beyond what there is.
    const three = [listens("a", 20_000, "x", { instances: 3 }), listens("b", 20_002, "x")]
    assert.strictEqual(refusal(() => Supervisor.layer(three)).option, "b.port")
    const beyond = refusal(() => Supervisor.layer([listens("a", 65_535, "x", { instances: 2 })]))
    assert.deepInclude(beyond, { option: "a:1.port", value: 65_536 })
  })
})
